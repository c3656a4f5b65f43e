/* rms_norm against its double reference, under each kernel shape. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_tensor none;

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, C));
    const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(C));
    const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(R, C));
    const clf_expected want = clf_ref_rms_norm(t, x, w, CLF_RMS_WEIGHT, 1e-6F);

    clf_rms_norm(t->stream, x, w, CLF_RMS_WEIGHT, 1e-6F, y);
    clf_test_within(t, y, want.value, want.bound);
}

static void agrees_with_the_double_reference(void **state)
{
    clf_ops_each_size(*state, one_size);
}

static void each_gain_multiplies_as_named(void **state)
{
    static const clf_rms_gain gains[] = { CLF_RMS_WEIGHT, CLF_RMS_ONE_PLUS, CLF_RMS_PLAIN };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t g = 0; g < CLF_COUNT(gains); g++) {
            const clf_dtype dtype = clf_ops_types[d];
            const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(2, 3, 69));
            const clf_tensor w = gains[g] == CLF_RMS_PLAIN ? none : clf_test_normal(t, dtype, CLF_DIMS(69));
            const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(2, 3, 69));
            const clf_expected want = clf_ref_rms_norm(t, x, w, gains[g], 1e-5F);

            clf_rms_norm(t->stream, x, w, gains[g], 1e-5F, y);
            clf_test_within(t, y, want.value, want.bound);
        }
}

static void rows_of_zeros_give_zeros_whatever_the_weight(void **state)
{
    clf_test *t = *state;
    const double zeros[2 * 64] = { 0 };
    const clf_tensor x = clf_test_from(t, CLF_F16, CLF_DIMS(2, 64), zeros);
    const clf_tensor w = clf_test_normal(t, CLF_F16, CLF_DIMS(64));
    const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 64));
    const double *got;

    clf_rms_norm(t->stream, x, w, CLF_RMS_ONE_PLUS, 1e-12F, y);
    got = clf_test_values(t, y);
    for (int i = 0; i < 2 * 64; i++)
        assert_true(got[i] == 0);
}

/* Squares of the largest f16 need the range of f32, and eps counts beside the smallest. */
static void squares_are_taken_in_f32(void **state)
{
    static const double sizes[] = { 65504, 6e-5 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const clf_tensor x = clf_test_uniform(t, CLF_F16, CLF_DIMS(3, 129), -sizes[i], sizes[i]);
        const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(3, 129));
        const clf_expected want = clf_ref_rms_norm(t, x, none, CLF_RMS_PLAIN, 1e-9F);

        clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1e-9F, y);
        clf_test_within(t, y, want.value, want.bound);
    }
}

static void nan_stays_in_its_row_and_inf_makes_zeros(void **state)
{
    clf_test *t = *state;
    double values[3 * 70];
    clf_tensor x, y;
    const double *got;

    for (int i = 0; i < 3 * 70; i++)
        values[i] = 1 + clf_test_random(t);
    values[0 * 70 + 69] = NAN;
    values[1 * 70 + 3] = -INFINITY;
    x = clf_test_from(t, CLF_F32, CLF_DIMS(3, 70), values);
    y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 70));
    clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1e-5F, y);
    got = clf_test_values(t, y);
    for (int i = 0; i < 70; i++) {
        assert_true(isnan(got[i]));
        assert_true(i == 3 ? isnan(got[70 + i]) : got[70 + i] == 0); /* inf / inf, x / inf */
        assert_true(got[140 + i] > 0);
    }
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(7, 195));
        const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(195));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(7, 195));

        clf_rms_norm(t->stream, x, w, CLF_RMS_WEIGHT, 1e-5F, y);
        clf_rms_norm(t->stream, x, w, CLF_RMS_WEIGHT, 1e-5F, x);
        clf_test_same_bits(t, x, y);
    }
}

static void views_on_both_sides_leave_the_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor from = clf_test_normal(t, CLF_BF16, CLF_DIMS(2, 9, 67));
    const clf_tensor whole = clf_test_integers(t, CLF_BF16, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor x = clf_slice(t->stream, from, 1, 3, 5), y = clf_slice(t->stream, whole, 1, 6, 5);
    const clf_expected want = clf_ref_rms_norm(t, x, none, CLF_RMS_PLAIN, 1e-5F);

    clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1e-5F, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_ops_rest_untouched(t, whole, 6, 5);
}

static void a_batch_of_two_equals_two_of_one_bit_for_bit(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 9, 200));
    const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 9, 200));
    const clf_tensor z = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 9, 200));

    clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1e-5F, y);
    for (int64_t i = 0; i < 2; i++)
        clf_rms_norm(t->stream, clf_slice(t->stream, x, 0, i, 1), none, CLF_RMS_PLAIN, 1e-5F,
                     clf_slice(t->stream, z, 0, i, 1));
    clf_test_same_bits(t, y, z);
}

/* More rows than work-groups: a group walks several. */
static void rows_beyond_the_number_of_groups_are_reached(void **state)
{
    clf_test *t = *state;
    const int64_t R = 65535 * 2 + 17;

    if (clf_test_small_only(t))
        clf_test_skip("131087 rows take too long where fma is emulated");

    const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(R, 1), 9);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(R, 1));
    const clf_expected want = clf_ref_rms_norm(t, x, none, CLF_RMS_PLAIN, 1);

    clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1, y);
    clf_test_within(t, y, want.value, want.bound);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_rms_norm(t->stream, x, none, CLF_RMS_WEIGHT, 1e-5F, y);
    clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1e-5F, y);
    clf_test_expect_error(t, CLF_UNSUPPORTED, "rms_norm: weight is none; want f32 or the type of x f32[3, 8]");
    clf_ops_untouched(t, y);
}

