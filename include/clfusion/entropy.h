/* How much the channels of a place differ. */
#ifndef CLFUSION_ENTROPY_H
#define CLFUSION_ENTROPY_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[b, n] = -sum over c of p log(p + eps),  p = softmax over c of x[b, c, n].
 *
 * x    [B, C, N]  f32; C from 1 to 2^31 - 1; B and N may be 0; may be a view.
 * eps  finite, not negative; 1e-10 is common.  With eps 0 a channel of p = 0 makes the place NaN.
 * y    [B, N]     f32; may be a view; apart from x.
 *
 * From 0, one channel alone, to log(C), all equal.  A place with NaN or +inf, or of nothing but -inf, gives NaN.
 * Bound, u = 2^-24: (C + 30) u (1 + log(C) + the largest difference of the channels of a place).
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_entropy(clf_stream *s, clf_tensor x, float eps, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_entropy_check(clf_tensor x, float eps, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
