/* copy: y = x between views.  Bytes bind.  option: none. */
#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_copy(w->stream, w->in[0], w->y);
}

static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);

    for (size_t i = 0; i < count; i++) {
        want[i] = clf_bench_value(w, 0, row * C + column[i]);
        bound[i] = 0.0;
    }
}

static const clf_bench_case cases[] = {
    { "copy.tokens", "f32[576,4096] -> f32[576,4096]", "visual tokens into a sequence", 0 },
    { "copy.maps", "f32[8,2304,1024] -> f32[8,2304,1024]",
      "feature maps of 8 pictures: what pool and resize are held to", 0 },
    { "copy.half", "f16[576,4096] -> f16[576,4096]", "the same in f16", 0 },
};

const clf_bench clf_bench_copy = {
    .name = "copy",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "copy.known", "f32[2,2] -> f32[2,2]", "bit for bit", 0 },
    .known_in = { 1.0, -2.0, 0.5, 4.0 },
    .known_out = { 1.0, -2.0, 0.5, 4.0 },
    .small = { "copy.small", "f16[2,3,37] -> f16[2,3,37]", "no vector fits", 0 },
};
