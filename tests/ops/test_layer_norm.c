/* layer_norm against its double reference, under each kernel shape. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_tensor none;

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, C));
    const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(C)), b = clf_test_normal(t, CLF_F32, CLF_DIMS(C));
    const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(R, C));
    const clf_expected want = clf_ref_layer_norm(t, x, w, b, 1e-5F);

    clf_layer_norm(t->stream, x, w, b, 1e-5F, y);
    clf_test_within(t, y, want.value, want.bound);
}

static void agrees_with_the_double_reference(void **state)
{
    clf_ops_each_size(*state, one_size);
}

static void weight_and_bias_may_be_absent_or_of_the_type_of_x(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (int present = 0; present < 4; present++) {
            const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(2, 3, 65));
            const clf_tensor w = present & 1 ? clf_test_normal(t, clf_ops_types[d], CLF_DIMS(65)) : none;
            const clf_tensor b = present & 2 ? clf_test_normal(t, clf_ops_types[d], CLF_DIMS(65)) : none;
            const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(2, 3, 65));
            const clf_expected want = clf_ref_layer_norm(t, x, w, b, 1e-5F);

            clf_layer_norm(t->stream, x, w, b, 1e-5F, y);
            clf_test_within(t, y, want.value, want.bound);
        }
}

/* A variance as E[x^2] - E[x]^2 fails here by a factor of thousands, and a single mean by about ten. */
static void a_common_offset_of_1e4_does_no_harm(void **state)
{
    clf_test *t = *state;
    const int64_t R = 7, C = clf_test_small_only(t) ? 512 : 4096;
    double *values = clf_test_memory(t, (size_t)(R * C) * sizeof *values);
    clf_tensor x, y;
    clf_expected want;

    for (int64_t i = 0; i < R * C; i++)
        values[i] = 1e4 + 2 * clf_test_random(t) + 2 * clf_test_random(t) - 2;
    x = clf_test_from(t, CLF_F32, CLF_DIMS(R, C), values);
    y = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C));
    want = clf_ref_layer_norm(t, x, none, none, 1e-5F);
    clf_layer_norm(t->stream, x, none, none, 1e-5F, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_test_close(t, y, want.value, 0, 2e-5); /* the worst case is loose here; this is what the sums really lose */
}

/* The Q-Former's eps of 1e-12 counts beside a variance of 1e-12: it would be 0 in f16. */
static void eps_of_1e_12_is_not_lost(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(3, 768), -1e-6, 1e-6);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 768));
    const clf_expected want = clf_ref_layer_norm(t, x, none, none, 1e-12F);

    clf_layer_norm(t->stream, x, none, none, 1e-12F, y);
    clf_test_within(t, y, want.value, want.bound);
    assert_true(fabs(want.value[0]) < 0.99 * sqrt(3)); /* without eps the ends lie at sqrt 3 */
}

static void rows_of_equal_entries_give_the_bias(void **state)
{
    clf_test *t = *state;
    double values[3 * 96];
    clf_tensor x, b, y;
    const double *bias, *got;

    for (int i = 0; i < 3 * 96; i++)
        values[i] = i < 96 ? 0 : i < 192 ? 3 : -0.25;
    x = clf_test_from(t, CLF_F32, CLF_DIMS(3, 96), values);
    b = clf_test_normal(t, CLF_F32, CLF_DIMS(96));
    y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 96));
    clf_layer_norm(t->stream, x, none, b, 1e-12F, y);
    bias = clf_test_given(t, b);
    got = clf_test_values(t, y);
    for (int i = 0; i < 3 * 96; i++)
        assert_true(fabs(got[i] - bias[i % 96]) <= 1e-6 * fmax(1, fabs(bias[i % 96])));
}

/* The result in f32 keeps what rounding to the type of x would lose. */
static void rows_of_a_half_type_may_come_out_as_f32(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(3, 67));
        const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(67));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 67));
        const clf_expected want = clf_ref_layer_norm(t, x, w, none, 1e-5F);

        clf_layer_norm(t->stream, x, w, none, 1e-5F, y);
        clf_test_within(t, y, want.value, want.bound);
    }
}

