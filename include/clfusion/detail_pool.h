/* Adaptive level of detail: each cell's features averaged to as many tokens as its budget allows. */
#ifndef CLFUSION_DETAIL_POOL_H
#define CLFUSION_DETAIL_POOL_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * A cell's S features, a square of side s, become a square of side n = min(floor(sqrt(budget)), s): the largest that is
 * within the budget, and never more than the cell has.  Each of the n n tokens is a mean as in clfusion/pool.h:
 *
 *     tokens[begin + (i, j), :] = mean of dense[b, k, (p, q), :] over the rows p from floor(i s / n) to
 *                                 ceil((i + 1) s / n) - 1 and likewise the columns q,
 *     lengths[b, k] = n n,  begin = sum of the lengths before: cell after cell, picture after picture.
 *
 * dense    [B, K, S, D]  f32, f16 or bf16; S a square of at least 1; B, K and D may be 0; may be a view with dense rows.
 * budgets  [B, K]        i32, as clf_budgets gives them; 0 and less give no token.
 * tokens   [M, D]        f32, or the type of dense; may be a view with dense rows; apart from dense and budgets.  Absent:
 *                        not wanted.  M is the sum of the lengths, which clf_detail_plan says.  A larger M leaves
 *                        the rows behind the last token as they are; with a smaller one the tokens for which there is
 *                        no row are left out, the lengths are the same.
 * lengths  [B, K]        i32, apart from the others.  Absent: not wanted.
 *
 * Sums in f32 in the order of clf_pool: equal cells give equal bits wherever they stand.  Bound, u = 2^-24, for a mean
 * of m features: (m + 5) u times the mean of |dense|.  Not promised: means whose sum overflows f32.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 * Source: the level of detail of ARR-COC-0-1; torch.nn.AdaptiveAvgPool2d.
 */
CLF_API void clf_detail_pool(clf_stream *s, clf_tensor dense, clf_tensor budgets, clf_tensor tokens,
                             clf_tensor lengths);

/** The same rules without stream or device. */
CLF_API clf_status clf_detail_pool_check(clf_tensor dense, clf_tensor budgets, clf_tensor tokens, clf_tensor lengths,
                                         clf_error *err);

/**
 * *total = the rows of tokens for budgets that have come to the host, in any order.
 *
 * budgets  [count]  host memory; NULL only with a count of 0.
 * S        features of a cell, a square of at least 1.
 *
 * *total is 0 after an error: CLF_INVALID_ARGUMENT.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_detail_plan(const int32_t *budgets, size_t count, int64_t S, int64_t *total,
                                                clf_error *err);

CLF_END_DECLS

#endif
