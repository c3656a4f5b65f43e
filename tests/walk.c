/* Walks over failures. */
#include "walk.h"

#include <string.h>

#include "runtime/stream.h"
#include "shims.h"

#define UNTOUCHED 0x5A /* in every byte of a result before the work begins */

typedef struct walk {
    const clf_walk *w;
    clf_test *t;
    clf_shim_counts before; /* objects and blocks while no work is done */
    clf_tensor probe;       /* what a stream that has failed must not read */
    void *want;             /* the bits of the result */
    bool calls;             /* else allocations */
    long number;            /* of the call or allocation that fails */
    long failures;
} walk;

static clf_status work(const walk *k, clf_stream *s, clf_error *err)
{
    if (k->w->bytes > 0)
        memset(k->w->result, UNTOUCHED, k->w->bytes);
    *err = (clf_error){ .status = CLF_OK };
    return k->w->work(k->t, k->w->user, s, err);
}

static void succeed(const walk *k, clf_stream *s)
{
    clf_error err;

    if (work(k, s, &err) != CLF_OK)
        fail_msg("%s: fails by itself after failure %ld: %s", k->w->name, k->number, err.message);
    if (k->want != NULL && k->w->bytes > 0 && memcmp(k->w->result, k->want, k->w->bytes) != 0)
        fail_msg("%s: gives other bits after failure %ld", k->w->name, k->number);
}

static clf_stream *new_stream(const walk *k)
{
    clf_stream *s = NULL;
    clf_error err = { 0 };

    if (clf_stream_create(k->t->ctx, NULL, &s, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return s;
}

/* ---- what is asked of a failure ---- */

static bool is_right_status(const walk *k, clf_status status)
{
    if (!k->calls)
        return status == CLF_OUT_OF_MEMORY;
    return status == CLF_OUT_OF_MEMORY || status == CLF_OUT_OF_DEVICE_MEMORY || status == CLF_DEVICE_ERROR;
}

static void check_error(const walk *k, clf_status status, const clf_error *err)
{
    const char *failed = clf_shims_failed();

    if (!is_right_status(k, status) || err->status != status || err->message[0] == '\0' ||
        strpbrk(err->message, "\r\n") != NULL || (k->calls && strstr(err->message, failed) == NULL))
        fail_msg("%s: %s, number %ld: %s \"%s\"", k->w->name, failed, k->number, clf_status_name(status), err->message);
    if (clf_shims_enqueued_after() > 0)
        fail_msg("%s: %s, number %ld: %ld commands are enqueued after it", k->w->name, failed, k->number,
                 clf_shims_enqueued_after());
}

static void check_unpublished(const walk *k)
{
    const char *failed = clf_shims_failed();
    const unsigned char *result = k->w->result;
    const bool waiting = strcmp(failed, "clFinish") == 0; /* by then all may be on their way */

    if (!waiting && clf_shims_watched_reads() >= CLF_MAX(1, k->w->outputs))
        fail_msg("%s: %s, number %ld: every output is read all the same", k->w->name, failed, k->number);
    for (size_t i = 0; i < k->w->bytes && clf_shims_watched_reads() == 0; i++)
        if (result[i] != UNTOUCHED)
            fail_msg("%s: %s, number %ld: byte %zu of the result is written", k->w->name, failed, k->number, i);
}

/* A stream that has failed does nothing more and tells the same again. */
static void check_refused(const walk *k, clf_stream *s, bool on_stream, const clf_error *first)
{
    const long enqueued = clf_shims_count().enqueued;
    clf_error err = { 0 };
    float value = 0.5F;

    if (k->w->beside && !on_stream && clf_stream_status(s) == CLF_OK)
        return;
    assert_int_equal(clf_stream_status(s), first->status);
    clf_download(s, k->probe, &value);
    assert_int_equal(clf_stream_finish(s, &err), first->status);
    assert_string_equal(err.message, first->message);
    assert_int_equal(clf_shims_count().enqueued, enqueued);
    assert_true(value == 0.5F);
}

/* ---- the walk ---- */

static void fail_number(const walk *k, long number)
{
    if (k->calls)
        clf_shims_fail_cl(number, false);
    else
        clf_shims_fail_allocation(number, false);
}

/* The first work builds the programs; the second knows calls and allocations as they come on a new stream. */
static walk begin(clf_test *t, const clf_walk *w, bool calls)
{
    walk k = { .w = w, .t = t, .calls = calls, .probe = clf_test_integers(t, CLF_F32, CLF_DIMS(1), 9) };
    clf_error err = { 0 };

    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_OK); /* operands may be on their way on it */
    clf_stream *s = new_stream(&k);

    clf_shims_watch(w->result, w->bytes);
    succeed(&k, s);
    clf_stream_destroy(s);
    k.want = clf_test_memory(t, w->bytes);
    if (w->bytes > 0)
        memcpy(k.want, w->result, w->bytes);
    k.before = clf_shims_count();
    s = new_stream(&k);
    fail_number(&k, 0);
    succeed(&k, s);
    clf_stream_destroy(s);
    return k;
}

static void fail_once(walk *k, long number)
{
    const long again = CLF_MAX(1, k->w->again);
    clf_stream *s = new_stream(k);
    clf_error err;
    clf_status status;
    bool on_stream;

    k->number = number;
    fail_number(k, number);
    status = work(k, s, &err);
    if (clf_shims_failed() == NULL)
        fail_msg("%s: there is no failure %ld any more", k->w->name, number);
    check_error(k, status, &err);
    check_unpublished(k);
    on_stream = clf_shims_failed_queue() == s->queue;
    fail_number(k, 0);
    check_refused(k, s, on_stream, &err);
    clf_stream_reset(s);
    if (k->failures++ % again == 0)
        succeed(k, s);
    clf_stream_destroy(s);
    if (!clf_shims_balanced(&k->before))
        fail_msg("%s: objects or blocks are left after failure %ld", k->w->name, number);
}

/* Launches repeat them many times, and none of them starts anything. */
static bool is_argument(const char *call)
{
    return strcmp(call, "clSetKernelArg") == 0 || strcmp(call, "clGetMemObjectInfo") == 0;
}

/* Which of the calls fail; taken[0] is none. */
static bool *choose_calls(const walk *k, long calls)
{
    bool *taken = clf_test_memory(k->t, (size_t)calls + 1);
    long arguments = 0, most = k->w->arguments, seen = 0;

    for (long i = 1; i <= calls; i++)
        arguments += is_argument(clf_shims_called(i));
    if (most <= 0 || most > arguments)
        most = arguments;
    for (long i = 1; i <= calls; i++) {
        taken[i] = true;
        if (is_argument(clf_shims_called(i))) {
            taken[i] = (seen + 1) * most / arguments > seen * most / arguments;
            seen++;
        }
    }
    return taken;
}

/* A call takes its time where fma is emulated. */
static long stride(clf_test *t)
{
    return clf_test_small_only(t) ? 13 : 1;
}

long clf_walk_calls(clf_test *t, const clf_walk *w)
{
    walk k = begin(t, w, true);
    const long calls = clf_shims_calls();
    const bool *taken = choose_calls(&k, calls);

    for (long i = 1; i <= calls; i += stride(t))
        if (taken[i])
            fail_once(&k, i);
    clf_shims_watch(NULL, 0);
    return k.failures;
}

long clf_walk_allocations(clf_test *t, const clf_walk *w)
{
    walk k = begin(t, w, false);
    const long allocations = clf_shims_allocations();

    for (long i = 1; i <= allocations; i += stride(t))
        fail_once(&k, i);
    clf_shims_watch(NULL, 0);
    return k.failures;
}
