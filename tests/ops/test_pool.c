/* pool: means of cells, for any grid from any grid. */
#include "ops/ops.h"
#include "ref/ref.h"

static void one(clf_test *t, clf_dtype dtype, int64_t B, clf_grid from, clf_grid to, int64_t C, clf_dtype result)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(B, from.rows * from.columns, C));
    const clf_tensor y = clf_test_empty(t, result, CLF_DIMS(B, to.rows * to.columns, C));
    const clf_expected e = clf_ref_pool(t, x, from, to, y);

    clf_pool(t->stream, x, from, to, y);
    clf_test_within(t, y, e.value, e.bound);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_the_double_reference(void **state)
{
    static const struct {
        clf_grid from, to;
    } grids[] = { { { 1, 1 }, { 1, 1 } }, { { 4, 6 }, { 2, 3 } }, { { 7, 5 }, { 3, 2 } }, { { 5, 1 }, { 2, 1 } },
                  { { 3, 4 }, { 5, 7 } }, { { 1, 2 }, { 3, 1 } }, { { 9, 8 }, { 1, 1 } }, { { 6, 6 }, { 6, 6 } },
                  { { 8, 8 }, { 2, 2 } }, { { 10, 4 }, { 2, 2 } } };
    static const int64_t widths[] = { 1, 15, 16, 65, 300 };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t g = 0; g < CLF_COUNT(grids); g++)
            for (size_t c = 0; c < CLF_COUNT(widths); c++) {
                one(t, clf_ops_types[d], 1, grids[g].from, grids[g].to, widths[c], clf_ops_types[d]);
                one(t, clf_ops_types[d], 3, grids[g].from, grids[g].to, widths[c], CLF_F32);
            }
}

/* Several groups of columns and of cells. */
static void large_pictures_and_wide_tokens_are_cut_without_gaps(void **state)
{
    clf_test *t = *state;

    if (clf_test_small_only(t)) {
        one(t, CLF_F32, 2, (clf_grid){ 12, 12 }, (clf_grid){ 5, 5 }, 200, CLF_F32);
        return;
    }
    one(t, CLF_F32, 1, (clf_grid){ 24, 24 }, (clf_grid){ 1, 1 }, 1000, CLF_F32);
    one(t, CLF_F32, 2, (clf_grid){ 24, 24 }, (clf_grid){ 12, 12 }, 1030, CLF_F32);
    one(t, CLF_F16, 1, (clf_grid){ 2, 2 }, (clf_grid){ 1, 1 }, 70001, CLF_F32);
    one(t, CLF_BF16, 3, (clf_grid){ 27, 27 }, (clf_grid){ 14, 13 }, 129, CLF_BF16);
}

/* 1 2 3 / 4 5 6 / 7 8 9 to 2 x 2: every cell has the middle. */
static void cells_overlap_where_the_sides_do_not_divide(void **state)
{
    static const double x[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, y[] = { 3, 4, 6, 7 };
    clf_test *t = *state;
    const clf_tensor out = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 1));

    clf_pool(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(1, 9, 1), x), (clf_grid){ 3, 3 }, (clf_grid){ 2, 2 }, out);
    clf_test_exact(t, out, y);
}

/* The middle tokens of longer sequences, some columns of each: two strides above the row on both sides. */
static void view(clf_test *t, clf_grid from, clf_grid to)
{
    const int64_t N = from.rows * from.columns;
    const clf_tensor x = clf_slice(t->stream, clf_test_normal(t, CLF_F16, CLF_DIMS(2, N + 3, 67)), 1, 1, N);
    const clf_tensor part = clf_slice(t->stream, x, 2, 3, 40);
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 9, 40), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 3, 4);
    const clf_expected e = clf_ref_pool(t, part, from, to, y);

    clf_pool(t->stream, part, from, to, y);
    clf_test_within(t, y, e.value, e.bound);
    clf_ops_rest_untouched(t, whole, 3, 4);
}

/* Here and below: cells that differ or are rows, and cells of equal sides. */
static void views_on_both_sides_leave_the_neighbours_untouched(void **state)
{
    view(*state, (clf_grid){ 3, 4 }, (clf_grid){ 2, 2 });
    view(*state, (clf_grid){ 4, 6 }, (clf_grid){ 2, 2 });
}

