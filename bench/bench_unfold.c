/* unfold: windows of a square grid.  Bytes bind.  option: 0 and 1 are cells of 2 x 2 in either order; 2 is what a
 * convolution of 3 x 3 with stride 2 multiplies. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static clf_grid grid_of(int64_t tokens)
{
    const int64_t side = (int64_t)lround(sqrt((double)tokens));

    return (clf_grid){ side, side };
}

static clf_unfold_options options_of(const clf_bench_work *w)
{
    clf_unfold_options o = clf_unfold_options_default();

    o.order = w->bench_case->option == 1 ? CLF_UNFOLD_CHANNEL_MAJOR : CLF_UNFOLD_BLOCK_MAJOR;
    if (w->bench_case->option == 2) {
        o.kernel = 3;
        o.padding = 1;
    }
    return o;
}

static void run(const clf_bench_work *w)
{
    const clf_unfold_options o = options_of(w);

    clf_unfold(w->stream, w->in[0], grid_of(w->in[0].dim[1]), &o, grid_of(w->y.dim[1]), w->y);
}

static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const clf_unfold_options o = options_of(w);
    const int64_t N = w->host[0].dim[1], C = w->host[0].dim[2], M = w->y.dim[1], b = row / M, cell = row % M;
    const int64_t H = grid_of(N).rows, h = grid_of(M).rows, window = o.kernel * o.kernel;

    for (size_t i = 0; i < count; i++) {
        const bool blocks = o.order == CLF_UNFOLD_BLOCK_MAJOR;
        const int64_t c = blocks ? column[i] % C : column[i] / window, q = blocks ? column[i] / C : column[i] % window;
        const int64_t m = cell / h * o.stride - o.padding + q / o.kernel;
        const int64_t n = cell % h * o.stride - o.padding + q % o.kernel;

        want[i] = m < 0 || m >= H || n < 0 || n >= H ? 0.0 : clf_bench_value(w, 0, (b * N + m * H + n) * C + c);
        bound[i] = 0.0;
    }
}

static const clf_bench_case cases[] = {
    { "unfold.shuffle", "f32[8,2304,1024] -> f32[8,576,4096]", "cells of 2 x 2, block-major", 0 },
    { "unfold.merge", "f32[8,2304,1024] -> f32[8,576,4096]", "cells of 2 x 2, channel-major", 1 },
    { "unfold.half", "f16[8,2304,1024] -> f16[8,576,4096]", "cells of 2 x 2, channel-major", 1 },
    { "unfold.conv", "f32[1,4096,256] -> f32[1,1024,2304]", "DeepSeek-OCR, before the first convolution", 2 },
};

const clf_bench clf_bench_unfold = {
    .name = "unfold",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "unfold.known", "f32[1,4,2] -> f32[1,1,8]", "by hand", 1 },
    .known_in = { 1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0 },
    .known_out = { 1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0 },
    .small = { "unfold.small", "f32[1,9,7] -> f32[1,4,63]", "no vector fits", 2 },
};
