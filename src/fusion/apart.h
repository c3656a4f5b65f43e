/* Tensors of a call that may not meet. */
#ifndef CLF_FUSION_APART_H
#define CLF_FUSION_APART_H

#include <stddef.h>

#include <clfusion/tensor.h>

#include "core/error.h"

typedef struct clf_named_tensor {
    const char *name;
    clf_tensor t; /* may be absent */
} clf_named_tensor;

/* Outputs lie apart from each other and from the inputs, the first ones of `all`, which may be one; `op` begins the
 * message. */
clf_status clf_outputs_apart(const char *op, const clf_named_tensor *all, size_t count, size_t inputs, clf_error *err);

#endif
