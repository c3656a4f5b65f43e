/* Similarity of embeddings: products of rows that both come from the call. */
#ifndef CLFUSION_SIMILARITY_H
#define CLFUSION_SIMILARITY_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[i, j] = scale * max over m of <x[i, m], z[j]>.
 *
 * x      [I, M, C]  f32, f16 or bf16; M >= 1 rows of each i, of which the best counts (BLIP-2's queries); I may be 0.
 * z      [J, C]     the type of x; J may be 0.
 * scale  any float.
 * y      [I, J]     f32, apart from x and z.
 *
 * Products and sums in f32, in an order fixed by the device, the type, C, M, J, scale and whether z is dense,
 * never by I.  NaN in x or z gives NaN.
 * Bound, u = 2^-24: (C + 2) u |scale| max over m of sum|x z|.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_similarity(clf_stream *s, clf_tensor x, clf_tensor z, float scale, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_similarity_check(clf_tensor x, clf_tensor z, float scale, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
