/* Softmax of rows of scores that a product has made, with the rules of clf_attention for what is hidden. */
#ifndef CLF_OPS_SOFTMAX_H
#define CLF_OPS_SOFTMAX_H

#include <clfusion/attention.h>

#include "core/error.h"

/**
 * y[b, r, c] = e^(l - m) / sum over c of e^(l - m), l = scale x[b, r, c] + mask[b, c], m the largest l of the row.
 *
 * x       [B, R, N]     f32, a view with dense rows
 * mask    [B or 1, N]   f32, dense rows; -FLT_MAX and below hide a column, where x may be NaN; absent: none is hidden
 * unseen  what a row becomes that sees no column: 0, or 1 / N (CLF_UNSEEN_UNIFORM)
 * y       [B, R, N]     f32; may be x
 *
 * Equal rows under equal masks have equal bits.  Bound, u = 2^-24: (N + 16 + 3 A) u y, A the largest |scale x| + |mask|
 * that the row sees; and 2^-126, where e^(l - m) leaves the normal numbers.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
void clf_softmax(clf_stream *s, clf_tensor x, float scale, clf_tensor mask, clf_unseen unseen, clf_tensor y);
clf_status clf_softmax_check(clf_tensor x, clf_tensor mask, clf_unseen unseen, clf_tensor y, clf_error *err);

/**
 * y[b] = 0 where the mask hides all N columns, or N is 0; elsewhere y[b] stays.
 *
 * mask  [B or 1, N]  f32, dense rows
 * y     [B, R, C]    f32, a view with dense rows
 */
void clf_softmax_clear(clf_stream *s, clf_tensor mask, clf_tensor y);
clf_status clf_softmax_clear_check(clf_tensor mask, clf_tensor y, clf_error *err);

/* A mask of B times N columns, as above. */
clf_status clf_softmax_mask_check(clf_tensor mask, int64_t B, int64_t N, clf_error *err);

#endif
