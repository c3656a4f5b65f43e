/* gated_unit against its double reference. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_activation all[] = { CLF_ACTIVATION_NONE, CLF_GELU, CLF_GELU_TANH, CLF_QUICK_GELU, CLF_SILU, CLF_RELU,
                                      CLF_RELU2,           CLF_TANH };

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_activation activation = all[(R + C) % (int64_t)CLF_COUNT(all)];
    const clf_tensor gate = clf_test_uniform(t, dtype, CLF_DIMS(R, C), R * C == 1 ? 1 : -2, 6);
    const clf_tensor up = clf_test_normal(t, dtype, CLF_DIMS(R, C)), y = clf_test_empty(t, dtype, CLF_DIMS(R, C));
    const clf_expected want = clf_ref_gated_unit(t, gate, up, activation);

    clf_gated_unit(t->stream, gate, up, activation, y);
    clf_test_within(t, y, want.value, want.bound);
}

static void agrees_with_the_double_reference(void **state)
{
    clf_test *t = *state;

    t->zero_limit = 0.65; /* ReLU's own zeros */
    clf_ops_each_size(t, one_size);
}

static void every_activation_agrees(void **state)
{
    clf_test *t = *state;
    const clf_tensor gate = clf_test_uniform(t, CLF_F32, CLF_DIMS(9, 70), -4, 8);
    const clf_tensor up = clf_test_normal(t, CLF_F32, CLF_DIMS(9, 70));

    t->zero_limit = 0.65;
    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(9, 70));
        const clf_expected want = clf_ref_gated_unit(t, gate, up, all[i]);

        clf_gated_unit(t->stream, gate, up, all[i], y);
        clf_test_within(t, y, want.value, want.bound);
    }
}

/* Both halves of one product: y goes into either half, into memory of its own, or into columns beside them; the bits
 * are the same and the other columns stay. */
static void halves_of_one_product_in_place_and_apart_give_equal_bits(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (int64_t at = 0; at < 3; at++) {
            const clf_tensor whole = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(2, 5, 3 * 67));
            const clf_tensor gate = clf_slice(t->stream, whole, 2, 0, 67);
            const clf_tensor up = clf_slice(t->stream, whole, 2, 67, 67);
            const clf_tensor apart = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(2, 5, 67));
            const clf_expected want = clf_ref_gated_unit(t, gate, up, CLF_SILU);

            clf_gated_unit(t->stream, gate, up, CLF_SILU, apart);
            clf_test_within(t, apart, want.value, want.bound);
            clf_gated_unit(t->stream, gate, up, CLF_SILU, clf_slice(t->stream, whole, 2, 67 * at, 67));
            clf_test_same_bits(t, clf_slice(t->stream, whole, 2, 67 * at, 67), apart);
            for (int64_t i = 0; i < 3; i++) {
                const clf_tensor other = clf_slice(t->stream, whole, 2, 67 * i, 67);

                if (i != at)
                    clf_test_exact(t, other, clf_test_given(t, other));
            }
        }
}

static void nan_stays_in_its_element(void **state)
{
    static const double gate[] = { NAN, 1, -INFINITY, INFINITY }, up[] = { 1, NAN, 2, 2 };
    clf_test *t = *state;
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(4));

    clf_gated_unit(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(4), gate), clf_test_from(t, CLF_F32, CLF_DIMS(4), up),
                   CLF_SILU, y);
    clf_test_exact(t, y, (const double[]){ NAN, NAN, -0.0, INFINITY });
}

static void nothing_to_do_is_a_success(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_empty(t, CLF_F32, CLF_DIMS(0, 7));

    clf_gated_unit(t->stream, x, x, CLF_SILU, x);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_gated_unit(t->stream, x, x, (clf_activation)-1, y);
    clf_gated_unit(t->stream, x, x, CLF_SILU, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "gated_unit: activation is -1; want a value of clf_activation");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 3, 8), memory = clf_ops_at(CLF_F16, 0, CLF_DIMS(3, 8));
    clf_tensor left = clf_ops_at(CLF_F16, 0, CLF_DIMS(3, 8)), right = clf_ops_at(CLF_F16, 16, CLF_DIMS(3, 8));

    (void)state;
    CLF_OPS_ACCEPTS(clf_gated_unit_check(x, x, CLF_SILU, x, &err));
    CLF_OPS_ACCEPTS(clf_gated_unit_check(memory, memory, CLF_SILU, memory, &err));
    CLF_OPS_REFUSES(clf_gated_unit_check(CLF_OPS_SHAPE(CLF_U8, 3), x, CLF_SILU, x, &err), CLF_UNSUPPORTED,
                    "gated_unit: gate is u8[3]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_gated_unit_check(x, CLF_OPS_SHAPE(CLF_F32, 3, 8), CLF_SILU, x, &err), CLF_INVALID_ARGUMENT,
                    "gated_unit: up is f32[3, 8]; want f16[3, 8], like gate");
    CLF_OPS_REFUSES(clf_gated_unit_check(x, x, (clf_activation)8, x, &err), CLF_INVALID_ARGUMENT,
                    "gated_unit: activation is 8; want a value of clf_activation");
    CLF_OPS_REFUSES(clf_gated_unit_check(x, x, CLF_SILU, CLF_OPS_SHAPE(CLF_F16, 8, 3), &err), CLF_INVALID_ARGUMENT,
                    "gated_unit: y is f16[8, 3]; want f16[3, 8], like gate");
    CLF_OPS_REFUSES(clf_gated_unit_check(memory, x, CLF_SILU, clf_ops_at(CLF_F16, 8, CLF_DIMS(3, 8)), &err),
                    CLF_INVALID_ARGUMENT, "gated_unit: y overlaps gate in part; want the same elements, or apart");

    left.stride[0] = right.stride[0] = 16; /* the halves of a product of 16 columns */
    CLF_OPS_ACCEPTS(clf_gated_unit_check(left, right, CLF_SILU, left, &err));
    CLF_OPS_ACCEPTS(clf_gated_unit_check(left, right, CLF_SILU, right, &err));
    right.offset = 14;
    CLF_OPS_REFUSES(clf_gated_unit_check(left, right, CLF_SILU, left, &err), CLF_INVALID_ARGUMENT,
                    "gated_unit: y overlaps up in part; want the same elements, or apart");
    right.offset = 18; /* its last column is the first of left's next row */
    CLF_OPS_REFUSES(clf_gated_unit_check(left, right, CLF_SILU, left, &err), CLF_INVALID_ARGUMENT,
                    "gated_unit: y overlaps up in part; want the same elements, or apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(every_activation_agrees),
        CLF_TEST(halves_of_one_product_in_place_and_apart_give_equal_bits),
        CLF_TEST(nan_stays_in_its_element),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
