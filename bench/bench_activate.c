/* activate: elementwise; erf and tanh are near the border between arithmetic and bytes.  option: the activation. */
#include <math.h>

#include "bench.h"
#include "core/size.h"

double clf_bench_activation(clf_activation activation, double x, double *bound)
{
    double y = x;

    switch (activation) {
    case CLF_ACTIVATION_NONE:
        *bound = 0.0;
        return x;
    case CLF_GELU:
        y = 0.5 * x * erfc(-x * sqrt(0.5));
        break;
    case CLF_GELU_TANH:
        y = 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
        break;
    case CLF_QUICK_GELU:
        y = x / (1 + exp(-1.702 * x));
        break;
    case CLF_SILU:
        y = x / (1 + exp(-x));
        break;
    case CLF_RELU:
        y = fmax(x, 0.0);
        break;
    case CLF_RELU2:
        y = fmax(x, 0.0) * fmax(x, 0.0);
        break;
    case CLF_TANH:
        y = tanh(x);
        break;
    }
    *bound = 4e-6 * fabs(y) + 1e-7 * fmax(1.0, fabs(x));
    return y;
}

static void run(const clf_bench_work *w)
{
    clf_activate(w->stream, w->in[0], (clf_activation)w->bench_case->option, w->y);
}

static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t C = clf_bench_width(w->host[0]);

    for (size_t i = 0; i < count; i++)
        want[i] = clf_bench_activation((clf_activation)w->bench_case->option,
                                       clf_bench_value(w, 0, row * C + column[i]), &bound[i]);
}

static const clf_bench_case cases[] = {
    { "activate.gelu", "f32[576,4096] -> f32[576,4096]", "between the Linears of LLaVA-1.5-7B", CLF_GELU },
    { "activate.silu", "f16[256,14336] -> f16[256,14336]", "gate of an Idefics2 resampler", CLF_SILU },
};

const clf_bench clf_bench_activate = {
    .name = "activate",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .run = run,
    .reference = reference,
    .known = { "activate.known", "f32[1,4] -> f32[1,4]", "from the normal distribution", CLF_GELU },
    .known_in = { 0.0, 1.0, -1.0, 2.0 },
    .known_out = { 0.0, 0.8413447461, -0.1586552539, 1.9544997361 },
    .small = { "activate.small", "f32[2,3,37] -> f32[2,3,37]", "no vector fits", CLF_GELU_TANH },
};
