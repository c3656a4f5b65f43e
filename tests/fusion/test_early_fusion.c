/* early_fusion: what the oracle's cases (tests/data/early_fusion_*) do not say: T = 0, absent parts, refusals, faults. */
#include <clfusion/early_fusion.h>

#include "harness.h"

enum { V = 7, D = 6, P = 2 };

static clf_host_tensor numbers(clf_test *t, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const int64_t count = a * (rank > 1 ? b : 1) * (rank > 2 ? c * d : 1);
    float *values = clf_test_memory(t, (size_t)count * sizeof *values);

    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((int)(clf_test_random(t) * 9) - 4);
    return (clf_host_tensor){ values, CLF_F32, rank, { a, b, c, d } };
}

/* Pixels of one channel, ids, every table. */
static clf_early_fusion_desc describe(clf_test *t)
{
    clf_early_fusion_desc d = clf_early_fusion_desc_default();

    d.width = D;
    d.patch.weight = numbers(t, 4, D, 1, P, P);
    d.text_embed = numbers(t, 2, V, D, 0, 0);
    d.vision_positions = numbers(t, 2, 4, D, 0, 0);
    d.text_positions = numbers(t, 2, 3, D, 0, 0);
    d.modalities = numbers(t, 2, 2, D, 0, 0);
    return d;
}

static clf_early_fusion *create(clf_test *t, const clf_early_fusion_desc *d)
{
    clf_early_fusion *m = NULL;
    clf_error err = { 0 };

    if (clf_early_fusion_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

/* table[ids] + positions + modality 1, in whole numbers. */
static const double *words_of(clf_test *t, const clf_early_fusion_desc *d, const int64_t *ids, int64_t B, int64_t T)
{
    const float *table = d->text_embed.data, *position = d->text_positions.data, *modality = d->modalities.data;
    double *want = clf_test_memory(t, (size_t)(B * T * D) * sizeof *want);

    for (int64_t i = 0; i < B * T * D; i++)
        want[i] = (double)(table[ids[i / D] * D + i % D] + position[i % (T * D)] + modality[D + i % D]);
    return want;
}

static void words_have_their_position_and_modality(void **state)
{
    static const int64_t ids[] = { 0, 6, 3, 2, 2, 5 };
    clf_test *t = *state;
    clf_early_fusion_desc d = describe(t);
    clf_early_fusion *m = create(t, &d);
    const clf_tensor words = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, D));

    clf_early_fusion_text(t->stream, m, (clf_tensor){ 0 }, ids, words);
    clf_test_exact(t, words, words_of(t, &d, ids, 2, 3));
    clf_early_fusion_text(t->stream, m, (clf_tensor){ 0 }, NULL, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 0, D)));
    clf_early_fusion_destroy(m);
}

/* Halves of one sequence written apart are the halves of both together. */
static void both_sides_may_be_views_of_one_sequence(void **state)
{
    static const int64_t ids[] = { 4, 1 };
    clf_test *t = *state;
    clf_early_fusion_desc d = describe(t);
    clf_early_fusion *m = create(t, &d);
    const clf_tensor picture = clf_test_integers(t, CLF_F16, CLF_DIMS(1, 1, 4, 4), 3);
    const clf_tensor fused = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 6, D));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, D));

    clf_early_fusion_vision(t->stream, m, picture, tokens);
    clf_early_fusion_vision(t->stream, m, picture, clf_slice(t->stream, fused, 1, 0, 4));
    clf_early_fusion_text(t->stream, m, (clf_tensor){ 0 }, ids, clf_slice(t->stream, fused, 1, 4, 2));
    clf_test_same_bits(t, clf_slice(t->stream, fused, 1, 0, 4), tokens);
    clf_test_exact(t, clf_slice(t->stream, fused, 1, 4, 2), words_of(t, &d, ids, 1, 2));
    clf_early_fusion_destroy(m);
}

static void features_without_any_tensor_pass_through(void **state)
{
    clf_test *t = *state;
    clf_early_fusion_desc d = clf_early_fusion_desc_default();
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, D));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, D));

    d.width = D;
    clf_early_fusion *m = create(t, &d);
    clf_early_fusion_vision(t->stream, m, x, y);
    clf_test_same_bits(t, y, x);
    clf_early_fusion_text(t->stream, m, y, NULL, x);
    clf_test_same_bits(t, y, x);
    clf_early_fusion_destroy(m);
}

