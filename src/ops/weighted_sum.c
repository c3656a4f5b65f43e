/* weighted_sum: y[b, :] = sum over m of w[b, m] x[b, m, :].  x [B, M, C], w [B, M], y [B, C]. */
#include <clfusion/weighted_sum.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "weighted_sum"

#define ITEMS UINT64_C(32) /* of a group on GPUs: some drivers give no more to a kernel without barriers */

clf_status clf_weighted_sum_check(clf_tensor x, clf_tensor w, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3 && x.dim[1] <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "x is %s; want [B, M, C], M below 2^31", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, w, "w");
    CLF_REQUIRE(err, w.dtype == CLF_F32 && clf_shape_is(w, CLF_DIMS(x.dim[0], x.dim[1])), CLF_INVALID_ARGUMENT,
                "w is %s; want f32[%" PRId64 ", %" PRId64 "], for x %s", CLF_TEXT(w), x.dim[0], x.dim[1], CLF_TEXT(x));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(x.dim[0], x.dim[2])), CLF_INVALID_ARGUMENT,
                "y is %s; want f32[%" PRId64 ", %" PRId64 "], for x %s", CLF_TEXT(y), x.dim[0], x.dim[2], CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    CLF_REQUIRE_APART(err, y, "y", w, "w");
    return CLF_OK;
}

void clf_weighted_sum(clf_stream *s, clf_tensor x, clf_tensor w, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_weighted_sum_check(x, w, y, clf_op_error(s))))
        return;

    const clf_sweep sweep = clf_sweep_of(s, y);
    const uint64_t vector = clf_stream_context(s)->vector_width;
    const uint64_t columns = clf_div_up(CLF_MIN(sweep.span, sweep.columns), vector) + vector;
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_weighted_sum_rows",
        .options = options.text,
        .groups = { sweep.groups[0], sweep.groups[1] },
        .items = CLF_MIN(sweep.items, ITEMS),
        .turns = clf_turns(CLF_MIN(sweep.block, sweep.rows), clf_turns(columns, clf_turns((uint64_t)x.dim[1], 0))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u32((uint32_t)x.dim[1]), clf_arg_rows(w), CLF_ARG_SWEEP(sweep),
               clf_arg_rows(y));
}
