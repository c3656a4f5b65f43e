/* gated_unit: y = activation(gate) up.  Bytes bind: two read, one written.  option: the activation. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

static void run(const clf_bench_work *w)
{
    clf_gated_unit(w->stream, w->in[0], w->in[1], (clf_activation)w->bench_case->option, w->y);
}

/* The activation's bound times |up|, and two roundings. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);

    for (size_t i = 0; i < count; i++) {
        const double gate = clf_bench_value(w, 0, row * C + column[i]), up = clf_bench_value(w, 1, row * C + column[i]);

        want[i] = clf_bench_activation((clf_activation)w->bench_case->option, gate, &bound[i]) * up;
        bound[i] = bound[i] * fabs(up) + 2 * 0x1p-24 * fabs(want[i]);
    }
}

static const clf_bench_case cases[] = {
    { "gated_unit.latents", "f32[64,14336] f32[64,14336] -> f32[64,14336]", "Idefics2 perceiver, 64 latents",
      CLF_SILU },
};

const clf_bench clf_bench_gated_unit = {
    .name = "gated_unit",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 2,
    .run = run,
    .reference = reference,
    .known = { "gated_unit.known", "f32[1,3] f32[1,3] -> f32[1,3]", "from the normal distribution", CLF_GELU },
    .known_in = { 0.0, 1.0, -1.0, 5.0, 2.0, 4.0 },
    .known_out = { 0.0, 1.6826894921, -0.6346210157 },
    .small = { "gated_unit.small", "f32[2,3,37] f32[2,3,37] -> f32[2,3,37]", "no vector fits", CLF_SILU },
};
