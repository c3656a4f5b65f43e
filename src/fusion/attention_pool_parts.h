/* An attention pool as its two halves know it: attention_pool_create.c makes it, attention_pool.c runs it. */
#ifndef CLF_FUSION_ATTENTION_POOL_PARTS_H
#define CLF_FUSION_ATTENTION_POOL_PARTS_H

#include <clfusion/attention_pool.h>

#include "fusion/attention_layer.h"
#include "fusion/feed_forward.h"

struct clf_attention_pool {
    clf_context *ctx;
    int64_t Dv, C, M, Dt, R; /* R: the width of a */
    bool mean;               /* no queries: the mean of the rows asks */
    bool positions_of_call, feed_forward_residual;
    clf_tensor queries;   /* f32 [1, M, H D], projected */
    clf_tensor zero;      /* f32 [1], with the mean: the query that sees all rows alike */
    clf_tensor positions; /* f32 [1, N, C] or absent */
    clf_linear_weight *input;
    clf_norm input_norm;
    clf_linear_weight *k, *v; /* where keys have positions; else attention.kv makes both */
    clf_attention_layer attention;
    clf_feed_forward feed_forward;
    clf_norm output_norm;
    clf_linear_weight *output;
};

#endif
