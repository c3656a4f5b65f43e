/* activate: y = activation(x), and the names of activations.  x, y [R, C]. */
#include <clfusion/activation.h>

#include <string.h>

#include "ops/check.h"
#include "ops/sweep.h"

#define CLF_OP "activate"

_Static_assert(CLF_ACT_NONE == (int)CLF_ACTIVATION_NONE && CLF_ACT_GELU == (int)CLF_GELU &&
                   CLF_ACT_GELU_TANH == (int)CLF_GELU_TANH && CLF_ACT_QUICK_GELU == (int)CLF_QUICK_GELU &&
                   CLF_ACT_SILU == (int)CLF_SILU && CLF_ACT_RELU == (int)CLF_RELU && CLF_ACT_RELU2 == (int)CLF_RELU2 &&
                   CLF_ACT_TANH == (int)CLF_TANH,
               "clf_shared.h and activation.h disagree");

typedef struct activation_name {
    const char *name;
    clf_activation activation;
} activation_name;

/* The first spelling of each is the one that clf_activation_name gives; the others are transformers'.  gelu_10, a GELU
 * cut at 10, is another function and not among them. */
static const activation_name names[] = {
#define ACTIVATION_ROW(name, value, text) { text, name },
    CLF_ACTIVATION_LIST(ACTIVATION_ROW)
#undef ACTIVATION_ROW
        { "linear", CLF_ACTIVATION_NONE },
    { "gelu_python", CLF_GELU },
    { "gelu_new", CLF_GELU_TANH },
    { "gelu_fast", CLF_GELU_TANH },
    { "gelu_accurate", CLF_GELU_TANH },
    { "gelu_python_tanh", CLF_GELU_TANH },
    { "swish", CLF_SILU },
};

bool clf_activation_known(clf_activation activation)
{
    return (unsigned)activation <= (unsigned)CLF_TANH;
}

const char *clf_activation_name(clf_activation activation)
{
    return clf_activation_known(activation) ? names[activation].name : "unknown activation";
}

bool clf_activation_from_name(const char *name, clf_activation *activation)
{
    for (size_t i = 0; name != NULL && i < CLF_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            *activation = names[i].activation;
            return true;
        }
    }
    return false;
}

clf_status clf_activate_check(clf_tensor x, clf_activation activation, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE(err, clf_activation_known(activation), CLF_INVALID_ARGUMENT,
                "activation is %d; want a value of clf_activation", (int)activation);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_activate(clf_stream *s, clf_tensor x, clf_activation activation, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_activate_check(x, activation, y, clf_op_error(s))))
        return;

    CLF_FOLD(&x, &y);
    const clf_sweep w = clf_sweep_of(s, x);
    clf_options options;

    /* The activation is compiled in: its constants stay in registers. */
    clf_format(options.text, sizeof options.text, "-DCLF_X=%s -DCLF_ACTIVATION=%u", clf_dtype_name(x.dtype),
               (unsigned)activation);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_activate_rows",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), CLF_ARG_SWEEP(w), clf_arg_rows(y));
}
