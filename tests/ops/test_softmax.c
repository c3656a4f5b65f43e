/* softmax with masks against double precision, under each kernel shape. */
#include "ops/softmax.h"

#include <float.h>

#include "ops/ops.h"
#include "ref/ref.h"

static const clf_tensor none;

#define SCALE 1.75F

static bool hidden(const double *mask, int64_t c)
{
    return mask != NULL && mask[c] <= -FLT_MAX;
}

/* One row; mask NULL: none. */
static void softmax_row(const double *x, const double *mask, clf_unseen unseen, int64_t N, double *y, double *bound)
{
    double most = -INFINITY, sum = 0, largest = 0;

    for (int64_t c = 0; c < N; c++) {
        const double m = mask != NULL ? mask[c] : 0;

        y[c] = SCALE * x[c] + m;
        if (hidden(mask, c))
            continue;
        most = fmax(most, y[c]);
        largest = fmax(largest, fabs(SCALE * x[c]) + fabs(m));
    }
    for (int64_t c = 0; c < N; c++) {
        y[c] = hidden(mask, c) ? 0 : exp(y[c] - most);
        sum += y[c];
    }
    for (int64_t c = 0; c < N; c++) {
        y[c] = sum == 0 ? (unseen == CLF_UNSEEN_UNIFORM ? 1.0 / (double)N : 0) : y[c] / sum;
        bound[c] = ((double)N + 16 + 3 * largest) * CLF_U * y[c] + CLF_TINY;
    }
}

static void agree(clf_test *t, clf_tensor x, clf_tensor mask, clf_unseen unseen, clf_tensor y)
{
    const int64_t R = x.dim[1], N = x.dim[2];
    const double *given = clf_test_given(t, x), *masks = clf_present(mask) ? clf_test_given(t, mask) : NULL;
    const clf_expected e = clf_expected_new(t, x);

    for (int64_t r = 0; r < x.dim[0] * R; r++) {
        const int64_t b = clf_present(mask) && mask.dim[0] > 1 ? r / R : 0;

        softmax_row(given + r * N, masks != NULL ? masks + b * N : NULL, unseen, N, e.value + r * N, e.bound + r * N);
    }
    t->zero_limit = 1;
    clf_test_within(t, y, e.value, e.bound);
    t->zero_limit = 0.3;
}

/* Numbers, -inf, and numbers below what hides; with all, one batch element sees nothing. */
static clf_tensor make_mask(clf_test *t, int64_t B, int64_t N, bool all)
{
    double *values = clf_test_memory(t, (size_t)(B * N + 1) * sizeof *values);

    for (int64_t i = 0; i < B * N; i++)
        values[i] = i % 5 == 1 ? -INFINITY : i % 5 == 3 ? -FLT_MAX : (double)(i % 7) / 4 - 1;
    for (int64_t c = 0; all && c < N; c++)
        values[(B - 1) * N + c] = -INFINITY;
    return clf_test_from(t, CLF_F32, CLF_DIMS(B, N), values);
}

static void one_size(clf_test *t, int64_t B, int64_t R, int64_t N)
{
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(B, R, N)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, R, N));

    clf_softmax(t->stream, x, SCALE, none, CLF_UNSEEN_ZERO, y);
    agree(t, x, none, CLF_UNSEEN_ZERO, y);
    for (int i = 0; i < 8; i++) {
        const clf_tensor mask = make_mask(t, i & 1 ? B : 1, N, (i & 2) != 0);
        const clf_unseen unseen = i & 4 ? CLF_UNSEEN_UNIFORM : CLF_UNSEEN_ZERO;

        clf_softmax(t->stream, x, SCALE, mask, unseen, y);
        agree(t, x, mask, unseen, y);
    }
    clf_softmax(t->stream, x, SCALE, none, CLF_UNSEEN_ZERO, x);
    clf_softmax(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(B, R, N), clf_test_given(t, x)), SCALE, none,
                CLF_UNSEEN_ZERO, y);
    clf_test_same_bits(t, x, y); /* in place */
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_double_precision(void **state)
{
    static const int64_t widths[] = { 1, 2, 15, 16, 17, 63, 64, 65, 257 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(widths); i++) {
        one_size(t, 1, 1, widths[i]);
        one_size(t, 3, 5, widths[i]);
    }
}

