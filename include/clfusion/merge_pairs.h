/* Rows merged into others: the averaging step of token merging. */
#ifndef CLFUSION_MERGE_PAIRS_H
#define CLFUSION_MERGE_PAIRS_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * Some even rows of x become part of odd rows: row 2 merged[b, t] of row 2 partner[b, merged[b, t]] + 1.
 *
 *   y[b]        even rows that were not merged, ascending, bit for bit; then the odd rows, ascending, each the average of
 *               itself and what was merged into it, weighted by sizes
 *   y_sizes[b]  the sums of the sizes that each row of y is made of
 *   source[b]   for each row of x, the row of y that it came to
 *
 * x        [B, N, C]    f32, f16 or bf16; N below 2^31; may be a view with dense rows.
 * sizes    [B, N]       f32, dense; absent: all 1.  Sizes of a merged row that sum to 0 give NaN.
 * partner  [B, N - N/2] i32, dense, of each even row: 0 to N/2 - 1; an entry outside merges into nothing.
 * merged   [B, r]       i32, dense, ascending, each one of the even rows' numbers, 0 to N - N/2 - 1; r at most N/2;
 *                       absent: r is 0.
 * y        [B, N - r, C]  f32; may be a view with dense rows.
 * y_sizes  [B, N - r]     f32, dense.
 * source   [B, N]         i32, dense.
 *
 * Sums in f32 in the order of rows: equal pictures give equal bits in every batch.  Bound, u = 2^-24, for a row of n
 * parts: (n + 6) u times the weighted mean of |x|.
 * Results lie apart from each other and from all inputs.  Ownership, threads, errors and the state of outputs after one:
 * as for every operator, clfusion/stream.h.
 */
CLF_API void clf_merge_pairs(clf_stream *s, clf_tensor x, clf_tensor sizes, clf_tensor partner, clf_tensor merged,
                             clf_tensor y, clf_tensor y_sizes, clf_tensor source);

/** The same rules without stream or device. */
CLF_API clf_status clf_merge_pairs_check(clf_tensor x, clf_tensor sizes, clf_tensor partner, clf_tensor merged,
                                         clf_tensor y, clf_tensor y_sizes, clf_tensor source, clf_error *err);

CLF_END_DECLS

#endif
