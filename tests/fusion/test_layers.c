/* The parts that modules share, attention between its projections and feed-forward, against double precision; and the
 * rules of their descriptions. */
#include <math.h>
#include <string.h>

#include "fusion/attention_layer.h"
#include "fusion/feed_forward.h"
#include "fusion/gate.h"
#include "harness.h"

/* ---- host tensors and their products ---- */

static clf_host_tensor host(clf_test *t, clf_dims dims, double scale)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++)
        count *= (size_t)(h.dim[i] = dims.dim[i]);
    float *values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((2 * clf_test_random(t) - 1) * scale);
    h.data = values;
    return h;
}

static clf_linear_layer layer(clf_test *t, int64_t out, int64_t in, bool bias)
{
    clf_linear_layer l = { .weight = host(t, CLF_DIMS(out, in), 2 / sqrt((double)in)) };

    if (bias)
        l.bias = host(t, CLF_DIMS(out), 0.5);
    return l;
}

static clf_norm_desc norm(clf_test *t, clf_norm_kind kind, int64_t width)
{
    clf_norm_desc n = { .kind = kind, .weight = host(t, CLF_DIMS(width), 1.5), .eps = 1e-5F };

    if (kind == CLF_NORM_LAYER)
        n.bias = host(t, CLF_DIMS(width), 0.5);
    return n;
}

static double at(clf_host_tensor h, int64_t i)
{
    return (double)((const float *)h.data)[i];
}

/* y [rows, out] = x W^T + b; an absent layer gives x. */
static double *linear(clf_test *t, const clf_linear_layer *l, const double *x, int64_t rows)
{
    const int64_t out = l->weight.dim[0], in = l->weight.dim[1];

    if (!clf_host_present(l->weight))
        return (double *)(uintptr_t)x;
    double *y = clf_test_memory(t, (size_t)(rows * out) * sizeof *y);
    for (int64_t i = 0; i < rows * out; i++) {
        y[i] = clf_host_present(l->bias) ? at(l->bias, i % out) : 0;
        for (int64_t k = 0; k < in; k++)
            y[i] += x[i / out * in + k] * at(l->weight, i % out * in + k);
    }
    return y;
}

static double *normalised(clf_test *t, const clf_norm_desc *n, const double *x, int64_t rows, int64_t C)
{
    double *y = clf_test_memory(t, (size_t)(rows * C) * sizeof *y);

    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, square = 0;

        for (int64_t c = 0; c < C && n->kind == CLF_NORM_LAYER; c++)
            mean += x[r * C + c] / (double)C;
        for (int64_t c = 0; c < C; c++)
            square += (x[r * C + c] - mean) * (x[r * C + c] - mean) / (double)C;
        for (int64_t c = 0; c < C; c++) {
            y[r * C + c] = x[r * C + c];
            if (n->kind == CLF_NORM_NONE)
                continue;
            y[r * C + c] = (x[r * C + c] - mean) / sqrt(square + (double)n->eps);
            y[r * C + c] *= clf_host_present(n->weight) ? at(n->weight, c) : 1;
            y[r * C + c] += clf_host_present(n->bias) ? at(n->bias, c) : 0;
        }
    }
    return y;
}

static double gate_at(clf_host_tensor alpha, int64_t c)
{
    if (!clf_host_present(alpha))
        return 1;
    return tanh(at(alpha, alpha.dim[alpha.rank - 1] == 1 ? 0 : c));
}

/* ---- references ---- */