static void nan_and_inf_stay_in_their_rows(void **state)
{
    clf_test *t = *state;
    double values[4 * 70];
    clf_tensor x, y;
    const double *got;

    for (int i = 0; i < 4 * 70; i++)
        values[i] = clf_test_random(t);
    values[0 * 70 + 69] = NAN;
    values[2 * 70 + 3] = INFINITY;
    x = clf_test_from(t, CLF_F16, CLF_DIMS(4, 70), values);
    y = clf_test_empty(t, CLF_F16, CLF_DIMS(4, 70));
    clf_layer_norm(t->stream, x, none, none, 1e-5F, y);
    got = clf_test_values(t, y);
    for (int i = 0; i < 4 * 70; i++)
        assert_int_equal(isnan(got[i]), i / 70 % 2 == 0);
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(7, 195));
        const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(195));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(7, 195));

        clf_layer_norm(t->stream, x, w, w, 1e-5F, y);
        clf_layer_norm(t->stream, x, w, w, 1e-5F, x);
        clf_test_same_bits(t, x, y);
    }
}

static void a_view_leaves_its_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 5, 67));
    const clf_tensor w = clf_test_normal(t, CLF_F16, CLF_DIMS(67));
    const clf_tensor whole = clf_test_integers(t, CLF_F16, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 4, 5);
    const clf_expected want = clf_ref_layer_norm(t, x, w, none, 1e-5F);

    clf_layer_norm(t->stream, x, w, none, 1e-5F, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_ops_rest_untouched(t, whole, 4, 5);
}

