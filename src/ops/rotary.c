/* rotary: pairs (a, b) of features become (a cos - b sin, b cos + a sin).  x, y [B, T, H, D]; tables [T or B T, P]. */
#include <clfusion/rotary.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "rotary"

/* Elements that a group of one item turns: as many as elementwise operators take (ops/sweep.c). */
#define SPAN 2048

/* On GPUs: items of a group, and those of them that share a head; heads of 64 to 128 give each a vector or two. */
#define ITEMS 64
#define LANES 16

static clf_status check_view(clf_tensor t, const char *name, clf_error *err)
{
    CLF_REQUIRE(err, clf_is_float(t.dtype), CLF_UNSUPPORTED, "%s is %s; want f32, f16 or bf16", name, CLF_TEXT(t));
    CLF_REQUIRE(err, clf_shape_valid(t) && t.rank == 4, CLF_INVALID_ARGUMENT, "%s is %s; want [B, T, H, D]", name,
                CLF_TEXT(t));
    for (int32_t i = 0; i < t.rank; i++)
        CLF_REQUIRE(err, t.dim[i] <= INT32_MAX, CLF_UNSUPPORTED, "%s is %s; want dimensions below 2^31", name,
                    CLF_TEXT(t));
    CLF_REQUIRE(err, t.offset % clf_dtype_bytes(t.dtype) == 0, CLF_INVALID_ARGUMENT,
                "%s begins at byte %" PRIu64 "; want a multiple of %zu for %s", name, t.offset,
                clf_dtype_bytes(t.dtype), clf_dtype_name(t.dtype));
    CLF_REQUIRE(err, clf_row_dense(t), CLF_UNSUPPORTED,
                "%s is a view with stride %" PRId64 " in its last dimension; want 1", name, t.stride[3]);
    return CLF_OK;
}

static clf_status check_width(clf_tensor x, clf_rotary_pairs pairs, int64_t R, clf_error *err)
{
    CLF_REQUIRE(err, pairs == CLF_ROTARY_HALVES || pairs == CLF_ROTARY_ADJACENT || pairs == CLF_ROTARY_QUARTERS,
                CLF_INVALID_ARGUMENT, "pairs is %d; want CLF_ROTARY_HALVES, _ADJACENT or _QUARTERS", (int)pairs);
    CLF_REQUIRE(err, R >= 2 && R <= x.dim[3], CLF_INVALID_ARGUMENT,
                "width is %" PRId64 "; want 2 to %" PRId64 ", the width of a head of x %s", R, x.dim[3], CLF_TEXT(x));
    CLF_REQUIRE(err, R % (pairs == CLF_ROTARY_QUARTERS ? 4 : 2) == 0, CLF_INVALID_ARGUMENT,
                "width is %" PRId64 "; want a multiple of %d for these pairs", R, pairs == CLF_ROTARY_QUARTERS ? 4 : 2);
    return CLF_OK;
}

static clf_status check_table(clf_tensor x, clf_tensor table, const char *name, int64_t R, clf_error *err)
{
    const int64_t B = x.dim[0], T = x.dim[1], P = clf_dim(table, -1);

    CLF_REQUIRE(err, table.dtype == CLF_F32, CLF_UNSUPPORTED, "%s is %s; want f32", name, CLF_TEXT(table));
    CLF_REQUIRE(
        err, (P == R / 2 || P == R) && (clf_shape_is(table, CLF_DIMS(T, P)) || clf_shape_is(table, CLF_DIMS(B, T, P))),
        CLF_INVALID_ARGUMENT,
        "%s is %s; want [%" PRId64 ", P] or [%" PRId64 ", %" PRId64 ", P] with P %" PRId64 " or %" PRId64 ", for x %s",
        name, CLF_TEXT(table), T, B, T, R / 2, R, CLF_TEXT(x));
    CLF_REQUIRE(err, table.offset % sizeof(float) == 0, CLF_INVALID_ARGUMENT,
                "%s begins at byte %" PRIu64 "; want a multiple of 4 for f32", name, table.offset);
    CLF_REQUIRE(err, clf_row_dense(table) && clf_rows_of(table, &(clf_rows){ { 0 } }), CLF_UNSUPPORTED,
                "%s %s is a view with gaps in its rows; want them dense", name, CLF_TEXT(table));
    return CLF_OK;
}

