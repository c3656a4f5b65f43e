/* Cross-attention modules of random weights, for the tests of fusion/cross_attention. */
#ifndef CLF_TESTS_CROSS_H
#define CLF_TESTS_CROSS_H

#include <math.h>

#include "harness.h"

enum { DT = 24, DM = 20, H = 4, HK = 2, D = 6, E = 5, F = 16, LAYERS = 3 };

/* What a description has. */
enum {
    GATES = 1,        /* one alpha a layer */
    CHANNELS = 2,     /* one alpha a channel */
    FEED_FORWARD = 4, /* with a gate where the attention has one */
    GATED_UNIT = 8,   /* SwiGLU */
    HEAD_NORMS = 16,  /* of queries and keys */
    PROJECTION = 32,  /* of media */
    BIASES = 64,
    WHOLE_NUMBERS = 128 /* keys and values of whole media are exact in half types */
};

typedef struct description {
    clf_cross_layer_desc layers[LAYERS];
    clf_cross_attention_desc desc;
} description;

static inline clf_host_tensor host(clf_test *t, clf_dims dims, bool whole, double middle, double spread)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;
    float *values;

    for (int32_t i = 0; i < dims.rank; i++) {
        h.dim[i] = dims.dim[i];
        count *= (size_t)dims.dim[i];
    }
    h.data = values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        const double value = middle + spread * (2 * clf_test_random(t) - 1);
        values[i] = (float)(whole ? round(value) : value);
    }
    return h;
}

static inline clf_linear_layer linear(clf_test *t, int flags, int64_t out, int64_t in)
{
    const bool whole = (flags & WHOLE_NUMBERS) != 0;
    clf_linear_layer layer = { .weight = host(t, CLF_DIMS(out, in), whole, 0, whole ? 1 : 2 / sqrt((double)in)) };

    if ((flags & BIASES) != 0)
        layer.bias = host(t, CLF_DIMS(out), whole, 0, 1);
    return layer;
}

static inline clf_norm_desc norm(clf_test *t, clf_norm_kind kind, int64_t width)
{
    clf_norm_desc n = { .kind = kind, .eps = 1e-5F, .weight = host(t, CLF_DIMS(width), false, 1, 0.3) };

    if (kind == CLF_NORM_LAYER)
        n.bias = host(t, CLF_DIMS(width), false, 0, 0.5);
    return n;
}

static inline clf_host_tensor gate(clf_test *t, int flags)
{
    if ((flags & CHANNELS) != 0)
        return host(t, CLF_DIMS(1, 1, DT), false, 0, 1.5);
    return (flags & GATES) != 0 ? host(t, CLF_DIMS(1), false, 0.7, 0.2) : (clf_host_tensor){ .data = NULL };
}

static inline void describe_layer(clf_test *t, clf_cross_form form, int flags, clf_cross_layer_desc *l)
{
    const clf_norm_kind kind = form == CLF_CROSS_POST_NORM ? CLF_NORM_LAYER : CLF_NORM_RMS;

    *l = (clf_cross_layer_desc){
        .attention = { .norm = norm(t, kind, DT), .heads = H, .kv_heads = HK },
        .feed_forward = { .activation = CLF_SILU },
    };
    l->attention.q = linear(t, flags, H * D, DT);
    l->attention.k = linear(t, flags, HK * D, DM);
    l->attention.v = linear(t, flags, HK * E, DM);
    l->attention.out = linear(t, flags, DT, H * E);
    l->attention.gate = gate(t, flags);
    if ((flags & HEAD_NORMS) != 0) {
        l->attention.q_norm = norm(t, CLF_NORM_RMS, D);
        l->attention.k_norm = norm(t, CLF_NORM_RMS, D);
    }
    if ((flags & FEED_FORWARD) == 0)
        return;
    l->feed_forward.norm = norm(t, kind, DT);
    l->feed_forward.up = linear(t, flags, F, DT);
    l->feed_forward.down = linear(t, flags, DT, F);
    l->feed_forward.gate = gate(t, flags);
    if ((flags & GATED_UNIT) != 0)
        l->feed_forward.gated = linear(t, flags, F, DT);
}

static inline description *describe(clf_test *t, clf_cross_form form, int flags)
{
    description *d = clf_test_memory(t, sizeof *d);

    d->desc = clf_cross_attention_desc_default();
    d->desc.form = form;
    d->desc.layers = d->layers;
    d->desc.layer_count = LAYERS;
    for (int i = 0; i < LAYERS; i++)
        describe_layer(t, form, flags, &d->layers[i]);
    if ((flags & PROJECTION) != 0)
        d->desc.media_projection = linear(t, flags, DM, 2 * DM);
    return d;
}

static inline clf_cross_attention *create(clf_test *t, const description *d)
{
    clf_cross_attention *c = NULL;
    clf_error err = { 0 };

    if (clf_cross_attention_create(t->ctx, &d->desc, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return c;
}

static inline clf_visual_memory *room(const clf_cross_attention *c, int64_t B, int64_t K, clf_dtype storage)
{
    clf_visual_memory *m = NULL;
    clf_error err = { 0 };

    if (clf_visual_memory_create(c, B, K, storage, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

static inline clf_tensor pictures(clf_test *t, const clf_cross_attention *c, int64_t B, int64_t K)
{
    return clf_test_normal(t, CLF_F32, CLF_DIMS(B, K, clf_cross_attention_media_width(c)));
}

#endif
