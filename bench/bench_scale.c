/* scale: y = factor x.  Bytes bind.  option: factor, a whole number. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_scale(w->stream, w->in[0], (float)w->bench_case->option, w->y);
}

/* One rounding. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);

    for (size_t i = 0; i < count; i++) {
        want[i] = clf_bench_value(w, 0, row * C + column[i]) * w->bench_case->option;
        bound[i] = 0x1p-24 * fabs(want[i]);
    }
}

static const clf_bench_case cases[] = {
    { "scale.tokens", "f32[576,4096] -> f32[576,4096]", "visual tokens of LLaVA-1.5-7B", 3 },
};

const clf_bench clf_bench_scale = {
    .name = "scale",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "scale.known", "f32[1,3] -> f32[1,3]", "by hand", -2 },
    .known_in = { 1.0, -2.5, 0.0 },
    .known_out = { -2.0, 5.0, 0.0 },
    .small = { "scale.small", "f32[2,3,37] -> f32[2,3,37]", "no vector fits", 3 },
};
