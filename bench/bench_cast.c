/* cast: y = x in the type of y.  Bytes bind.  option: none. */
#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_cast(w->stream, w->in[0], w->y);
}

/* Rounded once, to the type of y: the check allows half an ulp of it. */
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
    { "cast.to_f16", "f32[576,4096] -> f16[576,4096]", "tokens for an f16 language model", 0 },
    { "cast.to_bf16", "f32[576,4096] -> bf16[576,4096]", "tokens for a bf16 language model", 0 },
    { "cast.to_f32", "f16[576,4096] -> f32[576,4096]", "features of an f16 tower", 0 },
};

const clf_bench clf_bench_cast = {
    .name = "cast",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    /* 1 + 2^-11 lies between 1 and the next f16 and goes to the even one, as does 1 + 3 * 2^-11 */
    .known = { "cast.known", "f32[1,3] -> f16[1,3]", "rounding to nearest even", 0 },
    .known_in = { 1.00048828125, 1.00146484375, -2.0 },
    .known_out = { 1.0, 1.001953125, -2.0 },
    .small = { "cast.small", "f32[2,3,37] -> bf16[2,3,37]", "no vector fits", 0 },
};
