/* Weights that a checkpoint applies from the right, as clf_linear wants them. */
#ifndef CLF_FUSION_TRANSPOSE_H
#define CLF_FUSION_TRANSPOSE_H

#include <clfusion/tensor.h>

#include "core/error.h"

/* *t = w^T for w [rows, columns] of any type, in memory that is the caller's to free with clf_free; NULL after an error:
 * CLF_INVALID_ARGUMENT for another shape or without data, CLF_OUT_OF_MEMORY.  `name` stands before messages. */
clf_status clf_transpose(const char *name, clf_host_tensor w, void **memory, clf_host_tensor *t, clf_error *err);

#endif
