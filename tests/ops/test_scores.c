/* scores against double precision, under each kernel shape. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_tensor none;

static void one_size(clf_test *t, int64_t R, int64_t C, clf_scores_kind kind)
{
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(R, C));
    const clf_tensor logits = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C)),
                     scores = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C));
    clf_expected l;
    const clf_expected want = clf_ref_scores(t, x, 7.5F, -2.25F, kind, &l);

    clf_scores(t->stream, x, 7.5F, -2.25F, kind, logits, scores);
    clf_test_within(t, logits, l.value, l.bound);
    clf_test_within(t, scores, want.value, want.bound);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_double_precision(void **state)
{
    static const int64_t rows[] = { 0, 1, 7, 93 }, widths[] = { 1, 2, 15, 16, 17, 63, 64, 65, 1000 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(widths); i++) {
        const int64_t R = rows[i % CLF_COUNT(rows)], C = widths[i / CLF_COUNT(rows)];

        if (clf_test_small_only(t) && R * C > 4096)
            continue;
        one_size(t, R, C, CLF_SCORES_SOFTMAX);
        one_size(t, R, C, CLF_SCORES_SIGMOID);
    }
}

/* Either output alone has the bits that it has beside the other, also in the place of x. */
static void outputs_do_not_depend_on_each_other(void **state)
{
    clf_test *t = *state;

    for (int kind = CLF_SCORES_SOFTMAX; kind <= CLF_SCORES_SIGMOID; kind++) {
        const clf_scores_kind k = (clf_scores_kind)kind;
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 37)),
                         logits = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37)),
                         scores = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37)),
                         alone = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37)),
                         place = clf_test_from(t, CLF_F32, CLF_DIMS(3, 37), clf_test_given(t, x)),
                         other = clf_test_from(t, CLF_F32, CLF_DIMS(3, 37), clf_test_given(t, x));

        clf_scores(t->stream, x, 3.0F, 0.5F, k, logits, scores);
        clf_scores(t->stream, x, 3.0F, 0.5F, k, alone, none);
        clf_test_same_bits(t, alone, logits);
        clf_scores(t->stream, x, 3.0F, 0.5F, k, none, alone);
        clf_test_same_bits(t, alone, scores);
        clf_scores(t->stream, place, 3.0F, 0.5F, k, none, place);
        clf_test_same_bits(t, place, scores);
        clf_scores(t->stream, other, 3.0F, 0.5F, k, other, alone);
        clf_test_same_bits(t, other, logits);
        clf_test_same_bits(t, alone, scores);
    }
}

static void views_are_read_and_written_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor long_x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 7, 20));
    const clf_tensor x = clf_slice(t->stream, long_x, 1, 2, 4);
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 9, 20), 9);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 3, 4);
    clf_expected l;
    const clf_expected want = clf_ref_scores(t, x, 1.0F, 0.0F, CLF_SCORES_SOFTMAX, &l);

    clf_scores(t->stream, x, 1.0F, 0.0F, CLF_SCORES_SOFTMAX, none, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_ops_rest_untouched(t, whole, 3, 4);
}

/* Rows: large logits; -inf beside numbers; NaN; +inf; nothing but -inf. */
static void extremes_are_what_the_formula_says(void **state)
{
    clf_test *t = *state;
    const double values[5 * 3] = { 1e4, 1e4 + 1,  -1e4, 0, -INFINITY, 0,         1,        NAN,
                                   2,   INFINITY, 1,    2, -INFINITY, -INFINITY, -INFINITY };
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(5, 3), values),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(5, 3));
    const double *got;

    clf_scores(t->stream, x, 1.0F, 0.0F, CLF_SCORES_SOFTMAX, none, y);
    got = clf_test_values(t, y);
    assert_true(fabs(got[0] - 0.2689414) < 1e-6 && fabs(got[1] - 0.7310586) < 1e-6 && got[2] == 0);
    assert_true(got[3] == 0.5 && got[4] == 0 && got[5] == 0.5);
    for (int i = 6; i < 15; i++)
        assert_true(isnan(got[i]));
    clf_scores(t->stream, x, 1.0F, 0.0F, CLF_SCORES_SIGMOID, none, y);
    got = clf_test_values(t, y);
    assert_true(got[0] == 1 && got[2] == 0 && got[3] == 0.5 && got[4] == 0 && isnan(got[7]) && got[9] == 1);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 5), y = CLF_OPS_SHAPE(CLF_F32, 5, 2);

    (void)state;
    CLF_OPS_ACCEPTS(clf_scores_check(x, 1.0F, 0.0F, CLF_SCORES_SOFTMAX, none, x, &err));
    CLF_OPS_REFUSES(clf_scores_check(x, 1.0F, 0.0F, CLF_SCORES_SOFTMAX, none, none, &err), CLF_INVALID_ARGUMENT,
                    "scores: logits and scores are absent; want at least one");
    CLF_OPS_REFUSES(clf_scores_check(CLF_OPS_SHAPE(CLF_F16, 2, 5), 1.0F, 0.0F, CLF_SCORES_SOFTMAX, x, none, &err),
                    CLF_UNSUPPORTED, "scores: x is f16[2, 5]; want f32");
    CLF_OPS_REFUSES(clf_scores_check(x, 1.0F, 0.0F, (clf_scores_kind)2, x, none, &err), CLF_INVALID_ARGUMENT,
                    "scores: kind is 2; want CLF_SCORES_SOFTMAX or CLF_SCORES_SIGMOID");
    CLF_OPS_REFUSES(clf_scores_check(x, 1.0F, 0.0F, CLF_SCORES_SIGMOID, x, y, &err), CLF_INVALID_ARGUMENT,
                    "scores: scores is f32[5, 2]; want f32[2, 5], like x");
    CLF_OPS_REFUSES(clf_scores_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(2, 5)), 1.0F, 0.0F, CLF_SCORES_SIGMOID,
                                     clf_ops_at(CLF_F32, 80, CLF_DIMS(2, 5)), clf_ops_at(CLF_F32, 80, CLF_DIMS(2, 5)),
                                     &err),
                    CLF_INVALID_ARGUMENT, "scores: scores overlaps logits; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_double_precision),
        CLF_TEST(outputs_do_not_depend_on_each_other),
        CLF_TEST(views_are_read_and_written_in_place),
        CLF_TEST(extremes_are_what_the_formula_says),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
