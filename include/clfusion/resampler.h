/* Resamplers: learned latents that read a picture, layer by layer, and stand for it. */
#ifndef CLFUSION_RESAMPLER_H
#define CLFUSION_RESAMPLER_H

#include <string.h>

#include <clfusion/attention.h>
#include <clfusion/layers.h>

CLF_BEGIN_DECLS

typedef struct clf_resampler_layer_desc {
    clf_attention_layer_desc self;      /* among the latents, before `cross`; q.weight absent: none */
    clf_attention_layer_desc cross;     /* latents to vision; its norm is the latents' */
    clf_norm_desc context_norm;         /* of the vision rows, in this layer */
    clf_feed_forward_desc feed_forward; /* up.weight absent: none */
} clf_resampler_layer_desc;

/**
 * x = latents;  c = input_norm(input_feed_forward(input(vision)));  for each layer
 *
 *     x = x + self(norm x)                                            where there is one
 *     x = x + cross(norm x, [context_norm c; norm x])                 [..; norm x] with latents_in_context
 *     x = x + feed_forward(norm x)                                    where there is one
 *
 * without the x + when `residual` is false;  tokens = output(final_norm x).
 *
 * The keys and values of the vision rows of all layers are one product, each layer's context_norm folded into its
 * weights; weights kept in f16 or bf16 would be rounded once more by that, so there layers with a context_norm have a
 * product each.  The latents' own question, key and value are one product beside them; those of a first layer without
 * `self` are constants, made with the module.  One module serves Flamingo's perceiver (OpenFlamingo, Idefics),
 * Idefics2's, Edifice's, Kosmos-2's and the latent, learned-query and simplified Q-Former compressors.
 * Source: Jaegle et al. 2021, arXiv:2103.03206; Alayrac et al. 2022, arXiv:2204.14198; transformers'
 * IdeficsPerceiverResampler, Idefics2PerceiverResampler, Kosmos2ImageToTextProjection.
 */
typedef struct clf_resampler clf_resampler;

typedef struct clf_resampler_desc {
    uint32_t struct_size;
    clf_host_tensor latents;                  /* [M, D], leading ones allowed; f32 on the device */
    clf_linear_layer input;                   /* [D', Dv]; weight absent: none */
    clf_feed_forward_desc input_feed_forward; /* Idefics2's gated projection; up.weight absent: none */
    clf_norm_desc input_norm;
    const clf_resampler_layer_desc *layers;
    int32_t layer_count;     /* at least 1 */
    bool latents_in_context; /* keys and values of the vision rows, then of the latents */
    bool residual;           /* default true */
    clf_norm_desc final_norm;
    clf_linear_layer output; /* weight absent: none */
    clf_dtype storage;
    const clf_tensor_source *source;
} clf_resampler_desc;

/** `residual`, nothing else set. */
static inline clf_resampler_desc clf_resampler_desc_default(void)
{
    clf_resampler_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.residual = true;
    return desc;
}

/**
 * Checks the description, packs the weights and waits for it.  *r is the caller's to destroy, before the context; NULL
 * after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_resampler_create(clf_context *ctx, const clf_resampler_desc *desc,
                                                     clf_resampler **r, clf_error *err);
CLF_API void clf_resampler_destroy(clf_resampler *r); /* takes NULL; work in flight must have finished */

CLF_API int64_t clf_resampler_vision_width(const clf_resampler *r); /* Dv */
CLF_API int64_t clf_resampler_token_width(const clf_resampler *r);  /* Dt */
CLF_API int64_t clf_resampler_tokens(const clf_resampler *r);       /* M */
CLF_API int32_t clf_resampler_layers(const clf_resampler *r);

typedef struct clf_resampler_options {
    uint32_t struct_size;
    clf_tensor mask;        /* f32 [B, 1, 1, N], added to the scores of the vision rows; latents are always seen */
    clf_tensor key_lengths; /* i32 [B]: vision rows from this number on are hidden; not with latents_in_context */
    clf_unseen unseen;      /* what latents give that see nothing; default zero.  N = 0: zero */
    clf_tensor weights; /* f32 [B, H, M, N or N + M], dense: the attention of layer `weights_of`; absent: not stored */
    int32_t weights_of;
    bool weights_of_self; /* of its self-attention, [B, H, M, M] */
} clf_resampler_options;

/** No mask, zero for what sees nothing, no weights. */
static inline clf_resampler_options clf_resampler_options_default(void)
{
    clf_resampler_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/** The shape of `tokens` (f32) for features of shape `vision`, or the rule they break; needs no device. */
CLF_API CLF_MUST_USE clf_status clf_resampler_check(const clf_resampler *r, clf_tensor vision,
                                                    const clf_resampler_options *options, clf_tensor *tokens,
                                                    clf_error *err);

/**
 * vision   [B, N, Dv]  f32, f16 or bf16
 * options  NULL: the defaults
 * tokens   [B, M, Dt]  f32, or the type of vision; may be a view into a longer sequence; no overlap with vision
 *
 * Masked vision rows do not reach the tokens, not even as NaN.  In the steady state of equal shapes nothing is
 * allocated.
 * Ownership, threads, errors and the state of tokens after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_resampler_forward(clf_stream *s, const clf_resampler *r, clf_tensor vision,
                                   const clf_resampler_options *options, clf_tensor tokens);

CLF_END_DECLS

#endif
