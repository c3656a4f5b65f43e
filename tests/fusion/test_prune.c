/* prune: what is kept by hand-made importance, and that it arrives in place. */
#include <clfusion/prune.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "walk.h"

#define N 5
#define D 3

/* Norms 5, 10, 0, 6, 10; then all 0; then one NaN. */
static const float pictures[3][N][D] = {
    { { 3, 4, 0 }, { 0, -6, 8 }, { 0, 0, 0 }, { 0, 6, 0 }, { 10, 0, 0 } },
    { { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } },
    { { 1, 2, 3 }, { 1, NAN, 0 }, { 4, 4, 4 }, { 0, 0, 0 }, { 9, 9, 9 } },
};

static clf_host_tensor host_of(const void *data, int64_t B)
{
    return (clf_host_tensor){ data, CLF_F32, 3, { B, N, D } };
}

static void expect(int64_t B, clf_importance metric, double threshold, const int32_t *want, const int64_t *counts)
{
    int32_t indices[3 * N];
    int64_t lengths[3], longest = -1, most = 0;
    clf_error err = { 0 };

    assert_int_equal(clf_prune_plan(host_of(pictures, B), metric, threshold, indices, lengths, &longest, &err), CLF_OK);
    for (int64_t b = 0; b < B; b++) {
        assert_int_equal(lengths[b], counts[b]);
        most = CLF_MAX(most, counts[b]);
    }
    for (int64_t i = 0; i < B * N; i++)
        assert_int_equal(indices[i], want[i]);
    assert_int_equal(longest, most);
}

static char told[400];

static void keep_message(void *user, const char *message)
{
    (void)user;
    strncat(told, message, sizeof told - strlen(told) - 1);
}

/* 5 of 10 is not above one half; pictures without a largest finite norm keep nothing and say so. */
static void tokens_above_the_threshold_are_kept(void **state)
{
    (void)state;
    told[0] = '\0';
    clf_set_log(keep_message, NULL);
    expect(3, CLF_IMPORTANCE_L2, 0.5, (const int32_t[]){ 1, 3, 4, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 },
           (const int64_t[]){ 3, 0, 0 });
    clf_set_log(NULL, NULL);
    assert_non_null(strstr(told, "picture 1 of vision f32[3, 5, 3] keeps no token above the threshold 0.5"));
    assert_non_null(strstr(told, "picture 2 of vision"));
    assert_null(strstr(told, "picture 0 of vision"));
    expect(1, CLF_IMPORTANCE_L2, 0.49, (const int32_t[]){ 0, 1, 3, 4, -1 }, (const int64_t[]){ 4 });
    expect(1, CLF_IMPORTANCE_L2, -1.0, (const int32_t[]){ 0, 1, 2, 3, 4 }, (const int64_t[]){ 5 });
    expect(1, CLF_IMPORTANCE_L2, 1.0, (const int32_t[]){ -1, -1, -1, -1, -1 }, (const int64_t[]){ 0 });
}

/* Variances 26/9, 296/9, 0, 8, 200/9: over the largest .09, 1, 0, .24, .68. */
static void variance_is_taken_over_the_channels(void **state)
{
    (void)state;
    expect(1, CLF_IMPORTANCE_VARIANCE, 0.2, (const int32_t[]){ 1, 3, 4, -1, -1 }, (const int64_t[]){ 3 });
    expect(1, CLF_IMPORTANCE_VARIANCE, 0.25, (const int32_t[]){ 1, 4, -1, -1, -1 }, (const int64_t[]){ 2 });
}