static double *reference_attention(clf_test *t, const clf_attention_layer_desc *d, const double *x,
                                   const double *context, int64_t B, int64_t Q, int64_t K)
{
    const int64_t H = d->heads, Hk = d->kv_heads != 0 ? d->kv_heads : H, C = d->q.weight.dim[1];
    const int64_t D = d->q.weight.dim[0] / H, E = d->v.weight.dim[0] / Hk;
    const double scale = d->scale != 0 ? (double)d->scale : 1 / sqrt((double)D);
    const double *q = linear(t, &d->q, normalised(t, &d->norm, x, B * Q, C), B * Q);
    const double *k = linear(t, &d->k, context, B * K), *v = linear(t, &d->v, context, B * K);
    double *a = clf_test_memory(t, (size_t)(B * Q * H * E) * sizeof *a), *p = clf_test_memory(t, (size_t)K * sizeof *p);

    q = normalised(t, &d->q_norm, q, B * Q * H, D);
    k = normalised(t, &d->k_norm, k, B * K * Hk, D);
    memset(a, 0, (size_t)(B * Q * H * E) * sizeof *a);
    for (int64_t row = 0; row < B * Q * H; row++) {
        const int64_t b = row / (Q * H), g = row % H / (H / Hk);
        double sum = 0;

        for (int64_t j = 0; j < K; j++) {
            double score = 0;
            for (int64_t i = 0; i < D; i++)
                score += q[row * D + i] * k[((b * K + j) * Hk + g) * D + i];
            sum += p[j] = exp(scale * score);
        }
        for (int64_t j = 0; j < K; j++)
            for (int64_t e = 0; e < E; e++)
                a[row * E + e] += p[j] / sum * v[((b * K + j) * Hk + g) * E + e];
    }
    return linear(t, &d->dense, linear(t, &d->out, a, B * Q), B * Q);
}

static double *reference_feed_forward(clf_test *t, const clf_feed_forward_desc *d, const double *x, int64_t rows)
{
    const int64_t F = d->up.weight.dim[0];
    const double *in = normalised(t, &d->norm, x, rows, d->up.weight.dim[1]);
    double *up = linear(t, &d->up, in, rows), *gated = linear(t, &d->gated, in, rows);

    for (int64_t i = 0; i < rows * F; i++) {
        const double a = clf_host_present(d->gated.weight) ? gated[i] : up[i];

        up[i] = (clf_host_present(d->gated.weight) ? up[i] : 1) * a / (1 + exp(-a)); /* SiLU */
    }
    return linear(t, &d->down, up, rows);
}

/* y = residual + g value, in place. */
static double *gated_residual(double *value, const double *residual, clf_host_tensor alpha, int64_t rows, int64_t C)
{
    for (int64_t i = 0; i < rows * C; i++)
        value[i] = (residual != NULL ? residual[i] : 0) + gate_at(alpha, i % C) * value[i];
    return value;
}

/* ---- attention ---- */

typedef struct attention_case {
    int64_t C, Cc, H, Hk, D, E;
    clf_norm_kind norm, head_norm;
    bool bias, out, dense;
    int64_t gates; /* 0: none */
} attention_case;

static clf_attention_layer_desc describe(clf_test *t, const attention_case *c)
{
    clf_attention_layer_desc d = {
        .q = layer(t, c->H * c->D, c->C, c->bias),
        .k = layer(t, c->Hk * c->D, c->Cc, c->bias),
        .v = layer(t, c->Hk * c->E, c->Cc, c->bias),
        .heads = (int32_t)c->H,
        .kv_heads = (int32_t)c->Hk,
    };

    if (c->norm != CLF_NORM_NONE)
        d.norm = norm(t, c->norm, c->C);
    if (c->head_norm != CLF_NORM_NONE) {
        d.q_norm = norm(t, c->head_norm, c->D);
        d.k_norm = norm(t, c->head_norm, c->D);
    }
    if (c->out)
        d.out = layer(t, c->C, c->H * c->E, c->bias);
    if (c->dense)
        d.dense = layer(t, c->C, c->C, c->bias);
    if (c->gates != 0)
        d.gate = host(t, CLF_DIMS(1, c->gates), 1);
    return d;
}

