/* Products of many rows with few: y[q, r] = <x[r], z[q]>, for retrieval. */
#ifndef CLF_OPS_ROW_PRODUCTS_H
#define CLF_OPS_ROW_PRODUCTS_H

#include <clfusion/stream.h>

#define CLF_ROW_PRODUCTS_MAX 4

/**
 * y[q, r] = sum over d of x[r, d] z[q, d].
 *
 * x  [R, D]  f32, f16 or bf16, a view with dense rows; D of 1 to 2^31 - 1; R may be 0
 * z  [Q, D]  f32, dense; Q of 1 to CLF_ROW_PRODUCTS_MAX
 * y  [Q, R]  f32, dense, apart from both
 *
 * One chain of fused multiply-adds in rising order of d for each output: the bits of a clf_linear with the panel provider.
 * Bound, u = 2^-24: (D + 2) u sum|x z|.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
void clf_row_products(clf_stream *s, clf_tensor x, clf_tensor z, clf_tensor y);
clf_status clf_row_products_check(clf_tensor x, clf_tensor z, clf_tensor y, clf_error *err);

#endif
