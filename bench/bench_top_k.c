/* top_k: the best scores of each row, in order.  Bytes bind: the scores, once.  option: none.
 * Operands: the scores, and room for the indices; the values are compared. */
#include <math.h>
#include <stdlib.h>

#include "bench.h"
#include "core/alloc.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_top_k(w->stream, w->in[0], CLF_TOP_K_BY_SCORE, w->y, w->in[1]);
}

static int larger_first(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* NaN, which no result matches, where there is no memory. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t N = clf_bench_width(w->host[0]);
    double *sorted = clf_alloc((size_t)N, sizeof *sorted);

    if (sorted != NULL) {
        clf_bench_row(w, 0, row, N, sorted);
        qsort(sorted, (size_t)N, sizeof *sorted, larger_first);
    }
    for (size_t i = 0; i < count; i++) {
        want[i] = sorted != NULL ? sorted[column[i]] : (double)NAN;
        bound[i] = 0.0;
    }
    clf_free(sorted);
}

static double bytes(const clf_bench_work *w)
{
    return (double)clf_bench_rows(w->host[0]) * (double)clf_bench_width(w->host[0]) *
           (double)clf_dtype_bytes(w->host[0].dtype);
}

static const clf_bench_case cases[] = {
    { "top_k.row", "f32[1,1048576] i32[1,10] -> f32[1,10]", "ten of a million scores", 0 },
    { "top_k.rows", "f32[64,65536] i32[64,10] -> f32[64,10]", "ten for each of 64 queries", 0 },
    { "top_k.tokens", "f32[8,2304] i32[8,576] -> f32[8,576]", "a quarter of the visual tokens", 0 },
    { "top_k.half", "f32[1,1048576] i32[1,524288] -> f32[1,524288]", "half of a million scores", 0 },
};

const clf_bench clf_bench_top_k = {
    .name = "top_k",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 2,
    .run = run,
    .reference = reference,
    .bytes = bytes,
    .known = { "top_k.known", "f32[2,4] i32[2,2] -> f32[2,2]", "by hand", 0 },
    .known_in = { 1.0, 4.0, -3.0, 2.0, -1.0, -2.0, 0.0, -5.0, 0.0, 0.0, 0.0, 0.0 },
    .known_out = { 4.0, 2.0, 0.0, -1.0 },
    .small = { "top_k.small", "f32[3,37] i32[3,5] -> f32[3,5]", "no vector fits", 0 },
};
