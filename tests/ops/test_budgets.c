/* budgets: exact, with and without a total, under each kernel shape. */
#include "ops/ops.h"
#include "ref/ref.h"

/* Indices of 0 .. N - 1 in no order, some of them twice. */
static clf_tensor some_cells(clf_test *t, int64_t B, int64_t N, int64_t k)
{
    int32_t *indices = clf_test_memory(t, (size_t)(B * k) * sizeof *indices);

    for (int64_t i = 0; i < B * k; i++)
        indices[i] = (int32_t)((double)N * clf_test_random(t));
    return clf_test_i32(t, CLF_DIMS(B, k), indices);
}

static void one(clf_test *t, clf_tensor x, clf_tensor indices, int64_t low, int64_t high, int64_t total)
{
    const clf_tensor y = clf_test_empty(t, CLF_I32, clf_tensor_dims(indices));

    clf_budgets(t->stream, x, indices, low, high, total, y);
    clf_test_exact(t, y, clf_ref_budgets(t, x, indices, low, high, total));
}

static const struct {
    int64_t low, high;
} ranges[] = { { 64, 400 }, { 0, 1 }, { 3, 3 }, { 0, 1000003 }, { 1, 30 } };

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t widths[] = { 1, 17, 1024 }, ks[] = { 1, 2, 63, 64, 65, 200, 5000 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(widths) * CLF_COUNT(ks); i++) {
            const int64_t N = widths[i % CLF_COUNT(widths)], k = ks[i / CLF_COUNT(widths)];
            const clf_tensor x = clf_test_uniform(t, clf_ops_types[d], CLF_DIMS(3, N), -0.1, 1.1);

            for (size_t r = 0; r < CLF_COUNT(ranges); r++)
                one(t, x, some_cells(t, 3, N, k), ranges[r].low, ranges[r].high, 0);
            clf_test_check_guards(t);
            clf_test_release_all(t);
        }
}

/* From the least to the most that can be met; relevance of all sizes, so that many cells are cut and many get nothing. */
static void a_total_is_met_by_largest_remainders(void **state)
{
    static const int64_t ks[] = { 1, 2, 5, 63, 64, 65, 200, 700 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(ks) * CLF_COUNT(ranges); i++) {
            const int64_t k = ks[i % CLF_COUNT(ks)], low = ranges[i / CLF_COUNT(ks)].low;
            const int64_t high = ranges[i / CLF_COUNT(ks)].high, most = k * (high - low);
            const int64_t over[] = { 0, most / 9, most / 2 + 1, most - 2, most - 1, most };
            clf_tensor x = clf_test_uniform(t, clf_ops_types[d], CLF_DIMS(3, 300), 0, 1);

            if (i % 2 != 0) /* few are large, one in three 0 */
                x = clf_test_integers(t, clf_ops_types[d], CLF_DIMS(3, 300), 1);
            for (size_t j = 0; j < CLF_COUNT(over); j++)
                if (over[j] >= 0 && over[j] <= most && k * low + over[j] > 0)
                    one(t, x, some_cells(t, 3, 300, k), low, high, k * low + over[j]);
            clf_test_check_guards(t);
            clf_test_release_all(t);
        }
}

static void by_hand(clf_test *t, const double *relevance, int64_t k, int64_t low, int64_t high, int64_t total,
                    const double *want)
{
    static const int32_t places[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 8), relevance);
    const clf_tensor y = clf_test_empty(t, CLF_I32, CLF_DIMS(1, k));

    clf_budgets(t->stream, x, clf_test_i32(t, CLF_DIMS(1, k), places), low, high, total, y);
    clf_test_exact(t, y, want);
}

