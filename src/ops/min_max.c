/* min_max: y = (x - min) / (max - min + eps).  x, y [B, C, N]; min and max of each map, or of a channel's B maps.
 *
 *     parts  the range of every PART values of a map
 *     merge  of MERGE ranges one, as often as it takes until a map is left with few
 *     apply  the last ranges and the division */
#include <clfusion/min_max.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "min_max"

/* Values of a part: a few microseconds. */
#define PART INT64_C(2048)

/* Ranges that a work-item merges, and ranges that every group of `apply` merges once more. */
#define MERGE INT64_C(4096)
#define FEW INT64_C(64)

clf_status clf_min_max_check(clf_tensor x, clf_min_max_over over, float eps, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE(err, x.dtype == CLF_F32, CLF_UNSUPPORTED, "x is %s; want f32", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3, CLF_INVALID_ARGUMENT, "x is %s; want [B, C, N]", CLF_TEXT(x));
    CLF_REQUIRE(err, over == CLF_MIN_MAX_BATCH || over == CLF_MIN_MAX_PICTURE, CLF_INVALID_ARGUMENT,
                "over is %d; want CLF_MIN_MAX_BATCH or CLF_MIN_MAX_PICTURE", (int)over);
    CLF_REQUIRE(err, isfinite(eps) && eps >= 0.0F, CLF_INVALID_ARGUMENT, "eps is %g; want finite, 0 or more",
                (double)eps);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");
    return CLF_OK;
}

/* Vectors of a part, their lanes, and what fills none. */
static uint64_t turns_of_part(const clf_stream *s, int64_t N)
{
    const uint64_t vector = clf_stream_context(s)->vector_width;

    return clf_div_up(CLF_MIN(PART, (uint64_t)N), vector) + 2 * vector;
}

/* Ranges f32 [scales, parts, 2] of the parts of x: those of one scale side by side. */
static clf_tensor find_parts(clf_stream *s, clf_tensor x, bool joint)
{
    const int64_t B = x.dim[0], C = x.dim[1], parts = (int64_t)clf_div_up((uint64_t)x.dim[2], PART);
    const clf_tensor ranges =
        joint ? clf_scratch(s, CLF_F32, CLF_DIMS(C, B * parts, 2)) : clf_scratch(s, CLF_F32, CLF_DIMS(B * C, parts, 2));
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_min_max_parts",
        .options = "",
        .groups = { clf_row_groups(parts), clf_row_groups(B * C) },
        .items = 1,
        .turns = clf_turns_of_rows(B * C, clf_turns_of_rows(parts, turns_of_part(s, x.dim[2]))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)(B * C)), clf_arg_u64((uint64_t)x.dim[2]),
               clf_arg_u64(PART), clf_arg_u64((uint64_t)B), clf_arg_u64((uint64_t)C), clf_arg_u32(joint),
               clf_arg_memory(ranges), clf_arg_u64(clf_first_element(ranges)));
    return ranges;
}

static clf_tensor merge(clf_stream *s, clf_tensor ranges)
{
    const int64_t scales = ranges.dim[0], parts = ranges.dim[1];
    const int64_t left = (int64_t)clf_div_up((uint64_t)parts, MERGE);
    const clf_tensor merged = clf_scratch(s, CLF_F32, CLF_DIMS(scales, left, 2));
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_min_max_merge",
        .options = "",
        .groups = { clf_row_groups(left), clf_row_groups(scales) },
        .items = 1,
        .turns = clf_turns_of_rows(scales, clf_turns_of_rows(left, (uint64_t)MERGE)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(ranges), clf_arg_u64(clf_first_element(ranges)),
               clf_arg_u64((uint64_t)scales), clf_arg_u64((uint64_t)parts), clf_arg_u64(MERGE), clf_arg_memory(merged),
               clf_arg_u64(clf_first_element(merged)));
    return merged;
}

static void apply(clf_stream *s, clf_tensor x, clf_tensor ranges, bool joint, float eps, clf_tensor y)
{
    const int64_t rows = x.dim[0] * x.dim[1], parts = (int64_t)clf_div_up((uint64_t)x.dim[2], PART);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_min_max_apply",
        .options = "",
        .groups = { clf_row_groups(parts), clf_row_groups(rows) },
        .items = 1,
        .turns = clf_turns_of_rows(rows, FEW + clf_turns_of_rows(parts, turns_of_part(s, x.dim[2]))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_memory(ranges), clf_arg_u64(clf_first_element(ranges)),
               clf_arg_u64((uint64_t)ranges.dim[1]), clf_arg_u64((uint64_t)rows), clf_arg_u64((uint64_t)x.dim[2]),
               clf_arg_u64(PART), clf_arg_u64((uint64_t)x.dim[1]), clf_arg_u32(joint), clf_arg_f32(eps),
               clf_arg_rows(y));
}

void clf_min_max(clf_stream *s, clf_tensor x, clf_min_max_over over, float eps, clf_tensor y)
{
    const bool joint = over == CLF_MIN_MAX_BATCH;

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_min_max_check(x, over, eps, y, clf_op_error(s))) ||
        clf_element_count(x) == 0)
        return;

    const clf_scope scope = clf_scope_open(s, NULL, -1);
    clf_tensor ranges = find_parts(s, x, joint);

    while (ranges.dim[1] > FEW)
        ranges = merge(s, ranges);
    apply(s, x, ranges, joint, eps, y);
    clf_scope_close(s, scope);
}
