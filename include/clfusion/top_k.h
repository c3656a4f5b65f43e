/* The k best of each row: values and places. */
#ifndef CLFUSION_TOP_K_H
#define CLFUSION_TOP_K_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

typedef enum clf_top_k_order {
    CLF_TOP_K_BY_SCORE = 0,   /* the best first; of equal scores the lower index */
    CLF_TOP_K_BY_POSITION = 1 /* ascending index */
} clf_top_k_order;

/**
 * The k best scores of each row: exact, and stable, so that of equal scores the lower index counts as the better one.
 *
 * scores   [..., N]  f32, f16 or bf16; N of 1 to 2^31 - 1; any other dimension may be 0.
 * order    of the k results in their row.
 * values   [..., k]  f32, the scores as they are; absent: not wanted.
 * indices  [..., k]  i32, their places in the row, 0 .. N - 1; k of 1 to N.
 *          Values, indices and scores lie apart from each other.
 *
 * -0 equals 0; NaN of any sign is equal to NaN and above +inf, as in torch.topk.  No number is rounded or flushed: results
 * are the same on every device.
 * Time grows with N + k log k for each row, never with N k (the reference kernels aside).  Scratch: below 32 (N + k)
 * bytes for the rows that are on their way at once, at most 64 MB unless one row alone takes more.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_top_k(clf_stream *s, clf_tensor scores, clf_top_k_order order, clf_tensor values, clf_tensor indices);

/** The same rules without stream or device. */
CLF_API clf_status clf_top_k_check(clf_tensor scores, clf_top_k_order order, clf_tensor values, clf_tensor indices,
                                   clf_error *err);

CLF_END_DECLS

#endif
