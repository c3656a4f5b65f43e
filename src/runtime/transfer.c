/* Copies between host and device. */
#include <string.h>

#include "core/alloc.h"
#include "runtime/stream.h"

#define CLF_OP "transfer"

static clf_status check(clf_stream *s, clf_tensor t, const char *what, uint64_t *bytes, clf_error *err)
{
    size_t memory = 0;

    CLF_REQUIRE(err, clf_shape_valid(t) && clf_is_dense(t) && clf_extent_bytes(t, bytes), CLF_INVALID_ARGUMENT,
                "%s is %s; want a dense tensor", what, CLF_TEXT(t));
    if (*bytes == 0)
        return CLF_OK;
    CLF_REQUIRE(err, t.mem != NULL, CLF_INVALID_ARGUMENT, "%s %s has no memory", what, CLF_TEXT(t));
    CLF_CL(s->ctx, err, clf_cl()->GetMemObjectInfo(t.mem, CL_MEM_SIZE, sizeof memory, &memory, NULL),
           CLF_OP ": clGetMemObjectInfo of %s", what);
    CLF_REQUIRE(err, t.offset <= memory && *bytes <= memory - t.offset, CLF_INVALID_ARGUMENT,
                "%s %s ends at byte %llu of %zu", what, CLF_TEXT(t), (unsigned long long)(t.offset + *bytes), memory);
    return CLF_OK;
}

void clf_upload(clf_stream *s, const void *host, clf_tensor y)
{
    cl_event event = NULL;
    uint64_t bytes = 0;
    cl_int code;

    if (!clf_op_enter(s) || !clf_op_passed(s, check(s, y, "y", &bytes, &s->error)) || bytes == 0)
        return;
    code = clf_cl()->EnqueueWriteBuffer(s->queue, y.mem, CL_FALSE, (size_t)y.offset, (size_t)bytes, host, 0, NULL,
                                        clf_stream_event_slot(s, &event));
    if (code != CL_SUCCESS)
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, CLF_OP ": clEnqueueWriteBuffer");
    else
        clf_stream_enqueued(s, "upload", event);
}

void clf_download(clf_stream *s, clf_tensor x, void *host)
{
    cl_event event = NULL;
    uint64_t bytes = 0;
    cl_int code;

    if (!clf_op_enter(s) || !clf_op_passed(s, check(s, x, "x", &bytes, &s->error)) || bytes == 0)
        return;
    code = clf_cl()->EnqueueReadBuffer(s->queue, x.mem, CL_FALSE, (size_t)x.offset, (size_t)bytes, host, 0, NULL,
                                       clf_stream_event_slot(s, &event));
    if (code != CL_SUCCESS)
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, CLF_OP ": clEnqueueReadBuffer");
    else
        clf_stream_enqueued(s, "download", event);
}

void clf_upload_copy(clf_stream *s, const void *host, uint64_t bytes, clf_tensor y)
{
    void *copy;

    if (!clf_op_enter(s) || bytes == 0)
        return;
    copy = clf_alloc((size_t)bytes, 1);
    if (copy == NULL ||
        clf_grow((void **)&s->staging, s->staging_count, &s->staging_capacity, sizeof copy, NULL) != CLF_OK) {
        clf_free(copy);
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no memory for %llu bytes", (unsigned long long)bytes);
        return;
    }
    memcpy(copy, host, (size_t)bytes);
    s->staging[s->staging_count++] = copy;
    clf_upload(s, copy, y);
}
