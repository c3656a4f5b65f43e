/* l2_norm against its double reference, under each kernel shape. */
#include "ops/ops.h"
#include "ref/ref.h"

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, C)), y = clf_test_empty(t, dtype, CLF_DIMS(R, C));
    const clf_expected want = clf_ref_l2_norm(t, x, 1e-12F);

    clf_l2_norm(t->stream, x, 1e-12F, y);
    clf_test_within(t, y, want.value, want.bound);
}

static void agrees_with_the_double_reference(void **state)
{
    clf_ops_each_size(*state, one_size);
}

/* Rows of 3, 4 and zeros have length 5.  A quotient may err by 2.5 ulp. */
static void eps_counts_only_above_the_length(void **state)
{
    clf_test *t = *state;
    double values[4 * 33] = { 0 }, want[4 * 33] = { 0 };
    const double *got;
    clf_tensor x, y;

    for (int r = 0; r < 4; r++) {
        values[33 * r + r] = 3;
        values[33 * r + 32] = 4;
        want[33 * r + r] = 0.375;
        want[33 * r + 32] = 0.5;
    }
    x = clf_test_from(t, CLF_F32, CLF_DIMS(4, 33), values);
    y = clf_test_empty(t, CLF_F32, CLF_DIMS(4, 33));
    clf_l2_norm(t->stream, x, 8, y); /* above the length of 5 */
    got = clf_test_values(t, y);
    for (int i = 0; i < 4 * 33; i++)
        assert_true(fabs(got[i] - want[i]) <= 0x1p-22);
    clf_l2_norm(t->stream, x, 4.5F, y); /* below */
    got = clf_test_values(t, y);
    for (int i = 0; i < 4 * 33; i++)
        assert_true(fabs(got[i] - want[i] * 1.6) <= 0x1p-22);
}

static void rows_of_zeros_give_nan_without_eps_and_zeros_with(void **state)
{
    static const double zeros[3 * 40];
    clf_test *t = *state;
    const clf_tensor x = clf_test_from(t, CLF_F16, CLF_DIMS(3, 40), zeros);
    const clf_tensor y = clf_test_integers(t, CLF_F16, CLF_DIMS(3, 40), 5);
    const double *got;

    clf_l2_norm(t->stream, x, 0, y);
    clf_ops_untouched(t, y); /* all NaN */
    clf_l2_norm(t->stream, x, 1e-12F, y);
    got = clf_test_values(t, y);
    for (int i = 0; i < 3 * 40; i++)
        assert_true(got[i] == 0);
}

static void nan_stays_in_its_row(void **state)
{
    clf_test *t = *state;
    double values[2 * 70];
    clf_tensor x, y;
    const double *got;

    for (int i = 0; i < 2 * 70; i++)
        values[i] = 1 + clf_test_random(t);
    values[69] = NAN;
    x = clf_test_from(t, CLF_BF16, CLF_DIMS(2, 70), values);
    y = clf_test_empty(t, CLF_BF16, CLF_DIMS(2, 70));
    clf_l2_norm(t->stream, x, 1e-12F, y);
    got = clf_test_values(t, y);
    for (int i = 0; i < 2 * 70; i++)
        assert_int_equal(isnan(got[i]), i < 70);
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(7, 195));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(7, 195));

        clf_l2_norm(t->stream, x, 0, y);
        clf_l2_norm(t->stream, x, 0, x);
        clf_test_same_bits(t, x, y);
    }
}

static void a_view_leaves_its_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, 67));
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 0, 5);
    const clf_expected want = clf_ref_l2_norm(t, x, 0);

    clf_l2_norm(t->stream, x, 0, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_ops_rest_untouched(t, whole, 0, 5);
}

static void a_batch_of_two_equals_two_of_one_bit_for_bit(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 200));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 9, 200));
    const clf_tensor z = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 9, 200));

    clf_l2_norm(t->stream, x, 0, y);
    for (int64_t i = 0; i < 2; i++)
        clf_l2_norm(t->stream, clf_slice(t->stream, x, 0, i, 1), 0, clf_slice(t->stream, z, 0, i, 1));
    clf_test_same_bits(t, y, z);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_l2_norm(t->stream, x, -1, y);
    clf_l2_norm(t->stream, x, 1, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "l2_norm: eps is -1; want finite, not negative");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_BF16, 3, 512);

    (void)state;
    CLF_OPS_ACCEPTS(clf_l2_norm_check(x, 0, x, &err));
    CLF_OPS_REFUSES(clf_l2_norm_check(CLF_OPS_SHAPE(CLF_F64, 3, 512), 0, x, &err), CLF_UNSUPPORTED,
                    "l2_norm: x is f64[3, 512]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_l2_norm_check(CLF_OPS_SHAPE(CLF_F32, 512, 0), 0, x, &err), CLF_INVALID_ARGUMENT,
                    "l2_norm: x is f32[512, 0]; want a last dimension of at least 1");
    CLF_OPS_REFUSES(clf_l2_norm_check(x, -1e-3F, x, &err), CLF_INVALID_ARGUMENT,
                    "l2_norm: eps is -0.001; want finite, not negative");
    CLF_OPS_REFUSES(clf_l2_norm_check(x, INFINITY, x, &err), CLF_INVALID_ARGUMENT,
                    "l2_norm: eps is inf; want finite, not negative");
    CLF_OPS_REFUSES(clf_l2_norm_check(x, 0, CLF_OPS_SHAPE(CLF_BF16, 512), &err), CLF_INVALID_ARGUMENT,
                    "l2_norm: y is bf16[512]; want bf16[3, 512], like x");
    CLF_OPS_REFUSES(clf_l2_norm_check(x, 0, (clf_tensor){ .dtype = CLF_BF16, .rank = 9 }, &err), CLF_INVALID_ARGUMENT,
                    "l2_norm: y is bf16[0, 0, 0, 0, 0, 0]; want 1 to 6 dimensions, none negative, with a product below "
                    "2^63");
    CLF_OPS_REFUSES(
        clf_l2_norm_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(3, 8)), 0, clf_ops_at(CLF_F32, 92, CLF_DIMS(3, 8)), &err),
        CLF_INVALID_ARGUMENT, "l2_norm: y overlaps x in part; want the same elements, or apart");
    CLF_OPS_ACCEPTS(
        clf_l2_norm_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(3, 8)), 0, clf_ops_at(CLF_F32, 96, CLF_DIMS(3, 8)), &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(eps_counts_only_above_the_length),
        CLF_TEST(rows_of_zeros_give_nan_without_eps_and_zeros_with),
        CLF_TEST(nan_stays_in_its_row),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(a_view_leaves_its_neighbours_untouched),
        CLF_TEST(a_batch_of_two_equals_two_of_one_bit_for_bit),
        CLF_TEST(a_failed_stream_stays_silent),
    };
    const struct CMUnitTest checks[] = { cmocka_unit_test(the_check_names_what_is_wrong) };

    return cmocka_run_group_tests_name("check", checks, NULL, NULL) + CLF_OPS_MAIN_EACH_SHAPE(tests);
}
