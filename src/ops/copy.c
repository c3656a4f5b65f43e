/* copy: y = x, bit for bit.  x, y [R, C]. */
#include <clfusion/copy.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "copy"

clf_status clf_copy_check(clf_tensor x, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

/* What an element is moved as: its size decides, its type does not. */
static const char *unit_option(clf_dtype dtype)
{
    switch (clf_dtype_bytes(dtype)) {
    case 1:
        return "-DCLF_UNIT=uchar";
    case 2:
        return "-DCLF_UNIT=ushort";
    case 4:
        return "-DCLF_UNIT=uint";
    default:
        return "-DCLF_UNIT=ulong";
    }
}

void clf_copy(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_copy_check(x, y, clf_op_error(s))))
        return;

    CLF_FOLD(&x, &y);
    const clf_sweep w = clf_sweep_of(s, x);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_copy_rows",
        .options = unit_option(x.dtype),
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), CLF_ARG_SWEEP(w), clf_arg_rows(y),
               clf_arg_u32(clf_stores_past(s, y, 2 * clf_element_bytes(y))));
}
