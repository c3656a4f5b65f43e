/* Integers of 32 bits as integers of 64: what operators count with, as files and models give it. */
#ifndef CLFUSION_WIDEN_H
#define CLFUSION_WIDEN_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = x, with its sign.
 *
 * x  [..., C]  i32; any dimension may be 0.
 * y  [..., C]  i64; may be a view; no overlap with x.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_widen(clf_stream *s, clf_tensor x, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_widen_check(clf_tensor x, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
