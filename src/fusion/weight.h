/* Weights of modules: host layers packed for products, alone or stacked. */
#ifndef CLF_FUSION_WEIGHT_H
#define CLF_FUSION_WEIGHT_H

#include <clfusion/linear.h>

#include "core/error.h"

/* weight [out, in] with both above 0, and in `in` unless that is 0; bias [out] or absent. */
clf_status clf_weight_check(const char *name, const clf_linear_layer *layer, int64_t in, clf_error *err);

/* One product of several weights that meet the same input.  *w is NULL after an error. */
clf_status clf_weight_stack(clf_context *ctx, const char *name, const clf_linear_part *parts, int32_t count,
                            clf_dtype storage, const clf_tensor_source *source, clf_linear_weight **w, clf_error *err);

/* One weight; an absent one makes *w NULL, without an error. */
clf_status clf_weight_create(clf_context *ctx, const char *name, const clf_linear_layer *layer, clf_dtype storage,
                             const clf_tensor_source *source, clf_linear_weight **w, clf_error *err);

/* The type in which a tensor of `dtype` is stored: `storage`, or where that is none its own (f64: f32). */
clf_dtype clf_weight_storage(clf_dtype dtype, clf_dtype storage);

/* Tells the source that host memory of the tensor has been read; nobody, or nothing, is fine. */
void clf_weight_read(const clf_tensor_source *source, clf_host_tensor t);

/* Elements of the weight: multiply-adds of a row; 0 when absent. */
uint64_t clf_weight_products(const clf_linear_layer *layer);

#endif
