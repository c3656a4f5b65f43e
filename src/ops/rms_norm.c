/* rms_norm: y = x / sqrt(mean(x^2) + eps) * gain.  x, y [R, C]; weight [C]. */
#include <clfusion/rms_norm.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "rms_norm"

_Static_assert(CLF_GAIN_WEIGHT == (int)CLF_RMS_WEIGHT && CLF_GAIN_ONE_PLUS == (int)CLF_RMS_ONE_PLUS &&
                   CLF_GAIN_PLAIN == (int)CLF_RMS_PLAIN,
               "clf_shared.h and rms_norm.h disagree");

clf_status clf_rms_norm_check(clf_tensor x, clf_tensor weight, clf_rms_gain gain, float eps, clf_tensor y,
                              clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    CLF_REQUIRE(err, gain == CLF_RMS_WEIGHT || gain == CLF_RMS_ONE_PLUS || gain == CLF_RMS_PLAIN, CLF_INVALID_ARGUMENT,
                "gain is %d; want CLF_RMS_WEIGHT, CLF_RMS_ONE_PLUS or CLF_RMS_PLAIN", (int)gain);
    if (gain == CLF_RMS_PLAIN)
        CLF_REQUIRE(err, !clf_present(weight), CLF_INVALID_ARGUMENT, "weight is %s; want none with CLF_RMS_PLAIN",
                    CLF_TEXT(weight));
    else
        CLF_REQUIRE_VECTOR(err, weight, "weight", x, "x");
    CLF_REQUIRE(err, isfinite(eps) && eps > 0.0F, CLF_INVALID_ARGUMENT, "eps is %g; want finite, above 0", (double)eps);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_WIDENED(err, y, x);
    CLF_REQUIRE_APART(err, y, "y", weight, "weight");
    return CLF_OK;
}

void clf_rms_norm(clf_stream *s, clf_tensor x, clf_tensor weight, clf_rms_gain gain, float eps, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_rms_norm_check(x, weight, gain, eps, y, clf_op_error(s))))
        return;

    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_rms_norm_simd", /* CPUs: a row a work-item, explicit vectors */
        [CLF_KERNELS_TILE] = "clf_rms_norm_tile", /* GPUs: a row a work-group */
        [CLF_KERNELS_REF] = "clf_rms_norm_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const clf_dtype weights = clf_present(weight) ? weight.dtype : CLF_F32;
    const clf_options options = clf_options_types("CLF_X", x.dtype, "CLF_Y", y.dtype, "CLF_W", weights, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = options.text,
        .groups = { clf_row_groups(clf_row_count(x)), 1 },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(clf_row_count(x), 2 * clf_turns_of_row(s, clf_dim(x, -1))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u32((uint32_t)gain), clf_arg_memory(weight),
               clf_arg_u64(clf_first_element(weight)), clf_arg_f32(eps), clf_arg_u64((uint64_t)clf_row_count(x)),
               clf_arg_u32((uint32_t)clf_dim(x, -1)), clf_arg_rows(y));
}
