/* Transposing a host tensor. */
#include "fusion/transpose.h"

#include <string.h>

#include "core/alloc.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

/* Columns at a time: the lines of that many rows of the result stay in cache while a column of w passes. */
#define BLOCK 16

static void transpose(const char *from, size_t rows, size_t columns, size_t bytes, char *to)
{
    for (size_t begin = 0; begin < columns; begin += BLOCK)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = begin; c < CLF_MIN(begin + BLOCK, columns); c++)
                memcpy(to + (c * rows + r) * bytes, from + (r * columns + c) * bytes, bytes);
}

clf_status clf_transpose(const char *name, clf_host_tensor w, void **memory, clf_host_tensor *t, clf_error *err)
{
    uint64_t count = 0;

    *memory = NULL;
    *t = (clf_host_tensor){ 0 };
    if (!clf_host_present(w) || w.rank != 2 || w.dim[0] < 1 || w.dim[1] < 1 ||
        !clf_size_mul((uint64_t)w.dim[0], (uint64_t)w.dim[1], &count))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s; want [in, out], both above 0", name, CLF_HOST_TEXT(w));
    if (w.data == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s without data; want host memory", name, CLF_HOST_TEXT(w));
    *memory = clf_alloc(count, clf_dtype_bytes(w.dtype));
    if (*memory == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s is %s; want host memory for its transpose", name, CLF_HOST_TEXT(w));
    transpose(w.data, (size_t)w.dim[0], (size_t)w.dim[1], clf_dtype_bytes(w.dtype), *memory);
    *t = (clf_host_tensor){ *memory, w.dtype, 2, { w.dim[1], w.dim[0] } };
    return CLF_OK;
}
