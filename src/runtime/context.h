/* The inside of a context, for the runtime and the providers of matrix products. */
#ifndef CLF_RUNTIME_CONTEXT_H
#define CLF_RUNTIME_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include <clfusion/context.h>

#include "core/error.h"
#include "runtime/cl_table.h"

typedef struct clf_program clf_program;

struct clf_context {
    clf_device_info info;
    cl_platform_id platform;
    cl_device_id device;
    cl_context cl; /* retained or own */
    bool pocl;
    bool emulated_fma;     /* fma runs in software: kernels use mad, tests stay small */
    uint32_t vector_width; /* CLF_VEC: 16, 8 or 4, from the native width of float */
    clf_kernel_shape kernels;
    char options[96]; /* what every program is built with */
    char *cache_dir;  /* NULL: no cache of ours */
    cl_mem dummy;     /* what an absent tensor gives a kernel */

    const void *gemm;            /* clf_gemm_provider; the gemm room sets and reads it */
    atomic_uint gemm_generation; /* clblast.c: the state of CLBlast's caches in which this context's programs exist */
    void (*before_release)(clf_context *ctx); /* set by a provider that keeps objects of this context */

    pthread_mutex_t lock; /* guards the list of programs, never held during a build */
    clf_program *programs;

    atomic_bool lost;
    atomic_uint_least64_t memory, peak_memory;
};

/* clf_context_create without a provider of matrix products, from a descriptor that has been read. */
clf_status clf_context_open(const clf_context_desc *desc, clf_context **ctx, clf_error *err);

/* Device memory of at least one byte; counted. */
clf_status clf_buffer_create(clf_context *ctx, uint64_t bytes, cl_mem *mem, clf_error *err);
void clf_buffer_release(clf_context *ctx, cl_mem mem, uint64_t bytes); /* as created; takes NULL */

/* Host memory as a buffer that is only read: t, dense, its type and shape given, gets mem and offset.  The memory must live
 * and stay as it is until the commands that use the buffer have finished.  Not counted: it is no memory of the device, or
 * the driver's own copy. */
clf_status clf_buffer_wrap(clf_context *ctx, const void *host, clf_tensor *t, clf_error *err);
void clf_buffer_unwrap(cl_mem mem); /* takes NULL; commands in flight keep it */

/* Kernels read `host`, elements of `dtype`, where it lies once it is wrapped: a CPU device, and no odd address. */
bool clf_buffer_in_place(const clf_context *ctx, const void *host, clf_dtype dtype);

#define CLF_DUMMY_BYTES 256U /* of the buffer that absent tensors show */

/* A built program: the embedded source `name` with `options`.  Built once, by the first thread that asks; another that
 * asks for the same waits, others do not.  A failed build is tried again by the next caller. */
clf_status clf_program_get(clf_context *ctx, const char *name, const char *options, cl_program *program,
                           clf_error *err);
void clf_program_release_all(clf_context *ctx);

/* Fills *err from an OpenCL code ("call: NAME (code)") and marks the context lost where the code says so. */
clf_status clf_cl_fail(clf_context *ctx, clf_error *err, const char *file, int line, cl_int code, const char *format,
                       ...) CLF_PRINTF(6, 7);

/* Leaves the function unless an OpenCL call returned CL_SUCCESS; the text says which call, with what. */
#define CLF_CL(ctx, err, code, ...)                                                                                    \
    do {                                                                                                               \
        const cl_int clf_cl_code = (code);                                                                             \
        if (clf_cl_code != CL_SUCCESS)                                                                                 \
            return clf_cl_fail((ctx), (err), __FILE__, __LINE__, clf_cl_code, __VA_ARGS__);                            \
    } while (0)

#endif
