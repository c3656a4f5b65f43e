/* detail_pool: cells of any side to squares of any side within their budgets, one after the other. */
#include "ops/ops.h"
#include "ref/ref.h"

/* Room for `spare` rows more than the budgets need; fewer for a negative number. */
static void one(clf_test *t, clf_tensor dense, clf_tensor budgets, clf_dtype result, int64_t spare)
{
    const int64_t cells = clf_element_count(budgets);
    const double *given = clf_test_given(t, budgets);
    int32_t *host = clf_test_memory(t, (size_t)(cells + 1) * sizeof *host);
    clf_error err = { .status = CLF_OK };
    double *want;
    int64_t M;

    for (int64_t i = 0; i < cells; i++)
        host[i] = (int32_t)given[i];
    assert_int_equal(clf_detail_plan(host, (size_t)cells, dense.dim[2], &M, &err), CLF_OK);
    M = M + spare > 0 ? M + spare : 0;

    const clf_tensor tokens = clf_test_empty(t, result, CLF_DIMS(M, dense.dim[3]));
    const clf_tensor lengths = clf_test_empty(t, CLF_I32, clf_tensor_dims(budgets));
    const clf_expected e = clf_ref_detail_pool(t, dense, budgets, tokens, &want);

    clf_detail_pool(t->stream, dense, budgets, tokens, lengths);
    clf_test_within(t, tokens, e.value, e.bound);
    clf_test_exact(t, lengths, want);
    clf_test_check_guards(t);
}

/* Budgets on both sides of every square, below 0 and far above the cell. */
static clf_tensor some_budgets(clf_test *t, int64_t B, int64_t K, int64_t side)
{
    int32_t *budgets = clf_test_memory(t, (size_t)(B * K) * sizeof *budgets);

    for (int64_t i = 0; i < B * K; i++) {
        const int64_t n = (int64_t)(clf_test_random(t) * (double)(side + 2));

        budgets[i] = (int32_t)(n * n - 1 + (int64_t)(3 * clf_test_random(t)));
    }
    if (B * K > 2)
        budgets[1] = INT32_MAX;
    return clf_test_i32(t, CLF_DIMS(B, K), budgets);
}

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t sides[] = { 1, 2, 3, 5, 8, 13 }, widths[] = { 1, 15, 16, 65, 200 }, counts[] = { 1, 7 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(sides) * CLF_COUNT(widths) * CLF_COUNT(counts); i++) {
            const int64_t side = sides[i % 6], C = widths[i / 6 % 5], K = counts[i / 30], B = K == 7 ? 3 : 1;
            const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(B, K, side * side, C));

            one(t, x, some_budgets(t, B, K, side), clf_ops_types[d], 0);
            one(t, x, some_budgets(t, B, K, side), CLF_F32, i % 2 != 0 ? 3 : -2);
            clf_test_release_all(t);
        }
}

/* Several groups of columns and of cells, several portions of starts; the budgets of modules.  Squares of 400 features. */
static void many_cells_and_wide_features_are_cut_without_gaps(void **state)
{
    clf_test *t = *state;
    const int64_t cells = 70003;

    t->zero_limit = 1;
    one(t, clf_test_normal(t, CLF_F32, CLF_DIMS(1, cells, 1, 1)), some_budgets(t, 1, cells, 1), CLF_F32, 0);
    one(t, clf_test_normal(t, CLF_BF16, CLF_DIMS(1, 3, 4, 2100)), some_budgets(t, 1, 3, 2), CLF_F32, 0);
    if (!clf_test_small_only(t))
        one(t, clf_test_normal(t, CLF_F16, CLF_DIMS(2, 5, 400, 70)), some_budgets(t, 2, 5, 20), CLF_F16, 0);
}

