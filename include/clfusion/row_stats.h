/* Rows in three numbers. */
#ifndef CLFUSION_ROW_STATS_H
#define CLFUSION_ROW_STATS_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[r] = mean, largest value and unbiased standard deviation of x[r, :], the last with C - 1 below the sum.
 *
 * x  [..., C]  f32; C from 2 to 2^31 - 1; any other dimension may be 0; may be a view.
 * y  [..., 3]  f32, the leading dimensions of x; may be a view; apart from x.
 *
 * The largest is exact; a NaN wins.  Sums in f32, of squares about the mean, in an order fixed by C and the device's
 * vectors.  Bound, u = 2^-24: (C / 4 + 40) u of the mean of |x| for the mean; of the standard deviation itself and of
 * the mean of |x| for the standard deviation.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_row_stats(clf_stream *s, clf_tensor x, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_row_stats_check(clf_tensor x, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
