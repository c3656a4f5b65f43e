/* similarity: the best of M rows of x against each row of z.  x [I, M, C], z [J, C], y [I, J]; option: none. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_similarity(w->stream, w->in[0], w->in[1], 1.0F, w->y);
}

/* Products and sums in any order: (C + 2) u of the row with the largest terms. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t M = w->host[0].dim[1], C = w->host[0].dim[2];

    for (size_t i = 0; i < count; i++) {
        want[i] = -INFINITY;
        bound[i] = 0.0;
        for (int64_t m = 0; m < M; m++) {
            double sum = 0.0, size = 0.0;

            for (int64_t c = 0; c < C; c++) {
                const double term =
                    clf_bench_value(w, 0, (row * M + m) * C + c) * clf_bench_value(w, 1, column[i] * C + c);
                sum += term;
                size += fabs(term);
            }
            want[i] = fmax(want[i], sum);
            bound[i] = fmax(bound[i], ((double)C + 2) * 0x1p-24 * size);
        }
    }
}

static double flop(const clf_bench_work *w)
{
    const clf_host_tensor x = w->host[0];

    return 2.0 * (double)x.dim[0] * (double)x.dim[1] * (double)x.dim[2] * (double)w->host[1].dim[0];
}

static const clf_bench_case cases[] = {
    { "similarity.blip2", "f32[64,32,256] f32[64,256] -> f32[64,64]", "BLIP-2 contrast: 64 pictures, 64 texts", 0 },
    { "similarity.clip", "f32[512,1,768] f32[2048,768] -> f32[512,2048]", "CLIP: 512 pictures, 2048 texts", 0 },
};

const clf_bench clf_bench_similarity = {
    .name = "similarity",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 2,
    .run = run,
    .reference = reference,
    .flop = flop,
    .known = { "similarity.known", "f32[1,2,2] f32[2,2] -> f32[1,2]", "the better of two rows", 0 },
    .known_in = { 1.0, 2.0, 3.0, -1.0, 1.0, 1.0, 2.0, -1.0 },
    .known_out = { 3.0, 7.0 },
    .small = { "similarity.small", "f32[2,3,37] f32[5,37] -> f32[2,5]", "no vector fits", 0 },
};
