/* select_tokens: with small whole numbers every score is exact, so every choice is known. */
#include <clfusion/select.h>

#include <math.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "walk.h"

#define N 23
#define D 6

typedef struct results {
    clf_tensor indices, scores, tokens;
} results;

static results results_of(clf_test *t, int64_t B, int64_t k, clf_dtype dtype)
{
    return (results){ clf_test_empty(t, CLF_I32, CLF_DIMS(B, k)), clf_test_empty(t, CLF_F32, CLF_DIMS(B, k)),
                      clf_test_empty(t, dtype, CLF_DIMS(B, k, D)) };
}

/* The score of one token, as the header has it. */
static double score_of(const double *v, const double *text, int64_t T, clf_select_pool pool, bool cosine)
{
    double best = -INFINITY, v_norm = 0;

    for (int64_t d = 0; d < D; d++)
        v_norm += v[d] * v[d];
    for (int64_t row = 0; row < (pool == CLF_SELECT_TOKEN_MAX ? T : 1); row++) {
        double sum = 0, q_norm = 0;

        for (int64_t d = 0; d < D; d++) {
            double q = pool == CLF_SELECT_TOKEN_MAX ? text[row * D + d] : pool == CLF_SELECT_MAX ? -INFINITY : 0;

            for (int64_t i = 0; i < T && pool != CLF_SELECT_TOKEN_MAX; i++)
                q = pool == CLF_SELECT_MAX ? fmax(q, text[i * D + d]) : q + text[i * D + d] / (double)T;
            sum += q * v[d];
            q_norm += q * q;
        }
        best = fmax(best, cosine ? sum / (fmax(sqrt(v_norm), 1e-12) * fmax(sqrt(q_norm), 1e-12)) : sum);
    }
    return best;
}

/* The m-th best token: how many are better, or as good and before it. */
static int64_t place_of(const double *scores, int64_t n)
{
    int64_t place = 0;

    for (int64_t i = 0; i < N; i++)
        place += scores[i] > scores[n] || (scores[i] == scores[n] && i < n);
    return place;
}

static void compare(clf_test *t, clf_tensor vision, clf_tensor text, const clf_select_options *o, int64_t k, results r)
{
    const double *v = clf_test_given(t, vision), *q = clf_test_given(t, text);
    const int64_t B = vision.dim[0], T = text.dim[1];
    double *indices = clf_test_memory(t, (size_t)(B * k) * sizeof *indices);
    double *scores = clf_test_memory(t, (size_t)(B * k) * sizeof *scores);
    double *tokens = clf_test_memory(t, (size_t)(B * k * D) * sizeof *tokens);

    for (int64_t b = 0; b < B; b++) {
        double all[N];
        int64_t next = 0;

        for (int64_t n = 0; n < N; n++)
            all[n] = score_of(v + (b * N + n) * D, q + b * T * D, T, o->pool, o->cosine);
        for (int64_t n = 0; n < N; n++) {
            const int64_t place = place_of(all, n), to = b * k + (o->order == CLF_TOP_K_BY_SCORE ? place : next);

            if (place >= k)
                continue;
            next++;
            indices[to] = (double)n;
            scores[to] = all[n];
            for (int64_t d = 0; d < D; d++)
                tokens[to * D + d] = v[(b * N + n) * D + d];
        }
    }
    clf_test_exact(t, r.indices, indices);
    clf_test_close(t, r.scores, scores, 0, o->cosine ? 100 * 0x1p-24 : 0); /* cosines are at most 1 */
    clf_test_exact(t, r.tokens, tokens);
}

/* Rows of four text tokens: their mean has two binary digits behind the point. */
static void every_pool_keeps_what_scores_best(void **state)
{
    static const int64_t kept[] = { 1, 5, N };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (int pool = CLF_SELECT_MEAN; pool <= CLF_SELECT_TOKEN_MAX; pool++)
            for (size_t i = 0; i < 2 * CLF_COUNT(kept); i++) {
                const int64_t B = i % 2 == 0 ? 1 : 3, k = kept[i / 2];
                const clf_tensor vision = clf_test_integers(t, clf_ops_types[d], CLF_DIMS(B, N, D), 3);
                const clf_tensor text = clf_test_integers(t, clf_ops_types[i % 3], CLF_DIMS(B, 4, D), 3);
                const results r = results_of(t, B, k, i < 3 ? CLF_F32 : clf_ops_types[d]);
                clf_select_options o = clf_select_options_default();

                o.pool = (clf_select_pool)pool;
                o.order = i % 3 == 0 ? CLF_TOP_K_BY_SCORE : CLF_TOP_K_BY_POSITION;
                clf_select_tokens(t->stream, vision, text, &o, r.indices, r.scores, r.tokens);
                compare(t, vision, text, &o, k, r);
            }
}

