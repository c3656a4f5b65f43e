/* llvmpipe (Mesa 22.3) ends the loops of a work-item after 65535 turns, all of them together, without a word: top_k of
 * 20000 scores, whose loops are each shorter, and attention over 3000 keys gave wrong results there.  A result is right,
 * or the operator says that it will not be. */
#include "ops/ops.h"
#include "ops/vocabulary.h"
#include "ref/linear.h"
#include "ref/ref.h"
#include "runtime/context.h"
#include "runtime/stream.h"

/* On llvmpipe a call may have been refused; then the stream says so and is made good again. */
static bool refused(clf_test *t)
{
    clf_error err = { 0 };
    const clf_status status = clf_stream_finish(t->stream, &err);

    if (status == CLF_OK)
        return false;
    if (status != CLF_UNSUPPORTED || strstr(err.message, "on llvmpipe, or another device") == NULL ||
        !t->ctx->emulated_fma)
        fail_msg("%s", err.message);
    clf_stream_reset(t->stream);
    return true;
}

/* How many of the sizes were refused, for a test to say where the limit lies at least and at most. */
typedef struct tally {
    int right, refused;
} tally;

static void take(clf_test *t, tally *n, clf_tensor y, clf_expected want)
{
    if (refused(t)) {
        n->refused++;
    } else {
        clf_test_within(t, y, want.value, want.bound);
        n->right++;
    }
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

/* The smallest size is always right; the largest is refused on llvmpipe alone. */
static void check(const clf_test *t, tally n)
{
    assert_true(n.right > 0);
    if (t->ctx->emulated_fma)
        assert_true(n.refused > 0);
    else
        assert_int_equal(n.refused, 0);
}

static const int64_t sizes[] = { 1000, 5000, 12000, 20000, 30000, 60000, 70000, 120000, 250000, 1000000 };

static void norms_of_long_rows_are_right_or_refused(void **state)
{
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };
    clf_test *t = *state;

    for (int which = 0; which < 3; which++) {
        tally n = { 0 };

        for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
            const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, sizes[i]));
            const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, sizes[i]));

            if (which == 0)
                clf_l2_norm(t->stream, x, 1e-12F, y);
            else if (which == 1)
                clf_rms_norm(t->stream, x, none, CLF_RMS_PLAIN, 1e-6F, y);
            else
                clf_layer_norm(t->stream, x, none, none, 1e-5F, y);
            take(t, &n, y,
                 which == 0   ? clf_ref_l2_norm(t, x, 1e-12F)
                 : which == 1 ? clf_ref_rms_norm(t, x, none, CLF_RMS_PLAIN, 1e-6F)
                              : clf_ref_layer_norm(t, x, none, none, 1e-5F));
        }
        check(t, n);
    }
}

/* On any device: the context is told that it is llvmpipe. */
static void a_refusal_names_the_kernel_and_its_turns(void **state)
{
    const int64_t C = 8000000; /* more than 65535 turns for 64 items of a group as well */
    clf_test *t = *state;
    const bool was = t->ctx->emulated_fma;
    const clf_tensor x = clf_test_empty(t, CLF_F32, CLF_DIMS(1, C)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, C));

    t->ctx->emulated_fma = true;
    clf_l2_norm(t->stream, x, 1e-12F, y);
    t->ctx->emulated_fma = was;
    clf_test_expect_error(t, CLF_UNSUPPORTED, "clf_l2_norm_");
    t->ctx->emulated_fma = true;
    clf_l2_norm(t->stream, x, 1e-12F, y);
    t->ctx->emulated_fma = was;
    clf_test_expect_error(t, CLF_UNSUPPORTED, " times; want at most 65535 on llvmpipe, or another device");
}

