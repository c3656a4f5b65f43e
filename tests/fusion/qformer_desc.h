/* A small Q-Former for tests: random weights, cross-attention in the layers 0 and 2, masks with gaps. */
#ifndef CLF_TESTS_QFORMER_DESC_H
#define CLF_TESTS_QFORMER_DESC_H

#include <math.h>
#include <string.h>

#include "fusion/qformer.h"
#include "harness.h"

/* QFORMER_SIZES  of the module; QFORMER_FEW_QUERIES: so few for heads so wide that keys and values are never made. */
#define QFORMER_FEW_QUERIES D = 64, M = 5, DV = 41, F = 20, V = 30, P = 16, HEADS = 2, LAYERS = 3, N = 7, T = 6
#ifndef QFORMER_SIZES
#define QFORMER_SIZES D = 12, M = 5, DV = 10, F = 20, V = 30, P = 16, HEADS = 3, LAYERS = 3, N = 7, T = 6
#endif
enum { QFORMER_SIZES };

typedef struct description {
    clf_qformer_desc desc;
    clf_qformer_layer_desc layers[LAYERS];
} description;

static inline clf_host_tensor host(clf_test *t, clf_dims dims, double scale, double middle)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++)
        count *= (size_t)(h.dim[i] = dims.dim[i]);
    float *values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(middle + (2 * clf_test_random(t) - 1) * scale);
    h.data = values;
    return h;
}

static inline clf_linear_layer layer(clf_test *t, int64_t out, int64_t in)
{
    return (clf_linear_layer){ host(t, CLF_DIMS(out, in), 1.7 / sqrt((double)in), 0), host(t, CLF_DIMS(out), 0.3, 0) };
}

static inline clf_norm_desc norm(clf_test *t)
{
    return (clf_norm_desc){ .kind = CLF_NORM_LAYER,
                            .weight = host(t, CLF_DIMS(D), 0.4, 1),
                            .bias = host(t, CLF_DIMS(D), 0.3, 0),
                            .eps = 1e-12F };
}

static inline clf_attention_layer_desc attention(clf_test *t, int64_t context)
{
    return (clf_attention_layer_desc){
        .q = layer(t, D, D), .k = layer(t, D, context), .v = layer(t, D, context), .out = layer(t, D, D), .heads = HEADS
    };
}

static inline clf_feed_forward_desc feed_forward(clf_test *t)
{
    return (clf_feed_forward_desc){ .up = layer(t, F, D), .down = layer(t, D, F), .activation = CLF_RELU };
}

static inline description *describe(clf_test *t, bool text)
{
    description *d = clf_test_memory(t, sizeof *d);

    d->desc = clf_qformer_desc_default();
    d->desc.queries = host(t, CLF_DIMS(1, M, D), 1, 0);
    d->desc.embedding_norm = norm(t);
    d->desc.layers = d->layers;
    d->desc.layer_count = LAYERS;
    if (text) {
        d->desc.word_embeddings = host(t, CLF_DIMS(V, D), 1, 0);
        d->desc.position_embeddings = host(t, CLF_DIMS(P, D), 1, 0);
    }
    for (int i = 0; i < LAYERS; i++) {
        clf_qformer_layer_desc *l = &d->layers[i];

        *l = (clf_qformer_layer_desc){ .self = attention(t, D), .self_norm = norm(t), .query_norm = norm(t) };
        l->query_feed_forward = feed_forward(t);
        if (i % 2 == 0) {
            l->cross = attention(t, DV);
            l->cross_norm = norm(t);
        }
        if (text) {
            l->text_feed_forward = feed_forward(t);
            l->text_norm = norm(t);
        }
    }
    return d;
}

static inline clf_qformer *create(clf_test *t, const description *d)
{
    clf_qformer *q = NULL;
    clf_error err = { 0 };

    if (clf_qformer_create(t->ctx, &d->desc, &q, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return q;
}

static inline const int64_t *random_ids(clf_test *t, int64_t count)
{
    int64_t *ids = clf_test_memory(t, (size_t)count * sizeof *ids);

    for (int64_t i = 0; i < count; i++)
        ids[i] = (int64_t)(clf_test_random(t) * V);
    return ids;
}

static const bool vision_open[2][N] = { { true, true, false, true, true, false, false },
                                        { false, true, true, true, true, true, true } };
static const bool text_open[2][T] = { { true, true, true, true, true, false },
                                      { true, false, true, true, false, false } };

static inline clf_tensor mask(clf_test *t, const bool *open, int64_t keys)
{
    double values[2 * 32];

    for (int64_t i = 0; i < 2 * keys; i++)
        values[i] = open[i] ? 0 : -INFINITY;
    return clf_test_from(t, CLF_F32, CLF_DIMS(2, 1, 1, keys), values);
}

#endif
