/* Splicing moves rows: everything is compared bit for bit. */
#include "harness.h"

/* What masked_scatter does: the rows of tokens at the placeholders, in order. */
static const double *spliced(clf_test *t, clf_tensor text, const int64_t *ids, int64_t placeholder, clf_tensor tokens)
{
    const size_t rows = (size_t)clf_row_count(text), C = (size_t)clf_dim(text, -1);
    const double *a = clf_test_given(t, text), *b = clf_test_given(t, tokens);
    double *want = clf_test_memory(t, rows * C * sizeof *want);
    size_t next = 0;

    for (size_t r = 0; r < rows; r++) {
        const double *from = ids[r] == placeholder ? b + next++ * C : a + r * C;
        for (size_t c = 0; c < C; c++)
            want[r * C + c] = from[c];
    }
    return want;
}

static void tokens_stand_where_the_placeholders_were(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    static const int64_t ids[] = { -1, 4, -1, -1, 9, 2, -1, -1, 5, -1 }; /* runs, ends, the last place */
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        const clf_tensor text = clf_test_normal(t, types[i], CLF_DIMS(2, 5, 37));
        const clf_tensor tokens = clf_test_normal(t, types[i], CLF_DIMS(3, 2, 37)); /* three pictures in two texts */
        const clf_tensor fused = clf_test_empty(t, types[i], CLF_DIMS(2, 5, 37));

        clf_splice(t->stream, text, ids, -1, tokens, fused);
        clf_test_exact(t, fused, spliced(t, text, ids, -1, tokens));
    }
}

static void views_are_read_and_written_alone(void **state)
{
    static const int64_t ids[] = { 7, 1, 7, 2, 7, 7 };
    clf_test *t = *state;
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 12));
    const clf_tensor more = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, 12)),
                     tokens = clf_slice(t->stream, more, 1, 1, 2);
    const clf_tensor longer = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 12)),
                     fused = clf_slice(t->stream, longer, 1, 4, 3);
    const clf_tensor before = clf_slice(t->stream, longer, 1, 0, 4), after = clf_slice(t->stream, longer, 1, 7, 2);

    clf_splice(t->stream, text, ids, 7, tokens, fused);
    clf_test_exact(t, fused, spliced(t, text, ids, 7, tokens));
    clf_test_exact(t, before, clf_test_given(t, before));
    clf_test_exact(t, after, clf_test_given(t, after));
}

static void no_placeholder_leaves_the_text_as_it_is(void **state)
{
    static const int64_t ids[] = { 1, 2, 3 };
    clf_test *t = *state;
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3, 8)),
                     fused = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, 8));

    clf_splice(t->stream, text, ids, 7, clf_tensor_shape(CLF_F32, CLF_DIMS(0, 8)), fused);
    clf_test_same_bits(t, fused, text);
    clf_splice(t->stream, clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 8)), NULL, 7,
               clf_tensor_shape(CLF_F32, CLF_DIMS(0, 8)), clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 8)));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void counts_that_differ_are_both_named(void **state)
{
    static const int64_t ids[] = { 7, 7, 7, 1 };
    clf_test *t = *state;
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 8)),
                     fused = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 8));
    const clf_tensor few = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 8)),
                     many = clf_test_normal(t, CLF_F32, CLF_DIMS(4, 8));

    clf_splice(t->stream, text, ids, 7, few, fused);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "splice: text_ids has 3 placeholders 7; want 2, the rows of tokens f32[1, 2, 8]");
    clf_splice(t->stream, text, ids, 7, many, fused);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "splice: text_ids has 3 placeholders 7; want 4, the rows of tokens f32[4, 8]");
}

static void tensors_that_do_not_fit_are_refused(void **state)
{
    static const int64_t ids[] = { 7, 1 };
    clf_test *t = *state;
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, 8)),
                     half = clf_test_normal(t, CLF_F16, CLF_DIMS(1, 8));
    const clf_tensor one = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 8)),
                     fused = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, 8));

    clf_splice(t->stream, text, ids, 7, half, text);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "splice: tokens is f16[1, 8]; want type and width of text f32[1, 2, 8]");
    clf_splice(t->stream, text, ids, 7, one, fused);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "splice: fused is f32[1, 3, 8]; want f32[1, 2, 8], like text");
    clf_splice(t->stream, text, ids, 7, one, text);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "splice: fused overlaps text; want apart");
    clf_splice(t->stream, text, NULL, 7, one, clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, 8)));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "splice: text_ids is NULL; want one for each row of text f32[1, 2, 8]");
    const clf_tensor integers = clf_tensor_shape(CLF_I32, CLF_DIMS(1, 2, 8));
    clf_splice(t->stream, integers, ids, 7, clf_tensor_shape(CLF_I32, CLF_DIMS(1, 8)), integers);
    clf_test_expect_error(t, CLF_UNSUPPORTED, "splice: text is i32[1, 2, 8]; want f32, f16 or bf16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(tokens_stand_where_the_placeholders_were), CLF_TEST(views_are_read_and_written_alone),
        CLF_TEST(no_placeholder_leaves_the_text_as_it_is),  CLF_TEST(counts_that_differ_are_both_named),
        CLF_TEST(tensors_that_do_not_fit_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
