/* vocabulary: blocks of a softmax and of an argmax, one after the other. */
#include "ops/vocabulary.h"

#include "ops/ops.h"
#include "ref/ref.h"

/* ---- softmax ---- */

/* The whole row's maximum and sum of exponentials, in double. */
static void row_of(const double *x, int64_t V, double *most, double *sum)
{
    *most = -INFINITY;
    *sum = 0;
    for (int64_t v = 0; v < V; v++)
        *most = fmax(*most, x[v]);
    for (int64_t v = 0; v < V; v++)
        *sum += exp(x[v] - *most);
}

/* Of a term after two blocks: the difference is rounded once, e is within 3 ulp; so is the factor between blocks. */
static double term_bound(double distance)
{
    return 2 * (fabs(distance) + 7) * CLF_U;
}

/* Two blocks: y counts the rescaling, since it starts as 1 and ends as the factor of the second. */
static void two_blocks(clf_test *t, int64_t R, int64_t first, int64_t second, int64_t C)
{
    const int64_t V = first + second;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(R, V), -6, 6);
    const clf_tensor state = clf_test_empty(t, CLF_F32, CLF_DIMS(R, 2));
    const clf_tensor y = clf_test_uniform(t, CLF_F32, CLF_DIMS(R, C), 1, 2);
    const double *given = clf_test_given(t, x), *was = clf_test_given(t, y);
    const clf_expected s = clf_expected_new(t, state), f = clf_expected_new(t, y), e = clf_expected_new(t, x);

    clf_vocabulary_softmax(t->stream, clf_slice(t->stream, x, 1, 0, first), state, (clf_tensor){ 0 });
    clf_vocabulary_softmax(t->stream, clf_slice(t->stream, x, 1, first, second), state, y);
    for (int64_t r = 0; r < R; r++) {
        double most, before, unused;

        row_of(given + r * V, V, &most, &s.value[2 * r + 1]);
        row_of(given + r * V, first, &before, &unused);
        s.value[2 * r] = most;
        s.bound[2 * r + 1] = s.value[2 * r + 1] * (term_bound(12) + ((double)V + 2) * CLF_U);
        for (int64_t v = 0; v < V; v++) {
            const double origin = v < first ? before : most;

            e.value[r * V + v] = exp(given[r * V + v] - origin);
            e.bound[r * V + v] = e.value[r * V + v] * term_bound(given[r * V + v] - origin);
        }
        for (int64_t c = 0; c < C; c++) {
            f.value[r * C + c] = was[r * C + c] * exp(before - most);
            f.bound[r * C + c] = f.value[r * C + c] * (term_bound(before - most) + CLF_U);
        }
    }
    clf_test_within(t, state, s.value, s.bound);
    clf_test_within(t, x, e.value, e.bound);
    clf_test_within(t, y, f.value, f.bound);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void two_blocks_are_one_softmax(void **state)
{
    static const int64_t sizes[] = { 1, 15, 16, 17, 64, 200 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        two_blocks(t, 1, sizes[i], sizes[CLF_COUNT(sizes) - 1 - i], 1);
        two_blocks(t, 7, sizes[i], 33, sizes[i]);
    }
}

static void dividing_gives_means(void **state)
{
    static const double sums[] = { 5, 2, 7, 4 };
    clf_test *t = *state;
    const clf_tensor y = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 37), 50);
    const double *was = clf_test_given(t, y);
    double want[2 * 37], bound[2 * 37];

    for (size_t i = 0; i < CLF_COUNT(want); i++) {
        want[i] = was[i] / sums[2 * (i / 37) + 1];
        bound[i] = fabs(want[i]) * CLF_U_QUOTIENT;
    }
    clf_vocabulary_divide(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(2, 2), sums), y);
    clf_test_within(t, y, want, bound);
}

