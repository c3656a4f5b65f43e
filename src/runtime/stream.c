/* Streams: life, the sticky error, events. */
#include "runtime/stream.h"

#include <string.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "core/log.h"

#define CLF_OP "stream"

/* The caller's queue must be in order, of our context and device, and profile if that is wanted. */
static clf_status borrow_queue(clf_stream *s, cl_command_queue queue, clf_error *err)
{
    cl_command_queue_properties properties = 0;
    cl_context context = NULL;
    cl_device_id device = NULL;

    if (!clf_context_has_device(s->ctx))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "stream: queue is given in a context without a device; want none");
    CLF_CL(NULL, err, clf_cl()->GetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL),
           "stream: clGetCommandQueueInfo of the caller's queue");
    CLF_CL(NULL, err, clf_cl()->GetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof(cl_context), &context, NULL),
           "stream: clGetCommandQueueInfo of the caller's queue");
    CLF_CL(NULL, err, clf_cl()->GetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof(cl_device_id), &device, NULL),
           "stream: clGetCommandQueueInfo of the caller's queue");
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "stream: queue runs out of order; want an in-order queue");
    if (context != s->ctx->cl || device != s->ctx->device)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "stream: queue belongs to another context or device");
    if (s->profiling && !(properties & CL_QUEUE_PROFILING_ENABLE))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "stream: profiling wants a queue with CL_QUEUE_PROFILING_ENABLE");
    CLF_CL(NULL, err, clf_cl()->RetainCommandQueue(queue), "stream: clRetainCommandQueue");
    s->queue = queue;
    return CLF_OK;
}

static clf_status own_queue(clf_stream *s, clf_error *err)
{
    cl_int code = CL_SUCCESS;

    if (!clf_context_has_device(s->ctx))
        return CLF_OK;
    s->queue =
        clf_cl()->CreateCommandQueue(s->ctx->cl, s->ctx->device, s->profiling ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    CLF_CL(s->ctx, err, code, "stream: clCreateCommandQueue");
    return CLF_OK;
}

clf_status clf_stream_create(clf_context *ctx, const clf_stream_desc *given, clf_stream **out, clf_error *err)
{
    clf_stream_desc full = clf_stream_desc_default();
    const clf_stream_desc *desc = &full;
    clf_stream *s;
    clf_status status;

    *out = NULL;
    CLF_DESC_READ(err, &full, given);
    if (atomic_load(&ctx->lost))
        return CLF_FAIL(err, CLF_DEVICE_LOST, "stream: the device was lost earlier; destroy the context");
    s = clf_alloc(1, sizeof *s);
    if (s == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "stream: no memory for %zu bytes", sizeof *s);
    s->ctx = ctx;
    s->profiling = desc->profiling;
    s->finish_each = desc->finish_each;
    status = desc->queue != NULL ? borrow_queue(s, desc->queue, err) : own_queue(s, err);
    if (status != CLF_OK) {
        clf_stream_destroy(s);
        return status;
    }
    *out = s;
    return CLF_OK;
}

/* Waiting fails with these only when a command of ours ended abnormally or the queue has become unusable. */
static bool means_lost(cl_int code)
{
    return code == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST || code == CL_INVALID_COMMAND_QUEUE;
}

void clf_stream_wait(clf_stream *s)
{
    const cl_int code = s->pending ? clf_cl()->Finish(s->queue) : CL_SUCCESS;

    s->pending = false;
    if (means_lost(code)) {
        atomic_store(&s->ctx->lost, true);
        CLF_OP_FAIL(s, CLF_DEVICE_LOST, "clFinish: %s (%d)", clf_cl_code_name(code), (int)code);
    } else if (code != CL_SUCCESS) {
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, "clFinish");
    }
    while (s->staging_count > 0)
        clf_free(s->staging[--s->staging_count]);
}

static void forget_events(clf_stream *s)
{
    while (s->event_count > 0)
        clf_cl()->ReleaseEvent(s->events[--s->event_count].event);
}

void clf_stream_destroy(clf_stream *s)
{
    if (s == NULL)
        return;
    clf_stream_wait(s);
    if (s->error.status != CLF_OK && !s->error_read)
        clf_log("stream destroyed with an unread error: %s", s->error.message);
    forget_events(s);
    clf_arena_release(s);
    for (size_t i = 0; i < s->kernel_count; i++)
        clf_cl()->ReleaseKernel(s->kernels[i].cl);
    if (s->queue != NULL)
        clf_cl()->ReleaseCommandQueue(s->queue);
    clf_free(s->kernels);
    clf_free(s->blocks);
    clf_free(s->staging);
    clf_free(s->events);
    clf_free(s->profile);
    clf_free(s);
}

clf_status clf_stream_finish(clf_stream *s, clf_error *err)
{
    clf_stream_wait(s);
    (void)clf_op_enter(s); /* a device that was lost elsewhere is this stream's error too */
    if (s->error.status != CLF_OK && err != NULL)
        *err = s->error;
    s->error_read = true;
    return s->error.status;
}

