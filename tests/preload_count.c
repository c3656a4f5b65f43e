/* Preloaded before a test: counts the OpenCL calls that CLBlast makes by itself.  clfusion's own calls go through its
 * table, which takes the loader's symbols directly, and do not pass here. */
#define CL_TARGET_OPENCL_VERSION 120
#define _GNU_SOURCE
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

atomic_long clf_preload_buffers, clf_preload_builds, clf_preload_launches;

__attribute__((visibility("default"))) long clf_preload_counts(long *builds);

long clf_preload_counts(long *builds)
{
    *builds = atomic_load(&clf_preload_builds);
    return atomic_load(&clf_preload_buffers);
}

static void *next(const char *name)
{
    static void *loader;

    if (loader == NULL)
        loader = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    return dlsym(loader, name);
}

__attribute__((visibility("default"))) cl_mem clCreateBuffer(cl_context c, cl_mem_flags flags, size_t bytes, void *host,
                                                             cl_int *code)
{
    __typeof__(&clCreateBuffer) real;
    void *symbol = next("clCreateBuffer");

    memcpy(&real, &symbol, sizeof symbol);
    atomic_fetch_add(&clf_preload_buffers, 1);
    return real(c, flags, bytes, host, code);
}

__attribute__((visibility("default"))) cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device_id *devices,
                                                             const char *options, void (*notify)(cl_program, void *),
                                                             void *user)
{
    __typeof__(&clBuildProgram) real;
    void *symbol = next("clBuildProgram");

    memcpy(&real, &symbol, sizeof symbol);
    atomic_fetch_add(&clf_preload_builds, 1);
    return real(p, n, devices, options, notify, user);
}

/* For tools/roofline.py: tells the number of launches when the program ends, and has each run a single work-group, since
 * only their number is wanted. */
static bool tells(void)
{
    return getenv("CLF_PRELOAD_TELL") != NULL;
}

__attribute__((visibility("default"))) cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dims,
                                                                     const size_t *offset, const size_t *global,
                                                                     const size_t *local, cl_uint n,
                                                                     const cl_event *wait, cl_event *event)
{
    __typeof__(&clEnqueueNDRangeKernel) real;
    void *symbol = next("clEnqueueNDRangeKernel");

    memcpy(&real, &symbol, sizeof symbol);
    atomic_fetch_add(&clf_preload_launches, 1);
    return real(q, k, dims, offset, tells() && local != NULL ? local : global, local, n, wait, event);
}

static void __attribute__((destructor)) tell(void)
{
    if (tells())
        (void)fprintf(stderr, "%ld kernels\n", atomic_load(&clf_preload_launches));
}
