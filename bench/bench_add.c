/* add: y = a + scale b.  Bytes bind: two read, one written.  option: scale, a whole number. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_add(w->stream, w->in[0], w->in[1], (float)w->bench_case->option, w->y);
}

/* One rounding for the product, one for the sum. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);
    const bool one_row = w->host[1].rank == 1;

    for (size_t i = 0; i < count; i++) {
        const double b = clf_bench_value(w, 1, one_row ? column[i] : row * C + column[i]) * w->bench_case->option;
        want[i] = clf_bench_value(w, 0, row * C + column[i]) + b;
        bound[i] = 0x1p-24 * (fabs(b) + fabs(want[i])) * 1.001;
    }
}

static const clf_bench_case cases[] = {
    { "add.residual", "f32[256,4096] f32[256,4096] -> f32[256,4096]", "a residual stream", 1 },
    { "add.row", "f32[576,4096] f32[4096] -> f32[576,4096]", "a bias or a position", 1 },
};

const clf_bench clf_bench_add = {
    .name = "add",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 2,
    .run = run,
    .reference = reference,
    .known = { "add.known", "f32[2,2] f32[2] -> f32[2,2]", "by hand", 2 },
    .known_in = { 1.0, 2.0, 3.0, 4.0, 10.0, 20.0 },
    .known_out = { 21.0, 42.0, 23.0, 44.0 },
    .small = { "add.small", "f32[2,3,37] f32[2,3,37] -> f32[2,3,37]", "no vector fits", 3 },
};
