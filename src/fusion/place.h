/* Values put into a view, whatever their types; views and scratch beside a tensor. */
#ifndef CLF_FUSION_PLACE_H
#define CLF_FUSION_PLACE_H

#include <clfusion/stream.h>

/* y = x: a copy where the types are equal, else a cast. */
void clf_place(clf_stream *s, clf_tensor x, clf_tensor y);

/* y[b] = the rows of x[b] that indices[b] name, of any type: x [B, N, C], indices i32 [B, k], y [B, k, C]. */
void clf_place_rows(clf_stream *s, clf_tensor x, clf_tensor indices, clf_tensor y);

/* x itself where it has that type, else a cast into scratch. */
clf_tensor clf_place_as(clf_stream *s, clf_tensor x, clf_dtype dtype);

/* x itself where it is dense, else a copy in scratch. */
clf_tensor clf_place_dense(clf_stream *s, clf_tensor x);

/* t [1, ..] seen as [B, ..]: the same for every picture of the batch.  t itself where it has B. */
clf_tensor clf_place_batch(clf_tensor t, int64_t B);

/* f32 scratch for the rows of x in another width: [.., width]. */
clf_tensor clf_scratch_rows(clf_stream *s, clf_tensor x, int64_t width);

#endif
