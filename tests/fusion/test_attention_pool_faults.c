/* Attention pools: memory of repeated calls, calls that fail, descriptions and calls that are refused. */
#include "pool.h"
#include "shims.h"
#include "walk.h"

/* ---- resources and failures ---- */

static void repeated_calls_allocate_nothing(void **state)
{
    clf_test *t = *state;

    for (int kind = 0; kind < KINDS; kind++) {
        const clf_attention_pool_desc d = describe(t, kind, 8);
        clf_attention_pool *p = create(t, &d);
        const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 8, clf_attention_pool_vision_width(p)));
        const clf_tensor tokens =
            clf_test_empty(t, CLF_F32, CLF_DIMS(2, clf_attention_pool_tokens(p), clf_attention_pool_token_width(p)));
        clf_shim_counts before, after;

        for (int warm = 0; warm < 2; warm++)
            clf_attention_pool_forward(t->stream, p, vision, NULL, tokens);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        before = clf_shims_count();
        for (int i = 0; i < 3; i++)
            clf_attention_pool_forward(t->stream, p, vision, NULL, tokens);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        after = clf_shims_count();
        assert_int_equal(after.buffers_created, before.buffers_created);
        assert_int_equal(after.allocated, before.allocated);
        clf_attention_pool_destroy(p);
    }
}

typedef struct life {
    clf_attention_pool_desc desc;
    clf_tensor vision, tokens;
    float *result;
} life;

/* Creates the pool, runs it, reads its tokens, destroys it. */
static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const life *l = user;
    clf_attention_pool *p = NULL;
    clf_status status = clf_attention_pool_create(t->ctx, &l->desc, &p, err);

    if (status == CLF_OK) {
        clf_attention_pool_forward(s, p, l->vision, NULL, l->tokens);
        clf_download(s, l->tokens, l->result);
        status = clf_stream_finish(s, err);
    }
    clf_attention_pool_destroy(p);
    return status;
}

static clf_walk walk(clf_test *t, int kind)
{
    static const char *const names[KINDS] = {
        [RESAMPLER] = "resampler", [PROJECTIONS] = "projections", [MEAN] = "mean"
    };
    life *l = clf_test_memory(t, sizeof *l);
    clf_walk w = { .name = names[kind], .work = live, .user = l, .beside = true };
    clf_attention_pool *p;

    l->desc = describe(t, kind, 4);
    p = create(t, &l->desc);
    l->vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 4, clf_attention_pool_vision_width(p)));
    l->tokens =
        clf_test_empty(t, CLF_F32, CLF_DIMS(2, clf_attention_pool_tokens(p), clf_attention_pool_token_width(p)));
    clf_attention_pool_destroy(p);
    w.bytes = (size_t)clf_element_count(l->tokens) * sizeof(float);
    w.result = l->result = clf_test_memory(t, w.bytes);
    return w;
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    static const int kinds[] = { RESAMPLER, PROJECTIONS, MEAN };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(kinds); i++) {
        const clf_walk w = walk(t, kinds[i]);

        assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 3 : 40));
    }
}

