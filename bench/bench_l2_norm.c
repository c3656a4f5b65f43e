/* l2_norm: bytes bind.  x [..., C]; option: none. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_l2_norm(w->stream, w->in[0], 1e-12F, w->y);
}

/* Relative: a sum of C positive terms in any order, C u, which the root halves, and 10 u for the rest. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);
    double square = 0.0;

    for (int64_t c = 0; c < C; c++)
        square += pow(clf_bench_value(w, 0, row * C + c), 2.0);
    for (size_t i = 0; i < count; i++) {
        want[i] = clf_bench_value(w, 0, row * C + column[i]) / fmax(sqrt(square), 1e-12);
        bound[i] = ((double)C / 2 + 10) * 0x1p-24 * fabs(want[i]);
    }
}

static const clf_bench_case cases[] = {
    { "l2_norm.embeds", "f32[256,768] -> f32[256,768]", "CLIP embeddings of 256 pictures", 0 },
    { "l2_norm.keys", "f32[6404,8,128] -> f32[6404,8,128]", "narrow rows, many of them", 0 },
};

const clf_bench clf_bench_l2_norm = {
    .name = "l2_norm",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "l2_norm.known", "f32[2,2] -> f32[2,2]", "3, 4, 5 and a row of zeros", 0 },
    .known_in = { 3.0, 4.0, 0.0, 0.0 },
    .known_out = { 0.6, 0.8, 0.0, 0.0 },
    .small = { "l2_norm.small", "f32[2,3,37] -> f32[2,3,37]", "no vector fits", 0 },
};
