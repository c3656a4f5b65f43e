/* Conversion between floating-point types. */
#ifndef CLFUSION_CAST_H
#define CLFUSION_CAST_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = x in the type of y, rounded to nearest even; NaN stays NaN, what is too large becomes infinite.
 *
 * x  [..., C]  f32, f16 or bf16; any dimension may be 0.
 * y  [..., C]  f32, f16 or bf16, the shape of x.  No overlap.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_cast(clf_stream *s, clf_tensor x, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_cast_check(clf_tensor x, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
