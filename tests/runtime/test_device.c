/* What a driver says becomes a device, on a table made up here: a vendor id is not a kind, and bad drivers are survived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/alloc.h"
#include "core/size.h"
#include "runtime/device.h"

typedef struct fake {
    cl_device_type type;
    cl_uint vendor_id;
    cl_bool unified;
    const char *platform, *name, *vendor, *version;
} fake;

static const fake *fakes;
static size_t fake_count;

/* Handles are 1, 2, ...; each fake device has a platform of its own. */
static cl_int platform_ids(cl_uint entries, cl_platform_id *ids, cl_uint *found)
{
    if (fake_count == 0)
        return -1001;
    for (cl_uint i = 0; i < entries && i < fake_count; i++)
        ids[i] = (cl_platform_id)(uintptr_t)(i + 1);
    *found = (cl_uint)fake_count;
    return CL_SUCCESS;
}

static cl_int device_ids(cl_platform_id p, cl_device_type type, cl_uint entries, cl_device_id *ids, cl_uint *found)
{
    (void)type;
    (void)entries;
    if (fakes[(uintptr_t)p - 1].type == 0)
        return CL_DEVICE_NOT_FOUND; /* Clover's platform without devices */
    ids[0] = (cl_device_id)p;
    *found = 1;
    return CL_SUCCESS;
}

static cl_int put(const void *value, size_t size, size_t bytes, void *out, size_t *written)
{
    if (written != NULL)
        *written = size;
    if (out == NULL)
        return CL_SUCCESS;
    if (bytes < size)
        return CL_INVALID_VALUE;
    memcpy(out, value, size);
    return CL_SUCCESS;
}

static cl_int platform_info(cl_platform_id p, cl_platform_info what, size_t bytes, void *out, size_t *written)
{
    const char *name = fakes[(uintptr_t)p - 1].platform;

    return what == CL_PLATFORM_NAME ? put(name, strlen(name) + 1, bytes, out, written) : CL_INVALID_VALUE;
}

static cl_int device_info(cl_device_id d, cl_device_info what, size_t bytes, void *out, size_t *written)
{
    const fake *f = &fakes[(uintptr_t)d - 1];
    const cl_ulong big = 1U << 30;
    const size_t group = 256;

    switch (what) {
    case CL_DEVICE_TYPE:
        return put(&f->type, sizeof f->type, bytes, out, written);
    case CL_DEVICE_VENDOR_ID:
        return put(&f->vendor_id, sizeof f->vendor_id, bytes, out, written);
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
        return put(&f->unified, sizeof f->unified, bytes, out, written);
    case CL_DEVICE_NAME:
        return put(f->name, strlen(f->name) + 1, bytes, out, written);
    case CL_DEVICE_VENDOR:
        return put(f->vendor, strlen(f->vendor), bytes, out, written); /* no terminator */
    case CL_DEVICE_VERSION:
        return put(f->version, strlen(f->version) + 1, bytes, out, written);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        return put(&big, sizeof big, bytes, out, written);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return put(&group, sizeof group, bytes, out, written);
    default:
        return CL_INVALID_VALUE; /* a driver that refuses what it does not know */
    }
}

/* What `selector` picks among the fakes: index, or -1. */
static int picked(const fake *list, size_t count, const char *selector, clf_error *err)
{
    static clf_cl_table table;
    clf_device_info infos[8];
    size_t found = 0;
    int index = -1;

    table.GetPlatformIDs = platform_ids;
    table.GetDeviceIDs = device_ids;
    table.GetPlatformInfo = platform_info;
    table.GetDeviceInfo = device_info;
    fakes = list;
    fake_count = count;
    clf_cl_replace(&table);
    if (clf_device_list(selector, infos, CLF_COUNT(infos), &found, err) == CLF_OK)
        for (size_t i = 0; i < found; i++)
            if (infos[i].picked)
                index = infos[i].platform;
    clf_cl_replace(NULL);
    return index;
}

static const fake amd_gpu = { CL_DEVICE_TYPE_GPU, 0x1002, CL_FALSE, "AMD", "gfx1030", "Advanced Micro Devices, Inc.",
                              "OpenCL 2.0" };
static const fake intel_igpu = { CL_DEVICE_TYPE_GPU,     0x8086,      CL_TRUE, "Intel(R) OpenCL Graphics", "Iris",
                                 "Intel(R) Corporation", "OpenCL 3.0" };
