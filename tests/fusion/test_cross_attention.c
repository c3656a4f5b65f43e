/* Cross-attention layers and the memory of pictures: relations that need no tolerance.
 * Their values are compared with the references of tests/data in tests/models. */
#include <string.h>

#include "cross.h"

/* A module of every form, with all that it can have. */
static const struct {
    clf_cross_form form;
    int flags;
} modules[] = { { CLF_CROSS_PLAIN, BIASES },
                { CLF_CROSS_RESIDUAL, GATES | FEED_FORWARD | GATED_UNIT | HEAD_NORMS },
                { CLF_CROSS_RESIDUAL, CHANNELS | FEED_FORWARD | BIASES | PROJECTION },
                { CLF_CROSS_POST_NORM, FEED_FORWARD | BIASES } };

static void need_panel(const clf_test *t)
{
    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast routes by the sizes and promises no order of additions");
}

/* hidden of all layers, each on the memory. */
static clf_tensor walk(clf_test *t, const clf_cross_attention *c, clf_tensor text, const clf_visual_memory *m,
                       const clf_cross_options *options)
{
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, clf_tensor_dims(text));

    for (int32_t i = 0; i < clf_cross_attention_layers(c); i++)
        clf_cross_attention_forward(t->stream, c, i, i == 0 ? text : hidden, m, options, hidden);
    return hidden;
}

static void layers_on_a_memory_equal_the_stack_bit_for_bit(void **state)
{
    clf_test *t = *state;

    need_panel(t);
    for (size_t i = 0; i < CLF_COUNT(modules); i++) {
        clf_cross_attention *c = create(t, describe(t, modules[i].form, modules[i].flags));
        clf_visual_memory *m = room(c, 2, 9, CLF_F32); /* room for more than the 7 that are written */
        const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, DT)), media = pictures(t, c, 2, 7);
        const clf_tensor stacked = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DT));

        assert_int_equal(clf_cross_attention_layers(c), LAYERS);
        assert_int_equal(clf_cross_attention_text_width(c), DT);
        clf_cross_attention_stack(t->stream, c, text, media, NULL, 0, stacked);
        clf_visual_memory_append(t->stream, m, media);
        assert_int_equal(clf_visual_memory_keys(m), 7);
        clf_test_same_bits(t, walk(t, c, text, m, NULL), stacked);
        clf_visual_memory_destroy(m);
        clf_cross_attention_destroy(c);
    }
}

static void pictures_one_by_one_equal_all_at_once_bit_for_bit(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    static const int64_t cuts[] = { 0, 3, 3, 4, 9 };
    clf_test *t = *state;

    need_panel(t);
    for (size_t i = 0; i < CLF_COUNT(modules) * CLF_COUNT(types); i++) {
        clf_cross_attention *c = create(t, describe(t, modules[i / 3].form, modules[i / 3].flags));
        clf_visual_memory *whole = room(c, 3, 9, types[i % 3]), *parts = room(c, 3, 12, types[i % 3]);
        const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 2, DT)), media = pictures(t, c, 3, 9);

        clf_visual_memory_append(t->stream, parts, clf_slice(t->stream, media, 1, 2, 7)); /* to be forgotten */
        clf_visual_memory_clear(parts);
        clf_visual_memory_append(t->stream, whole, media);
        for (size_t k = 0; k + 1 < CLF_COUNT(cuts); k++)
            clf_visual_memory_append(t->stream, parts, clf_slice(t->stream, media, 1, cuts[k], cuts[k + 1] - cuts[k]));
        clf_test_same_bits(t, walk(t, c, text, parts, NULL), walk(t, c, text, whole, NULL));
        clf_visual_memory_destroy(whole);
        clf_visual_memory_destroy(parts);
        clf_cross_attention_destroy(c);
    }
}

/* Row b and position t of the result depend on nothing else. */
static void batches_and_steps_equal_rows_of_their_own_bit_for_bit(void **state)
{
    clf_test *t = *state;

    need_panel(t);
    for (size_t i = 0; i < CLF_COUNT(modules); i++) {
        clf_cross_attention *c = create(t, describe(t, modules[i].form, modules[i].flags));
        const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 5, DT)), media = pictures(t, c, 3, 7);
        const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 5, DT));
        const clf_tensor alone = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 5, DT));

        clf_cross_attention_stack(t->stream, c, text, media, NULL, 0, all);
        for (int64_t b = 0; b < 3; b++) {
            clf_visual_memory *m = room(c, 1, 7, CLF_F32);
            const clf_tensor row = clf_slice(t->stream, text, 0, b, 1), to = clf_slice(t->stream, alone, 0, b, 1);

            clf_visual_memory_append(t->stream, m, clf_slice(t->stream, media, 0, b, 1));
            for (int32_t l = 0; l < LAYERS; l++)
                for (int64_t k = 0; k < 5; k++)
                    clf_cross_attention_forward(t->stream, c, l, clf_slice(t->stream, l == 0 ? row : to, 1, k, 1), m,
                                                NULL, clf_slice(t->stream, to, 1, k, 1));
            assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
            clf_visual_memory_destroy(m);
        }
        clf_test_same_bits(t, alone, all);
        clf_cross_attention_destroy(c);
    }
}

