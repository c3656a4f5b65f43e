/* vocabulary: a softmax or an argmax over blocks of logits.  x [R, V], state [R, 2], y [R, C]. */
#include "ops/vocabulary.h"

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "vocabulary"

/* ---- checks ---- */

static clf_status check_logits(clf_tensor x, clf_error *err)
{
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    CLF_REQUIRE(err, x.dtype == CLF_F32 && x.rank == 2, CLF_INVALID_ARGUMENT, "x is %s; want f32[R, V]", CLF_TEXT(x));
    return CLF_OK;
}

/* Dense and of this shape. */
static clf_status check_state(const char *name, clf_tensor t, clf_dtype dtype, clf_dims dims, clf_error *err)
{
    const clf_tensor want = clf_tensor_shape(dtype, dims);

    CLF_REQUIRE(err, clf_alike(t, want) && clf_is_dense(t) && t.offset % clf_dtype_bytes(dtype) == 0,
                CLF_INVALID_ARGUMENT, "%s is %s; want %s, dense", name, CLF_TEXT(t), CLF_TEXT(want));
    return CLF_OK;
}

static clf_status check_sums(clf_tensor y, int64_t R, clf_error *err)
{
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, y.dtype == CLF_F32 && y.rank == 2 && y.dim[0] == R && y.dim[1] <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "y is %s; want f32[%" PRId64 ", C], C below 2^31", CLF_TEXT(y), R);
    return CLF_OK;
}

clf_status clf_vocabulary_softmax_check(clf_tensor x, clf_tensor state, clf_tensor y, clf_error *err)
{
    CLF_TRY(check_logits(x, err));
    CLF_REQUIRE(err, clf_elements_apart(x), CLF_INVALID_ARGUMENT,
                "x %s is a view whose rows meet; want each element in a place of its own", CLF_TEXT(x));
    CLF_TRY(check_state("state", state, CLF_F32, CLF_DIMS(x.dim[0], 2), err));
    CLF_REQUIRE_APART(err, state, "state", x, "x");
    if (!clf_present(y))
        return CLF_OK;
    CLF_TRY(check_sums(y, x.dim[0], err));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    CLF_REQUIRE_APART(err, y, "y", state, "state");
    return CLF_OK;
}

clf_status clf_vocabulary_divide_check(clf_tensor state, clf_tensor y, clf_error *err)
{
    CLF_TRY(check_sums(y, clf_dim(y, 0), err));
    CLF_TRY(check_state("state", state, CLF_F32, CLF_DIMS(y.dim[0], 2), err));
    CLF_REQUIRE_APART(err, y, "y", state, "state");
    return CLF_OK;
}

clf_status clf_vocabulary_argmax_check(clf_tensor x, int64_t begin, clf_tensor best, clf_tensor index, clf_error *err)
{
    CLF_TRY(check_logits(x, err));
    CLF_REQUIRE(err, begin >= 0 && begin <= INT32_MAX - x.dim[1], CLF_INVALID_ARGUMENT,
                "begin is %" PRId64 "; want 0 or more, with the columns of x %s at most 2^31 - 1", begin, CLF_TEXT(x));
    CLF_TRY(check_state("best", best, CLF_F32, CLF_DIMS(x.dim[0]), err));
    CLF_TRY(check_state("index", index, CLF_I32, CLF_DIMS(x.dim[0]), err));
    CLF_REQUIRE_APART(err, best, "best", x, "x");
    CLF_REQUIRE_APART(err, index, "index", x, "x");
    CLF_REQUIRE_APART(err, index, "index", best, "best");
    return CLF_OK;
}

/* ---- launches ---- */

/* A row a group: vectors of one item on CPUs, items side by side on GPUs.  `turns` of a row. */
static clf_kernel rows_kernel(const clf_stream *s, const char *simd, const char *tile, const char *ref, int64_t rows,
                              uint64_t turns)
{
    const clf_kernel_shape shape = clf_op_kernels(s);

    return (clf_kernel){
        .program = CLF_OP,
        .entry = shape == CLF_KERNELS_SIMD   ? simd
                 : shape == CLF_KERNELS_TILE ? tile
                                             : ref,
        .options = "",
        .groups = { clf_row_groups(rows), 1 },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(rows, turns),
    };
}

void clf_vocabulary_softmax(clf_stream *s, clf_tensor x, clf_tensor state, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_vocabulary_softmax_check(x, state, y, clf_op_error(s))))
        return;

    const uint64_t turns = 2 * clf_turns_of_row(s, x.dim[1]) + clf_turns_of_row(s, clf_present(y) ? y.dim[1] : 0);
    const clf_kernel kernel = rows_kernel(s, "clf_vocabulary_softmax_simd", "clf_vocabulary_softmax_tile",
                                          "clf_vocabulary_softmax_ref", x.dim[0], turns);

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_memory(state), clf_arg_u64(clf_first_element(state)),
               clf_arg_u64((uint64_t)x.dim[0]), clf_arg_u32((uint32_t)x.dim[1]),
               clf_arg_u32(clf_present(y) ? (uint32_t)y.dim[1] : 0), clf_arg_u32(!clf_present(y)), clf_arg_rows(y));
}

void clf_vocabulary_divide(clf_stream *s, clf_tensor state, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_vocabulary_divide_check(state, y, clf_op_error(s))))
        return;

    const clf_kernel kernel = rows_kernel(s, "clf_vocabulary_divide_simd", "clf_vocabulary_divide_tile",
                                          "clf_vocabulary_divide_ref", y.dim[0], clf_turns_of_row(s, y.dim[1]));

    CLF_LAUNCH(s, &kernel, clf_arg_memory(state), clf_arg_u64(clf_first_element(state)),
               clf_arg_u64((uint64_t)y.dim[0]), clf_arg_u32((uint32_t)y.dim[1]), clf_arg_rows(y));
}

void clf_vocabulary_argmax(clf_stream *s, clf_tensor x, int64_t begin, clf_tensor best, clf_tensor index)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_vocabulary_argmax_check(x, begin, best, index, clf_op_error(s))))
        return;

    /* In vectors the largest is known first; then its place is looked for. */
    const uint64_t place = clf_op_kernels(s) == CLF_KERNELS_SIMD ? clf_turns((uint64_t)x.dim[1], 0) : 0;
    const clf_kernel kernel = rows_kernel(s, "clf_vocabulary_argmax_simd", "clf_vocabulary_argmax_tile",
                                          "clf_vocabulary_argmax_ref", x.dim[0], clf_turns_of_row(s, x.dim[1]) + place);

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_u64((uint64_t)x.dim[0]), clf_arg_u32((uint32_t)x.dim[1]),
               clf_arg_u32((uint32_t)begin), clf_arg_memory(best), clf_arg_u64(clf_first_element(best)),
               clf_arg_memory(index), clf_arg_u64(clf_first_element(index)));
}
