/* A resampler's life while each OpenCL call and each allocation fails once, in turn; and the steady state. */
#include "resampler_case.h"
#include "shims.h"

/* A module's life: created, run, its tokens read, destroyed. */
static clf_status live(clf_test *t, const clf_resampler_desc *d, clf_tensor vision, clf_tensor mask, clf_stream *s,
                       float *result, clf_error *err)
{
    clf_resampler_options o = clf_resampler_options_default();
    clf_resampler *r = NULL;
    clf_status status = clf_resampler_create(t->ctx, d, &r, err);

    if (status == CLF_OK) {
        const clf_scope scope = clf_scope_open(s, NULL, -1);
        const clf_tensor tokens =
            clf_scratch(s, CLF_F32, CLF_DIMS(vision.dim[0], clf_resampler_tokens(r), clf_resampler_token_width(r)));

        o.mask = mask;
        clf_resampler_forward(s, r, vision, &o, tokens);
        clf_download(s, tokens, result);
        status = clf_stream_finish(s, err);
        clf_scope_close(s, scope);
    } else {
        assert_null(r);
    }
    clf_resampler_destroy(r);
    return status;
}

typedef struct life {
    clf_resampler_desc desc;
    clf_tensor vision, mask;
    size_t bytes;
    float *want, *got;
} life;

static life begin(clf_test *t, const variant *v)
{
    life l = { .desc = describe(t, v), .vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 4, v->Dv)) };
    clf_error err = { 0 };
    bool seen[8];

    l.mask = mask_tensor(t, 2, 4, seen);
    l.bytes = (size_t)(2 * v->M * (v->D + 2)) * sizeof(float);
    l.want = clf_test_memory(t, l.bytes);
    l.got = clf_test_memory(t, l.bytes);
    memset(l.want, 0, l.bytes);
    if (live(t, &l.desc, l.vision, l.mask, t->stream, l.want, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return l;
}

static void works_again(clf_test *t, const life *l, clf_stream *s)
{
    clf_error err = { 0 };

    memset(l->got, 0, l->bytes);
    clf_stream_reset(s);
    if (live(t, &l->desc, l->vision, l->mask, s, l->got, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_memory_equal(l->got, l->want, l->bytes);
}

static void fail_every_call(clf_test *t, const variant *v)
{
    const life l = begin(t, v);
    clf_error err = { 0 };

    for (long k = 1;; k++) {
        const clf_shim_counts before = clf_shims_count();
        clf_stream *s = NULL;
        clf_status status;

        assert_int_equal(clf_stream_create(t->ctx, NULL, &s, &err), CLF_OK);
        clf_shims_fail_cl(k, false);
        status = live(t, &l.desc, l.vision, l.mask, s, l.got, &err);
        if (clf_shims_failed() == NULL) {
            clf_shims_fail_cl(0, false);
            clf_stream_destroy(s);
            assert_int_equal(status, CLF_OK);
            break;
        }
        if (status == CLF_OK || strstr(err.message, clf_shims_failed()) == NULL)
            fail_msg("call %ld, %s: %s \"%s\"", k, clf_shims_failed(), clf_status_name(status), err.message);
        assert_int_equal(clf_shims_enqueued_after(), 0);
        clf_shims_fail_cl(0, false);
        if (k % 16 == 1)
            works_again(t, &l, s);
        clf_stream_destroy(s);
        assert_true(clf_shims_balanced(&before));
    }
}

static void fail_every_allocation(clf_test *t, const variant *v)
{
    const life l = begin(t, v);
    clf_error err = { 0 };

    for (long k = 1;; k++) {
        const clf_shim_counts before = clf_shims_count();
        clf_stream *s = NULL;
        clf_status status;
        long made;

        assert_int_equal(clf_stream_create(t->ctx, NULL, &s, &err), CLF_OK);
        clf_shims_fail_allocation(k, false);
        status = live(t, &l.desc, l.vision, l.mask, s, l.got, &err);
        made = clf_shims_allocations();
        clf_shims_fail_allocation(0, false);
        if (made < k) {
            clf_stream_destroy(s);
            assert_int_equal(status, CLF_OK);
            break;
        }
        if (status != CLF_OUT_OF_MEMORY)
            fail_msg("allocation %ld: %s \"%s\"", k, clf_status_name(status), status == CLF_OK ? "" : err.message);
        if (k % 16 == 1)
            works_again(t, &l, s);
        clf_stream_destroy(s);
        assert_true(clf_shims_balanced(&before));
    }
}

static void an_opencl_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;

    if (clf_test_small_only(t))
        clf_test_skip("each of some hundred calls takes seconds here");
    fail_every_call(t, &variants[IDEFICS]);    /* products apart, q and k norms */
    fail_every_call(t, &variants[EVERYTHING]); /* everything, shared */
}

static void an_allocation_that_fails_anywhere_is_out_of_memory(void **state)
{
    clf_test *t = *state;

    if (clf_test_small_only(t))
        clf_test_skip("each of some hundred calls takes seconds here");
    fail_every_allocation(t, &variants[IDEFICS]);
    fail_every_allocation(t, &variants[EVERYTHING]);
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
