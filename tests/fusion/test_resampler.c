/* The resampler against its formula in double, relations between calls that need no tolerance, and refusals.
 *
 * The formula: |a - b| <= 2e-5 max|b| + 1e-4 |b|.  Each layer's sums err by at most (in + 3) u sum|x w|, in at most 48,
 * which norms and softmax pass on with factors of a few; together below 2e-5 max|b| at these widths.  The relative part
 * covers the activations' own bounds (activation.h). */
#include <stdio.h>

#include "resampler_case.h"

/* ---- the formula in double ---- */

typedef struct rows {
    double *at;
    int64_t R, C;
} rows;

static rows rows_new(clf_test *t, int64_t R, int64_t C)
{
    return (rows){ clf_test_memory(t, (size_t)(R * C + 1) * sizeof(double)), R, C };
}

static double value(clf_host_tensor h, int64_t i)
{
    return clf_host_value(h.data, h.dtype, (size_t)i);
}

static rows linear(clf_test *t, const clf_linear_layer *l, rows x)
{
    const rows y = rows_new(t, x.R, l->weight.dim[0]);

    if (!clf_host_present(l->weight))
        return x;
    for (int64_t r = 0; r < y.R; r++)
        for (int64_t o = 0; o < y.C; o++) {
            double sum = clf_host_present(l->bias) ? value(l->bias, o) : 0;

            for (int64_t k = 0; k < x.C; k++)
                sum += x.at[r * x.C + k] * value(l->weight, o * x.C + k);
            y.at[r * y.C + o] = sum;
        }
    return y;
}

static rows normalised(clf_test *t, const clf_norm_desc *n, rows x)
{
    const rows y = rows_new(t, x.R, x.C);

    if (n->kind == CLF_NORM_NONE)
        return x;
    for (int64_t r = 0; r < x.R; r++) {
        const double *a = x.at + r * x.C;
        double mean = 0, square = 0;

        for (int64_t k = 0; k < x.C && n->kind == CLF_NORM_LAYER; k++)
            mean += a[k] / (double)x.C;
        for (int64_t k = 0; k < x.C; k++)
            square += (a[k] - mean) * (a[k] - mean) / (double)x.C;
        for (int64_t k = 0; k < x.C; k++)
            y.at[r * x.C + k] = (a[k] - mean) / sqrt(square + (double)n->eps) * value(n->weight, k) +
                                (clf_host_present(n->bias) ? value(n->bias, k) : 0);
    }
    return y;
}

static double activated(clf_activation activation, double x)
{
    switch (activation) {
    case CLF_RELU:
        return fmax(x, 0);
    case CLF_SILU:
        return x / (1 + exp(-x));
    default:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    }
}

static rows fed_forward(clf_test *t, const clf_feed_forward_desc *f, rows x)
{
    const rows n = normalised(t, &f->norm, x), up = linear(t, &f->up, n), gated = linear(t, &f->gated, n);

    for (int64_t i = 0; i < up.R * up.C; i++)
        up.at[i] = clf_host_present(f->gated.weight) ? activated(f->activation, gated.at[i]) * up.at[i]
                                                     : activated(f->activation, up.at[i]);
    return linear(t, &f->down, up);
}

static rows beside(clf_test *t, rows a, rows b)
{
    const rows y = rows_new(t, a.R + b.R, a.C);

    memcpy(y.at, a.at, (size_t)(a.R * a.C) * sizeof(double));
    memcpy(y.at + a.R * a.C, b.at, (size_t)(b.R * b.C) * sizeof(double));
    return y;
}

/* Each head's part of a row through the norm. */
static rows by_heads(clf_test *t, const clf_norm_desc *n, rows x, int64_t heads)
{
    const rows y = normalised(t, n, (rows){ x.at, x.R * heads, x.C / heads });

    return (rows){ y.at, x.R, x.C };
}

