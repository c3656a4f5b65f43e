/* Weights that are no matrix of a product: norms, tables, queries. */
#ifndef CLF_FUSION_PARAMETER_H
#define CLF_FUSION_PARAMETER_H

#include <clfusion/context.h>
#include <clfusion/source.h>

/* A dense device copy of a host tensor in the type `dtype`: f32, f16 or bf16.  The caller frees it with
 * clf_tensor_free; absent after an error, and for an absent host tensor.  `source` (may be NULL) is told when the
 * memory has been read. */
clf_status clf_parameter_create(clf_context *ctx, const char *name, clf_host_tensor host, clf_dtype dtype,
                                const clf_tensor_source *source, clf_tensor *t, clf_error *err);

/* Zeros, f32; the caller frees them with clf_tensor_free; absent after an error. */
clf_status clf_parameter_zeros(clf_context *ctx, clf_dims dims, clf_tensor *t, clf_error *err);

/* A table [.., rows, width] behind leading ones as [1, rows, width]; false where it is none: absent, of another shape,
 * or with rows or width 0. */
bool clf_parameter_table(clf_host_tensor t, clf_host_tensor *table);

#endif
