/* keep_best: exact, stable, whatever the pieces, under each kernel shape. */
#include "ops/ops.h"

#include <string.h>

/* Above, as the operator orders numbers. */
static bool above(double a, double b)
{
    return isnan(a) ? !isnan(b) : a > b;
}

/* The k best of `count` scores of query q by selection, ties to the lower number. */
static void best_of(const double *scores, int64_t count, int64_t Q, int64_t q, int64_t k, int64_t *indices)
{
    for (int64_t i = 0; i < k; i++) {
        int64_t best = -1;

        for (int64_t n = 0; n < count; n++) {
            bool taken = false;
            for (int64_t j = 0; j < i; j++)
                taken = taken || indices[j] == n;
            if (!taken && (best < 0 || above(scores[n * Q + q], scores[best * Q + q])))
                best = n;
        }
        indices[i] = best;
    }
}

static void check(clf_test *t, clf_tensor values, clf_tensor indices, const double *scores, int64_t count, int64_t Q,
                  int64_t k)
{
    const double *v = clf_test_values(t, values), *at = clf_test_values(t, indices);
    const int64_t there = count < k ? count : k;
    int64_t want[CLF_KEEP_BEST_MAX];

    for (int64_t q = 0; q < Q; q++) {
        best_of(scores, count, Q, q, there, want);
        for (int64_t i = 0; i < there; i++) {
            const double score = scores[want[i] * Q + q];

            if ((int64_t)at[q * k + i] != want[i] || (!isnan(score) && v[q * k + i] != score))
                fail_msg("query %d, place %d: number %g, score %g; want %d, %g", (int)q, (int)i, at[q * k + i],
                         v[q * k + i], (int)want[i], score);
        }
    }
}

/* Whole numbers, so that many are equal; pieces of 5, 1, 0 and what is left. */
static void pieces_give_the_best_of_all(void **state)
{
    static const int64_t queries[] = { 1, 15, 16, 17, 64, 70 }, ks[] = { 1, 3, 10, 64 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(queries) * CLF_COUNT(ks); i++) {
        const int64_t Q = queries[i % CLF_COUNT(queries)], k = ks[i / CLF_COUNT(queries)], N = 61;
        const clf_tensor scores = clf_test_integers(t, CLF_F32, CLF_DIMS(N, Q), 20);
        const clf_tensor values = clf_test_empty(t, CLF_F32, CLF_DIMS(Q, k)),
                         indices = clf_test_empty(t, CLF_I64, CLF_DIMS(Q, k));
        static const int64_t pieces[] = { 5, 1, 0, 55 };
        int64_t seen = 0;

        for (size_t p = 0; p < CLF_COUNT(pieces); seen += pieces[p++]) {
            clf_keep_best(t->stream, clf_slice(t->stream, scores, 0, seen, pieces[p]), seen, values, indices);
            check(t, values, indices, clf_test_given(t, scores), seen + pieces[p], Q, k);
        }
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* A query alone has a way of its own in the kernel for CPUs. */
static void zeros_infinities_and_nan_have_their_order(void **state)
{
    static const double some[] = { 0.0, -0.0, NAN, -INFINITY, INFINITY, 1e-45, -1e-45, -NAN, 3.0 };
    static const int64_t queries[] = { 1, 19 };
    enum { N = 307, K = 12 }; /* more than are compared at once */
    clf_test *t = *state;

    for (size_t i = 0; i < 8 * CLF_COUNT(queries); i++) {
        const int64_t Q = queries[i % CLF_COUNT(queries)];
        const size_t kinds = 1 + i / CLF_COUNT(queries); /* with few the last place is reached by each of them */
        double *scores = clf_test_memory(t, (size_t)(N * Q) * sizeof *scores);

        for (int64_t n = 0; n < N * Q; n++)
            scores[n] = some[(size_t)(clf_test_random(t) * (double)(kinds + 1))];
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(N, Q), scores);
        const clf_tensor values = clf_test_empty(t, CLF_F32, CLF_DIMS(Q, K)),
                         indices = clf_test_empty(t, CLF_I64, CLF_DIMS(Q, K));

        clf_keep_best(t->stream, clf_slice(t->stream, x, 0, 0, 7), 0, values, indices);
        clf_keep_best(t->stream, clf_slice(t->stream, x, 0, 7, N - 7), 7, values, indices);
        check(t, values, indices, clf_test_given(t, x), N, Q, K);
        clf_test_release_all(t);
    }
}

/* Its bits are below those of any number, and nothing beside it makes a vector worth a look. */
static void a_negative_nan_among_equals_is_found(void **state)
{
    enum { N = 300, MOST = 19, K = 2 };
    static const int64_t queries[] = { 1, MOST };
    clf_test *t = *state;
    double scores[N * MOST];

    for (size_t i = 0; i < CLF_COUNT(queries); i++) {
        const int64_t Q = queries[i];

        for (int64_t n = 0; n < N * Q; n++)
            scores[n] = n / Q == 241 ? -NAN : 1.0;
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(N, Q), scores);
        const clf_tensor values = clf_test_empty(t, CLF_F32, CLF_DIMS(Q, K)),
                         indices = clf_test_empty(t, CLF_I64, CLF_DIMS(Q, K));

        clf_keep_best(t->stream, x, 0, values, indices);
        check(t, values, indices, clf_test_given(t, x), N, Q, K);
    }
}

