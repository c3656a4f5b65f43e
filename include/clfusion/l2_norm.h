/* Euclidean normalisation. */
#ifndef CLFUSION_L2_NORM_H
#define CLFUSION_L2_NORM_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = x / max(sqrt(sum(x^2)), eps), the sum over the last dimension.
 *
 * x    [..., C]  f32, f16 or bf16; C >= 1; any other dimension may be 0, which is a success that does nothing.
 * eps  finite, not negative.  torch.nn.functional.normalize uses 1e-12; CLIP divides by the plain norm: 0, where a row
 *      of zeros gives NaN.
 * y    like x; may be x itself or a view; no other overlap.
 * Bound in f32: relative ((L + 1) / 2 + 11) u, u = 2^-24, L = C / 4 + 8 the longest chain of additions of any device's
 * kernel; half an ulp of the stored type on top.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_l2_norm(clf_stream *s, clf_tensor x, float eps, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_l2_norm_check(clf_tensor x, float eps, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
