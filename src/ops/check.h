/* Rules that several operators share, beside those of runtime/op.h.  CLF_OP names the operator. */
#ifndef CLF_OPS_CHECK_H
#define CLF_OPS_CHECK_H

#include <clfusion/activation.h>

#include "runtime/op.h"

/* A value of clf_activation. */
bool clf_activation_known(clf_activation activation);

/* Kernels count offsets in elements. */
#define CLF_REQUIRE_ALIGNED(err, t, name)                                                                              \
    CLF_REQUIRE(err, (t).offset % clf_dtype_bytes((t).dtype) == 0, CLF_INVALID_ARGUMENT,                               \
                name " begins at byte %" PRIu64 "; want a multiple of %zu for %s", (t).offset,                         \
                clf_dtype_bytes((t).dtype), clf_dtype_name((t).dtype))

/* A shape that kernels can walk: valid, elements of a row side by side, rows by at most two strides. */
#define CLF_REQUIRE_TENSOR(err, t, name)                                                                               \
    do {                                                                                                               \
        CLF_REQUIRE_SHAPE(err, t, name);                                                                               \
        CLF_REQUIRE_ALIGNED(err, t, name);                                                                             \
        CLF_REQUIRE(err, clf_row_dense(t), CLF_UNSUPPORTED,                                                            \
                    name " is a view with stride %" PRId64 " in its last dimension; want 1",                           \
                    (t).stride[(t).rank - 1]);                                                                         \
        CLF_REQUIRE_ROWS(err, t, name);                                                                                \
    } while (0)

/* The same for a result: no element is written twice. */
#define CLF_REQUIRE_RESULT(err, y, name)                                                                               \
    do {                                                                                                               \
        CLF_REQUIRE_TENSOR(err, y, name);                                                                              \
        CLF_REQUIRE(err, clf_elements_apart(y), CLF_INVALID_ARGUMENT,                                                  \
                    name " %s is a view whose rows meet; want each element in a place of its own", CLF_TEXT(y));       \
    } while (0)

/* A tensor of numbers to compute with. */
#define CLF_REQUIRE_NUMBERS(err, t, name)                                                                              \
    do {                                                                                                               \
        CLF_REQUIRE_FLOAT(err, t, name);                                                                               \
        CLF_REQUIRE_TENSOR(err, t, name);                                                                              \
    } while (0)

/* The row length of a norm: kernels count columns in 32 bits. */
#define CLF_REQUIRE_WIDTH(err, t, name)                                                                                \
    do {                                                                                                               \
        CLF_REQUIRE(err, clf_dim((t), -1) >= 1, CLF_INVALID_ARGUMENT,                                                  \
                    name " is %s; want a last dimension of at least 1", CLF_TEXT(t));                                  \
        CLF_REQUIRE(err, clf_dim((t), -1) <= INT32_MAX, CLF_UNSUPPORTED,                                               \
                    name " is %s; want a last dimension below 2^31", CLF_TEXT(t));                                     \
    } while (0)

/* One number for each column of x. */
#define CLF_REQUIRE_VECTOR(err, v, name, x, x_name)                                                                    \
    do {                                                                                                               \
        CLF_REQUIRE(err, (v).dtype == CLF_F32 || (v).dtype == (x).dtype, CLF_UNSUPPORTED,                              \
                    name " is %s; want f32 or the type of " x_name " %s", CLF_TEXT(v), CLF_TEXT(x));                   \
        CLF_REQUIRE(err, clf_shape_is((v), CLF_DIMS(clf_dim((x), -1))), CLF_INVALID_ARGUMENT,                          \
                    name " is %s; want [%" PRId64 "], the last dimension of " x_name " %s", CLF_TEXT(v),               \
                    clf_dim((x), -1), CLF_TEXT(x));                                                                    \
        CLF_REQUIRE(err, clf_row_dense(v), CLF_UNSUPPORTED, name " is a view with stride %" PRId64 "; want 1",         \
                    (v).stride[0]);                                                                                    \
        CLF_REQUIRE_ALIGNED(err, v, name);                                                                             \
    } while (0)

/* y is x itself, element for element, or lies apart from it. */
#define CLF_REQUIRE_SAME_OR_APART(err, y, y_name, x, x_name)                                                           \
    CLF_REQUIRE(err, clf_same_memory((y), (x)) || !clf_may_overlap((y), (x)), CLF_INVALID_ARGUMENT,                    \
                y_name " overlaps " x_name " in part; want the same elements, or apart")

/* A result y in the shape of x and its type or f32: x itself, element for element, or apart from it. */
#define CLF_REQUIRE_WIDENED(err, y, x)                                                                                 \
    do {                                                                                                               \
        CLF_REQUIRE(err, clf_same_shape(y, x) && ((y).dtype == CLF_F32 || (y).dtype == (x).dtype),                     \
                    CLF_INVALID_ARGUMENT, "y is %s; want %s, like x, or f32", CLF_TEXT(y), CLF_TEXT(x));               \
        CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");                                                                \
    } while (0)

#endif
