/* Scaled sums. */
#ifndef CLFUSION_ADD_H
#define CLFUSION_ADD_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = a + scale * b, elementwise, computed in f32 with one rounding for the product and one for the sum.
 *
 * a      [..., C]  f32, f16 or bf16; any dimension may be 0.
 * b      like a, or [C]: the same row for all.
 * scale  any float; 1 adds.
 * y      like a; may be a or b (where b is like a); no other overlap.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_add(clf_stream *s, clf_tensor a, clf_tensor b, float scale, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_add_check(clf_tensor a, clf_tensor b, float scale, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
