/* Attention pools: a picture read once by fixed queries. */
#ifndef CLFUSION_ATTENTION_POOL_H
#define CLFUSION_ATTENTION_POOL_H

#include <string.h>

#include <clfusion/attention.h>
#include <clfusion/layers.h>

CLF_BEGIN_DECLS

/**
 * c = input_norm(input(vision));  q = query_projection(norm(queries) + query_positions)
 * a = attention(q, keys key_projection(c + positions), values value_projection(c))
 * a = feed_forward(norm(a)), with a + before it unless feed_forward_residual is false
 * tokens = output(output_norm(a)), or output_norm(a) @ projection
 *
 * Without queries there is one, the mean of the rows, which also stands before them:  c = [mean(c); c] + positions,
 * and attention(c_0, keys c, values c).
 *
 * The projected queries are the same for every picture, so they are computed when the module is made.  One module
 * serves the resamplers of Qwen-VL and MiniCPM-V, Aria's projector, and the pooling heads of SigLIP, CLIP's ResNets and
 * CoCa.
 * Source: Bai et al. 2023, arXiv:2308.12966; Yao et al. 2024, arXiv:2408.01800; transformers' AriaProjector and
 * SiglipMultiheadAttentionPoolingHead; Radford et al. 2021, arXiv:2103.00020; Yu et al. 2022, arXiv:2205.01917.
 */
typedef struct clf_attention_pool clf_attention_pool;

typedef struct clf_attention_pool_desc {
    uint32_t struct_size;
    clf_host_tensor queries;           /* [M, C], leading ones allowed; absent: the mean of the rows */
    clf_host_tensor query_positions;   /* [M, C]; absent: none */
    clf_linear_layer query_projection; /* [C, C]; weight absent: none */

    clf_linear_layer input; /* [C, Dv]; weight absent: none */
    clf_norm_desc input_norm;
    clf_host_tensor positions;      /* [N, C], with the mean [N + 1, C], its own first; absent: none */
    bool positions_of_call;         /* each call may give positions, and must where the module has none */
    clf_host_tensor key_projection; /* [C', C], before the attention's own; both or none.  Each is multiplied with it,
                                     * in f32, when the module is made */
    clf_host_tensor value_projection;

    clf_attention_layer_desc attention; /* its norm is the queries' */
    clf_feed_forward_desc feed_forward; /* up.weight absent: none */
    bool feed_forward_residual;         /* default true */
    clf_norm_desc output_norm;
    clf_linear_layer output;    /* [Dt, C]; weight absent: none */
    clf_host_tensor projection; /* [C, Dt], in place of output: applied from the right; absent: none */
    clf_dtype storage;
    const clf_tensor_source *source;
} clf_attention_pool_desc;

/** feed_forward_residual, nothing else set. */
static inline clf_attention_pool_desc clf_attention_pool_desc_default(void)
{
    clf_attention_pool_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.feed_forward_residual = true;
    return desc;
}

/**
 * Checks the description, packs the weights, projects the queries and waits for it.  Host memory is not needed
 * afterwards.  *p is the caller's to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_attention_pool_create(clf_context *ctx, const clf_attention_pool_desc *desc,
                                                          clf_attention_pool **p, clf_error *err);
CLF_API void clf_attention_pool_destroy(clf_attention_pool *p); /* takes NULL; work in flight must have finished */

CLF_API int64_t clf_attention_pool_vision_width(const clf_attention_pool *p);
CLF_API int64_t clf_attention_pool_token_width(const clf_attention_pool *p);
CLF_API int64_t clf_attention_pool_tokens(const clf_attention_pool *p); /* M; 1 for the mean */
CLF_API int64_t clf_attention_pool_heads(const clf_attention_pool *p);  /* H */

typedef struct clf_attention_pool_options {
    uint32_t struct_size;
    int64_t queries;        /* use the first so many; 0: all */
    clf_tensor positions;   /* f32 [B or 1, N, C] in place of the module's; absent: the module's */
    clf_tensor mask;        /* f32 [B or 1, H or 1, M or 1, N], added to the scores; not with the mean */
    clf_tensor key_lengths; /* i32 [B]: rows from this number on are hidden; not with the mean */
    clf_unseen unseen;      /* default zero */
    clf_tensor weights;     /* f32 [B, H, M, N or N + 1], dense: receives the attention; absent: not stored */
} clf_attention_pool_options;

/** All queries, the module's positions, all rows seen. */
static inline clf_attention_pool_options clf_attention_pool_options_default(void)
{
    clf_attention_pool_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/** The shape of `tokens` (f32) for features of shape `vision`, or the rule they break; needs no device. */
CLF_API CLF_MUST_USE clf_status clf_attention_pool_check(const clf_attention_pool *p, clf_tensor vision,
                                                         const clf_attention_pool_options *options, clf_tensor *tokens,
                                                         clf_error *err);

/**
 * vision   [B, N, Dv]  f32, f16 or bf16
 * options  NULL: the defaults
 * tokens   [B, M, Dt]  f32, or the type of vision; may be a view; no overlap with vision
 *
 * B and N may be 0: the attention to no rows is 0, and so is their mean.  In the steady state of equal shapes nothing is
 * allocated.
 * Ownership, threads, errors and the state of tokens after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_attention_pool_forward(clf_stream *s, const clf_attention_pool *p, clf_tensor vision,
                                        const clf_attention_pool_options *options, clf_tensor tokens);

CLF_END_DECLS

#endif
