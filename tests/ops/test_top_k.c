/* top_k against a full sort, under each kernel shape: exact, index for index. */
#include <string.h>

#include "ops/ops.h"
#include "ref/ref.h"

static const clf_top_k_order orders[] = { CLF_TOP_K_BY_SCORE, CLF_TOP_K_BY_POSITION };

static bool is_ref(const clf_test *t)
{
    return strcmp(clf_context_kernels(t->ctx), "ref") == 0;
}

/* The k best of x as they come out, against the reference.  llvmpipe ends all loops of a work-item after 65535 turns
 * (Mesa 22.3), which _ref reaches first. */
static void compare(clf_test *t, clf_tensor x, int64_t k)
{
    clf_dims dims = clf_tensor_dims(x);

    if (clf_test_small_only(t) && is_ref(t) && k * clf_dim(x, -1) > 50000)
        return;
    dims.dim[dims.rank - 1] = k;
    for (size_t o = 0; o < CLF_COUNT(orders); o++) {
        const clf_tensor values = clf_test_empty(t, CLF_F32, dims), indices = clf_test_empty(t, CLF_I32, dims);
        const clf_ref_best want = clf_ref_top_k(t, x, orders[o], indices);

        clf_top_k(t->stream, x, orders[o], values, indices);
        clf_test_exact(t, indices, want.index);
        clf_test_exact(t, values, want.value);
    }
}

/* N around vectors, work-groups and blocks; k of one, of all, and on both sides of where the two ways part. */
static void agrees_with_a_full_sort(void **state)
{
    static const int64_t widths[] = { 1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4097, 16385, 70001 };
    clf_test *t = *state;

    t->zero_limit = 1; /* a row of one score has index 0 */
    for (size_t i = 0; i < CLF_COUNT(widths); i++)
        for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
            const int64_t N = widths[i], some[] = { 1, 2, 7, 33, N / 256, N / 256 + 1, N / 3, N - 1, N };
            const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(N > 5000 ? 2 : 3, N));

            for (size_t j = 0; j < CLF_COUNT(some); j++)
                if (some[j] >= 1 && some[j] <= N && (N < 4000 || some[j] < 64 || (!is_ref(t) && d == 0)) &&
                    (!clf_test_small_only(t) || N < 4000))
                    compare(t, x, some[j]);
            clf_test_check_guards(t);
            clf_test_release_all(t);
        }
}

/* 2^20 scores of which many are equal, the most that is promised: k of one, some and all. */
static void a_million_scores_have_any_number_of_best(void **state)
{
    clf_test *t = *state;
    const int64_t N = clf_test_small_only(t) || is_ref(t) ? 5000 : 1 << 20;
    const int64_t some[] = { 1, 4097, N };
    const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(1, N), 100000);

    t->zero_limit = 1;
    for (size_t i = 0; i < CLF_COUNT(some); i++)
        compare(t, x, some[i]);
}

/* Few different values: nearly all of a row ties. */
static void of_equal_scores_the_lower_index_wins(void **state)
{
    static const int64_t widths[] = { 3, 64, 300, 20000 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t i = 0; i < CLF_COUNT(widths); i++)
        for (int limit = 0; limit < 3; limit++) {
            const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(3, widths[i]), limit);

            for (int64_t k = 1; k <= CLF_MIN(widths[i], 70); k = 4 * k + 1)
                compare(t, x, k);
            clf_test_release_all(t);
        }
}

/* -0 and 0, infinities, NaN of both signs, subnormal numbers of both signs: everywhere in the row. */
static void every_number_has_its_place(void **state)
{
    static const double special[] = {
        0.0, -0.0, INFINITY, -INFINITY, NAN, -NAN, 0x1p-149, -0x1p-149, 0x1p-130, 3.4e38
    };
    static const int64_t widths[] = { 10, 90, 1111, 30000 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t i = 0; i < CLF_COUNT(widths); i++) {
        const int64_t N = widths[i];
        double *values = clf_test_memory(t, (size_t)(2 * N) * sizeof *values);
        clf_tensor x;

        for (int64_t c = 0; c < 2 * N; c++)
            values[c] = special[(size_t)(clf_test_random(t) * (double)CLF_COUNT(special))];
        x = clf_test_from(t, CLF_F32, CLF_DIMS(2, N), values);
        compare(t, x, 1);
        compare(t, x, 9);
        compare(t, x, CLF_MIN(N, 60));
        clf_test_release_all(t);
    }
}

