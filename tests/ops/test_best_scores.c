/* best_scores: the bits of scores, then top_k, for rows of every kind. */
#include "ops/best_scores.h"

#include <clfusion/top_k.h>

#include "ops/ops.h"

enum { R = 9 };

static const int64_t widths[] = { 1, 2, 7, 16, 31, 33, 64, 100, 1000 }, ks[] = { 1, 3, 5, 16, 32, 33, 70 };

/* Rows: numbers, few different ones, all equal, NaN, +inf, -inf, nothing but -inf, zeros of both signs, ascending. */
static clf_tensor rows_of_every_kind(clf_test *t, int64_t C)
{
    double *v = clf_test_memory(t, (size_t)(R * C) * sizeof *v);

    for (int64_t c = 0; c < C; c++) {
        const double any = 2 * clf_test_random(t) - 1, few = floor(3 * clf_test_random(t));
        const bool one = c == C * 2 / 3 || c == C - 1;
        const double row[R] = { any,
                                few,
                                0.25,
                                one ? NAN : any,
                                one ? INFINITY : any,
                                one ? -INFINITY : any,
                                -INFINITY,
                                c % 3 == 0 ? 0.0 : -0.0,
                                (double)c / (double)C };

        for (int r = 0; r < R; r++)
            v[r * C + c] = row[r];
    }
    return clf_test_from(t, CLF_F32, CLF_DIMS(R, C), v);
}

static void as_in_steps(clf_test *t, int64_t C, int64_t k, clf_scores_kind kind, float scale)
{
    const float bias = kind == CLF_SCORES_SIGMOID ? -0.5F : 0.0F;
    const clf_tensor x = rows_of_every_kind(t, C), logits = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C)),
                     scores = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C));
    const clf_tensor want = clf_test_empty(t, CLF_I32, CLF_DIMS(R, k)),
                     got = clf_test_empty(t, CLF_I32, CLF_DIMS(R, k)),
                     alone = clf_test_empty(t, CLF_I32, CLF_DIMS(R, k)),
                     values = clf_test_empty(t, CLF_F32, CLF_DIMS(R, k));

    clf_scores(t->stream, x, scale, bias, kind, logits, scores);
    clf_top_k(t->stream, logits, CLF_TOP_K_BY_SCORE, (clf_tensor){ 0 }, want);
    const clf_tensor copy = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C)),
                     again = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C));
    clf_copy(t->stream, x, copy);
    clf_copy(t->stream, x, again);
    clf_best_scores(t->stream, copy, scale, bias, kind, values, got);
    clf_best_scores(t->stream, again, scale, bias, kind, (clf_tensor){ 0 }, alone);
    clf_test_same_bits(t, got, want);
    clf_test_same_bits(t, alone, want);
    const double *all = clf_test_values(t, scores), *index = clf_test_values(t, want),
                 *best = clf_test_values(t, values);
    for (int64_t i = 0; i < R * k; i++) {
        const double score = all[i / k * C + (int64_t)index[i]];

        if (!(best[i] == score || (isnan(best[i]) && isnan(score))))
            fail_msg("row %d, place %d of [%d, %d], k %d: %.9g; scores have %.9g", (int)(i / k), (int)(i % k), (int)R,
                     (int)C, (int)k, best[i], score);
    }
}

static void gives_the_bits_of_scores_and_top_k(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(widths) * CLF_COUNT(ks); i++) {
        const int64_t C = widths[i % CLF_COUNT(widths)], k = ks[i / CLF_COUNT(widths)];

        if (k > C || (clf_test_small_only(t) && C > 100))
            continue;
        as_in_steps(t, C, k, CLF_SCORES_SOFTMAX, 30.0F);
        as_in_steps(t, C, k, CLF_SCORES_SIGMOID, -2.0F);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* Results in columns of larger tensors, rows of x with gaps. */
static void views_are_read_and_written(void **state)
{
    enum { C = 50, K = 4 };
    clf_test *t = *state;
    clf_stream *s = t->stream;
    const clf_tensor wide = clf_test_normal(t, CLF_F32, CLF_DIMS(R, C + 9)), x = clf_slice(s, wide, 1, 5, C);
    const clf_tensor dense = clf_test_empty(t, CLF_F32, CLF_DIMS(R, C));
    const clf_tensor places = clf_test_empty(t, CLF_I32, CLF_DIMS(R, K + 3)),
                     numbers = clf_test_empty(t, CLF_F32, CLF_DIMS(R, K + 2));
    const clf_tensor indices = clf_test_empty(t, CLF_I32, CLF_DIMS(R, K)),
                     values = clf_test_empty(t, CLF_F32, CLF_DIMS(R, K));
    const clf_tensor some = clf_slice(s, places, 1, 2, K), few = clf_slice(s, numbers, 1, 1, K);

    clf_copy(s, x, dense);
    clf_best_scores(s, x, 3.0F, 0.0F, CLF_SCORES_SOFTMAX, few, some);
    clf_best_scores(s, dense, 3.0F, 0.0F, CLF_SCORES_SOFTMAX, values, indices);
    clf_test_same_bits(t, some, indices);
    clf_test_same_bits(t, few, values);
    const double *all = clf_test_values(t, places), *beside = clf_test_values(t, numbers);
    for (int r = 0; r < R; r++) {
        assert_true(all[r * (K + 3) + 1] == -1 && all[r * (K + 3) + K + 2] == -1);
        assert_true(isnan(beside[r * (K + 2)]) && isnan(beside[r * (K + 2) + K + 1]));
    }
}

static void no_rows_are_a_success(void **state)
{
    clf_test *t = *state;

    clf_best_scores(t->stream, clf_tensor_shape(CLF_F32, CLF_DIMS(0, 40)), 1.0F, 0.0F, CLF_SCORES_SOFTMAX,
                    clf_tensor_shape(CLF_F32, CLF_DIMS(0, 2)), clf_tensor_shape(CLF_I32, CLF_DIMS(0, 2)));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(gives_the_bits_of_scores_and_top_k),
        CLF_TEST(views_are_read_and_written),
        CLF_TEST(no_rows_are_a_success),
    };

    return CLF_TEST_MAIN(tests);
}
