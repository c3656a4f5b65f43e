/* Similarities to logits, and logits to probabilities. */
#ifndef CLFUSION_SCORES_H
#define CLFUSION_SCORES_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

typedef enum clf_scores_kind {
    CLF_SCORES_SOFTMAX = 0, /* e^l / sum of e^l over the last dimension: CLIP, ALIGN */
    CLF_SCORES_SIGMOID = 1  /* 1 / (1 + e^-l): SigLIP */
} clf_scores_kind;

/**
 * logits = scale * x + bias,  scores = softmax or sigmoid of the logits.
 *
 * x       [..., C]  f32; C below 2^31; any dimension may be 0.
 * scale, bias       any floats.
 * logits  [..., C]  f32; may be x itself; absent: not wanted.
 * scores  [..., C]  f32; may be x itself where logits is not; absent: not wanted.
 *         Apart otherwise.
 *
 * A NaN or +inf among the logits makes a row of softmax NaN, as does a row of nothing but -inf.  Scores below 2^-126 may
 * be 0.  Bound, u = 2^-24, D the largest 2 u (|scale x| + |l|) + u |l - max l| of the row: logits 2 u (|scale x| + |l|),
 * softmax relative 2 D + (C + 16) u, sigmoid relative 2 u (|scale x| + |l|) + 16 u.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_scores(clf_stream *s, clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor logits,
                        clf_tensor scores);

/** The same rules without stream or device. */
CLF_API clf_status clf_scores_check(clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor logits,
                                    clf_tensor scores, clf_error *err);

CLF_END_DECLS

#endif
