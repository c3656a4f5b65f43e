/* What the tests of late fusion share: layers on the host. */
#ifndef CLF_TESTS_FUSION_LATE_H
#define CLF_TESTS_FUSION_LATE_H

#include <math.h>
#include <string.h>

#include "harness.h"

/* Uniform values in -1 .. 1. */
static inline clf_host_tensor late_host(clf_test *t, clf_dims dims)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++) {
        h.dim[i] = dims.dim[i];
        count *= (size_t)dims.dim[i];
    }
    float *values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * clf_test_random(t) - 1);
    h.data = values;
    return h;
}

static inline clf_linear_layer late_layer(clf_test *t, int64_t out, int64_t in)
{
    return (clf_linear_layer){ late_host(t, CLF_DIMS(out, in)), late_host(t, CLF_DIMS(out)) };
}

/* y [out] = W x + b in double. */
static inline void late_apply(const clf_linear_layer *l, const double *x, double *y)
{
    const float *W = l->weight.data, *b = l->bias.data;

    for (int64_t o = 0; o < l->weight.dim[0]; o++) {
        y[o] = b != NULL ? (double)b[o] : 0;
        for (int64_t k = 0; k < l->weight.dim[1]; k++)
            y[o] += x[k] * (double)W[o * l->weight.dim[1] + k];
    }
}

#endif
