/* l2_norm: y = x / max(sqrt(sum(x^2)), eps).  x, y [R, C]. */
#include <clfusion/l2_norm.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "l2_norm"

clf_status clf_l2_norm_check(clf_tensor x, float eps, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    CLF_REQUIRE(err, isfinite(eps) && eps >= 0.0F, CLF_INVALID_ARGUMENT, "eps is %g; want finite, not negative",
                (double)eps);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_l2_norm(clf_stream *s, clf_tensor x, float eps, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_l2_norm_check(x, eps, y, clf_op_error(s))))
        return;

    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_l2_norm_simd", /* CPUs: a row a work-item, explicit vectors */
        [CLF_KERNELS_TILE] = "clf_l2_norm_tile", /* GPUs: a row a work-group */
        [CLF_KERNELS_REF] = "clf_l2_norm_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = options.text,
        .groups = { clf_row_groups(clf_row_count(x)), 1 },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(clf_row_count(x), 2 * clf_turns_of_row(s, clf_dim(x, -1))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_f32(eps), clf_arg_u64((uint64_t)clf_row_count(x)),
               clf_arg_u32((uint32_t)clf_dim(x, -1)), clf_arg_rows(y));
}