/* 1 2 3 / 4 5 6 / 7 8 9: a budget of 3 is one token, of 4 to 8 four that overlap, of 9 and more the cell as it is. */
static void tokens_stand_cell_after_cell(void **state)
{
    static const int32_t budgets[] = { 3, 0, 8, 400 };
    static const double tokens[] = { 5, 30, 40, 60, 70, -1, -2, -3, -4, -5, -6, -7, -8, -9 };
    clf_test *t = *state;
    double x[4 * 9];
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(14, 1)),
                     lengths = clf_test_empty(t, CLF_I32, CLF_DIMS(2, 2));

    t->zero_limit = 1;
    for (int i = 0; i < 9; i++) {
        x[i] = i + 1;
        x[9 + i] = NAN;
        x[18 + i] = 10 * (i + 1);
        x[27 + i] = -(i + 1);
    }
    clf_detail_pool(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(2, 2, 9, 1), x),
                    clf_test_i32(t, CLF_DIMS(2, 2), budgets), y, lengths);
    clf_test_exact(t, y, tokens);
    clf_test_exact(t, lengths, (const double[]){ 1, 0, 4, 9 });
}

/* Every whole number up to 32 squared, and both sides of the largest squares; cells of one feature are read alone. */
static void lengths_are_the_largest_squares(void **state)
{
    enum { LOW = 1025, HIGH = 46300 };
    clf_test *t = *state;
    const int64_t K = LOW + 2 * (46341 - HIGH);
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE }, lengths = clf_test_empty(t, CLF_I32, CLF_DIMS(1, K));
    int32_t *budgets = clf_test_memory(t, (size_t)K * sizeof *budgets);
    double *want = clf_test_memory(t, (size_t)K * sizeof *want);

    t->zero_limit = 1;
    for (int32_t i = 0, n = 0; i < LOW; i++) {
        n += (n + 1) * (n + 1) <= i;
        budgets[i] = i;
        want[i] = (double)n * n;
    }
    for (int64_t i = LOW; i < K; i++) {
        const int64_t n = HIGH + (i - LOW) / 2, below = (i - LOW) % 2;

        budgets[i] = (int32_t)(n * n - below);
        want[i] = (double)((n - below) * (n - below));
    }
    /* Without elements: D is 0. */
    clf_detail_pool(t->stream, CLF_OPS_SHAPE(CLF_F32, 1, K, INT64_C(50000) * 50000, 0),
                    clf_test_i32(t, CLF_DIMS(1, K), budgets), none, lengths);
    clf_test_exact(t, lengths, want);
}

/* The middle cells and some columns of a larger tensor, into the middle rows and columns of another. */
static void views_on_both_sides_leave_the_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor large = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 5, 11, 67));
    const clf_tensor cells = clf_slice(t->stream, clf_slice(t->stream, large, 1, 1, 3), 2, 2, 9);
    const clf_tensor x = clf_slice(t->stream, cells, 3, 5, 40);
    const clf_tensor budgets = clf_slice(t->stream, clf_test_integers(t, CLF_I32, CLF_DIMS(2, 7), 12), 1, 2, 3);
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(1, 60, 50), 100);
    const clf_tensor some = clf_test_integers(t, CLF_I32, CLF_DIMS(1, 2, 8), 9);
    clf_tensor y = clf_slice(t->stream, clf_reshape(t->stream, whole, CLF_DIMS(60, 50)), 1, 4, 40), sums;
    const clf_tensor lengths = clf_slice(t->stream, clf_reshape(t->stream, some, CLF_DIMS(2, 8)), 1, 1, 3);
    clf_expected e;
    double *want;
    int64_t M = 0;

    t->zero_limit = 1;
    e = clf_ref_detail_pool(t, x, budgets, y, &want);
    for (int i = 0; i < 6; i++)
        M += (int64_t)want[i];
    sums = clf_slice(t->stream, y, 0, 3, M);
    e = clf_ref_detail_pool(t, x, budgets, sums, NULL);
    clf_detail_pool(t->stream, x, budgets, sums, lengths);
    clf_test_within(t, sums, e.value, e.bound);
    clf_test_exact(t, lengths, want);
    clf_ops_rest_untouched(t, whole, 3, M);
}

