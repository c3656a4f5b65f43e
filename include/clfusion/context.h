/* Contexts: a device, its limits, its programs and the provider of matrix products.
 *
 * A context is immutable after creation and shared by any number of threads; programs are built inside it on first use,
 * once, under its own lock.  It must outlive its streams, buffers and modules. */
#ifndef CLFUSION_CONTEXT_H
#define CLFUSION_CONTEXT_H

#include <stdint.h>
#include <string.h>

#include <clfusion/device.h>
#include <clfusion/status.h>
#include <clfusion/tensor.h>

struct _cl_context;
struct _cl_device_id;

CLF_BEGIN_DECLS

typedef struct clf_context clf_context;

/** Who computes matrix products.  AUTO: CLBlast on GPUs and accelerators where it is installed, else packed panels. */
typedef enum clf_gemm_choice { CLF_GEMM_AUTO = 0, CLF_GEMM_PANEL = 1, CLF_GEMM_CLBLAST = 2 } clf_gemm_choice;

/** Shape of the kernels that come in several: SIMD for CPU devices, TILE for GPUs, REF the slow reference.  AUTO: by
 * the device, or the environment variable CLFUSION_KERNELS=auto|simd|tile|ref. */
typedef enum clf_kernel_shape {
    CLF_KERNELS_AUTO = 0,
    CLF_KERNELS_SIMD = 1,
    CLF_KERNELS_TILE = 2,
    CLF_KERNELS_REF = 3
} clf_kernel_shape;

typedef struct clf_context_desc {
    uint32_t struct_size;
    /* A selector as in clf_device_list; NULL: CLFUSION_DEVICE, else "auto".  "none", which only stands here: no device. */
    const char *device;
    clf_gemm_choice gemm;
    clf_kernel_shape kernels;
    const char *cache_dir; /* existing folder of this user for program binaries; NULL: none.  Not used on pocl */
    struct _cl_context *cl_context; /* with cl_device: the caller's, retained; NULL: clfusion makes its own */
    struct _cl_device_id *cl_device;
} clf_context_desc;

/** All defaults. */
static inline clf_context_desc clf_context_desc_default(void)
{
    clf_context_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Makes a context on the device that the description picks, or around the caller's cl_context and cl_device.
 *
 * With the device "none" neither OpenCL nor a device is needed: modules and connectors can be made, described, planned
 * and counted, and hold no device memory.  Operators do nothing there; clf_download and clf_connector_run, which would
 * give results, are CLF_UNSUPPORTED.
 *
 * desc  NULL: clf_context_desc_default().
 * ctx   receives the context; NULL after an error.
 *
 * Errors: CLF_UNSUPPORTED (no OpenCL, no device that fits, CLBlast asked for and not there), CLF_INVALID_ARGUMENT,
 * CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR, CLF_DEVICE_LOST.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_context_create(const clf_context_desc *desc, clf_context **ctx, clf_error *err);

/** Releases the context; takes NULL.  Its streams, buffers and modules must be gone.  With the clblast provider this clears
 * CLBlast's cache of programs (clfusion/memory.h). */
CLF_API void clf_context_destroy(clf_context *ctx);

/** The device and, in `reason`, why it was picked.  Lives as long as the context. */
CLF_API const clf_device_info *clf_context_device(const clf_context *ctx);

/** "panel" or "clblast".  Static storage. */
CLF_API const char *clf_context_gemm(const clf_context *ctx);

/** "simd", "tile" or "ref".  Static storage. */
CLF_API const char *clf_context_kernels(const clf_context *ctx);

/** Device memory that clfusion holds in this context now, and the most it held: weights, scratch, tensors. */
CLF_API uint64_t clf_context_memory(const clf_context *ctx, uint64_t *peak_bytes);

/**
 * A dense tensor in new device memory, uninitialised.  A shape without elements gets no memory and is fine.
 * Ownership: the caller frees it with clf_tensor_free.  Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED (above the
 * device's limit for one buffer), CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_LOST; *t is then absent.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_tensor_create(clf_context *ctx, clf_dtype dtype, clf_dims dims, clf_tensor *t,
                                                  clf_error *err);

/** Frees what clf_tensor_create made (not a view of it) and marks *t absent; takes NULL and absent tensors.  Work in flight keeps it. */
CLF_API void clf_tensor_free(clf_context *ctx, clf_tensor *t);

CLF_END_DECLS

#endif