/* weights [H, Q, K], or NULL.  seen [K]: NULL is all; a row that sees nothing sees all alike. */
static rows attended(clf_test *t, const clf_attention_layer_desc *a, rows x, rows c, const bool *seen, double *weights)
{
    const int64_t H = a->heads, Hk = a->kv_heads != 0 ? a->kv_heads : H, D = a->q.weight.dim[0] / H;
    const rows q = by_heads(t, &a->q_norm, linear(t, &a->q, x), H);
    const rows k = by_heads(t, &a->k_norm, linear(t, &a->k, c), Hk), v = linear(t, &a->v, c);
    const rows y = rows_new(t, x.R, H * D);
    bool any = seen == NULL;
    double *p = clf_test_memory(t, (size_t)(c.R + 1) * sizeof *p);

    for (int64_t j = 0; j < c.R && !any; j++)
        any = seen[j];
    for (int64_t i = 0; i < H * x.R; i++) {
        const int64_t h = i / x.R, r = i % x.R, g = h / (H / Hk);
        double sum = 0, largest = -INFINITY;

        for (int64_t j = 0; j < c.R; j++) {
            p[j] = 0;
            for (int64_t d = 0; d < D; d++)
                p[j] += q.at[r * q.C + h * D + d] * k.at[j * k.C + g * D + d];
            p[j] = !any ? 0 : seen == NULL || seen[j] ? p[j] / sqrt((double)D) : -INFINITY;
            largest = fmax(largest, p[j]);
        }
        for (int64_t j = 0; j < c.R; j++)
            sum += p[j] = exp(p[j] - largest);
        for (int64_t d = 0; d < D; d++) {
            double *out = &y.at[r * y.C + h * D + d];

            *out = 0;
            for (int64_t j = 0; j < c.R; j++)
                *out += p[j] / sum * (p[j] == 0 ? 0 : v.at[j * v.C + g * D + d]);
        }
        for (int64_t j = 0; j < c.R && weights != NULL; j++)
            weights[i * c.R + j] = p[j] / sum;
    }
    return linear(t, &a->out, y);
}

static rows added(const clf_resampler_desc *d, rows x, rows y)
{
    for (int64_t i = 0; i < y.R * y.C && d->residual; i++)
        y.at[i] += x.at[i];
    return y;
}

/* Tokens of one picture; weights of layer `of`, of its self-attention where asked for. */
static rows resampled(clf_test *t, const clf_resampler_desc *d, rows vision, const bool *seen, int32_t of, bool of_self,
                      double *weights)
{
    rows x = rows_new(t, d->latents.dim[0], d->latents.dim[1]), c = linear(t, &d->input, vision);
    bool *keys = clf_test_memory(t, (size_t)(vision.R + x.R));

    for (int64_t i = 0; i < vision.R + x.R; i++)
        keys[i] = seen == NULL || i >= vision.R || seen[i];
    for (int64_t i = 0; i < x.R * x.C; i++)
        x.at[i] = value(d->latents, i);
    if (clf_host_present(d->input_feed_forward.up.weight))
        c = fed_forward(t, &d->input_feed_forward, c);
    c = normalised(t, &d->input_norm, c);
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_resampler_layer_desc *l = &d->layers[i];
        rows context = normalised(t, &l->context_norm, c), n;

        if (clf_host_present(l->self.q.weight)) {
            n = normalised(t, &l->self.norm, x);
            x = added(d, x, attended(t, &l->self, n, n, NULL, i == of && of_self ? weights : NULL));
        }
        n = normalised(t, &l->cross.norm, x);
        if (d->latents_in_context)
            context = beside(t, context, n);
        x = added(d, x, attended(t, &l->cross, n, context, keys, i == of && !of_self ? weights : NULL));
        if (clf_host_present(l->feed_forward.up.weight))
            x = added(d, x, fed_forward(t, &l->feed_forward, x));
    }
    return linear(t, &d->output, normalised(t, &d->final_norm, x));
}

