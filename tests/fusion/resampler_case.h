/* Descriptions of resamplers for their tests, one of each kind, small and with sizes that fit no vector. */
#ifndef CLF_TESTS_RESAMPLER_CASE_H
#define CLF_TESTS_RESAMPLER_CASE_H

#include <math.h>
#include <string.h>

#include "harness.h"

enum {
    SELF = 1 << 0,
    IN_CONTEXT = 1 << 1,
    NO_RESIDUAL = 1 << 2,
    NO_OUT = 1 << 3,
    NO_FF = 1 << 4,
    BIASES = 1 << 5,
    QK_NORM = 1 << 6,
    INPUT = 1 << 7,
    INPUT_FF = 1 << 8,
    OUTPUT = 1 << 9,
    GATED = 1 << 10
};

#define NONE CLF_NORM_NONE
#define LN CLF_NORM_LAYER
#define RMS CLF_NORM_RMS

typedef struct variant {
    const char *name;
    clf_dtype dtype; /* of the weights */
    int64_t Dv, D, M;
    int32_t layers, heads, kv_heads, width; /* of a head */
    uint32_t is;
    clf_activation activation;
    clf_norm_kind norm, context_norm, final_norm, input_norm;
} variant;

enum {
    FLAMINGO,
    IDEFICS,
    IDEFICS2,
    KOSMOS,
    EDIFICE,
    LATENTS,
    HEADS_ALONE,
    EVERYTHING,
    VISION_NORMS,
    GROUPED,
    VARIANTS
};

static const variant variants[VARIANTS] = {
    { "flamingo", CLF_F32, 24, 24, 5, 3, 3, 0, 7, IN_CONTEXT, CLF_GELU, LN, LN, LN, NONE },
    { "idefics", CLF_F16, 20, 20, 6, 2, 2, 0, 12, IN_CONTEXT | QK_NORM, CLF_RELU, LN, LN, LN, NONE },
    { "idefics2", CLF_BF16, 18, 16, 7, 2, 4, 1, 6, IN_CONTEXT | INPUT_FF | GATED, CLF_SILU, RMS, RMS, RMS, NONE },
    { "kosmos", CLF_F32, 20, 24, 6, 1, 4, 0, 6, IN_CONTEXT | NO_RESIDUAL | NO_FF | BIASES | INPUT, CLF_GELU, NONE, NONE,
      NONE, NONE },
    { "edifice", CLF_F32, 20, 24, 5, 2, 4, 0, 6, SELF | NO_OUT | NO_FF | BIASES | INPUT, CLF_GELU, LN, NONE, NONE,
      NONE },
    { "latents", CLF_F16, 17, 21, 7, 3, 3, 0, 7, NO_RESIDUAL | NO_FF, CLF_GELU, NONE, NONE, NONE, NONE },
    { "heads alone", CLF_F32, 17, 21, 4, 2, 3, 0, 7, NO_RESIDUAL | NO_OUT | NO_FF, CLF_GELU, NONE, NONE, LN, NONE },
    { "everything", CLF_F32, 18, 20, 6, 2, 4, 2, 5, SELF | BIASES | QK_NORM | INPUT | INPUT_FF | OUTPUT | GATED,
      CLF_SILU, LN, RMS, LN, LN },
    { "norm of vision", CLF_F32, 18, 12, 6, 2, 2, 0, 6, NO_FF | OUTPUT, CLF_GELU, NONE, NONE, NONE, LN },
    { "one head of keys, self beside context", CLF_F32, 20, 20, 5, 3, 4, 1, 5, SELF | IN_CONTEXT, CLF_RELU, RMS, LN,
      NONE, NONE },
};

static inline bool has(const variant *v, uint32_t flag)
{
    return (v->is & flag) != 0;
}

/* Numbers around `mean`, rounded to the type. */
static inline clf_host_tensor numbers(clf_test *t, clf_dtype dtype, clf_dims dims, double mean, double spread)
{
    clf_host_tensor h = { NULL, dtype, dims.rank, { 0 } };
    size_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++) {
        h.dim[i] = dims.dim[i];
        count *= (size_t)dims.dim[i];
    }
    char *data = clf_test_memory(t, count * clf_dtype_bytes(dtype));
    for (size_t i = 0; i < count; i++) {
        const float value = (float)(mean + spread * (2 * clf_test_random(t) - 1));
        const uint16_t half = dtype == CLF_F16 ? clf_f32_to_f16(value) : clf_f32_to_bf16(value);

        memcpy(data + i * clf_dtype_bytes(dtype), dtype == CLF_F32 ? (const void *)&value : (const void *)&half,
               clf_dtype_bytes(dtype));
    }
    h.data = data;
    return h;
}

