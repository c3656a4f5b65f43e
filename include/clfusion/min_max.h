/* Maps scaled to 0 .. 1. */
#ifndef CLFUSION_MIN_MAX_H
#define CLFUSION_MIN_MAX_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Over what a map's smallest and largest value are taken. */
typedef enum clf_min_max_over {
    CLF_MIN_MAX_BATCH = 0,  /* the same channel of all pictures */
    CLF_MIN_MAX_PICTURE = 1 /* each map alone */
} clf_min_max_over;

/**
 * y = (x - min) / (max - min + eps).
 *
 * x    [B, C, N]  f32; any dimension may be 0; may be a view.
 * eps  not negative; 1e-8 is common.  A map of equal values becomes 0; with eps 0 NaN.
 * y    [B, C, N]  f32; may be x itself; no other overlap.
 *
 * min and max are exact; a NaN among the values makes all of them NaN.  Bound, u = 2^-24: 8 u |y|.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_min_max(clf_stream *s, clf_tensor x, clf_min_max_over over, float eps, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_min_max_check(clf_tensor x, clf_min_max_over over, float eps, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
