/* entropy: y[b, n] = -sum over c of p log(p + eps), p the softmax of x[b, :, n].  x [B, C, N], y [B, N]. */
#include <clfusion/entropy.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "entropy"

#define SPAN UINT64_C(256) /* places of a group: C of them cost two exponentials and a logarithm each */
#define ITEMS 32           /* of a group on GPUs: some drivers give no more to a kernel without barriers */

clf_status clf_entropy_check(clf_tensor x, float eps, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE(err, x.dtype == CLF_F32, CLF_UNSUPPORTED, "x is %s; want f32", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3 && x.dim[1] >= 1 && x.dim[1] <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "x is %s; want [B, C, N], C from 1 to 2^31 - 1", CLF_TEXT(x));
    CLF_REQUIRE(err, isfinite(eps) && eps >= 0.0F, CLF_INVALID_ARGUMENT, "eps is %g; want finite, 0 or more",
                (double)eps);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(x.dim[0], x.dim[2])), CLF_INVALID_ARGUMENT,
                "y is %s; want f32[%" PRId64 ", %" PRId64 "], for x %s", CLF_TEXT(y), x.dim[0], x.dim[2], CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_entropy(clf_stream *s, clf_tensor x, float eps, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_entropy_check(x, eps, y, clf_op_error(s))) ||
        clf_element_count(y) == 0)
        return;

    const uint64_t N = (uint64_t)x.dim[2], span = SPAN * clf_div_up(N, SPAN * CLF_GROUPS_MAX);
    const uint64_t vector = clf_stream_context(s)->vector_width, channels = (uint64_t)x.dim[1];
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_entropy_places",
        .options = "",
        .groups = { clf_div_up(N, span), clf_row_groups(x.dim[0]) },
        .items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1,
        .turns =
            clf_turns_of_rows(x.dim[0], clf_turns(clf_div_up(span, vector), 3 * clf_turns(channels, vector) + vector)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)x.dim[0]), clf_arg_u32((uint32_t)x.dim[1]),
               clf_arg_u64(N), clf_arg_u64(span), clf_arg_f32(eps), clf_arg_rows(y));
}
