/* activate against its double reference, and the names of activations. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_activation all[] = { CLF_ACTIVATION_NONE, CLF_GELU, CLF_GELU_TANH, CLF_QUICK_GELU, CLF_SILU, CLF_RELU,
                                      CLF_RELU2,           CLF_TANH };

/* Inputs are more often positive, so that relu does not give zeros alone. */
static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_uniform(t, dtype, CLF_DIMS(R, C), -2, 6);

    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(R, C));
        const clf_expected want = clf_ref_activate(t, x, all[i]);

        if (R * C > 4096 && i != (size_t)C % CLF_COUNT(all)) /* large ones once */
            continue;
        if (R * C == 1 && clf_test_given(t, x)[0] < 0) /* a single zero proves nothing */
            continue;
        clf_activate(t->stream, x, all[i], y);
        clf_test_within(t, y, want.value, want.bound);
    }
}

static void agrees_with_the_double_reference(void **state)
{
    clf_test *t = *state;

    t->zero_limit = 0.65; /* ReLU's own zeros */
    clf_ops_each_size(*state, one_size);
}

/* From the left tail, where results underflow, past the point where e^x overflows. */
static void holds_its_bound_over_the_whole_range(void **state)
{
    clf_test *t = *state;
    const double ends[] = { 1e-3, 1, 4, 12, 30, 90, 1e4, 1e15 };
    const int64_t n = clf_test_small_only(t) ? 1000 : 20000;

    t->zero_limit = 0.65; /* ReLU's own zeros, and results that underflow */
    for (size_t i = 0; i < CLF_COUNT(all); i++)
        for (size_t e = 0; e < CLF_COUNT(ends); e++) {
            const bool half_is_zero = all[i] == CLF_RELU || all[i] == CLF_RELU2 || (ends[e] > 30 && i != 0);
            const double low = half_is_zero ? -ends[e] / 4 : -ends[e];
            const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(n), low, ends[e]);
            const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(n));
            const clf_expected want = clf_ref_activate(t, x, all[i]);

            clf_activate(t->stream, x, all[i], y);
            clf_test_within(t, y, want.value, want.bound);
            clf_test_check_guards(t);
            clf_test_release_all(t);
        }
}

/* The claim of the header, which the derived bounds lie inside. */
static void holds_the_published_bound(void **state)
{
    clf_test *t = *state;
    const int64_t n = clf_test_small_only(t) ? 1000 : 20000;

    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(n), -8, 24);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(n));
        const clf_expected want = clf_ref_activate(t, x, all[i]);
        const double *given = clf_test_given(t, x);

        clf_activate(t->stream, x, all[i], y);
        for (int64_t k = 0; k < n; k++)
            want.bound[k] = fmax(4e-6 * fabs(want.value[k]), 1e-7 * fmax(1, fabs(given[k])));
        clf_test_within(t, y, want.value, want.bound);
    }
}

static void nan_stays_and_infinities_give_the_limit(void **state)
{
    static const double special[] = { NAN, INFINITY, -INFINITY, 0, -0.0, 3e38, -3e38 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        double values[19];
        clf_tensor x, y;
        const double *got;
        clf_expected want;

        for (size_t k = 0; k < CLF_COUNT(values); k++) /* inside a vector and behind the last one */
            values[k] = special[k % CLF_COUNT(special)];
        x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 19), values);
        y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 19));
        want = clf_ref_activate(t, x, all[i]);
        clf_activate(t->stream, x, all[i], y);
        got = clf_test_values(t, y);
        for (size_t k = 0; k < CLF_COUNT(values); k++) {
            const double limit = (double)(float)want.value[k]; /* relu2 of 3e38 is infinite */

            if (isnan(limit) || isinf(limit))
                assert_true(isnan(limit) ? isnan(got[k]) : got[k] == limit);
            else
                assert_true(fabs(got[k] - limit) <= 1e-6 * fabs(limit));
        }
    }
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        const clf_dtype dtype = clf_ops_types[i % CLF_COUNT(clf_ops_types)];
        const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(7, 195));
        const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(7, 195));

        clf_activate(t->stream, x, all[i], y);
        clf_activate(t->stream, x, all[i], x);
        clf_test_same_bits(t, x, y);
    }
}

static void an_element_has_the_same_bits_wherever_it_stands(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 37)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37));
    const clf_tensor z = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37));

    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        clf_activate(t->stream, x, all[i], y);
        for (int64_t r = 0; r < 3; r++)
            for (int64_t c = 0; c < 37; c += 5) {
                const int64_t count = c + 5 <= 37 ? 5 : 2;
                const clf_tensor row = clf_slice(t->stream, x, 0, r, 1), out = clf_slice(t->stream, z, 0, r, 1);

                clf_activate(t->stream, clf_slice(t->stream, row, 1, c, count), all[i],
                             clf_slice(t->stream, out, 1, c, count));
            }
        clf_test_same_bits(t, y, z);
    }
}

