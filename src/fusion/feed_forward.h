/* Feed-forward: two products, or three with a gated unit. */
#ifndef CLF_FUSION_FEED_FORWARD_H
#define CLF_FUSION_FEED_FORWARD_H

#include <clfusion/layers.h>

#include "core/error.h"
#include "fusion/norm.h"

typedef struct clf_feed_forward {
    clf_norm norm;
    clf_linear_weight *up; /* gated: [gated; up] in one product.  NULL: the module has no such layer */
    clf_linear_weight *down;
    clf_activation activation;
    bool gated;
    float gate; /* tanh(alpha) of a single alpha; 1 without */
} clf_feed_forward;

/* Everything that a description can break, without a device. */
clf_status clf_feed_forward_check(const char *name, const clf_feed_forward_desc *desc, clf_error *err);

/* Checks, then packs; a description without up.weight makes nothing.  After an error *ff owns nothing. */
clf_status clf_feed_forward_create(clf_context *ctx, const char *name, const clf_feed_forward_desc *desc,
                                   clf_dtype storage, const clf_tensor_source *source, clf_feed_forward *ff,
                                   clf_error *err);
void clf_feed_forward_destroy(clf_context *ctx, clf_feed_forward *ff);

/* y = residual + g down(act(up(norm(x)))); residual absent: none, and modules refuse a gate then.
 * y f32, may be x or the residual. */
void clf_feed_forward_forward(clf_stream *s, const clf_feed_forward *ff, clf_tensor x, clf_tensor residual,
                              clf_tensor y);

/* Multiply-adds of a row. */
uint64_t clf_feed_forward_products(const clf_feed_forward_desc *desc);

#endif