static void halves_go_to_the_even_number(void **state)
{
    static const double eighths[] = { 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0 };
    static const double above[] = { 0.12500001, 0.12499999, 0x1p-149, 0x1p-32, 0x1.fffffep-1, 0.5, 0x1p-31, 0 };
    clf_test *t = *state;

    t->zero_limit = 1;
    by_hand(t, eighths, 8, 0, 4, 0, (const double[]){ 0, 1, 2, 2, 2, 3, 4, 4 }); /* 0.5 1 1.5 2 2.5 3 3.5 4 */
    by_hand(t, eighths, 8, 1, 5, 0, (const double[]){ 2, 2, 2, 3, 4, 4, 4, 5 }); /* the same above 1 */
    by_hand(t, above, 2, 64, 68, 0, (const double[]){ 65, 64 });                 /* 64.50000004, 64.49999996 */
    by_hand(t, above, 8, 0, INT32_MAX, 0, (const double[]){ 268435488, 268435440, 0, 0, 2147483519, 1073741824, 1, 0 });
}

/* Of 20 the weights 4 : 2 : 1 : 0 make 11.4, 5.7, 2.9: the first is cut to 10, the others share 10 as 6.7 and 3.3. */
static void what_is_over_the_most_goes_to_the_others(void **state)
{
    static const double relevance[] = { 1, 0.5, 0.25, 0, 0, 0, 0, 0 }, ones[] = { 1, 0, 0, 0, 0, 0, 0, 0 };
    static const double halves[] = { 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5 };
    clf_test *t = *state;

    t->zero_limit = 1;
    by_hand(t, relevance, 4, 0, 10, 20, (const double[]){ 10, 7, 3, 0 });
    by_hand(t, relevance, 3, 5, 15, 35, (const double[]){ 15, 12, 8 });
    by_hand(t, ones, 3, 0, 5, 11, (const double[]){ 5, 3, 3 });      /* only zeros are left: they are equal */
    by_hand(t, ones, 3, 0, 5, 10, (const double[]){ 5, 3, 2 });      /* and the lower place first */
    by_hand(t, halves, 4, 1, 9, 10, (const double[]){ 3, 3, 2, 2 }); /* 1.5 each above 1 */
    by_hand(t, halves, 7, 0, 2, 1, (const double[]){ 1, 0, 0, 0, 0, 0, 0 });
    by_hand(t, halves, 2, 0, INT32_MAX, INT32_MAX, (const double[]){ 1073741824, 1073741823 });
}

/* As many of the largest weights, at most and in sum, as products of 64 bits do not hold. */
static void the_largest_numbers_do_not_overflow(void **state)
{
    enum { K = 513, MORE = INT32_MAX % K };
    static const int32_t places[K];
    static const double one_alone[] = { 1 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 1), one_alone);
    const clf_tensor y = clf_test_empty(t, CLF_I32, CLF_DIMS(1, K));
    double want[K];

    for (int i = 0; i < K; i++)
        want[i] = INT32_MAX / K + (i < MORE);
    clf_budgets(t->stream, x, clf_test_i32(t, CLF_DIMS(1, K), places), 0, INT32_MAX, INT32_MAX, y);
    clf_test_exact(t, y, want);
}

/* The map is the middle of a row with 1 on both sides of it. */
static void what_is_no_number_of_the_map_counts_as_0(void **state)
{
    static const double row[] = { 1, NAN, -NAN, -3, 7, INFINITY, -INFINITY, 0.5, -0.0, 1 }, *const relevance = row + 1;
    static const int32_t outside[] = { 6, -1, 8, INT32_MIN, INT32_MAX, 6 };
    clf_test *t = *state;
    const clf_tensor x = clf_slice(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(1, 10), row), 1, 1, 8);
    const clf_tensor y = clf_test_empty(t, CLF_I32, CLF_DIMS(1, 6));

    t->zero_limit = 1;
    by_hand(t, relevance, 8, 2, 12, 0, (const double[]){ 2, 2, 2, 12, 12, 2, 7, 2 });
    by_hand(t, relevance, 8, 2, 12, 26, (const double[]){ 2, 2, 2, 6, 6, 2, 4, 2 });
    clf_budgets(t->stream, x, clf_test_i32(t, CLF_DIMS(1, 6), outside), 0, 4, 0, y);
    clf_test_exact(t, y, (const double[]){ 2, 0, 0, 0, 0, 2 });
    clf_budgets(t->stream, x, clf_test_i32(t, CLF_DIMS(1, 6), outside), 0, 4, 9, y);
    clf_test_exact(t, y, (const double[]){ 4, 1, 0, 0, 0, 4 });
}