static void a_gate_of_zero_gives_the_text_bit_for_bit(void **state)
{
    static const int kinds[] = { GATES, CHANNELS };
    clf_test *t = *state;

    for (size_t i = 0; i < 2 * CLF_COUNT(kinds); i++) {
        description *d = describe(t, CLF_CROSS_RESIDUAL, kinds[i / 2] | BIASES | (i % 2 == 1 ? FEED_FORWARD : 0));
        const int64_t count = kinds[i / 2] == CHANNELS ? DT : 1;

        for (int k = 0; k < LAYERS; k++) {
            d->layers[k].attention.gate.data = clf_test_memory(t, (size_t)count * sizeof(float)); /* zeros */
            if (i % 2 == 1)
                d->layers[k].feed_forward.gate.data = d->layers[k].attention.gate.data;
        }
        clf_cross_attention *c = create(t, d);
        const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, DT));
        const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DT));

        clf_cross_attention_stack(t->stream, c, text, pictures(t, c, 2, 7), NULL, 0, hidden);
        clf_test_same_bits(t, hidden, text);
        clf_cross_attention_destroy(c);
    }
}

/* An alpha for each channel, all equal, is a single alpha.  tanh(alpha) w rounds once more: 3 layers of sums of 20. */
static void equal_gates_of_channels_are_one_gate(void **state)
{
    clf_test *t = *state;
    description *d = describe(t, CLF_CROSS_RESIDUAL, GATES | FEED_FORWARD | BIASES);
    clf_cross_attention *single = create(t, d), *channels;
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, DT)), media = pictures(t, single, 2, 7);
    const clf_tensor want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DT));
    const clf_tensor got = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, DT));

    for (int k = 0; k < LAYERS; k++) {
        float *alpha = clf_test_memory(t, DT * sizeof *alpha), *beta = clf_test_memory(t, DT * sizeof *beta);

        for (int i = 0; i < DT; i++) {
            alpha[i] = *(const float *)d->layers[k].attention.gate.data;
            beta[i] = *(const float *)d->layers[k].feed_forward.gate.data;
        }
        d->layers[k].attention.gate = (clf_host_tensor){ alpha, CLF_F32, 1, { DT } };
        d->layers[k].feed_forward.gate = (clf_host_tensor){ beta, CLF_F32, 1, { DT } };
    }
    channels = create(t, d);
    clf_cross_attention_stack(t->stream, single, text, media, NULL, 0, want);
    clf_cross_attention_stack(t->stream, channels, text, media, NULL, 0, got);
    clf_test_close(t, got, clf_test_values(t, want), 1e-5, 1e-5);
    clf_cross_attention_destroy(single);
    clf_cross_attention_destroy(channels);
}

static void rows_that_are_left_out_have_no_feed_forward(void **state)
{
    static const int32_t rows[] = { 0, -1, 2, 3, -1, -1 };
    clf_test *t = *state;
    description *d = describe(t, CLF_CROSS_RESIDUAL, GATES | FEED_FORWARD | GATED_UNIT | BIASES);
    clf_cross_options options = clf_cross_options_default();

    d->desc.layer_count = 1;
    clf_cross_attention *with = create(t, d);
    d->layers[0].feed_forward.up.weight.dtype = CLF_DTYPE_NONE;
    clf_cross_attention *without = create(t, d);
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT)), media = pictures(t, with, 2, 7);
    clf_tensor got = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT)),
               all = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));
    clf_tensor none = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));

    options.feed_forward_rows = clf_test_i32(t, CLF_DIMS(2, 3), rows);
    clf_cross_attention_stack(t->stream, with, text, media, &options, 0, got);
    clf_cross_attention_stack(t->stream, with, text, media, NULL, 0, all);
    clf_cross_attention_stack(t->stream, without, text, media, NULL, 0, none);
    for (int64_t i = 0; i < 6; i++)
        clf_test_same_bits(
            t, clf_slice(t->stream, clf_slice(t->stream, got, 0, i / 3, 1), 1, i % 3, 1),
            clf_slice(t->stream, clf_slice(t->stream, rows[i] < 0 ? none : all, 0, i / 3, 1), 1, i % 3, 1));
    clf_cross_attention_destroy(with);
    clf_cross_attention_destroy(without);
}

