/* linear in double.
 *
 * Bound, u = 2^-24.  A chain of K products and K sums, in any order, errs by at most K u sum|x w| (first order); bias and
 * the storing round once each, 3 u in all with second-order terms.  A norm before it adds its own relative error to each
 * x: sums of K/16 vector steps halved by the root, and 17 u for squares, mean, root and quotient; for a layer norm the
 * mean and the shift err by u of their size.  The activation's slope is at most 1.13 (relu2: 2|v|), its own error 4e-6
 * relative or 1e-7 max(1, |v|).  The residual rounds once. */
#include "ref/linear.h"

#include <math.h>
#include <string.h>

#define U 0x1p-24

clf_ref_linear clf_ref_linear_create(clf_test *t, clf_context *ctx, clf_dtype dtype, int64_t N, int64_t K, bool bias,
                                     int limit)
{
    const size_t count = (size_t)(N * K), item = clf_dtype_bytes(dtype);
    clf_ref_linear w = { .N = N, .K = K, .dtype = dtype };
    char *stored = clf_test_memory(t, count * item), *stored_bias = clf_test_memory(t, (size_t)N * sizeof(float));
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_error err = { 0 };

    w.weight = clf_test_memory(t, count * sizeof(double));
    for (size_t i = 0; i < count + (size_t)N; i++) {
        const double r = 2.0 * clf_test_random(t) - 1.0;
        const float v = (float)(limit > 0 ? floor(r * limit) : r * sqrt(3.0 / (double)(i < count ? K : 1)));

        if (i >= count) {
            memcpy(stored_bias + (i - count) * sizeof v, &v, sizeof v);
        } else if (dtype == CLF_F32) {
            memcpy(stored + i * item, &v, sizeof v);
        } else {
            const uint16_t h = dtype == CLF_F16 ? clf_f32_to_f16(v) : clf_f32_to_bf16(v);
            memcpy(stored + i * item, &h, sizeof h);
        }
    }
    for (size_t i = 0; i < count; i++)
        w.weight[i] = clf_host_value(stored, dtype, i);
    desc.weight = (clf_host_tensor){ .data = stored, .dtype = dtype, .rank = 2, .dim = { N, K } };
    if (bias) {
        w.bias = clf_test_memory(t, (size_t)N * sizeof(double));
        for (size_t n = 0; n < (size_t)N; n++)
            w.bias[n] = clf_host_value(stored_bias, CLF_F32, n);
        desc.bias = (clf_host_tensor){ .data = stored_bias, .dtype = CLF_F32, .rank = 1, .dim = { N } };
    }
    if (clf_linear_weight_create(ctx, &desc, &w.packed, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return w;
}

static double activate(clf_activation a, double x)
{
    switch (a) {
    case CLF_ACTIVATION_NONE:
        return x;
    case CLF_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case CLF_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case CLF_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case CLF_SILU:
        return x / (1.0 + exp(-x));
    case CLF_RELU:
        return x > 0.0 ? x : 0.0;
    case CLF_RELU2:
        return x > 0.0 ? x * x : 0.0;
    case CLF_TANH:
        return tanh(x);
    }
    return NAN;
}

/* One row after the prologue, and how far its elements may be off. */
static void prologue(clf_test *t, const double *x, int64_t K, const clf_linear_options *o, double *n, double *off)
{
    const double *g = clf_present(o->norm_weight) ? clf_test_given(t, o->norm_weight) : NULL;
    const double *b = clf_present(o->norm_bias) ? clf_test_given(t, o->norm_bias) : NULL;
    const double relative = ((double)K / 16.0 / 2.0 + 25.0) * U;
    double mean = 0.0, square = 0.0, root;

    for (int64_t k = 0; k < K; k++)
        mean += o->prologue == CLF_PROLOGUE_LAYER_NORM ? x[k] / (double)K : 0.0;
    for (int64_t k = 0; k < K; k++)
        square += (x[k] - mean) * (x[k] - mean) / (double)K;
    root = sqrt(square + (double)o->norm_eps);
    for (int64_t k = 0; k < K; k++) {
        const double gain = g == NULL ? 1.0 : g[k] + (o->norm_one_plus ? 1.0 : 0.0);

        n[k] = o->prologue == CLF_PROLOGUE_NONE ? x[k] : (x[k] - mean) / root * gain + (b != NULL ? b[k] : 0.0);
        off[k] =
            o->prologue == CLF_PROLOGUE_NONE
                ? 0.0
                : relative * (fabs(gain) * (fabs(x[k] - mean) + fabs(mean)) / root + (b != NULL ? fabs(b[k]) : 0.0));
    }
}

void clf_ref_linear_run(clf_test *t, clf_tensor x, const clf_ref_linear *w, const clf_linear_options *o, double *want,
                        double *bound)
{
    const int64_t K = w->K, R = clf_row_count(x);
    const double *given = clf_test_given(t, x);
    const double *residual = clf_present(o->residual) ? clf_test_given(t, o->residual) : NULL;
    double *n = clf_test_memory(t, (size_t)K * sizeof *n), *off = clf_test_memory(t, (size_t)K * sizeof *off);

    for (int64_t r = 0; r < R; r++) {
        prologue(t, given + r * K, K, o, n, off);
        for (int64_t c = 0; c < w->N; c++) {
            double sum = w->bias != NULL ? w->bias[c] : 0.0, size = fabs(sum), shift = 0.0, slope, v, e;

            for (int64_t k = 0; k < K; k++) {
                sum += n[k] * w->weight[c * K + k];
                size += fabs(n[k] * w->weight[c * K + k]);
                shift += off[k] * fabs(w->weight[c * K + k]);
            }
            v = activate(o->activation, sum);
            slope = o->activation == CLF_RELU2 ? 2.0 * fabs(sum) + 1e-3 : 1.13;
            e = slope * ((double)(K + 3) * U * size + shift);
            if (o->activation != CLF_ACTIVATION_NONE)
                e += fmax(4e-6 * fabs(v), 1e-7 * fmax(1.0, fabs(sum)));
            if (residual != NULL) {
                const double scale = (double)o->residual_scale;

                e = fabs(scale) * e + U * (fabs(residual[r * w->N + c]) + fabs(scale * v)) * 2.0;
                v = residual[r * w->N + c] + scale * v;
            }
            want[r * w->N + c] = v;
            bound[r * w->N + c] = e + U * fabs(v);
        }
    }
}