/* ---- against the formula ---- */

static void compare(clf_test *t, const char *name, clf_tensor got, const double *want)
{
    const double *is = clf_test_values(t, got);
    const int64_t count = clf_element_count(got);
    double largest = 0;

    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < count; i++) {
        const double bound = 2e-5 * largest + 1e-4 * fabs(want[i]);

        if (!(fabs(is[i] - want[i]) <= bound))
            fail_msg("%s: [%d] is %.9g; want %.9g within %.3g", name, (int)i, is[i], want[i], bound);
        t->worst_share = fmax(t->worst_share, fabs(is[i] - want[i]) / bound);
    }
}

/* Runs a call with the weights of a layer and compares both. */
static void check(clf_test *t, const variant *v, const clf_resampler_desc *d, clf_dtype type, int64_t B, int64_t N,
                  bool masked, int32_t of, bool of_self)
{
    const int64_t K = of_self ? v->M : has(v, IN_CONTEXT) ? N + v->M : N;
    clf_resampler *r = create(t, d);
    clf_resampler_options o = clf_resampler_options_default();
    const clf_tensor vision = clf_test_normal(t, type, CLF_DIMS(B, N, v->Dv));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, v->M, clf_resampler_token_width(r)));
    const double *given = clf_test_given(t, vision);
    bool *seen = clf_test_memory(t, (size_t)(B * N));
    const int64_t size = v->M * clf_resampler_token_width(r), weights_size = v->heads * v->M * K;
    double *want = clf_test_memory(t, (size_t)(B * size) * sizeof *want);
    double *weights = clf_test_memory(t, (size_t)(B * weights_size) * sizeof *weights);

    o.unseen = CLF_UNSEEN_UNIFORM;
    o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(B, v->heads, v->M, K));
    o.weights_of = of;
    o.weights_of_self = of_self;
    if (masked)
        o.mask = mask_tensor(t, B, N, seen);
    for (int64_t b = 0; b < B; b++) {
        const rows x = { (double *)(uintptr_t)(given + b * N * v->Dv), N, v->Dv };
        const rows y = resampled(t, d, x, masked ? seen + b * N : NULL, of, of_self, weights + b * weights_size);

        memcpy(want + b * size, y.at, (size_t)size * sizeof *want);
    }
    clf_resampler_forward(t->stream, r, vision, &o, tokens);
    compare(t, v->name, tokens, want);
    compare(t, v->name, o.weights, weights);
    o.weights = (clf_tensor){ .dtype = CLF_DTYPE_NONE };
    clf_resampler_forward(t->stream, r, vision, &o, tokens); /* the weights are never stored */
    compare(t, v->name, tokens, want);
    assert_int_equal(clf_resampler_vision_width(r), v->Dv);
    assert_int_equal(clf_resampler_tokens(r), v->M);
    assert_int_equal(clf_resampler_layers(r), v->layers);
    clf_resampler_destroy(r);
}

