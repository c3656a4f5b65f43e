/* layer_norm: bytes bind.  x, weight, bias [C]; option: none. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static const double eps = 1e-6;

static void run(const clf_bench_work *w)
{
    clf_layer_norm(w->stream, w->in[0], w->in[1], w->in[2], (float)eps, w->y);
}

/* Sums of C terms in any order: C u of mean |x| for the mean; C/2 u for the root of the variance; 20 u for the rest by
 * the OpenCL C ulp table (root 3, quotient 2.5, products and sums 0.5 each, of both the deviation and the result). */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);
    double mean = 0.0, size = 0.0, square = 0.0;

    for (int64_t c = 0; c < C; c++) {
        mean += clf_bench_value(w, 0, row * C + c) / (double)C;
        size += fabs(clf_bench_value(w, 0, row * C + c)) / (double)C;
    }
    for (int64_t c = 0; c < C; c++)
        square += pow(clf_bench_value(w, 0, row * C + c) - mean, 2.0) / (double)C;
    const double root = sqrt(square + (double)(float)eps);
    for (size_t i = 0; i < count; i++) {
        const double gain = clf_bench_value(w, 1, column[i]);
        const double plain = (clf_bench_value(w, 0, row * C + column[i]) - mean) / root * gain;
        want[i] = plain + clf_bench_value(w, 2, column[i]);
        bound[i] =
            0x1p-24 * ((double)C * size / root * fabs(gain) + ((double)C / 2 + 20) * fabs(plain) + fabs(want[i]));
    }
}

static const clf_bench_case cases[] = {
    { "layer_norm.vipllava", "f32[576,5120] f32[5120] f32[5120] -> f32[576,5120]", "before the ViP-LLaVA projector",
      0 },
    { "layer_norm.latents", "f32[64,1024] f32[1024] f32[1024] -> f32[64,1024]", "OpenFlamingo perceiver, M = 64", 0 },
};

const clf_bench clf_bench_layer_norm = {
    .name = "layer_norm",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 3,
    .run = run,
    .reference = reference,
    /* mean 2, variance 2/3 + 1e-6 */
    .known = { "layer_norm.known", "f32[1,3] f32[3] f32[3] -> f32[1,3]", "by hand", 0 },
    .known_in = { 1.0, 2.0, 3.0, 1.0, 1.0, 2.0, 0.0, 5.0, 1.0 },
    .known_out = { -1.2247439528, 5.0, 3.4494879057 },
    .small = { "layer_norm.small", "f32[2,3,37] f32[37] f32[37] -> f32[2,3,37]", "no vector fits", 0 },
};
