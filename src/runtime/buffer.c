/* Device memory, counted. */
#include <inttypes.h>

#include "core/pages.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "runtime/context.h"
#include "runtime/op.h"

static void count_up(clf_context *ctx, uint64_t bytes)
{
    const uint64_t now = atomic_fetch_add(&ctx->memory, bytes) + bytes;
    uint64_t peak = atomic_load(&ctx->peak_memory);

    while (now > peak && !atomic_compare_exchange_weak(&ctx->peak_memory, &peak, now))
        ;
}

static clf_status create(clf_context *ctx, cl_mem_flags flags, size_t bytes, void *host, cl_mem *mem, clf_error *err)
{
    cl_int code = CL_SUCCESS;

    *mem = clf_cl()->CreateBuffer(ctx->cl, flags, bytes, host, &code);
    if (code == CL_SUCCESS && *mem == NULL) /* some drivers name no code */
        code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    if (code == CL_SUCCESS)
        return CLF_OK;
    *mem = NULL;
    return clf_cl_fail(ctx, err, __FILE__, __LINE__, code, "clCreateBuffer of %zu bytes", bytes);
}

/* Kernels of a CPU device walk through large buffers page after page, so these lie in large pages: a mapping of their own
 * that the driver uses as it is and that goes with the buffer.  docs/decisions.md, "large buffers".  llvmpipe, which is
 * for tests, is left as it is. */
static bool in_large_pages(const clf_context *ctx, uint64_t bytes)
{
    return bytes >= CLF_LARGE_PAGE && bytes <= SIZE_MAX / 2 && ctx->info.kind == CLF_DEVICE_CPU &&
           ctx->info.unified_memory && !ctx->emulated_fma;
}

typedef struct mapping {
    void *pages;
    size_t bytes;
} mapping;

#define BEHIND 256 /* bytes, at least, from the buffer's last to its mapping's description */

static void CL_CALLBACK unmap(cl_mem mem, void *behind)
{
    const mapping m = *(const mapping *)behind;

    (void)mem;
    clf_pages_unmap(m.pages, m.bytes);
}

/* From here on the pages go with the buffer; after an error there is no buffer. */
static clf_status tie(clf_context *ctx, cl_mem *mem, mapping *behind, clf_error *err)
{
    const cl_int code = clf_cl()->SetMemObjectDestructorCallback(*mem, unmap, behind);

    if (code == CL_SUCCESS)
        return CLF_OK;
    clf_cl()->ReleaseMemObject(*mem);
    *mem = NULL;
    return clf_cl_fail(ctx, err, __FILE__, __LINE__, code, "clSetMemObjectDestructorCallback");
}

static clf_status create_in_large_pages(clf_context *ctx, size_t bytes, cl_mem *mem, clf_error *err)
{
    const size_t place = (bytes / BEHIND + 2) * BEHIND;
    const mapping m = { clf_pages_map(place + sizeof m), place + sizeof m };
    clf_status status;

    if (m.pages == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_DEVICE_MEMORY, "buffer: no memory for %zu bytes", bytes);
    status = create(ctx, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes, m.pages, mem, err);
    if (status == CLF_OK) {
        mapping *behind = (mapping *)((char *)m.pages + place);

        *behind = m;
        status = tie(ctx, mem, behind, err);
    }
    if (status != CLF_OK)
        clf_pages_unmap(m.pages, m.bytes);
    return status;
}

clf_status clf_buffer_create(clf_context *ctx, uint64_t bytes, cl_mem *mem, clf_error *err)
{
    *mem = NULL;
    if (atomic_load(&ctx->lost))
        return CLF_FAIL(err, CLF_DEVICE_LOST, "buffer: the device was lost earlier; destroy the context");
    if (bytes > ctx->info.allocation_bytes || bytes > SIZE_MAX)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "buffer: %" PRIu64 " bytes; want at most %" PRIu64 ", the limit of %s for one buffer", bytes,
                        ctx->info.allocation_bytes, ctx->info.name);
    if (!clf_context_has_device(ctx))
        return CLF_OK;
    if (in_large_pages(ctx, bytes))
        CLF_TRY(create_in_large_pages(ctx, (size_t)bytes, mem, err));
    else
        CLF_TRY(create(ctx, CL_MEM_READ_WRITE, (size_t)CLF_MAX(bytes, 1), NULL, mem, err));
    count_up(ctx, CLF_MAX(bytes, 1));
    return CLF_OK;
}

void clf_buffer_release(clf_context *ctx, cl_mem mem, uint64_t bytes)
{
    if (mem == NULL)
        return;
    atomic_fetch_sub(&ctx->memory, CLF_MAX(bytes, 1));
    clf_cl()->ReleaseMemObject(mem);
}

/* Intel's CPU runtime (2026.22, 2026-11) copies host memory that does not begin at a multiple of its
 * CL_DEVICE_MEM_BASE_ADDR_ALIGN, 128 bytes, which is the least that the standard allows.  What lies before is of the same
 * page; buffers one behind the other share it, and nobody writes. */
#define WRAP_ALIGN 128

clf_status clf_buffer_wrap(clf_context *ctx, const void *host, clf_tensor *t, clf_error *err)
{
    const size_t before = (uintptr_t)host % WRAP_ALIGN;
    const uint64_t bytes = before + (uint64_t)clf_element_count(*t) * clf_dtype_bytes(t->dtype);

    /* The table wants a pointer to change; the flags say that nobody does. */
    CLF_TRY(create(ctx, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, (size_t)bytes, (void *)((uintptr_t)host - before),
                   &t->mem, err));
    t->offset = before;
    return CLF_OK;
}

bool clf_buffer_in_place(const clf_context *ctx, const void *host, clf_dtype dtype)
{
    return ctx->info.kind == CLF_DEVICE_CPU && ctx->info.unified_memory &&
           (uintptr_t)host % clf_dtype_bytes(dtype) == 0;
}

void clf_buffer_unwrap(cl_mem mem)
{
    if (mem != NULL)
        clf_cl()->ReleaseMemObject(mem);
}

clf_status clf_tensor_create(clf_context *ctx, clf_dtype dtype, clf_dims dims, clf_tensor *t, clf_error *err)
{
    const clf_tensor shape = clf_tensor_shape(dtype, dims);
    uint64_t bytes;
    cl_mem mem = NULL;

    *t = (clf_tensor){ .dtype = CLF_DTYPE_NONE };
    if (!clf_shape_valid(shape) || !clf_extent_bytes(shape, &bytes))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "tensor: shape is %s; want 1 to 6 dimensions, none negative, with a product below 2^63",
                        CLF_TEXT(shape));
    if (bytes > 0)
        CLF_TRY(clf_buffer_create(ctx, bytes, &mem, err));
    *t = shape;
    t->mem = mem;
    return CLF_OK;
}

void clf_tensor_free(clf_context *ctx, clf_tensor *t)
{
    uint64_t bytes = 0;

    if (t == NULL)
        return;
    (void)clf_extent_bytes(*t, &bytes);
    clf_buffer_release(ctx, t->mem, bytes);
    *t = (clf_tensor){ .dtype = CLF_DTYPE_NONE };
}
