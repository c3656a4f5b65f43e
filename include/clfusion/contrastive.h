/* Contrast of pictures and texts: embeddings of one length, scaled cosines, probabilities, the best texts. */
#ifndef CLFUSION_CONTRASTIVE_H
#define CLFUSION_CONTRASTIVE_H

#include <string.h>

#include <clfusion/layers.h>
#include <clfusion/scores.h>

CLF_BEGIN_DECLS

/**
 * image_embeds = L2(vision.projection(vision.norm(vision))),  text_embeds = L2(text.projection(text.norm(text)))
 * logits = scale image_embeds text_embeds^T + bias,  scores = softmax over the texts, or sigmoid
 *
 * One vector for each picture and text comes in: what a tower's pooling has made.  One module serves CLIP, SigLIP, ALIGN
 * and CoCa.
 * Source: Radford et al. 2021, arXiv:2103.00020; Zhai et al. 2023, arXiv:2303.15343; Jia et al. 2021, arXiv:2102.05918.
 */
typedef struct clf_contrastive clf_contrastive;

typedef struct clf_contrastive_side_desc {
    int64_t width;               /* Dv or Dt of rows that have neither norm nor projection; 0: as these say */
    clf_norm_desc norm;          /* kind none: none */
    clf_linear_layer projection; /* [P, Dv or Dt]; weight absent: none, P is the rows' width */
} clf_contrastive_side_desc;

typedef struct clf_contrastive_desc {
    uint32_t struct_size;
    clf_contrastive_side_desc vision, text;
    float scale; /* default 1; models store its logarithm, ALIGN its reciprocal */
    float bias;
    clf_scores_kind kind;
    float eps;                       /* as clf_l2_norm's; default 0 */
    clf_dtype storage;               /* of the weights on the device; CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source; /* told when host memory has been read; NULL: nobody */
} clf_contrastive_desc;

/** Scale 1, softmax; nothing else set. */
static inline clf_contrastive_desc clf_contrastive_desc_default(void)
{
    clf_contrastive_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.scale = 1.0F;
    return desc;
}

/**
 * Checks the description, packs the weights and waits for it.  Host memory is not needed afterwards.  *m is the caller's
 * to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_contrastive_create(clf_context *ctx, const clf_contrastive_desc *desc,
                                                       clf_contrastive **m, clf_error *err);
CLF_API void clf_contrastive_destroy(clf_contrastive *m); /* takes NULL; work in flight must have finished */

/** Dv, Dt and P; 0 where rows of any width are taken, and of a side without norm, projection and width. */
CLF_API int64_t clf_contrastive_vision_width(const clf_contrastive *m);
CLF_API int64_t clf_contrastive_text_width(const clf_contrastive *m);
CLF_API int64_t clf_contrastive_width(const clf_contrastive *m);

/** What a call reads and writes.  Outputs that are absent are not computed, and what they alone need may be absent. */
typedef struct clf_contrastive_call {
    uint32_t struct_size;
    clf_tensor vision;       /* [I, Dv]  f32, f16 or bf16 */
    clf_tensor text;         /* [J, Dt]  any of these types */
    clf_tensor image_embeds; /* [I, P]   any of these types */
    clf_tensor text_embeds;  /* [J, P]   any of these types */
    clf_tensor logits;       /* [I, J]   any of these types */
    clf_tensor scores;       /* [I, J]   any of these types */
    clf_tensor indices;      /* i32 [I, k], k of 1 to J: the texts of the k largest logits, the largest first; of equal
                              * ones the lower index */
    clf_tensor values;       /* f32 [I, k]: the scores at indices; wants these */
} clf_contrastive_call;

/** Nothing given, nothing wanted. */
static inline clf_contrastive_call clf_contrastive_call_default(void)
{
    clf_contrastive_call call;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    return call;
}

/** The rules of a call without a device or memory: CLF_OK, CLF_INVALID_ARGUMENT or CLF_UNSUPPORTED.  Threads: any. */
CLF_API CLF_MUST_USE clf_status clf_contrastive_check(const clf_contrastive *m, const clf_contrastive_call *call,
                                                      clf_error *err);

/**
 * I and J may be 0.  Outputs may be views, apart from each other and from the inputs.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_contrastive_forward(clf_stream *s, const clf_contrastive *m, const clf_contrastive_call *call);

CLF_END_DECLS

#endif