static void an_allocation_that_fails_anywhere_is_out_of_memory(void **state)
{
    clf_test *t = *state;
    const clf_walk w = walk(t, RESAMPLER);

    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

/* ---- refusals ---- */

static void refused(clf_test *t, const clf_attention_pool_desc *d, const char *message)
{
    clf_attention_pool *p = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_attention_pool_create(t->ctx, d, &p, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(p);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_attention_pool_desc resampler = describe(t, RESAMPLER, 4), aria = describe(t, PROJECTIONS, 4),
                                  head = describe(t, HEAD, 4), mean = describe(t, MEAN, 4);
    clf_attention_pool_desc d = resampler;

    d.queries = normal(t, CLF_DIMS(2, 5, 24), 1, 0);
    refused(t, &d, "attention_pool: queries is f32[2, 5, 24]; want [M, 24], M above 0");
    d = resampler;
    d.query_positions = normal(t, CLF_DIMS(4, 24), 1, 0);
    refused(t, &d, "attention_pool: query_positions is f32[4, 24]; want [5, 24], like queries");
    d = resampler;
    d.input = layer(t, 23, 20, false);
    refused(t, &d, "attention_pool: input_norm.weight is f32[24]; want [23]");
    d.input_norm = (clf_norm_desc){ .kind = CLF_NORM_NONE };
    refused(t, &d,
            "attention_pool: attention.k.weight is f32[24, 24]; want 23 columns, the width of the rows before it");
    d = resampler;
    d.positions = normal(t, CLF_DIMS(4, 23), 1, 0);
    refused(t, &d, "attention_pool: positions is f32[4, 23]; want [N, 24], N above 0");
    d = resampler;
    d.output = layer(t, 28, 24, false);
    refused(t, &d,
            "attention_pool: projection is f32[24, 28]; want [24, Dt], the width before it first, and no output beside "
            "it");
    d = resampler;
    d.attention.heads = 5;
    refused(t, &d, "attention_pool: attention.q.weight is f32[24, 24]; want a multiple of 5 rows, the heads");
    d = aria;
    d.value_projection = layer(t, 23, 24, false).weight;
    refused(t, &d, "attention_pool: value_projection is f32[23, 24]; want 24 rows, as keys");
    d.value_projection = (clf_host_tensor){ 0 };
    refused(t, &d, "attention_pool: value_projection is none; want [C', 24], C' above 0");
    d = aria;
    d.value_projection.data = NULL;
    refused(t, &d, "attention_pool: value_projection is f32[24, 24] without data; want host memory");
    d = aria;
    d.query_projection = layer(t, 23, 24, false);
    refused(t, &d,
            "attention_pool: query_projection.weight is f32[23, 24]; want 24 rows, the columns of attention.q.weight");
    d = head;
    d.feed_forward.down = layer(t, 23, 40, true);
    refused(t, &d,
            "attention_pool: feed_forward is up f32[40, 24], down f32[23, 40]; want 24 columns of up and rows of down, "
            "the width of the attention");
    d = mean;
    d.positions_of_call = true;
    refused(t, &d,
            "attention_pool: queries is absent beside query_positions, a projection, positions_of_call or an attention "
            "of other width than the rows; want none of them where the mean asks");
}

/* Where nothing is added, a single alpha was left out of the result and one for each channel was not. */
static void gates_without_a_residual_are_refused(void **state)
{
    clf_test *t = *state;
    clf_attention_pool_desc head = describe(t, HEAD, 4), aria = describe(t, PROJECTIONS, 4);

    head.feed_forward.gate = normal(t, CLF_DIMS(1), 1, 0);
    clf_attention_pool_destroy(create(t, &head));
    head.attention.gate = head.feed_forward.gate;
    refused(t, &head, "attention_pool: attention.gate is f32[1]; want none where there is no residual");
    aria.feed_forward.gate = normal(t, CLF_DIMS(32), 1, 0);
    refused(t, &aria, "attention_pool: feed_forward.gate is f32[32]; want none where there is no residual");
}

static void calls_with_wrong_shapes_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_attention_pool_desc d = describe(t, MEAN, 4), e = describe(t, WIDE, 4);
    clf_attention_pool *p = create(t, &d), *q = create(t, &e);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 24)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, 24));
    const clf_tensor other = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 20)),
                     z = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 5, 24));
    clf_attention_pool_options o = clf_attention_pool_options_default();

    clf_attention_pool_forward(t->stream, p, other, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "attention_pool: vision is f32[1, 4, 20]; want [B, N, 24]");
    clf_attention_pool_forward(t->stream, p, clf_slice(t->stream, vision, 1, 0, 3), NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "attention_pool: positions is f32[1, 5, 24]; want f32[1 or 1, 4, 24]");
    o.mask = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 1, 4));
    clf_attention_pool_forward(t->stream, p, vision, &o, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "mask is given; want none where the mean of all rows asks");
    o.mask = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 1, 3));
    clf_attention_pool_forward(t->stream, q, other, &o, z);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "attention_pool/attention: mask is f32[1, 1, 1, 3]; want");
    o = clf_attention_pool_options_default();
    o.queries = 6;
    clf_attention_pool_forward(t->stream, q, other, &o, z);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "attention_pool: queries is 6; want 0 to 5");
    clf_attention_pool_forward(t->stream, q, other, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "attention_pool: tokens is f32[1, 1, 24]; want f32[1, 5, 24] or the type of vision");
    o = clf_attention_pool_options_default();
    o.positions = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 20));
    clf_attention_pool_forward(t->stream, q, other, &o, z);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "want none for a module without positions_of_call");
    clf_attention_pool_destroy(p);
    clf_attention_pool_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(repeated_calls_allocate_nothing),
        CLF_TEST(an_error_at_any_call_is_reported_once),
        CLF_TEST(an_allocation_that_fails_anywhere_is_out_of_memory),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(gates_without_a_residual_are_refused),
        CLF_TEST(calls_with_wrong_shapes_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
