/* Devices: what the machine has, which one clfusion picks, and why. */
#ifndef CLFUSION_DEVICE_H
#define CLFUSION_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

CLF_BEGIN_DECLS

typedef enum clf_device_kind { CLF_DEVICE_GPU = 1, CLF_DEVICE_ACCELERATOR = 2, CLF_DEVICE_CPU = 3 } clf_device_kind;

/** One OpenCL device as its driver describes it, and what clfusion thinks of it. */
typedef struct clf_device_info {
    int platform; /* numbers of the "P:D" spelling, in the order of the OpenCL loader */
    int device;
    clf_device_kind kind;
    char platform_name[128];
    char name[128];
    char vendor[128];
    char version[128]; /* CL_DEVICE_VERSION */
    char driver[128];  /* CL_DRIVER_VERSION */
    uint32_t vendor_id;
    uint32_t compute_units;
    uint64_t memory_bytes;
    uint64_t allocation_bytes; /* largest single buffer */
    uint64_t local_bytes;
    uint64_t cache_bytes; /* as the driver says, on CPUs at least 16 MiB; 0 when unknown */
    uint64_t work_group_limit;
    uint32_t float_width; /* native vector width of float; 0 when unknown */
    bool unified_memory;
    bool fp16;
    bool fp64;
    bool sub_groups;
    bool refused;     /* never picked unless named */
    bool picked;      /* by the selector that was given */
    char reason[200]; /* why it is picked or refused, or its place in the order */
} clf_device_info;

/**
 * Lists every device of every platform that has one, and marks the one that `selector` picks.
 *
 * selector  "auto", "cpu", "gpu", "P:D", or a part of the platform's or device's name, in any case; NULL: the
 *           environment variable CLFUSION_DEVICE, else "auto".
 * infos     room for `capacity` entries, filled in "P:D" order; may be NULL when capacity is 0.
 * count     receives the number of devices, which may exceed capacity.
 *
 * Order of "auto": discrete GPUs (AMD, Intel, others), integrated GPUs (the same), accelerators, CPUs (pocl, Intel's
 * runtime, others).  llvmpipe, Clover and Beignet are refused unless named.  No device, or none that fits: every entry
 * is unmarked and the status is CLF_UNSUPPORTED.  Errors: CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_device_list(const char *selector, clf_device_info *infos, size_t capacity,
                                                size_t *count, clf_error *err);

CLF_END_DECLS

#endif
