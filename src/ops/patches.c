/* patches: y[b, (i, j), (c, u, v)] = x[b, c, i p + u, j p + v].  x [B, C, H, W], y [B, N, C p p]. */
#include <clfusion/patches.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "patches"

clf_status clf_patches_check(clf_tensor x, int64_t patch, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE(err, x.rank == 4, CLF_INVALID_ARGUMENT, "x is %s; want [B, C, H, W]", CLF_TEXT(x));
    CLF_REQUIRE(err, patch >= 1 && patch <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "patch is %" PRId64 "; want 1 or more, below 2^31", patch);
    CLF_REQUIRE(err, x.dim[2] % patch == 0 && x.dim[3] % patch == 0, CLF_INVALID_ARGUMENT,
                "x is %s; want height and width divisible by patch %" PRId64, CLF_TEXT(x), patch);
    CLF_REQUIRE_RESULT(err, y, "y");
    /* As many elements as x, so no product below overflows once it holds. */
    CLF_REQUIRE(err,
                y.dtype == x.dtype && y.rank == 3 && clf_element_count(y) == clf_element_count(x) &&
                    y.dim[0] == x.dim[0] && y.dim[1] == x.dim[2] / patch * (x.dim[3] / patch),
                CLF_INVALID_ARGUMENT,
                "y is %s; want [%" PRId64 ", %" PRId64 " x %" PRId64 ", %" PRId64 " x %" PRId64 " x %" PRId64
                "] of the type of x %s",
                CLF_TEXT(y), x.dim[0], x.dim[2] / patch, x.dim[3] / patch, x.dim[1], patch, patch, CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

static uint64_t turns_of_patch(uint64_t C, uint64_t patch)
{
    return clf_turns(C, clf_turns(patch, clf_turns(patch, 0)));
}

void clf_patches(clf_stream *s, clf_tensor x, int64_t patch, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_patches_check(x, patch, y, clf_op_error(s))))
        return;
    if (clf_element_count(x) == 0)
        return;

    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_patches_rows",
        .options = clf_dtype_bytes(x.dtype) == 2 ? "-DCLF_UNIT=ushort" : "-DCLF_UNIT=uint",
        .groups = { CLF_MIN((uint64_t)clf_row_count(y), CLF_GROUPS_MAX), 1 },
        .items = 1,
        .turns = clf_turns_of_rows(clf_row_count(y), turns_of_patch((uint64_t)x.dim[1], (uint64_t)patch)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)clf_row_count(y)), clf_arg_u32((uint32_t)x.dim[1]),
               clf_arg_u64((uint64_t)x.dim[2]), clf_arg_u64((uint64_t)x.dim[3]), clf_arg_u32((uint32_t)patch),
               clf_arg_rows(y));
}
