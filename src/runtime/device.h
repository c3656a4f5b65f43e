/* Enumerating devices and choosing one. */
#ifndef CLF_RUNTIME_DEVICE_H
#define CLF_RUNTIME_DEVICE_H

#include <clfusion/device.h>

#include "runtime/cl_table.h"

typedef struct clf_device {
    clf_device_info info;
    cl_platform_id platform;
    cl_device_id id;
    int rank; /* place in the order of "auto": lower is better */
} clf_device;

/* Describes one device; platform and device numbers stay -1 when it is the caller's. */
clf_status clf_device_describe(cl_platform_id platform, cl_device_id id, clf_device *device, clf_error *err);

/* All devices, in "P:D" order; *devices is the caller's to clf_free. */
clf_status clf_device_enumerate(clf_device **devices, size_t *count, clf_error *err);

/* Index of the device that `selector` (not NULL) picks; writes its reason and marks it. */
clf_status clf_device_pick(const char *selector, clf_device *devices, size_t count, size_t *index, clf_error *err);

/* The caller's selector, else CLFUSION_DEVICE, else "auto". */
const char *clf_device_selector(const char *selector);

#endif
