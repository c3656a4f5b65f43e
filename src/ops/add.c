/* add: y = a + scale b.  a, y [R, C]; b [R, C] or [C]. */
#include <clfusion/add.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "add"

clf_status clf_add_check(clf_tensor a, clf_tensor b, float scale, clf_tensor y, clf_error *err)
{
    (void)scale; /* any float will do */
    CLF_REQUIRE_NUMBERS(err, a, "a");
    CLF_REQUIRE_TENSOR(err, b, "b");
    CLF_REQUIRE(err, b.dtype == a.dtype && (clf_same_shape(b, a) || clf_shape_is(b, CLF_DIMS(clf_dim(a, -1)))),
                CLF_INVALID_ARGUMENT, "b is %s; want %s or %s[%" PRId64 "], for a %s", CLF_TEXT(b), CLF_TEXT(a),
                clf_dtype_name(a.dtype), clf_dim(a, -1), CLF_TEXT(a));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", a, "a");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", a, "a");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", b, "b");
    return CLF_OK;
}

void clf_add(clf_stream *s, clf_tensor a, clf_tensor b, float scale, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_add_check(a, b, scale, y, clf_op_error(s))))
        return;

    if (b.rank == a.rank) /* else one row for all, which must stay a row */
        CLF_FOLD(&a, &b, &y);
    const clf_sweep w = clf_sweep_of(s, a);
    const clf_options options = clf_options_types("CLF_X", a.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_add_rows",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    /* Rows of a [C] tensor have stride 0: every row finds the one. */
    CLF_LAUNCH(s, &kernel, clf_arg_rows(a), clf_arg_rows(b), clf_arg_f32(scale), CLF_ARG_SWEEP(w), clf_arg_rows(y));
}