static inline clf_linear_layer layer(clf_test *t, const variant *v, int64_t out, int64_t in)
{
    clf_linear_layer l = { .weight = numbers(t, v->dtype, CLF_DIMS(out, in), 0, sqrt(3.0 / (double)in)) };

    if (has(v, BIASES))
        l.bias = numbers(t, v->dtype, CLF_DIMS(out), 0, 1);
    return l;
}

static inline clf_norm_desc norm(clf_test *t, const variant *v, clf_norm_kind kind, int64_t width)
{
    clf_norm_desc n = { .kind = kind, .eps = 0.01F };

    if (kind != CLF_NORM_NONE)
        n.weight = numbers(t, v->dtype, CLF_DIMS(width), 1, 0.5);
    if (kind == CLF_NORM_LAYER)
        n.bias = numbers(t, v->dtype, CLF_DIMS(width), 0, 0.5);
    return n;
}

static inline clf_attention_layer_desc attention(clf_test *t, const variant *v, int64_t C, int32_t kv_heads)
{
    const int64_t inner = (int64_t)v->heads * v->width, kv = (kv_heads != 0 ? kv_heads : v->heads) * (int64_t)v->width;
    clf_attention_layer_desc a = { .heads = v->heads, .kv_heads = kv_heads };

    a.norm = norm(t, v, v->norm, v->D);
    a.q = layer(t, v, inner, v->D);
    a.k = layer(t, v, kv, C);
    a.v = layer(t, v, kv, C);
    if (!has(v, NO_OUT))
        a.out = layer(t, v, v->D, inner);
    if (has(v, QK_NORM)) {
        a.q_norm = norm(t, v, CLF_NORM_LAYER, v->width);
        a.k_norm = norm(t, v, CLF_NORM_LAYER, v->width);
    }
    return a;
}

static inline clf_feed_forward_desc feed_forward(clf_test *t, const variant *v, clf_norm_kind kind, int64_t in,
                                                 int64_t out)
{
    clf_feed_forward_desc f = { .activation = v->activation };

    f.norm = norm(t, v, kind, in);
    f.up = layer(t, v, 2 * in, in);
    if (has(v, GATED))
        f.gated = layer(t, v, 2 * in, in);
    f.down = layer(t, v, out, 2 * in);
    return f;
}

/* Lives until the test ends. */
static inline clf_resampler_desc describe(clf_test *t, const variant *v)
{
    clf_resampler_layer_desc *layers = clf_test_memory(t, (size_t)v->layers * sizeof *layers);
    clf_resampler_desc d = clf_resampler_desc_default();
    int64_t C = v->Dv;

    memset(layers, 0, (size_t)v->layers * sizeof *layers);
    d.latents = numbers(t, v->dtype, CLF_DIMS(v->M, v->D), 0, 2);
    if (has(v, INPUT)) {
        d.input = layer(t, v, has(v, INPUT_FF) ? v->Dv + 3 : v->D, C);
        C = d.input.weight.dim[0];
    }
    if (has(v, INPUT_FF)) {
        d.input_feed_forward = feed_forward(t, v, CLF_NORM_NONE, C, v->D);
        C = v->D;
    }
    d.input_norm = norm(t, v, v->input_norm, C);
    for (int32_t i = 0; i < v->layers; i++) {
        if (has(v, SELF))
            layers[i].self = attention(t, v, v->D, 0);
        layers[i].cross = attention(t, v, C, v->kv_heads);
        layers[i].context_norm = norm(t, v, v->context_norm, C);
        if (!has(v, NO_FF))
            layers[i].feed_forward = feed_forward(t, v, v->norm, v->D, v->D);
    }
    d.layers = layers;
    d.layer_count = v->layers;
    d.latents_in_context = has(v, IN_CONTEXT);
    d.residual = !has(v, NO_RESIDUAL);
    d.final_norm = norm(t, v, v->final_norm, v->D);
    if (has(v, OUTPUT))
        d.output = layer(t, v, v->D + 2, v->D);
    return d;
}

static inline clf_resampler *create(clf_test *t, const clf_resampler_desc *d)
{
    clf_resampler *r = NULL;
    clf_error err = { 0 };

    if (clf_resampler_create(t->ctx, d, &r, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return r;
}

/* Which rows are seen: a hole in the first picture, no end in the second, nothing at all in the third. */
static inline bool is_seen(int64_t b, int64_t n, int64_t N)
{
    return b % 3 == 0 ? n != 1 : b % 3 == 1 && n < N - 2;
}

static inline clf_tensor mask_tensor(clf_test *t, int64_t B, int64_t N, bool *seen)
{
    double *values = clf_test_memory(t, (size_t)(B * N) * sizeof *values);

    for (int64_t i = 0; i < B * N; i++) {
        seen[i] = is_seen(i / N, i % N, N);
        values[i] = seen[i] ? 0 : -INFINITY;
    }
    return clf_test_from(t, CLF_F32, CLF_DIMS(B, 1, 1, N), values);
}

#endif