static void every_kind_agrees_with_its_formula(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    static const int64_t batches[] = { 1, 3 }, lengths[] = { 1, 9, 33 };
    clf_test *t = *state;

    for (size_t i = 0; i < VARIANTS * 6; i++) {
        const variant *v = &variants[i % VARIANTS];
        const size_t k = i / VARIANTS;
        const clf_resampler_desc d = describe(t, v);

        check(t, v, &d, types[k % 3], batches[k % 2], lengths[k % 3], false, (int32_t)k % v->layers,
              has(v, SELF) && k % 4 > 1);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

static void hidden_rows_have_no_part(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < VARIANTS; i++) {
        const clf_resampler_desc d = describe(t, &variants[i]);

        check(t, &variants[i], &d, CLF_F32, 3, 9, true, variants[i].layers - 1, false);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* Layers whose norms of the context differ in kind or eps cannot share a product. */
static void norms_that_differ_are_products_apart(void **state)
{
    clf_test *t = *state;
    const variant *v = &variants[FLAMINGO];

    for (int i = 0; i < 3; i++) {
        clf_resampler_desc d = describe(t, v);
        clf_resampler_layer_desc *layers = (clf_resampler_layer_desc *)(uintptr_t)d.layers;

        if (i == 0)
            layers[1].context_norm = norm(t, v, CLF_NORM_RMS, v->Dv);
        else if (i == 1)
            layers[2].context_norm.eps = 0.5F;
        else { /* behind one norm for all, two layers have another */
            d.input_norm = norm(t, v, CLF_NORM_LAYER, v->Dv);
            layers[0].context_norm.kind = CLF_NORM_NONE;
        }
        check(t, v, &d, CLF_F32, 2, 9, false, 1, false);
    }
}

static void lengths_equal_a_mask(void **state)
{
    clf_test *t = *state;
    const variant *v = &variants[EDIFICE];
    const clf_resampler_desc d = describe(t, v);
    static const int32_t lengths[] = { 5, 9, 0 };
    clf_resampler *r = create(t, &d);
    clf_resampler_options o = clf_resampler_options_default();
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 9, v->Dv));
    const clf_tensor a = clf_test_empty(t, CLF_F32, CLF_DIMS(3, v->M, v->D)),
                     b = clf_test_empty(t, CLF_F32, CLF_DIMS(3, v->M, v->D));
    double mask[27];

    for (int i = 0; i < 27; i++)
        mask[i] = i % 9 < lengths[i / 9] ? 0 : -INFINITY;
    o.mask = clf_test_from(t, CLF_F32, CLF_DIMS(3, 1, 1, 9), mask);
    clf_resampler_forward(t->stream, r, vision, &o, a);
    o.mask = (clf_tensor){ .dtype = CLF_DTYPE_NONE };
    o.key_lengths = clf_test_i32(t, CLF_DIMS(3), lengths);
    clf_resampler_forward(t->stream, r, vision, &o, b);
    clf_test_close(t, a, clf_test_values(t, b), 1e-6, 1e-6);
    clf_resampler_destroy(r);
}

/* ---- relations ---- */

static void a_batch_of_three_equals_three_of_one_bit_for_bit(void **state)
{
    clf_test *t = *state;

    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast routes by the sizes and promises no order of additions");
    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        const clf_resampler_desc d = describe(t, v);
        clf_resampler *r = create(t, &d);
        const int64_t Dt = clf_resampler_token_width(r);
        const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 21, v->Dv));
        const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(3, v->M, Dt));
        const clf_tensor each = clf_test_empty(t, CLF_F32, CLF_DIMS(3, v->M, Dt));

        clf_resampler_forward(t->stream, r, vision, NULL, all);
        for (int64_t b = 0; b < 3; b++)
            clf_resampler_forward(t->stream, r, clf_slice(t->stream, vision, 0, b, 1), NULL,
                                  clf_slice(t->stream, each, 0, b, 1));
        clf_test_same_bits(t, all, each);
        clf_resampler_destroy(r);
    }
}

/* Selected away, never multiplied by 0. */
static void hidden_rows_may_be_nan(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        const clf_resampler_desc d = describe(t, v);
        clf_resampler *r = create(t, &d);
        const clf_dims dims = CLF_DIMS(2, v->M, clf_resampler_token_width(r));
        clf_resampler_options o = clf_resampler_options_default();
        const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, v->Dv));
        double *values = clf_test_memory(t, (size_t)(18 * v->Dv) * sizeof *values);
        bool seen[18];
        const clf_tensor a = clf_test_empty(t, CLF_F32, dims), b = clf_test_empty(t, CLF_F32, dims);

        o.mask = mask_tensor(t, 2, 9, seen);
        memcpy(values, clf_test_given(t, vision), (size_t)(18 * v->Dv) * sizeof *values);
        for (int64_t k = 0; k < 18 * v->Dv; k++)
            values[k] = seen[k / v->Dv] ? values[k] : NAN;
        clf_resampler_forward(t->stream, r, vision, &o, a);
        clf_resampler_forward(t->stream, r, clf_test_from(t, CLF_F32, CLF_DIMS(2, 9, v->Dv), values), &o, b);
        clf_test_same_bits(t, a, b);
        assert_true(isfinite(clf_test_values(t, a)[0]));
        clf_resampler_destroy(r);
    }
}

