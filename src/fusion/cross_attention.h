/* The inside of cross-attention modules, for the layers and for the memory of pictures. */
#ifndef CLF_FUSION_CROSS_ATTENTION_H
#define CLF_FUSION_CROSS_ATTENTION_H

#include <clfusion/cross_attention.h>

#include "fusion/attention_layer.h"
#include "fusion/feed_forward.h"

typedef struct clf_cross_layer {
    clf_attention_layer attention;
    clf_feed_forward feed_forward; /* up NULL: none */
    clf_norm norm;                 /* post-norm: after attention and its residual */
    clf_norm feed_forward_norm;    /* post-norm: after the feed-forward and its residual */
} clf_cross_layer;

struct clf_cross_attention {
    clf_context *ctx;
    clf_cross_form form;
    clf_linear_weight *media_projection; /* NULL: none */
    clf_linear_weight *kv;               /* keys and values of layer 0, of layer 1, ... */
    clf_cross_layer *layers;
    int32_t layer_count;
    int64_t text_width;
    int64_t media_width; /* of what the caller gives */
};

struct clf_visual_memory {
    const clf_cross_attention *c;
    clf_tensor kv; /* [B, room, L Hk (D + E)] */
    int64_t keys;  /* written */
};

/* kv = keys, normalised, and values of media [B, K, Dm] for every layer; kv f32 [B, K, L Hk (D + E)], a view. */
void clf_cross_attention_keys(clf_stream *s, const clf_cross_attention *c, clf_tensor media, clf_tensor kv);

/* Layer 0 alone of a module that may have more, as clf_cross_attention_stack does with all. */
void clf_cross_attention_first(clf_stream *s, const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                               const clf_cross_options *options, clf_tensor hidden);

/* Media [B, K, Dm] of any float type. */
clf_status clf_cross_attention_check_media(const clf_cross_attention *c, int64_t B, clf_tensor media, clf_error *err);

#endif
