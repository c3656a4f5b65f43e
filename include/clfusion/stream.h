/* Streams: a queue, its scratch memory, its kernel objects, its profile, and the first error.
 *
 * Operators are void: they check, enqueue and return.  After an error every operator on the stream returns at once;
 * clf_stream_finish waits and returns the first error.  The rules for all operators:
 *   - one thread at a time uses a stream; any number of streams share a context and modules;
 *   - tensors belong to the caller and must live until the stream has finished;
 *   - the caller's cl_mem must belong to the stream's context and be large enough: operators check shapes against each
 *     other, and each tensor's last byte against the size of its memory;
 *   - after an error outputs are undefined, perhaps partly written;
 *   - commands run in the order of the calls;
 *   - errors, kept by the stream: CLF_INVALID_ARGUMENT (a rule of the operator's header is broken, or a tensor ends
 *     outside its memory), CLF_UNSUPPORTED (a type, size or view that it does not take, or a limit of the device),
 *     CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR, CLF_DEVICE_LOST;
 *   - clf_<operator>_check states the operator's rules without stream, device or memory: CLF_OK, or
 *     CLF_INVALID_ARGUMENT or CLF_UNSUPPORTED with the record filled; any thread. */
#ifndef CLFUSION_STREAM_H
#define CLFUSION_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <clfusion/context.h>
#include <clfusion/status.h>
#include <clfusion/tensor.h>

struct _cl_command_queue;
struct _cl_event;

CLF_BEGIN_DECLS

typedef struct clf_stream clf_stream;

typedef struct clf_stream_desc {
    uint32_t struct_size;
    struct _cl_command_queue *queue; /* the caller's in-order queue on the context's device, retained; NULL: its own */
    bool profiling;                  /* record every kernel's times; a caller's queue must have profiling enabled */
    bool finish_each;                /* debugging: wait after every command, so that an error names the right one */
} clf_stream_desc;

/** All defaults: a queue of its own, no profiling, no waiting. */
static inline clf_stream_desc clf_stream_desc_default(void)
{
    clf_stream_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/** desc NULL: the defaults.  *s is NULL after an error.  Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED,
 * CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR, CLF_DEVICE_LOST. */
CLF_API CLF_MUST_USE clf_status clf_stream_create(clf_context *ctx, const clf_stream_desc *desc, clf_stream **s,
                                                  clf_error *err);

/** Waits for the stream's commands, then releases it; takes NULL.  An error nobody read goes to the log. */
CLF_API void clf_stream_destroy(clf_stream *s);

/** Waits for all commands and returns the first error of the stream, which stays until clf_stream_reset. */
CLF_API CLF_MUST_USE clf_status clf_stream_finish(clf_stream *s, clf_error *err);

/** The status so far, without waiting. */
CLF_API clf_status clf_stream_status(const clf_stream *s);

/** Waits, forgets the error and gives all scratch back; a lost device stays lost. */
CLF_API void clf_stream_reset(clf_stream *s);

/** The context that the stream was created in. */
CLF_API clf_context *clf_stream_context(const clf_stream *s);

/** Commands enqueued from here on wait for these events, which stay the caller's. */
CLF_API void clf_stream_wait_events(clf_stream *s, uint32_t count, struct _cl_event *const *events);

/** *event receives an event that completes with everything enqueued so far; the caller releases it.  NULL after an
 * error of the stream. */
CLF_API void clf_stream_signal(clf_stream *s, struct _cl_event **event);

/** Copies dense host memory into a dense tensor.  The memory must stay valid and unchanged until the stream has
 * finished. */
CLF_API void clf_upload(clf_stream *s, const void *host, clf_tensor y);

/** Copies a dense tensor into dense host memory, which is valid once clf_stream_finish has returned CLF_OK. */
CLF_API void clf_download(clf_stream *s, clf_tensor x, void *host);

/** Kernels enqueued on the stream since it was created, and the bytes of their operands, each once for each kernel that
 * takes it (operand_bytes NULL: not wanted).  Two readings tell what lies between them.  A call of CLBlast counts as
 * one kernel, whatever CLBlast makes of it; transfers are none. */
CLF_API uint64_t clf_stream_launches(const clf_stream *s, uint64_t *operand_bytes);

/* Scratch memory: freed by the scope that was open when it was taken, reused by the next one.  After an error scratch
 * keeps its shape and has no memory, so code that computes with shapes stays right. */

typedef struct clf_scope {
    uint32_t block; /* where the arena stood */
    uint64_t used;
    uint32_t path; /* length of the name path */
} clf_scope;

/** Opens a scope; `name` (NULL: none) and `index` (-1: none) stand before messages, as "perceiver/layers[3]/". */
CLF_API clf_scope clf_scope_open(clf_stream *s, const char *name, int64_t index);

/** Gives back the scratch taken since the scope was opened.  Scopes close in reverse order. */
CLF_API void clf_scope_close(clf_stream *s, clf_scope scope);

/** A dense, uninitialised tensor in the stream's arena, valid until the scope around it closes. */
CLF_API clf_tensor clf_scratch(clf_stream *s, clf_dtype dtype, clf_dims dims);

/** Part of a tensor: `count` entries from `begin` along `axis` (negative: from the end).  Costs nothing. */
CLF_API clf_tensor clf_slice(clf_stream *s, clf_tensor t, int axis, int64_t begin, int64_t count);

/** The same dense elements under another shape of equal count. */
CLF_API clf_tensor clf_reshape(clf_stream *s, clf_tensor t, clf_dims dims);

/** One kernel of a profiling stream; times in nanoseconds of the device's clock. */
typedef struct clf_profile_entry {
    const char *name; /* kernel name; lives as long as the stream */
    uint64_t queued_ns;
    uint64_t start_ns;
    uint64_t end_ns;
} clf_profile_entry;

/** Waits and gives the kernels since the last call; *entries lives until the next call on the stream.  0 when the
 * stream does not profile. */
CLF_API size_t clf_stream_profile(clf_stream *s, const clf_profile_entry **entries);

CLF_END_DECLS

#endif
