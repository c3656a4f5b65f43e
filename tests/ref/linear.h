/* The reference of linear, in double, and its bound. */
#ifndef CLF_TESTS_REF_LINEAR_H
#define CLF_TESTS_REF_LINEAR_H

#include "harness.h"

/* A linear layer for a test: the weight on the host as it is stored, and packed. */
typedef struct clf_ref_linear {
    int64_t N, K;
    clf_dtype dtype;
    double *weight, *bias; /* as stored; bias NULL: none */
    clf_linear_weight *packed;
} clf_ref_linear;

/* Random weights of scale 1/sqrt(K) (limit 0) or whole numbers up to `limit`.  The caller destroys `packed`. */
clf_ref_linear clf_ref_linear_create(clf_test *t, clf_context *ctx, clf_dtype dtype, int64_t N, int64_t K, bool bias,
                                     int limit);

/* want[r, n] and bound[r, n] of clf_linear(x, w, options, y); `residual` holds what the residual was. */
void clf_ref_linear_run(clf_test *t, clf_tensor x, const clf_ref_linear *w, const clf_linear_options *o, double *want,
                        double *bound);

#endif
