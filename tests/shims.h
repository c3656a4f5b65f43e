/* Shims under the tables: they count what is created and released, and make the k-th call fail.
 *
 * Two variables of the environment: with CLF_TEST_GPU set the device says that it is a GPU, so that the library does what
 * it would do there; CLF_TEST_PROGRAMS names a file to which each kernel launched in the shape of GPUs is added, for
 * tools/offline_compile.py. */
#ifndef CLF_TESTS_SHIMS_H
#define CLF_TESTS_SHIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/cl_table.h"

/* Live objects by kind, as counted since clf_shims_install. */
typedef struct clf_shim_counts {
    long contexts, queues, buffers, programs, kernels, events;
    long allocations;     /* host blocks alive */
    long buffers_created; /* ever */
    long programs_built;  /* ever */
    long enqueued;        /* kernels, reads, writes, markers: ever */
    long launched;        /* kernels alone: ever */
    long allocated;       /* host blocks: ever */
} clf_shim_counts;

/* Puts the shims before the real tables; once, before anything else.  False: no OpenCL on this machine. */
bool clf_shims_install(void);
clf_shim_counts clf_shims_count(void);
bool clf_shims_balanced(const clf_shim_counts *before); /* the same objects and blocks are alive */

/* Fails call k (1, 2, ...) of the OpenCL calls that can fail, counted from here on; `from`: also every later one.  The
 * code is one that the function may really give.  k = 0: nothing fails. */
void clf_shims_fail_cl(long k, bool from);
/* The same for host allocations. */
void clf_shims_fail_allocation(long k, bool from);
long clf_shims_calls(void);           /* OpenCL calls since clf_shims_fail_cl */
long clf_shims_allocations(void);     /* host allocations since clf_shims_fail_allocation */
const char *clf_shims_called(long k); /* name of OpenCL call k since clf_shims_fail_cl; "" beyond the first 65536 */
const char *clf_shims_failed(void);   /* name of the OpenCL call that was made to fail, or "allocation"; NULL: none */
cl_command_queue clf_shims_failed_queue(void); /* of a command or clFinish that was made to fail; NULL: no such call */
long clf_shims_enqueued_after(void);           /* commands enqueued after the failure */

/* Reads into this host memory, counted since the last clf_shims_fail_cl or clf_shims_fail_allocation. */
void clf_shims_watch(const void *memory, size_t bytes);
long clf_shims_watched_reads(void);

/* Only failures of this code and call, for one path: NULL, 0 ends it. */
void clf_shims_fail_named(const char *name, cl_int code);

#endif
