/* Tensors as values, and the predicates that checks are written in. */
#include <clfusion/tensor.h>

#include "core/shape.h"
#include "core/size.h"

const char *clf_dtype_name(clf_dtype dtype)
{
    switch (dtype) {
#define CLF_DTYPE_CASE(name, value, text, bytes)                                                                       \
    case name:                                                                                                         \
        return text;
        CLF_DTYPE_LIST(CLF_DTYPE_CASE)
#undef CLF_DTYPE_CASE
    case CLF_DTYPE_NONE:
        break;
    }
    return "none";
}

size_t clf_dtype_bytes(clf_dtype dtype)
{
    switch (dtype) {
#define CLF_DTYPE_CASE(name, value, text, bytes)                                                                       \
    case name:                                                                                                         \
        return bytes;
        CLF_DTYPE_LIST(CLF_DTYPE_CASE)
#undef CLF_DTYPE_CASE
    case CLF_DTYPE_NONE:
        break;
    }
    return 0;
}

clf_tensor clf_tensor_at(struct _cl_mem *mem, uint64_t offset, clf_dtype dtype, clf_dims dims)
{
    clf_tensor t = { .mem = mem, .offset = offset, .dtype = dtype, .rank = dims.rank };
    uint64_t stride = 1;

    for (int32_t i = CLF_MIN(dims.rank, CLF_MAX_RANK) - 1; i >= 0; i--) {
        t.dim[i] = dims.dim[i];
        t.stride[i] = stride <= INT64_MAX ? (int64_t)stride : 0;
        if (dims.dim[i] > 0 && !clf_size_mul(stride, (uint64_t)dims.dim[i], &stride))
            stride = UINT64_MAX; /* clf_shape_valid refuses the product */
    }
    return t;
}

clf_tensor clf_tensor_shape(clf_dtype dtype, clf_dims dims)
{
    return clf_tensor_at(NULL, 0, dtype, dims);
}

int64_t clf_dim(clf_tensor t, int axis)
{
    const int i = axis < 0 ? axis + t.rank : axis;

    return i >= 0 && i < CLF_MIN(t.rank, CLF_MAX_RANK) ? t.dim[i] : 1;
}

static int64_t product(const int64_t *dim, int32_t count)
{
    uint64_t all = 1;

    if (count > CLF_MAX_RANK)
        return -1;
    for (int32_t i = 0; i < count; i++)
        if (dim[i] == 0)
            return 0;
    for (int32_t i = 0; i < count; i++)
        if (dim[i] < 0 || !clf_size_mul(all, (uint64_t)dim[i], &all) || all > INT64_MAX)
            return -1;
    return (int64_t)all;
}

int64_t clf_element_count(clf_tensor t)
{
    return product(t.dim, t.rank);
}

int64_t clf_row_count(clf_tensor t)
{
    return product(t.dim, t.rank - 1);
}

bool clf_is_dense(clf_tensor t)
{
    int64_t stride = 1;

    if (clf_element_count(t) <= 0)
        return clf_element_count(t) == 0;
    for (int32_t i = t.rank - 1; i >= 0; i--) {
        if (t.dim[i] != 1 && t.stride[i] != stride)
            return false;
        stride *= t.dim[i];
    }
    return true;
}

bool clf_is_float(clf_dtype dtype)
{
    return dtype == CLF_F32 || dtype == CLF_F16 || dtype == CLF_BF16;
}

bool clf_present(clf_tensor t)
{
    return t.dtype != CLF_DTYPE_NONE;
}

bool clf_shape_is(clf_tensor t, clf_dims dims)
{
    if (t.rank != dims.rank || t.rank > CLF_MAX_RANK)
        return false;
    for (int32_t i = 0; i < t.rank; i++)
        if (t.dim[i] != dims.dim[i])
            return false;
    return true;
}

clf_dims clf_tensor_dims(clf_tensor t)
{
    clf_dims dims = { .rank = t.rank };

    for (int32_t i = 0; i < CLF_MIN(t.rank, CLF_MAX_RANK); i++)
        dims.dim[i] = t.dim[i];
    return dims;
}

bool clf_same_shape(clf_tensor a, clf_tensor b)
{
    return clf_shape_is(a, clf_tensor_dims(b));
}

bool clf_alike(clf_tensor a, clf_tensor b)
{
    return a.dtype == b.dtype && clf_same_shape(a, b);
}

bool clf_same_rows(clf_tensor a, clf_tensor b)
{
    if (a.rank != b.rank)
        return false;
    for (int32_t i = 0; i + 1 < a.rank; i++)
        if (a.dim[i] != b.dim[i])
            return false;
    return true;
}

bool clf_same_memory(clf_tensor a, clf_tensor b)
{
    if (a.mem != b.mem || a.offset != b.offset || !clf_alike(a, b))
        return false;
    for (int32_t i = 0; i < a.rank; i++)
        if (a.dim[i] != 1 && a.stride[i] != b.stride[i])
            return false;
    return true;
}

