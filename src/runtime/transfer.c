/* Copies between host and device. */
#include <string.h>

#include "core/alloc.h"
#include "runtime/stream.h"

clf_status clf_in_memory(clf_stream *s, const char *where, clf_tensor t, clf_error *err)
{
    uint64_t bytes = 0;
    size_t memory = 0;

    if (!clf_extent_bytes(t, &bytes))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: the strides of %s reach beyond 2^64 bytes", where, CLF_TEXT(t));
    if (bytes == 0)
        return CLF_OK;
    if (t.mem == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s has no memory; want device memory", where, CLF_TEXT(t));
    CLF_CL(s->ctx, err, clf_cl()->GetMemObjectInfo(t.mem, CL_MEM_SIZE, sizeof memory, &memory, NULL),
           "%s: clGetMemObjectInfo", where);
    if (t.offset > memory || bytes > memory - t.offset)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s ends at byte %" PRIu64 "; its memory has %zu", where,
                        CLF_TEXT(t), t.offset + bytes, memory);
    return CLF_OK;
}

/* A dense tensor in its memory, and its size. */
static clf_status check(clf_stream *s, const char *where, clf_tensor t, uint64_t *bytes, clf_error *err)
{
    if (!clf_shape_valid(t) || !clf_is_dense(t) || !clf_extent_bytes(t, bytes))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor is %s; want a dense one", where, CLF_TEXT(t));
    return clf_in_memory(s, where, t, err);
}

void clf_upload(clf_stream *s, const void *host, clf_tensor y)
{
    cl_event event = NULL;
    uint64_t bytes = 0;
    cl_int code;

    if (!clf_op_enter(s) || !clf_op_passed(s, check(s, "upload", y, &bytes, &s->error)) || bytes == 0)
        return;
    code = clf_cl()->EnqueueWriteBuffer(s->queue, y.mem, CL_FALSE, (size_t)y.offset, (size_t)bytes, host, 0, NULL,
                                        clf_stream_event_slot(s, &event));
    if (code != CL_SUCCESS)
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, "upload: clEnqueueWriteBuffer");
    else
        clf_stream_enqueued(s, "upload", event);
}

void clf_download(clf_stream *s, clf_tensor x, void *host)
{
    cl_event event = NULL;
    uint64_t bytes = 0;
    cl_int code;

    if (s->error.status == CLF_OK && !clf_context_has_device(s->ctx))
        CLF_OP_FAIL(s, CLF_UNSUPPORTED, "download: the context has no device; want one to compute anything");
    if (!clf_op_enter(s) || !clf_op_passed(s, check(s, "download", x, &bytes, &s->error)) || bytes == 0)
        return;
    code = clf_cl()->EnqueueReadBuffer(s->queue, x.mem, CL_FALSE, (size_t)x.offset, (size_t)bytes, host, 0, NULL,
                                       clf_stream_event_slot(s, &event));
    if (code != CL_SUCCESS)
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, "download: clEnqueueReadBuffer");
    else
        clf_stream_enqueued(s, "download", event);
}

void clf_upload_copy(clf_stream *s, const void *host, uint64_t bytes, clf_tensor y)
{
    uint64_t want = 0;
    void *copy;

    if (!clf_op_enter(s) || bytes == 0)
        return;
    if (!clf_extent_bytes(y, &want) || bytes != want) {
        CLF_OP_FAIL(s, CLF_INTERNAL, "upload: %" PRIu64 " bytes for %s", bytes, CLF_TEXT(y));
        return;
    }
    copy = clf_alloc((size_t)bytes, 1);
    if (copy == NULL ||
        clf_grow((void **)&s->staging, s->staging_count, &s->staging_capacity, sizeof copy, NULL) != CLF_OK) {
        clf_free(copy);
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "upload: no memory for %llu bytes", (unsigned long long)bytes);
        return;
    }
    memcpy(copy, host, (size_t)bytes);
    s->staging[s->staging_count++] = copy;
    clf_upload(s, copy, y);
}