static void numbers_are_of_64_bits(void **state)
{
    clf_test *t = *state;
    const int64_t seen = (INT64_C(1) << 33) + 5;
    const double held[2] = { 4, 1 }, next[2] = { 2, 9 };
    const clf_tensor values = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2), held),
                     scores = clf_test_from(t, CLF_F32, CLF_DIMS(2, 1), next),
                     indices = clf_test_empty(t, CLF_I64, CLF_DIMS(1, 2));

    clf_keep_best(t->stream, scores, seen, values, indices);
    const double *at = clf_test_values(t, indices), *v = clf_test_values(t, values);
    assert_true(v[0] == 9 && (int64_t)at[0] == seen + 1 && v[1] == 4 && (int64_t)at[1] == -1);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 9, 5), v = CLF_OPS_SHAPE(CLF_F32, 5, 3),
                     i = CLF_OPS_SHAPE(CLF_I64, 5, 3);

    (void)state;
    CLF_OPS_ACCEPTS(clf_keep_best_check(x, 0, v, i, &err));
    CLF_OPS_REFUSES(clf_keep_best_check(x, -1, v, i, &err), CLF_INVALID_ARGUMENT,
                    "keep_best: seen is -1; want 0 or more, below 2^63 with the rows of scores f32[9, 5]");
    CLF_OPS_REFUSES(clf_keep_best_check(x, 0, CLF_OPS_SHAPE(CLF_F32, 5, 1025), i, &err), CLF_INVALID_ARGUMENT,
                    "keep_best: values is f32[5, 1025]; want [Q, k], k of 1 to 1024");
    CLF_OPS_REFUSES(clf_keep_best_check(x, 0, v, CLF_OPS_SHAPE(CLF_I32, 5, 3), &err), CLF_INVALID_ARGUMENT,
                    "keep_best: indices is i32[5, 3]; want dense i64[5, 3]");
    CLF_OPS_REFUSES(clf_keep_best_check(CLF_OPS_SHAPE(CLF_F16, 9, 5), 0, v, i, &err), CLF_UNSUPPORTED,
                    "keep_best: scores is f16[9, 5]; want f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(pieces_give_the_best_of_all),
        CLF_TEST(zeros_infinities_and_nan_have_their_order),
        CLF_TEST(a_negative_nan_among_equals_is_found),
        CLF_TEST(numbers_are_of_64_bits),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
