/* add: exact, since the kernel rounds where the reference does. */
#include "ops/ops.h"
#include "ref/ref.h"

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor a = clf_test_integers(t, dtype, CLF_DIMS(R, C), 60);
    const clf_tensor b = clf_test_integers(t, dtype, CLF_DIMS(R, C), 60);
    const clf_tensor row = clf_test_normal(t, dtype, CLF_DIMS(C)), y = clf_test_empty(t, dtype, CLF_DIMS(R, C));

    clf_add(t->stream, a, b, 3, y); /* at most 240: whole numbers of bf16 */
    if (R * C > 100)                /* a few sums may be mostly zeros */
        clf_test_exact(t, y, clf_ref_add(t, a, b, 3));
    clf_add(t->stream, a, row, 1, y);
    clf_test_exact(t, y, clf_ref_add(t, a, row, 1));
}

static void gives_whole_numbers_exactly(void **state)
{
    clf_ops_each_size(*state, one_size);
}

/* Would fail with a fused multiply-add, which rounds once. */
static void rounds_the_product_and_the_sum(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor a = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(31, 67));
        const clf_tensor b = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(31, 67));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(31, 67));

        clf_add(t->stream, a, b, 0.3F, y);
        clf_test_exact(t, y, clf_ref_add(t, a, b, 0.3F));
    }
}

static void nan_inf_and_a_scale_of_zero(void **state)
{
    static const double left[] = { 1, NAN, INFINITY, INFINITY, 2 }, right[] = { NAN, 1, -INFINITY, 1, INFINITY };
    clf_test *t = *state;
    const clf_tensor a = clf_test_from(t, CLF_F16, CLF_DIMS(5), left);
    const clf_tensor b = clf_test_from(t, CLF_F16, CLF_DIMS(5), right);
    const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(5));

    clf_add(t->stream, a, b, 1, y);
    clf_test_exact(t, y, (const double[]){ NAN, NAN, NAN, INFINITY, INFINITY });
    clf_add(t->stream, a, b, 0, y); /* 0 times inf is NaN, as written */
    clf_test_exact(t, y, (const double[]){ NAN, NAN, NAN, INFINITY, NAN });
}

static void in_place_on_either_side_equals_out_of_place(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor a = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(3, 7, 65));
        const clf_tensor b = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(3, 7, 65));
        const clf_tensor c = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(3, 7, 65));
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(3, 7, 65));

        clf_add(t->stream, a, b, 0.7F, y);
        clf_copy(t->stream, b, c);
        clf_add(t->stream, a, c, 0.7F, c);
        clf_test_same_bits(t, c, y);
        clf_add(t->stream, a, b, 0.7F, a);
        clf_test_same_bits(t, a, y);
    }
}

/* Column slices: rows of the three tensors lie at different distances. */
static void views_leave_their_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor wide = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, 200));
    const clf_tensor b = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, 67));
    const clf_tensor row = clf_test_normal(t, CLF_F32, CLF_DIMS(67));
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor a = clf_slice(t->stream, wide, 2, 133, 67), y = clf_slice(t->stream, whole, 1, 6, 5);

    clf_add(t->stream, a, b, 0.5F, y);
    clf_test_exact(t, y, clf_ref_add(t, a, b, 0.5F));
    clf_add(t->stream, a, row, 0.5F, y);
    clf_test_exact(t, y, clf_ref_add(t, a, row, 0.5F));
    clf_ops_rest_untouched(t, whole, 6, 5);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_add(t->stream, x, CLF_OPS_SHAPE(CLF_F32, 7), 1, y);
    clf_add(t->stream, x, x, 1, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "add: b is f32[7]; want f32[3, 8] or f32[8], for a f32[3, 8]");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor a = CLF_OPS_SHAPE(CLF_F16, 3, 8), memory = clf_ops_at(CLF_F16, 0, CLF_DIMS(3, 8));

    (void)state;
    CLF_OPS_ACCEPTS(clf_add_check(a, a, 1, a, &err));
    CLF_OPS_ACCEPTS(clf_add_check(memory, memory, NAN, memory, &err));
    CLF_OPS_ACCEPTS(clf_add_check(a, CLF_OPS_SHAPE(CLF_F16, 8), 1, a, &err));
    CLF_OPS_REFUSES(clf_add_check(CLF_OPS_SHAPE(CLF_BOOL, 3), a, 1, a, &err), CLF_UNSUPPORTED,
                    "add: a is bool[3]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_add_check(a, CLF_OPS_SHAPE(CLF_F32, 3, 8), 1, a, &err), CLF_INVALID_ARGUMENT,
                    "add: b is f32[3, 8]; want f16[3, 8] or f16[8], for a f16[3, 8]");
    CLF_OPS_REFUSES(clf_add_check(a, CLF_OPS_SHAPE(CLF_F16, 3), 1, a, &err), CLF_INVALID_ARGUMENT,
                    "add: b is f16[3]; want f16[3, 8] or f16[8], for a f16[3, 8]");
    CLF_OPS_REFUSES(clf_add_check(a, a, 1, CLF_OPS_SHAPE(CLF_F16, 24), &err), CLF_INVALID_ARGUMENT,
                    "add: y is f16[24]; want f16[3, 8], like a");
    CLF_OPS_REFUSES(clf_add_check(memory, a, 1, clf_ops_at(CLF_F16, 16, CLF_DIMS(3, 8)), &err), CLF_INVALID_ARGUMENT,
                    "add: y overlaps a in part; want the same elements, or apart");
    CLF_OPS_REFUSES(clf_add_check(a, clf_ops_at(CLF_F16, 16, CLF_DIMS(8)), 1, memory, &err), CLF_INVALID_ARGUMENT,
                    "add: y overlaps b in part; want the same elements, or apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(gives_whole_numbers_exactly),
        CLF_TEST(rounds_the_product_and_the_sum),
        CLF_TEST(nan_inf_and_a_scale_of_zero),
        CLF_TEST(in_place_on_either_side_equals_out_of_place),
        CLF_TEST(views_leave_their_neighbours_untouched),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
