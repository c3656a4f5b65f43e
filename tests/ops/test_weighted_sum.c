/* weighted_sum against double, under each kernel shape. */
#include "ref/ref.h"

#include "ops/ops.h"

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t batches[] = { 0, 1, 3 }, counts[] = { 1, 3, 7 }, widths[] = { 1, 15, 16, 17, 49, 1024, 5000 };
    clf_test *t = *state;

    for (size_t i = 0; i < 3 * 3 * 3 * CLF_COUNT(widths); i++) {
        const int64_t B = batches[i % 3], M = counts[i / 3 % 3], C = widths[i / 27];
        const clf_tensor whole = clf_test_normal(t, clf_ops_types[i / 9 % 3], CLF_DIMS(B, M + 2, C));
        const clf_tensor x = clf_slice(t->stream, whole, 1, 1, M);
        const clf_tensor w = clf_test_normal(t, CLF_F32, CLF_DIMS(B, M)),
                         y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, C));
        const clf_expected want = clf_ref_weighted_sum(t, x, w, y);

        clf_weighted_sum(t->stream, x, w, y);
        clf_test_within(t, y, want.value, want.bound);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

static void without_rows_the_sum_is_zero(void **state)
{
    clf_test *t = *state;
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 20));

    clf_weighted_sum(t->stream, clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 20)),
                     clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0)), y);
    const double *got = clf_test_values(t, y);
    for (int i = 0; i < 40; i++)
        assert_true(got[i] == 0.0);
}

static void nan_and_infinities_stay_in_their_columns(void **state)
{
    clf_test *t = *state;
    double values[2 * 18];
    static const double weights[] = { 0.5, 2 };

    for (int i = 0; i < 2 * 18; i++)
        values[i] = i;
    values[18 + 2] = NAN;
    values[17] = INFINITY;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2, 18), values);
    const clf_tensor w = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2), weights),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 18));

    clf_weighted_sum(t->stream, x, w, y);
    const double *got = clf_test_values(t, y);
    for (int i = 0; i < 18; i++)
        assert_true(isnan(got[i]) == (i == 2) && isinf(got[i]) == (i == 17));
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 9)),
                     w = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 9));

    clf_weighted_sum(t->stream, x, w, y);
    clf_weighted_sum(t->stream, x, clf_slice(t->stream, w, 1, 0, 2), y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "weighted_sum: w is f32[1, 3]; want f32[1, 2], for x f32[1, 2, 9]");
    clf_ops_untouched(t, y);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 9), w = CLF_OPS_SHAPE(CLF_F32, 2, 3),
                     y = CLF_OPS_SHAPE(CLF_F32, 2, 9);

    (void)state;
    CLF_OPS_ACCEPTS(clf_weighted_sum_check(x, w, y, &err));
    CLF_OPS_REFUSES(clf_weighted_sum_check(CLF_OPS_SHAPE(CLF_F32, 6, 9), w, y, &err), CLF_INVALID_ARGUMENT,
                    "weighted_sum: x is f32[6, 9]; want [B, M, C], M below 2^31");
    CLF_OPS_REFUSES(clf_weighted_sum_check(x, w, CLF_OPS_SHAPE(CLF_F32, 2, 8), &err), CLF_INVALID_ARGUMENT,
                    "weighted_sum: y is f32[2, 8]; want f32[2, 9], for x f16[2, 3, 9]");
    CLF_OPS_REFUSES(clf_weighted_sum_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 3, 9)),
                                           clf_ops_at(CLF_F32, 400, CLF_DIMS(1, 3)),
                                           clf_ops_at(CLF_F32, 4, CLF_DIMS(1, 9)), &err),
                    CLF_INVALID_ARGUMENT, "weighted_sum: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(without_rows_the_sum_is_zero),
        CLF_TEST(nan_and_infinities_stay_in_their_columns),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
