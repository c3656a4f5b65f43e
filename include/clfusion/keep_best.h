/* The best of a long list that comes in pieces. */
#ifndef CLFUSION_KEEP_BEST_H
#define CLFUSION_KEEP_BEST_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Most results kept for a query: each new one moves those behind it. */
#define CLF_KEEP_BEST_MAX 1024

/**
 * values and indices hold the best min(k, seen) of the scores with numbers 0 .. seen - 1 of each query, the best first;
 * afterwards those of 0 .. seen + R - 1.
 *
 * scores   [R, Q]  f32: row r is number seen + r, a column a query; R and Q may be 0.
 * seen     0 or more.  0 begins anew, whatever values and indices hold.
 * values   f32 [Q, k], dense; k of 1 to CLF_KEEP_BEST_MAX.  Entries from min(k, seen + R) on are left as they are.
 * indices  i64 [Q, k], dense; apart from values, both apart from scores.
 *
 * Exact; of equal scores the lower number is the better one.  -0 equals 0, and NaN of any sign is equal to NaN and above
 * +inf, as in clf_top_k.  Time grows with R Q, and with k for each score that is kept for a while.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_keep_best(clf_stream *s, clf_tensor scores, int64_t seen, clf_tensor values, clf_tensor indices);

/** The same rules without stream or device. */
CLF_API clf_status clf_keep_best_check(clf_tensor scores, int64_t seen, clf_tensor values, clf_tensor indices,
                                       clf_error *err);

CLF_END_DECLS

#endif
