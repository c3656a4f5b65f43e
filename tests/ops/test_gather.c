/* gather: bit for bit, and never outside the table. */
#include "ops/ops.h"
#include "ref/ref.h"

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    enum { V = 11 };
    const clf_tensor table = clf_test_normal(t, dtype, CLF_DIMS(V, C)), y = clf_test_empty(t, dtype, CLF_DIMS(R, C));
    int32_t *index = clf_test_memory(t, (size_t)R * sizeof *index);

    for (int64_t r = 0; r < R; r++)
        index[r] = (int32_t)(clf_test_random(t) * V);
    clf_gather(t->stream, table, clf_test_i32(t, CLF_DIMS(R), index), y);
    clf_test_exact(t, y, clf_ref_gather(t, table, index, y));
}

static void takes_the_rows_that_are_named(void **state)
{
    clf_ops_each_size(*state, one_size);
}

/* The table stands between guard zones: an entry of V, the least, or the largest i32 must not reach them. */
static void entries_outside_the_table_leave_their_rows(void **state)
{
    static const int32_t index[] = { 2, -1, 0, 4, 3, INT32_MIN, INT32_MAX, 1 };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor table = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(2, 2, 67));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(2, 4, 67));

        clf_gather(t->stream, table, clf_test_i32(t, CLF_DIMS(2, 4), index), y);
        clf_test_exact(t, y, clf_ref_gather(t, table, index, y));
    }
}

static void moves_any_type_of_two_or_four_bytes(void **state)
{
    static const int32_t rows[] = { 70000, 1, -5, 6, 7, 8 }, index[] = { 2, 0 };
    clf_test *t = *state;
    const clf_tensor i = clf_test_i32(t, CLF_DIMS(2), index);
    const clf_tensor table = clf_test_i32(t, CLF_DIMS(3, 2), rows), y = clf_test_empty(t, CLF_I32, CLF_DIMS(2, 2));
    clf_tensor half = clf_test_normal(t, CLF_F16, CLF_DIMS(3, 2)), out = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 2));

    clf_gather(t->stream, table, i, y);
    clf_test_exact(t, y, (const double[]){ 7, 8, 70000, 1 });
    half.dtype = out.dtype = CLF_U16; /* the same bits under another name */
    clf_gather(t->stream, half, i, out);
    half.dtype = out.dtype = CLF_F16;
    clf_test_exact(t, out, clf_ref_gather(t, half, index, out));
}

static void views_on_both_sides_leave_the_neighbours_untouched(void **state)
{
    static const int32_t index[] = { 9, 0, 5, 4, 1, 1, 2, 8, 7, 3 };
    clf_test *t = *state;
    const clf_tensor wide = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 7, 67));
    const clf_tensor table = clf_slice(t->stream, wide, 1, 1, 5); /* rows 0 .. 9 over both batches */
    const clf_tensor whole = clf_test_integers(t, CLF_F16, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 3, 5);

    clf_gather(t->stream, table, clf_test_i32(t, CLF_DIMS(10), index), y);
    clf_test_exact(t, y, clf_ref_gather(t, table, index, y));
    clf_ops_rest_untouched(t, whole, 3, 5);
}

static void an_index_may_begin_inside_its_memory(void **state)
{
    static const int32_t index[] = { 3, 2, 1, 0 };
    clf_test *t = *state;
    const clf_tensor table = clf_test_normal(t, CLF_F32, CLF_DIMS(4, 20));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 20));

    clf_gather(t->stream, table, clf_slice(t->stream, clf_test_i32(t, CLF_DIMS(4), index), 0, 2, 2), y);
    clf_test_exact(t, y, clf_ref_gather(t, table, index + 2, y));
}

static void an_empty_table_leaves_everything(void **state)
{
    static const int32_t index[] = { 0, -1, 3 };
    clf_test *t = *state;
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_gather(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 8)), clf_test_i32(t, CLF_DIMS(3), index), y);
    clf_ops_untouched(t, y);
}

