/* layer_norm: y = (x - mean) / sqrt(var + eps) * weight + bias.  x, y [R, C]; weight, bias [C]. */
#include <clfusion/layer_norm.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "layer_norm"

clf_status clf_layer_norm_check(clf_tensor x, clf_tensor weight, clf_tensor bias, float eps, clf_tensor y,
                                clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    if (clf_present(weight))
        CLF_REQUIRE_VECTOR(err, weight, "weight", x, "x");
    if (clf_present(bias))
        CLF_REQUIRE_VECTOR(err, bias, "bias", x, "x");
    CLF_REQUIRE(err, !clf_present(weight) || !clf_present(bias) || bias.dtype == weight.dtype, CLF_UNSUPPORTED,
                "bias is %s; want the type of weight %s", CLF_TEXT(bias), CLF_TEXT(weight));
    CLF_REQUIRE(err, isfinite(eps) && eps > 0.0F, CLF_INVALID_ARGUMENT, "eps is %g; want finite, above 0", (double)eps);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_WIDENED(err, y, x);
    CLF_REQUIRE_APART(err, y, "y", weight, "weight");
    CLF_REQUIRE_APART(err, y, "y", bias, "bias");
    return CLF_OK;
}

void clf_layer_norm(clf_stream *s, clf_tensor x, clf_tensor weight, clf_tensor bias, float eps, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_layer_norm_check(x, weight, bias, eps, y, clf_op_error(s))))
        return;

    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_layer_norm_simd", /* CPUs: a row a work-item, explicit vectors */
        [CLF_KERNELS_TILE] = "clf_layer_norm_tile", /* GPUs: a row a work-group */
        [CLF_KERNELS_REF] = "clf_layer_norm_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const clf_dtype affine = clf_present(weight) ? weight.dtype : clf_present(bias) ? bias.dtype : CLF_F32;
    const clf_options options = clf_options_types("CLF_X", x.dtype, "CLF_Y", y.dtype, "CLF_W", affine, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = options.text,
        .groups = { clf_row_groups(clf_row_count(x)), 1 },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(clf_row_count(x), 3 * clf_turns_of_row(s, clf_dim(x, -1))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u32(clf_present(weight)), clf_arg_memory(weight),
               clf_arg_u64(clf_first_element(weight)), clf_arg_u32(clf_present(bias)), clf_arg_memory(bias),
               clf_arg_u64(clf_first_element(bias)), clf_arg_f32(eps), clf_arg_u64((uint64_t)clf_row_count(x)),
               clf_arg_u32((uint32_t)clf_dim(x, -1)), clf_arg_rows(y));
}
