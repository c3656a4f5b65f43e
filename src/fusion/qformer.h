/* The inside of a Q-Former: what qformer_create.c makes and qformer.c runs. */
#ifndef CLF_FUSION_QFORMER_H
#define CLF_FUSION_QFORMER_H

#include <clfusion/qformer.h>

#include "fusion/absorbed_attention.h"
#include "fusion/attention_layer.h"
#include "fusion/feed_forward.h"

typedef struct clf_qformer_layer {
    clf_attention_layer self;
    clf_attention_layer cross; /* q NULL: none */
    clf_feed_forward query_feed_forward, text_feed_forward;
    clf_norm self_norm, cross_norm, query_norm, text_norm;
    clf_absorbed_weights absorbed; /* in an absorbed module */
    int64_t kv_at;                 /* in others: first column of its keys in the product of all layers */
} clf_qformer_layer;

/* Multiply-adds of the weights: of a row of vision, of a row of queries, of a row of text; and of scores and sums of all
 * cross-attention for a row of queries and a row of vision. */
typedef struct clf_qformer_products {
    uint64_t vision, query, text, pair;
} clf_qformer_products;

struct clf_qformer {
    clf_context *ctx;
    int64_t D, M, Dv;
    clf_qformer_layer *layers;
    int32_t layer_count;
    bool absorbed;         /* cross-attention makes no keys and values: fusion/absorbed_attention.h */
    clf_linear_weight *kv; /* otherwise those of all layers */
    clf_norm embedding_norm;
    clf_tensor queries; /* f32 [1, M, D], normalised */

    /* Before they meet vision or text the queries are the same in every call: as the first self-attention and its norm
     * leave them, f32 [1, M, D], and what the first layer's cross-attention asks, absent without one: its q, f32
     * [1, M, H D'], or that of clf_absorbed_ask, f32 [1, H M, Dv]. */
    clf_tensor started, asked;

    clf_tensor words;     /* [V, D]; absent: no text */
    clf_tensor positions; /* [P, D] */
    clf_tensor open;      /* f32 [1, 1, 1, M] of zeros: the mask of the queries as keys */

    /* i32 [1, M + P], groups of the rows as clf_attention takes them: queries 0 and text 1, or text t 1 + t.  With
     * equality of the first blocks do not see each other; with order in the second text sees queries and its past. */
    clf_tensor apart, past;

    clf_qformer_products products;
};

/* Floating-point operations of the graph of a call, what was done beforehand too; N 0: text alone. */
uint64_t clf_qformer_flop(const clf_qformer *q, int64_t B, int64_t N, int64_t T, clf_qformer_objective objective);

#endif
