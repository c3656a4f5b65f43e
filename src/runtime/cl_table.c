/* Opening the ICD loader, and the names of OpenCL's codes. */
#include "runtime/cl_table.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "core/error.h"
#include "core/size.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static clf_cl_table real;
static const clf_cl_table *current;
static const char *missing; /* what kept OpenCL from being opened; NULL: nothing */

static void load(void)
{
    static const char *const names[] = { "libOpenCL.so.1", "libOpenCL.so" };
    void *library = NULL;

    for (size_t i = 0; i < CLF_COUNT(names) && library == NULL; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        missing = "libOpenCL.so.1 (the OpenCL ICD loader) is not installed";
        return;
    }
    /* memcpy: ISO C has no conversion from an object pointer to a function pointer. */
#define CLF_CL_LOAD(name)                                                                                              \
    {                                                                                                                  \
        void *symbol = dlsym(library, "cl" #name);                                                                     \
        if (symbol == NULL)                                                                                            \
            missing = "libOpenCL.so.1 lacks cl" #name;                                                                 \
        memcpy(&real.name, &symbol, sizeof symbol);                                                                    \
    }
    CLF_CL_FUNCTIONS(CLF_CL_LOAD)
#undef CLF_CL_LOAD
    if (missing == NULL && current == NULL)
        current = &real;
}

clf_status clf_cl_load(clf_error *err)
{
    if (pthread_once(&once, load) != 0)
        return CLF_FAIL(err, CLF_INTERNAL, "opencl: pthread_once failed");
    if (current == NULL)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "no OpenCL: %s; install an ICD loader and a driver, for CPUs pocl",
                        missing);
    return CLF_OK;
}

const clf_cl_table *clf_cl(void)
{
    return current;
}

const clf_cl_table *clf_cl_replace(const clf_cl_table *table)
{
    pthread_once(&once, load);
    current = table != NULL ? table : missing == NULL ? &real : NULL;
    return missing == NULL ? &real : NULL;
}

typedef struct code_row {
    cl_int code;
    const char *name;
} code_row;

#define CODE(name)                                                                                                     \
    {                                                                                                                  \
        name, #name                                                                                                    \
    }
static const code_row codes[] = {
    CODE(CL_SUCCESS),
    CODE(CL_DEVICE_NOT_FOUND),
    CODE(CL_DEVICE_NOT_AVAILABLE),
    CODE(CL_COMPILER_NOT_AVAILABLE),
    CODE(CL_MEM_OBJECT_ALLOCATION_FAILURE),
    CODE(CL_OUT_OF_RESOURCES),
    CODE(CL_OUT_OF_HOST_MEMORY),
    CODE(CL_PROFILING_INFO_NOT_AVAILABLE),
    CODE(CL_MEM_COPY_OVERLAP),
    CODE(CL_BUILD_PROGRAM_FAILURE),
    CODE(CL_MISALIGNED_SUB_BUFFER_OFFSET),
    CODE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
    CODE(CL_COMPILE_PROGRAM_FAILURE),
    CODE(CL_LINKER_NOT_AVAILABLE),
    CODE(CL_INVALID_VALUE),
    CODE(CL_INVALID_DEVICE_TYPE),
    CODE(CL_INVALID_PLATFORM),
    CODE(CL_INVALID_DEVICE),
    CODE(CL_INVALID_CONTEXT),
    CODE(CL_INVALID_QUEUE_PROPERTIES),
    CODE(CL_INVALID_COMMAND_QUEUE),
    CODE(CL_INVALID_HOST_PTR),
    CODE(CL_INVALID_MEM_OBJECT),
    CODE(CL_INVALID_BINARY),
    CODE(CL_INVALID_BUILD_OPTIONS),
    CODE(CL_INVALID_PROGRAM),
    CODE(CL_INVALID_PROGRAM_EXECUTABLE),
    CODE(CL_INVALID_KERNEL_NAME),
    CODE(CL_INVALID_KERNEL_DEFINITION),
    CODE(CL_INVALID_KERNEL),
    CODE(CL_INVALID_ARG_INDEX),
    CODE(CL_INVALID_ARG_VALUE),
    CODE(CL_INVALID_ARG_SIZE),
    CODE(CL_INVALID_KERNEL_ARGS),
    CODE(CL_INVALID_WORK_DIMENSION),
    CODE(CL_INVALID_WORK_GROUP_SIZE),
    CODE(CL_INVALID_WORK_ITEM_SIZE),
    CODE(CL_INVALID_GLOBAL_OFFSET),
    CODE(CL_INVALID_EVENT_WAIT_LIST),
    CODE(CL_INVALID_EVENT),
    CODE(CL_INVALID_OPERATION),
    CODE(CL_INVALID_BUFFER_SIZE),
    CODE(CL_INVALID_GLOBAL_WORK_SIZE),
    CODE(CL_INVALID_PROPERTY),
    { -1001, "CL_PLATFORM_NOT_FOUND_KHR" },
};

const char *clf_cl_code_name(cl_int code)
{
    for (size_t i = 0; i < CLF_COUNT(codes); i++)
        if (codes[i].code == code)
            return codes[i].name;
    return "unknown OpenCL code";
}

clf_status clf_cl_code_status(cl_int code)
{
    switch (code) {
    case CL_SUCCESS:
        return CLF_OK;
    case CL_OUT_OF_HOST_MEMORY:
        return CLF_OUT_OF_MEMORY;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE: /* from any call: some drivers allocate when memory is first used */
    case CL_INVALID_BUFFER_SIZE:
        return CLF_OUT_OF_DEVICE_MEMORY;
    case CL_DEVICE_NOT_AVAILABLE:
    case -9999: /* NVIDIA and others: the device reset itself */
        return CLF_DEVICE_LOST;
    case CL_DEVICE_NOT_FOUND:
    case CL_COMPILER_NOT_AVAILABLE:
    case -1001:
        return CLF_UNSUPPORTED;
    default:
        return CLF_DEVICE_ERROR;
    }
}