/* Whole numbers below 2^8 lie exactly in every type. */
static void whole_keys_and_values_are_exact_in_a_half_memory(void **state)
{
    static const clf_dtype types[] = { CLF_F16, CLF_BF16 };
    clf_test *t = *state;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES | WHOLE_NUMBERS));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, DT));
    const clf_tensor media = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 7, DM), 2);

    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        clf_visual_memory *full = room(c, 2, 7, CLF_DTYPE_NONE), *half = room(c, 2, 7, types[i]);

        clf_visual_memory_append(t->stream, full, media);
        clf_visual_memory_append(t->stream, half, media);
        clf_test_same_bits(t, walk(t, c, text, half, NULL), walk(t, c, text, full, NULL));
        clf_visual_memory_destroy(full);
        clf_visual_memory_destroy(half);
    }
    clf_cross_attention_destroy(c);
}

/* Keys and values lose half an ulp: scores of about 2, weights of about 1, two layers behind: some 30 half ulps. */
static void a_half_memory_rounds(void **state)
{
    static const clf_dtype types[] = { CLF_F16, CLF_BF16 };
    static const double half_ulp[] = { 0x1p-12, 0x1p-9 };
    clf_test *t = *state;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, DT)), media = pictures(t, c, 2, 7);

    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        clf_visual_memory *full = room(c, 2, 7, CLF_DTYPE_NONE), *half = room(c, 2, 7, types[i]);

        clf_visual_memory_append(t->stream, full, media);
        clf_visual_memory_append(t->stream, half, media);
        const clf_tensor exact = walk(t, c, text, full, NULL), rounded = walk(t, c, text, half, NULL);
        const double *a = clf_test_values(t, exact), *b = clf_test_values(t, rounded);
        double difference = 0;

        for (size_t k = 0; k < (size_t)(2 * 5 * DT); k++)
            difference = fmax(difference, fabs(a[k] - b[k]));
        assert_true(difference > half_ulp[i] / 4); /* it was rounded */
        if (difference > 30 * half_ulp[i])
            fail_msg("%s: differs by %g", clf_dtype_name(types[i]), difference);
        clf_visual_memory_destroy(full);
        clf_visual_memory_destroy(half);
    }
    clf_cross_attention_destroy(c);
}

static void text_in_half_types_is_read_and_written(void **state)
{
    static const clf_dtype types[] = { CLF_F16, CLF_BF16 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(modules) * CLF_COUNT(types); i++) {
        clf_cross_attention *c = create(t, describe(t, modules[i / 2].form, modules[i / 2].flags));
        const clf_tensor text = clf_test_normal(t, types[i % 2], CLF_DIMS(2, 3, DT)), media = pictures(t, c, 2, 7);
        const clf_tensor same = clf_test_from(t, CLF_F32, CLF_DIMS(2, 3, DT), clf_test_given(t, text));
        const clf_tensor want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));
        const clf_tensor full = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));

        clf_cross_attention_stack(t->stream, c, same, media, NULL, 0, want);
        clf_cross_attention_stack(t->stream, c, text, media, NULL, 0, full);
        clf_cross_attention_stack(t->stream, c, text, media, NULL, 0, text); /* in place */
        clf_test_close(t, full, clf_test_values(t, want), 1e-5, 1e-6);
        clf_test_close(t, text, clf_test_values(t, want), 1e-5, 1e-6); /* and half an ulp of its type */
        clf_cross_attention_destroy(c);
    }
}

static void what_is_hidden_may_be_nan(void **state)
{
    static const int32_t lengths[] = { 4, 7 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(modules); i++) {
        clf_cross_attention *c = create(t, describe(t, modules[i].form, modules[i].flags));
        const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT)), media = pictures(t, c, 2, 7);
        const clf_tensor spoilt = clf_test_empty(t, CLF_F32, clf_tensor_dims(media)); /* NaN */
        const clf_tensor want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));
        const clf_tensor got = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));
        clf_cross_options options = clf_cross_options_default();

        options.attention.key_lengths = clf_test_i32(t, CLF_DIMS(2), lengths);
        clf_copy(t->stream, clf_slice(t->stream, media, 1, 0, 4), clf_slice(t->stream, spoilt, 1, 0, 4));
        clf_copy(t->stream, clf_slice(t->stream, media, 0, 1, 1), clf_slice(t->stream, spoilt, 0, 1, 1));
        clf_cross_attention_stack(t->stream, c, text, media, &options, 0, want);
        clf_cross_attention_stack(t->stream, c, text, spoilt, &options, 0, got);
        clf_test_same_bits(t, got, want);
        clf_cross_attention_destroy(c);
    }
}