static const attention_case cases[] = {
    { 24, 17, 3, 3, 8, 8, CLF_NORM_NONE, CLF_NORM_NONE, true, true, false, 0 },
    { 24, 17, 4, 2, 10, 6, CLF_NORM_LAYER, CLF_NORM_NONE, false, true, false, 1 },
    { 32, 20, 4, 1, 16, 16, CLF_NORM_RMS, CLF_NORM_RMS, false, true, false, 32 },
    { 18, 18, 2, 2, 9, 9, CLF_NORM_LAYER, CLF_NORM_LAYER, true, true, true, 1 },
    { 12, 12, 3, 3, 4, 4, CLF_NORM_LAYER, CLF_NORM_NONE, true, false, false, 0 },
};

static void cross_attention_equals_the_reference(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < 2 * CLF_COUNT(cases); i++) {
        const attention_case *c = &cases[i / 2];
        const clf_attention_layer_desc d = describe(t, c);
        const int64_t B = 2, Q = 5, K = 11, R = clf_attention_layer_result_width(&d);
        const clf_attention_options rules = clf_attention_options_default();
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(B, Q, c->C));
        const clf_tensor context = clf_test_normal(t, CLF_F32, CLF_DIMS(B, K, c->Cc));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, Q, R));
        const bool residual = (i % 2 == 1 || c->gates != 0) && R == c->C;
        clf_attention_layer l;
        clf_error err = { 0 };

        if (clf_attention_layer_create(t->ctx, "layer", &d, CLF_CROSS_ATTENTION, CLF_DTYPE_NONE, NULL, &l, &err) !=
            CLF_OK)
            fail_msg("%s", err.message);
        const clf_scope scope = clf_scope_open(t->stream, NULL, -1);
        const clf_tensor kv = clf_scratch(t->stream, CLF_F32, CLF_DIMS(B, K, clf_attention_layer_kv_width(&l)));

        clf_attention_layer_keys(t->stream, &l, context, kv);
        clf_attention_layer_cross(t->stream, &l, x, kv, &rules, residual ? x : (clf_tensor){ 0 }, y);
        clf_scope_close(t->stream, scope);
        clf_test_close(
            t, y,
            gated_residual(reference_attention(t, &d, clf_test_given(t, x), clf_test_given(t, context), B, Q, K),
                           residual ? clf_test_given(t, x) : NULL, d.gate, B * Q, R),
            1e-4, 2e-5);
        clf_attention_layer_destroy(t->ctx, &l);
    }
}

static void self_attention_equals_the_reference(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        attention_case c = cases[i];
        const int64_t B = 3, T = 7;

        c.Cc = c.C;
        const clf_attention_layer_desc d = describe(t, &c);
        const clf_attention_options rules = clf_attention_options_default();
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(B, T, c.C));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, T, clf_attention_layer_result_width(&d)));
        const double *in = clf_test_given(t, x);
        clf_attention_layer l;
        clf_error err = { 0 };

        if (clf_attention_layer_create(t->ctx, "layer", &d, CLF_SELF_ATTENTION, CLF_DTYPE_NONE, NULL, &l, &err) !=
            CLF_OK)
            fail_msg("%s", err.message);
        clf_attention_layer_self(t->stream, &l, x, &rules, c.gates != 0 ? x : (clf_tensor){ 0 }, y);
        clf_test_close(t, y,
                       gated_residual(reference_attention(t, &d, in, normalised(t, &d.norm, in, B * T, c.C), B, T, T),
                                      c.gates != 0 ? in : NULL, d.gate, B * T, clf_dim(y, -1)),
                       1e-4, 2e-5);
        clf_attention_layer_destroy(t->ctx, &l);
    }
}

