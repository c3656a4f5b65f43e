/* Projectors: from vision features to the width of the language model. */
#ifndef CLFUSION_PROJECTOR_H
#define CLFUSION_PROJECTOR_H

#include <string.h>

#include <clfusion/activation.h>
#include <clfusion/context.h>
#include <clfusion/linear.h>
#include <clfusion/source.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * tokens = Linear_n(act(... act(Linear_1(norm(merge(vision)))))):
 *
 * merge  r consecutive tokens become one: [B, N, Dv] -> [B, N / r, r Dv]  (compress_ratio; 1: none)
 * norm   LayerNorm over the merged width                                  (norm_weight absent: none)
 * act    between two Linears, never after the last
 *
 * One module serves LLaVA 1.0 and 1.5, LLaVA-NeXT, OneVision, Video-LLaVA, ViP-LLaVA, PaliGemma, Fuyu and Janus.
 * Source: Liu et al. 2023, arXiv:2304.08485 and 2310.03744; transformers' LlavaMultiModalProjector and its kin.
 */
typedef struct clf_projector clf_projector;

#define CLF_PROJECTOR_MAX_LAYERS 16

typedef struct clf_projector_desc {
    uint32_t struct_size;
    int64_t compress_ratio;      /* default 1 */
    clf_host_tensor norm_weight; /* [r Dv] or absent */
    clf_host_tensor norm_bias;
    float norm_eps;      /* default 1e-5 */
    int32_t layer_count; /* 1 to CLF_PROJECTOR_MAX_LAYERS */
    clf_linear_layer layers[CLF_PROJECTOR_MAX_LAYERS];
    clf_activation activation;       /* default CLF_GELU */
    clf_dtype storage;               /* of the weights on the device; CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source; /* told when host memory has been read; NULL: nobody */
} clf_projector_desc;

/** The defaults above; nothing else set. */
static inline clf_projector_desc clf_projector_desc_default(void)
{
    clf_projector_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.compress_ratio = 1;
    desc.norm_eps = 1e-5F;
    desc.activation = CLF_GELU;
    return desc;
}

/**
 * Checks that the layers' widths follow each other, then packs the weights and waits for it.  Host memory is not needed
 * afterwards.  *p is the caller's to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_projector_create(clf_context *ctx, const clf_projector_desc *desc,
                                                     clf_projector **p, clf_error *err);

/** Frees the weights; takes NULL.  Work in flight must have finished. */
CLF_API void clf_projector_destroy(clf_projector *p);

/** The shape of `tokens` (f32) for features of shape `vision`, or the rule they break (CLF_INVALID_ARGUMENT,
 * CLF_UNSUPPORTED; *tokens is then absent); needs no device.  Threads: any. */
CLF_API clf_status clf_projector_check(const clf_projector *p, clf_tensor vision, clf_tensor *tokens, clf_error *err);

/**
 * vision  [..., N, Dv]      f32, f16 or bf16
 * tokens  [..., N / r, Dt]  f32, or the type of vision; may be a view into a longer sequence; no overlap with vision.
 *                           Its memory holds other values, and is read, on the way.
 *
 * Ownership, threads, errors and the state of tokens after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_projector_forward(clf_stream *s, const clf_projector *p, clf_tensor vision, clf_tensor tokens);

/** Dv, of one token before the merge, and Dt. */
CLF_API int64_t clf_projector_vision_width(const clf_projector *p);
CLF_API int64_t clf_projector_text_width(const clf_projector *p);

CLF_END_DECLS

#endif
