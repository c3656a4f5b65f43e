/* Tensors: a value that says where numbers lie.  It owns nothing and is passed by value.
 *
 * Shape letters, the same in every header: B batch; N visual tokens; T text tokens; M latents, queries or tokens kept;
 * H, Hk query and key/value heads; D width of a head; C channels of the tensor at hand; Dv, Dt vision and text width;
 * V vocabulary; R rows, the product of leading dimensions. */
#ifndef CLFUSION_TENSOR_H
#define CLFUSION_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

struct _cl_mem; /* cl_mem of <CL/cl.h> is a pointer to it; OpenCL headers are not needed here */

CLF_BEGIN_DECLS

#define CLF_MAX_RANK 6

/* Name, value, text, bytes of an element. */
#define CLF_DTYPE_LIST(X)                                                                                              \
    X(CLF_F32, 1, "f32", 4)                                                                                            \
    X(CLF_F16, 2, "f16", 2)                                                                                            \
    X(CLF_BF16, 3, "bf16", 2)                                                                                          \
    X(CLF_F64, 4, "f64", 8)                                                                                            \
    X(CLF_I8, 5, "i8", 1)                                                                                              \
    X(CLF_U8, 6, "u8", 1)                                                                                              \
    X(CLF_I16, 7, "i16", 2)                                                                                            \
    X(CLF_U16, 8, "u16", 2)                                                                                            \
    X(CLF_I32, 9, "i32", 4)                                                                                            \
    X(CLF_U32, 10, "u32", 4)                                                                                           \
    X(CLF_I64, 11, "i64", 8)                                                                                           \
    X(CLF_U64, 12, "u64", 8)                                                                                           \
    X(CLF_BOOL, 13, "bool", 1)

/** Type of an element.  CLF_DTYPE_NONE stands for "no tensor" and for "the default" where a function says so. */
typedef enum clf_dtype {
    CLF_DTYPE_NONE = 0,
#define CLF_DTYPE_ENTRY(name, value, text, bytes) name = value,
    CLF_DTYPE_LIST(CLF_DTYPE_ENTRY)
#undef CLF_DTYPE_ENTRY
} clf_dtype;

/** Elements on the device: memory, place, type, shape, strides.  dim and stride are valid for 0 .. rank - 1; strides
 * are in elements; the last stride is 1 in every operator.  dtype CLF_DTYPE_NONE means "absent" where that is allowed. */
typedef struct clf_tensor {
    struct _cl_mem *mem; /* NULL: a shape without memory */
    uint64_t offset;     /* bytes from the start of mem to the first element, a multiple of the element's size */
    clf_dtype dtype;
    int32_t rank;
    int64_t dim[CLF_MAX_RANK];
    int64_t stride[CLF_MAX_RANK];
} clf_tensor;

/** A list of dimensions, made with CLF_DIMS. */
typedef struct clf_dims {
    int32_t rank;
    int64_t dim[CLF_MAX_RANK];
} clf_dims;

/** CLF_DIMS(B, N, C): one to six dimensions. */
#define CLF_DIMS(...)                                                                                                  \
    ((clf_dims){ .rank = (int32_t)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), .dim = { __VA_ARGS__ } })

/** Dense elements in host memory, row-major; owns nothing.  data may be unaligned (a mapped file). */
typedef struct clf_host_tensor {
    const void *data;
    clf_dtype dtype; /* CLF_DTYPE_NONE: absent */
    int32_t rank;
    int64_t dim[CLF_MAX_RANK];
} clf_host_tensor;

/** "f32", "bf16", ...; "none" for CLF_DTYPE_NONE and other values.  Static storage. */
CLF_API const char *clf_dtype_name(clf_dtype dtype);

/** Bytes of one element; 0 for CLF_DTYPE_NONE and other values. */
CLF_API size_t clf_dtype_bytes(clf_dtype dtype);

/** A dense row-major tensor in memory of the caller: offset in bytes.  Nothing is checked or retained; operators check. */
CLF_API clf_tensor clf_tensor_at(struct _cl_mem *mem, uint64_t offset, clf_dtype dtype, clf_dims dims);

/** A dense shape without memory, for checks and planning. */
CLF_API clf_tensor clf_tensor_shape(clf_dtype dtype, clf_dims dims);

/** dim[axis]; a negative axis counts from the end; 1 for an axis outside the rank. */
CLF_API int64_t clf_dim(clf_tensor t, int axis);

/** Product of all dimensions; 0 when one is 0; -1 when one is negative, when there are more than CLF_MAX_RANK, or when it
 * does not fit into 63 bits. */
CLF_API int64_t clf_element_count(clf_tensor t);

/** Product of all dimensions but the last: the rows of a row-wise operator. */
CLF_API int64_t clf_row_count(clf_tensor t);

/** True when the elements lie without gaps in row-major order. */
CLF_API bool clf_is_dense(clf_tensor t);

CLF_END_DECLS

#endif
