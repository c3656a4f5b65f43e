/* scale: exact, since the kernel rounds where the reference does. */
#include "ops/ops.h"
#include "ref/ref.h"

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, C)), y = clf_test_empty(t, dtype, CLF_DIMS(R, C));

    clf_scale(t->stream, x, 0.3F, y);
    clf_test_exact(t, y, clf_ref_scale(t, x, 0.3F));
}

static void rounds_once(void **state)
{
    clf_ops_each_size(*state, one_size);
}

static void gives_whole_numbers_exactly_and_keeps_nan_and_inf(void **state)
{
    static const double values[] = { 1, -3, NAN, 21, -INFINITY, -64, 7 };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_from(t, clf_ops_types[d], CLF_DIMS(7), values);
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(7));

        clf_scale(t->stream, x, -3, y);
        clf_test_exact(t, y, (const double[]){ -3, 9, NAN, -63, INFINITY, 192, -21 });
    }
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(7, 195));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(7, 195));

        clf_scale(t->stream, x, 1.1F, y);
        clf_scale(t->stream, x, 1.1F, x);
        clf_test_same_bits(t, x, y);
    }
}

static void a_view_leaves_its_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_BF16, CLF_DIMS(2, 5, 67));
    const clf_tensor whole = clf_test_integers(t, CLF_BF16, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 4, 5);

    clf_scale(t->stream, x, 5, y);
    clf_test_exact(t, y, clf_ref_scale(t, x, 5));
    clf_ops_rest_untouched(t, whole, 4, 5);
}

/* Narrow rows with gaps cannot be folded: a group takes many of them, and the last group fewer. */
static void columns_of_a_wide_tensor_leave_the_others_untouched(void **state)
{
    clf_test *t = *state;

    for (int64_t width = 1; width <= 33; width += 16) {
        const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(1001, 40), 100);
        const clf_tensor x = clf_slice(t->stream, whole, 1, 5, width);
        const double *was = clf_test_given(t, whole), *now;

        clf_scale(t->stream, x, 2, x);
        now = clf_test_values(t, whole);
        for (int64_t i = 0; i < 1001 * 40; i++)
            assert_true(now[i] == was[i] * (i % 40 >= 5 && i % 40 < 5 + width ? 2 : 1));
    }
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_scale(t->stream, x, 2, CLF_OPS_SHAPE(CLF_F32, 8, 3));
    clf_scale(t->stream, x, 2, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "scale: y is f32[8, 3]; want f32[3, 8], like x");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 3, 8);

    (void)state;
    CLF_OPS_ACCEPTS(clf_scale_check(x, INFINITY, x, &err));
    CLF_OPS_REFUSES(clf_scale_check(CLF_OPS_SHAPE(CLF_I64, 3), 2, x, &err), CLF_UNSUPPORTED,
                    "scale: x is i64[3]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_scale_check(x, 2, CLF_OPS_SHAPE(CLF_F32, 3, 8), &err), CLF_INVALID_ARGUMENT,
                    "scale: y is f32[3, 8]; want f16[3, 8], like x");
    CLF_OPS_REFUSES(
        clf_scale_check(clf_ops_at(CLF_F16, 0, CLF_DIMS(3, 8)), 2, clf_ops_at(CLF_F16, 2, CLF_DIMS(3, 8)), &err),
        CLF_INVALID_ARGUMENT, "scale: y overlaps x in part; want the same elements, or apart");
    CLF_OPS_REFUSES(
        clf_scale_check(clf_ops_at(CLF_F32, 6, CLF_DIMS(3, 8)), 2, clf_ops_at(CLF_F32, 6, CLF_DIMS(3, 8)), &err),
        CLF_INVALID_ARGUMENT, "scale: x begins at byte 6; want a multiple of 4 for f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(rounds_once),
        CLF_TEST(gives_whole_numbers_exactly_and_keeps_nan_and_inf),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(a_view_leaves_its_neighbours_untouched),
        CLF_TEST(columns_of_a_wide_tensor_leave_the_others_untouched),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
