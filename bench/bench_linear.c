/* linear: y = activation(x W^T + b).  x [R, in], W [out, in], b [out] or none; option: the activation.
 * Arithmetic-bound but for few rows: watch GFLOP/s against the FMA peak, and at one row bytes against the read rate. */
#include <math.h>

#include "bench.h"
#include "core/error.h"
#include "core/size.h"

static clf_status prepare(clf_bench_work *w, clf_error *err)
{
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_weight *packed = NULL;

    desc.weight = w->host[1];
    if (w->operand_count > 2)
        desc.bias = w->host[2];
    CLF_TRY(clf_linear_weight_create(clf_stream_context(w->stream), &desc, &packed, err));
    w->module = packed;
    return CLF_OK;
}

static void release(clf_bench_work *w)
{
    clf_linear_weight_destroy(w->module);
}

static void run(const clf_bench_work *w)
{
    clf_linear_options options = clf_linear_options_default();

    options.activation = (clf_activation)w->bench_case->option;
    clf_linear(w->stream, w->in[0], w->module, &options, w->y);
}

/* (in + 3) u (sum |x w| + |b|), u = 2^-24, stretched by the slope of the activation, of which 1.13 is the largest
 * (GELU at sqrt 2), and by what clf_activate promises. */
static void reference(const clf_bench_work *w, int64_t row, const int64_t *column, size_t count, double *want,
                      double *bound)
{
    const int64_t in = clf_bench_width(w->host[0]);

    for (size_t i = 0; i < count; i++) {
        double sum = w->operand_count > 2 ? clf_bench_value(w, 2, column[i]) : 0.0, size = fabs(sum), stray = 0.0;
        for (int64_t k = 0; k < in; k++) {
            const double product = clf_bench_value(w, 0, row * in + k) * clf_bench_value(w, 1, column[i] * in + k);
            sum += product;
            size += fabs(product);
        }
        want[i] = clf_bench_activation((clf_activation)w->bench_case->option, sum, &stray);
        bound[i] = 1.13 * (double)(in + 3) * 0x1p-24 * size + stray;
    }
}

static double flop(const clf_bench_work *w)
{
    return 2.0 * (double)clf_element_count(w->y) * (double)clf_bench_width(w->host[0]);
}

static const clf_bench_case cases[] = {
    { "linear.square", "f32[576,4096] f32[4096,4096] f32[4096] -> f32[576,4096]", "576 tokens at 4096, bias and GELU",
      CLF_GELU },
    { "linear.cube", "f32[1024,1024] f32[1024,1024] f32[1024] -> f32[1024,1024]", "the usual yardstick, bias and GELU",
      CLF_GELU },
    { "linear.qformer", "f32[32,768] f32[768,768] f32[768] -> f32[32,768]", "Q-Former width, 32 queries, bias and GELU",
      CLF_GELU },
    { "linear.queries", "f32[32,768] f32[27648,768] -> f32[32,27648]", "12 times 2304: weights of 85 MB, from memory",
      0 },
    { "linear.token", "f32[1,4096] f32[4096,4096] -> f32[1,4096]", "one row: bytes bind", 0 },
};

const clf_bench clf_bench_linear = {
    .name = "linear",
    .cases = cases,
    .case_count = CLF_COUNT(cases),
    .device_operands = 1,
    .prepare = prepare,
    .run = run,
    .release = release,
    .reference = reference,
    .flop = flop,
    .known = { "linear.known", "f32[1,2] f32[2,2] f32[2] -> f32[1,2]", "by hand", 0 },
    .known_in = { 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 0.5, -1.0 },
    .known_out = { 5.5, 10.0 },
    .small = { "linear.small", "f32[7,19] f32[37,19] f32[37] -> f32[7,37]", "no tile fits", CLF_GELU_TANH },
};