static void attention_over_many_keys_is_right_or_refused(void **state)
{
    static const int64_t keys[] = { 33, 200, 400, 577, 1025, 3000, 20000 }, widths[] = { 16, 64, 128 };
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < 2 * CLF_COUNT(keys) * CLF_COUNT(widths); i++) {
        const int64_t K = keys[i / 2 % CLF_COUNT(keys)], D = widths[i / 2 / CLF_COUNT(keys)], Q = 9;

        if (K > 1025 && D > 16)
            continue;
        const clf_tensor q = clf_test_normal(t, CLF_F32, CLF_DIMS(1, Q, 1, D));
        const clf_tensor k = clf_test_normal(t, CLF_F32, CLF_DIMS(1, K, 1, D));
        const clf_tensor v = clf_test_normal(t, CLF_F32, CLF_DIMS(1, K, 1, D));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, Q, 1, D));
        clf_attention_options o = clf_attention_options_default();

        o.causal = i % 2 == 1;
        o.causal_offset = K - Q;
        clf_attention(t->stream, q, k, v, &o, y);
        take(t, &n, y, clf_ref_attention(t, q, k, v, &o, y, NULL));
    }
    check(t, n);
}

static void the_best_of_many_are_right_or_refused(void **state)
{
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < 2 * CLF_COUNT(sizes) - 2; i++) {
        const int64_t N = sizes[i / 2], k = i % 2 == 0 ? 7 : N / 20;
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, N));
        const clf_tensor values = clf_test_empty(t, CLF_F32, CLF_DIMS(1, k));
        const clf_tensor indices = clf_test_empty(t, CLF_I32, CLF_DIMS(1, k));

        clf_top_k(t->stream, x, CLF_TOP_K_BY_SCORE, values, indices);
        if (refused(t)) {
            n.refused++;
        } else {
            clf_test_exact(t, indices, clf_ref_top_k(t, x, CLF_TOP_K_BY_SCORE, indices).index);
            n.right++;
        }
        clf_test_release_all(t);
    }
    check(t, n);
}

/* Whole numbers: sums are exact in any order. */
static void similarities_of_long_rows_are_right_or_refused(void **state)
{
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const int64_t M = 5, C = sizes[i] / 5;
        const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(1, M, C), 2);
        const clf_tensor z = clf_test_integers(t, CLF_F32, CLF_DIMS(1, C), 2);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1));
        const double *a = clf_test_given(t, x), *b = clf_test_given(t, z);
        clf_expected want = clf_expected_new(t, y);

        want.value[0] = -INFINITY;
        want.bound[0] = 0;
        for (int64_t m = 0; m < M; m++) {
            double sum = 0;

            for (int64_t c = 0; c < C; c++)
                sum += a[m * C + c] * b[c];
            want.value[0] = fmax(want.value[0], sum);
        }
        clf_similarity(t->stream, x, z, 1, y);
        take(t, &n, y, want);
    }
    check(t, n);
}

static void the_largest_of_many_rows_is_right_or_refused(void **state)
{
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(sizes) - 1; i++) {
        const int64_t N = sizes[i] / 4, C = 21;
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, N, C));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, C));
        const double *given = clf_test_given(t, x);
        clf_expected want = clf_expected_new(t, y);

        for (int64_t c = 0; c < C; c++) {
            want.value[c] = -INFINITY;
            want.bound[c] = 0;
            for (int64_t r = 0; r < N; r++)
                want.value[c] = fmax(want.value[c], given[r * C + c]);
        }
        clf_row_max(t->stream, x, y);
        take(t, &n, y, want);
    }
    check(t, n);
}

/* Always right for the widths of models, which are below 60000. */
static void products_over_long_rows_are_right_or_refused(void **state)
{
    static const int64_t heights[] = { 1, 3, 9 }, widths[] = { 700, 1400, 20000, 60000, 70000, 150000 };
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(heights) * CLF_COUNT(widths); i++) {
        const int64_t M = heights[i % CLF_COUNT(heights)], K = widths[i / CLF_COUNT(heights)], N = 5;
        const clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, N, K, false, 0);
        const clf_linear_options o = clf_linear_options_default();
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(M, K));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(M, N));
        const clf_expected want = clf_expected_new(t, y);

        clf_ref_linear_run(t, x, &w, &o, want.value, want.bound);
        clf_linear(t->stream, x, w.packed, &o, y);
        take(t, &n, y, want);
        clf_linear_weight_destroy(w.packed);
    }
    check(t, n);
}

