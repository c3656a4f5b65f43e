/* Which devices there are, and what they are. */
#include "runtime/device.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

/* Below this a CPU's results are not worth storing past its caches, whatever the driver says of them. */
#define CPU_CACHE_BYTES (UINT64_C(16) << 20)

/* A text property, always terminated; empty when the driver refuses. */
static void device_text(cl_device_id id, cl_device_info what, char *text, size_t bytes)
{
    memset(text, 0, bytes);
    if (clf_cl()->GetDeviceInfo(id, what, bytes - 1, text, NULL) != CL_SUCCESS) {
        char longer[4096] = { 0 }; /* some drivers refuse to cut */

        if (clf_cl()->GetDeviceInfo(id, what, sizeof longer - 1, longer, NULL) == CL_SUCCESS)
            clf_format(text, bytes, "%s", longer);
    }
}

static uint64_t device_number(cl_device_id id, cl_device_info what, size_t bytes)
{
    uint64_t value = 0; /* little-endian hosts: a shorter property fills the low bytes */

    if (clf_cl()->GetDeviceInfo(id, what, bytes, &value, NULL) != CL_SUCCESS)
        return 0;
    return value;
}

static bool has_extension(cl_device_id id, const char *name)
{
    size_t bytes = 0;
    char *list = NULL;
    bool found = false;

    if (clf_cl()->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &bytes) != CL_SUCCESS || bytes == 0 ||
        bytes > 1U << 20 || (list = clf_alloc(bytes + 1, 1)) == NULL)
        return false;
    if (clf_cl()->GetDeviceInfo(id, CL_DEVICE_EXTENSIONS, bytes, list, NULL) == CL_SUCCESS)
        found = strstr(list, name) != NULL;
    clf_free(list);
    return found;
}

static clf_device_kind kind_of(cl_device_id id)
{
    const uint64_t type = device_number(id, CL_DEVICE_TYPE, sizeof(cl_device_type));

    if (type & CL_DEVICE_TYPE_GPU)
        return CLF_DEVICE_GPU;
    return type & CL_DEVICE_TYPE_CPU ? CLF_DEVICE_CPU : CLF_DEVICE_ACCELERATOR;
}

/* Place among devices of one kind.  The type is asked first: an Intel vendor id also stands on CPUs. */
static int vendor_rank(const clf_device_info *d)
{
    if (d->kind == CLF_DEVICE_CPU) {
        if (clf_text_contains(d->platform_name, "Portable Computing Language"))
            return 0;
        return clf_text_contains(d->platform_name, "Intel") ? 1 : 2;
    }
    if (d->vendor_id == 0x1002 || clf_text_contains(d->vendor, "Advanced Micro Devices") ||
        clf_text_contains(d->vendor, "AMD"))
        return 0;
    return d->vendor_id == 0x8086 || clf_text_contains(d->vendor, "Intel") ? 1 : 2;
}

static int rank_of(const clf_device_info *d)
{
    switch (d->kind) {
    case CLF_DEVICE_GPU:
        return (d->unified_memory ? 10 : 0) + vendor_rank(d);
    case CLF_DEVICE_ACCELERATOR:
        return 20 + vendor_rank(d);
    case CLF_DEVICE_CPU:
        break;
    }
    return 30 + vendor_rank(d);
}

/* Drivers that give wrong results or no speed; still usable by name. */
static void refuse(clf_device_info *d)
{
    const char *why = NULL;

    if (clf_text_contains(d->name, "llvmpipe"))
        why = "llvmpipe emulates fma and is hundreds of times slower than other CPU drivers";
    else if (clf_text_contains(d->platform_name, "Clover"))
        why = "Clover is unmaintained and lacks features that the kernels need";
    else if (clf_text_contains(d->platform_name, "Intel Gen OCL Driver") || clf_text_contains(d->version, "beignet"))
        why = "Beignet is unmaintained and gives wrong results";
    d->refused = why != NULL;
    if (why != NULL)
        clf_format(d->reason, sizeof d->reason, "refused unless named: %s", why);
}

