/* row_max: y[b, c] = max over n of x[b, n, c].  x [B, N, C], y [B, C]. */
#include <clfusion/row_max.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "row_max"

/* Columns of a work-group, and items of one on GPUs: few, since a picture has about a thousand columns in all. */
#define SPAN 128
#define ITEMS 32

clf_status clf_row_max_check(clf_tensor x, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3 && x.dim[1] >= 1, CLF_INVALID_ARGUMENT, "x is %s; want [B, N, C], N above 0",
                CLF_TEXT(x));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(x.dim[0], x.dim[2])), CLF_INVALID_ARGUMENT,
                "y is %s; want f32[%" PRId64 ", %" PRId64 "]", CLF_TEXT(y), x.dim[0], x.dim[2]);
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

/* Vectors of a group's columns, and those that fill none. */
static uint64_t turns_of_span(const clf_stream *s, uint64_t span)
{
    const uint64_t vector = clf_stream_context(s)->vector_width;
    const uint64_t items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1;

    return clf_div_up(span, vector * items) + clf_div_up(vector, items);
}

void clf_row_max(clf_stream *s, clf_tensor x, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_row_max_check(x, y, clf_op_error(s))))
        return;

    const uint64_t C = (uint64_t)x.dim[2], span = SPAN * clf_div_up(C, (uint64_t)SPAN * CLF_GROUPS_MAX);
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_row_max_columns",
        .options = options.text,
        .groups = { clf_div_up(C, CLF_MAX(span, 1)), clf_row_groups(x.dim[0]) },
        .items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1,
        .turns = clf_turns_of_rows(x.dim[0], clf_turns(turns_of_span(s, span), clf_turns((uint64_t)x.dim[1], 0))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)x.dim[0]), clf_arg_u64((uint64_t)x.dim[1]),
               clf_arg_u64(C), clf_arg_u64(span), clf_arg_rows(y));
}