static void scores_of_long_rows_are_right_or_refused(void **state)
{
    const clf_tensor none = { .dtype = CLF_DTYPE_NONE };
    clf_test *t = *state;

    for (int kind = CLF_SCORES_SOFTMAX; kind <= CLF_SCORES_SIGMOID; kind++) {
        tally n = { 0 };

        for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
            const int64_t C = kind == CLF_SCORES_SOFTMAX ? sizes[i] : 5 * sizes[i];
            const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, C));
            const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, C));
            clf_expected logits;

            clf_scores(t->stream, x, 1.5F, 0.25F, (clf_scores_kind)kind, none, y);
            take(t, &n, y, clf_ref_scores(t, x, 1.5F, 0.25F, (clf_scores_kind)kind, &logits));
        }
        check(t, n);
    }
}

/* A row whose largest logit, 1, is its last. */
static clf_tensor logits_of(clf_test *t, int64_t V)
{
    double *logits = clf_test_memory(t, (size_t)V * sizeof *logits);

    for (int64_t v = 0; v < V; v++)
        logits[v] = v + 1 < V ? -1.0 - (double)(v % 7) : 1.0;
    return clf_test_from(t, CLF_F32, CLF_DIMS(1, V), logits);
}

static void softmax_of_a_large_block_is_right_or_refused(void **state)
{
    static const double seen[] = { 0.0, 1.0 };
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const clf_tensor x = logits_of(t, sizes[i]), sums = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2), seen);
        const clf_tensor y = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 21));
        const clf_expected want = clf_expected_new(t, sums);
        const double *given = clf_test_given(t, x);

        want.value[0] = 1.0;
        want.value[1] = exp(-1.0);
        for (int64_t v = 0; v < sizes[i]; v++)
            want.value[1] += exp(given[v] - 1.0);
        want.bound[1] = want.value[1] * ((double)sizes[i] + 32) * CLF_U;
        clf_vocabulary_softmax(t->stream, x, sums, y);
        take(t, &n, sums, want);
    }
    check(t, n);
}

static void argmax_of_a_large_block_is_right_or_refused(void **state)
{
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i <= CLF_COUNT(sizes); i++) {
        const int64_t V = i < CLF_COUNT(sizes) ? sizes[i] : 5000000; /* too many for 64 items of a group as well */
        const clf_tensor x = logits_of(t, V), best = clf_test_empty(t, CLF_F32, CLF_DIMS(1));
        const clf_tensor index = clf_test_empty(t, CLF_I32, CLF_DIMS(1));
        const clf_expected want = clf_expected_new(t, index);

        want.value[0] = (double)(V - 1);
        clf_vocabulary_argmax(t->stream, x, 0, best, index);
        take(t, &n, index, want);
    }
    check(t, n);
}

static void sums_of_a_large_block_divide_right_or_are_refused(void **state)
{
    static const double seen[] = { 0.0, 2.0 };
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const int64_t C = 5 * sizes[i];
        const clf_tensor y = logits_of(t, C), sums = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2), seen);
        const clf_expected want = clf_expected_new(t, y);
        const double *given = clf_test_given(t, y);

        for (int64_t c = 0; c < C; c++)
            want.value[c] = given[c] / 2.0;
        clf_vocabulary_divide(t->stream, sums, y);
        take(t, &n, y, want);
    }
    check(t, n);
}

/* Never refused: fewer rows are taken at a time, on any device that is told that it is llvmpipe.  Each score is better
 * than all before it and moves the whole list. */
static void the_best_of_rising_scores_are_right(void **state)
{
    static const int64_t rows[] = { 2000, 40000 }, kept[] = { 300, 1 }, queries[] = { 1, 3, 17 };
    clf_test *t = *state;
    const bool was = t->ctx->emulated_fma;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(queries); i++) {
        const int64_t R = rows[i % CLF_COUNT(rows)], k = kept[i % CLF_COUNT(rows)], Q = queries[i / CLF_COUNT(rows)];
        double *rising = clf_test_memory(t, (size_t)(R * Q) * sizeof *rising);
        const clf_tensor values = clf_test_empty(t, CLF_F32, CLF_DIMS(Q, k));
        const clf_tensor indices = clf_test_empty(t, CLF_I64, CLF_DIMS(Q, k));
        const clf_expected want = clf_expected_new(t, indices);

        for (int64_t j = 0; j < R * Q; j++)
            rising[j] = (double)(j / Q);
        for (int64_t j = 0; j < Q * k; j++)
            want.value[j] = (double)(R - 1 - j % k);
        t->ctx->emulated_fma = true;
        clf_keep_best(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(R, Q), rising), 0, values, indices);
        t->ctx->emulated_fma = was;
        take(t, &n, indices, want);
    }
    assert_int_equal(n.refused, 0);
}