static void same_in_every_batch(clf_test *t, clf_grid from, clf_grid to)
{
    const int64_t N = from.rows * from.columns, n = to.rows * to.columns;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, N, 83));
    const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(3, n, 83));
    const clf_tensor one_alone = clf_test_empty(t, CLF_F32, CLF_DIMS(1, n, 83));

    clf_pool(t->stream, x, from, to, all);
    for (int64_t b = 0; b < 3; b++) {
        clf_pool(t->stream, clf_slice(t->stream, x, 0, b, 1), from, to, one_alone);
        clf_test_same_bits(t, one_alone, clf_slice(t->stream, all, 0, b, 1));
    }
}

static void a_picture_gives_the_same_bits_in_every_batch(void **state)
{
    same_in_every_batch(*state, (clf_grid){ 5, 6 }, (clf_grid){ 2, 4 });
    same_in_every_batch(*state, (clf_grid){ 4, 8 }, (clf_grid){ 2, 4 });
}

/* Columns that fill no vector, and the same ones in vectors. */
static void a_column_gives_the_same_bits_in_every_width(void **state)
{
    static const clf_grid grids[] = { { 4, 4 }, { 3, 5 }, { 1, 11 } };
    enum { NARROW = 37, WIDE = 48 };
    clf_test *t = *state;

    for (size_t g = 0; g < CLF_COUNT(grids); g++) {
        const clf_grid to = { 1, 1 };
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, grids[g].rows * grids[g].columns, WIDE));
        const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 1, WIDE));
        const clf_tensor some = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 1, NARROW));

        clf_pool(t->stream, x, grids[g], to, all);
        clf_pool(t->stream, clf_slice(t->stream, x, 2, 0, NARROW), grids[g], to, some);
        clf_test_same_bits(t, some, clf_slice(t->stream, all, 2, 0, NARROW));
    }
}

/* Past the caches, where the device can: whole stretches, what is left of them, single vectors, single columns. */
static void streamed(clf_test *t, clf_dtype dtype, clf_grid to)
{
    clf_device_info *device = (clf_device_info *)(uintptr_t)clf_context_device(t->ctx);
    const uint64_t was = device->cache_bytes;
    const clf_grid from = { 5, 6 };
    const int64_t cells = to.rows * to.columns;
    const clf_tensor x = clf_slice(t->stream, clf_test_normal(t, dtype, CLF_DIMS(2, 30, 1440)), 2, 0, 1436);
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, cells, 1440), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 2, 0, 1436);
    const clf_tensor plain = clf_test_empty(t, CLF_F32, CLF_DIMS(2, cells, 1436));
    const clf_expected e = clf_ref_pool(t, x, from, to, y);

    device->cache_bytes = UINT64_MAX;
    clf_pool(t->stream, x, from, to, plain);
    device->cache_bytes = 1;
    clf_pool(t->stream, x, from, to, y);
    device->cache_bytes = was;
    clf_test_within(t, y, e.value, e.bound);
    clf_test_same_bits(t, plain, y);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

/* Cells that differ, rows, cells of 10, of 15 and of 30 tokens. */
static void past_the_caches_go_the_same_bits(void **state)
{
    const clf_grid grids[] = { { 2, 4 }, { 5, 2 }, { 1, 3 }, { 1, 2 }, { 1, 1 } };

    for (size_t g = 0; g < CLF_COUNT(grids); g++) {
        streamed(*state, CLF_F32, grids[g]);
        streamed(*state, CLF_F16, grids[g]);
    }
}

/* The last column of the first token, and the first column of the last. */
static void nan_and_infinity_stay_in_their_cells(void **state)
{
    static const clf_grid from[] = { { 4, 4 }, { 2, 8 } };
    enum { C = 33 };
    clf_test *t = *state;
    double values[16 * C], want[4 * C];

    for (size_t i = 0; i < CLF_COUNT(values); i++)
        values[i] = 1.0;
    for (size_t i = 0; i < CLF_COUNT(want); i++)
        want[i] = 1.0;
    values[C - 1] = INFINITY;
    want[C - 1] = INFINITY;
    values[15 * C] = NAN;
    want[3 * C] = NAN;
    for (size_t g = 0; g < CLF_COUNT(from); g++) {
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 16, C), values);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, C));

        clf_pool(t->stream, x, from[g], (clf_grid){ 2, 2 }, y);
        clf_test_exact(t, y, want);
    }
}