/* What a mask hides may be NaN; what it does not reaches its row alone. */
static void nan_counts_only_where_it_is_seen(void **state)
{
    enum { R = 2, N = 37 };
    clf_test *t = *state;
    double values[R * N], masks[N] = { 0 };

    for (int i = 0; i < R * N; i++)
        values[i] = i % 3;
    masks[4] = masks[36] = -INFINITY;
    values[4] = values[36] = NAN;
    values[N + 7] = NAN;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, R, N), values),
                     mask = clf_test_from(t, CLF_F32, CLF_DIMS(1, N), masks),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, R, N));

    clf_softmax(t->stream, x, 1.0F, mask, CLF_UNSEEN_ZERO, y);
    const double *got = clf_test_values(t, y);
    for (int c = 0; c < N; c++)
        assert_true(c == 4 || c == 36 ? got[c] == 0 : got[c] > 0 && got[c] < 1);
    assert_true(isnan(got[N + 7]) && isnan(got[N]));

    masks[9] = NAN; /* hides nothing */
    clf_softmax(t->stream, x, 1.0F, clf_test_from(t, CLF_F32, CLF_DIMS(1, N), masks), CLF_UNSEEN_ZERO, y);
    assert_true(isnan(clf_test_values(t, y)[0]));
}

static void a_mask_of_all_clears_its_rows_alone(void **state)
{
    clf_test *t = *state;
    const clf_tensor mask = make_mask(t, 2, 19, true), whole = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 70));
    const clf_tensor y = clf_slice(t->stream, whole, 1, 2, 4);
    const double *given = clf_test_given(t, y);
    double want[2 * 4 * 70] = { 0 };

    for (int i = 0; i < 4 * 70; i++)
        want[i] = given[i];
    t->zero_limit = 1;
    clf_softmax_clear(t->stream, mask, y);
    clf_test_exact(t, y, want);
    clf_ops_rest_untouched(t, whole, 2, 4);
    clf_softmax_clear(t->stream, clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0)), y); /* nothing to see */
    for (int i = 0; i < 4 * 70; i++)
        want[i] = 0;
    clf_test_exact(t, y, want);
    clf_ops_rest_untouched(t, whole, 2, 4);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 3, 5), mask = CLF_OPS_SHAPE(CLF_F32, 2, 5);

    (void)state;
    CLF_OPS_ACCEPTS(clf_softmax_check(x, mask, CLF_UNSEEN_UNIFORM, x, &err));
    CLF_OPS_ACCEPTS(clf_softmax_clear_check(mask, CLF_OPS_SHAPE(CLF_F32, 2, 3, 8), &err));
    CLF_OPS_REFUSES(clf_softmax_check(CLF_OPS_SHAPE(CLF_F16, 2, 3, 5), mask, CLF_UNSEEN_ZERO, x, &err), CLF_UNSUPPORTED,
                    "softmax: x is f16[2, 3, 5]; want f32");
    CLF_OPS_REFUSES(clf_softmax_check(mask, mask, CLF_UNSEEN_ZERO, x, &err), CLF_INVALID_ARGUMENT,
                    "softmax: x is f32[2, 5]; want three dimensions, the last below 2^31");
    CLF_OPS_REFUSES(clf_softmax_check(x, CLF_OPS_SHAPE(CLF_F32, 2, 4), CLF_UNSEEN_ZERO, x, &err), CLF_INVALID_ARGUMENT,
                    "softmax: mask is f32[2, 4]; want [2 or 1, 5]");
    CLF_OPS_REFUSES(clf_softmax_check(x, mask, CLF_UNSEEN_UNIFORM_BUT_GROUP_0, x, &err), CLF_INVALID_ARGUMENT,
                    "softmax: unseen is 2; want CLF_UNSEEN_ZERO or CLF_UNSEEN_UNIFORM");
    CLF_OPS_REFUSES(clf_softmax_check(x, mask, CLF_UNSEEN_ZERO, CLF_OPS_SHAPE(CLF_F32, 2, 3, 6), &err),
                    CLF_INVALID_ARGUMENT, "softmax: y is f32[2, 3, 6]; want f32[2, 3, 5], like x");
    CLF_OPS_REFUSES(clf_softmax_clear_check(CLF_OPS_SHAPE(CLF_F32, 3, 5), x, &err), CLF_INVALID_ARGUMENT,
                    "softmax: mask is f32[3, 5]; want [2 or 1, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_double_precision),
        CLF_TEST(nan_counts_only_where_it_is_seen),
        CLF_TEST(a_mask_of_all_clears_its_rows_alone),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
