/* The Q-Former: every failure in turn, and a steady state without allocations. */
#include "qformer_desc.h"
#include "shims.h"
#include "walk.h"

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
    c.options.vision_mask = mask(t, vision_open[0], N);
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
        CLF_TEST(an_error_at_any_call_is_reported_and_nothing_leaks),
        CLF_TEST(an_allocation_that_fails_anywhere_is_out_of_memory),
        CLF_TEST(a_second_call_allocates_nothing),
    };

    return CLF_TEST_MAIN(tests);
}
