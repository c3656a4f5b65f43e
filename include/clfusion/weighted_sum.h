/* Several maps as one. */
#ifndef CLFUSION_WEIGHTED_SUM_H
#define CLFUSION_WEIGHTED_SUM_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[b, :] = sum over m of w[b, m] x[b, m, :].
 *
 * x  [B, M, C]  f32, f16 or bf16; any dimension may be 0, and without rows y is 0; may be a view.
 * w  [B, M]     f32; may be a view.
 * y  [B, C]     f32; may be a view; apart from x and w.
 *
 * One chain of fused multiply-adds in f32 from the first row on.  Bound, u = 2^-24: (M + 2) u sum|w x|.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_weighted_sum(clf_stream *s, clf_tensor x, clf_tensor w, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_weighted_sum_check(clf_tensor x, clf_tensor w, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
