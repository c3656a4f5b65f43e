/* Compression by importance: visual tokens that stand out within their picture are kept, however many there are. */
#ifndef CLFUSION_PRUNE_H
#define CLFUSION_PRUNE_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** What makes a token important. */
typedef enum clf_importance {
    CLF_IMPORTANCE_L2 = 0,      /* sqrt(sum(v^2)) */
    CLF_IMPORTANCE_VARIANCE = 1 /* mean((v - mean(v))^2) over the channels */
} clf_importance;

/**
 * Token n of a picture is kept where importance[n] / max over n of importance > threshold.  Computed on the host, because
 * the shape of the result depends on it, in double from the values as f32.
 *
 * vision     [B, N, D]  f32, f16, bf16 or f64; N below 2^31, D above 0.
 * threshold  finite; 1 and more keep nothing.
 * indices    [B, N]     receives the tokens kept, ascending, then -1.
 * lengths    [B]        receives how many each picture keeps: none where all importance is 0, or one is NaN or infinite,
 *                       which clf_set_log is told.
 * longest    receives the largest of lengths.
 *
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_prune_plan(clf_host_tensor vision, clf_importance metric, double threshold,
                                               int32_t *indices, int64_t *lengths, int64_t *longest, clf_error *err);

/**
 * tokens[b, m] = vision[b, indices[b, m]]; zeros where that is -1.
 *
 * vision   [B, N, D]  f32, f16 or bf16; may be a view.
 * indices  [B, M]     on the host, read before the call returns: -1 to N - 1, the first M of each row of clf_prune_plan.
 * tokens   [B, M, D]  the type of vision; apart from it; may be a view.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_prune(clf_stream *s, clf_tensor vision, const int32_t *indices, clf_tensor tokens);

CLF_END_DECLS

#endif
