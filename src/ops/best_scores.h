/* The k best of each row by their logits, and their scores, when nothing else of the rows is wanted. */
#ifndef CLF_OPS_BEST_SCORES_H
#define CLF_OPS_BEST_SCORES_H

#include <clfusion/scores.h>

/**
 * Bit for bit what clf_scores gives of x, then clf_top_k by logit, and the scores at the indices.
 *
 * x        [R, C]  f32; overwritten by devices that make the logits first
 * values   [R, k]  f32; absent: not wanted
 * indices  [R, k]  i32, k of 1 to C
 *          All apart from each other.
 *
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
void clf_best_scores(clf_stream *s, clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor values,
                     clf_tensor indices);

/* Rows of C columns take no more memory than their results; else logits and scores of all columns are made. */
bool clf_best_scores_at_once(const clf_stream *s, int64_t C, int64_t k);

#endif
