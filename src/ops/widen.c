/* widen: y = x, i32 to i64. */
#include <clfusion/widen.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "widen"

clf_status clf_widen_check(clf_tensor x, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE(err, x.dtype == CLF_I32, CLF_UNSUPPORTED, "x is %s; want i32", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE(err, y.dtype == CLF_I64, CLF_UNSUPPORTED, "y is %s; want i64", CLF_TEXT(y));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, clf_same_shape(x, y), CLF_INVALID_ARGUMENT, "y is %s; want the shape of x %s", CLF_TEXT(y),
                CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_widen(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_widen_check(x, y, clf_op_error(s))))
        return;

    CLF_FOLD(&x, &y);
    const clf_sweep w = clf_sweep_of(s, x);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_widen_rows",
        .options = "",
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), CLF_ARG_SWEEP(w), clf_arg_rows(y));
}
