/* Walks over failures: a piece of work is done again and again, one OpenCL call or one allocation of it failing each
 * time. */
#ifndef CLF_TESTS_WALK_H
#define CLF_TESTS_WALK_H

#include "harness.h"

typedef struct clf_walk {
    const char *name; /* stands before messages */

    /* The work on a stream, up to its end or the first error; leaves nothing behind but kernels and scratch. */
    clf_status (*work)(clf_test *t, void *user, clf_stream *s, clf_error *err);
    void *user;
    void *result; /* host memory that clf_download fills, `bytes` long, in one piece for each of `outputs` */
    size_t bytes;
    int outputs; /* 0: one */
    bool beside; /* part of the work is beside the stream, creating modules say: its errors are not the stream's */

    long arguments; /* of calls that set arguments or ask for the size of memory so many fail, evenly spread; 0: all */
    long again;     /* after every again-th failure the work is done once more; 0: after each */
} clf_walk;

/* Fails each OpenCL call in turn, on a new stream each time; where fma is emulated, every 13th.  Each time: the error
 * is one of OpenCL, in one line, and names the call; nothing is enqueued after it, the stream refuses a download and
 * tells the same error again; `result` is as it was unless its pieces had been sent before, which are never all of
 * them but when waiting fails; the work done again on that stream gives the same bits; no object and no block is left.
 * Returns the number of failures. */
long clf_walk_calls(clf_test *t, const clf_walk *w);

/* The same with host allocations, each of which ends in CLF_OUT_OF_MEMORY. */
long clf_walk_allocations(clf_test *t, const clf_walk *w);

#endif