/* Rows: nothing but -inf; -inf and then numbers; a NaN; +inf. */
static void infinities_and_nan_do_what_torch_does(void **state)
{
    static const double first[] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1, NAN, 1, INFINITY };
    static const double second[] = { -INFINITY, -INFINITY, 2, 2, 1, 1, 1, 1 };
    clf_test *t = *state;
    const clf_tensor a = clf_test_from(t, CLF_F32, CLF_DIMS(4, 2), first);
    const clf_tensor b = clf_test_from(t, CLF_F32, CLF_DIMS(4, 2), second);
    const clf_tensor seen = clf_test_empty(t, CLF_F32, CLF_DIMS(4, 2));
    const clf_tensor y = clf_test_uniform(t, CLF_F32, CLF_DIMS(4, 1), 1, 2);

    clf_vocabulary_softmax(t->stream, a, seen, (clf_tensor){ 0 });
    clf_vocabulary_softmax(t->stream, b, seen, y);
    clf_vocabulary_divide(t->stream, seen, b);
    const double *p = clf_test_values(t, b), *sums = clf_test_values(t, seen);

    assert_true(sums[1] == 0 && isnan(p[0]) && isnan(p[1])); /* softmax of -inf alone is NaN */
    assert_true(sums[3] == 2 && p[2] == 0.5 && p[3] == 0.5);
    assert_true(isnan(sums[5]) && isnan(p[4]));
    assert_true(isnan(sums[7]) && isnan(p[6]));
}

/* ---- argmax ---- */

static int64_t best_of(const double *x, int64_t V)
{
    int64_t best = 0;

    for (int64_t v = 1; v < V; v++)
        if (x[v] > x[best] || (isnan(x[v]) && !isnan(x[best])))
            best = v;
    return best;
}

/* Whole numbers of a small range: equal maxima in most rows, within a block and across blocks. */
static void many_blocks(clf_test *t, int64_t R, int64_t V, int64_t block, int limit)
{
    const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(R, V), limit);
    const clf_tensor best = clf_test_empty(t, CLF_F32, CLF_DIMS(R)), index = clf_test_empty(t, CLF_I32, CLF_DIMS(R));
    const double *given = clf_test_given(t, x);
    double *want = clf_expected_new(t, index).value;

    for (int64_t v = 0; v < V; v += block)
        clf_vocabulary_argmax(t->stream, clf_slice(t->stream, x, 1, v, CLF_MIN(block, V - v)), v, best, index);
    for (int64_t r = 0; r < R; r++)
        want[r] = (double)best_of(given + r * V, V);
    t->zero_limit = 1.0; /* the first entry is often the best */
    clf_test_exact(t, index, want);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void the_lower_index_wins_among_equals(void **state)
{
    static const int64_t sizes[] = { 1, 2, 16, 17, 65, 300 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        many_blocks(t, 40, sizes[i], sizes[i], 3);
        many_blocks(t, 40, sizes[i], 7, 3);
        many_blocks(t, 9, sizes[i], 64, 1000);
    }
}

static void the_first_nan_is_the_largest(void **state)
{
    enum { V = 70 };
    static const int64_t places[][3] = { { 3, 20, 69 }, { 69, 69, 69 }, { 0, 1, 2 }, { 17, 40, 5 } };
    clf_test *t = *state;
    double x[4 * V], want[4];

    for (size_t i = 0; i < CLF_COUNT(x); i++)
        x[i] = clf_test_random(t);
    for (size_t r = 0; r < 4; r++) {
        want[r] = V;
        for (size_t i = 0; i < 3; i++) {
            x[r * V + (size_t)places[r][i]] = NAN;
            want[r] = fmin(want[r], (double)places[r][i]);
        }
        x[r * V + 30] = INFINITY;
    }
    const clf_tensor in = clf_test_from(t, CLF_F32, CLF_DIMS(4, V), x);
    const clf_tensor best = clf_test_empty(t, CLF_F32, CLF_DIMS(4)), index = clf_test_empty(t, CLF_I32, CLF_DIMS(4));
    clf_vocabulary_argmax(t->stream, in, 0, best, index);
    clf_test_exact(t, index, want);
    for (int64_t v = 0; v < V; v += 10)
        clf_vocabulary_argmax(t->stream, clf_slice(t->stream, in, 1, v, 10), v, best, index);
    clf_test_exact(t, index, want);
}