/* Continuous numbers: no two scores are close enough for rounding to matter, but by an accident the seed would show. */
static void cosine_does_not_look_at_lengths(void **state)
{
    clf_test *t = *state;
    clf_select_options o = clf_select_options_default();

    o.cosine = true;
    for (int pool = CLF_SELECT_MEAN; pool <= CLF_SELECT_TOKEN_MAX; pool++) {
        const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, D));
        const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, D));
        const results r = results_of(t, 2, 7, CLF_F32);

        o.pool = (clf_select_pool)pool;
        clf_select_tokens(t->stream, vision, text, &o, r.indices, r.scores, r.tokens);
        clf_test_values(t, r.scores);
        compare(t, vision, text, &o, 7, r);
    }
}

static void views_give_the_same_and_leave_their_neighbours(void **state)
{
    clf_test *t = *state;
    const clf_tensor long_vision = clf_test_integers(t, CLF_F16, CLF_DIMS(2, N + 4, D), 3);
    const clf_tensor vision = clf_slice(t->stream, long_vision, 1, 2, N);
    const clf_tensor text = clf_slice(t->stream, clf_test_integers(t, CLF_F32, CLF_DIMS(2, 9, D), 3), 1, 3, 1);
    const clf_tensor whole = clf_test_integers(t, CLF_F16, CLF_DIMS(2, 11, D), 9);
    const clf_select_options o = clf_select_options_default();
    results r = results_of(t, 2, 5, CLF_F16);

    t->zero_limit = 1;
    r.tokens = clf_slice(t->stream, whole, 1, 3, 5);
    clf_select_tokens(t->stream, vision, text, NULL, r.indices, r.scores, r.tokens);
    compare(t, vision, text, &o, 5, r);
    clf_ops_rest_untouched(t, whole, 3, 5);
}

static void pictures_do_not_know_of_each_other(void **state)
{
    clf_test *t = *state;
    const clf_tensor vision = clf_test_normal(t, CLF_BF16, CLF_DIMS(3, N, D));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 2, D)), none = { .dtype = CLF_DTYPE_NONE };
    const results together = results_of(t, 3, 4, CLF_BF16), alone = results_of(t, 3, 4, CLF_BF16);

    clf_select_tokens(t->stream, vision, text, NULL, together.indices, together.scores, none);
    for (int64_t b = 0; b < 3; b++)
        clf_select_tokens(t->stream, clf_slice(t->stream, vision, 0, b, 1), clf_slice(t->stream, text, 0, b, 1), NULL,
                          clf_slice(t->stream, alone.indices, 0, b, 1), clf_slice(t->stream, alone.scores, 0, b, 1),
                          none);
    clf_test_same_bits(t, together.indices, alone.indices);
    clf_test_same_bits(t, together.scores, alone.scores);
}