static void views_are_read_and_written_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor wide = clf_test_uniform(t, CLF_F16, CLF_DIMS(2, 7, 90), 0, 1);
    const clf_tensor x = clf_slice(t->stream, clf_slice(t->stream, wide, 1, 1, 5), 2, 3, 83);
    const clf_tensor cells = clf_test_integers(t, CLF_I32, CLF_DIMS(2, 9, 12), 60);
    const clf_tensor indices = clf_slice(t->stream, cells, 1, 4, 5);
    const clf_tensor whole = clf_test_integers(t, CLF_I32, CLF_DIMS(2, 11, 12), 9);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 3, 5);

    t->zero_limit = 1;
    for (int64_t total = 0; total <= 100; total += 100) {
        clf_budgets(t->stream, x, indices, 1, 30, total, y);
        clf_test_exact(t, y, clf_ref_budgets(t, x, indices, 1, 30, total));
        clf_ops_rest_untouched(t, whole, 3, 5);
    }
}

static void pictures_do_not_know_of_each_other(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(3, 400), 0, 1), indices = some_cells(t, 3, 400, 150);
    const clf_tensor together = clf_test_empty(t, CLF_I32, CLF_DIMS(3, 150));
    const clf_tensor alone = clf_test_empty(t, CLF_I32, CLF_DIMS(3, 150));

    for (int64_t total = 0; total <= 20000; total += 20000) {
        clf_budgets(t->stream, x, indices, 64, 400, total, together);
        for (int64_t b = 0; b < 3; b++)
            clf_budgets(t->stream, clf_slice(t->stream, x, 0, b, 1), clf_slice(t->stream, indices, 0, b, 1), 64, 400,
                        total, clf_slice(t->stream, alone, 0, b, 1));
        clf_test_same_bits(t, together, alone);
    }
}

static void nothing_to_do_is_a_success(void **state)
{
    clf_test *t = *state;

    clf_budgets(t->stream, CLF_OPS_SHAPE(CLF_F32, 0, 5), CLF_OPS_SHAPE(CLF_I32, 0, 2), 1, 4, 5,
                CLF_OPS_SHAPE(CLF_I32, 0, 2));
    clf_budgets(t->stream, CLF_OPS_SHAPE(CLF_F32, 2, 5), CLF_OPS_SHAPE(CLF_I32, 2, 0), 1, 4, 0,
                CLF_OPS_SHAPE(CLF_I32, 2, 0));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    static const int32_t places[] = { 0, 1 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 8), 0, 1);
    const clf_tensor indices = clf_test_i32(t, CLF_DIMS(1, 2), places), y = clf_test_i32(t, CLF_DIMS(1, 2), places);

    t->zero_limit = 1;
    clf_budgets(t->stream, x, indices, 64, 400, 100, y);
    clf_budgets(t->stream, x, indices, 64, 400, 0, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "budgets: total is 100; want 0, or 128 to 800, for 2 cells of 64 to 400 tokens");
    clf_test_exact(t, y, (const double[]){ 0, 1 });
}

/* llvmpipe (Mesa 22.3) ends the loops of a work-item after 65535 turns, so the operator refuses there. */
static void long_rows_are_shared_or_refused(void **state)
{
    clf_test *t = *state;
    const int64_t k = 65536;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 1000), 0, 1), cells = some_cells(t, 1, 1000, k);

    if (!clf_test_small_only(t)) {
        one(t, x, cells, 1, 30, 20 * k);
        return;
    }
    clf_budgets(t->stream, x, cells, 1, 30, 20 * k, clf_test_empty(t, CLF_I32, CLF_DIMS(1, k)));
    clf_test_expect_error(t, CLF_UNSUPPORTED, "on llvmpipe, or another device");
}

