/* A resampler as its two halves know it: resampler_create.c makes it, resampler.c runs it. */
#ifndef CLF_FUSION_RESAMPLER_PARTS_H
#define CLF_FUSION_RESAMPLER_PARTS_H

#include <clfusion/resampler.h>

#include "fusion/attention_layer.h"
#include "fusion/feed_forward.h"

typedef struct clf_resampler_part {
    clf_attention_layer self;  /* self.q NULL: none */
    clf_attention_layer cross; /* latents in the context: q, k and v of the latents, else q */
    clf_feed_forward feed_forward;
    int64_t column; /* of kv */
} clf_resampler_part;

/* Keys and values of the vision rows: of all layers, or of one. */
typedef struct clf_resampler_context {
    clf_norm norm;
    clf_linear_weight *weight;
} clf_resampler_context;

struct clf_resampler {
    clf_context *ctx;
    clf_tensor latents; /* f32 [1, M, D] */
    clf_tensor asked; /* f32 [1, M, q or q k v] of the first layer, which no picture changes; absent: self before it */
    clf_tensor open;  /* f32 [1, 1, 1, M] of zeros: the latents' part of a mask; absent: they are no keys */
    clf_linear_weight *input;
    clf_feed_forward input_feed_forward; /* up NULL: none */
    clf_norm input_norm;
    clf_resampler_part *layers;
    int32_t layer_count;
    clf_resampler_context *context;
    int32_t context_count; /* 1: all layers in one product */
    int64_t columns;       /* W */
    int64_t vision_width;
    bool latents_in_context;
    bool residual;
    clf_norm final_norm;
    clf_linear_weight *output;
};

#endif
