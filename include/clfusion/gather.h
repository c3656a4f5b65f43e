/* Rows by number: embedding look-up, and visual tokens put among text. */
#ifndef CLFUSION_GATHER_H
#define CLFUSION_GATHER_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[r, :] = table[index[r], :].
 *
 * table  [..., C]  any type of 2 or 4 bytes; its V rows are numbered over all leading dimensions.
 * index  [...]     i32, dense; one entry for each row of y.  A negative entry leaves its row of y as it is; so does an
 *                  entry of V or more, which the host should have refused: the kernel never reads outside the table.
 * y      [..., C]  the type of table; no overlap with it.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_gather(clf_stream *s, clf_tensor table, clf_tensor index, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_gather_check(clf_tensor table, clf_tensor index, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
