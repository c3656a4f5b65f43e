/* Tokens for each chosen cell of a map, by its relevance. */
#ifndef CLFUSION_BUDGETS_H
#define CLFUSION_BUDGETS_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * Budgets of the k cells of each picture that `indices` names.  With r the relevance of a cell, held to 0 .. 1 (NaN is 0):
 *
 *   total 0   budget = min_tokens + r (max_tokens - min_tokens), to the nearest whole number, half to even.
 *   total T   The budgets of each picture sum to T.  Each cell gets min_tokens; the rest, T - k min_tokens, is shared in
 *             proportion to the weights rint(r 2^24).  A share above max_tokens - min_tokens is cut to that, and what is
 *             over is shared among the other cells in the same way, until no share is above.  When all weights left
 *             are 0 they count as equal.  Each share's whole part is given; of the tokens that then remain, one each
 *             goes to the cells of the largest remainders, of equal ones to the lower place in `indices`.
 *
 * relevance   [..., N]  f32, f16 or bf16; N of 1 to 2^31 - 1.
 * indices     [..., k]  i32, 0 .. N - 1, as clf_top_k gives them, in any order; an entry outside counts as r = 0.
 * min_tokens  0 to max_tokens.
 * max_tokens  up to 2^31 - 1.
 * total       0, or k min_tokens to k max_tokens and at most 2^31 - 1.
 * budgets     [..., k]  i32; apart from the others.  Leading dimensions are equal and may be 0.
 *
 * Computed in whole numbers, without rounding on the way: budgets are the same on every device.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 * Source: the budgets of ARR-COC-0-1; largest remainders: Hamilton's rule of apportionment.
 */
CLF_API void clf_budgets(clf_stream *s, clf_tensor relevance, clf_tensor indices, int64_t min_tokens,
                         int64_t max_tokens, int64_t total, clf_tensor budgets);

/** The same rules without stream or device. */
CLF_API clf_status clf_budgets_check(clf_tensor relevance, clf_tensor indices, int64_t min_tokens, int64_t max_tokens,
                                     int64_t total, clf_tensor budgets, clf_error *err);

CLF_END_DECLS

#endif
