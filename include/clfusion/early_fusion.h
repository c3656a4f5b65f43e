/* Early fusion: pictures and text become one sequence before any layer. */
#ifndef CLFUSION_EARLY_FUSION_H
#define CLFUSION_EARLY_FUSION_H

#include <string.h>

#include <clfusion/linear.h>

CLF_BEGIN_DECLS

/**
 * fused = [tokens; words]
 *
 * tokens[n] = picture W^T + b + vision_positions[n] + modalities[0],   picture: patches of pixels, or features
 * words[t]  = text_embed[text_ids[t]]  + text_positions[t]  + modalities[1]
 *
 * Terms without a tensor are left out.
 */
typedef struct clf_early_fusion clf_early_fusion;

typedef struct clf_early_fusion_desc {
    uint32_t struct_size;
    int64_t width;           /* D of both sides */
    clf_linear_layer patch;  /* pixels: weight [D, C, patch, patch], as of a convolution with stride patch; or absent */
    clf_linear_layer vision; /* features: weight [D, Dv]; or absent.  Without either, features are D wide already */
    clf_host_tensor text_embed;       /* [V, D]; absent: text comes embedded */
    clf_host_tensor vision_positions; /* [rows, D] */
    clf_host_tensor text_positions;   /* [rows, D] */
    clf_host_tensor modalities;       /* [2, D]: of pictures, of text */
    clf_dtype storage;                /* of weights and text_embed: CLF_F32, CLF_F16, CLF_BF16; none: as they are */
    const clf_tensor_source *source;  /* told when tensors have been read; NULL: nobody */
} clf_early_fusion_desc;

/** Nothing set. */
static inline clf_early_fusion_desc clf_early_fusion_desc_default(void)
{
    clf_early_fusion_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Packs the weights and puts the tables on the device.  Host memory is not needed afterwards.  *m is the caller's to
 * destroy, before the context; NULL after an error.  Errors and threads as for clf_linear_weight_create.
 */
CLF_API CLF_MUST_USE clf_status clf_early_fusion_create(clf_context *ctx, const clf_early_fusion_desc *desc,
                                                        clf_early_fusion **m, clf_error *err);

/** Frees the weights; takes NULL.  Work in flight must have finished. */
CLF_API void clf_early_fusion_destroy(clf_early_fusion *m);

/**
 * vision  [B, C, H, W] pixels when there is a patch weight, sides divisible by patch; else [B, N, Dv]; f32, f16, bf16
 * tokens  [B, N, D]    f32; may be a view: the first N rows of a longer sequence
 *
 * More tokens than vision_positions has rows are an error: tables are not resized here.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_early_fusion_vision(clf_stream *s, const clf_early_fusion *m, clf_tensor vision, clf_tensor tokens);

/**
 * text      [B, T, D]  embedded already; absent: text_ids are looked up in text_embed
 * text_ids  [B, T]     host memory, read before the call returns; NULL beside text.  An id outside 0 .. V - 1 is an
 *                      error of the stream that names its position and value
 * words     [B, T, D]  f32; may be a view: the last T rows of a longer sequence
 */
CLF_API void clf_early_fusion_text(clf_stream *s, const clf_early_fusion *m, clf_tensor text, const int64_t *text_ids,
                                   clf_tensor words);

/** Visual tokens of a picture or of features of this shape; 0 and an error where it does not fit the weights. */
CLF_API clf_status clf_early_fusion_check(const clf_early_fusion *m, clf_tensor vision, int64_t *tokens,
                                          clf_error *err);

/**
 * fused_mask[b] = [vision_mask[b]; text_mask[b]], 1 where a token is real; a mask that is NULL means all ones.
 * Host memory: [B, N], [B, T], [B, N + T].
 */
CLF_API void clf_early_fusion_mask(const int64_t *vision_mask, const int64_t *text_mask, int64_t B, int64_t N,
                                   int64_t T, int64_t *fused_mask);

CLF_END_DECLS

#endif