static void nothing_to_do_is_a_success(void **state)
{
    clf_test *t = *state;
    clf_error err;

    clf_pool(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 4, 8)), (clf_grid){ 2, 2 }, (clf_grid){ 1, 1 },
             clf_test_empty(t, CLF_F32, CLF_DIMS(0, 1, 8)));
    clf_pool(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 0)), (clf_grid){ 2, 2 }, (clf_grid){ 1, 1 },
             clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, 0)));
    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 12, 8));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 8));

    clf_pool(t->stream, x, (clf_grid){ 3, 3 }, (clf_grid){ 2, 2 }, y);
    clf_pool(t->stream, x, (clf_grid){ 3, 4 }, (clf_grid){ 2, 2 }, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "pool: x is f32[1, 12, 8], 12 tokens; want 9, a grid of 3 x 3");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 12, 8), y = CLF_OPS_SHAPE(CLF_F16, 2, 4, 8);
    const clf_grid from = { 3, 4 }, to = { 2, 2 };
    clf_tensor meet = CLF_OPS_SHAPE(CLF_F32, 2, 4, 8);

    (void)state;
    CLF_OPS_ACCEPTS(clf_pool_check(x, from, to, y, &err));
    CLF_OPS_ACCEPTS(clf_pool_check(x, from, to, CLF_OPS_SHAPE(CLF_F32, 2, 4, 8), &err));
    CLF_OPS_REFUSES(clf_pool_check(CLF_OPS_SHAPE(CLF_I32, 2, 12, 8), from, to, y, &err), CLF_UNSUPPORTED,
                    "pool: x is i32[2, 12, 8]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_pool_check(CLF_OPS_SHAPE(CLF_F16, 12, 8), from, to, y, &err), CLF_INVALID_ARGUMENT,
                    "pool: x is f16[12, 8]; want [B, N, C]");
    CLF_OPS_REFUSES(clf_pool_check(x, (clf_grid){ 0, 12 }, to, y, &err), CLF_INVALID_ARGUMENT,
                    "pool: from is 0 x 12; want sides of 1 to 2^31 - 1");
    CLF_OPS_REFUSES(clf_pool_check(x, from, (clf_grid){ 2, 0 }, y, &err), CLF_INVALID_ARGUMENT,
                    "pool: to is 2 x 0; want sides of 1 to 2^31 - 1");
    CLF_OPS_REFUSES(clf_pool_check(x, (clf_grid){ 4, 4 }, to, y, &err), CLF_INVALID_ARGUMENT,
                    "pool: x is f16[2, 12, 8], 12 tokens; want 16, a grid of 4 x 4");
    CLF_OPS_REFUSES(clf_pool_check(x, from, (clf_grid){ 2, 3 }, y, &err), CLF_INVALID_ARGUMENT,
                    "pool: y is f16[2, 4, 8]; want [2, 6, 8], a grid of 2 x 3");
    CLF_OPS_REFUSES(clf_pool_check(x, from, to, CLF_OPS_SHAPE(CLF_BF16, 2, 4, 8), &err), CLF_UNSUPPORTED,
                    "pool: y is bf16[2, 4, 8]; want f32 or the type of x f16[2, 12, 8]");
    meet.stride[1] = 4;
    CLF_OPS_REFUSES(clf_pool_check(x, from, to, meet, &err), CLF_INVALID_ARGUMENT,
                    "pool: y f32[2, 4, 8] is a view whose rows meet; want each element in a place of its own");
    CLF_OPS_REFUSES(clf_pool_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 4, 8)), (clf_grid){ 2, 2 }, (clf_grid){ 1, 1 },
                                   clf_ops_at(CLF_F32, 64, CLF_DIMS(1, 1, 8)), &err),
                    CLF_INVALID_ARGUMENT, "pool: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(large_pictures_and_wide_tokens_are_cut_without_gaps),
        CLF_TEST(cells_overlap_where_the_sides_do_not_divide),
        CLF_TEST(views_on_both_sides_leave_the_neighbours_untouched),
        CLF_TEST(a_picture_gives_the_same_bits_in_every_batch),
        CLF_TEST(a_column_gives_the_same_bits_in_every_width),
        CLF_TEST(past_the_caches_go_the_same_bits),
        CLF_TEST(nan_and_infinity_stay_in_their_cells),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
