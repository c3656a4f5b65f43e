/* normalise: the norm that a value of clf_norm describes. */
#include <clfusion/norm.h>

#include <clfusion/copy.h>
#include <clfusion/layer_norm.h>
#include <clfusion/rms_norm.h>

#include "runtime/op.h"

static void normalise_rows(clf_stream *s, const clf_norm *norm, clf_tensor x, clf_tensor y)
{
    switch (norm->kind) {
    case CLF_NORM_LAYER:
        clf_layer_norm(s, x, norm->weight, norm->bias, norm->eps, y);
        return;
    case CLF_NORM_RMS:
        clf_rms_norm(s, x, norm->weight, clf_present(norm->weight) ? CLF_RMS_WEIGHT : CLF_RMS_PLAIN, norm->eps, y);
        return;
    case CLF_NORM_NONE:
        break;
    }
    if (!clf_same_memory(x, y))
        clf_copy(s, x, y);
}

void clf_normalise(clf_stream *s, const clf_norm *norm, clf_tensor x, clf_tensor y)
{
    clf_rows rows;

    if (!clf_op_enter(s))
        return;
    if (norm->kind != CLF_NORM_NONE && norm->kind != CLF_NORM_LAYER && norm->kind != CLF_NORM_RMS) {
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT,
                    "normalise: kind is %d; want CLF_NORM_NONE, CLF_NORM_LAYER or CLF_NORM_RMS", (int)norm->kind);
        return;
    }
    if (clf_present(norm->bias) && (norm->kind != CLF_NORM_LAYER || !clf_present(norm->weight))) {
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT, "normalise: bias is %s; want none without CLF_NORM_LAYER and a weight",
                    CLF_TEXT(norm->bias));
        return;
    }
    /* Heads of a part of every row of a part of every batch: a batch at a time. */
    if (x.rank > 2 && clf_shape_valid(x) && clf_same_shape(x, y) && (!clf_rows_of(x, &rows) || !clf_rows_of(y, &rows)))
        for (int64_t b = 0; b < x.dim[0]; b++)
            normalise_rows(s, norm, clf_slice(s, x, 0, b, 1), clf_slice(s, y, 0, b, 1));
    else
        normalise_rows(s, norm, x, y);
}
