/* token_merge: pairs that are known by sight; oracle cases stand in tests/data. */
#include <clfusion/token_merge.h>

#include <math.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "walk.h"

#define D 4

typedef struct results {
    clf_tensor tokens, sizes, source;
} results;

static results results_of(clf_test *t, int64_t B, int64_t N, int64_t r)
{
    return (results){ clf_test_empty(t, CLF_F32, CLF_DIMS(B, N - r, D)), clf_test_empty(t, CLF_F32, CLF_DIMS(B, N - r)),
                      clf_test_empty(t, CLF_I32, CLF_DIMS(B, N)) };
}

/* Even tokens 0, 2, 4, 6: the third has the direction of token 1, the fourth that of token 3, the first nearly so; the
 * second is like nothing. */
static const double known[7][D] = { { 6, 0, 1, 0 }, { 0, 3, 0, 0 },  { 0, 0, 0, 1 }, { 4, 0, 0, 0 },
                                    { 0, 1, 0, 0 }, { 0, 0, -1, 0 }, { 2, 0, 0, 0 } };

static void the_most_similar_pairs_become_one(void **state)
{
    clf_test *t = *state;
    const clf_tensor vision = clf_test_from(t, CLF_F32, CLF_DIMS(1, 7, D), &known[0][0]);
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };
    const results two = results_of(t, 1, 7, 2), three = results_of(t, 1, 7, 3);

    t->zero_limit = 1;
    clf_token_merge(t->stream, vision, none, 2, two.tokens, two.sizes, two.source);
    clf_test_exact(t, two.source, (const double[]){ 0, 2, 1, 3, 2, 4, 3 });
    clf_test_exact(t, two.sizes, (const double[]){ 1, 1, 2, 2, 1 });
    clf_test_exact(t, two.tokens, (const double[]){ 6, 0, 1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, -1, 0 });
    clf_token_merge(t->stream, vision, none, 3, three.tokens, three.sizes, three.source);
    clf_test_exact(t, three.source, (const double[]){ 2, 1, 0, 2, 1, 3, 2 });
    clf_test_exact(t, three.sizes, (const double[]){ 1, 2, 3, 1 });
}

/* Sizes 1 and 3: (1 · 2 + 3 · 4) / 4 = 3.5. */
static void larger_tokens_weigh_more(void **state)
{
    clf_test *t = *state;
    const clf_tensor vision = clf_test_from(t, CLF_F16, CLF_DIMS(1, 7, D), &known[0][0]);
    const clf_tensor sizes = clf_test_from(t, CLF_F32, CLF_DIMS(1, 7), (const double[]){ 1, 1, 1, 3, 1, 1, 1 });
    const results out = results_of(t, 1, 7, 2);

    t->zero_limit = 1;
    clf_token_merge(t->stream, vision, sizes, 2, out.tokens, out.sizes, out.source);
    clf_test_exact(t, out.sizes, (const double[]){ 1, 1, 2, 4, 1 });
    clf_test_exact(t, out.tokens, (const double[]){ 6, 0, 1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 3.5, 0, 0, 0, 0, 0, -1, 0 });
}

/* All tokens alike: the first r even ones go into the first odd one. */
static void ties_go_to_the_lower_index(void **state)
{
    clf_test *t = *state;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };
    double same[6 * D];
    const results out = results_of(t, 1, 6, 2);

    for (int i = 0; i < 6 * D; i++)
        same[i] = i % D == 1;
    t->zero_limit = 1;
    clf_token_merge(t->stream, clf_test_from(t, CLF_BF16, CLF_DIMS(1, 6, D), same), none, 2, out.tokens, out.sizes,
                    out.source);
    clf_test_exact(t, out.source, (const double[]){ 1, 1, 1, 2, 0, 3 });
    clf_test_exact(t, out.sizes, (const double[]){ 1, 3, 1, 1 });
}

