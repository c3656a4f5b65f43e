/* Masks of a call, as attention takes them. */
#include "models/masks.h"

#include <math.h>

#include "core/alloc.h"
#include "core/size.h"
#include "runtime/op.h"

clf_tensor clf_mask_upload(clf_stream *s, const int64_t *open, clf_dims dims)
{
    const clf_tensor mask = clf_scratch(s, CLF_F32, dims);
    const size_t count = (size_t)CLF_MAX(0, clf_element_count(mask));
    float *values = clf_alloc(count, sizeof *values);

    if (values == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "mask: no host memory for %zu floats", count);
    for (size_t i = 0; values != NULL && i < count; i++)
        values[i] = open[i] != 0 ? 0.0F : -INFINITY;
    if (values != NULL)
        clf_upload_copy(s, values, count * sizeof *values, mask);
    clf_free(values);
    return mask;
}

clf_tensor clf_ids_upload(clf_stream *s, const int64_t *ids, clf_dims dims)
{
    const clf_tensor t = clf_scratch(s, CLF_I32, dims);
    const size_t count = (size_t)CLF_MAX(0, clf_element_count(t));
    int32_t *values = clf_alloc(count, sizeof *values);

    if (values == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "ids: no host memory for %zu integers", count);
    for (size_t i = 0; values != NULL && i < count; i++)
        values[i] = (int32_t)CLF_MAX(INT32_MIN, CLF_MIN(INT32_MAX, ids[i]));
    if (values != NULL)
        clf_upload_copy(s, values, count * sizeof *values, t);
    clf_free(values);
    return t;
}
