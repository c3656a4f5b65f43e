/* Contexts: made on a device that clfusion picks, or around the caller's. */
#include "runtime/context.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/size.h"
#include "core/text.h"
#include "runtime/device.h"
#include "runtime/op.h"

clf_status clf_cl_fail(clf_context *ctx, clf_error *err, const char *file, int line, cl_int code, const char *format,
                       ...)
{
    char what[300];
    const clf_status status = clf_cl_code_status(code);
    va_list list;

    va_start(list, format);
    clf_format_list(what, sizeof what, format, list);
    va_end(list);
    if (status == CLF_DEVICE_LOST && ctx != NULL)
        atomic_store(&ctx->lost, true);
    return clf_error_set(err, file, line, status, "%s: %s (%d)", what, clf_cl_code_name(code), (int)code);
}

/* The kernel shape: the description's, else the environment's, else by the device. */
static clf_status choose_kernels(clf_context *ctx, clf_kernel_shape wanted, clf_error *err)
{
    static const struct {
        const char *name;
        clf_kernel_shape shape;
    } shapes[] = { { "auto", CLF_KERNELS_AUTO },
                   { "simd", CLF_KERNELS_SIMD },
                   { "tile", CLF_KERNELS_TILE },
                   { "ref", CLF_KERNELS_REF } };
    const char *text = getenv("CLFUSION_KERNELS");
    size_t i = 0;

    if ((unsigned)wanted > (unsigned)CLF_KERNELS_REF)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "context: kernels is %d; want a value of clf_kernel_shape",
                        (int)wanted);
    if (wanted == CLF_KERNELS_AUTO && text != NULL && text[0] != '\0') {
        while (i < CLF_COUNT(shapes) && strcmp(shapes[i].name, text) != 0)
            i++;
        if (i == CLF_COUNT(shapes))
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "CLFUSION_KERNELS is \"%s\"; want auto, simd, tile or ref",
                            clf_text_quote(text, strlen(text)).text);
        wanted = shapes[i].shape;
    }
    if (wanted == CLF_KERNELS_AUTO)
        wanted = ctx->info.kind == CLF_DEVICE_CPU ? CLF_KERNELS_SIMD : CLF_KERNELS_TILE;
    ctx->kernels = wanted;
    return CLF_OK;
}

/* Whether CLF_FETCH of clf_math.h is clang's builtin: prefetch() is no instruction on these. */
static bool fetches_by_builtin(const clf_context *ctx)
{
    return ctx->pocl ||
           (ctx->info.kind == CLF_DEVICE_CPU && clf_text_contains(ctx->info.platform_name, "Intel(R) OpenCL"));
}

/* What the device is, as far as kernels care. */
static void describe(clf_context *ctx, const clf_device *device)
{
    ctx->info = device->info;
    ctx->platform = device->platform;
    ctx->pocl = clf_text_contains(ctx->info.platform_name, "Portable Computing Language");
    /* rusticl on llvmpipe runs fma in software, 0.1 against 1.3 GFLOP/s with mad; no query tells. */
    ctx->emulated_fma = clf_text_contains(ctx->info.name, "llvmpipe");
    ctx->vector_width = ctx->info.float_width >= 16 ? 16 : ctx->info.float_width == 8 ? 8 : 4;
    clf_format(ctx->options, sizeof ctx->options, "-cl-std=CL1.2 -DCLF_VEC=%u%s%s", (unsigned)ctx->vector_width,
               ctx->emulated_fma ? " -DCLF_USE_MAD" : "", fetches_by_builtin(ctx) ? " -DCLF_FETCH_BUILTIN" : "");
}

static clf_status pick_device(const clf_context_desc *desc, clf_device *device, clf_error *err)
{
    clf_device *devices;
    size_t count, index;
    clf_status status;

    CLF_TRY(clf_device_enumerate(&devices, &count, err));
    status = clf_device_pick(clf_device_selector(desc->device), devices, count, &index, err);
    if (status == CLF_OK)
        *device = devices[index];
    clf_free(devices);
    return status;
}

static clf_status open_own(clf_context *ctx, const clf_context_desc *desc, clf_error *err)
{
    clf_device device;
    cl_context_properties properties[] = { CL_CONTEXT_PLATFORM, 0, 0 };
    cl_int code;

    CLF_TRY(pick_device(desc, &device, err));
    describe(ctx, &device);
    memcpy(&properties[1], &device.platform, sizeof device.platform);
    ctx->cl = clf_cl()->CreateContext(properties, 1, &device.id, NULL, NULL, &code);
    CLF_CL(NULL, err, code, "context: clCreateContext on %s", ctx->info.name);
    ctx->device = device.id;
    return CLF_OK;
}

