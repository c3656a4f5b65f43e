/* entropy against double, under each kernel shape. */
#include "ref/ref.h"

#include "ops/ops.h"

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t batches[] = { 0, 1, 3 }, channels[] = { 2, 13, 40 }, lengths[] = { 0, 1, 15, 16, 49, 300 };
    clf_test *t = *state;

    for (size_t i = 0; i < 3 * 3 * CLF_COUNT(lengths); i++) {
        const int64_t B = batches[i % 3], C = channels[i / 3 % 3], N = lengths[i / 9];
        const clf_tensor whole = clf_test_normal(t, CLF_F32, CLF_DIMS(B, C + 2, N));
        const clf_tensor x = clf_slice(t->stream, whole, 1, 1, C), y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N));
        const clf_expected want = clf_ref_entropy(t, x, 1e-10F, y);

        clf_entropy(t->stream, x, 1e-10F, y);
        clf_test_within(t, y, want.value, want.bound);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* Channels as near to each other as those of textures.  But for an offset that all places share, which scaling takes away,
 * the errors are those of rounding 2.4 to 2.6 to f32: 2^-22 / sqrt(12) = 6.9e-8 in the mean square.  Sums of p log p that do
 * not mind how p is rounded have 8.9e-8. */
static void places_keep_the_digits_in_which_they_differ(void **state)
{
    enum { N = 4000 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 13, N), 0, 1);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, N));
    const double *want = clf_ref_entropy(t, x, 1e-10F, y).value;
    double mean = 0, square = 0;

    clf_entropy(t->stream, x, 1e-10F, y);
    const double *got = clf_test_values(t, y);
    for (int i = 0; i < N; i++)
        mean += (got[i] - want[i]) / N;
    for (int i = 0; i < N; i++)
        square += (got[i] - want[i] - mean) * (got[i] - want[i] - mean) / N;
    if (sqrt(square) > 7.8e-8)
        fail_msg("places are off by %.3g in the mean square", sqrt(square));
    print_message("             %.3g in the mean square\n", sqrt(square));
}

static void one_channel_alone_is_nothing_and_equal_ones_are_most(void **state)
{
    clf_test *t = *state;
    double values[4 * 3];

    for (int c = 0; c < 4; c++) {
        values[3 * c] = c == 2 ? 0 : -200; /* its probability is 0 in f32 */
        values[3 * c + 1] = 7;
        values[3 * c + 2] = c == 1 ? 3 : -INFINITY;
    }
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 4, 3), values);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3));

    clf_entropy(t->stream, x, 1e-10F, y);
    const double *got = clf_test_values(t, y);
    assert_true(fabs(got[0]) < 1e-6 && fabs(got[2]) < 1e-6);
    assert_true(fabs(got[1] - log(4)) < 1e-6);
}

static void nan_stays_in_its_place(void **state)
{
    clf_test *t = *state;
    double values[3 * 20];

    for (int i = 0; i < 3 * 20; i++)
        values[i] = i % 5;
    values[20 + 3] = NAN;
    values[40 + 17] = INFINITY;
    values[18] = values[38] = values[58] = -INFINITY;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 3, 20), values);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 20));

    clf_entropy(t->stream, x, 1e-10F, y);
    const double *got = clf_test_values(t, y);
    for (int i = 0; i < 20; i++)
        assert_int_equal(isnan(got[i]) != 0, i == 3 || i == 17 || i == 18);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 9)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 9));

    clf_entropy(t->stream, x, NAN, y);
    clf_entropy(t->stream, x, 0.0F, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "entropy: eps is nan; want finite, 0 or more");
    clf_ops_untouched(t, y);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 3, 9), y = CLF_OPS_SHAPE(CLF_F32, 2, 9);

    (void)state;
    CLF_OPS_ACCEPTS(clf_entropy_check(x, 0.0F, y, &err));
    CLF_OPS_REFUSES(clf_entropy_check(CLF_OPS_SHAPE(CLF_F32, 2, 0, 9), 0.0F, y, &err), CLF_INVALID_ARGUMENT,
                    "entropy: x is f32[2, 0, 9]; want [B, C, N], C from 1 to 2^31 - 1");
    CLF_OPS_REFUSES(clf_entropy_check(x, 0.0F, CLF_OPS_SHAPE(CLF_F32, 2, 8), &err), CLF_INVALID_ARGUMENT,
                    "entropy: y is f32[2, 8]; want f32[2, 9], for x f32[2, 3, 9]");
    CLF_OPS_REFUSES(clf_entropy_check(CLF_OPS_SHAPE(CLF_BF16, 2, 3, 9), 0.0F, y, &err), CLF_UNSUPPORTED,
                    "entropy: x is bf16[2, 3, 9]; want f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(places_keep_the_digits_in_which_they_differ),
        CLF_TEST(one_channel_alone_is_nothing_and_equal_ones_are_most),
        CLF_TEST(nan_stays_in_its_place),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