static void no_pictures_are_a_success(void **state)
{
    clf_test *t = *state;

    clf_select_tokens(t->stream, CLF_OPS_SHAPE(CLF_F32, 0, 5, D), CLF_OPS_SHAPE(CLF_F32, 0, 1, D), NULL,
                      CLF_OPS_SHAPE(CLF_I32, 0, 2), CLF_OPS_SHAPE(CLF_F32, 0, 2), CLF_OPS_SHAPE(CLF_F32, 0, 2, D));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor v = CLF_OPS_SHAPE(CLF_F16, 2, 5, 8), q = CLF_OPS_SHAPE(CLF_F32, 2, 3, 8),
                     i = CLF_OPS_SHAPE(CLF_I32, 2, 4), s = CLF_OPS_SHAPE(CLF_F32, 2, 4),
                     y = CLF_OPS_SHAPE(CLF_F16, 2, 4, 8);
    clf_select_options o = clf_select_options_default();

    (void)state;
    CLF_OPS_ACCEPTS(clf_select_tokens_check(v, q, NULL, i, s, y, &err));
    CLF_OPS_REFUSES(clf_select_tokens_check(v, q, NULL, CLF_OPS_SHAPE(CLF_I32, 2, 6), s, y, &err), CLF_INVALID_ARGUMENT,
                    "select_tokens: k is 6; want 1 to 5, the tokens of vision f16[2, 5, 8]");
    CLF_OPS_REFUSES(clf_select_tokens_check(v, q, NULL, CLF_OPS_SHAPE(CLF_I32, 2, 0), s, y, &err), CLF_INVALID_ARGUMENT,
                    "select_tokens: k is 0; want 1 to 5, the tokens of vision f16[2, 5, 8]");
    CLF_OPS_REFUSES(clf_select_tokens_check(v, CLF_OPS_SHAPE(CLF_F32, 2, 3, 9), NULL, i, s, y, &err),
                    CLF_INVALID_ARGUMENT,
                    "select_tokens: text is f32[2, 3, 9]; want [2, T, 8], T above 0, for vision f16[2, 5, 8]");
    CLF_OPS_REFUSES(clf_select_tokens_check(v, CLF_OPS_SHAPE(CLF_F32, 2, 0, 8), NULL, i, s, y, &err),
                    CLF_INVALID_ARGUMENT,
                    "select_tokens: text is f32[2, 0, 8]; want [2, T, 8], T above 0, for vision f16[2, 5, 8]");
    CLF_OPS_REFUSES(clf_select_tokens_check(v, q, NULL, i, CLF_OPS_SHAPE(CLF_F32, 2, 5), y, &err), CLF_INVALID_ARGUMENT,
                    "select_tokens: scores is f32[2, 5]; want f32 in the shape of indices i32[2, 4]");
    CLF_OPS_REFUSES(clf_select_tokens_check(v, q, NULL, i, s, CLF_OPS_SHAPE(CLF_F16, 2, 5, 8), &err),
                    CLF_INVALID_ARGUMENT,
                    "select_tokens: tokens is f16[2, 5, 8]; want [2, 4, 8], for indices i32[2, 4] and vision "
                    "f16[2, 5, 8]");
    CLF_OPS_REFUSES(clf_select_tokens_check(v, q, NULL, i, s, CLF_OPS_SHAPE(CLF_BF16, 2, 4, 8), &err), CLF_UNSUPPORTED,
                    "select_tokens: tokens is bf16[2, 4, 8]; want f32 or the type of vision f16[2, 5, 8]");
    o.pool = (clf_select_pool)3;
    CLF_OPS_REFUSES(clf_select_tokens_check(v, q, &o, i, s, y, &err), CLF_INVALID_ARGUMENT,
                    "select_tokens: pool is 3; want CLF_SELECT_MEAN, _MAX or _TOKEN_MAX");
}

/* ---- a failing call ---- */

typedef struct work {
    clf_tensor vision, text;
    results r;
    float result[2 * 4 * D];
} work;

static clf_status select_and_read(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    work *w = user;
    clf_select_options o = clf_select_options_default();

    (void)t;
    o.cosine = true;
    o.order = CLF_TOP_K_BY_SCORE;
    clf_select_tokens(s, w->vision, w->text, &o, w->r.indices, w->r.scores, w->r.tokens);
    clf_download(s, w->r.tokens, w->result);
    return clf_stream_finish(s, err);
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    work user = { .vision = clf_test_normal(t, CLF_F16, CLF_DIMS(2, N, D)),
                  .text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, D)),
                  .r = results_of(t, 2, 4, CLF_F32) };
    const clf_walk w = { .name = "select_tokens",
                         .work = select_and_read,
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
        CLF_TEST(every_pool_keeps_what_scores_best),
        CLF_TEST(cosine_does_not_look_at_lengths),
        CLF_TEST(views_give_the_same_and_leave_their_neighbours),
        CLF_TEST(pictures_do_not_know_of_each_other),
        CLF_TEST(no_pictures_are_a_success),
        cmocka_unit_test(the_check_names_what_is_wrong),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