clf_status clf_device_describe(cl_platform_id platform, cl_device_id id, clf_device *device, clf_error *err)
{
    clf_device_info *d = &device->info;

    memset(device, 0, sizeof *device);
    device->platform = platform;
    device->id = id;
    d->platform = d->device = -1;
    if (clf_cl()->GetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof d->platform_name - 1, d->platform_name, NULL) !=
        CL_SUCCESS)
        d->platform_name[0] = '\0';
    d->kind = kind_of(id);
    device_text(id, CL_DEVICE_NAME, d->name, sizeof d->name);
    device_text(id, CL_DEVICE_VENDOR, d->vendor, sizeof d->vendor);
    device_text(id, CL_DEVICE_VERSION, d->version, sizeof d->version);
    device_text(id, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    d->vendor_id = (uint32_t)device_number(id, CL_DEVICE_VENDOR_ID, sizeof(cl_uint));
    d->compute_units = (uint32_t)device_number(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    d->memory_bytes = device_number(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    d->allocation_bytes = device_number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
    d->local_bytes = device_number(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
    d->cache_bytes = device_number(id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof(cl_ulong));
    if (d->kind == CLF_DEVICE_CPU) /* Intel's CPU runtime tells the second-level cache (2026.22, 2026-11) */
        d->cache_bytes = CLF_MAX(d->cache_bytes, CPU_CACHE_BYTES);
    d->work_group_limit = device_number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    d->float_width = (uint32_t)device_number(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof(cl_uint));
    d->unified_memory = device_number(id, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof(cl_bool)) != 0;
    d->fp16 = has_extension(id, "cl_khr_fp16");
    d->fp64 = has_extension(id, "cl_khr_fp64");
    d->sub_groups = has_extension(id, "subgroups");
    if (d->allocation_bytes == 0 || d->work_group_limit == 0)
        return CLF_FAIL(err, CLF_DEVICE_ERROR, "device: %s gives no limits (clGetDeviceInfo); want a working driver",
                        d->name);
    refuse(d);
    device->rank = rank_of(d);
    return CLF_OK;
}

/* Appends the devices of one platform; a platform without devices adds none. */
static clf_status enumerate_platform(int number, cl_platform_id platform, clf_device **devices, size_t *count,
                                     size_t *capacity, clf_error *err)
{
    cl_device_id ids[64];
    cl_uint found = 0;

    if (clf_cl()->GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, CLF_COUNT(ids), ids, &found) != CL_SUCCESS)
        return CLF_OK;
    for (cl_uint i = 0; i < found && i < CLF_COUNT(ids); i++) {
        CLF_TRY(clf_grow((void **)devices, *count, capacity, sizeof **devices, err));
        if (clf_device_describe(platform, ids[i], *devices + *count, NULL) != CLF_OK)
            continue; /* a driver that cannot describe its device cannot run it */
        (*devices)[*count].info.platform = number;
        (*devices)[*count].info.device = (int)i;
        ++*count;
    }
    return CLF_OK;
}

clf_status clf_device_enumerate(clf_device **devices, size_t *count, clf_error *err)
{
    cl_platform_id platforms[32];
    cl_uint found = 0;
    size_t capacity = 0;
    cl_int code;

    *devices = NULL;
    *count = 0;
    CLF_TRY(clf_cl_load(err));
    code = clf_cl()->GetPlatformIDs(CLF_COUNT(platforms), platforms, &found);
    if (code == CL_OUT_OF_HOST_MEMORY)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "devices: clGetPlatformIDs: CL_OUT_OF_HOST_MEMORY (-6)");
    if (code != CL_SUCCESS || found == 0)
        return CLF_FAIL(
            err, CLF_UNSUPPORTED,
            "no OpenCL platform: the loader finds no driver (clGetPlatformIDs: %s (%d)); install one, for CPUs pocl",
            clf_cl_code_name(code), (int)code);
    for (cl_uint p = 0; p < found && p < CLF_COUNT(platforms); p++) {
        const clf_status status = enumerate_platform((int)p, platforms[p], devices, count, &capacity, err);

        if (status != CLF_OK) {
            clf_free(*devices);
            *devices = NULL;
            *count = 0;
            return status;
        }
    }
    return CLF_OK;
}

const char *clf_device_selector(const char *selector)
{
    const char *environment = getenv("CLFUSION_DEVICE");

    if (selector != NULL && selector[0] != '\0')
        return selector;
    return environment != NULL && environment[0] != '\0' ? environment : "auto";
}

clf_status clf_device_list(const char *selector, clf_device_info *infos, size_t capacity, size_t *count, clf_error *err)
{
    clf_device *devices;
    size_t picked;
    clf_status status;

    *count = 0;
    CLF_TRY(clf_device_enumerate(&devices, count, err));
    status = clf_device_pick(clf_device_selector(selector), devices, *count, &picked, err);
    for (size_t i = 0; i < *count && i < capacity; i++)
        infos[i] = devices[i].info;
    clf_free(devices);
    return status;
}
