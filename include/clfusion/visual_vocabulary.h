/* Visual vocabulary: every visual token becomes a mixture, or one row, of a table of embeddings. */
#ifndef CLFUSION_VISUAL_VOCABULARY_H
#define CLFUSION_VISUAL_VOCABULARY_H

#include <string.h>

#include <clfusion/context.h>
#include <clfusion/source.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * softmax  tokens = softmax(vision head^T) table
 * argmax   tokens = table[argmax(vision head^T)], the lower index among equals
 *
 * The logits of a token never lie in memory as a whole: the vocabulary is taken a block at a time, with a running
 * maximum and sum (Milakov and Gimelshein 2018, arXiv:1805.02867).
 * Source: Lu et al. 2024, Ovis, arXiv:2405.20797.
 */
typedef struct clf_visual_vocabulary clf_visual_vocabulary;

typedef enum clf_vocabulary_mode { CLF_VOCABULARY_SOFTMAX = 0, CLF_VOCABULARY_ARGMAX = 1 } clf_vocabulary_mode;

typedef struct clf_visual_vocabulary_desc {
    uint32_t struct_size;
    clf_host_tensor head;            /* [V, Dv] f32, f16, bf16 or f64 */
    clf_host_tensor table;           /* [V, Dt]; V at most 2^31 - 1 */
    clf_vocabulary_mode mode;        /* default CLF_VOCABULARY_SOFTMAX */
    int64_t block;                   /* entries of the vocabulary that are computed at once; default 2048 */
    clf_dtype storage;               /* of head and table on the device; CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source; /* told when host memory has been read; NULL: nobody */
} clf_visual_vocabulary_desc;

/** The defaults above; nothing else set. */
static inline clf_visual_vocabulary_desc clf_visual_vocabulary_desc_default(void)
{
    clf_visual_vocabulary_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.block = 2048;
    return desc;
}

/**
 * Checks the shapes, then packs head and table and waits for it.  Host memory is not needed afterwards.  *m is the
 * caller's to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_visual_vocabulary_create(clf_context *ctx, const clf_visual_vocabulary_desc *desc,
                                                             clf_visual_vocabulary **m, clf_error *err);

/** Frees head and table; takes NULL.  Work in flight must have finished. */
CLF_API void clf_visual_vocabulary_destroy(clf_visual_vocabulary *m);

/** The shape of `tokens` (f32) for features of shape `vision`, or the rule they break (CLF_INVALID_ARGUMENT,
 * CLF_UNSUPPORTED; *tokens is then absent); needs no device.  Threads: any. */
CLF_API clf_status clf_visual_vocabulary_check(const clf_visual_vocabulary *m, clf_tensor vision, clf_tensor *tokens,
                                               clf_error *err);

/**
 * vision  [..., Dv]  f32, f16 or bf16
 * tokens  [..., Dt]  f32, or the type of vision; may be a view; no overlap with vision
 *
 * Logits, exponentials and sums in f32.  NaN in a row of vision makes its tokens NaN with softmax; with argmax a NaN
 * logit is larger than any other, the first of them.  Scratch: the logits of 1024 tokens and one block, and the tokens.
 * Ownership, threads, errors and the state of tokens after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_visual_vocabulary_forward(clf_stream *s, const clf_visual_vocabulary *m, clf_tensor vision,
                                           clf_tensor tokens);

/** Dv, Dt and V. */
CLF_API int64_t clf_visual_vocabulary_vision_width(const clf_visual_vocabulary *m);
CLF_API int64_t clf_visual_vocabulary_text_width(const clf_visual_vocabulary *m);
CLF_API int64_t clf_visual_vocabulary_size(const clf_visual_vocabulary *m);

CLF_END_DECLS

#endif
