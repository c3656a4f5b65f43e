/* row_max: exact, under each kernel shape. */
#include "ops/ops.h"

static double *reference(clf_test *t, clf_tensor x)
{
    const double *given = clf_test_given(t, x);
    const int64_t B = x.dim[0], N = x.dim[1], C = x.dim[2];
    double *want = clf_test_memory(t, (size_t)(B * C + 1) * sizeof *want);

    for (int64_t i = 0; i < B * C; i++) {
        const double *column = given + i / C * N * C + i % C;

        want[i] = column[0];
        for (int64_t n = 1; n < N; n++)
            if (column[n * C] > want[i])
                want[i] = column[n * C];
    }
    return want;
}

static void is_exact(void **state)
{
    static const int64_t batches[] = { 0, 1, 3 }, rows[] = { 1, 2, 49 }, widths[] = { 1, 15, 16, 17, 128, 200 };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(batches) * CLF_COUNT(rows) * CLF_COUNT(widths); i++) {
            const int64_t B = batches[i % 3], N = rows[i / 3 % 3], C = widths[i / 9];
            const clf_tensor long_x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(B, N + 2, C));
            const clf_tensor x = clf_slice(t->stream, long_x, 1, 1, N), y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, C));

            clf_row_max(t->stream, x, y);
            clf_test_exact(t, y, reference(t, x));
            clf_test_check_guards(t);
            clf_test_release_all(t);
        }
}

static void nan_wins_wherever_it_stands(void **state)
{
    clf_test *t = *state;
    double values[3 * 18];

    for (int n = 0; n < 3; n++) {
        for (int i = 0; i < 3 * 18; i++)
            values[i] = i % 5 - 2;
        values[n * 18 + 2] = values[n * 18 + 17] = NAN;
        values[n * 18 + 3] = INFINITY;
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 3, 18), values),
                         y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 18));

        clf_row_max(t->stream, x, y);
        const double *got = clf_test_values(t, y);
        for (int c = 0; c < 18; c++)
            assert_true(isnan(got[c]) == (c == 2 || c == 17) && (c != 3 || isinf(got[c])));
    }
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 5), y = CLF_OPS_SHAPE(CLF_F32, 2, 5);

    (void)state;
    CLF_OPS_ACCEPTS(clf_row_max_check(x, y, &err));
    CLF_OPS_REFUSES(clf_row_max_check(CLF_OPS_SHAPE(CLF_F16, 2, 0, 5), y, &err), CLF_INVALID_ARGUMENT,
                    "row_max: x is f16[2, 0, 5]; want [B, N, C], N above 0");
    CLF_OPS_REFUSES(clf_row_max_check(x, CLF_OPS_SHAPE(CLF_F32, 2, 3), &err), CLF_INVALID_ARGUMENT,
                    "row_max: y is f32[2, 3]; want f32[2, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(is_exact),
        CLF_TEST(nan_wins_wherever_it_stands),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
