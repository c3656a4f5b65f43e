/* softmax: y = softmax(scale x + mask).  x, y [B, R, N], mask [B or 1, N]. */
#include "ops/softmax.h"

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "softmax"
#define CLEAR_ITEMS 32 /* on GPUs; some drivers allow no more of a kernel that states no size */

clf_status clf_softmax_mask_check(clf_tensor mask, int64_t B, int64_t N, clf_error *err)
{
    CLF_REQUIRE(err, mask.dtype == CLF_F32, CLF_UNSUPPORTED, "mask is %s; want f32", CLF_TEXT(mask));
    CLF_REQUIRE(err, mask.rank == 2 && (mask.dim[0] == B || mask.dim[0] == 1) && mask.dim[1] == N, CLF_INVALID_ARGUMENT,
                "mask is %s; want [%" PRId64 " or 1, %" PRId64 "]", CLF_TEXT(mask), B, N);
    CLF_REQUIRE_TENSOR(err, mask, "mask");
    return CLF_OK;
}

/* Rows of floats in B blocks. */
static clf_status check_blocks(const char *name, clf_tensor t, clf_error *err)
{
    CLF_REQUIRE(err, t.dtype == CLF_F32, CLF_UNSUPPORTED, "%s is %s; want f32", name, CLF_TEXT(t));
    CLF_REQUIRE(err, t.rank == 3 && t.dim[2] <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "%s is %s; want three dimensions, the last below 2^31", name, CLF_TEXT(t));
    return CLF_OK;
}

clf_status clf_softmax_check(clf_tensor x, clf_tensor mask, clf_unseen unseen, clf_tensor y, clf_error *err)
{
    CLF_TRY(check_blocks("x", x, err));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");
    CLF_REQUIRE(err, unseen == CLF_UNSEEN_ZERO || unseen == CLF_UNSEEN_UNIFORM, CLF_INVALID_ARGUMENT,
                "unseen is %d; want CLF_UNSEEN_ZERO or CLF_UNSEEN_UNIFORM", (int)unseen);
    if (!clf_present(mask))
        return CLF_OK;
    CLF_REQUIRE_APART(err, y, "y", mask, "mask");
    return clf_softmax_mask_check(mask, x.dim[0], x.dim[2], err);
}

clf_status clf_softmax_clear_check(clf_tensor mask, clf_tensor y, clf_error *err)
{
    CLF_TRY(check_blocks("y", y, err));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, clf_dim(mask, -1) <= INT32_MAX, CLF_INVALID_ARGUMENT, "mask is %s; want columns below 2^31",
                CLF_TEXT(mask));
    CLF_REQUIRE_APART(err, y, "y", mask, "mask");
    return clf_softmax_mask_check(mask, y.dim[0], clf_dim(mask, -1), err);
}

static clf_arg mask_step(clf_tensor mask)
{
    return clf_arg_u64(clf_present(mask) && mask.dim[0] > 1 ? (uint64_t)mask.stride[0] : 0);
}

void clf_softmax(clf_stream *s, clf_tensor x, float scale, clf_tensor mask, clf_unseen unseen, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_softmax_check(x, mask, unseen, y, clf_op_error(s))) ||
        clf_element_count(x) == 0)
        return;

    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_softmax_simd", /* CPUs: a row a work-item, explicit vectors */
        [CLF_KERNELS_TILE] = "clf_softmax_tile", /* GPUs: a row a work-group */
        [CLF_KERNELS_REF] = "clf_softmax_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const int64_t rows = clf_row_count(x);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = "",
        .groups = { clf_row_groups(rows), 1 },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(rows, 3 * clf_turns_of_row(s, x.dim[2]) + 16),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_f32(scale), clf_arg_u32(clf_present(mask)), clf_arg_memory(mask),
               clf_arg_u64(clf_first_element(mask)), mask_step(mask), clf_arg_u64((uint64_t)x.dim[1]),
               clf_arg_f32(unseen == CLF_UNSEEN_UNIFORM ? 1.0F / (float)x.dim[2] : 0.0F), clf_arg_u64((uint64_t)rows),
               clf_arg_u32((uint32_t)x.dim[2]), clf_arg_rows(y));
}

void clf_softmax_clear(clf_stream *s, clf_tensor mask, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_softmax_clear_check(mask, y, clf_op_error(s))) ||
        clf_element_count(y) == 0)
        return;

    const int64_t rows = clf_row_count(y), N = clf_dim(mask, -1);
    const uint64_t items = clf_op_kernels(s) == CLF_KERNELS_TILE ? CLEAR_ITEMS : 1;
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_softmax_clear",
        .options = "",
        .groups = { clf_row_groups(rows), 1 },
        .items = items,
        .turns =
            clf_turns_of_rows(rows, clf_turns((uint64_t)N, 0) + clf_turns(clf_div_up((uint64_t)y.dim[2], items), 0)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(mask), clf_arg_u64(clf_first_element(mask)), mask_step(mask),
               clf_arg_u64((uint64_t)y.dim[1]), clf_arg_u64((uint64_t)rows), clf_arg_u32((uint32_t)N),
               clf_arg_u32((uint32_t)y.dim[2]), clf_arg_rows(y));
}
