/* Values put into a view, whatever their types. */
#include "fusion/place.h"

#include <clfusion/cast.h>
#include <clfusion/copy.h>

#include "core/shape.h"

void clf_place(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (x.dtype == y.dtype)
        clf_copy(s, x, y);
    else
        clf_cast(s, x, y);
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
