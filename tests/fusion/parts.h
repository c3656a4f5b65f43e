/* Parts of transformer layers of any width from random numbers, in f32, for tests that need modules of a real size. */
#ifndef CLF_TESTS_PARTS_H
#define CLF_TESTS_PARTS_H

#include <math.h>

#include "harness.h"

static inline clf_host_tensor part_numbers(clf_test *t, clf_dims dims, double middle, double spread)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;
    float *values;

    for (int32_t i = 0; i < dims.rank; i++)
        count *= (size_t)(h.dim[i] = dims.dim[i]);
    h.data = values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(middle + spread * (2 * clf_test_random(t) - 1));
    return h;
}

/* Rows of variance 1 give rows of variance 1. */
static inline clf_linear_layer part_linear(clf_test *t, int64_t out, int64_t in)
{
    return (clf_linear_layer){ part_numbers(t, CLF_DIMS(out, in), 0, sqrt(3.0 / (double)in)),
                               part_numbers(t, CLF_DIMS(out), 0, 0.3) };
}

static inline clf_norm_desc part_norm(clf_test *t, int64_t width)
{
    return (clf_norm_desc){ .kind = CLF_NORM_LAYER,
                            .weight = part_numbers(t, CLF_DIMS(width), 1, 0.4),
                            .bias = part_numbers(t, CLF_DIMS(width), 0, 0.3),
                            .eps = 1e-6F };
}

/* Rows of `width` that look at rows of `context`. */
static inline clf_attention_layer_desc part_attention(clf_test *t, int64_t width, int64_t context, int32_t heads)
{
    return (clf_attention_layer_desc){ .q = part_linear(t, width, width),
                                       .k = part_linear(t, width, context),
                                       .v = part_linear(t, width, context),
                                       .out = part_linear(t, width, width),
                                       .heads = heads };
}

static inline clf_feed_forward_desc part_feed_forward(clf_test *t, int64_t width, int64_t inner)
{
    return (clf_feed_forward_desc){ .up = part_linear(t, inner, width),
                                    .down = part_linear(t, width, inner),
                                    .activation = CLF_GELU };
}

/* A Q-Former whose layers share one set of numbers on the host; every second one, the first included, has
 * cross-attention. */
typedef struct part_qformer_sizes {
    int64_t queries, width, inner, vision;
    int32_t layers, heads;
} part_qformer_sizes;

static inline clf_qformer_desc part_qformer(clf_test *t, part_qformer_sizes n)
{
    clf_qformer_layer_desc *layers = clf_test_memory(t, (size_t)n.layers * sizeof *layers);
    clf_qformer_desc d = clf_qformer_desc_default();

    layers[0].self = part_attention(t, n.width, n.width, n.heads);
    layers[0].query_feed_forward = part_feed_forward(t, n.width, n.inner);
    layers[0].self_norm = layers[0].query_norm = part_norm(t, n.width);
    for (int32_t i = 1; i < n.layers; i++)
        layers[i] = layers[0];
    layers[0].cross = part_attention(t, n.width, n.vision, n.heads);
    layers[0].cross_norm = part_norm(t, n.width);
    for (int32_t i = 2; i < n.layers; i += 2)
        layers[i] = layers[0];
    d.queries = part_numbers(t, CLF_DIMS(n.queries, n.width), 0, 1);
    d.embedding_norm = part_norm(t, n.width);
    d.layers = layers;
    d.layer_count = n.layers;
    return d;
}

#endif
