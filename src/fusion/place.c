/* Values put into a view, whatever their types. */
#include "fusion/place.h"

#include <clfusion/cast.h>
#include <clfusion/copy.h>
#include <clfusion/gather.h>

#include "core/shape.h"

void clf_place(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (x.dtype == y.dtype)
        clf_copy(s, x, y);
    else
        clf_cast(s, x, y);
}

void clf_place_rows(clf_stream *s, clf_tensor x, clf_tensor indices, clf_tensor y)
{
    const bool same = y.dtype == x.dtype;
    const clf_tensor rows = same ? y : clf_scratch(s, x.dtype, clf_tensor_dims(y));

    for (int64_t b = 0; b < x.dim[0]; b++)
        clf_gather(s, clf_slice(s, x, 0, b, 1), clf_slice(s, indices, 0, b, 1), clf_slice(s, rows, 0, b, 1));
    if (!same)
        clf_place(s, rows, y);
}

clf_tensor clf_place_as(clf_stream *s, clf_tensor x, clf_dtype dtype)
{
    if (x.dtype == dtype)
        return x;
    const clf_tensor y = clf_scratch(s, dtype, clf_tensor_dims(x));

    clf_cast(s, x, y);
    return y;
}

clf_tensor clf_place_dense(clf_stream *s, clf_tensor x)
{
    if (clf_is_dense(x))
        return x;
    const clf_tensor y = clf_scratch(s, x.dtype, clf_tensor_dims(x));

    clf_copy(s, x, y);
    return y;
}

clf_tensor clf_place_batch(clf_tensor t, int64_t B)
{
    if (t.dim[0] != B) {
        t.dim[0] = B;
        t.stride[0] = 0;
    }
    return t;
}

clf_tensor clf_scratch_rows(clf_stream *s, clf_tensor x, int64_t width)
{
    clf_dims dims = clf_tensor_dims(x);

    dims.dim[dims.rank - 1] = width;
    return clf_scratch(s, CLF_F32, dims);
}
