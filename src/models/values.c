/* Host values to the device, in the types that operators take. */
#include "models/values.h"

#include <string.h>

#include "core/alloc.h"
#include "core/half.h"
#include "runtime/op.h"

bool clf_is_integer(clf_dtype dtype)
{
    return dtype >= CLF_I8 && dtype <= CLF_BOOL;
}

static int64_t load_integer(const unsigned char *at, clf_dtype dtype)
{
    union {
        int8_t i8;
        int16_t i16;
        uint16_t u16;
        int32_t i32;
        uint32_t u32;
        int64_t i64;
        uint64_t u64;
    } v = { 0 };

    memcpy(&v, at, clf_dtype_bytes(dtype));
    switch (dtype) {
    case CLF_I8:
        return v.i8;
    case CLF_I16:
        return v.i16;
    case CLF_U16:
        return v.u16;
    case CLF_I32:
        return v.i32;
    case CLF_U32:
        return v.u32;
    case CLF_I64:
        return v.i64;
    case CLF_U64:
        return v.u64 > INT64_MAX ? INT64_MAX : (int64_t)v.u64;
    case CLF_BOOL:
        return at[0] != 0;
    default:
        return at[0]; /* u8 */
    }
}

void clf_values_to_int64(const void *data, clf_dtype dtype, size_t count, int64_t *out)
{
    const size_t step = clf_dtype_bytes(dtype);

    for (size_t i = 0; i < count; i++)
        out[i] = load_integer((const unsigned char *)data + i * step, dtype);
}

/* The caller's device memory under the shape with its batch. */
static clf_tensor add_batch(clf_tensor t, clf_dims dims)
{
    clf_tensor whole = t;

    if (dims.rank == t.rank)
        return t;
    whole.rank = dims.rank;
    whole.dim[0] = 1;
    whole.stride[0] = t.rank > 0 ? t.dim[0] * t.stride[0] : 1;
    for (int32_t i = 0; i < t.rank; i++) {
        whole.dim[i + 1] = t.dim[i];
        whole.stride[i + 1] = t.stride[i];
    }
    return whole;
}

static clf_tensor from_f64(clf_stream *s, const clf_value *value, clf_dims dims)
{
    const clf_tensor t = clf_scratch(s, CLF_F32, dims);
    const size_t count = (size_t)clf_element_count(t);
    float *values = clf_alloc(count, sizeof *values);

    if (values == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for %zu values as f32", value->name, count);
        return t;
    }
    clf_host_to_f32(value->host, CLF_F64, count, values);
    clf_upload_copy(s, values, count * sizeof *values, t);
    clf_free(values);
    return t;
}

clf_tensor clf_values_on_device(clf_stream *s, const clf_value *value, clf_dims dims)
{
    if (value->tensor.mem != NULL)
        return add_batch(value->tensor, dims);
    if (value->tensor.dtype == CLF_F64)
        return from_f64(s, value, dims);

    const clf_tensor t = clf_scratch(s, value->tensor.dtype, dims);
    clf_upload(s, value->host, t);
    return t;
}