static void a_view_of_a_longer_sequence_is_written_alone(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        const clf_resampler_desc d = describe(t, v);
        clf_resampler *r = create(t, &d);
        const int64_t Dt = clf_resampler_token_width(r);
        const clf_tensor longer = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 12, v->Dv));
        const clf_tensor vision = clf_slice(t->stream, longer, 1, 2, 7);
        const clf_tensor fused = clf_test_integers(t, CLF_F32, CLF_DIMS(2, v->M + 5, Dt), 3);
        const clf_tensor want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, v->M, Dt));
        const clf_tensor half = clf_test_empty(t, CLF_F16, CLF_DIMS(2, v->M, Dt));
        const clf_tensor before = clf_slice(t->stream, fused, 1, 0, 3),
                         after = clf_slice(t->stream, fused, 1, v->M + 3, 2);

        clf_resampler_forward(t->stream, r, vision, NULL, want);
        clf_resampler_forward(t->stream, r, vision, NULL, clf_slice(t->stream, fused, 1, 3, v->M));
        clf_test_same_bits(t, clf_slice(t->stream, fused, 1, 3, v->M), want);
        clf_test_exact(t, before, clf_test_given(t, before));
        clf_test_exact(t, after, clf_test_given(t, after));
        clf_resampler_forward(t->stream, r, vision, NULL, half);
        clf_test_exact(t, half, clf_test_values(t, want)); /* one rounding */
        clf_resampler_destroy(r);
    }
}

static void no_pictures_and_no_rows_are_a_success(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        const clf_resampler_desc d = describe(t, v);
        clf_resampler *r = create(t, &d);
        const int64_t Dt = clf_resampler_token_width(r);
        const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, v->M, Dt));
        const double *values;

        clf_resampler_forward(t->stream, r, clf_tensor_shape(CLF_F32, CLF_DIMS(0, 3, v->Dv)), NULL,
                              clf_tensor_shape(CLF_F32, CLF_DIMS(0, v->M, Dt)));
        clf_resampler_forward(t->stream, r, clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, v->Dv)), NULL, tokens);
        values = clf_test_values(t, tokens);
        for (int64_t k = 0; k < 2 * v->M * Dt; k++)
            assert_true(isfinite(values[k]));
        if (has(v, IN_CONTEXT)) { /* the latents see themselves */
            const rows none = rows_new(t, 0, v->Dv), want = resampled(t, &d, none, NULL, -1, false, NULL);

            compare(t, v->name, clf_slice(t->stream, tokens, 0, 1, 1), want.at);
        }
        clf_resampler_destroy(r);
    }
}

/* ---- refusals ---- */