/* Before anything is made of them: 64 bits do not hold their difference. */
static void numbers_beyond_all_measure_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 9), 0, 1);
    const clf_tensor i = clf_test_i32(t, CLF_DIMS(1, 2), (const int32_t[]){ 3, 5 });
    clf_error err = { 0 };

    clf_budgets(t->stream, x, i, INT64_MIN, INT64_MAX, 0, clf_test_empty(t, CLF_I32, CLF_DIMS(1, 2)));
    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "budgets: max_tokens is 9223372036854775807; want 0 to 2^31 - 1");
    clf_stream_reset(t->stream);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 9), i = CLF_OPS_SHAPE(CLF_I32, 2, 4);

    (void)state;
    CLF_OPS_ACCEPTS(clf_budgets_check(x, i, 64, 400, 0, i, &err));
    CLF_OPS_ACCEPTS(clf_budgets_check(x, i, 64, 400, 256, i, &err));
    CLF_OPS_ACCEPTS(clf_budgets_check(x, i, 0, INT32_MAX, INT32_MAX, i, &err));
    CLF_OPS_REFUSES(clf_budgets_check(i, i, 64, 400, 0, i, &err), CLF_UNSUPPORTED,
                    "budgets: relevance is i32[2, 4]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_budgets_check(CLF_OPS_SHAPE(CLF_F32, 2, 0), i, 64, 400, 0, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: relevance is f32[2, 0]; want a last dimension of at least 1");
    CLF_OPS_REFUSES(clf_budgets_check(x, CLF_OPS_SHAPE(CLF_I64, 2, 4), 64, 400, 0, i, &err), CLF_UNSUPPORTED,
                    "budgets: indices is i64[2, 4]; want i32");
    CLF_OPS_REFUSES(clf_budgets_check(x, CLF_OPS_SHAPE(CLF_I32, 3, 4), 64, 400, 0, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: indices is i32[3, 4]; want the leading dimensions of relevance f16[2, 9]");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 64, 400, 0, CLF_OPS_SHAPE(CLF_I32, 2, 5), &err), CLF_INVALID_ARGUMENT,
                    "budgets: budgets is i32[2, 5]; want i32[2, 4], like indices");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 64, INT64_C(1) << 31, 0, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: max_tokens is 2147483648; want 0 to 2^31 - 1");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 401, 400, 0, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: min_tokens is 401; want 0 to max_tokens, 400");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, -1, 400, 0, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: min_tokens is -1; want 0 to max_tokens, 400");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 64, 400, 255, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: total is 255; want 0, or 256 to 1600, for 4 cells of 64 to 400 tokens");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 64, 400, 1601, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: total is 1601; want 0, or 256 to 1600, for 4 cells of 64 to 400 tokens");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 0, 400, -1, i, &err), CLF_INVALID_ARGUMENT,
                    "budgets: total is -1; want 0, or 0 to 1600, for 4 cells of 0 to 400 tokens");
    CLF_OPS_REFUSES(clf_budgets_check(x, i, 0, INT32_MAX, INT64_C(1) << 31, i, &err), CLF_UNSUPPORTED,
                    "budgets: total is 2147483648; want at most 2^31 - 1");
    CLF_OPS_REFUSES(clf_budgets_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 9)), clf_ops_at(CLF_I32, 64, CLF_DIMS(1, 4)),
                                      64, 400, 0, clf_ops_at(CLF_I32, 32, CLF_DIMS(1, 4)), &err),
                    CLF_INVALID_ARGUMENT, "budgets: budgets overlaps relevance; want apart");
    CLF_OPS_REFUSES(clf_budgets_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 9)), clf_ops_at(CLF_I32, 64, CLF_DIMS(1, 4)),
                                      64, 400, 0, clf_ops_at(CLF_I32, 64, CLF_DIMS(1, 4)), &err),
                    CLF_INVALID_ARGUMENT, "budgets: budgets overlaps indices; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(a_total_is_met_by_largest_remainders),
        CLF_TEST(halves_go_to_the_even_number),
        CLF_TEST(what_is_over_the_most_goes_to_the_others),
        CLF_TEST(the_largest_numbers_do_not_overflow),
        CLF_TEST(what_is_no_number_of_the_map_counts_as_0),
        CLF_TEST(views_are_read_and_written_in_place),
        CLF_TEST(pictures_do_not_know_of_each_other),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(long_rows_are_shared_or_refused),
        CLF_TEST(numbers_beyond_all_measure_are_refused),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