static void plans_that_do_not_fit_are_refused(void **state)
{
    int32_t indices[N];
    int64_t lengths[1], longest;
    clf_host_tensor flat = { pictures, CLF_F32, 2, { N, D } }, ids = host_of(pictures, 1);

    (void)state;
    ids.dtype = CLF_I32;
    CLF_OPS_REFUSES(clf_prune_plan(flat, CLF_IMPORTANCE_L2, 0.5, indices, lengths, &longest, &err),
                    CLF_INVALID_ARGUMENT, "prune: vision is f32[5, 3]; want [B, N, D], N below 2^31 and D above 0");
    CLF_OPS_REFUSES(clf_prune_plan(ids, CLF_IMPORTANCE_L2, 0.5, indices, lengths, &longest, &err), CLF_UNSUPPORTED,
                    "prune: vision is i32[1, 5, 3]; want f32, f16, bf16 or f64");
    CLF_OPS_REFUSES(clf_prune_plan(host_of(pictures, 1), (clf_importance)2, 0.5, indices, lengths, &longest, &err),
                    CLF_INVALID_ARGUMENT, "prune: metric is 2; want CLF_IMPORTANCE_L2 or CLF_IMPORTANCE_VARIANCE");
    CLF_OPS_REFUSES(clf_prune_plan(host_of(pictures, 1), CLF_IMPORTANCE_L2, NAN, indices, lengths, &longest, &err),
                    CLF_INVALID_ARGUMENT, "prune: threshold is nan; want a finite number");
}

/* tokens as a view between other rows; some places padded. */
static void tokens_come_with_zeros_behind(void **state)
{
    static const int32_t indices[] = { 4, 0, -1, 2, -1, -1 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor vision = clf_test_integers(t, clf_ops_types[d], CLF_DIMS(2, N, D), 9);
        const clf_tensor whole = clf_test_integers(t, clf_ops_types[d], CLF_DIMS(2, 7, D), 9);
        const clf_tensor tokens = clf_slice(t->stream, whole, 1, 2, 3);
        const double *v = clf_test_given(t, vision);
        double want[2 * 3 * D] = { 0 };

        for (int i = 0; i < 6; i++)
            for (int c = 0; c < D && indices[i] >= 0; c++)
                want[i * D + c] = v[(i / 3 * N + indices[i]) * D + c];
        clf_prune(t->stream, vision, indices, tokens);
        clf_test_exact(t, tokens, want);
        clf_ops_rest_untouched(t, whole, 2, 3);
    }
}

static void nothing_kept_is_a_success(void **state)
{
    clf_test *t = *state;

    clf_prune(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, D)), NULL, CLF_OPS_SHAPE(CLF_F32, 2, 0, D));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, N, D));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, D));
    const clf_tensor half = clf_test_empty(t, CLF_F16, CLF_DIMS(1, 2, D));

    clf_prune(t->stream, vision, (const int32_t[]){ 0, 5 }, tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "prune: indices[0, 1] is 5; want -1 to 4, below the tokens of vision f32[1, 5, 3]");
    clf_prune(t->stream, vision, (const int32_t[]){ 0, 1 }, half);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "prune: tokens is f16[1, 2, 3]; want f32[1, M, 3], for vision f32[1, 5, 3]");
    clf_ops_untouched(t, tokens);
}

typedef struct work {
    clf_tensor vision, tokens;
    float result[2 * 3 * D];
} work;

static clf_status prune_and_read(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    static const int32_t indices[] = { 4, 0, -1, 2, 1, -1 };
    work *w = user;

    (void)t;
    clf_prune(s, w->vision, indices, w->tokens);
    clf_download(s, w->tokens, w->result);
    return clf_stream_finish(s, err);
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    work user = { .vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, D)),
                  .tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, D)) };
    const clf_walk w = {
        .name = "prune", .work = prune_and_read, .user = &user, .result = user.result, .bytes = sizeof user.result
    };

    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK); /* what the work reads is there */
    assert_true(clf_walk_calls(t, &w) > 0);
    assert_true(clf_walk_allocations(t, &w) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_above_the_threshold_are_kept),
        cmocka_unit_test(variance_is_taken_over_the_channels),
        cmocka_unit_test(plans_that_do_not_fit_are_refused),
        CLF_TEST(tokens_come_with_zeros_behind),
        CLF_TEST(nothing_kept_is_a_success),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
