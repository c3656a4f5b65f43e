/* Steps of a softmax or an argmax over a vocabulary that is computed a block at a time, for visual_vocabulary.
 *
 * A row meets the blocks of its logits in their order; what it has seen so far stands in two numbers:
 *   softmax   the largest logit m and the sum of e^(logit - m), in f32: `state`
 *   argmax    the largest logit and its index: `best` and `index`
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h. */
#ifndef CLF_OPS_VOCABULARY_H
#define CLF_OPS_VOCABULARY_H

#include <clfusion/stream.h>

/**
 * x[r, v] = e^(x[r, v] - m'), m' the larger of m and the row's maximum; sum' = sum f + the row's sum, f = e^(m - m');
 * y[r, :] = f y[r, :], so that y + x table is again relative to the state.
 *
 * x      f32 [R, V], V >= 1; in place; may be a view with dense rows
 * state  f32 [R, 2], dense; not read when y is absent
 * y      f32 [R, C], or absent: the first block
 *
 * -inf is no mass; a NaN or +inf makes the sum NaN.  Sums in f32, in an order fixed by V, the kernel and CLF_VEC.
 */
void clf_vocabulary_softmax(clf_stream *s, clf_tensor x, clf_tensor state, clf_tensor y);
clf_status clf_vocabulary_softmax_check(clf_tensor x, clf_tensor state, clf_tensor y, clf_error *err);

/** y[r, :] = y[r, :] / sum[r]: after the last block.  y f32 [R, C], a view; state f32 [R, 2], dense. */
void clf_vocabulary_divide(clf_stream *s, clf_tensor state, clf_tensor y);
clf_status clf_vocabulary_divide_check(clf_tensor state, clf_tensor y, clf_error *err);

/**
 * index[r] = begin + v of the largest x[r, v], unless an earlier block had one as large; a NaN is larger than any
 * other, the first of them.  A row of -inf alone has index 0.
 *
 * x      f32 [R, V], V >= 1; may be a view with dense rows
 * begin  index of the first column: 0 starts anew, begin + V at most 2^31 - 1
 * best   f32 [R], index i32 [R], dense; not read when begin is 0
 */
void clf_vocabulary_argmax(clf_stream *s, clf_tensor x, int64_t begin, clf_tensor best, clf_tensor index);
clf_status clf_vocabulary_argmax_check(clf_tensor x, int64_t begin, clf_tensor best, clf_tensor index, clf_error *err);

#endif
