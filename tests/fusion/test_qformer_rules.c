/* The Q-Former: what is refused, every failure in turn, and a steady state without allocations. */
#include "qformer_desc.h"
#include "shims.h"
#include "walk.h"

/* ---- rules ---- */

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

/* ---- failures ---- */

typedef struct call {
    const description *d;
    clf_tensor vision, hidden;
    clf_qformer_options options;
    const int64_t *ids;
    float result[2 * (M + T) * D];
} call;

static call prepare(clf_test *t)
{
    call c = { .d = describe(t, true), .options = clf_qformer_options_default(), .ids = random_ids(t, 2 * T) };

    c.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, DV));
    c.hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M + T, D));
    c.options.objective = CLF_QFORMER_ITG;
    c.options.text_mask = mask(t, text_open[0], T);
    return c;
}

/* A module's life: created, run, its rows read, destroyed. */
static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    call *c = user;
    clf_qformer *q = NULL;
    clf_status status = clf_qformer_create(t->ctx, &c->d->desc, &q, err);

    if (status == CLF_OK) {
        clf_qformer_forward(s, q, c->vision, c->ids, T, &c->options, c->hidden);
        clf_download(s, c->hidden, c->result);
        status = clf_stream_finish(s, err);
    }
    clf_qformer_destroy(q);
    return status;
}

static clf_walk walk(call *c)
{
    return (clf_walk){ "qformer", live, c, c->result, sizeof c->result, .beside = true, .again = 8 };
}

static void an_error_at_any_call_is_reported_and_nothing_leaks(void **state)
{
    clf_test *t = *state;
    call c = prepare(t);
    clf_walk w = walk(&c);

    w.arguments = 200; /* the layers repeat one pattern */
    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 10 : 200));
}

static void an_allocation_that_fails_anywhere_is_out_of_memory(void **state)
{
    clf_test *t = *state;
    call c = prepare(t);
    const clf_walk w = walk(&c);

    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

static void a_second_call_allocates_nothing(void **state)
{
    clf_test *t = *state;
    const call c = prepare(t);
    clf_qformer *q = create(t, c.d);
    const clf_tensor queries = clf_slice(t->stream, c.hidden, 1, 0, M);
    clf_shim_counts before = { 0 }, after;

    for (int i = 0; i < 3; i++) {
        clf_qformer_forward(t->stream, q, c.vision, NULL, 0, NULL, queries);
        clf_qformer_forward(t->stream, q, c.vision, c.ids, T, &c.options, c.hidden);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        if (i == 0)
            before = clf_shims_count();
    }
    after = clf_shims_count();
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.programs_built, before.programs_built);
    assert_int_equal(after.kernels, before.kernels);
    before = after;
    clf_qformer_forward(t->stream, q, c.vision, NULL, 0, NULL, queries);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    assert_int_equal(clf_shims_count().allocated, before.allocated); /* without text no host memory either */
    clf_qformer_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(messages_name_module_and_layer),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(an_error_at_any_call_is_reported_and_nothing_leaks),
        CLF_TEST(an_allocation_that_fails_anywhere_is_out_of_memory),
        CLF_TEST(a_second_call_allocates_nothing),
    };

    return CLF_TEST_MAIN(tests);
}
