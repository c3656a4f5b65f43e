/* gather: rows of a table by number.  Bytes bind: the rows that are read, and y.  option: none. */
#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_gather(w->stream, w->in[0], w->in[1], w->y);
}

static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]), from = (int64_t)clf_bench_value(w, 1, row);

    for (size_t i = 0; i < count; i++) {
        want[i] = clf_bench_value(w, 0, from * C + column[i]);
        bound[i] = 0.0;
    }
}

static double bytes(const clf_bench_work *w)
{
    return 2.0 * (double)clf_element_count(w->y) * (double)clf_dtype_bytes(w->y.dtype) +
           4.0 * (double)clf_row_count(w->y);
}

static const clf_bench_case cases[] = {
    { "gather.embed", "f16[32000,4096] i32[512] -> f16[512,4096]", "token embeddings of a 7B model", 0 },
    { "gather.regroup", "f32[2304,1152] i32[2304] -> f32[2304,1152]", "visual tokens in another order", 0 },
    { "gather.tokens", "f32[18432,1024] i32[4608] -> f32[4608,1024]", "576 tokens of each of 8 pictures", 0 },
    { "gather.half", "f16[18432,1024] i32[4608] -> f16[4608,1024]", "the same in f16", 0 },
};

const clf_bench clf_bench_gather = {
    .name = "gather",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 2,
    .run = run,
    .reference = reference,
    .bytes = bytes,
    .known = { "gather.known", "f32[3,2] i32[2] -> f32[2,2]", "by hand", 0 },
    .known_in = { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 2.0, 0.0 },
    .known_out = { 5.0, 6.0, 1.0, 2.0 },
    .small = { "gather.small", "f32[5,37] i32[2,3] -> f32[2,3,37]", "no vector fits", 0 },
};