/* The result in f32 keeps what rounding to the type of x would lose. */
static void rows_of_a_half_type_may_come_out_as_f32(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(3, 67));
        const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(67));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 67));
        const clf_expected want = clf_ref_rms_norm(t, x, w, CLF_RMS_WEIGHT, 1e-5F);

        clf_rms_norm(t->stream, x, w, CLF_RMS_WEIGHT, 1e-5F, y);
        clf_test_within(t, y, want.value, want.bound);
    }
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 1, 64, 4096), w = CLF_OPS_SHAPE(CLF_F32, 4096);
    const clf_tensor memory = clf_ops_at(CLF_F16, 64, CLF_DIMS(3, 8));

    (void)state;
    CLF_OPS_ACCEPTS(clf_rms_norm_check(x, w, CLF_RMS_WEIGHT, 1e-6F, x, &err));
    CLF_OPS_ACCEPTS(clf_rms_norm_check(x, none, CLF_RMS_PLAIN, 1e-6F, x, &err));
    CLF_OPS_ACCEPTS(clf_rms_norm_check(CLF_OPS_SHAPE(CLF_F16, 0, 4096), w, CLF_RMS_WEIGHT, 1e-6F,
                                       CLF_OPS_SHAPE(CLF_F16, 0, 4096), &err));
    CLF_OPS_REFUSES(clf_rms_norm_check(none, w, CLF_RMS_WEIGHT, 1e-6F, x, &err), CLF_UNSUPPORTED,
                    "rms_norm: x is none; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_rms_norm_check(CLF_OPS_SHAPE(CLF_F16, 2, 0), w, CLF_RMS_WEIGHT, 1e-6F, x, &err),
                    CLF_INVALID_ARGUMENT, "rms_norm: x is f16[2, 0]; want a last dimension of at least 1");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, w, (clf_rms_gain)7, 1e-6F, x, &err), CLF_INVALID_ARGUMENT,
                    "rms_norm: gain is 7; want CLF_RMS_WEIGHT, CLF_RMS_ONE_PLUS or CLF_RMS_PLAIN");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, w, CLF_RMS_PLAIN, 1e-6F, x, &err), CLF_INVALID_ARGUMENT,
                    "rms_norm: weight is f32[4096]; want none with CLF_RMS_PLAIN");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, none, CLF_RMS_ONE_PLUS, 1e-6F, x, &err), CLF_UNSUPPORTED,
                    "rms_norm: weight is none; want f32 or the type of x f16[1, 64, 4096]");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, CLF_OPS_SHAPE(CLF_F32, 1152), CLF_RMS_WEIGHT, 1e-6F, x, &err),
                    CLF_INVALID_ARGUMENT,
                    "rms_norm: weight is f32[1152]; want [4096], the last dimension of x f16[1, 64, 4096]");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, w, CLF_RMS_WEIGHT, 0, x, &err), CLF_INVALID_ARGUMENT,
                    "rms_norm: eps is 0; want finite, above 0");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, w, CLF_RMS_WEIGHT, NAN, x, &err), CLF_INVALID_ARGUMENT,
                    "rms_norm: eps is nan; want finite, above 0");
    CLF_OPS_REFUSES(clf_rms_norm_check(x, w, CLF_RMS_WEIGHT, 1e-6F, CLF_OPS_SHAPE(CLF_BF16, 1, 64, 4096), &err),
                    CLF_INVALID_ARGUMENT, "rms_norm: y is bf16[1, 64, 4096]; want f16[1, 64, 4096], like x, or f32");
    CLF_OPS_REFUSES(
        clf_rms_norm_check(memory, none, CLF_RMS_PLAIN, 1e-6F, clf_ops_at(CLF_F16, 80, CLF_DIMS(3, 8)), &err),
        CLF_INVALID_ARGUMENT, "rms_norm: y overlaps x in part; want the same elements, or apart");
    CLF_OPS_REFUSES(clf_rms_norm_check(CLF_OPS_SHAPE(CLF_F16, 3, 8), clf_ops_at(CLF_F16, 80, CLF_DIMS(8)),
                                       CLF_RMS_WEIGHT, 1e-6F, memory, &err),
                    CLF_INVALID_ARGUMENT, "rms_norm: y overlaps weight; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(each_gain_multiplies_as_named),
        CLF_TEST(rows_of_zeros_give_zeros_whatever_the_weight),
        CLF_TEST(squares_are_taken_in_f32),
        CLF_TEST(nan_stays_in_its_row_and_inf_makes_zeros),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(views_on_both_sides_leave_the_neighbours_untouched),
        CLF_TEST(a_batch_of_two_equals_two_of_one_bit_for_bit),
        CLF_TEST(rows_beyond_the_number_of_groups_are_reached),
        CLF_TEST(rows_of_a_half_type_may_come_out_as_f32),
        CLF_TEST(a_failed_stream_stays_silent),
    };
    const struct CMUnitTest checks[] = { cmocka_unit_test(the_check_names_what_is_wrong) };

    return cmocka_run_group_tests_name("check", checks, NULL, NULL) + CLF_OPS_MAIN_EACH_SHAPE(tests);
}