bool clf_row_dense(clf_tensor t)
{
    return t.rank < 1 || t.dim[t.rank - 1] <= 1 || t.stride[t.rank - 1] == 1;
}

bool clf_shape_valid(clf_tensor t)
{
    if (t.rank < 1 || t.rank > CLF_MAX_RANK || clf_dtype_bytes(t.dtype) == 0)
        return false;
    for (int32_t i = 0; i < t.rank; i++)
        if (t.dim[i] < 0 || t.stride[i] < 0)
            return false;
    return clf_element_count(t) >= 0;
}

bool clf_extent_bytes(clf_tensor t, uint64_t *bytes)
{
    uint64_t last = 1;

    if (clf_element_count(t) == 0) {
        *bytes = 0;
        return true;
    }
    if (t.rank > CLF_MAX_RANK)
        return false;
    for (int32_t i = 0; i < t.rank; i++) {
        uint64_t step;

        if (t.dim[i] < 0 || t.stride[i] < 0 || !clf_size_mul((uint64_t)(t.dim[i] - 1), (uint64_t)t.stride[i], &step) ||
            !clf_size_add(last, step, &last))
            return false;
    }
    return clf_size_mul(last, clf_dtype_bytes(t.dtype), bytes);
}

bool clf_elements_apart(clf_tensor t)
{
    uint64_t below = 0; /* distance of the last element from the first, in the dimensions done so far */

    if (clf_element_count(t) <= 0)
        return true;
    /* By rising stride, each steps over all below it. */
    for (int32_t done = 0; done < t.rank; done++) {
        int32_t next = -1;
        uint64_t span;

        for (int32_t i = t.rank - 1; i >= 0; i--)
            if (t.dim[i] > 1 && (next < 0 || t.stride[i] < t.stride[next]))
                next = i;
        if (next < 0)
            return true;
        if (t.stride[next] < 0 || (uint64_t)t.stride[next] <= below ||
            !clf_size_mul((uint64_t)(t.dim[next] - 1), (uint64_t)t.stride[next], &span) ||
            !clf_size_add(below, span, &below))
            return false;
        t.dim[next] = 1;
    }
    return true;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* A tensor as equal runs of bytes without gaps, any two of which begin a multiple of *step apart; 0: it is one run.
 * The extent of t is known to fit into 64 bits. */
static uint64_t run_bytes(clf_tensor t, uint64_t *step)
{
    uint64_t run = clf_dtype_bytes(t.dtype);
    int32_t i = t.rank - 1;

    for (; i >= 0 && (t.dim[i] == 1 || (uint64_t)t.stride[i] * clf_dtype_bytes(t.dtype) == run); i--)
        run *= (uint64_t)t.dim[i];
    for (*step = 0; i >= 0; i--)
        if (t.dim[i] != 1)
            *step = common_divisor(*step, (uint64_t)t.stride[i] * clf_dtype_bytes(t.dtype));
    return run;
}

/* Other columns of the same rows, as parts of one product are: their bytes interleave, their elements are apart.  All
 * runs of both begin a multiple of one step apart, but for the distance of the first two, so runs that do not meet
 * modulo the step meet nowhere. */
static bool lie_beside(clf_tensor a, clf_tensor b)
{
    uint64_t a_step, b_step;
    const uint64_t a_run = run_bytes(a, &a_step), b_run = run_bytes(b, &b_step);
    const uint64_t step = common_divisor(a_step, b_step);

    if (step == 0)
        return false;
    const uint64_t rest = (CLF_MAX(a.offset, b.offset) - CLF_MIN(a.offset, b.offset)) % step;
    const uint64_t first = a.offset <= b.offset ? a_run : b_run, second = a.offset <= b.offset ? b_run : a_run;
    return rest >= first && second <= step - rest;
}

bool clf_may_overlap(clf_tensor a, clf_tensor b)
{
    uint64_t a_bytes, b_bytes;

    if (a.mem == NULL || a.mem != b.mem)
        return false;
    if (!clf_extent_bytes(a, &a_bytes) || !clf_extent_bytes(b, &b_bytes))
        return true;
    if (a_bytes == 0 || b_bytes == 0)
        return false;
    if (a.offset <= b.offset ? b.offset - a.offset >= a_bytes : a.offset - b.offset >= b_bytes)
        return false;
    return !lie_beside(a, b);
}

bool clf_host_present(clf_host_tensor t)
{
    return t.dtype != CLF_DTYPE_NONE;
}

bool clf_host_bytes(clf_host_tensor t, uint64_t *bytes)
{
    const int64_t count = product(t.dim, t.rank);

    return count >= 0 && clf_size_mul((uint64_t)count, clf_dtype_bytes(t.dtype), bytes);
}
