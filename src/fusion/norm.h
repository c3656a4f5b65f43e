/* Norms of a module: weights on the device behind a clf_norm. */
#ifndef CLF_FUSION_NORM_H
#define CLF_FUSION_NORM_H

#include <clfusion/linear.h>
#include <clfusion/norm.h>

#include "core/error.h"

/* The norm of rows of `width`; kind none gives none.  `name` stands before messages: "layers[2].norm".  After an error
 * *norm owns nothing. */
clf_status clf_norm_create(clf_context *ctx, const char *name, const clf_norm_desc *desc, int64_t width,
                           const clf_tensor_source *source, clf_norm *norm, clf_error *err);
void clf_norm_destroy(clf_context *ctx, clf_norm *norm);

/* The rules of a description, without a device. */
clf_status clf_norm_check(const char *name, const clf_norm_desc *desc, int64_t width, clf_error *err);

/* The norm as the prologue of a product. */
void clf_norm_before(const clf_norm *norm, clf_linear_options *options);

/* The kind without weight and bias, which have been folded into the product that follows. */
clf_norm clf_norm_bare(const clf_norm_desc *desc);

/* x itself without a norm, else the normalised rows in scratch. */
clf_tensor clf_norm_rows(clf_stream *s, const clf_norm *norm, clf_tensor x);

#endif
