/* scale: y = factor x.  x, y [R, C]. */
#include <clfusion/scale.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "scale"

clf_status clf_scale_check(clf_tensor x, float factor, clf_tensor y, clf_error *err)
{
    (void)factor; /* any float will do */
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_scale(clf_stream *s, clf_tensor x, float factor, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_scale_check(x, factor, y, clf_op_error(s))))
        return;

    CLF_FOLD(&x, &y);
    const clf_sweep w = clf_sweep_of(s, x);
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_scale_rows",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_f32(factor), CLF_ARG_SWEEP(w), clf_arg_rows(y));
}
