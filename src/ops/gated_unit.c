/* gated_unit: y = activation(gate) up.  gate, up, y [R, C]. */
#include <clfusion/gated_unit.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "gated_unit"

clf_status clf_gated_unit_check(clf_tensor gate, clf_tensor up, clf_activation activation, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, gate, "gate");
    CLF_REQUIRE_TENSOR(err, up, "up");
    CLF_REQUIRE_ALIKE(err, up, "up", gate, "gate");
    CLF_REQUIRE(err, clf_activation_known(activation), CLF_INVALID_ARGUMENT,
                "activation is %d; want a value of clf_activation", (int)activation);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", gate, "gate");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", gate, "gate");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", up, "up");
    return CLF_OK;
}

void clf_gated_unit(clf_stream *s, clf_tensor gate, clf_tensor up, clf_activation activation, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_gated_unit_check(gate, up, activation, y, clf_op_error(s))))
        return;

    CLF_FOLD(&gate, &up, &y);
    const clf_sweep w = clf_sweep_of(s, gate);
    clf_options options;

    /* The activation is compiled in: its constants stay in registers. */
    clf_format(options.text, sizeof options.text, "-DCLF_X=%s -DCLF_ACTIVATION=%u", clf_dtype_name(gate.dtype),
               (unsigned)activation);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_gated_unit_rows",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(gate), clf_arg_rows(up), CLF_ARG_SWEEP(w), clf_arg_rows(y));
}