static void a_mask_that_is_missing_is_all_ones(void **state)
{
    static const int64_t text[] = { 1, 0, 7, 0 };
    int64_t mask[10];

    (void)state;
    clf_early_fusion_mask(NULL, text, 2, 3, 2, mask);
    assert_memory_equal(mask, ((const int64_t[]){ 1, 1, 1, 1, 0, 1, 1, 1, 1, 0 }), sizeof mask);
    clf_early_fusion_mask(text, NULL, 2, 2, 1, mask);
    assert_memory_equal(mask, ((const int64_t[]){ 1, 0, 1, 1, 0, 1 }), 6 * sizeof *mask);
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    static const int64_t ids[] = { 1, 7, 0, 0 };
    clf_test *t = *state;
    clf_early_fusion_desc d = describe(t);
    clf_early_fusion *m = create(t, &d);
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, D));
    const clf_tensor words = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, D)), none = { 0 };

    clf_early_fusion_vision(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3, 4, 4)), tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "early_fusion: vision is f32[1, 3, 4, 4]; want pixels [B, 1, H, W]");
    clf_early_fusion_vision(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 4, 5)), tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "early_fusion: vision is f32[1, 1, 4, 5]; want height and width divisible by 2, the side of "
                          "a patch");
    clf_early_fusion_vision(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 4, 6)), tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "early_fusion: vision is f32[1, 1, 4, 6], 6 tokens; want at most 4, the rows of its table of "
                          "positions");
    clf_early_fusion_vision(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 4, 2)), tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "early_fusion: tokens is f32[1, 4, 6]; want f32[1, 2, 6]");
    clf_early_fusion_text(t->stream, m, none, ids, words);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "early_fusion: text_ids[0, 1] is 7; want 0 to 6, the vocabulary");
    clf_early_fusion_text(t->stream, m, none, NULL, words);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "early_fusion: text and text_ids are absent; want one of them");
    clf_early_fusion_text(t->stream, m, tokens, ids, words);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "early_fusion: text and text_ids are given; want one of them");
    clf_early_fusion_text(t->stream, m, none, ids, tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "early_fusion: text is f32[1, 4, 6], 4 tokens; want at most 3, the rows of its table of "
                          "positions");
    clf_early_fusion_destroy(m);
}

static void refused(clf_test *t, const clf_early_fusion_desc *d, const char *message)
{
    clf_early_fusion *m = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_early_fusion_create(t->ctx, d, &m, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(m);
}

static void descriptions_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_early_fusion_desc good = describe(t);
    clf_early_fusion_desc d = good;

    d.width = 0;
    refused(t, &d, "early_fusion: width is 0; want 1 or more");
    d = good;
    d.vision.weight = numbers(t, 2, D, 3, 0, 0);
    refused(t, &d, "early_fusion: patch and vision have weights both; want one, for pixels or for features");
    d.patch.weight = (clf_host_tensor){ 0 };
    d.vision.weight = numbers(t, 2, 5, 3, 0, 0);
    refused(t, &d, "early_fusion: vision.weight is f32[5, 3]; want 6 rows, the width");
    d = good;
    d.patch.weight = numbers(t, 4, D, 1, 2, 3);
    refused(t, &d, "early_fusion: patch.weight is f32[6, 1, 2, 3]; want [6, C, patch, patch]");
    d = good;
    d.modalities = numbers(t, 2, 3, D, 0, 0);
    refused(t, &d, "early_fusion: modalities is f32[3, 6]; want [2, 6], pictures and text");
    d = good;
    d.text_positions = numbers(t, 2, 3, 5, 0, 0);
    refused(t, &d, "early_fusion: text_positions is f32[3, 5]; want [rows, 6]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(words_have_their_position_and_modality),   CLF_TEST(both_sides_may_be_views_of_one_sequence),
        CLF_TEST(features_without_any_tensor_pass_through), CLF_TEST(a_mask_that_is_missing_is_all_ones),
        CLF_TEST(calls_that_do_not_fit_are_refused),        CLF_TEST(descriptions_that_do_not_fit_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
