/* similarity against double precision, under each kernel shape. */
#include "ops/ops.h"
#include "ref/ref.h"

static const int64_t I = 3, J = 5;

/* value: the best of M rows; bound: of the worst of them. */
static clf_expected reference(clf_test *t, clf_tensor x, clf_tensor z, double scale, clf_tensor y)
{
    const double *a = clf_test_given(t, x), *b = clf_test_given(t, z);
    const int64_t M = x.dim[1], C = x.dim[2];
    clf_expected want = clf_expected_new(t, y);

    for (int64_t i = 0; i < y.dim[0] * y.dim[1]; i++) {
        double best = -INFINITY, size = 0;

        for (int64_t m = 0; m < M; m++) {
            const double *u = a + (i / y.dim[1] * M + m) * C, *v = b + i % y.dim[1] * C;
            double sum = 0, sizes = 0;

            for (int64_t c = 0; c < C; c++) {
                sum += u[c] * v[c];
                sizes += fabs(u[c] * v[c]);
            }
            best = fmax(best, sum);
            size = fmax(size, sizes);
        }
        want.value[i] = scale * best;
        want.bound[i] = ((double)C + 2) * CLF_U * fabs(scale) * size + CLF_TINY;
    }
    return want;
}

static void one_size(clf_test *t, clf_dtype dtype, int64_t M, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(I, M, C)), z = clf_test_normal(t, dtype, CLF_DIMS(J, C));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(I, J));
    const clf_expected want = reference(t, x, z, 1.5, y);

    clf_similarity(t->stream, x, z, 1.5F, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_double_precision(void **state)
{
    static const int64_t rows[] = { 1, 2, 32 }, widths[] = { 1, 15, 16, 17, 64, 65, 256 };

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(widths); i++)
            one_size(*state, clf_ops_types[d], rows[i % CLF_COUNT(rows)], widths[i / CLF_COUNT(rows)]);
}

/* What a matrix product computes where the provider packs rows of a call, and the same without: scale decides. */
static void many_rows_agree_too(void **state)
{
    static const int64_t sizes[][3] = { { 1, 32, 64 }, { 7, 70, 37 }, { 65, 129, 48 }, { 9, 33, 1 } };
    clf_test *t = *state;

    for (size_t i = 0; i < 2 * CLF_COUNT(sizes); i++) {
        const int64_t *n = sizes[i / 2];
        const float scale = i % 2 == 0 ? 1.0F : -0.5F;
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(n[0], 1, n[2]));
        const clf_tensor z = clf_test_normal(t, CLF_F32, CLF_DIMS(n[1], n[2]));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(n[0], n[1])), first = clf_slice(t->stream, x, 0, 0, 1);
        const clf_tensor alone = clf_test_empty(t, CLF_F32, CLF_DIMS(1, n[1]));
        const clf_expected want = reference(t, x, z, scale, y);

        clf_similarity(t->stream, x, z, scale, y);
        clf_test_within(t, y, want.value, want.bound);
        clf_similarity(t->stream, first, z, scale, alone);
        clf_test_same_bits(t, clf_slice(t->stream, y, 0, 0, 1), alone);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* The first row of each of three, against many: x is no dense matrix. */
static void one_row_of_each_may_be_a_view(void **state)
{
    clf_test *t = *state;

    for (int64_t rows = 3; rows <= 9; rows += 6) {
        const clf_tensor x = clf_slice(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(rows, 4, 40)), 1, 0, 1);
        const clf_tensor z = clf_test_normal(t, CLF_F32, CLF_DIMS(50, 40));
        const clf_tensor whole = clf_test_empty(t, CLF_F32, CLF_DIMS(rows, 60)),
                         y = clf_slice(t->stream, whole, 1, 5, 50);
        const clf_expected want = reference(t, x, z, 1, y);

        clf_similarity(t->stream, x, z, 1.0F, y);
        clf_test_within(t, y, want.value, want.bound);
    }
}

static void views_are_read_and_written_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor long_x = clf_test_normal(t, CLF_F32, CLF_DIMS(I, 7, 20));
    const clf_tensor x = clf_slice(t->stream, long_x, 1, 2, 4), z = clf_test_normal(t, CLF_F32, CLF_DIMS(J, 20));
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(1, I + 3, J), 9);
    const clf_tensor y = clf_reshape(t->stream, clf_slice(t->stream, whole, 1, 2, I), CLF_DIMS(I, J));
    const clf_expected want = reference(t, x, z, 1, y);

    clf_similarity(t->stream, x, z, 1.0F, y);
    clf_test_within(t, y, want.value, want.bound);
    clf_ops_rest_untouched(t, whole, 2, I);
}

/* Row 1 of picture 1 is NaN: of its products all, of other pictures' none. */
static void nan_is_not_lost_in_the_maximum(void **state)
{
    clf_test *t = *state;
    double values[2 * 3 * 18];
    clf_tensor x, z, y;
    const double *got;

    for (int i = 0; i < 2 * 3 * 18; i++)
        values[i] = clf_test_random(t);
    values[(3 + 1) * 18 + 17] = NAN;
    x = clf_test_from(t, CLF_F16, CLF_DIMS(2, 3, 18), values);
    z = clf_test_normal(t, CLF_F16, CLF_DIMS(4, 18));
    y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 4));
    clf_similarity(t->stream, x, z, 1.0F, y);
    got = clf_test_values(t, y);
    for (int i = 0; i < 8; i++)
        assert_int_equal(isnan(got[i]), i >= 4);
}

static void no_pairs_are_a_success(void **state)
{
    clf_test *t = *state;
    const clf_tensor z = clf_test_normal(t, CLF_F32, CLF_DIMS(J, 4));

    clf_similarity(t->stream, CLF_OPS_SHAPE(CLF_F32, 0, 2, 4), z, 1.0F, CLF_OPS_SHAPE(CLF_F32, 0, J));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 3, 8), z = CLF_OPS_SHAPE(CLF_F32, 5, 8),
                     y = CLF_OPS_SHAPE(CLF_F32, 2, 5);

    (void)state;
    CLF_OPS_ACCEPTS(clf_similarity_check(x, z, 1.0F, y, &err));
    CLF_OPS_REFUSES(clf_similarity_check(z, z, 1.0F, y, &err), CLF_INVALID_ARGUMENT,
                    "similarity: x is f32[5, 8]; want [I, M, C], M above 0");
    CLF_OPS_REFUSES(clf_similarity_check(x, CLF_OPS_SHAPE(CLF_F16, 5, 8), 1.0F, y, &err), CLF_INVALID_ARGUMENT,
                    "similarity: z is f16[5, 8]; want f32[J, 8], for x f32[2, 3, 8]");
    CLF_OPS_REFUSES(clf_similarity_check(x, z, 1.0F, CLF_OPS_SHAPE(CLF_F32, 5, 2), &err), CLF_INVALID_ARGUMENT,
                    "similarity: y is f32[5, 2]; want f32[2, 5]");
    CLF_OPS_REFUSES(clf_similarity_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(2, 3, 8)), z, 1.0F,
                                         clf_ops_at(CLF_F32, 4, CLF_DIMS(2, 5)), &err),
                    CLF_INVALID_ARGUMENT, "similarity: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_double_precision),   CLF_TEST(many_rows_agree_too),
        CLF_TEST(one_row_of_each_may_be_a_view),  CLF_TEST(views_are_read_and_written_in_place),
        CLF_TEST(nan_is_not_lost_in_the_maximum), CLF_TEST(no_pairs_are_a_success),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
