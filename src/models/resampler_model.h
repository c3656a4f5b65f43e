/* Models that are one resampler, and what families need that have one beside other parts. */
#ifndef CLF_MODELS_RESAMPLER_MODEL_H
#define CLF_MODELS_RESAMPLER_MODEL_H

#include <clfusion/resampler.h>

#include "models/family.h"

/* Multiply-adds of a resampler, for FLOP. */
typedef struct clf_resampler_cost {
    uint64_t vision_row; /* of a row of vision */
    uint64_t latent_row; /* of a latent */
    uint64_t pair;       /* of a latent and a key, over all layers */
    uint64_t self_pair;  /* of two latents in self-attention, over all layers */
    int64_t M;
    bool latents_in_context;
} clf_resampler_cost;

/* Of a description that clf_resampler_create has taken. */
clf_resampler_cost clf_resampler_cost_of(const clf_resampler_desc *desc);

/* Floating-point operations of B pictures of N rows. */
uint64_t clf_resampler_flop(const clf_resampler_cost *cost, int64_t B, int64_t N);

/* Counts all parameters.  Bytes as they lie on the device: k and v twice where latents are in the context; what the
 * first layer asks in place of its weight. */
void clf_build_count_resampler(clf_model *m, const clf_resampler_desc *desc);

/* What a model has beside vision -> tokens, attention. */
typedef struct clf_resampler_ports {
    const clf_placeholders *ids; /* text and text_ids -> fused; NULL: no */
    bool vision_mask;            /* [B, N]; a picture without a row seen gives the mean of its values */
} clf_resampler_ports;

/* The model: `vision` [B, N, Dv] -> `tokens` [B, M, Dt] and `attention` [B, H, M, K] of the builder's layer, of its
 * cross-attention unless attention_of is "self". */
clf_status clf_build_resampler(const clf_builder *b, const clf_resampler_desc *desc, clf_resampler_ports ports,
                               clf_model *m, clf_error *err);

/* A description with the builder's source and storage type, and `count` zeroed layers: *layers is the caller's to free
 * with clf_free, after an error too. */
clf_status clf_build_resampler_desc(const clf_builder *b, int32_t count, clf_resampler_desc *desc,
                                    clf_resampler_layer_desc **layers, clf_error *err);

/* Layers of a checkpoint: how many numbers from `first` on make a tensor BEFORE + number + BEHIND; at least 1, and as
 * many as `key` says where it is given. */
clf_status clf_build_layer_count(const clf_builder *b, const char *before, int32_t first, const char *behind,
                                 const char *key, int32_t *count, clf_error *err);

/* Names of the projections of an attention, behind its own; out NULL: none. */
typedef struct clf_projection_names {
    const char *q, *k, *v, *out;
} clf_projection_names;

/* NAME + q, ... : weights, biases of q, k and v with `bias`, of out with `out_bias`.  The rows that ask are `width`
 * wide, those that answer `context`; width is also the result's where there is out. */
clf_status clf_build_projections(const clf_builder *b, const char *name, const clf_projection_names *names, bool bias,
                                 bool out_bias, int64_t width, int64_t context, clf_attention_layer_desc *attention,
                                 clf_error *err);

#endif