static void a_cell_gives_the_same_bits_wherever_it_stands(void **state)
{
    static const int32_t budgets[] = { 5, 16, 3, 16, 0, 10 };
    clf_test *t = *state;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE }, x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 25, 83));
    const clf_tensor sizes = clf_test_i32(t, CLF_DIMS(2, 3), budgets);
    const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(46, 83));
    const clf_tensor alone = clf_test_empty(t, CLF_F32, CLF_DIMS(46, 83));
    int64_t begin = 0;

    clf_detail_pool(t->stream, x, sizes, all, none);
    for (int64_t i = 0; i < 6; i++) {
        static const int64_t lengths[] = { 4, 16, 1, 16, 0, 9 };
        const clf_tensor cell = clf_slice(t->stream, clf_slice(t->stream, x, 0, i / 3, 1), 1, i % 3, 1);
        const clf_tensor size = clf_slice(t->stream, clf_slice(t->stream, sizes, 0, i / 3, 1), 1, i % 3, 1);

        clf_detail_pool(t->stream, cell, size, clf_slice(t->stream, alone, 0, begin, lengths[i]), none);
        begin += lengths[i];
    }
    clf_test_same_bits(t, all, alone);
}

static void nan_and_infinity_stay_in_their_parts(void **state)
{
    static const int32_t budget[] = { 4 };
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
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(4, C));
    clf_detail_pool(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(1, 1, 16, C), values),
                    clf_test_i32(t, CLF_DIMS(1, 1), budget), y, (clf_tensor){ .dtype = CLF_DTYPE_NONE });
    clf_test_exact(t, y, want);
}

static void nothing_to_do_is_a_success(void **state)
{
    static const int32_t budgets[] = { 0, -7 };
    clf_test *t = *state;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE }, lengths = clf_test_empty(t, CLF_I32, CLF_DIMS(1, 2));

    t->zero_limit = 1;
    clf_detail_pool(t->stream, CLF_OPS_SHAPE(CLF_F32, 0, 4, 9, 8), CLF_OPS_SHAPE(CLF_I32, 0, 4),
                    CLF_OPS_SHAPE(CLF_F32, 0, 8), CLF_OPS_SHAPE(CLF_I32, 0, 4));
    clf_detail_pool(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 9, 8)),
                    clf_test_i32(t, CLF_DIMS(1, 2), budgets), CLF_OPS_SHAPE(CLF_F32, 0, 8), lengths);
    clf_detail_pool(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 9, 8)),
                    clf_test_i32(t, CLF_DIMS(1, 2), budgets), none, none);
    clf_test_exact(t, lengths, (const double[]){ 0, 0 });
}

static void a_failed_stream_stays_silent(void **state)
{
    static const int32_t budgets[] = { 4, 1 };
    clf_test *t = *state;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE }, b = clf_test_i32(t, CLF_DIMS(1, 2), budgets);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(5, 8));
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 9, 8));

    clf_detail_pool(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 12, 8)), b, y, none);
    clf_detail_pool(t->stream, x, b, y, none);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "detail_pool: dense is f32[1, 2, 12, 8], 12 features a cell; want a square");
    clf_ops_untouched(t, y);
}

