/* The inside of a packed weight. */
#ifndef CLF_OPS_LINEAR_WEIGHT_H
#define CLF_OPS_LINEAR_WEIGHT_H

#include "gemm/gemm.h"

struct clf_linear_weight {
    clf_context *ctx;
    const clf_gemm_provider *provider;
    clf_gemm_weight w;
    clf_tensor bias; /* f32 [N] or absent */
};

#endif
