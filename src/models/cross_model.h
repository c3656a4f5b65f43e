/* Models that are cross-attention layers: text looks at pictures.  What clfusion's modules and the families share. */
#ifndef CLF_MODELS_CROSS_MODEL_H
#define CLF_MODELS_CROSS_MODEL_H

#include <clfusion/cross_attention.h>

#include "models/family.h"

/* Multiply-adds of layers, as a call's sizes ask for them. */
typedef struct clf_cross_products {
    uint64_t text;  /* of a row of text, all layers */
    uint64_t media; /* of a row of media, all layers */
    uint64_t pair;  /* of a row of text with a row of media: scores and sums of values */
} clf_cross_products;

clf_cross_products clf_cross_products_of(const clf_cross_attention_desc *desc);

/* Operations of a call with B rows of T and K: two for each multiply-add. */
uint64_t clf_cross_flop(const clf_cross_products *products, int64_t B, int64_t T, int64_t K);

/* A description with the builder's source and storage type. */
clf_cross_attention_desc clf_build_cross_desc(const clf_builder *b, clf_cross_form form);

/* Counts the parameters and sets Dt and H. */
clf_status clf_build_cross_facts(const clf_builder *b, const clf_cross_attention_desc *desc, clf_model *m,
                                 clf_error *err);

/* The layers on `media` [B, K, Dm]: all, one after another, with the attention of layer `layer`; or layer 0 alone. */
typedef struct clf_cross_call {
    const clf_cross_attention *layers;
    bool first_alone;
    int32_t layer;
} clf_cross_call;

/* rules: the weights are set here.  hidden [B, T, Dt] of any float type, attention dense f32 [B, H, T, K]; one of them may be
 * absent. */
void clf_cross_model_forward(clf_stream *s, clf_cross_call call, clf_tensor text, clf_tensor media,
                             const clf_cross_options *rules, clf_tensor hidden, clf_tensor attention);

/* The model of clfusion's own modules: `text` [B, T, Dt] and `vision` [B, N, Dv] give `hidden` [B, T, Dt] and the
 * `attention` [B, H, T, N] of the builder's layer.  Optional: `vision_mask` [B, N], and for several pictures, I parts of N
 * or [B, I, M, Dv], `text_ids` [B, T] with media_token_id or `cross_mask` [B, T, I].  Text that sees no vision has
 * attention 0; text that sees no picture by the last two passes a gated layer unchanged. */
clf_status clf_build_cross(const clf_builder *b, const clf_cross_attention_desc *desc, clf_model *m, clf_error *err);

#endif
