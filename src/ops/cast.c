/* cast: y = x in the type of y.  x, y [R, C]. */
#include <clfusion/cast.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "cast"

clf_status clf_cast_check(clf_tensor x, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_FLOAT(err, y, "y");
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, clf_same_shape(y, x), CLF_INVALID_ARGUMENT, "y is %s; want the shape of x %s", CLF_TEXT(y),
                CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_cast(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_cast_check(x, y, clf_op_error(s))))
        return;

    CLF_FOLD(&x, &y);
    const clf_sweep w = clf_sweep_of(s, x);
    const clf_options options = clf_options_types("CLF_X", x.dtype, "CLF_Y", y.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_cast_rows",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), CLF_ARG_SWEEP(w), clf_arg_rows(y));
}
