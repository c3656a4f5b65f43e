/* row_stats against double, in rows of one part and of several. */
#include "ref/ref.h"

#include "ops/ops.h"

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t rows[] = { 0, 1, 9 }, widths[] = { 2, 3, 15, 16, 17, 49, 1024, 4095, 4096, 4097, 20000 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(widths); i++) {
        const int64_t R = rows[i % 3], C = widths[i / 3];
        const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(R, C), 0.2, 1);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(R, 3));
        const clf_expected want = clf_ref_row_stats(t, x, y);

        clf_row_stats(t->stream, x, y);
        clf_test_within(t, y, want.value, want.bound);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* Into the first columns of wider rows: three numbers a map, three maps a picture. */
static void views_are_written_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 40));
    const clf_tensor wide = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 1, 14));
    const clf_tensor dense = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 3));
    clf_tensor y = wide;

    y.dim[1] = y.dim[2] = y.stride[1] = 3;
    clf_row_stats(t->stream, x, y);
    clf_row_stats(t->stream, x, dense);
    clf_test_same_bits(t, y, dense);
    const double *now = clf_test_values(t, wide), *was = clf_test_given(t, wide);
    for (int i = 0; i < 28; i++)
        assert_true(i % 14 < 9 || now[i] == was[i]);
}

/* Values that are large beside their differences. */
static void a_large_mean_does_not_cancel(void **state)
{
    clf_test *t = *state;
    double values[6000];

    for (int i = 0; i < 6000; i++)
        values[i] = 1000 + i % 2;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 6000), values);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3));

    clf_row_stats(t->stream, x, y);
    const double *got = clf_test_values(t, y);
    assert_true(fabs(got[0] - 1000.5) < 1e-2 && got[1] == 1001.0);
    assert_true(fabs(got[2] - 0.5 * sqrt(6000 / 5999.0)) < 1e-3);
}

static void nan_wins_wherever_it_stands(void **state)
{
    static const int places[] = { 0, 40, 4095, 4096, 5000, 5001 };
    clf_test *t = *state;

    for (size_t p = 0; p < CLF_COUNT(places); p++) {
        double *values = clf_test_memory(t, 2 * 5002 * sizeof *values);

        for (int i = 0; i < 2 * 5002; i++)
            values[i] = i % 7;
        values[places[p]] = NAN;
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(2, 5002), values);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3));

        clf_row_stats(t->stream, x, y);
        const double *got = clf_test_values(t, y);
        for (int i = 0; i < 6; i++)
            assert_int_equal(isnan(got[i]) != 0, i < 3);
        clf_test_release_all(t);
    }
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3));

    clf_row_stats(t->stream, clf_slice(t->stream, x, 1, 0, 1), y);
    clf_row_stats(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "row_stats: x is f32[2, 1]; want a last dimension of 2 to 2^31 - 1");
    clf_ops_untouched(t, y);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 4, 9), y = CLF_OPS_SHAPE(CLF_F32, 2, 4, 3);

    (void)state;
    CLF_OPS_ACCEPTS(clf_row_stats_check(x, y, &err));
    CLF_OPS_REFUSES(clf_row_stats_check(x, CLF_OPS_SHAPE(CLF_F32, 2, 3, 3), &err), CLF_INVALID_ARGUMENT,
                    "row_stats: y is f32[2, 3, 3]; want f32[..., 3] with the rows of x f32[2, 4, 9]");
    CLF_OPS_REFUSES(clf_row_stats_check(CLF_OPS_SHAPE(CLF_F16, 2, 4, 9), y, &err), CLF_UNSUPPORTED,
                    "row_stats: x is f16[2, 4, 9]; want f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference), CLF_TEST(views_are_written_in_place),
        CLF_TEST(a_large_mean_does_not_cancel),     CLF_TEST(nan_wins_wherever_it_stands),
        CLF_TEST(a_failed_stream_stays_silent),     CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