/* The only NaN of a row has the sign bit, as x86 makes it; the only finite number is the worst but one. */
static void the_sign_of_nan_does_not_matter(void **state)
{
    enum { N = 15000 }; /* four walks of _ref are about what llvmpipe can do */
    clf_test *t = *state;
    double *values = clf_test_memory(t, N * sizeof *values);
    int32_t *got;
    clf_tensor x, indices;
    size_t bytes;

    for (int c = 0; c < N; c++)
        values[c] = -INFINITY;
    values[13001] = copysign(NAN, -1.0);
    values[777] = -3e38;
    x = clf_test_from(t, CLF_F32, CLF_DIMS(N), values);
    indices = clf_test_empty(t, CLF_I32, CLF_DIMS(4));
    clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, (clf_tensor){ .dtype = CLF_DTYPE_NONE }, indices);
    got = clf_test_bits(t, indices, &bytes);
    assert_int_equal(bytes, 4 * sizeof *got);
    assert_int_equal(got[0], 13001);
    assert_int_equal(got[1], 777);
    assert_int_equal(got[2], 0);
    assert_int_equal(got[3], 1);
}

static void values_keep_the_sign_of_zero(void **state)
{
    static const double zeros[] = { -1.0, -0.0, 0.0, -0.0 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(4), zeros);
    const clf_tensor values = clf_test_empty(t, CLF_F32, CLF_DIMS(3)),
                     indices = clf_test_empty(t, CLF_I32, CLF_DIMS(3));
    const double *got;

    t->zero_limit = 1;
    clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, values, indices);
    clf_test_exact(t, indices, (const double[]){ 1, 2, 3 });
    got = clf_test_values(t, values);
    assert_true(signbit(got[0]) && !signbit(got[1]) && signbit(got[2]));
}

/* Scores that rise along the row are the worst case of a search that keeps a list. */
static void rising_and_falling_rows(void **state)
{
    clf_test *t = *state;
    const int64_t N = clf_test_small_only(t) ? 3000 : 30000;
    double *values = clf_test_memory(t, (size_t)(2 * N) * sizeof *values);

    for (int64_t c = 0; c < N; c++) {
        values[c] = (double)(c - N / 2);
        values[N + c] = (double)(N / 2 - c);
    }
    compare(t, clf_test_from(t, CLF_F32, CLF_DIMS(2, N), values), 10);
    compare(t, clf_test_from(t, CLF_F32, CLF_DIMS(2, N), values), 64);
}

static void views_are_read_and_written_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor wide = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 7, 90));
    const clf_tensor x = clf_slice(t->stream, clf_slice(t->stream, wide, 1, 1, 5), 2, 3, 83);
    const clf_tensor whole = clf_test_integers(t, CLF_I32, CLF_DIMS(2, 11, 6), 9);
    const clf_tensor indices = clf_slice(t->stream, whole, 1, 3, 5);
    const clf_tensor all = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 9, 6), 9);
    const clf_tensor values = clf_slice(t->stream, all, 1, 2, 5);
    const clf_ref_best want = clf_ref_top_k(t, x, CLF_TOP_K_BY_SCORE, indices);

    clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, values, indices);
    clf_test_exact(t, indices, want.index);
    clf_test_exact(t, values, want.value);
    clf_ops_rest_untouched(t, whole, 3, 5);
    clf_ops_rest_untouched(t, all, 2, 5);
}

/* More rows than go through scratch at once. */
static void rows_come_in_portions(void **state)
{
    clf_test *t = *state;
    uint64_t peak = 0;
    clf_tensor x;

    if (clf_test_small_only(t) || is_ref(t))
        clf_test_skip("too large for this device or shape");
    x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 2500000));
    compare(t, x, 9800);
    clf_context_memory(t->ctx, &peak);
    assert_true(peak < 3 * 2500000 * 4 + (UINT64_C(80) << 20));
}

/* A row gives the same whether it comes alone or among others, and whether values are wanted or not. */
static void rows_do_not_know_of_each_other(void **state)
{
    clf_test *t = *state;
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE }, x = clf_test_normal(t, CLF_BF16, CLF_DIMS(3, 5000));
    const clf_tensor together = clf_test_empty(t, CLF_I32, CLF_DIMS(3, 12));
    const clf_tensor alone = clf_test_empty(t, CLF_I32, CLF_DIMS(3, 12));

    clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, clf_test_empty(t, CLF_F32, CLF_DIMS(3, 12)), together);
    for (int64_t r = 0; r < 3; r++)
        clf_top_k(t->stream, clf_slice(t->stream, x, 0, r, 1), CLF_TOP_K_BY_SCORE, none,
                  clf_slice(t->stream, alone, 0, r, 1));
    clf_test_same_bits(t, together, alone);
}

