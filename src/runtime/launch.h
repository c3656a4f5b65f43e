/* Launching kernels: what an operator needs from the runtime, without a cl* call. */
#ifndef CLF_RUNTIME_LAUNCH_H
#define CLF_RUNTIME_LAUNCH_H

#include <clfusion/stream.h>

#include "clf_shared.h"

/* A kernel to run.  `options` holds all that changes the generated code (-D...), hence the program's key; sizes are
 * arguments, so a new shape rebuilds nothing (but attention: docs/decisions.md). */
typedef struct clf_kernel {
    const char *program; /* name of the embedded source: "rms_norm" */
    const char *entry;   /* "clf_rms_norm_simd" */
    const char *options; /* "-DCLF_X=f32"; "" for none; at most 200 characters */
    uint64_t groups[2];  /* work-groups in x and y; a 0 enqueues nothing */
    uint64_t items;      /* work-items of a group, all in x */
    uint64_t turns;      /* of all loops of a work-item, at most (ops/turns.h); 0: few, whatever the sizes are */
} clf_kernel;

typedef struct clf_arg {
    enum { CLF_ARG_MEMORY, CLF_ARG_ROWS, CLF_ARG_U32, CLF_ARG_U64, CLF_ARG_F32 } kind;
    clf_tensor tensor;
    uint64_t u;
    float f;
} clf_arg;

clf_arg clf_arg_memory(clf_tensor t); /* one kernel argument: the cl_mem; an absent tensor gives a valid dummy */
clf_arg clf_arg_rows(clf_tensor t);   /* two: the cl_mem and its clf_rows */
clf_arg clf_arg_u32(uint32_t value);
clf_arg clf_arg_u64(uint64_t value);
clf_arg clf_arg_f32(float value);

/* The most turns that the stream's device allows. */
uint64_t clf_launch_turns(const clf_stream *s);

/* Enqueues on the stream; errors stay there.  Checks the extent of every tensor against its memory. */
void clf_launch(clf_stream *s, const clf_kernel *kernel, const clf_arg *args, size_t count);

#define CLF_LAUNCH(s, kernel, ...)                                                                                     \
    clf_launch((s), (kernel), (const clf_arg[]){ __VA_ARGS__ },                                                        \
               sizeof((const clf_arg[]){ __VA_ARGS__ }) / sizeof(clf_arg))

/* "f32", "f16", "bf16" into "-DCLF_X=f32 -DCLF_Y=f16": pairs of macro name and type, ended by NULL. */
typedef struct clf_options {
    char text[200];
} clf_options;
clf_options clf_options_types(const char *macro, clf_dtype dtype, ...);

/* The rows of a tensor as kernels take them; false when its leading dimensions need more than two strides. */
bool clf_rows_of(clf_tensor t, clf_rows *rows);

#endif
