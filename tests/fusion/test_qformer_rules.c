/* The Q-Former: what is refused. */
#include "qformer_desc.h"

static void refused_desc(clf_test *t, const description *d, const char *message)
{
    clf_qformer *q = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_qformer_create(t->ctx, &d->desc, &q, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(q);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    description *d = describe(t, true), good = *d;

    d->layers[0].cross.q.weight.dtype = d->layers[2].cross.q.weight.dtype = CLF_DTYPE_NONE;
    refused_desc(t, d, "qformer: no layer has cross-attention; want one at least");
    memcpy(d->layers, good.layers, sizeof d->layers);
    d->layers[1].text_feed_forward.up.weight.dtype = CLF_DTYPE_NONE;
    refused_desc(t, d,
                 "qformer: layers[1].text_feed_forward is absent and word_embeddings f32[30, 12]; want both or "
                 "none");
    memcpy(d->layers, good.layers, sizeof d->layers);
    d->layers[2].self.out = layer(t, D + 1, D);
    refused_desc(t, d, "qformer: layers[2].self makes rows of 13 of rows of 12; want 12, the width of queries");
    memcpy(d->layers, good.layers, sizeof d->layers);
    d->layers[0].self.heads = 5;
    refused_desc(t, d, "qformer: layers[0].self.q.weight is f32[12, 12]; want a multiple of 5 rows, the heads");
    memcpy(d->layers, good.layers, sizeof d->layers);
    d->desc.position_embeddings = host(t, CLF_DIMS(P, D - 1), 1, 0);
    refused_desc(t, d, "qformer: position_embeddings is f32[16, 11]; want [P, 12], P of 1 to 2^31 - 1");
    d->desc = good.desc;
    d->desc.queries = host(t, CLF_DIMS(2, M, D), 1, 0);
    d->desc.layers = d->layers;
    refused_desc(t, d, "qformer: queries is f32[2, 5, 12]; want [M, D], both above 0");
    d->desc.queries.rank = 1 << 20; /* dim has six entries */
    refused_desc(t, d, "qformer: queries is f32[2, 5, 12, 0, 0, 0]; want [M, D], both above 0");
}

/* Layers were counted among those with cross-attention, and what came of the weights did not name the module. */
static void messages_name_module_and_layer(void **state)
{
    clf_test *t = *state;
    description *d = describe(t, true), good = *d;
    clf_qformer *q = NULL;
    clf_error err = { 0 };

    d->layers[2].cross.k = layer(t, D, DV + 1);
    d->layers[2].cross.v = layer(t, D, DV + 1);
    refused_desc(t, d, "qformer: layers[2].cross.k.weight is f32[12, 11]; want 10 columns, as layers[0].cross has");
    memcpy(d->layers, good.layers, sizeof d->layers);
    d->desc.word_embeddings.dtype = CLF_I32;
    assert_int_equal(clf_qformer_create(t->ctx, &d->desc, &q, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "qformer: parameter: word_embeddings is i32[30, 12]; want f32, f16, bf16 or f64");
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    clf_qformer *q = create(t, describe(t, true)), *no_text = create(t, describe(t, false));
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, DV));
    clf_qformer_options options = clf_qformer_options_default();
    int64_t ids[2 * P + 2] = { 0 };
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M + T, D)), none = { 0 };
    const clf_tensor wide = clf_test_empty(t, CLF_F32, CLF_DIMS(2, N, DV + 1));
    clf_stream *s = t->stream;
    clf_tensor shape;

    clf_qformer_forward(s, q, wide, ids, T, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "qformer: vision is f32[2, 7, 11]; want [2, N, 10]");
    clf_qformer_forward(s, q, vision, ids, T - 1, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "qformer: hidden is f32[2, 11, 12]; want f32[2, 10, 12]");
    clf_qformer_forward(s, q, none, NULL, 0, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "qformer: vision is absent and T is 0; want vision, text or both");
    clf_qformer_forward(s, q, vision, ids, P + 1, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "qformer: T is 17; want at most 16, the rows of position_embeddings");
    clf_qformer_forward(s, no_text, vision, ids, T, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "qformer: T is 6; want 0: the module takes no text");
    options.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(2, HEADS, M, N));
    options.weights_of = 1;
    clf_qformer_forward(s, q, vision, ids, T, &options, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "qformer: weights of layer 1's cross-attention are asked for, which "
                          "has none; want a layer that has");
    options.weights_of_self = true;
    assert_int_equal(clf_qformer_check(q, vision, 2, T, &options, &shape, NULL), CLF_INVALID_ARGUMENT);
    clf_qformer_forward(s, q, vision, ids, T, &options, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "qformer: weights is f32[2, 3, 5, 7]; want dense f32[2, 3, 11, 11]");
    assert_int_equal(clf_qformer_check(q, none, INT64_MAX / 2, T, NULL, &shape, NULL), CLF_INVALID_ARGUMENT);
    ids[T + 2] = V;
    clf_qformer_forward(s, q, vision, ids, T, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "qformer: text_ids[1, 2] is 30; want 0 to 29, the vocabulary");
    clf_qformer_destroy(q);
    clf_qformer_destroy(no_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(messages_name_module_and_layer),
        CLF_TEST(calls_that_do_not_fit_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
