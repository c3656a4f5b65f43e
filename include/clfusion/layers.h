/* What modules are described with: the parts of a transformer layer as a checkpoint has them.  Host tensors are read
 * while the module is created and not needed afterwards. */
#ifndef CLFUSION_LAYERS_H
#define CLFUSION_LAYERS_H

#include <string.h>

#include <clfusion/activation.h>
#include <clfusion/linear.h>
#include <clfusion/norm.h>

CLF_BEGIN_DECLS

/**
 * Attention between projections:  r + g act(dense(out(softmax(scale q k^T) v))),
 *
 * q = norm_q(Wq norm(x)), k = norm_k(Wk c), v = Wv c;  r the residual, where the module has one;  g = tanh(gate).
 *
 * Packed weights (torch's in_proj [3 D, D], a to_kv) are given as the slices that they are.
 */
typedef struct clf_attention_layer_desc {
    clf_norm_desc norm;        /* of the rows that ask; of self-attention also of those that answer */
    clf_linear_layer q;        /* [H D, Cq]; q.weight absent: the module has no such layer */
    clf_linear_layer k;        /* [Hk D, Cc] */
    clf_linear_layer v;        /* [Hk E, Cc] */
    clf_linear_layer out;      /* [C, H E]; absent: none */
    clf_linear_layer dense;    /* [C, C], after out; absent: none */
    clf_activation activation; /* after the last product; default none */
    int32_t heads;             /* H */
    int32_t kv_heads;          /* Hk; 0: H */
    float scale;               /* 0: D^-1/2 */
    clf_norm_desc q_norm;      /* over the D entries of a head */
    clf_norm_desc k_norm;
    clf_host_tensor gate; /* alpha, [1] or [C] (also with leading ones), where there is a residual; absent: g = 1 */
} clf_attention_layer_desc;

/** Feed-forward:  r + g down(act(up(norm(x)))), or with `gated`  r + g down(act(gated(norm(x))) * up(norm(x))). */
typedef struct clf_feed_forward_desc {
    clf_norm_desc norm;
    clf_linear_layer up;    /* [F, C]; up.weight absent: the module has no such layer */
    clf_linear_layer gated; /* [F, C], the half that is activated (SwiGLU's gate_proj); absent: none */
    clf_linear_layer down;  /* [C', F] */
    clf_activation activation;
    clf_host_tensor gate; /* alpha, [1] or [C'] (also with leading ones), where there is a residual; absent: g = 1 */
} clf_feed_forward_desc;

CLF_END_DECLS

#endif
