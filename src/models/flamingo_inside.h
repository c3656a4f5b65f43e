/* The inside of models with a perceiver and gated layers: flamingo_build.c makes them, flamingo_model.c runs them. */
#ifndef CLF_MODELS_FLAMINGO_INSIDE_H
#define CLF_MODELS_FLAMINGO_INSIDE_H

#include "models/cross_model.h"
#include "models/flamingo_model.h"
#include "models/resampler_model.h"

enum { VISION, TEXT, MEDIA, TEXT_IDS, CROSS_MASK, INPUTS };
enum { TOKENS, HIDDEN, ATTENTION, OUTPUTS };

#define NO_PORT SIZE_MAX

typedef struct clf_flamingo_model {
    clf_model_class model_class; /* its ports are those of the parts that are there */
    size_t in[INPUTS];           /* port of each input; NO_PORT: not there */
    size_t out[OUTPUTS];
    clf_context *ctx;
    clf_resampler *perceiver; /* NULL: none */
    clf_tensor frame_embs;    /* f32 [F, Dv]; absent: none */
    clf_tensor media_embs;    /* f32 [I, Dv] */
    clf_text frame_embs_name, media_embs_name;
    clf_cross_attention *gated;
    clf_flamingo_sight sight;
    bool attention_of_tokens;
    int32_t perceiver_layer; /* whose attention that is */
    clf_resampler_cost perceiver_cost;
    clf_cross_products gated_products;
} clf_flamingo_model;

/* Functions of the class; ports are added to it. */
extern const clf_model_class clf_flamingo_class;

#endif
