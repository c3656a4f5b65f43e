/* Cross-attention of few queries over many wide rows, with weights absorbed: keys and values are never made.
 *
 *     scores  q_h (x Wk_h^T + bk_h)^T  =  (q_h Wk_h) x^T + what is the same for all keys and goes in the softmax
 *     result  P_h (x Wv_h^T + bv_h)    =  (P_h x) Wv_h^T + bv_h, where a row of P sums up to 1
 *
 * With M queries, N rows of width C and H heads of d this is 2 H M C (2 d + 2 N) operations instead of
 * 4 H d N (C + M): less for M below d when N is large.
 *
 * Source: the absorbed matrices of multi-head latent attention, DeepSeek-AI 2024, arXiv:2405.04434, section 2.1. */
#ifndef CLF_FUSION_ABSORBED_ATTENTION_H
#define CLF_FUSION_ABSORBED_ATTENTION_H

#include "fusion/attention_layer.h"
#include "gemm/gemm.h"

/* What a layer has in place of a weight for keys and values. */
typedef struct clf_absorbed_weights {
    clf_gemm_weight k;    /* [C, d] for each head, Wk_h turned */
    clf_linear_weight *v; /* [H E, C] and its bias, as ever */
} clf_absorbed_weights;

/* Rows that queries of several layers look at, packed for both products of a call, in scratch. */
typedef struct clf_absorbed_context {
    clf_gemm_weight rows, columns;
    clf_tensor mask; /* f32 [B or 1, N] or absent */
} clf_absorbed_context;

/* M queries of such a layer are few enough, and the device can do it.  A choice for the life of a module: were it to
 * depend on the number of pictures or of their rows, equal pictures would have other bits in another batch. */
bool clf_absorbed_pays(const clf_context *ctx, const clf_attention_layer_desc *desc, int64_t M);

/* Of a description that has been checked and pays.  After an error *w owns nothing. */
clf_status clf_absorbed_create(clf_context *ctx, const char *name, const clf_attention_layer_desc *desc,
                               clf_dtype storage, const clf_tensor_source *source, clf_absorbed_weights *w,
                               clf_error *err);
void clf_absorbed_destroy(clf_context *ctx, clf_absorbed_weights *w);

/* x [B, N, C] f32, f16 or bf16; mask f32 [B or 1, 1, 1, N] or absent, as clf_attention takes it. */
clf_absorbed_context clf_absorbed_pack(clf_stream *s, clf_tensor x, clf_tensor mask);

/* a [B, H M, C] = q_h Wk_h for the rows of x [B, M, ..], in scratch. */
clf_tensor clf_absorbed_ask(clf_stream *s, const clf_attention_layer *layer, const clf_absorbed_weights *w,
                            clf_tensor x);

/* y = residual + g act(dense(out(attention(norm(x), context)))), as clf_attention_layer_cross; of `rules` unseen and
 * weights count. */
void clf_absorbed_cross(clf_stream *s, const clf_attention_layer *layer, const clf_absorbed_weights *w, clf_tensor x,
                        const clf_absorbed_context *context, const clf_attention_options *rules, clf_tensor residual,
                        clf_tensor y);

/* The same with what clf_absorbed_ask has made, which stays as it is. */
void clf_absorbed_asked(clf_stream *s, const clf_attention_layer *layer, const clf_absorbed_weights *w, clf_tensor a,
                        const clf_absorbed_context *context, const clf_attention_options *rules, clf_tensor residual,
                        clf_tensor y);

#endif