static void a_failed_stream_stays_silent(void **state)
{
    static const int32_t index[] = { 0, 1, 2 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));
    const clf_tensor i = clf_test_i32(t, CLF_DIMS(3), index);

    clf_gather(t->stream, x, clf_slice(t->stream, i, 0, 0, 2), y);
    clf_gather(t->stream, x, i, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "gather: index is i32[2], 2 entries; want 3, one for each row of y f32[3, 8]");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor table = CLF_OPS_SHAPE(CLF_BF16, 100, 8), index = CLF_OPS_SHAPE(CLF_I32, 2, 3);
    const clf_tensor y = CLF_OPS_SHAPE(CLF_BF16, 2, 3, 8);
    clf_tensor gaps = index;

    (void)state;
    CLF_OPS_ACCEPTS(clf_gather_check(table, index, y, &err));
    CLF_OPS_ACCEPTS(clf_gather_check(table, CLF_OPS_SHAPE(CLF_I32, 6), y, &err));
    CLF_OPS_REFUSES(clf_gather_check(CLF_OPS_SHAPE(CLF_F64, 100, 8), index, y, &err), CLF_UNSUPPORTED,
                    "gather: table is f64[100, 8]; want a type of 2 or 4 bytes");
    CLF_OPS_REFUSES(clf_gather_check(table, CLF_OPS_SHAPE(CLF_I64, 2, 3), y, &err), CLF_UNSUPPORTED,
                    "gather: index is i64[2, 3]; want i32");
    gaps.stride[0] = 4;
    CLF_OPS_REFUSES(clf_gather_check(table, gaps, y, &err), CLF_UNSUPPORTED,
                    "gather: index is a view with gaps; want a dense tensor");
    CLF_OPS_REFUSES(clf_gather_check(table, clf_ops_at(CLF_I32, 2, CLF_DIMS(6)), y, &err), CLF_INVALID_ARGUMENT,
                    "gather: index begins at byte 2; want a multiple of 4 for i32");
    CLF_OPS_REFUSES(clf_gather_check(table, index, CLF_OPS_SHAPE(CLF_F16, 2, 3, 8), &err), CLF_INVALID_ARGUMENT,
                    "gather: y is f16[2, 3, 8]; want bf16[..., 8], like table bf16[100, 8]");
    CLF_OPS_REFUSES(clf_gather_check(table, index, CLF_OPS_SHAPE(CLF_BF16, 2, 3, 9), &err), CLF_INVALID_ARGUMENT,
                    "gather: y is bf16[2, 3, 9]; want bf16[..., 8], like table bf16[100, 8]");
    CLF_OPS_REFUSES(clf_gather_check(table, index, CLF_OPS_SHAPE(CLF_BF16, 7, 8), &err), CLF_INVALID_ARGUMENT,
                    "gather: index is i32[2, 3], 6 entries; want 7, one for each row of y bf16[7, 8]");
    CLF_OPS_REFUSES(clf_gather_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(9, 8)), CLF_OPS_SHAPE(CLF_I32, 1),
                                     clf_ops_at(CLF_F32, 32, CLF_DIMS(1, 8)), &err),
                    CLF_INVALID_ARGUMENT, "gather: y overlaps table; want apart");
    CLF_OPS_REFUSES(clf_gather_check(CLF_OPS_SHAPE(CLF_F32, 9, 8), clf_ops_at(CLF_I32, 60, CLF_DIMS(1)),
                                     clf_ops_at(CLF_F32, 32, CLF_DIMS(1, 8)), &err),
                    CLF_INVALID_ARGUMENT, "gather: y overlaps index; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(takes_the_rows_that_are_named),        CLF_TEST(entries_outside_the_table_leave_their_rows),
        CLF_TEST(moves_any_type_of_two_or_four_bytes),  CLF_TEST(views_on_both_sides_leave_the_neighbours_untouched),
        CLF_TEST(an_index_may_begin_inside_its_memory), CLF_TEST(an_empty_table_leaves_everything),
        CLF_TEST(a_failed_stream_stays_silent),         cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
