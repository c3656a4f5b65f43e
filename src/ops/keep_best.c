/* keep_best: values, indices [Q, k] = the best k of what they hold and of the columns of scores [R, Q]. */
#include <clfusion/keep_best.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "keep_best"

static clf_status check_kept(clf_tensor t, const char *name, clf_dtype dtype, int64_t Q, int64_t k, clf_error *err)
{
    CLF_REQUIRE(err, t.dtype == dtype && clf_shape_is(t, CLF_DIMS(Q, k)) && clf_is_dense(t), CLF_INVALID_ARGUMENT,
                "%s is %s; want dense %s[%" PRId64 ", %" PRId64 "]", name, CLF_TEXT(t), clf_dtype_name(dtype), Q, k);
    CLF_REQUIRE(err, t.offset % clf_dtype_bytes(dtype) == 0, CLF_INVALID_ARGUMENT,
                "%s begins at byte %" PRIu64 "; want a multiple of %zu", name, t.offset, clf_dtype_bytes(dtype));
    return CLF_OK;
}

clf_status clf_keep_best_check(clf_tensor scores, int64_t seen, clf_tensor values, clf_tensor indices, clf_error *err)
{
    const int64_t k = clf_dim(values, 1);

    CLF_REQUIRE(err, scores.dtype == CLF_F32, CLF_UNSUPPORTED, "scores is %s; want f32", CLF_TEXT(scores));
    CLF_REQUIRE_TENSOR(err, scores, "scores");
    CLF_REQUIRE(err, scores.rank == 2, CLF_INVALID_ARGUMENT, "scores is %s; want [R, Q]", CLF_TEXT(scores));
    CLF_REQUIRE(err, seen >= 0 && scores.dim[0] <= INT64_MAX - seen, CLF_INVALID_ARGUMENT,
                "seen is %" PRId64 "; want 0 or more, below 2^63 with the rows of scores %s", seen, CLF_TEXT(scores));
    CLF_REQUIRE(err, values.rank == 2 && k >= 1 && k <= CLF_KEEP_BEST_MAX, CLF_INVALID_ARGUMENT,
                "values is %s; want [Q, k], k of 1 to %d", CLF_TEXT(values), CLF_KEEP_BEST_MAX);
    CLF_TRY(check_kept(values, "values", CLF_F32, scores.dim[1], k, err));
    CLF_TRY(check_kept(indices, "indices", CLF_I64, scores.dim[1], k, err));
    CLF_REQUIRE_APART(err, values, "values", scores, "scores");
    CLF_REQUIRE_APART(err, indices, "indices", scores, "scores");
    CLF_REQUIRE_APART(err, indices, "indices", values, "values");
    return CLF_OK;
}

/* Of a launch over so many rows, each of which may move the whole list of each query.  Leaving a loop turns the loop in
 * it once more, and so do the other ways through the kernel; looking at rows together adds less than two for each. */
static uint64_t turns_of(const clf_stream *s, int64_t rows, int64_t k)
{
    const uint64_t insert = clf_turns((uint64_t)k - 1, 0), vector = clf_stream_context(s)->vector_width;

    if (clf_op_kernels(s) != CLF_KERNELS_SIMD)
        return clf_turns((uint64_t)rows, insert) + 16;
    return clf_turns(vector, 0) + clf_turns((uint64_t)rows, clf_turns(vector, insert) + 2) + 16;
}

/* Rows of a launch: all that the device has turns for. */
static int64_t rows_at_once(const clf_stream *s, clf_tensor scores, int64_t k)
{
    const uint64_t none = turns_of(s, 0, k), each = turns_of(s, 1, k) - none;
    const uint64_t most = CLF_MAX((clf_launch_turns(s) - none) / each, 1);

    return (int64_t)CLF_MIN((uint64_t)scores.dim[0], most);
}

static void launch(clf_stream *s, clf_tensor scores, int64_t seen, clf_tensor values, clf_tensor indices)
{
    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_keep_best_simd", /* CPUs: as many queries as a vector has lanes a work-item */
        [CLF_KERNELS_TILE] = "clf_keep_best_tile", /* GPUs: a query a work-item, side by side */
        [CLF_KERNELS_REF] = "clf_keep_best_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const uint64_t Q = (uint64_t)scores.dim[1], items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1;
    const uint64_t queries = shape == CLF_KERNELS_SIMD ? clf_stream_context(s)->vector_width : items; /* of a group */
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = "",
        .groups = { clf_div_up(Q, queries), 1 },
        .items = items,
        .turns = turns_of(s, scores.dim[0], values.dim[1]),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(scores), clf_arg_u64((uint64_t)scores.dim[0]), clf_arg_u64(Q),
               clf_arg_u64((uint64_t)seen), clf_arg_u32((uint32_t)values.dim[1]), clf_arg_memory(values),
               clf_arg_u64(values.offset / sizeof(float)), clf_arg_memory(indices),
               clf_arg_u64(indices.offset / sizeof(int64_t)));
}

void clf_keep_best(clf_stream *s, clf_tensor scores, int64_t seen, clf_tensor values, clf_tensor indices)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_keep_best_check(scores, seen, values, indices, clf_op_error(s))) ||
        clf_element_count(scores) == 0)
        return;

    const int64_t at_once = rows_at_once(s, scores, values.dim[1]);

    for (int64_t first = 0; first < scores.dim[0]; first += at_once) {
        const int64_t rows = CLF_MIN(at_once, scores.dim[0] - first);

        launch(s, clf_slice(s, scores, 0, first, rows), seen + first, values, indices);
    }
}
