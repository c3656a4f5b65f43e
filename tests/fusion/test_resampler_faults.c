/* A resampler's life while each OpenCL call and each allocation fails once, in turn; and the steady state. */
#include "resampler_case.h"
#include "shims.h"
#include "walk.h"

typedef struct life {
    clf_resampler_desc desc;
    clf_tensor vision, mask;
    float *result;
} life;

/* A module's life: created, run, its tokens read, destroyed. */
static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const life *l = user;
    clf_resampler_options o = clf_resampler_options_default();
    clf_resampler *r = NULL;
    clf_status status = clf_resampler_create(t->ctx, &l->desc, &r, err);

    if (status == CLF_OK) {
        const clf_scope scope = clf_scope_open(s, NULL, -1);
        const clf_tensor tokens =
            clf_scratch(s, CLF_F32, CLF_DIMS(l->vision.dim[0], clf_resampler_tokens(r), clf_resampler_token_width(r)));

        o.mask = l->mask;
        clf_resampler_forward(s, r, l->vision, &o, tokens);
        clf_download(s, tokens, l->result);
        status = clf_stream_finish(s, err);
        clf_scope_close(s, scope);
    } else {
        assert_null(r);
    }
    clf_resampler_destroy(r);
    return status;
}

static clf_walk walk(clf_test *t, const variant *v)
{
    const int64_t width = has(v, OUTPUT) ? v->D + 2 : v->D;
    life *l = clf_test_memory(t, sizeof *l);
    clf_walk w = { .name = v->name, .work = live, .user = l, .beside = true, .again = 16 };
    bool seen[8];

    l->desc = describe(t, v);
    l->vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 4, v->Dv));
    l->mask = mask_tensor(t, 2, 4, seen);
    w.bytes = (size_t)(2 * v->M * width) * sizeof(float);
    w.result = l->result = clf_test_memory(t, w.bytes);
    return w;
}

static void fail_each(void **state, long (*walk_over)(clf_test *t, const clf_walk *w))
{
    static const int kinds[] = { IDEFICS, EVERYTHING }; /* products apart, q and k norms; everything, shared */
    clf_test *t = *state;

    if (clf_test_small_only(t))
        clf_test_skip("each of some hundred calls takes seconds here");
    for (size_t i = 0; i < CLF_COUNT(kinds); i++) {
        const clf_walk w = walk(t, &variants[kinds[i]]);

        assert_true(walk_over(t, &w) > 40);
    }
}

static void an_opencl_error_at_any_call_is_reported_once(void **state)
{
    fail_each(state, clf_walk_calls);
}

static void an_allocation_that_fails_anywhere_is_out_of_memory(void **state)
{
    fail_each(state, clf_walk_allocations);
}

static void the_steady_state_allocates_nothing(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        const clf_resampler_desc d = describe(t, v);
        clf_resampler *r = create(t, &d);
        clf_resampler_options o = clf_resampler_options_default();
        const clf_tensor vision = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 9, v->Dv));
        const clf_tensor tokens = clf_test_empty(t, CLF_F16, CLF_DIMS(2, v->M, clf_resampler_token_width(r)));
        clf_shim_counts before = { 0 }, after;
        bool seen[18];

        o.mask = mask_tensor(t, 2, 9, seen);
        for (int k = 0; k < 4; k++) {
            clf_resampler_forward(t->stream, r, vision, &o, tokens);
            assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
            if (k == 1)
                before = clf_shims_count();
        }
        after = clf_shims_count();
        assert_int_equal(after.buffers_created, before.buffers_created);
        assert_int_equal(after.programs_built, before.programs_built);
        assert_int_equal(after.kernels, before.kernels);
        assert_int_equal(after.allocated, before.allocated);
        clf_resampler_destroy(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(an_opencl_error_at_any_call_is_reported_once),
        CLF_TEST(an_allocation_that_fails_anywhere_is_out_of_memory),
        CLF_TEST(the_steady_state_allocates_nothing),
    };

    return CLF_TEST_MAIN(tests);
}