/* x + g (out 0 + b): what a position gets that sees nothing. */
static void without_keys_the_branch_is_the_bias(void **state)
{
    clf_test *t = *state;
    description *d = describe(t, CLF_CROSS_RESIDUAL, GATES | BIASES);

    d->desc.layer_count = 1;
    clf_cross_attention *c = create(t, d);
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT));
    const double g = (double)(float)tanh((double)*(const float *)d->layers[0].attention.gate.data);
    const float *bias = d->layers[0].attention.out.bias.data;
    const double *x = clf_test_given(t, text);
    double *want = clf_test_memory(t, sizeof *want * 2 * 3 * DT);

    for (int64_t K = 0; K <= 4; K += 4) { /* nothing written, into no room and into some */
        clf_visual_memory *m = room(c, 2, K, CLF_F32);

        for (int i = 0; i < 2 * 3 * DT; i++)
            want[i] = x[i] + g * (double)bias[i % DT];
        clf_visual_memory_append(t->stream, m, pictures(t, c, 2, 0));
        clf_test_close(t, walk(t, c, text, m, NULL), want, 1e-6, 1e-7);
        clf_visual_memory_destroy(m);
    }
    clf_cross_attention_destroy(c);
}

static void without_text_nothing_happens(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(modules); i++) {
        clf_cross_attention *c = create(t, describe(t, modules[i].form, modules[i].flags));
        const clf_tensor text = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 0, DT));
        const clf_tensor batch = clf_test_empty(t, CLF_F32, CLF_DIMS(0, 4, DT));

        clf_cross_attention_stack(t->stream, c, text, pictures(t, c, 2, 7), NULL, 0, text);
        clf_cross_attention_stack(t->stream, c, batch, pictures(t, c, 0, 7), NULL, 0, batch);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        clf_cross_attention_destroy(c);
    }
}

/* Weights are those of the layer that was asked for: rows sum to 1, and they are not another layer's. */
static void weights_are_those_of_the_layer(void **state)
{
    clf_test *t = *state;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 2, DT)), media = pictures(t, c, 1, 7);
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, DT));
    const clf_tensor first = clf_test_empty(t, CLF_F32, CLF_DIMS(1, H, 2, 7));
    const clf_tensor last = clf_test_empty(t, CLF_F32, CLF_DIMS(1, H, 2, 7));
    const clf_tensor direct = clf_test_empty(t, CLF_F32, CLF_DIMS(1, H, 2, 7));
    clf_cross_options options = clf_cross_options_default();
    clf_visual_memory *m = room(c, 1, 7, CLF_F32);

    options.attention.weights = first;
    clf_cross_attention_stack(t->stream, c, text, media, &options, 0, hidden);
    options.attention.weights = last;
    clf_cross_attention_stack(t->stream, c, text, media, &options, LAYERS - 1, hidden);
    options.attention.weights = direct;
    clf_visual_memory_append(t->stream, m, media);
    clf_cross_attention_forward(t->stream, c, 0, text, m, &options, hidden);

    const double *a = clf_test_values(t, first), *b = clf_test_values(t, last);
    double difference = 0;

    for (int r = 0; r < H * 2; r++) {
        double sum = 0;
        for (int k = 0; k < 7; k++) {
            sum += a[r * 7 + k];
            difference = fmax(difference, fabs(a[r * 7 + k] - b[r * 7 + k]));
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
    assert_true(difference > 1e-3);
    clf_test_close(t, direct, a, 1e-5, 1e-6);
    clf_visual_memory_destroy(m);
    clf_cross_attention_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(layers_on_a_memory_equal_the_stack_bit_for_bit),
        CLF_TEST(pictures_one_by_one_equal_all_at_once_bit_for_bit),
        CLF_TEST(batches_and_steps_equal_rows_of_their_own_bit_for_bit),
        CLF_TEST(a_gate_of_zero_gives_the_text_bit_for_bit),
        CLF_TEST(equal_gates_of_channels_are_one_gate),
        CLF_TEST(rows_that_are_left_out_have_no_feed_forward),
        CLF_TEST(whole_keys_and_values_are_exact_in_a_half_memory),
        CLF_TEST(a_half_memory_rounds),
        CLF_TEST(text_in_half_types_is_read_and_written),
        CLF_TEST(what_is_hidden_may_be_nan),
        CLF_TEST(without_keys_the_branch_is_the_bias),
        CLF_TEST(without_text_nothing_happens),
        CLF_TEST(weights_are_those_of_the_layer),
    };

    return CLF_TEST_MAIN(tests);
}
