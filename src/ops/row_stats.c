/* row_stats: y[r] = mean, maximum, unbiased standard deviation of x[r, :].  x [R, C], y [R, 3]. */
#include <clfusion/row_stats.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "row_stats"

/* Columns of a part, the piece of a row that a work-item takes; parts of a row, at most, since one item joins them. */
#define PART INT64_C(4096)
#define PARTS UINT64_C(4096)

clf_status clf_row_stats_check(clf_tensor x, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE(err, x.dtype == CLF_F32, CLF_UNSUPPORTED, "x is %s; want f32", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE(err, clf_dim(x, -1) >= 2 && clf_dim(x, -1) <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "x is %s; want a last dimension of 2 to 2^31 - 1", CLF_TEXT(x));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_same_rows(y, x) && clf_dim(y, -1) == 3, CLF_INVALID_ARGUMENT,
                "y is %s; want f32[..., 3] with the rows of x %s", CLF_TEXT(y), CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_row_stats(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_row_stats_check(x, y, clf_op_error(s))) || clf_element_count(x) == 0)
        return;

    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const uint64_t R = (uint64_t)clf_row_count(x), C = (uint64_t)clf_dim(x, -1);
    const uint64_t part = CLF_MAX(PART, clf_div_up(C, PARTS)), parts = clf_div_up(C, part);
    const uint64_t vector = clf_stream_context(s)->vector_width;
    const clf_tensor found = clf_scratch(s, CLF_F32, CLF_DIMS((int64_t)R, (int64_t)parts, 3));
    const clf_kernel pieces = { .program = CLF_OP,
                                .entry = "clf_row_stats_parts",
                                .options = "",
                                .groups = { parts, clf_row_groups((int64_t)R) },
                                .items = 1,
                                .turns = clf_turns_of_rows((int64_t)R, 3 * (part / vector + 3 * vector)) };
    const clf_kernel whole = { .program = CLF_OP,
                               .entry = "clf_row_stats_join",
                               .options = "",
                               .groups = { clf_row_groups((int64_t)R), 1 },
                               .items = 1,
                               .turns = clf_turns_of_rows((int64_t)R, parts) };

    CLF_LAUNCH(s, &pieces, clf_arg_rows(x), clf_arg_u64(R), clf_arg_u64(C), clf_arg_u64(part), clf_arg_memory(found),
               clf_arg_u64(clf_first_element(found)));
    CLF_LAUNCH(s, &whole, clf_arg_memory(found), clf_arg_u64(clf_first_element(found)), clf_arg_u64(R), clf_arg_u64(C),
               clf_arg_u64(part), clf_arg_rows(y));
    clf_scope_close(s, scope);
}
