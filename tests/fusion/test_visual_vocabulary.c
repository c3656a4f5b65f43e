/* visual_vocabulary: blocks of any size, rows of any number, refusals; tests/data has what the oracle says. */
#include <clfusion/visual_vocabulary.h>

#include <math.h>

#include "parts.h"
#include "walk.h"

enum { V = 70, DV = 12, DT = 9 };

static clf_visual_vocabulary_desc describe(clf_test *t, clf_vocabulary_mode mode, int64_t block)
{
    clf_visual_vocabulary_desc d = clf_visual_vocabulary_desc_default();

    d.head = part_numbers(t, CLF_DIMS(V, DV), 0, 1);
    d.table = part_numbers(t, CLF_DIMS(V, DT), 0, 1);
    d.mode = mode;
    d.block = block;
    return d;
}

static clf_visual_vocabulary *create(clf_test *t, const clf_visual_vocabulary_desc *d)
{
    clf_visual_vocabulary *m = NULL;
    clf_error err = { 0 };

    if (clf_visual_vocabulary_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

/* One token: softmax(x head^T) table in double.  A logit errs by d = (Dv + 3) u sum|x w| at most, a weight of the
 * softmax then by 2 d and some 2 (range + V + 20) u, the product by (V + 3) u for each of its blocks. */
static void mix_row(const clf_visual_vocabulary_desc *d, const double *x, double *want, double *bound)
{
    const float *head = d->head.data, *table = d->table.data;
    double logits[V], most = -INFINITY, sum = 0, stray = 0;

    for (size_t v = 0; v < V; v++) {
        double size = 0;

        logits[v] = 0;
        for (size_t c = 0; c < DV; c++) {
            logits[v] += x[c] * (double)head[v * DV + c];
            size += fabs(x[c] * (double)head[v * DV + c]);
        }
        most = fmax(most, logits[v]);
        stray = fmax(stray, (DV + 3) * 0x1p-24 * size);
    }
    for (size_t v = 0; v < V; v++)
        sum += logits[v] = exp(logits[v] - most);
    for (size_t k = 0; k < DT; k++) {
        double size = 0;

        want[k] = 0;
        for (size_t v = 0; v < V; v++) {
            want[k] += logits[v] / sum * (double)table[v * DT + k];
            size += logits[v] / sum * fabs((double)table[v * DT + k]);
        }
        bound[k] = size * (2 * stray + (4 * V + 100) * 0x1p-24);
    }
}

static void check_softmax(clf_test *t, int64_t block, int64_t B, int64_t N)
{
    const clf_visual_vocabulary_desc d = describe(t, CLF_VOCABULARY_SOFTMAX, block);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(B, N, DV));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, DT));
    const double *x = clf_test_given(t, vision);
    double *want = clf_test_memory(t, (size_t)(B * N * DT + 1) * sizeof *want);
    double *bound = clf_test_memory(t, (size_t)(B * N * DT + 1) * sizeof *bound);
    clf_visual_vocabulary *m = create(t, &d);

    clf_visual_vocabulary_forward(t->stream, m, vision, tokens);
    for (int64_t r = 0; r < B * N; r++)
        mix_row(&d, x + r * DV, want + r * DT, bound + r * DT);
    clf_test_within(t, tokens, want, bound);
    clf_visual_vocabulary_destroy(m);
}

static void blocks_of_any_size_give_the_softmax(void **state)
{
    static const int64_t blocks[] = { 1, 7, 16, 69, 70, 5000 };

    for (size_t i = 0; i < CLF_COUNT(blocks); i++)
        check_softmax(*state, blocks[i], 1 + 2 * (int64_t)(i % 2), 5);
}

/* More than are computed in one go; none. */
static void tokens_of_any_number_are_computed(void **state)
{
    clf_test *t = *state;

    check_softmax(t, 32, 3, clf_test_small_only(t) ? 20 : 345);
    check_softmax(t, 32, 0, 4);
}

/* Heads of whole numbers: logits are exact, equal ones many. */
static void check_argmax(clf_test *t, int64_t block, clf_dtype result)
{
    enum { R = 50 };
    clf_visual_vocabulary_desc d = describe(t, CLF_VOCABULARY_ARGMAX, block);
    const clf_tensor vision = clf_test_integers(t, CLF_F16, CLF_DIMS(2, R / 2, DV), 2);
    const clf_tensor tokens = clf_test_empty(t, result, CLF_DIMS(2, R / 2, DT));
    const double *x = clf_test_given(t, vision);
    const float *table = d.table.data;
    float *head = clf_test_memory(t, V * DV * sizeof *head);
    double want[R * DT];

    for (size_t i = 0; i < V * DV; i++)
        head[i] = (float)((int)(clf_test_random(t) * 3) - 1);
    d.head.data = head;
    for (size_t r = 0; r < R; r++) {
        double most = -INFINITY;
        size_t at = 0;

        for (size_t v = 0; v < V; v++) {
            double logit = 0;

            for (size_t c = 0; c < DV; c++)
                logit += x[r * DV + c] * (double)head[v * DV + c];
            if (logit > most) {
                most = logit;
                at = v;
            }
        }
        for (size_t k = 0; k < DT; k++)
            want[r * DT + k] = (double)table[at * DT + k];
    }
    clf_visual_vocabulary *m = create(t, &d);
    clf_visual_vocabulary_forward(t->stream, m, vision, tokens);
    clf_test_exact(t, tokens, want);
    clf_visual_vocabulary_destroy(m);
}

static void argmax_takes_the_lower_of_equal_entries(void **state)
{
    check_argmax(*state, 1, CLF_F32);
    check_argmax(*state, 16, CLF_F16);
    check_argmax(*state, 5000, CLF_F32);
}

