/* Which device a selector picks, on device lists made up here: no OpenCL takes part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/text.h"
#include "runtime/device.h"

enum { NVIDIA, INTEL_IGPU, AMD_DGPU, INTEL_CPU, POCL, LLVMPIPE, COUNT };

static clf_device machine[COUNT];

/* The ranks are what rank_of gives for these devices (see the order in clfusion/device.h). */
static int build_machine(void **state)
{
    static const struct {
        const char *platform, *name;
        clf_device_kind kind;
        bool unified, refused;
        int rank;
    } rows[COUNT] = {
        [NVIDIA] = { "NVIDIA CUDA", "GeForce", CLF_DEVICE_GPU, false, false, 2 },
        [INTEL_IGPU] = { "Intel(R) OpenCL Graphics", "Iris Xe", CLF_DEVICE_GPU, true, false, 11 },
        [AMD_DGPU] = { "AMD Accelerated Parallel Processing", "gfx1030", CLF_DEVICE_GPU, false, false, 0 },
        [INTEL_CPU] = { "Intel(R) OpenCL", "Xeon", CLF_DEVICE_CPU, true, false, 31 },
        [POCL] = { "Portable Computing Language", "pthread-xeon", CLF_DEVICE_CPU, true, false, 30 },
        [LLVMPIPE] = { "rusticl", "llvmpipe (LLVM 15)", CLF_DEVICE_CPU, true, true, 32 },
    };

    (void)state;
    memset(machine, 0, sizeof machine);
    for (int i = 0; i < COUNT; i++) {
        clf_device_info *d = &machine[i].info;

        clf_format(d->platform_name, sizeof d->platform_name, "%s", rows[i].platform);
        clf_format(d->name, sizeof d->name, "%s", rows[i].name);
        d->kind = rows[i].kind;
        d->unified_memory = rows[i].unified;
        d->refused = rows[i].refused;
        d->platform = i;
        machine[i].rank = rows[i].rank;
    }
    return 0;
}

static size_t pick(const char *selector, size_t first, size_t count)
{
    size_t index = 99;
    clf_error err = { 0 };

    if (clf_device_pick(selector, machine + first, count, &index, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_true(machine[first + index].info.picked);
    return first + index;
}

static void auto_takes_discrete_gpus_then_integrated_then_cpus(void **state)
{
    (void)state;
    assert_int_equal(pick("auto", 0, COUNT), AMD_DGPU);
    assert_int_equal(pick("auto", NVIDIA, 2), NVIDIA);
    assert_int_equal(pick("auto", INTEL_CPU, 3), POCL);
    assert_non_null(strstr(machine[POCL].info.reason, "CPU device"));
}

static void a_kind_limits_the_choice(void **state)
{
    (void)state;
    assert_int_equal(pick("cpu", 0, COUNT), POCL);
    assert_int_equal(pick("gpu", 0, 2), NVIDIA);
}

static void numbers_and_names_pick_what_they_say(void **state)
{
    (void)state;
    assert_int_equal(pick("3:0", 0, COUNT), INTEL_CPU);
    assert_int_equal(pick("iris", 0, COUNT), INTEL_IGPU);
    assert_int_equal(pick("portable", 0, COUNT), POCL);
}

static void refused_devices_need_their_name(void **state)
{
    clf_error err = { 0 };
    size_t index;

    (void)state;
    assert_int_equal(clf_device_pick("auto", machine + LLVMPIPE, 1, &index, &err), CLF_UNSUPPORTED);
    assert_int_equal(clf_device_pick("cpu", machine + LLVMPIPE, 1, &index, &err), CLF_UNSUPPORTED);
    assert_int_equal(pick("llvmpipe", 0, COUNT), LLVMPIPE);
    assert_non_null(strstr(machine[LLVMPIPE].info.reason, "although it is refused"));
    assert_int_equal(pick("5:0", 0, COUNT), LLVMPIPE);
}

static void what_fits_nothing_is_an_error_that_says_so(void **state)
{
    clf_error err = { 0 };
    size_t index;

    (void)state;
    assert_int_equal(clf_device_pick("9:9", machine, COUNT, &index, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "device: \"9:9\" fits none of 6 OpenCL devices");
    assert_int_equal(clf_device_pick("voodoo", machine, COUNT, &index, &err), CLF_UNSUPPORTED);
    assert_int_equal(clf_device_pick("auto", machine, 0, &index, &err), CLF_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no OpenCL device"));
}

static void the_selector_comes_from_the_caller_then_the_environment(void **state)
{
    (void)state;
    setenv("CLFUSION_DEVICE", "0:1", 1);
    assert_string_equal(clf_device_selector("gpu"), "gpu");
    assert_string_equal(clf_device_selector(NULL), "0:1");
    unsetenv("CLFUSION_DEVICE");
    assert_string_equal(clf_device_selector(NULL), "auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(auto_takes_discrete_gpus_then_integrated_then_cpus, build_machine),
        cmocka_unit_test_setup(a_kind_limits_the_choice, build_machine),
        cmocka_unit_test_setup(numbers_and_names_pick_what_they_say, build_machine),
        cmocka_unit_test_setup(refused_devices_need_their_name, build_machine),
        cmocka_unit_test_setup(what_fits_nothing_is_an_error_that_says_so, build_machine),
        cmocka_unit_test_setup(the_selector_comes_from_the_caller_then_the_environment, build_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
