/* OpenCL behind one table: opened at run time, replaceable by tests, and the only way to an OpenCL call. */
#ifndef CLF_RUNTIME_CL_TABLE_H
#define CLF_RUNTIME_CL_TABLE_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <clfusion/status.h>

/* clang-format off */
#define CLF_CL_FUNCTIONS(X)                                                                   \
    X(GetPlatformIDs) X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo)                     \
    X(CreateContext) X(RetainContext) X(ReleaseContext) X(GetContextInfo)                     \
    X(CreateCommandQueue) X(RetainCommandQueue) X(ReleaseCommandQueue) X(GetCommandQueueInfo) \
    X(CreateBuffer) X(CreateSubBuffer) X(ReleaseMemObject) X(GetMemObjectInfo)                \
    X(SetMemObjectDestructorCallback)                                                         \
    X(CreateProgramWithSource) X(CreateProgramWithBinary) X(BuildProgram) X(ReleaseProgram)   \
    X(GetProgramInfo) X(GetProgramBuildInfo)                                                  \
    X(CreateKernel) X(ReleaseKernel) X(SetKernelArg) X(GetKernelWorkGroupInfo)                \
    X(EnqueueNDRangeKernel) X(EnqueueReadBuffer) X(EnqueueWriteBuffer)                        \
    X(EnqueueMarkerWithWaitList) X(EnqueueBarrierWithWaitList) X(Flush) X(Finish)             \
    X(ReleaseEvent) X(GetEventInfo) X(GetEventProfilingInfo)
/* clang-format on */

/* clf_cl()->CreateBuffer is clCreateBuffer.  The types come from the OpenCL headers; nothing is linked. */
typedef struct clf_cl_table {
#define CLF_CL_FIELD(name) __typeof__(&cl##name) name;
    CLF_CL_FUNCTIONS(CLF_CL_FIELD)
#undef CLF_CL_FIELD
} clf_cl_table;

/* Opens the ICD loader once for the process (it stays open).  CLF_UNSUPPORTED: no OpenCL on this machine. */
clf_status clf_cl_load(clf_error *err);

/* The table in use; only after clf_cl_load has succeeded. */
const clf_cl_table *clf_cl(void);

/* Tests put a shim before the real table (NULL: the real one again), before any other thread runs.  Returns the real
 * table, NULL when OpenCL cannot be opened. */
const clf_cl_table *clf_cl_replace(const clf_cl_table *table);

/* "CL_OUT_OF_RESOURCES"; "unknown OpenCL code" for others. */
const char *clf_cl_code_name(cl_int code);

/* The family that an OpenCL code belongs to. */
clf_status clf_cl_code_status(cl_int code);

#endif