static void pool_once(clf_test *t, tally *n, clf_grid from, clf_grid to, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, from.rows * from.columns, C));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, to.rows * to.columns, C));

    clf_pool(t->stream, x, from, to, y);
    take(t, n, y, clf_ref_pool(t, x, from, to, y));
}

static void means_of_large_cells_are_right_or_refused(void **state)
{
    static const int64_t widths[] = { 1, 20, 21, 37, 67 };
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(widths) * (CLF_COUNT(sizes) - 1); i++) {
        const int64_t N = sizes[i / CLF_COUNT(widths)];

        pool_once(t, &n, i % 2 == 0 ? (clf_grid){ N, 1 } : (clf_grid){ 1, N }, (clf_grid){ 1, 1 },
                  widths[i % CLF_COUNT(widths)]);
    }
    check(t, n);
}

/* Never refused: a group takes fewer cells, or windows. */
static void narrow_tokens_are_shared_among_groups(void **state)
{
    static const int64_t widths[] = { 1, 2, 3, 5, 16, 17, 23, 37 };
    clf_unfold_options o = clf_unfold_options_default();
    clf_test *t = *state;
    tally n = { 0 };

    for (size_t i = 0; i < CLF_COUNT(widths); i++) {
        pool_once(t, &n, (clf_grid){ 100, 200 }, (clf_grid){ 100, 200 }, widths[i]);
        pool_once(t, &n, (clf_grid){ 100, 200 }, (clf_grid){ 33, 70 }, widths[i]);
    }
    o.order = CLF_UNFOLD_CHANNEL_MAJOR;
    for (o.kernel = 1; o.kernel < 6; o.kernel++) {
        const clf_grid from = { 240, 240 }, to = { 60, 60 };
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, from.rows * from.columns, 1));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, to.rows * to.columns, o.kernel * o.kernel));
        clf_expected want = clf_expected_new(t, y);

        o.stride = 4;
        want.value = clf_ref_unfold(t, x, from, &o, to, y);
        clf_unfold(t->stream, x, from, &o, to, y);
        take(t, &n, y, want);
    }
    assert_int_equal(n.refused, 0);
}

static void large_windows_are_right_or_refused(void **state)
{
    static const int64_t sides[] = { 4, 30, 70, 130, 300 };
    clf_unfold_options o = clf_unfold_options_default();
    clf_test *t = *state;
    tally n = { 0 };

    o.order = CLF_UNFOLD_CHANNEL_MAJOR;
    for (size_t i = 0; i < CLF_COUNT(sides); i++) {
        const clf_grid from = { sides[i], sides[i] }, to = { 1, 1 };
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, sides[i] * sides[i], 3));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, 3 * sides[i] * sides[i]));
        clf_expected want = clf_expected_new(t, y);

        o.kernel = o.stride = sides[i];
        want.value = clf_ref_unfold(t, x, from, &o, to, y);
        clf_unfold(t->stream, x, from, &o, to, y);
        take(t, &n, y, want);
    }
    check(t, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(norms_of_long_rows_are_right_or_refused),
        CLF_TEST(a_refusal_names_the_kernel_and_its_turns),
        CLF_TEST(attention_over_many_keys_is_right_or_refused),
        CLF_TEST(the_best_of_many_are_right_or_refused),
        CLF_TEST(similarities_of_long_rows_are_right_or_refused),
        CLF_TEST(products_over_long_rows_are_right_or_refused),
        CLF_TEST(the_largest_of_many_rows_is_right_or_refused),
        CLF_TEST(scores_of_long_rows_are_right_or_refused),
        CLF_TEST(softmax_of_a_large_block_is_right_or_refused),
        CLF_TEST(argmax_of_a_large_block_is_right_or_refused),
        CLF_TEST(sums_of_a_large_block_divide_right_or_are_refused),
        CLF_TEST(the_best_of_rising_scores_are_right),
        CLF_TEST(means_of_large_cells_are_right_or_refused),
        CLF_TEST(narrow_tokens_are_shared_among_groups),
        CLF_TEST(large_windows_are_right_or_refused),
    };

    return CLF_TEST_MAIN(tests);
}
