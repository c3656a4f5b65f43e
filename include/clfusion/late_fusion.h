/* Late fusion: each modality pooled to one vector and projected, the two merged and classified. */
#ifndef CLFUSION_LATE_FUSION_H
#define CLFUSION_LATE_FUSION_H

#include <string.h>

#include <clfusion/layers.h>

CLF_BEGIN_DECLS

/** One vector of the rows x [N, C] of a modality. */
typedef enum clf_late_pool {
    CLF_LATE_POOL_MEAN = 0,     /* their mean */
    CLF_LATE_POOL_CLS = 1,      /* the first */
    CLF_LATE_POOL_ATTENTION = 2 /* sum of softmax(x query / sqrt(C)) x */
} clf_late_pool;

typedef enum clf_late_merge {
    CLF_LATE_MERGE_CONCAT = 0, /* [image_embeds, text_embeds], 2 D wide */
    CLF_LATE_MERGE_ADD = 1     /* image_embeds + text_embeds */
} clf_late_merge;

/**
 * image_embeds = vision.projection(pool(vision)),  text_embeds = text.projection(pool(text))
 * fused = merge(image_embeds, text_embeds),  logits = classifier(fused)
 */
typedef struct clf_late_fusion clf_late_fusion;

typedef struct clf_late_side_desc {
    clf_linear_layer projection; /* [D, C]; D of both sides is one */
    clf_host_tensor query;       /* [C], with CLF_LATE_POOL_ATTENTION alone */
} clf_late_side_desc;

typedef struct clf_late_fusion_desc {
    uint32_t struct_size;
    clf_late_pool pool;
    clf_late_merge merge;
    clf_late_side_desc vision, text;
    clf_linear_layer classifier;     /* [classes, 2 D or D]; weight absent: none */
    clf_dtype storage;               /* of the weights on the device; CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source; /* told when host memory has been read; NULL: nobody */
} clf_late_fusion_desc;

/** Mean, concatenation; nothing else set. */
static inline clf_late_fusion_desc clf_late_fusion_desc_default(void)
{
    clf_late_fusion_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Checks the description, packs the weights and waits for it.  Host memory is not needed afterwards.  *m is the caller's
 * to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_late_fusion_create(clf_context *ctx, const clf_late_fusion_desc *desc,
                                                       clf_late_fusion **m, clf_error *err);
CLF_API void clf_late_fusion_destroy(clf_late_fusion *m); /* takes NULL; work in flight must have finished */

CLF_API int64_t clf_late_fusion_vision_width(const clf_late_fusion *m); /* Dv */
CLF_API int64_t clf_late_fusion_text_width(const clf_late_fusion *m);   /* Dt */
CLF_API int64_t clf_late_fusion_width(const clf_late_fusion *m);        /* D */
CLF_API int64_t clf_late_fusion_fused_width(const clf_late_fusion *m);  /* 2 D or D */
CLF_API int64_t clf_late_fusion_classes(const clf_late_fusion *m);      /* 0: no classifier */

/** What a call reads and writes.  Outputs that are absent are not computed, and what they alone need may be absent. */
typedef struct clf_late_fusion_call {
    uint32_t struct_size;
    clf_tensor vision; /* [B, N, Dv]  f32, f16 or bf16 */
    clf_tensor
        vision_mask;      /* f32 [B, N], added to the scores of a pool: 0 keeps a row, -inf hides it; absent: all seen.
                              * CLF_LATE_POOL_CLS takes the first row whatever it says */
    clf_tensor text;      /* [B, T, Dt]  any of these types */
    clf_tensor text_mask; /* f32 [B, T] */
    clf_tensor image_embeds; /* [B, D]      any of these types, as all outputs; not normalised */
    clf_tensor text_embeds;  /* [B, D] */
    clf_tensor fused;        /* [B, 2 D or D] */
    clf_tensor logits;       /* [B, classes] */
} clf_late_fusion_call;

/** Nothing given, nothing wanted. */
static inline clf_late_fusion_call clf_late_fusion_call_default(void)
{
    clf_late_fusion_call call;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    return call;
}

/** The rules of a call without a device or memory: CLF_OK, CLF_INVALID_ARGUMENT or CLF_UNSUPPORTED.  Threads: any. */
CLF_API CLF_MUST_USE clf_status clf_late_fusion_check(const clf_late_fusion *m, const clf_late_fusion_call *call,
                                                      clf_error *err);

/**
 * B may be 0.  Mean and attention of no rows, or of rows that are all hidden, are 0; CLS wants a row.  Hidden rows may
 * hold anything, NaN too.  Outputs may be views, apart from each other and from the inputs.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_late_fusion_forward(clf_stream *s, const clf_late_fusion *m, const clf_late_fusion_call *call);

CLF_END_DECLS

#endif
