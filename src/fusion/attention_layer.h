/* Attention between its projections, the part that all modules with attention share.
 *
 * Keys and values lie side by side in one tensor kv [B, K, Hk (D + E)], keys first, so that one product makes them. */
#ifndef CLF_FUSION_ATTENTION_LAYER_H
#define CLF_FUSION_ATTENTION_LAYER_H

#include <clfusion/attention.h>
#include <clfusion/layers.h>

#include "core/error.h"
#include "fusion/norm.h"

typedef enum clf_attention_kind {
    CLF_SELF_ATTENTION,  /* q, k and v of the same rows: one product */
    CLF_CROSS_ATTENTION, /* k and v of other rows: one product, clf_attention_layer_keys */
    CLF_SHARED_ATTENTION /* as cross; k and v are the module's: clf_kv_weight_create, clf_absorbed_create */
} clf_attention_kind;

typedef struct clf_attention_layer {
    clf_norm norm, q_norm, k_norm;
    clf_linear_weight *q;   /* self: q, k, v */
    clf_linear_weight *kv;  /* cross alone */
    clf_linear_weight *out; /* NULL: none */
    clf_linear_weight *dense;
    clf_activation activation;
    int64_t H, Hk, D, E;
    float scale;
    float gate; /* tanh(alpha) of a single alpha; 1 without.  An alpha per channel is folded into the last weight */
} clf_attention_layer;

/* Widths that follow from a description: of the rows that ask, that answer, and of the result. */
int64_t clf_attention_layer_width(const clf_attention_layer_desc *desc);
int64_t clf_attention_layer_context_width(const clf_attention_layer_desc *desc);
int64_t clf_attention_layer_result_width(const clf_attention_layer_desc *desc);

/* Everything that a description can break, without a device.  `name` stands before messages. */
clf_status clf_attention_layer_check(const char *name, const clf_attention_layer_desc *desc, clf_error *err);

/* Checks, then packs.  After an error *layer owns nothing. */
clf_status clf_attention_layer_create(clf_context *ctx, const char *name, const clf_attention_layer_desc *desc,
                                      clf_attention_kind kind, clf_dtype storage, const clf_tensor_source *source,
                                      clf_attention_layer *layer, clf_error *err);
void clf_attention_layer_destroy(clf_context *ctx, clf_attention_layer *layer);

/* k and v of several layers that read the same rows, one after another: [K, V] of layer 0, of layer 1, ...  norms[i]
 * (kind none: none) stands before layer i's; its weight and bias are folded in, so all have one kind and eps, and the
 * product wants the rows normalised without them. */
clf_status clf_kv_weight_create(clf_context *ctx, const clf_attention_layer_desc *const *layers,
                                const clf_norm_desc *norms, int32_t count, clf_dtype storage,
                                const clf_tensor_source *source, clf_linear_weight **kv, clf_error *err);

int64_t clf_attention_layer_kv_width(const clf_attention_layer *layer); /* Hk (D + E) */

/* kv = [Wk c, Wv c], keys normalised; kv f32, a view. */
void clf_attention_layer_keys(clf_stream *s, const clf_attention_layer *layer, clf_tensor context, clf_tensor kv);

/* The keys of a kv that another product has made, normalised in place. */
void clf_attention_layer_norm_keys(clf_stream *s, const clf_attention_layer *layer, clf_tensor kv);

/* y = residual + g act(dense(out(attention(norm_q(Wq norm(x)), kv)))).  `rules` says what is seen (its scale and norms
 * are set here); residual absent: none, and modules refuse a gate then; y f32 [B, Q, C], may be x or
 * the residual. */
void clf_attention_layer_cross(clf_stream *s, const clf_attention_layer *layer, clf_tensor x, clf_tensor kv,
                               const clf_attention_options *rules, clf_tensor residual, clf_tensor y);

/* Wq norm(x) [.., H D] in scratch; of a self-attention with kv behind it, [.., H D + Hk (D + E)], keys not normalised. */
clf_tensor clf_attention_layer_ask(clf_stream *s, const clf_attention_layer *layer, clf_tensor x);

/* As cross, with the first H D columns that clf_attention_layer_ask has made. */
void clf_attention_layer_asked(clf_stream *s, const clf_attention_layer *layer, clf_tensor q, clf_tensor kv,
                               const clf_attention_options *rules, clf_tensor residual, clf_tensor y);

/* The same among the rows of x [B, T, C]. */
void clf_attention_layer_self(clf_stream *s, const clf_attention_layer *layer, clf_tensor x,
                              const clf_attention_options *rules, clf_tensor residual, clf_tensor y);

/* y = residual + g act(dense(out(a))) of a layer with out, a [B, Q, H E] what attention gives. */
void clf_attention_layer_project(clf_stream *s, const clf_attention_layer *layer, clf_tensor a, clf_tensor residual,
                                 clf_tensor y);

/* Multiply-adds of the weights for one row that asks, and for one row that answers (0 for self: counted with q). */
uint64_t clf_attention_layer_products(const clf_attention_layer_desc *desc);
uint64_t clf_attention_layer_context_products(const clf_attention_layer_desc *desc);

#endif