clf_status clf_rotary_check(clf_tensor x, clf_tensor cosines, clf_tensor sines, clf_rotary_pairs pairs, int64_t width,
                            clf_tensor y, clf_error *err)
{
    CLF_TRY(check_view(x, "x", err));
    const int64_t R = width == 0 ? x.dim[3] : width;

    CLF_TRY(check_width(x, pairs, R, err));
    CLF_TRY(check_table(x, cosines, "cosines", R, err));
    CLF_TRY(check_table(x, sines, "sines", R, err));
    CLF_REQUIRE_ALIKE(err, sines, "sines", cosines, "cosines");
    CLF_TRY(check_view(y, "y", err));
    CLF_REQUIRE_ALIKE(err, y, "y", x, "x");
    CLF_REQUIRE(err, clf_elements_apart(y), CLF_INVALID_ARGUMENT,
                "y %s is a view whose rows meet; want each element in a place of its own", CLF_TEXT(y));
    CLF_REQUIRE_SAME_OR_APART(err, y, "y", x, "x");
    CLF_REQUIRE_APART(err, y, "y", cosines, "cosines");
    CLF_REQUIRE_APART(err, y, "y", sines, "sines");
    return CLF_OK;
}

/* Memory, first element and steps of batch, token and head. */
#define HEADS(t)                                                                                                       \
    clf_arg_memory(t), clf_arg_u64(clf_first_element(t)), clf_arg_u64((uint64_t)(t).stride[0]),                        \
        clf_arg_u64((uint64_t)(t).stride[1]), clf_arg_u64((uint64_t)(t).stride[2])

void clf_rotary(clf_stream *s, clf_tensor x, clf_tensor cosines, clf_tensor sines, clf_rotary_pairs pairs,
                int64_t width, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_rotary_check(x, cosines, sines, pairs, width, y, clf_op_error(s))))
        return;
    if (clf_element_count(x) == 0)
        return;

    const uint64_t tokens = (uint64_t)x.dim[0] * (uint64_t)x.dim[1], row = (uint64_t)(x.dim[2] * x.dim[3]);
    const uint64_t block = CLF_MAX(SPAN / CLF_MIN(row, (uint64_t)SPAN), clf_div_up(tokens, CLF_GROUPS_MAX));
    const uint32_t D = (uint32_t)x.dim[3], R = width == 0 ? D : (uint32_t)width;
    const bool tile = clf_op_kernels(s) == CLF_KERNELS_TILE;
    clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const size_t length = strlen(options.text);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = pairs == CLF_ROTARY_ADJACENT ? "clf_rotary_adjacent" : "clf_rotary_halves",
        .options = options.text,
        .groups = { clf_div_up(tokens, block), 1 },
        .items = tile ? ITEMS : 1,
        .turns = clf_turns(block, clf_turns((uint64_t)x.dim[2], 2 * clf_turns_of_row(s, x.dim[3]))),
    };

    clf_format(options.text + length, sizeof options.text - length, " -DCLF_ITEMS=%d", tile ? ITEMS : 1);
    CLF_LAUNCH(s, &kernel, HEADS(x), clf_arg_rows(cosines), clf_arg_rows(sines), clf_arg_u32(cosines.rank == 2),
               clf_arg_u64(tokens), clf_arg_u64(block), clf_arg_u32((uint32_t)x.dim[1]),
               clf_arg_u32((uint32_t)x.dim[2]), clf_arg_u32(D), clf_arg_u32(R),
               clf_arg_u32(clf_same_memory(x, y) ? D : R), clf_arg_u32(tile ? LANES : 1), HEADS(y),
               clf_arg_u32(pairs == CLF_ROTARY_QUARTERS ? 2 : 1), clf_arg_u32(clf_dim(cosines, -1) == (int64_t)R));
}
