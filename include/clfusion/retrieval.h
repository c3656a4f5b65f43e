/* Retrieval: the best of many stored embeddings for each query, more of them than the device has memory for. */
#ifndef CLFUSION_RETRIEVAL_H
#define CLFUSION_RETRIEVAL_H

#include <string.h>

#include <clfusion/context.h>
#include <clfusion/stream.h>
#include <clfusion/keep_best.h>

CLF_BEGIN_DECLS

/**
 * values[q], indices[q] = the k largest <queries[q], stored[n]> over all n, and their n; of equal ones the lower n first.
 *
 * The stored embeddings stay in host memory, a mapped file say, and pass through the device in blocks: while one block is
 * multiplied and its scores merged into the best so far, later ones are uploaded by a queue of their own.  A CPU device
 * reads blocks where they lie.
 */
typedef struct clf_retrieval clf_retrieval;

typedef struct clf_retrieval_desc {
    uint32_t struct_size;
    clf_host_tensor stored; /* [N, D] f32, f16 or bf16; must live as long as the retrieval, unchanged.  N may be 0 */
    int64_t block_rows;     /* of a block; 0: as many as have 4 MiB, or in place up to 32 MiB with scores of 2 MiB */
    bool upload;            /* also where the device could read host memory itself */
    bool profiling;         /* the two queues record the times of what they do */
} clf_retrieval_desc;

/** Nothing stored; blocks of the usual size, read in place where that is possible. */
static inline clf_retrieval_desc clf_retrieval_desc_default(void)
{
    clf_retrieval_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Makes the two queues and, for uploads, room for three blocks.  Nothing is read yet.  *r is the caller's to destroy, before
 * the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_retrieval_create(clf_context *ctx, const clf_retrieval_desc *desc,
                                                     clf_retrieval **r, clf_error *err);
CLF_API void clf_retrieval_destroy(clf_retrieval *r); /* takes NULL */

/**
 * Searches, and waits for the result.
 *
 * queries  [Q, D]  f32, f16, bf16 or f64; Q may be 0
 * k        1 to N and CLF_KEEP_BEST_MAX
 * values   [Q, k]  the largest first; NULL: not wanted
 * indices  [Q, k]
 *
 * Embeddings are taken as they are: normalise them before for cosines.  Products in f32, one chain of fused multiply-adds
 * in rising order of D with the panel provider (CLBlast promises no order): equal rows have equal scores, and the best of
 * these scores come out exactly.  NaN counts as the largest.  Device memory beside those blocks: 4 bytes for each query
 * and row of a block, twice that of the queries, 12 Q k.
 * An error leaves values and indices as they were.  One thread at a time for a retrieval; any number of retrievals.
 * Errors: those of clf_retrieval_create.
 */
CLF_API CLF_MUST_USE clf_status clf_retrieval_search(clf_retrieval *r, clf_host_tensor queries, int64_t k,
                                                     float *values, int64_t *indices, clf_error *err);

/**
 * The two queues, for clf_stream_profile after a search with `profiling`: uploads of blocks, NULL where they are read in
 * place, and products with their selection.  They belong to the retrieval; the next search forgets times not asked for.
 */
CLF_API clf_stream *clf_retrieval_uploads(clf_retrieval *r);
CLF_API clf_stream *clf_retrieval_products(clf_retrieval *r);

CLF_END_DECLS

#endif