static void a_view_leaves_its_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 5, 67));
    const clf_tensor whole = clf_test_integers(t, CLF_F16, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 4, 5);
    const clf_expected want = clf_ref_activate(t, x, CLF_SILU);

    clf_activate(t->stream, x, CLF_SILU, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_ops_rest_untouched(t, whole, 4, 5);
}

static void nothing_to_do_is_a_success(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 0));

    clf_activate(t->stream, x, CLF_GELU, x);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_activate(t->stream, x, (clf_activation)8, y);
    clf_activate(t->stream, x, CLF_GELU, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "activate: activation is 8; want a value of clf_activation");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 3, 8);

    (void)state;
    CLF_OPS_ACCEPTS(clf_activate_check(x, CLF_TANH, x, &err));
    CLF_OPS_ACCEPTS(clf_activate_check(CLF_OPS_SHAPE(CLF_F32, 0), CLF_GELU, CLF_OPS_SHAPE(CLF_F32, 0), &err));
    CLF_OPS_REFUSES(clf_activate_check(CLF_OPS_SHAPE(CLF_U8, 3, 8), CLF_GELU, x, &err), CLF_UNSUPPORTED,
                    "activate: x is u8[3, 8]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_activate_check(x, (clf_activation)-1, x, &err), CLF_INVALID_ARGUMENT,
                    "activate: activation is -1; want a value of clf_activation");
    CLF_OPS_REFUSES(clf_activate_check(x, CLF_GELU, CLF_OPS_SHAPE(CLF_BF16, 3, 8), &err), CLF_INVALID_ARGUMENT,
                    "activate: y is bf16[3, 8]; want f16[3, 8], like x");
    CLF_OPS_REFUSES(
        clf_activate_check(clf_ops_at(CLF_F16, 0, CLF_DIMS(24)), CLF_GELU, clf_ops_at(CLF_F16, 2, CLF_DIMS(24)), &err),
        CLF_INVALID_ARGUMENT, "activate: y overlaps x in part; want the same elements, or apart");
}

static void names_are_found_in_every_spelling_of_transformers(void **state)
{
    static const struct {
        const char *name;
        clf_activation activation;
    } known[] = {
        { "none", CLF_ACTIVATION_NONE },
        { "linear", CLF_ACTIVATION_NONE },
        { "gelu", CLF_GELU },
        { "gelu_python", CLF_GELU },
        { "gelu_pytorch_tanh", CLF_GELU_TANH },
        { "gelu_python_tanh", CLF_GELU_TANH },
        { "gelu_new", CLF_GELU_TANH },
        { "gelu_fast", CLF_GELU_TANH },
        { "gelu_accurate", CLF_GELU_TANH },
        { "quick_gelu", CLF_QUICK_GELU },
        { "silu", CLF_SILU },
        { "swish", CLF_SILU },
        { "relu", CLF_RELU },
        { "relu2", CLF_RELU2 },
        { "tanh", CLF_TANH },
    };
    static const char *const unknown[] = { "gelu_10", "mish", "relu6", "GELU", "", "gelu ", NULL };
    clf_activation found;

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(known); i++) {
        found = (clf_activation)99;
        assert_true(clf_activation_from_name(known[i].name, &found));
        assert_int_equal(found, known[i].activation);
    }
    for (size_t i = 0; i < CLF_COUNT(unknown); i++) {
        found = CLF_RELU;
        assert_false(clf_activation_from_name(unknown[i], &found));
        assert_int_equal(found, CLF_RELU);
    }
    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        assert_true(clf_activation_from_name(clf_activation_name(all[i]), &found));
        assert_int_equal(found, all[i]);
    }
    assert_string_equal(clf_activation_name(CLF_GELU_TANH), "gelu_pytorch_tanh");
    assert_string_equal(clf_activation_name((clf_activation)8), "unknown activation");
    assert_string_equal(clf_activation_name((clf_activation)-1), "unknown activation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(holds_its_bound_over_the_whole_range),
        CLF_TEST(holds_the_published_bound),
        CLF_TEST(nan_stays_and_infinities_give_the_limit),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(an_element_has_the_same_bits_wherever_it_stands),
        CLF_TEST(a_view_leaves_its_neighbours_untouched),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
        cmocka_unit_test(names_are_found_in_every_spelling_of_transformers),
    };

    return CLF_TEST_MAIN(tests);
}
