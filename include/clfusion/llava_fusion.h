/* LLaVA's fusion with its own token embedding: projected picture first, then the embedded text. */
#ifndef CLFUSION_LLAVA_FUSION_H
#define CLFUSION_LLAVA_FUSION_H

#include <string.h>

#include <clfusion/projector.h>

CLF_BEGIN_DECLS

/** fused = [projector(vision); text_embed[text_ids]]. */
typedef struct clf_llava_fusion clf_llava_fusion;

typedef struct clf_llava_fusion_desc {
    uint32_t struct_size;
    const clf_projector_desc *projector; /* read by create alone */
    clf_host_tensor text_embed;          /* [V, Dt]; kept on the device in the projector's storage type */
} clf_llava_fusion_desc;

/** Nothing set. */
static inline clf_llava_fusion_desc clf_llava_fusion_desc_default(void)
{
    clf_llava_fusion_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Packs the projector and puts the embedding table on the device.  Host memory is not needed afterwards.  *m is the
 * caller's to destroy, before the context; NULL after an error.  Errors and threads as for clf_projector_create.
 */
CLF_API CLF_MUST_USE clf_status clf_llava_fusion_create(clf_context *ctx, const clf_llava_fusion_desc *desc,
                                                        clf_llava_fusion **m, clf_error *err);

/** Frees the weights; takes NULL.  Work in flight must have finished. */
CLF_API void clf_llava_fusion_destroy(clf_llava_fusion *m);

/**
 * vision    [B, N, Dv]        f32, f16 or bf16
 * text_ids  [B, T]            host memory, read before the call returns; an id outside 0 .. V - 1 is an error of the
 *                             stream that names its position and value
 * fused     [B, N/r + T, Dt]  f32
 *
 * Ownership, threads, errors and the state of fused after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_llava_fusion_forward(clf_stream *s, const clf_llava_fusion *m, clf_tensor vision,
                                      const int64_t *text_ids, int64_t T, clf_tensor fused);

/** The projector inside; it lives as long as m. */
CLF_API const clf_projector *clf_llava_fusion_projector(const clf_llava_fusion *m);

/** y[b, t] = text_embed[text_ids[b, t]] as f32 [B, T, Dt]; the same rules for ids. */
CLF_API void clf_llava_fusion_embed(clf_stream *s, const clf_llava_fusion *m, const int64_t *text_ids, clf_tensor y);

CLF_END_DECLS

#endif