/* The keys and values of several layers, each behind a norm of its own, in one product. */
static void shared_keys_equal_those_of_each_layer(void **state)
{
    clf_test *t = *state;
    const attention_case c = { 24, 20, 2, 2, 8, 8, CLF_NORM_NONE, CLF_NORM_NONE, true, true, false, 0 };
    const clf_attention_layer_desc d[3] = { describe(t, &c), describe(t, &c), describe(t, &c) };
    const clf_attention_layer_desc *const layers[] = { &d[0], &d[1], &d[2] };
    const int64_t K = 9, W = 2 * c.H * c.D;

    for (clf_norm_kind kind = CLF_NORM_NONE; kind <= CLF_NORM_RMS; kind++) {
        const clf_norm_desc none = { .kind = CLF_NORM_NONE };
        const clf_norm_desc norms[] = { kind != CLF_NORM_NONE ? norm(t, kind, c.Cc) : none,
                                        kind != CLF_NORM_NONE ? norm(t, kind, c.Cc) : none,
                                        kind != CLF_NORM_NONE ? norm(t, kind, c.Cc) : none };
        const clf_norm bare = clf_norm_bare(&norms[0]);
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(K, c.Cc));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(K, 3 * W));
        clf_linear_options options = clf_linear_options_default();
        clf_linear_weight *kv = NULL;
        clf_error err = { 0 };

        if (clf_kv_weight_create(t->ctx, layers, norms, 3, CLF_DTYPE_NONE, NULL, &kv, &err) != CLF_OK)
            fail_msg("%s", err.message);
        clf_norm_before(&bare, &options);
        clf_linear(t->stream, x, kv, &options, y);
        for (int i = 0; i < 3; i++) {
            const double *in = normalised(t, &norms[i], clf_test_given(t, x), K, c.Cc);

            clf_test_close(t, clf_slice(t->stream, y, 1, i * W, W / 2), linear(t, &d[i].k, in, K), 1e-4, 2e-5);
            clf_test_close(t, clf_slice(t->stream, y, 1, i * W + W / 2, W / 2), linear(t, &d[i].v, in, K), 1e-4, 2e-5);
        }
        clf_linear_weight_destroy(kv);
    }
}

/* ---- feed-forward ---- */

static void feed_forward_equals_the_reference(void **state)
{
    static const int64_t gates[] = { 0, 1, 21 };
    clf_test *t = *state;

    for (size_t i = 0; i < 12; i++) {
        const int64_t C = 21, F = 37, rows = 6;
        clf_feed_forward_desc d = { .norm = norm(t, i % 2 == 0 ? CLF_NORM_LAYER : CLF_NORM_RMS, C),
                                    .up = layer(t, F, C, i % 3 == 0),
                                    .down = layer(t, C, F, i % 3 == 0),
                                    .activation = CLF_SILU };
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, rows / 2, C));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, rows / 2, C));
        const double *in = clf_test_given(t, x);
        clf_feed_forward ff;
        clf_error err = { 0 };

        if (i >= 6)
            d.gated = layer(t, F, C, i % 3 == 0);
        if (gates[i % 3] != 0)
            d.gate = host(t, CLF_DIMS(gates[i % 3]), 1);
        if (clf_feed_forward_create(t->ctx, "ff", &d, CLF_DTYPE_NONE, NULL, &ff, &err) != CLF_OK)
            fail_msg("%s", err.message);
        clf_feed_forward_forward(t->stream, &ff, x, x, y);
        clf_test_close(t, y, gated_residual(reference_feed_forward(t, &d, in, rows), in, d.gate, rows, C), 1e-4, 2e-5);
        clf_feed_forward_destroy(t->ctx, &ff);
    }
}

static void a_closed_gate_keeps_the_residual_bit_for_bit(void **state)
{
    static const float zero[24] = { 0 };
    clf_test *t = *state;

    for (int64_t gates = 1; gates <= 24; gates += 23) {
        clf_attention_layer_desc d = describe(
            t, &(attention_case){ 24, 17, 3, 3, 8, 8, CLF_NORM_LAYER, CLF_NORM_NONE, false, true, false, gates });
        const clf_attention_options rules = clf_attention_options_default();
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 5, 24));
        const clf_tensor context = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 17));
        const clf_tensor kv = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 48));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 5, 24));
        clf_attention_layer l;
        clf_error err = { 0 };

        d.gate.data = zero;
        if (clf_attention_layer_create(t->ctx, "layer", &d, CLF_CROSS_ATTENTION, CLF_DTYPE_NONE, NULL, &l, &err) !=
            CLF_OK)
            fail_msg("%s", err.message);
        clf_attention_layer_keys(t->stream, &l, context, kv);
        clf_attention_layer_cross(t->stream, &l, x, kv, &rules, x, y);
        clf_test_same_bits(t, y, x);
        clf_attention_layer_destroy(t->ctx, &l);
    }
}