static void minus_infinity_alone_is_index_0(void **state)
{
    clf_test *t = *state;
    double x[33];

    for (size_t i = 0; i < CLF_COUNT(x); i++)
        x[i] = -INFINITY;
    const clf_tensor in = clf_test_from(t, CLF_F32, CLF_DIMS(1, 33), x);
    const clf_tensor best = clf_test_empty(t, CLF_F32, CLF_DIMS(1)), index = clf_test_empty(t, CLF_I32, CLF_DIMS(1));
    clf_vocabulary_argmax(t->stream, clf_slice(t->stream, in, 1, 0, 20), 0, best, index);
    clf_vocabulary_argmax(t->stream, clf_slice(t->stream, in, 1, 20, 13), 20, best, index);
    t->zero_limit = 1.0;
    clf_test_exact(t, index, (const double[]){ 0 });
}

/* ---- rules ---- */

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 8));
    const clf_tensor seen = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 2)), best = clf_test_empty(t, CLF_F32, CLF_DIMS(2));

    clf_vocabulary_argmax(t->stream, x, 0, best, best);
    clf_vocabulary_softmax(t->stream, x, seen, (clf_tensor){ 0 });
    clf_vocabulary_divide(t->stream, seen, x);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "vocabulary: index is f32[2]; want i32[2], dense");
    clf_test_exact(t, x, clf_test_given(t, x));
    clf_ops_untouched(t, seen);
}

static void the_checks_name_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 3, 8), seen = CLF_OPS_SHAPE(CLF_F32, 3, 2), none = { 0 };
    const clf_tensor y = CLF_OPS_SHAPE(CLF_F32, 3, 5), best = CLF_OPS_SHAPE(CLF_F32, 3);
    const clf_tensor index = CLF_OPS_SHAPE(CLF_I32, 3);
    clf_tensor meet = x;

    (void)state;
    CLF_OPS_ACCEPTS(clf_vocabulary_softmax_check(x, seen, none, &err));
    CLF_OPS_ACCEPTS(clf_vocabulary_softmax_check(x, seen, y, &err));
    CLF_OPS_ACCEPTS(clf_vocabulary_divide_check(seen, y, &err));
    CLF_OPS_ACCEPTS(clf_vocabulary_argmax_check(x, INT32_MAX - 8, best, index, &err));
    CLF_OPS_REFUSES(clf_vocabulary_softmax_check(CLF_OPS_SHAPE(CLF_F16, 3, 8), seen, y, &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: x is f16[3, 8]; want f32[R, V]");
    CLF_OPS_REFUSES(clf_vocabulary_softmax_check(CLF_OPS_SHAPE(CLF_F32, 3, 0), seen, y, &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: x is f32[3, 0]; want a last dimension of at least 1");
    CLF_OPS_REFUSES(clf_vocabulary_softmax_check(x, y, none, &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: state is f32[3, 5]; want f32[3, 2], dense");
    CLF_OPS_REFUSES(clf_vocabulary_softmax_check(x, seen, CLF_OPS_SHAPE(CLF_F32, 4, 5), &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: y is f32[4, 5]; want f32[3, C], C below 2^31");
    meet.stride[0] = 4;
    CLF_OPS_REFUSES(clf_vocabulary_softmax_check(meet, seen, none, &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: x f32[3, 8] is a view whose rows meet; want each element in a place of its own");
    CLF_OPS_REFUSES(clf_vocabulary_divide_check(CLF_OPS_SHAPE(CLF_F32, 2, 2), y, &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: state is f32[2, 2]; want f32[3, 2], dense");
    CLF_OPS_REFUSES(
        clf_vocabulary_argmax_check(x, INT32_MAX - 7, best, index, &err), CLF_INVALID_ARGUMENT,
        "vocabulary: begin is 2147483640; want 0 or more, with the columns of x f32[3, 8] at most 2^31 - 1");
    CLF_OPS_REFUSES(clf_vocabulary_argmax_check(x, 0, index, index, &err), CLF_INVALID_ARGUMENT,
                    "vocabulary: best is i32[3]; want f32[3], dense");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(two_blocks_are_one_softmax),
        CLF_TEST(dividing_gives_means),
        CLF_TEST(infinities_and_nan_do_what_torch_does),
        CLF_TEST(the_lower_index_wins_among_equals),
        CLF_TEST(the_first_nan_is_the_largest),
        CLF_TEST(minus_infinity_alone_is_index_0),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_checks_name_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
