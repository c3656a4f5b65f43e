/* normalise: the operator that a clf_norm names, and views of three strides. */
#include "ops/ops.h"

static const clf_tensor none;

static void each_kind_is_its_operator(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 3, 24)), w = clf_test_normal(t, CLF_F32, CLF_DIMS(24));
    const clf_tensor b = clf_test_normal(t, CLF_F32, CLF_DIMS(24));
    const clf_norm norms[] = {
        { .kind = CLF_NORM_LAYER, .weight = w, .bias = b, .eps = 1e-5F },
        { .kind = CLF_NORM_LAYER, .eps = 1e-12F },
        { .kind = CLF_NORM_RMS, .weight = w, .eps = 1e-5F },
        { .kind = CLF_NORM_RMS, .eps = 1e-6F },
        { .kind = CLF_NORM_NONE },
    };

    for (size_t i = 0; i < CLF_COUNT(norms); i++) {
        const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 3, 24)),
                         want = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 3, 24));
        const clf_norm *n = &norms[i];

        clf_normalise(t->stream, n, x, y);
        if (n->kind == CLF_NORM_LAYER)
            clf_layer_norm(t->stream, x, n->weight, n->bias, n->eps, want);
        else if (n->kind == CLF_NORM_RMS)
            clf_rms_norm(t->stream, x, n->weight, clf_present(n->weight) ? CLF_RMS_WEIGHT : CLF_RMS_PLAIN, n->eps,
                         want);
        else
            clf_copy(t->stream, x, want);
        clf_test_same_bits(t, y, want);
    }
}

static void no_norm_in_place_does_nothing(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 8));
    const clf_norm kind = { .kind = CLF_NORM_NONE };

    clf_normalise(t->stream, &kind, x, x);
    clf_test_exact(t, x, clf_test_given(t, x));
}

/* Two heads of a part of each row of a part of each batch, in place: what clf_attention_layer does to its keys. */
static void heads_of_a_part_are_normalised_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor whole = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 7, 29));
    const clf_norm norm = { .kind = CLF_NORM_RMS, .eps = 1e-6F };
    const clf_tensor part = clf_slice(t->stream, clf_slice(t->stream, whole, 1, 2, 3), 2, 5, 16);
    const clf_tensor heads = clf_heads(t->stream, part, 2), want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 2, 8));
    const double *now, *was = clf_test_given(t, whole);

    for (int64_t b = 0; b < 2; b++)
        clf_copy(t->stream, clf_slice(t->stream, heads, 0, b, 1), clf_slice(t->stream, want, 0, b, 1));
    clf_rms_norm(t->stream, want, none, CLF_RMS_PLAIN, norm.eps, want);
    clf_normalise(t->stream, &norm, heads, heads);
    clf_test_same_bits(t, heads, want);
    now = clf_test_values(t, whole);
    for (int i = 0; i < 2 * 7 * 29; i++)
        assert_true((i / 29 % 7 >= 2 && i / 29 % 7 < 5 && i % 29 >= 5 && i % 29 < 21) || now[i] == was[i]);
}

static void what_does_not_fit_is_named(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 8)), b = clf_test_normal(t, CLF_F32, CLF_DIMS(8));
    clf_norm norm = { .kind = (clf_norm_kind)3 };

    clf_normalise(t->stream, &norm, x, x);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "normalise: kind is 3; want CLF_NORM_NONE, CLF_NORM_LAYER or CLF_NORM_RMS");
    norm = (clf_norm){ .kind = CLF_NORM_RMS, .bias = b, .eps = 1 };
    clf_normalise(t->stream, &norm, x, x);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "normalise: bias is f32[8]; want none without CLF_NORM_LAYER and a weight");
    norm = (clf_norm){ .kind = CLF_NORM_LAYER, .weight = clf_slice(t->stream, b, 0, 0, 7), .eps = 1 };
    clf_normalise(t->stream, &norm, x, x);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "layer_norm: weight is f32[7]; want [8]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(each_kind_is_its_operator),
        CLF_TEST(no_norm_in_place_does_nothing),
        CLF_TEST(heads_of_a_part_are_normalised_in_place),
        CLF_TEST(what_does_not_fit_is_named),
    };

    return CLF_TEST_MAIN(tests);
}