static clf_status open_borrowed(clf_context *ctx, const clf_context_desc *desc, clf_error *err)
{
    cl_device_id devices[64];
    cl_platform_id platform;
    clf_device device;
    size_t bytes = 0, i = 0;

    if (desc->cl_context == NULL || desc->cl_device == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "context: cl_context and cl_device; want both or none");
    CLF_TRY(clf_cl_load(err));
    CLF_CL(NULL, err, clf_cl()->GetContextInfo(desc->cl_context, CL_CONTEXT_DEVICES, sizeof devices, devices, &bytes),
           "context: clGetContextInfo of the caller's cl_context");
    while (i < bytes / sizeof devices[0] && devices[i] != desc->cl_device)
        i++;
    if (i == bytes / sizeof devices[0])
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "context: cl_device is none of the %zu devices of cl_context",
                        bytes / sizeof devices[0]);
    CLF_CL(NULL, err, clf_cl()->GetDeviceInfo(desc->cl_device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL),
           "context: clGetDeviceInfo of the caller's cl_device");
    CLF_TRY(clf_device_describe(platform, desc->cl_device, &device, err));
    clf_format(device.info.reason, sizeof device.info.reason, "the caller's cl_context and cl_device");
    device.info.picked = true;
    describe(ctx, &device);
    CLF_CL(NULL, err, clf_cl()->RetainContext(desc->cl_context), "context: clRetainContext");
    ctx->cl = desc->cl_context;
    ctx->device = desc->cl_device;
    return CLF_OK;
}

/* "none": limits that refuse nothing, and the kernels of a CPU. */
static void open_without_device(clf_context *ctx)
{
    clf_device device = { .info = { .platform = -1,
                                    .device = -1,
                                    .kind = CLF_DEVICE_CPU,
                                    .platform_name = "none",
                                    .name = "none",
                                    .compute_units = 1,
                                    .memory_bytes = INT64_MAX,
                                    .allocation_bytes = INT64_MAX,
                                    .local_bytes = 32768,
                                    .work_group_limit = 64,
                                    .float_width = 8,
                                    .picked = true,
                                    .reason = "no device: plans only" } };

    describe(ctx, &device);
}

static clf_status open_any(clf_context *ctx, const clf_context_desc *desc, clf_error *err)
{
    if (desc->cl_context != NULL || desc->cl_device != NULL)
        return open_borrowed(ctx, desc, err);
    if (desc->device == NULL || strcmp(desc->device, "none") != 0)
        return open_own(ctx, desc, err);
    open_without_device(ctx);
    return CLF_OK;
}

bool clf_context_has_device(const clf_context *ctx)
{
    return ctx->cl != NULL;
}

clf_status clf_context_open(const clf_context_desc *desc, clf_context **out, clf_error *err)
{
    clf_context *ctx;
    clf_status status;

    *out = NULL;
    ctx = clf_alloc(1, sizeof *ctx);
    if (ctx == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "context: no memory for %zu bytes", sizeof *ctx);
    if (pthread_mutex_init(&ctx->lock, NULL) != 0) {
        clf_free(ctx);
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "context: no memory for a lock");
    }
    status = open_any(ctx, desc, err);
    if (status == CLF_OK)
        status = choose_kernels(ctx, desc->kernels, err);
    if (status == CLF_OK && desc->cache_dir != NULL && !ctx->pocl &&
        (ctx->cache_dir = clf_strdup(desc->cache_dir)) == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, "context: no memory for cache_dir");
    if (status == CLF_OK)
        status = clf_buffer_create(ctx, CLF_DUMMY_BYTES, &ctx->dummy, err);
    if (status != CLF_OK) {
        clf_context_destroy(ctx);
        return status;
    }
    *out = ctx;
    return CLF_OK;
}

void clf_context_destroy(clf_context *ctx)
{
    if (ctx == NULL)
        return;
    if (ctx->before_release != NULL)
        ctx->before_release(ctx);
    clf_program_release_all(ctx);
    clf_buffer_release(ctx, ctx->dummy, CLF_DUMMY_BYTES);
    if (ctx->cl != NULL)
        clf_cl()->ReleaseContext(ctx->cl);
    pthread_mutex_destroy(&ctx->lock);
    clf_free(ctx->cache_dir);
    clf_free(ctx);
}

const clf_device_info *clf_context_device(const clf_context *ctx)
{
    return &ctx->info;
}

const char *clf_context_kernels(const clf_context *ctx)
{
    switch (ctx->kernels) {
    case CLF_KERNELS_TILE:
        return "tile";
    case CLF_KERNELS_REF:
        return "ref";
    case CLF_KERNELS_AUTO:
    case CLF_KERNELS_SIMD:
        break;
    }
    return "simd";
}

uint64_t clf_context_memory(const clf_context *ctx, uint64_t *peak_bytes)
{
    if (peak_bytes != NULL)
        *peak_bytes = atomic_load(&ctx->peak_memory);
    return atomic_load(&ctx->memory);
}
