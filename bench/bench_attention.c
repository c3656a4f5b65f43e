/* attention: q [B, Q, H, D], k [B, K, Hk, D], v [B, K, Hk, E]; or q and a product [B, K, W] that begins with k and v of
 * `option` heads each.  Arithmetic-bound: watch GFLOP/s against the FMA peak, and with one query bytes against the read
 * rate. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

typedef struct sizes {
    int64_t B, Q, K, H, Hk, D, E;
} sizes;

static bool joint(const clf_bench_work *w)
{
    return w->operand_count == 2;
}

static sizes sizes_of(const clf_bench_work *w)
{
    const int64_t *q = w->host[0].dim, *k = w->host[1].dim;
    const int64_t heads = joint(w) ? w->bench_case->option : k[2], E = joint(w) ? q[3] : w->host[2].dim[3];

    return (sizes){ .B = q[0], .Q = q[1], .K = k[1], .H = q[2], .Hk = heads, .D = q[3], .E = E };
}

static void run(const clf_bench_work *w)
{
    const sizes n = sizes_of(w);
    clf_tensor k = w->in[1], v = w->in[2];

    if (joint(w)) {
        v = clf_heads(w->stream, clf_slice(w->stream, k, -1, n.Hk * n.D, n.Hk * n.D), n.Hk);
        k = clf_heads(w->stream, clf_slice(w->stream, k, -1, 0, n.Hk * n.D), n.Hk);
    }
    clf_attention(w->stream, w->in[0], k, v, NULL, w->y);
}

/* Entry x of key or value (part 0 or 1) j of head h. */
static double keyed(const clf_bench_work *w, sizes n, size_t part, int64_t b, int64_t j, int64_t h, int64_t x)
{
    if (joint(w))
        return clf_bench_value(w, 1, (b * n.K + j) * w->host[1].dim[2] + ((int64_t)part * n.Hk + h) * n.D + x);
    return clf_bench_value(w, 1 + part, ((b * n.K + j) * n.Hk + h) * (part == 0 ? n.D : n.E) + x);
}

/* The bound of clfusion/attention.h. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const sizes n = sizes_of(w);
    const int64_t h = row % n.H, b = row / n.H / n.Q, hk = h / (n.H / n.Hk);
    double total = 0.0, largest = 0.0, top = 0.0;

    for (size_t i = 0; i < count; i++)
        want[i] = bound[i] = 0.0;
    for (int64_t j = 0; j < n.K; j++) {
        double score = 0.0, size = 0.0, p;

        for (int64_t d = 0; d < n.D; d++) {
            const double product =
                clf_bench_value(w, 0, row * n.D + d) * keyed(w, n, 0, b, j, hk, d) / sqrt((double)n.D);
            score += product;
            size += fabs(product);
        }
        if (j == 0)
            top = score; /* any score serves in double */
        p = exp(score - top);
        total += p;
        largest = fmax(largest, size);
        for (size_t i = 0; i < count; i++) {
            const double term = p * keyed(w, n, 1, b, j, hk, column[i]);
            want[i] += term;
            bound[i] += fabs(term);
        }
    }
    for (size_t i = 0; i < count; i++) {
        want[i] /= total;
        bound[i] *=
            0x1p-24 / total * (2 * (double)n.K + 16 + 8 * ceil((double)n.K / 8) + 4 * ((double)n.D + 2) * largest);
    }
}

static double flop(const clf_bench_work *w)
{
    const sizes n = sizes_of(w);

    return 2.0 * (double)(n.B * n.H * n.Q) * (double)(n.K * (n.D + n.E));
}

static double bytes(const clf_bench_work *w)
{
    const sizes n = sizes_of(w);
    const double key = (double)clf_dtype_bytes(w->host[1].dtype), query = (double)clf_dtype_bytes(w->host[0].dtype);

    return (double)(n.B * n.K * n.Hk * (n.D + n.E)) * key + (double)(n.B * n.Q * n.H * (n.D + n.E)) * query;
}

static const clf_bench_case cases[] = {
    { "attention.mllama", "f32[1,512,32,128] f32[1,1601,8,128] f32[1,1601,8,128] -> f32[1,512,32,128]",
      "Llama 3.2 Vision: 512 tokens look at a tile of 1601", 0 },
    { "attention.token", "f32[1,1,32,128] f32[1,1601,8,128] f32[1,1601,8,128] -> f32[1,1,32,128]",
      "the same for one token: bytes bind", 0 },
    { "attention.qformer", "f32[1,32,12,64] f32[1,257,9216] -> f32[1,32,12,64]",
      "BLIP-2 Q-Former: keys and values of six layers are one product", 12 },
    { "attention.vision", "f32[1,77,12,64] f32[1,577,12,64] f32[1,577,12,64] -> f32[1,77,12,64]",
      "77 text tokens, 24 x 24 patches and a class", 0 },
    { "attention.flamingo", "f32[1,64,8,64] f32[1,320,8,64] f32[1,320,8,64] -> f32[1,64,8,64]",
      "OpenFlamingo perceiver: 64 latents, 256 patches and themselves", 0 },
    { "attention.media", "f32[1,128,8,64] f32[1,64,8,64] f32[1,64,8,64] -> f32[1,128,8,64]",
      "OpenFlamingo gated cross-attention: 128 tokens, one picture", 0 },
    { "attention.idefics2", "f32[1,64,16,96] f32[1,4964,4,96] f32[1,4964,4,96] -> f32[1,64,16,96]",
      "Idefics2 perceiver at 980 px: 70 x 70 patches and 64 latents", 0 },
};

const clf_bench clf_bench_attention = {
    .name = "attention",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 3,
    .run = run,
    .reference = reference,
    .flop = flop,
    .bytes = bytes,
    /* scores 0 and log 3: weights 1/4 and 3/4 */
    .known = { "attention.known", "f32[1,1,1,1] f32[1,2,1,1] f32[1,2,1,2] -> f32[1,1,1,2]", "by hand", 0 },
    .known_in = { 1.0, 0.0, 1.0986122886681098, 4.0, 0.0, 8.0, -4.0 },
    .known_out = { 7.0, -3.0 },
    .small = { "attention.small", "f32[1,3,2,19] f32[1,37,1,19] f32[1,37,1,13] -> f32[1,3,2,13]", "no tile fits", 0 },
};