static void refused_desc(clf_test *t, const clf_resampler_desc *d, clf_status status, const char *message)
{
    clf_resampler *r = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_resampler_create(t->ctx, d, &r, &err), status);
    assert_string_equal(err.message, message);
    assert_null(r);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const variant *v = &variants[FLAMINGO];
    const clf_resampler_desc good = describe(t, v);
    clf_resampler_layer_desc layers[3];
    clf_resampler_desc d = good;

    d.layers = layers;
    d.layer_count = 0;
    refused_desc(t, &d, CLF_INVALID_ARGUMENT, "resampler: layer_count is 0 and layers is set; want at least one layer");
    d = good;
    d.latents = numbers(t, CLF_F32, CLF_DIMS(24), 0, 1);
    refused_desc(t, &d, CLF_INVALID_ARGUMENT, "resampler: latents is f32[24]; want [M, D], both above 0");
    d.latents.rank = 1 << 20; /* dim has six entries */
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: latents is f32[24, 0, 0, 0, 0, 0]; want [M, D], both above 0");
    d = good;
    d.latents = numbers(t, CLF_F32, CLF_DIMS(5, 23), 0, 1);
    refused_desc(
        t, &d, CLF_INVALID_ARGUMENT,
        "resampler: the layers read vision rows of 24; want 23, the width of latents, which stand beside them");
    d.latents_in_context = false;
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: layers[0].cross asks with rows of 24; want 23, the width of latents");
    d = good;
    d.layers = layers;
    memcpy(layers, good.layers, sizeof layers);
    layers[2].cross.out = layer(t, v, 25, 21);
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: layers[2].cross gives rows of 25; want 24, the width of latents");
    memcpy(layers, good.layers, sizeof layers);
    layers[1].cross.q = (clf_linear_layer){ .weight = { .dtype = CLF_DTYPE_NONE } };
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: layers[1].cross.q.weight is none; want [out, in], both above 0");
    memcpy(layers, good.layers, sizeof layers);
    layers[1].feed_forward.down = layer(t, v, 23, 48);
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: layers[1].feed_forward gives rows of 23; want 24, the width of latents");
    d = good;
    d.input = layer(t, v, 23, 20);
    refused_desc(
        t, &d, CLF_INVALID_ARGUMENT,
        "resampler: the layers read vision rows of 23; want 24, the width of latents, which stand beside them");
    d = good;
    d.final_norm.weight = numbers(t, CLF_F32, CLF_DIMS(23), 0, 1);
    refused_desc(t, &d, CLF_INVALID_ARGUMENT, "resampler: final_norm.weight is f32[23]; want [24]");
    d = good;
    d.output = layer(t, v, 8, 23);
    refused_desc(t, &d, CLF_INVALID_ARGUMENT, "resampler: output.weight is f32[8, 23]; want 24 columns");
}

/* Where nothing is added, a single alpha was left out of the result and one for each channel was not. */
static void gates_without_a_residual_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_resampler_desc good = describe(t, &variants[FLAMINGO]);
    const clf_host_tensor alpha = numbers(t, CLF_F32, CLF_DIMS(1), 0, 1);
    clf_resampler_layer_desc layers[3];
    clf_resampler_desc d = good;

    memcpy(layers, good.layers, sizeof layers);
    layers[1].cross.gate = layers[2].feed_forward.gate = alpha;
    d.layers = layers;
    clf_resampler_destroy(create(t, &d));
    d.residual = false;
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: layers[1].cross.gate is f32[1]; want none where there is no residual");
    layers[1].cross.gate.dtype = CLF_DTYPE_NONE;
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: layers[2].feed_forward.gate is f32[1]; want none where there is no residual");
    d = describe(t, &variants[IDEFICS2]);
    d.input_feed_forward.gate = alpha;
    refused_desc(t, &d, CLF_INVALID_ARGUMENT,
                 "resampler: input_feed_forward.gate is f32[1]; want none where there is no residual");
}

static void a_shorter_description_has_defaults_for_the_rest(void **state)
{
    clf_test *t = *state;
    clf_resampler_desc d = describe(t, &variants[FLAMINGO]);
    char message[120];

    d.storage = CLF_I8; /* no type of weights */
    d.struct_size = offsetof(clf_resampler_desc, storage);
    clf_resampler_destroy(create(t, &d));
    d.struct_size = sizeof d + 8;
    snprintf(message, sizeof message, "resampler: struct_size is %zu; want %zu: start from the _default() function",
             sizeof d + 8, sizeof d);
    refused_desc(t, &d, CLF_INVALID_ARGUMENT, message);
}

