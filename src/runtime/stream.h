/* The inside of a stream. */
#ifndef CLF_RUNTIME_STREAM_H
#define CLF_RUNTIME_STREAM_H

#include <clfusion/stream.h>

#include "runtime/context.h"
#include "runtime/op.h"

#define CLF_STREAM_PATH 200

/* A kernel object of this stream: never shared, since setting arguments is not thread-safe. */
typedef struct clf_stream_kernel {
    cl_program program;
    const char *entry;
    cl_kernel cl;
    size_t item_limit; /* CL_KERNEL_WORK_GROUP_SIZE */
} clf_stream_kernel;

/* A block of scratch memory.  Blocks stay; a bump pointer walks through them, so equal calls find equal places. */
typedef struct clf_arena_block {
    cl_mem mem;
    uint64_t bytes;
} clf_arena_block;

typedef struct clf_stream_event {
    const char *name;
    cl_event event;
} clf_stream_event;

struct clf_stream {
    clf_context *ctx;
    cl_command_queue queue;
    bool profiling, finish_each;
    bool error_read;
    bool pending;                     /* something was enqueued since the last wait */
    uint64_t launches, operand_bytes; /* since the creation; a provider's product is one launch */
    clf_error error;                  /* status CLF_OK: none */

    char path[CLF_STREAM_PATH]; /* scopes, as "perceiver/layers[3]/" */
    uint32_t path_length;

    clf_stream_kernel *kernels;
    size_t kernel_count, kernel_capacity;

    clf_arena_block *blocks;
    size_t block_count, block_capacity;
    uint32_t block; /* the current one */
    uint64_t used;  /* bytes of it */

    void **staging; /* host copies that uploads in flight read */
    size_t staging_count, staging_capacity;

    clf_stream_event *events;
    size_t event_count, event_capacity;
    clf_profile_entry *profile;
    size_t profile_capacity;
};

/* For a command of its own (a provider's): the event to pass, NULL without profiling; then what became of it. */
cl_event *clf_stream_event_slot(clf_stream *s, cl_event *event);
void clf_stream_enqueued(clf_stream *s, const char *name, cl_event event);

/* Counts an operand of a kernel that is enqueued; absent ones have no bytes. */
void clf_stream_operand(clf_stream *s, clf_tensor t);

/* Records an OpenCL failure on the stream: "path what: NAME (code)". */
void clf_stream_cl_fail(clf_stream *s, const char *file, int line, cl_int code, const char *what);

/* Waits for what was enqueued, if anything; host copies are free then.  Errors stay on the stream. */
void clf_stream_wait(clf_stream *s);

/* Gives back all scratch memory of the arena to the device. */
void clf_arena_release(clf_stream *s);

#endif