static void the_plan_counts_and_names_what_is_wrong(void **state)
{
    static const int32_t budgets[] = { 64, 399, 400, 441, -5, INT32_MAX };
    int64_t total = 7;

    (void)state;
    CLF_OPS_ACCEPTS(clf_detail_plan(budgets, 6, 400, &total, &err));
    assert_int_equal(total, 64 + 361 + 400 + 400 + 400);
    CLF_OPS_ACCEPTS(clf_detail_plan(budgets, 6, INT64_C(50000) * 50000, &total, &err));
    assert_int_equal(total, 64 + 361 + 400 + 441 + 46340 * 46340);
    CLF_OPS_ACCEPTS(clf_detail_plan(NULL, 0, 1, &total, &err));
    assert_int_equal(total, 0);
    CLF_OPS_REFUSES(clf_detail_plan(budgets, 6, 0, &total, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: S is 0; want a square");
    CLF_OPS_REFUSES(clf_detail_plan(budgets, 6, INT64_MAX, &total, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: S is 9223372036854775807; want a square");
    CLF_OPS_REFUSES(clf_detail_plan(NULL, 6, 400, &total, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: budgets is NULL; want 6");
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE }, x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 16, 8);
    const clf_tensor b = CLF_OPS_SHAPE(CLF_I32, 2, 3), y = CLF_OPS_SHAPE(CLF_F16, 20, 8);
    clf_tensor meet = CLF_OPS_SHAPE(CLF_F32, 20, 8);

    (void)state;
    meet.stride[0] = 4;
    CLF_OPS_ACCEPTS(clf_detail_pool_check(x, b, y, b, &err));
    CLF_OPS_ACCEPTS(clf_detail_pool_check(x, b, CLF_OPS_SHAPE(CLF_F32, 20, 8), none, &err));
    CLF_OPS_ACCEPTS(clf_detail_pool_check(x, b, none, none, &err));
    CLF_OPS_REFUSES(clf_detail_pool_check(b, b, y, b, &err), CLF_UNSUPPORTED,
                    "detail_pool: dense is i32[2, 3]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_detail_pool_check(CLF_OPS_SHAPE(CLF_F32, 3, 16, 8), b, y, b, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: dense is f32[3, 16, 8]; want [B, K, S, D]");
    CLF_OPS_REFUSES(clf_detail_pool_check(CLF_OPS_SHAPE(CLF_F32, 2, 3, 0, 8), b, y, b, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: dense is f32[2, 3, 0, 8], 0 features a cell; want a square");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, CLF_OPS_SHAPE(CLF_I64, 2, 3), y, b, &err), CLF_UNSUPPORTED,
                    "detail_pool: budgets is i64[2, 3]; want i32");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, CLF_OPS_SHAPE(CLF_I32, 3, 2), y, b, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: budgets is i32[3, 2]; want [2, 3], the cells of dense f16[2, 3, 16, 8]");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, b, CLF_OPS_SHAPE(CLF_BF16, 20, 8), b, &err), CLF_UNSUPPORTED,
                    "detail_pool: tokens is bf16[20, 8]; want f32 or the type of dense f16[2, 3, 16, 8]");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, b, CLF_OPS_SHAPE(CLF_F32, 20, 9), b, &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: tokens is f32[20, 9]; want [M, 8], the width of dense f16[2, 3, 16, 8]");
    CLF_OPS_REFUSES(
        clf_detail_pool_check(x, b, meet, b, &err), CLF_INVALID_ARGUMENT,
        "detail_pool: tokens f32[20, 8] is a view whose rows meet; want each element in a place of its own");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, b, y, CLF_OPS_SHAPE(CLF_I32, 6), &err), CLF_INVALID_ARGUMENT,
                    "detail_pool: lengths is i32[6]; want i32[2, 3], like budgets");
    CLF_OPS_REFUSES(clf_detail_pool_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 2, 4, 8)), CLF_OPS_SHAPE(CLF_I32, 1, 2),
                                          clf_ops_at(CLF_F32, 64, CLF_DIMS(4, 8)), none, &err),
                    CLF_INVALID_ARGUMENT, "detail_pool: tokens overlaps dense; want apart");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, clf_ops_at(CLF_I32, 0, CLF_DIMS(2, 3)), none,
                                          clf_ops_at(CLF_I32, 8, CLF_DIMS(2, 3)), &err),
                    CLF_INVALID_ARGUMENT, "detail_pool: lengths overlaps budgets; want apart");
    CLF_OPS_REFUSES(clf_detail_pool_check(x, b, clf_ops_at(CLF_F32, 0, CLF_DIMS(5, 8)),
                                          clf_ops_at(CLF_I32, 8, CLF_DIMS(2, 3)), &err),
                    CLF_INVALID_ARGUMENT, "detail_pool: lengths overlaps tokens; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(many_cells_and_wide_features_are_cut_without_gaps),
        CLF_TEST(tokens_stand_cell_after_cell),
        CLF_TEST(lengths_are_the_largest_squares),
        CLF_TEST(views_on_both_sides_leave_the_neighbours_untouched),
        CLF_TEST(a_cell_gives_the_same_bits_wherever_it_stands),
        CLF_TEST(nan_and_infinity_stay_in_their_parts),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_plan_counts_and_names_what_is_wrong),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