static void no_rows_are_a_success(void **state)
{
    clf_test *t = *state;

    clf_top_k(t->stream, CLF_OPS_SHAPE(CLF_F32, 0, 5), CLF_TOP_K_BY_SCORE, CLF_OPS_SHAPE(CLF_F32, 0, 2),
              CLF_OPS_SHAPE(CLF_I32, 0, 2));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3));
    const clf_tensor long_i = clf_test_empty(t, CLF_I32, CLF_DIMS(2, 9)),
                     i = clf_test_empty(t, CLF_I32, CLF_DIMS(2, 3));

    clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, y, long_i);
    clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, y, i);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "top_k: k is 9, the last dimension of indices; want 1 to 8, the last of scores f32[2, 8]");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 8), values = CLF_OPS_SHAPE(CLF_F32, 2, 3, 5),
                     indices = CLF_OPS_SHAPE(CLF_I32, 2, 3, 5), none = { .dtype = CLF_DTYPE_NONE };

    (void)state;
    CLF_OPS_ACCEPTS(clf_top_k_check(x, CLF_TOP_K_BY_POSITION, values, indices, &err));
    CLF_OPS_ACCEPTS(clf_top_k_check(x, CLF_TOP_K_BY_SCORE, none, indices, &err));
    CLF_OPS_REFUSES(clf_top_k_check(indices, CLF_TOP_K_BY_SCORE, values, indices, &err), CLF_UNSUPPORTED,
                    "top_k: scores is i32[2, 3, 5]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_top_k_check(x, (clf_top_k_order)7, values, indices, &err), CLF_INVALID_ARGUMENT,
                    "top_k: order is 7; want CLF_TOP_K_BY_SCORE or CLF_TOP_K_BY_POSITION");
    CLF_OPS_REFUSES(clf_top_k_check(x, CLF_TOP_K_BY_SCORE, values, values, &err), CLF_UNSUPPORTED,
                    "top_k: indices is f32[2, 3, 5]; want i32");
    CLF_OPS_REFUSES(clf_top_k_check(x, CLF_TOP_K_BY_SCORE, values, CLF_OPS_SHAPE(CLF_I32, 2, 5), &err),
                    CLF_INVALID_ARGUMENT,
                    "top_k: indices is i32[2, 5]; want the leading dimensions of scores f16[2, 3, 8]");
    CLF_OPS_REFUSES(clf_top_k_check(x, CLF_TOP_K_BY_SCORE, none, CLF_OPS_SHAPE(CLF_I32, 2, 3, 0), &err),
                    CLF_INVALID_ARGUMENT,
                    "top_k: k is 0, the last dimension of indices; want 1 to 8, the last of scores f16[2, 3, 8]");
    CLF_OPS_REFUSES(clf_top_k_check(x, CLF_TOP_K_BY_SCORE, CLF_OPS_SHAPE(CLF_F16, 2, 3, 5), indices, &err),
                    CLF_INVALID_ARGUMENT,
                    "top_k: values is f16[2, 3, 5]; want f32 in the shape of indices i32[2, 3, 5]");
    CLF_OPS_REFUSES(
        clf_top_k_check(CLF_OPS_SHAPE(CLF_F32, 2, 0), CLF_TOP_K_BY_SCORE, none, CLF_OPS_SHAPE(CLF_I32, 2, 1), &err),
        CLF_INVALID_ARGUMENT, "top_k: scores is f32[2, 0]; want a last dimension of at least 1");
    CLF_OPS_REFUSES(clf_top_k_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(4, 8)), CLF_TOP_K_BY_SCORE, none,
                                    clf_ops_at(CLF_I32, 32, CLF_DIMS(4, 2)), &err),
                    CLF_INVALID_ARGUMENT, "top_k: indices overlaps scores; want apart");
    CLF_OPS_REFUSES(clf_top_k_check(CLF_OPS_SHAPE(CLF_F32, 4, 8), CLF_TOP_K_BY_SCORE,
                                    clf_ops_at(CLF_F32, 0, CLF_DIMS(4, 2)), clf_ops_at(CLF_I32, 4, CLF_DIMS(4, 2)),
                                    &err),
                    CLF_INVALID_ARGUMENT, "top_k: values overlaps indices; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_a_full_sort),
        CLF_TEST(a_million_scores_have_any_number_of_best),
        CLF_TEST(of_equal_scores_the_lower_index_wins),
        CLF_TEST(every_number_has_its_place),
        CLF_TEST(the_sign_of_nan_does_not_matter),
        CLF_TEST(values_keep_the_sign_of_zero),
        CLF_TEST(rising_and_falling_rows),
        CLF_TEST(views_are_read_and_written_in_place),
        CLF_TEST(rows_come_in_portions),
        CLF_TEST(rows_do_not_know_of_each_other),
        CLF_TEST(no_rows_are_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
