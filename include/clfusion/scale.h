/* Multiplication by a number. */
#ifndef CLFUSION_SCALE_H
#define CLFUSION_SCALE_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = factor * x, elementwise, in f32.
 *
 * x  [..., C]  f32, f16 or bf16; any dimension may be 0.
 * y  like x; may be x itself; no other overlap.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_scale(clf_stream *s, clf_tensor x, float factor, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_scale_check(clf_tensor x, float factor, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
