/* widen: every bit, sign and place. */
#include "ops/ops.h"

static void one_size(clf_test *t, int64_t R, int64_t C)
{
    const size_t count = (size_t)(R * C);
    int32_t *values = clf_test_memory(t, (count + 1) * sizeof *values);
    double *want = clf_test_memory(t, (count + 1) * sizeof *want);

    for (size_t i = 0; i < count; i++) {
        values[i] = i % 5 == 0 ? -1 : i % 7 == 0 ? INT32_MIN : INT32_MAX - (int32_t)i;
        want[i] = values[i];
    }
    const clf_tensor x = clf_test_i32(t, CLF_DIMS(R, C), values), y = clf_test_empty(t, CLF_I64, CLF_DIMS(R, C));
    clf_widen(t->stream, x, y);
    const double *got = clf_test_values(t, y);

    for (size_t i = 0; i < count; i++)
        assert_true(got[i] == want[i]);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void keeps_every_value(void **state)
{
    static const int64_t rows[] = { 0, 1, 7 }, widths[] = { 1, 2, 17, 64, 65, 5000 };

    for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(widths); i++)
        one_size(*state, rows[i % CLF_COUNT(rows)], widths[i / CLF_COUNT(rows)]);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_I32, 2, 5), y = CLF_OPS_SHAPE(CLF_I64, 2, 5);

    (void)state;
    CLF_OPS_ACCEPTS(clf_widen_check(x, y, &err));
    CLF_OPS_REFUSES(clf_widen_check(y, y, &err), CLF_UNSUPPORTED, "widen: x is i64[2, 5]; want i32");
    CLF_OPS_REFUSES(clf_widen_check(x, x, &err), CLF_UNSUPPORTED, "widen: y is i32[2, 5]; want i64");
    CLF_OPS_REFUSES(clf_widen_check(x, CLF_OPS_SHAPE(CLF_I64, 5, 2), &err), CLF_INVALID_ARGUMENT,
                    "widen: y is i64[5, 2]; want the shape of x i32[2, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLF_TEST(keeps_every_value), CLF_TEST(names_what_does_not_fit) };

    return CLF_TEST_MAIN(tests);
}