clf_status clf_stream_status(const clf_stream *s)
{
    return s->error.status == CLF_OK && atomic_load(&s->ctx->lost) ? CLF_DEVICE_LOST : s->error.status;
}

void clf_stream_reset(clf_stream *s)
{
    clf_stream_wait(s);
    forget_events(s);
    s->error = (clf_error){ .status = CLF_OK };
    s->error_read = false;
    clf_arena_release(s);
    s->path_length = 0;
    s->path[0] = '\0';
}

clf_context *clf_stream_context(const clf_stream *s)
{
    return s->ctx;
}

uint64_t clf_stream_launches(const clf_stream *s, uint64_t *operand_bytes)
{
    if (operand_bytes != NULL)
        *operand_bytes = s->operand_bytes;
    return s->launches;
}

void clf_stream_operand(clf_stream *s, clf_tensor t)
{
    if (clf_present(t))
        s->operand_bytes += (uint64_t)clf_element_count(t) * clf_dtype_bytes(t.dtype);
}

bool clf_op_enter(clf_stream *s)
{
    if (s->error.status == CLF_OK && atomic_load(&s->ctx->lost))
        CLF_OP_FAIL(s, CLF_DEVICE_LOST, "the device was lost earlier; destroy the context");
    return s->error.status == CLF_OK && clf_context_has_device(s->ctx);
}

clf_error *clf_op_error(clf_stream *s)
{
    return &s->error;
}

/* A module that fails inside its own scope is named once. */
static void prefix_path(clf_stream *s)
{
    const char *word = s->path;
    size_t length;

    for (const char *c = s->path; *c != '\0'; c++)
        if (*c == '/' && c[1] != '\0')
            word = c + 1;
    length = strcspn(word, "/");
    if (length > 0 && strncmp(s->error.message, word, length) == 0 && s->error.message[length] == ':') {
        char path[sizeof s->path];

        clf_format(path, sizeof path, "%.*s", (int)(word - s->path), s->path);
        clf_error_prefix(&s->error, path);
        return;
    }
    clf_error_prefix(&s->error, s->path);
}

bool clf_op_passed(clf_stream *s, clf_status status)
{
    if (status == CLF_OK)
        return true;
    s->error.status = status;
    s->error_read = false;
    prefix_path(s);
    return false;
}

void clf_op_fail(clf_stream *s, const char *file, int line, clf_status status, const char *format, ...)
{
    char message[400];
    va_list list;

    if (s->error.status != CLF_OK)
        return;
    va_start(list, format);
    clf_format_list(message, sizeof message, format, list);
    va_end(list);
    clf_op_passed(s, clf_error_set(&s->error, file, line, status, "%s", message));
}

void clf_stream_cl_fail(clf_stream *s, const char *file, int line, cl_int code, const char *what)
{
    clf_error later; /* the first error stays, but a lost device is noted all the same */
    const bool first = s->error.status == CLF_OK;
    const clf_status status = clf_cl_fail(s->ctx, first ? &s->error : &later, file, line, code, "%s", what);

    if (first)
        clf_op_passed(s, status);
}

clf_kernel_shape clf_op_kernels(const clf_stream *s)
{
    return s->ctx->kernels;
}

bool clf_stores_past(const clf_stream *s, clf_tensor y, uint64_t bytes)
{
    const uint64_t cache = s->ctx->info.cache_bytes;

    return clf_op_kernels(s) == CLF_KERNELS_SIMD && clf_dtype_bytes(y.dtype) >= 4 && cache > 0 && bytes > cache;
}

void clf_stream_wait_events(clf_stream *s, uint32_t count, struct _cl_event *const *events)
{
    cl_int code;

    if (!clf_op_enter(s) || count == 0)
        return;
    code = clf_cl()->EnqueueBarrierWithWaitList(s->queue, count, events, NULL);
    s->pending = true;
    if (code == CL_INVALID_CONTEXT || code == CL_INVALID_EVENT_WAIT_LIST || code == CL_INVALID_EVENT)
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT, "wait: clEnqueueBarrierWithWaitList: %s (%d); want events of this context",
                    clf_cl_code_name(code), (int)code);
    else if (code != CL_SUCCESS)
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, "wait: clEnqueueBarrierWithWaitList");
}

void clf_stream_signal(clf_stream *s, struct _cl_event **event)
{
    cl_event marker = NULL;
    cl_int code;

    *event = NULL;
    if (!clf_op_enter(s))
        return;
    code = clf_cl()->EnqueueMarkerWithWaitList(s->queue, 0, NULL, &marker);
    s->pending = true;
    if (code != CL_SUCCESS) {
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, "signal: clEnqueueMarkerWithWaitList");
        return;
    }
    code = clf_cl()->Flush(s->queue);
    if (code != CL_SUCCESS) {
        clf_cl()->ReleaseEvent(marker);
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, "signal: clFlush");
        return;
    }
    *event = marker;
}

void clf_event_release(struct _cl_event *event)
{
    if (event != NULL)
        clf_cl()->ReleaseEvent(event);
}