/* ---- rules ---- */

static void expect_refused(clf_test *t, const clf_attention_layer_desc *d, const char *text)
{
    clf_attention_layer l;
    clf_error err = { 0 };

    assert_int_not_equal(
        clf_attention_layer_create(t->ctx, "layer", d, CLF_CROSS_ATTENTION, CLF_DTYPE_NONE, NULL, &l, &err), CLF_OK);
    if (strstr(err.message, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, err.message);
    assert_null(l.q);
    assert_null(l.out);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_attention_layer_desc good = describe(t, &cases[1]);
    clf_attention_layer_desc d = good;

    d.heads = 3;
    expect_refused(t, &d, "layer has 3 heads and 2 for keys; want the first a multiple of the second");
    d.heads = 6;
    d.kv_heads = 6;
    expect_refused(t, &d, "layer.q.weight is f32[40, 24]; want a multiple of 6 rows, the heads");
    d = good;
    d.k.weight.dim[0] = 10;
    expect_refused(t, &d, "layer.k.weight is f32[10, 17]; want 20 rows: 2 heads of 10, as q has");
    d = good;
    d.v.weight.dim[0] = 11;
    expect_refused(t, &d, "layer.v.weight is f32[11, 17]; want a multiple of 2 rows");
    d = good;
    d.v.weight.dim[1] = 16;
    expect_refused(t, &d, "layer.v.weight is f32[12, 16]; want 17 columns");
    d = good;
    d.out.weight.dim[1] = 20;
    expect_refused(t, &d, "layer.out.weight is f32[24, 20]; want 24 columns");
    d = good;
    d.gate.dim[1] = 5;
    expect_refused(t, &d, "layer.gate is f32[1, 5]; want [1] or [24]");
    d = good;
    d.gate = host(t, CLF_DIMS(24), 1);
    d.activation = CLF_GELU;
    expect_refused(t, &d, "layer.gate is f32[24] beside an activation; want [1]");
    d = good;
    d.norm.eps = 0;
    expect_refused(t, &d, "layer.norm.eps is 0; want finite, above 0");
    d = good;
    d.norm.weight.dim[0] = 23;
    expect_refused(t, &d, "layer.norm.weight is f32[23]; want [24]");
    d = good;
    d.q.bias = host(t, CLF_DIMS(39), 1);
    expect_refused(t, &d, "layer.q.bias is f32[39]; want [40], the rows of its weight");
    d = good;
    d.out = (clf_linear_layer){ 0 };
    expect_refused(t, &d, "want out before them");
    d = good;
    d.scale = INFINITY;
    expect_refused(t, &d, "layer.scale is inf; want finite, 0 for D^-1/2");
}

/* Shapes without memory behind them: the data were read before anybody had looked. */
static void descriptions_without_data_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_attention_layer_desc good = describe(t, &cases[1]);
    clf_attention_layer_desc d = good;

    d.gate.data = NULL;
    expect_refused(t, &d, "layer.gate is f32[1, 1] without data; want host memory");
    d = good;
    d.gate.rank = CLF_MAX_RANK + 1;
    expect_refused(t, &d, "; want [1] or [24]");
    d = good;
    d.norm.weight.data = NULL;
    d.norm.weight.dtype = CLF_F16;
    expect_refused(t, &d, "layer.norm.weight is f16[24] without data; want host memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(cross_attention_equals_the_reference),
        CLF_TEST(self_attention_equals_the_reference),
        CLF_TEST(shared_keys_equal_those_of_each_layer),
        CLF_TEST(feed_forward_equals_the_reference),
        CLF_TEST(a_closed_gate_keeps_the_residual_bit_for_bit),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(descriptions_without_data_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
