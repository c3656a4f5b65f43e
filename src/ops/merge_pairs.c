/* merge_pairs: even rows of x [B, N, C] that merged [B, r] lists become part of the odd rows that partner names. */
#include <clfusion/merge_pairs.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "merge_pairs"

#define ITEMS 32      /* of a group on GPUs: some drivers give no more to a kernel without barriers */
#define SPAN_ROWS 256 /* of x, that a group looks up */

/* A dense tensor of this type and shape. */
#define CLF_REQUIRE_DENSE(err, t, name, type, ...)                                                                     \
    do {                                                                                                               \
        CLF_REQUIRE(err, (t).dtype == (type) && clf_shape_is((t), CLF_DIMS(__VA_ARGS__)), CLF_INVALID_ARGUMENT,        \
                    name " is %s; want %s, for x %s", CLF_TEXT(t),                                                     \
                    CLF_TEXT(clf_tensor_shape((type), CLF_DIMS(__VA_ARGS__))), CLF_TEXT(x));                           \
        CLF_REQUIRE(err, clf_is_dense(t), CLF_UNSUPPORTED, name " is a view with gaps; want a dense tensor");          \
        CLF_REQUIRE_ALIGNED(err, t, name);                                                                             \
    } while (0)

static clf_status check_apart(const clf_tensor *results, const char *const *names, const clf_tensor *inputs,
                              const char *const *input_names, clf_error *err)
{
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 4; j++)
            CLF_REQUIRE(err, !clf_may_overlap(results[i], inputs[j]), CLF_INVALID_ARGUMENT,
                        "%s overlaps %s; want apart", names[i], input_names[j]);
        for (int j = 0; j < i; j++)
            CLF_REQUIRE(err, !clf_may_overlap(results[i], results[j]), CLF_INVALID_ARGUMENT,
                        "%s overlaps %s; want apart", names[i], names[j]);
    }
    return CLF_OK;
}

clf_status clf_merge_pairs_check(clf_tensor x, clf_tensor sizes, clf_tensor partner, clf_tensor merged, clf_tensor y,
                                 clf_tensor y_sizes, clf_tensor source, clf_error *err)
{
    static const char *const names[] = { "y", "y_sizes", "source" }, *const input_names[] = { "x", "sizes", "partner",
                                                                                              "merged" };
    const int64_t r = clf_present(merged) ? clf_dim(merged, -1) : 0;

    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_WIDTH(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3 && x.dim[1] <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "x is %s; want [B, N, C], N below 2^31", CLF_TEXT(x));
    const int64_t B = x.dim[0], N = x.dim[1];

    CLF_REQUIRE(err, r >= 0 && r <= N / 2, CLF_INVALID_ARGUMENT,
                "r is %" PRId64 ", the last dimension of merged; want 0 to %" PRId64 ", half the rows of x %s", r,
                N / 2, CLF_TEXT(x));
    if (clf_present(sizes))
        CLF_REQUIRE_DENSE(err, sizes, "sizes", CLF_F32, B, N);
    CLF_REQUIRE_DENSE(err, partner, "partner", CLF_I32, B, N - N / 2);
    if (clf_present(merged))
        CLF_REQUIRE_DENSE(err, merged, "merged", CLF_I32, B, r);
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(B, N - r, x.dim[2])), CLF_INVALID_ARGUMENT,
                "y is %s; want f32[%" PRId64 ", %" PRId64 ", %" PRId64 "], for x %s and r %" PRId64, CLF_TEXT(y), B,
                N - r, x.dim[2], CLF_TEXT(x), r);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE_DENSE(err, y_sizes, "y_sizes", CLF_F32, B, N - r);
    CLF_REQUIRE_DENSE(err, source, "source", CLF_I32, B, N);
    return check_apart((const clf_tensor[]){ y, y_sizes, source }, names,
                       (const clf_tensor[]){ x, sizes, partner, merged }, input_names, err);
}

void clf_merge_pairs(clf_stream *s, clf_tensor x, clf_tensor sizes, clf_tensor partner, clf_tensor merged, clf_tensor y,
                     clf_tensor y_sizes, clf_tensor source)
{
    if (!clf_op_enter(s) ||
        !clf_op_passed(s, clf_merge_pairs_check(x, sizes, partner, merged, y, y_sizes, source, clf_op_error(s))))
        return;

    const uint64_t B = (uint64_t)x.dim[0], N = (uint64_t)x.dim[1], r = N - (uint64_t)y.dim[1];
    const clf_options options = clf_options_types("CLF_X", x.dtype, NULL);
    const uint64_t items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1;
    /* A search, the row, and all pairs that may have come to it. */
    const uint64_t of_row = clf_turns_of_row(s, x.dim[2]), turns = 40 + 4 * of_row + clf_turns(r, of_row);
    const clf_kernel rows = { .program = CLF_OP,
                              .entry = "clf_merge_pairs_rows",
                              .options = options.text,
                              .groups = { clf_row_groups(y.dim[1]), clf_row_groups(x.dim[0]) },
                              .items = items,
                              .turns = clf_turns_of_rows(x.dim[0], clf_turns_of_rows(y.dim[1], turns)) };
    const clf_kernel places = { .program = CLF_OP,
                                .entry = "clf_merge_pairs_source",
                                .options = options.text,
                                .groups = { clf_div_up(N, SPAN_ROWS), clf_row_groups(x.dim[0]) },
                                .items = items };

    CLF_LAUNCH(s, &rows, clf_arg_rows(x), clf_arg_u32(clf_present(sizes)), clf_arg_memory(sizes),
               clf_arg_u64(clf_first_element(sizes)), clf_arg_memory(partner), clf_arg_u64(clf_first_element(partner)),
               clf_arg_memory(merged), clf_arg_u64(clf_first_element(merged)), clf_arg_u64(B), clf_arg_u64(N),
               clf_arg_u64(r), clf_arg_u32((uint32_t)x.dim[2]), clf_arg_rows(y), clf_arg_memory(y_sizes),
               clf_arg_u64(clf_first_element(y_sizes)));
    CLF_LAUNCH(s, &places, clf_arg_memory(partner), clf_arg_u64(clf_first_element(partner)), clf_arg_memory(merged),
               clf_arg_u64(clf_first_element(merged)), clf_arg_u64(B), clf_arg_u64(N), clf_arg_u64(r),
               clf_arg_memory(source), clf_arg_u64(clf_first_element(source)));
}