static void a_batch_of_two_equals_two_of_one_bit_for_bit(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_BF16, CLF_DIMS(2, 9, 200));
    const clf_tensor y = clf_test_empty(t, CLF_BF16, CLF_DIMS(2, 9, 200));
    const clf_tensor z = clf_test_empty(t, CLF_BF16, CLF_DIMS(2, 9, 200));

    clf_layer_norm(t->stream, x, none, none, 1e-5F, y);
    for (int64_t i = 0; i < 2; i++)
        clf_layer_norm(t->stream, clf_slice(t->stream, x, 0, i, 1), none, none, 1e-5F,
                       clf_slice(t->stream, z, 0, i, 1));
    clf_test_same_bits(t, y, z);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_layer_norm(t->stream, x, none, none, 0, y);
    clf_layer_norm(t->stream, x, none, none, 1e-5F, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "layer_norm: eps is 0; want finite, above 0");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 8), w = CLF_OPS_SHAPE(CLF_F32, 8);
    const clf_tensor memory = clf_ops_at(CLF_F16, 64, CLF_DIMS(2, 3, 8));
    clf_tensor bad;

    (void)state;
    CLF_OPS_ACCEPTS(clf_layer_norm_check(x, w, w, 1e-5F, x, &err));
    CLF_OPS_ACCEPTS(clf_layer_norm_check(x, none, CLF_OPS_SHAPE(CLF_F16, 8), 1e-5F, x, &err));
    CLF_OPS_REFUSES(clf_layer_norm_check(CLF_OPS_SHAPE(CLF_I32, 2, 8), w, w, 1e-5F, x, &err), CLF_UNSUPPORTED,
                    "layer_norm: x is i32[2, 8]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_layer_norm_check(CLF_OPS_SHAPE(CLF_F32, 2, -8), w, w, 1e-5F, x, &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: x is f32[2, -8]; want 1 to 6 dimensions, none negative, with a product below 2^63");
    CLF_OPS_REFUSES(clf_layer_norm_check(CLF_OPS_SHAPE(CLF_F32, 2, 0), w, w, 1e-5F, x, &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: x is f32[2, 0]; want a last dimension of at least 1");
    CLF_OPS_REFUSES(clf_layer_norm_check(CLF_OPS_SHAPE(CLF_F32, 2, 4294967296), w, w, 1e-5F, x, &err), CLF_UNSUPPORTED,
                    "layer_norm: x is f32[2, 4294967296]; want a last dimension below 2^31");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, CLF_OPS_SHAPE(CLF_F32, 7), w, 1e-5F, x, &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: weight is f32[7]; want [8], the last dimension of x f16[2, 3, 8]");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, CLF_OPS_SHAPE(CLF_BF16, 8), w, 1e-5F, x, &err), CLF_UNSUPPORTED,
                    "layer_norm: weight is bf16[8]; want f32 or the type of x f16[2, 3, 8]");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, w, CLF_OPS_SHAPE(CLF_F32, 1, 8), 1e-5F, x, &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: bias is f32[1, 8]; want [8], the last dimension of x f16[2, 3, 8]");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, w, CLF_OPS_SHAPE(CLF_F16, 8), 1e-5F, x, &err), CLF_UNSUPPORTED,
                    "layer_norm: bias is f16[8]; want the type of weight f32[8]");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, w, w, -1, x, &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: eps is -1; want finite, above 0");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, w, w, INFINITY, x, &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: eps is inf; want finite, above 0");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, w, w, 1e-5F, CLF_OPS_SHAPE(CLF_F16, 3, 2, 8), &err), CLF_INVALID_ARGUMENT,
                    "layer_norm: y is f16[3, 2, 8]; want f16[2, 3, 8], like x, or f32");
    CLF_OPS_REFUSES(clf_layer_norm_check(memory, w, w, 1e-5F, clf_ops_at(CLF_F16, 66, CLF_DIMS(2, 3, 8)), &err),
                    CLF_INVALID_ARGUMENT, "layer_norm: y overlaps x in part; want the same elements, or apart");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, clf_ops_at(CLF_F16, 80, CLF_DIMS(8)), none, 1e-5F, memory, &err),
                    CLF_INVALID_ARGUMENT, "layer_norm: y overlaps weight; want apart");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, none, clf_ops_at(CLF_F16, 80, CLF_DIMS(8)), 1e-5F, memory, &err),
                    CLF_INVALID_ARGUMENT, "layer_norm: y overlaps bias; want apart");
    CLF_OPS_REFUSES(clf_layer_norm_check(x, clf_ops_at(CLF_F16, 81, CLF_DIMS(8)), none, 1e-5F, x, &err),
                    CLF_INVALID_ARGUMENT, "layer_norm: weight begins at byte 81; want a multiple of 2 for f16");
    bad = w;
    bad.stride[0] = 2;
    CLF_OPS_REFUSES(clf_layer_norm_check(x, bad, none, 1e-5F, x, &err), CLF_UNSUPPORTED,
                    "layer_norm: weight is a view with stride 2; want 1");
    bad = x;
    bad.stride[2] = 2;
    CLF_OPS_REFUSES(clf_layer_norm_check(bad, w, none, 1e-5F, x, &err), CLF_UNSUPPORTED,
                    "layer_norm: x is a view with stride 2 in its last dimension; want 1");
    bad = CLF_OPS_SHAPE(CLF_F16, 2, 3, 4, 8);
    bad.stride[2] = 9;
    bad.stride[1] = 50;
    bad.stride[0] = 200;
    CLF_OPS_REFUSES(clf_layer_norm_check(bad, w, none, 1e-5F, bad, &err), CLF_UNSUPPORTED,
                    "layer_norm: x f16[2, 3, 4, 8] is a view with more than two strides above its rows; "
                    "copy it to dense memory first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(weight_and_bias_may_be_absent_or_of_the_type_of_x),
        CLF_TEST(a_common_offset_of_1e4_does_no_harm),
        CLF_TEST(eps_of_1e_12_is_not_lost),
        CLF_TEST(rows_of_equal_entries_give_the_bias),
        CLF_TEST(nan_and_inf_stay_in_their_rows),
        CLF_TEST(rows_of_a_half_type_may_come_out_as_f32),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(a_view_leaves_its_neighbours_untouched),
        CLF_TEST(a_batch_of_two_equals_two_of_one_bit_for_bit),
        CLF_TEST(a_failed_stream_stays_silent),
    };
    const struct CMUnitTest checks[] = { cmocka_unit_test(the_check_names_what_is_wrong) };

    return cmocka_run_group_tests_name("check", checks, NULL, NULL) + CLF_OPS_MAIN_EACH_SHAPE(tests);
}
