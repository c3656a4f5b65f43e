/* The frame of every operator: skip after an error, check, launch. */
#ifndef CLF_RUNTIME_OP_H
#define CLF_RUNTIME_OP_H

#include <inttypes.h>
#include <math.h>

#include <clfusion/stream.h>

#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "runtime/launch.h"

/* False once the stream has failed or its device is lost; always false without a device. */
bool clf_op_enter(clf_stream *s);

/* A context for plans: tensors of it have shapes without memory, its streams enqueue nothing. */
bool clf_context_has_device(const clf_context *ctx);

/* The record that a check of this stream fills. */
clf_error *clf_op_error(clf_stream *s);

/* Takes the result of a check: true for CLF_OK, else the error stays on the stream, with the scope path before it. */
bool clf_op_passed(clf_stream *s, clf_status status);

/* Records an error that is not the result of a check. */
void clf_op_fail(clf_stream *s, const char *file, int line, clf_status status, const char *format, ...)
    CLF_PRINTF(5, 6);
#define CLF_OP_FAIL(s, status, ...) clf_op_fail((s), __FILE__, __LINE__, (status), __VA_ARGS__)

/* Shape of the kernels that come in several: CLF_KERNELS_SIMD, _TILE or _REF, never AUTO. */
clf_kernel_shape clf_op_kernels(const clf_stream *s);

/* Whether a kernel stores y past the caches: on CPU devices, when its operator moves more bytes than they hold, and 16
 * elements of y are whole cache lines. */
bool clf_stores_past(const clf_stream *s, clf_tensor y, uint64_t bytes);

/* A copy of `bytes` host bytes, the size of the dense tensor y, goes to it; the host memory is free when the call
 * returns. */
void clf_upload_copy(clf_stream *s, const void *host, uint64_t bytes, clf_tensor y);

/* Gives an event of clf_stream_signal back; takes NULL. */
void clf_event_release(struct _cl_event *event);

/* Scratch that starts its memory object, for a provider that takes a cl_mem without an offset. */
clf_tensor clf_scratch_alone(clf_stream *s, clf_dtype dtype, clf_dims dims);

/* The tensor lies inside its memory; `where` begins the message.  A tensor without elements needs none. */
clf_status clf_in_memory(clf_stream *s, const char *where, clf_tensor t, clf_error *err);

/* Offset in elements of a vector that a kernel gets as plain memory; 0 for an absent one. */
static inline uint64_t clf_first_element(clf_tensor t)
{
    return clf_present(t) ? t.offset / clf_dtype_bytes(t.dtype) : 0;
}

/* Checks shared by the operators; the `name` is the argument's. */
#define CLF_REQUIRE_FLOAT(err, t, name)                                                                                \
    CLF_REQUIRE(err, clf_is_float((t).dtype), CLF_UNSUPPORTED, name " is %s; want f32, f16 or bf16", CLF_TEXT(t))
#define CLF_REQUIRE_SHAPE(err, t, name)                                                                                \
    CLF_REQUIRE(err, clf_shape_valid(t), CLF_INVALID_ARGUMENT,                                                         \
                name " is %s; want 1 to 6 dimensions, none negative, with a product below 2^63", CLF_TEXT(t))
#define CLF_REQUIRE_ROWS(err, t, name)                                                                                 \
    CLF_REQUIRE(err, clf_rows_of((t), &(clf_rows){ { 0 } }), CLF_UNSUPPORTED,                                          \
                name " %s is a view with more than two strides above its rows; copy it to dense memory first",         \
                CLF_TEXT(t))
#define CLF_REQUIRE_ALIKE(err, a, a_name, b, b_name)                                                                   \
    CLF_REQUIRE(err, clf_alike((a), (b)), CLF_INVALID_ARGUMENT, a_name " is %s; want %s, like " b_name, CLF_TEXT(a),   \
                CLF_TEXT(b))
#define CLF_REQUIRE_APART(err, a, a_name, b, b_name)                                                                   \
    CLF_REQUIRE(err, !clf_may_overlap((a), (b)), CLF_INVALID_ARGUMENT, a_name " overlaps " b_name "; want apart")

#endif
