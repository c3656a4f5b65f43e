/* Predicates on shapes that the operators' checks are written in. */
#ifndef CLF_CORE_SHAPE_H
#define CLF_CORE_SHAPE_H

#include <clfusion/tensor.h>

bool clf_is_float(clf_dtype dtype);             /* f32, f16 or bf16 */
bool clf_present(clf_tensor t);                 /* dtype is set */
bool clf_shape_is(clf_tensor t, clf_dims dims); /* rank and every dimension; any type */
bool clf_same_shape(clf_tensor a, clf_tensor b);
bool clf_alike(clf_tensor a, clf_tensor b);       /* same shape and type */
bool clf_same_rows(clf_tensor a, clf_tensor b);   /* same rank and leading dimensions; the last may differ */
bool clf_same_memory(clf_tensor a, clf_tensor b); /* the same elements in the same places */
bool clf_row_dense(clf_tensor t);                 /* last stride 1 (or last dimension at most 1) */

/* Rank 1 to CLF_MAX_RANK, known type, no negative dimension, a product within 63 bits. */
bool clf_shape_valid(clf_tensor t);

/* Bytes from the first to behind the last element; 0 without elements; false when it overflows. */
bool clf_extent_bytes(clf_tensor t, uint64_t *bytes);

/* Every element has a place of its own.  False also for strides that interleave without meeting, such as 2 and 3. */
bool clf_elements_apart(clf_tensor t);

/* False when no byte belongs to both: other memory, ranges of bytes that do not meet, or other columns of rows with the
 * same pitch, wherever each begins.  True may be said of rows with different pitches that do not meet. */
bool clf_may_overlap(clf_tensor a, clf_tensor b);

clf_dims clf_tensor_dims(clf_tensor t);

/* Host tensors. */
bool clf_host_present(clf_host_tensor t);
bool clf_host_bytes(clf_host_tensor t, uint64_t *bytes); /* false when it overflows */

#endif
