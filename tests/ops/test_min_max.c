/* min_max against double, over each map and over a batch, in one level of ranges and in several. */
#include "ref/ref.h"

#include "ops/ops.h"

static void compare(clf_test *t, clf_tensor x, clf_min_max_over over, float eps, clf_tensor y)
{
    const clf_expected want = clf_ref_min_max(t, x, over, eps);

    clf_min_max(t->stream, x, over, eps, y);
    clf_test_within(t, y, want.value, want.bound);
}

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t batches[] = { 0, 1, 3 }, lengths[] = { 0, 1, 2, 15, 16, 17, 49, 2048, 2049, 5000 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(batches) * CLF_COUNT(lengths) * 2; i++) {
        const int64_t B = batches[i % 3], N = lengths[i / 3 % CLF_COUNT(lengths)];
        const clf_tensor whole = clf_test_normal(t, CLF_F32, CLF_DIMS(B, 5, N));
        const clf_tensor x = clf_slice(t->stream, whole, 1, 1, 3), y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, 3, N));

        t->zero_limit = N == 1 ? 1 : 0.3; /* the smallest of a map becomes 0 */
        compare(t, x, i < CLF_COUNT(batches) * CLF_COUNT(lengths) ? CLF_MIN_MAX_BATCH : CLF_MIN_MAX_PICTURE, 1e-8F, y);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* More ranges than one group merges: 70 pictures, then 9000, whose ranges need two levels. */
static void batches_of_any_size_share_a_range(void **state)
{
    clf_test *t = *state;

    compare(t, clf_test_normal(t, CLF_F32, CLF_DIMS(70, 2, 6)), CLF_MIN_MAX_BATCH, 1e-8F,
            clf_test_empty(t, CLF_F32, CLF_DIMS(70, 2, 6)));
    clf_test_release_all(t);
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(9000, 1, 2));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(9000, 1, 2));

    clf_min_max(t->stream, x, CLF_MIN_MAX_BATCH, 0.0F, y);
    const double *given = clf_test_given(t, x), *got = clf_test_values(t, y);
    double low = INFINITY, high = -INFINITY;

    for (int i = 0; i < 18000; i++) {
        low = fmin(low, given[i]);
        high = fmax(high, given[i]);
    }
    for (int i = 0; i < 18000; i++)
        assert_true(fabs(got[i] - (given[i] - low) / (high - low)) < 8 * CLF_U);
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 77));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 77));

    clf_min_max(t->stream, x, CLF_MIN_MAX_BATCH, 1e-8F, y);
    clf_min_max(t->stream, x, CLF_MIN_MAX_BATCH, 1e-8F, x);
    clf_test_same_bits(t, x, y);
}

static void equal_values_become_zero(void **state)
{
    clf_test *t = *state;
    double values[40];

    for (int i = 0; i < 40; i++)
        values[i] = 0.7;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 1, 40), values);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, 40));

    clf_min_max(t->stream, x, CLF_MIN_MAX_PICTURE, 1e-8F, y);
    const double *got = clf_test_values(t, y);
    for (int i = 0; i < 40; i++)
        assert_true(got[i] == 0.0);
    clf_min_max(t->stream, x, CLF_MIN_MAX_PICTURE, 0.0F, y);
    assert_true(isnan(clf_test_values(t, y)[7]));
}

static void nan_spoils_its_own_map_wherever_it_stands(void **state)
{
    static const int places[] = { 0, 5, 16, 31, 32, 36 };
    clf_test *t = *state;

    for (size_t p = 0; p < CLF_COUNT(places); p++) {
        double values[2 * 37];

        for (int i = 0; i < 2 * 37; i++)
            values[i] = i % 7;
        values[places[p]] = NAN;
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2, 37), values);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, 37));

        clf_min_max(t->stream, x, CLF_MIN_MAX_BATCH, 1e-8F, y);
        const double *got = clf_test_values(t, y);
        for (int i = 0; i < 2 * 37; i++)
            assert_int_equal(isnan(got[i]) != 0, i < 37);
        clf_test_release_all(t);
    }
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 9)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, 9));

    clf_min_max(t->stream, x, CLF_MIN_MAX_BATCH, -1.0F, y);
    clf_min_max(t->stream, x, CLF_MIN_MAX_BATCH, 1e-8F, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "min_max: eps is -1; want finite, 0 or more");
    clf_ops_untouched(t, y);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 3, 9);

    (void)state;
    CLF_OPS_ACCEPTS(clf_min_max_check(x, CLF_MIN_MAX_PICTURE, 1e-8F, x, &err));
    CLF_OPS_REFUSES(clf_min_max_check(CLF_OPS_SHAPE(CLF_F32, 6, 9), CLF_MIN_MAX_BATCH, 1e-8F, x, &err),
                    CLF_INVALID_ARGUMENT, "min_max: x is f32[6, 9]; want [B, C, N]");
    CLF_OPS_REFUSES(clf_min_max_check(CLF_OPS_SHAPE(CLF_F16, 2, 3, 9), CLF_MIN_MAX_BATCH, 1e-8F, x, &err),
                    CLF_UNSUPPORTED, "min_max: x is f16[2, 3, 9]; want f32");
    CLF_OPS_REFUSES(clf_min_max_check(x, (clf_min_max_over)2, 1e-8F, x, &err), CLF_INVALID_ARGUMENT,
                    "min_max: over is 2; want CLF_MIN_MAX_BATCH or CLF_MIN_MAX_PICTURE");
    CLF_OPS_REFUSES(clf_min_max_check(x, CLF_MIN_MAX_BATCH, 1e-8F, CLF_OPS_SHAPE(CLF_F32, 2, 3, 8), &err),
                    CLF_INVALID_ARGUMENT, "min_max: y is f32[2, 3, 8]; want f32[2, 3, 9], like x");
    CLF_OPS_REFUSES(clf_min_max_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 1, 9)), CLF_MIN_MAX_BATCH, 1e-8F,
                                      clf_ops_at(CLF_F32, 4, CLF_DIMS(1, 1, 9)), &err),
                    CLF_INVALID_ARGUMENT, "min_max: y overlaps x in part; want the same elements, or apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(batches_of_any_size_share_a_range),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(equal_values_become_zero),
        CLF_TEST(nan_spoils_its_own_map_wherever_it_stands),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
