/* A linear layer y = W x + b in fewer coordinates than it has outputs.
 *
 * [W | b] = Q R, the columns of Q orthonormal (thin QR), so y = Q z for z = R [x; 1].  Lengths of y are lengths of z, and
 * <y, u> = <z, Q^T u>: whoever asks for nothing else needs no y. */
#ifndef CLF_FUSION_ORTHONORMAL_H
#define CLF_FUSION_ORTHONORMAL_H

#include <clfusion/linear.h>

#include "core/error.h"

/* Whether the layer, which has passed clf_weight_check, has at least twice as many outputs as z has coordinates (its inputs,
 * and one for a bias), and its outputs times their square are at most 2^25: some 15 ms.  False, too, for what is no float,
 * or has no data. */
bool clf_orthonormal_pays(const clf_linear_layer *layer);

/* Multiply-adds for a layer that pays: of z for a row of x, and *onto of Q^T u. */
uint64_t clf_orthonormal_products(const clf_linear_layer *layer, uint64_t *onto);

/* For a layer that pays: *coordinates makes z of x, *onto makes Q^T u of u; both in f32, the caller's to destroy, NULL after
 * an error.  `source` is told that weight and bias have been read.  A column of zeros gives a coordinate of 0. */
clf_status clf_orthonormal_create(clf_context *ctx, const char *name, const clf_linear_layer *layer,
                                  const clf_tensor_source *source, clf_linear_weight **coordinates,
                                  clf_linear_weight **onto, clf_error *err);

#endif