/* A token of zeros has cosine 0 with all; two tokens and one; no pair. */
static void small_and_empty_pictures_work(void **state)
{
    clf_test *t = *state;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };
    const clf_tensor one = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 1, D));
    const clf_tensor zeros = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 2, D), 0);
    const results a = results_of(t, 2, 1, 0), b = results_of(t, 2, 2, 1);

    t->zero_limit = 1;
    clf_token_merge(t->stream, one, none, 0, a.tokens, a.sizes, a.source);
    clf_test_exact(t, a.tokens, clf_test_given(t, one));
    clf_token_merge(t->stream, zeros, none, 1, b.tokens, b.sizes, b.source);
    clf_test_exact(t, b.tokens, (const double[2 * D]){ 0 });
    clf_test_exact(t, b.sizes, (const double[]){ 2, 2 });
    clf_token_merge(t->stream, CLF_OPS_SHAPE(CLF_F32, 0, 4, D), none, 1, CLF_OPS_SHAPE(CLF_F32, 0, 3, D),
                    CLF_OPS_SHAPE(CLF_F32, 0, 3), CLF_OPS_SHAPE(CLF_I32, 0, 4));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void pictures_do_not_know_of_each_other(void **state)
{
    clf_test *t = *state;
    const clf_tensor vision = clf_test_normal(t, CLF_F16, CLF_DIMS(3, 21, D)), none = { .dtype = CLF_DTYPE_NONE };
    const results together = results_of(t, 3, 21, 8), alone = results_of(t, 3, 21, 8);

    clf_token_merge(t->stream, vision, none, 8, together.tokens, together.sizes, together.source);
    for (int64_t b = 0; b < 3; b++)
        clf_token_merge(t->stream, clf_slice(t->stream, vision, 0, b, 1), none, 8,
                        clf_slice(t->stream, alone.tokens, 0, b, 1), clf_slice(t->stream, alone.sizes, 0, b, 1),
                        clf_slice(t->stream, alone.source, 0, b, 1));
    clf_test_same_bits(t, together.tokens, alone.tokens);
    clf_test_same_bits(t, together.sizes, alone.sizes);
    clf_test_same_bits(t, together.source, alone.source);
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 7, D)), none = { .dtype = CLF_DTYPE_NONE };
    const results out = results_of(t, 1, 7, 2);

    clf_token_merge(t->stream, vision, none, 4, out.tokens, out.sizes, out.source);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "token_merge: r is 4; want 0 to 3, half the tokens of vision f32[1, 7, 4]");
    clf_token_merge(t->stream, vision, none, -1, out.tokens, out.sizes, out.source);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "token_merge: r is -1; want 0 to 3, half the tokens of vision f32[1, 7, 4]");
    clf_token_merge(t->stream, vision, none, 3, out.tokens, out.sizes, out.source);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "merge_pairs: y is f32[1, 5, 4]; want f32[1, 4, 4], for x f32[1, 7, 4] and r 3");
}

typedef struct work {
    clf_tensor vision;
    results out;
    float result[2 * 5 * D];
} work;

static clf_status merge_and_read(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };
    work *w = user;

    (void)t;
    clf_token_merge(s, w->vision, none, 2, w->out.tokens, w->out.sizes, w->out.source);
    clf_download(s, w->out.tokens, w->result);
    return clf_stream_finish(s, err);
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    work user = { .vision = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 7, D)), .out = results_of(t, 2, 7, 2) };
    const clf_walk w = { .name = "token_merge",
                         .work = merge_and_read,
                         .user = &user,
                         .result = user.result,
                         .bytes = sizeof user.result,
                         .arguments = 30 };

    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK); /* what the work reads is there */
    assert_true(clf_walk_calls(t, &w) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_most_similar_pairs_become_one),
        CLF_TEST(larger_tokens_weigh_more),
        CLF_TEST(ties_go_to_the_lower_index),
        CLF_TEST(small_and_empty_pictures_work),
        CLF_TEST(pictures_do_not_know_of_each_other),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
