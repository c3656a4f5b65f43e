/* Copies between views: concatenation is a copy into a slice of the longer sequence. */
#ifndef CLFUSION_COPY_H
#define CLFUSION_COPY_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = x, bit for bit.
 *
 * x  [..., C]  any type; any dimension may be 0.
 * y  the type and shape of x; usually a view.  No overlap.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_copy(clf_stream *s, clf_tensor x, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_copy_check(clf_tensor x, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