static void refused_call(clf_test *t, const clf_resampler *r, clf_tensor vision, const clf_resampler_options *o,
                         clf_tensor tokens, const char *message)
{
    clf_resampler_forward(t->stream, r, vision, o, tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, message);
}

static void calls_with_wrong_shapes_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_resampler_desc d = describe(t, &variants[FLAMINGO]), e = describe(t, &variants[EDIFICE]);
    clf_resampler *r = create(t, &d), *edifice = create(t, &e);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 4, 24));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 24));
    const clf_tensor vector = clf_test_i32(t, CLF_DIMS(2), (const int32_t[]){ 1, 2 });
    clf_resampler_options o = clf_resampler_options_default();

    refused_call(t, r, clf_slice(t->stream, vision, 2, 0, 23), NULL, tokens,
                 "resampler: vision is f32[2, 4, 23]; want [B, N, 24]");
    refused_call(t, r, vision, NULL, clf_slice(t->stream, tokens, 1, 0, 4),
                 "resampler: tokens is f32[2, 4, 24]; want f32[2, 5, 24] or the type of vision f32[2, 4, 24]");
    o.mask = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 4));
    refused_call(t, r, vision, &o, tokens, "resampler: mask is f32[2, 4]; want f32[2, 1, 1, 4]");
    o = clf_resampler_options_default();
    o.key_lengths = vector;
    refused_call(t, r, vision, &o, tokens, "resampler: key_lengths is i32[2]; want a mask where latents are keys too");
    o = clf_resampler_options_default();
    o.unseen = CLF_UNSEEN_UNIFORM_BUT_GROUP_0;
    refused_call(t, r, vision, &o, tokens, "resampler: unseen is 2; want zero or uniform");
    o = clf_resampler_options_default();
    o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 5, 4));
    refused_call(t, r, vision, &o, tokens, "resampler: weights is f32[2, 3, 5, 4]; want dense f32[2, 3, 5, 9]");
    o.weights_of = 3;
    refused_call(t, r, vision, &o, tokens, "resampler: weights_of is 3; want 0 to 2, one of the layers");
    o.weights_of = 0;
    o.weights_of_self = true;
    refused_call(t, r, vision, &o, tokens, "resampler: weights_of_self is set; layers[0] has no self-attention");
    refused_call(t, edifice, clf_slice(t->stream, vision, 2, 0, 20), &o, tokens,
                 "resampler: weights is f32[2, 3, 5, 4]; want dense f32[2, 4, 5, 5]");
    clf_tensor shape = clf_tensor_shape(CLF_F32, CLF_DIMS((int64_t)1 << 61, 0, 24));
    assert_int_equal(clf_resampler_check(r, shape, NULL, &shape, NULL), CLF_INVALID_ARGUMENT);
    refused_call(t, r, vision, NULL, clf_slice(t->stream, clf_slice(t->stream, vision, 1, 0, 4), 2, 0, 24),
                 "resampler: tokens is f32[2, 4, 24]; want f32[2, 5, 24] or the type of vision f32[2, 4, 24]");
    clf_resampler_destroy(r);
    clf_resampler_destroy(edifice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(every_kind_agrees_with_its_formula),
        CLF_TEST(hidden_rows_have_no_part),
        CLF_TEST(norms_that_differ_are_products_apart),
        CLF_TEST(lengths_equal_a_mask),
        CLF_TEST(a_batch_of_three_equals_three_of_one_bit_for_bit),
        CLF_TEST(hidden_rows_may_be_nan),
        CLF_TEST(a_view_of_a_longer_sequence_is_written_alone),
        CLF_TEST(no_pictures_and_no_rows_are_a_success),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(gates_without_a_residual_are_refused),
        CLF_TEST(a_shorter_description_has_defaults_for_the_rest),
        CLF_TEST(calls_with_wrong_shapes_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