static const fake intel_dgpu = { CL_DEVICE_TYPE_GPU,     0x8086,      CL_FALSE, "Intel(R) OpenCL Graphics", "Arc",
                                 "Intel(R) Corporation", "OpenCL 3.0" };
static const fake other_gpu = { CL_DEVICE_TYPE_GPU, 0x10DE, CL_FALSE, "Other", "X", "Other", "OpenCL 3.0" };
static const fake accelerator = { CL_DEVICE_TYPE_ACCELERATOR, 0x1, CL_FALSE, "Acc", "A", "Acc", "OpenCL 1.2" };
static const fake pocl = { CL_DEVICE_TYPE_CPU, 0x8086,         CL_TRUE,     "Portable Computing Language",
                           "pthread",          "GenuineIntel", "OpenCL 3.0" };
static const fake intel_cpu = { CL_DEVICE_TYPE_CPU,     0x8086,      CL_TRUE, "Intel(R) OpenCL", "Xeon",
                                "Intel(R) Corporation", "OpenCL 3.1" };
static const fake clover_empty = { 0, 0, CL_FALSE, "Clover", "", "Mesa", "OpenCL 1.1" };
static const fake clover = { CL_DEVICE_TYPE_GPU, 0x1002, CL_FALSE, "Clover", "R9", "AMD", "OpenCL 1.1" };
static const fake beignet = { CL_DEVICE_TYPE_GPU,      0x8086, CL_TRUE, "Intel Gen OCL Driver", "HD", "Intel",
                              "OpenCL 1.2 beignet 1.3" };
static const fake llvmpipe = { CL_DEVICE_TYPE_CPU,       0x10005, CL_TRUE,     "rusticl",
                               "llvmpipe (LLVM 15.0.6)", "Mesa",  "OpenCL 3.0" };

#define PICK(selector, ...)                                                                                            \
    picked((const fake[]){ __VA_ARGS__ }, sizeof((const fake[]){ __VA_ARGS__ }) / sizeof(fake), selector, &err)

static void the_order_is_the_documented_one(void **state)
{
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(PICK("auto", intel_cpu, pocl), 1);
    assert_int_equal(PICK("auto", pocl, accelerator), 1);
    assert_int_equal(PICK("auto", accelerator, intel_igpu), 1);
    assert_int_equal(PICK("auto", intel_igpu, other_gpu), 1);
    assert_int_equal(PICK("auto", other_gpu, intel_dgpu), 1);
    assert_int_equal(PICK("auto", intel_dgpu, amd_gpu), 1);
    assert_int_equal(PICK("auto", amd_gpu, intel_dgpu, other_gpu, intel_igpu, accelerator, pocl, intel_cpu), 0);
}

/* pocl on an Intel CPU says vendor id 0x8086, which is also Intel's GPUs'. */
static void an_intel_vendor_id_is_no_gpu(void **state)
{
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(PICK("gpu", pocl, intel_cpu), -1);
    assert_int_equal(err.status, CLF_UNSUPPORTED);
    assert_int_equal(PICK("auto", pocl, other_gpu), 1);
}

static void platforms_without_devices_are_skipped(void **state)
{
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(PICK("auto", clover_empty, pocl), 1);
    assert_int_equal(PICK("auto", clover_empty), -1);
    assert_int_equal(err.status, CLF_UNSUPPORTED);
    assert_int_equal(picked(NULL, 0, "auto", &err), -1);
    assert_non_null(strstr(err.message, "no OpenCL platform"));
}

static void known_bad_drivers_are_refused_unless_named(void **state)
{
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(PICK("auto", clover, beignet, llvmpipe, pocl), 3);
    assert_int_equal(PICK("auto", clover, beignet, llvmpipe), -1);
    assert_int_equal(PICK("clover", clover, pocl), 0);
    assert_int_equal(PICK("llvmpipe", llvmpipe, pocl), 0);
    assert_int_equal(PICK("0:0", beignet, pocl), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_the_documented_one),
        cmocka_unit_test(an_intel_vendor_id_is_no_gpu),
        cmocka_unit_test(platforms_without_devices_are_skipped),
        cmocka_unit_test(known_bad_drivers_are_refused_unless_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
