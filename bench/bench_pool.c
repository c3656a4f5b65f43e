/* pool: means of cells of a square grid.  Bytes bind.  option: none. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static clf_grid grid_of(int64_t tokens)
{
    const int64_t side = (int64_t)lround(sqrt((double)tokens));

    return (clf_grid){ side, side };
}

static void run(const clf_bench_work *w)
{
    clf_pool(w->stream, w->in[0], grid_of(w->in[0].dim[1]), grid_of(w->y.dim[1]), w->y);
}

/* n additions at most, u each, and a quotient of 2.5 ulp. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t N = w->host[0].dim[1], C = w->host[0].dim[2], M = w->y.dim[1], b = row / M, cell = row % M;
    const int64_t H = grid_of(N).rows, h = grid_of(M).rows, i = cell / h, j = cell % h;

    for (size_t k = 0; k < count; k++) {
        double sum = 0.0, size = 0.0, n = 0.0;

        for (int64_t r = i * H / h; r * h < (i + 1) * H; r++)
            for (int64_t c = j * H / h; c * h < (j + 1) * H; c++, n++) {
                const double v = clf_bench_value(w, 0, (b * N + r * H + c) * C + column[k]);
                sum += v;
                size += fabs(v);
            }
        want[k] = sum / n;
        bound[k] = (n + 5.0) * 0x1p-24 * size / n;
    }
}

static const clf_bench_case cases[] = {
    { "pool.tokens", "f32[8,2304,1024] -> f32[8,576,1024]", "48 x 48 patches to 24 x 24", 0 },
    { "pool.half", "f16[8,2304,1024] -> f16[8,576,1024]", "the same in f16", 0 },
    { "pool.bf16", "bf16[8,2304,1024] -> bf16[8,576,1024]", "the same in bf16", 0 },
    { "pool.odd", "f32[8,729,1152] -> f32[8,196,1152]", "27 x 27 to 14 x 14: cells overlap", 0 },
    { "pool.one", "f32[1,576,1024] -> f32[1,1,1024]", "the mean of a picture", 0 },
};

const clf_bench clf_bench_pool = {
    .name = "pool",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "pool.known", "f32[1,9,1] -> f32[1,4,1]", "by hand", 0 },
    .known_in = { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0 },
    .known_out = { 3.0, 4.0, 6.0, 7.0 },
    .small = { "pool.small", "f32[2,9,37] -> f32[2,4,37]", "no vector fits", 0 },
};
