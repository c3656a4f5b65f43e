/* Q-Former: learned queries in a post-norm BERT, beside text that shares their self-attention. */
#ifndef CLFUSION_QFORMER_H
#define CLFUSION_QFORMER_H

#include <string.h>

#include <clfusion/attention.h>
#include <clfusion/layers.h>

CLF_BEGIN_DECLS

/** What queries and text see of each other. */
typedef enum clf_qformer_objective {
    CLF_QFORMER_ITM = 0, /* all see all: matching, and instructions (InstructBLIP) */
    CLF_QFORMER_ITC = 1, /* queries see queries, text sees text: contrast */
    CLF_QFORMER_ITG = 2  /* queries see queries; text sees the queries and its own past: generation */
} clf_qformer_objective;

typedef struct clf_qformer_layer_desc {
    clf_attention_layer_desc self;
    clf_norm_desc self_norm;        /* after self-attention and its residual */
    clf_attention_layer_desc cross; /* q.weight absent: none in this layer; one layer at least has it */
    clf_norm_desc cross_norm;
    clf_feed_forward_desc query_feed_forward; /* of the queries' rows */
    clf_norm_desc query_norm;
    clf_feed_forward_desc text_feed_forward; /* of the text's rows; up.weight absent: the module takes no text */
    clf_norm_desc text_norm;
} clf_qformer_layer_desc;

/**
 * x = embedding_norm([queries; words + positions]), positions 0 .. T - 1;  each layer
 *
 *     x = norm(x + self(x))
 *     queries = norm(queries + cross(queries, vision))       where there is one
 *     queries = norm(queries + ff_q(queries)),  text = norm(text + ff_t(text))
 *
 * The vision keys and values of all layers are one product; on CPU devices, where M is at most half of a head's width and
 * heads are plain, they are never made: their weights meet the queries (docs/decisions.md, "Attention").
 * Source: Li et al. 2023, arXiv:2301.12597; Dai et al. 2023, arXiv:2305.06500; transformers' Blip2QFormerModel and
 * InstructBlipQFormerModel.
 */
typedef struct clf_qformer clf_qformer;

typedef struct clf_qformer_desc {
    uint32_t struct_size;
    clf_host_tensor queries;             /* [M, D], leading ones allowed */
    clf_host_tensor word_embeddings;     /* [V, D]; absent: no text ids */
    clf_host_tensor position_embeddings; /* [P, D], P the longest text; there when word_embeddings are */
    clf_norm_desc embedding_norm;
    const clf_qformer_layer_desc *layers;
    int32_t layer_count;
    clf_dtype storage; /* of products and of both tables; CLF_DTYPE_NONE: as they are (f64: f32) */
    const clf_tensor_source *source;
} clf_qformer_desc;

/** Nothing set. */
static inline clf_qformer_desc clf_qformer_desc_default(void)
{
    clf_qformer_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Checks the description, packs the weights and waits for it.  *q is the caller's to destroy, before the context; NULL
 * after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_qformer_create(clf_context *ctx, const clf_qformer_desc *desc, clf_qformer **q,
                                                   clf_error *err);
CLF_API void clf_qformer_destroy(clf_qformer *q); /* takes NULL; work in flight must have finished */

CLF_API int64_t clf_qformer_vision_width(const clf_qformer *q);
CLF_API int64_t clf_qformer_width(const clf_qformer *q);   /* D */
CLF_API int64_t clf_qformer_queries(const clf_qformer *q); /* M */
CLF_API int32_t clf_qformer_layers(const clf_qformer *q);

typedef struct clf_qformer_options {
    uint32_t struct_size;
    clf_qformer_objective objective; /* default ITM */
    clf_tensor queries;     /* f32, f16 or bf16 [B, M, D]: in place of the module's, before embedding_norm; absent: the
                             * module's */
    clf_tensor vision_mask; /* f32 [B or 1, 1, 1, N], added to the scores of the vision rows */
    clf_tensor text_mask;   /* f32 [B or 1, 1, 1, T], added to the scores of the text rows as keys */
    clf_unseen unseen;      /* what a row gives that sees no key; default zero */
    clf_tensor weights;     /* f32, dense: the attention of layer `weights_of`, cross [B, H, M, N] or self
                             * [B, H, R, R], R the rows of hidden; absent: not stored */
    int32_t weights_of;
    bool weights_of_self;
} clf_qformer_options;

/** ITM, the module's queries, no masks, zero for what sees nothing, no weights. */
static inline clf_qformer_options clf_qformer_options_default(void)
{
    clf_qformer_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/**
 * vision    [B, N, Dv]  f32, f16 or bf16; absent: text alone (needs T > 0; no queries)
 * text_ids  [B, T]      host memory, read before the call returns; NULL with T = 0: queries alone
 * options   NULL: the defaults
 * hidden    [B, M + T, D] (M alone without text, T alone without vision)  f32; queries first, then text; apart from
 *           vision.  The layers work in it.
 *
 * B and N may be 0.  With the objectives ITC and ITG the queries' rows are what queries alone give, and with ITC the
 * text's rows are what text alone gives.
 * Ownership, threads, errors and the state of hidden after one: as for every operator, clfusion/stream.h;
 * CLF_INVALID_ARGUMENT names position and id of an id outside the vocabulary.
 */
CLF_API void clf_qformer_forward(clf_stream *s, const clf_qformer *q, clf_tensor vision, const int64_t *text_ids,
                                 int64_t T, const clf_qformer_options *options, clf_tensor hidden);

/** The rules without a device, from shapes alone; *hidden receives the shape of the result. */
CLF_API CLF_MUST_USE clf_status clf_qformer_check(const clf_qformer *q, clf_tensor vision, int64_t B, int64_t T,
                                                  const clf_qformer_options *options, clf_tensor *hidden,
                                                  clf_error *err);

CLF_END_DECLS

#endif