static void views_on_both_sides_give_the_same_bits(void **state)
{
    clf_test *t = *state;

    for (int mode = 0; mode < 2; mode++) {
        const clf_visual_vocabulary_desc d = describe(t, (clf_vocabulary_mode)mode, 32);
        clf_visual_vocabulary *m = create(t, &d);
        const clf_tensor wide = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, DV));
        const clf_tensor vision = clf_slice(t->stream, wide, 1, 2, 5);
        const clf_tensor dense = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DV));
        const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DT));
        const clf_tensor part = clf_slice(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 8, DT)), 1, 3, 5);

        clf_copy(t->stream, vision, dense);
        clf_visual_vocabulary_forward(t->stream, m, dense, tokens);
        clf_visual_vocabulary_forward(t->stream, m, vision, part);
        clf_test_same_bits(t, part, tokens);
        clf_visual_vocabulary_destroy(m);
    }
}

static void nan_stays_in_its_row(void **state)
{
    clf_test *t = *state;
    const clf_visual_vocabulary_desc d = describe(t, CLF_VOCABULARY_SOFTMAX, 32);
    clf_visual_vocabulary *m = create(t, &d);
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(3, DT));
    double x[3 * DV];

    for (size_t i = 0; i < CLF_COUNT(x); i++)
        x[i] = clf_test_random(t);
    x[DV + 4] = NAN;
    clf_visual_vocabulary_forward(t->stream, m, clf_test_from(t, CLF_F32, CLF_DIMS(3, DV), x), tokens);
    const double *y = clf_test_values(t, tokens);
    for (size_t i = 0; i < 3 * DT; i++)
        assert_true(isnan(y[i]) == (i / DT == 1));
    clf_visual_vocabulary_destroy(m);
}

static void refused(clf_test *t, const clf_visual_vocabulary_desc *d, const char *message)
{
    clf_visual_vocabulary *m = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_visual_vocabulary_create(t->ctx, d, &m, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(m);
}

static void descriptors_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_visual_vocabulary_desc good = describe(t, CLF_VOCABULARY_SOFTMAX, 32);
    clf_visual_vocabulary_desc d = good;

    d.head.rank = 1;
    refused(t, &d, "head.weight is f32[70]; want [out, in], both above 0");
    d = good;
    d.table.dim[0] = 69;
    refused(t, &d, "visual_vocabulary: table is f32[69, 9]; want 70 rows, as head f32[70, 12] has");
    d = good;
    d.table.data = NULL;
    refused(t, &d, "visual_vocabulary: head f32[70, 12] and table f32[70, 9] have no data; want host memory");
    d = good;
    d.mode = (clf_vocabulary_mode)2;
    refused(t, &d, "visual_vocabulary: mode is 2; want softmax 0 or argmax 1");
    d = good;
    d.block = 0;
    refused(t, &d, "visual_vocabulary: block is 0; want 1 or more");
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_visual_vocabulary_desc d = describe(t, CLF_VOCABULARY_SOFTMAX, 32);
    clf_visual_vocabulary *m = create(t, &d);

    clf_visual_vocabulary_forward(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(2, 11)),
                                  clf_test_empty(t, CLF_F32, CLF_DIMS(2, DT)));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "visual_vocabulary: vision is f32[2, 11]; want [..., 12]");
    clf_visual_vocabulary_forward(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(2, DV)),
                                  clf_test_empty(t, CLF_F32, CLF_DIMS(3, DT)));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "visual_vocabulary: tokens is f32[3, 9]; want f32[2, 9] or the type of vision f32[2, 12]");
    assert_int_equal(clf_visual_vocabulary_size(m), V);
    assert_int_equal(clf_visual_vocabulary_vision_width(m), DV);
    assert_int_equal(clf_visual_vocabulary_text_width(m), DT);
    clf_visual_vocabulary_destroy(m);
    clf_visual_vocabulary_destroy(NULL);
}

/* ---- a failing call ---- */

typedef struct work {
    const clf_visual_vocabulary_desc *desc;
    clf_tensor vision, tokens;
    float result[6 * DT];
} work;

static clf_status create_and_run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    work *w = user;
    clf_visual_vocabulary *m = NULL;
    clf_status status = clf_visual_vocabulary_create(t->ctx, w->desc, &m, err);

    if (status == CLF_OK) {
        clf_visual_vocabulary_forward(s, m, w->vision, w->tokens);
        clf_download(s, w->tokens, w->result);
        status = clf_stream_finish(s, err);
    }
    clf_visual_vocabulary_destroy(m);
    return status;
}

static void walk(clf_test *t, clf_vocabulary_mode mode)
{
    const clf_visual_vocabulary_desc d = describe(t, mode, 32);
    work user = { .desc = &d,
                  .vision = clf_test_normal(t, CLF_F32, CLF_DIMS(6, DV)),
                  .tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(6, DT)) };
    const clf_walk w = { .name = "visual_vocabulary",
                         .work = create_and_run,
                         .user = &user,
                         .result = user.result,
                         .bytes = sizeof user.result,
                         .beside = true,
                         .arguments = 30 };

    assert_true(clf_walk_calls(t, &w) > 0);
    assert_true(clf_walk_allocations(t, &w) > 0);
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    walk(*state, CLF_VOCABULARY_SOFTMAX);
    walk(*state, CLF_VOCABULARY_ARGMAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(blocks_of_any_size_give_the_softmax),
        CLF_TEST(tokens_of_any_number_are_computed),
        CLF_TEST(argmax_takes_the_lower_of_equal_entries),
        CLF_TEST(views_on_both_sides_give_the_same_bits),
        CLF_TEST(nan_stays_in_its_row),
        CLF_TEST(descriptors_that_contradict_themselves_are_refused),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
