/* Counting and failing shims. */
#include "shims.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <clfusion/memory.h>

#include "core/size.h"
#include "core/text.h"
#include "runtime/embedded.h"

static const clf_cl_table *real;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static clf_shim_counts counts;
static const char *called[1 << 16]; /* names, the first at 0 */
static struct {
    const char *memory;
    size_t bytes;
    long reads;
} watched;
static struct {
    long k, calls, allocation_k, allocations, enqueued_after;
    bool from, allocation_from;
    const char *failed, *only;
    cl_command_queue failed_queue;
    cl_int only_code;
} plan;

/* ---- counting ---- */

static void count(long *counter, long by)
{
    pthread_mutex_lock(&lock);
    *counter += by;
    pthread_mutex_unlock(&lock);
}

/* The code to fail with, or CL_SUCCESS to go on. */
static cl_int verdict(const char *name, cl_int code)
{
    cl_int result = CL_SUCCESS;

    pthread_mutex_lock(&lock);
    if (plan.calls < (long)CLF_COUNT(called))
        called[plan.calls] = name;
    plan.calls++;
    if (plan.only != NULL && strcmp(plan.only, name) == 0)
        result = plan.only_code;
    else if (plan.k > 0 && (plan.calls == plan.k || (plan.from && plan.calls > plan.k)))
        result = code;
    if (result != CL_SUCCESS && plan.failed == NULL)
        plan.failed = name;
    pthread_mutex_unlock(&lock);
    return result;
}

static void enqueued(void)
{
    pthread_mutex_lock(&lock);
    counts.enqueued++;
    if (plan.failed != NULL)
        plan.enqueued_after++;
    pthread_mutex_unlock(&lock);
}

static bool is_watched(const void *host)
{
    const uintptr_t at = (uintptr_t)host, from = (uintptr_t)watched.memory;

    return at >= from && at - from < watched.bytes;
}

#define FAIL(name, code)                                                                                               \
    const cl_int failure = verdict(name, code);                                                                        \
    if (failure != CL_SUCCESS)                                                                                         \
    return failure

/* The same for a command of a queue. */
#define FAIL_COMMAND(name, code, queue)                                                                                \
    const cl_int failure = verdict(name, code);                                                                        \
    if (failure != CL_SUCCESS) {                                                                                       \
        plan.failed_queue = queue;                                                                                     \
        return failure;                                                                                                \
    }

/* A creating function returns an object and gives its code through a pointer. */
#define FAIL_CREATE(name, code)                                                                                        \
    const cl_int failure = verdict(name, code);                                                                        \
    if (failure != CL_SUCCESS) {                                                                                       \
        if (result != NULL)                                                                                            \
            *result = failure;                                                                                         \
        return NULL;                                                                                                   \
    }

/* ---- a GPU's look, and the programs built ---- */

/* With CLF_TEST_GPU set a device says that it is a GPU, and its platform an unknown one: the library then takes the
 * kernels, the options and the provider that it takes on GPUs, and the real device runs them. */
static bool looks_like_gpu(void)
{
    return getenv("CLF_TEST_GPU") != NULL;
}

static cl_int answer(const void *given, size_t given_bytes, size_t bytes, void *value, size_t *written)
{
    if (value != NULL && bytes < given_bytes)
        return CL_INVALID_VALUE;
    if (value != NULL)
        memcpy(value, given, given_bytes);
    if (written != NULL)
        *written = given_bytes;
    return CL_SUCCESS;
}

/* The embedded source that a program ends with. */
static const char *embedded_name(cl_program p)
{
    static char text[1 << 18];
    size_t bytes = 0;

    if (real->GetProgramInfo(p, CL_PROGRAM_SOURCE, sizeof text, text, &bytes) != CL_SUCCESS)
        return NULL;
    bytes -= bytes > 0; /* the final zero */
    for (size_t i = 0; i < clf_embedded_source_count; i++) {
        const clf_embedded *e = &clf_embedded_sources[i];

        if (e->bytes <= bytes && memcmp(text + bytes - e->bytes, e->text, e->bytes) == 0)
            return e->name;
    }
    return NULL;
}

/* Kernels of this process: what each is, and the items a group that were last seen. */
static struct {
    cl_kernel kernel;
    const char *source;
    char entry[64], options[400];
    size_t items;
} * made;
static size_t made_count;

typedef char record[600];
static record *records; /* that this process has written */
static size_t record_count;

/* Where kernels are recorded: while they have the shape that GPUs get. */
static const char *programs_file(void)
{
    const char *shape = getenv("CLFUSION_KERNELS");
    const bool tile = shape == NULL ? looks_like_gpu() : strcmp(shape, "tile") == 0;

    return tile ? getenv("CLF_TEST_PROGRAMS") : NULL;
}

static void stop_recording(const char *why)
{
    fprintf(stderr, "CLF_TEST_PROGRAMS: %s\n", why);
    abort(); /* a list with holes would be taken for whole */
}

/* Where k stands, or the end.  A released kernel's address may come again: its place is taken over then. */
static size_t place_of(cl_kernel k)
{
    size_t i = made_count;

    while (i > 0 && made[i - 1].kernel != k)
        i--;
    return i == 0 ? made_count : i - 1;
}

static void note_kernel(cl_kernel k, cl_program p, const char *entry)
{
    cl_device_id device;

    if (programs_file() == NULL)
        return;
    pthread_mutex_lock(&lock);
    const size_t i = place_of(k);

    made = i < made_count ? made : realloc(made, ++made_count * sizeof *made);
    if (made == NULL || (made[i].source = embedded_name(p)) == NULL ||
        real->GetProgramInfo(p, CL_PROGRAM_DEVICES, sizeof device, &device, NULL) != CL_SUCCESS ||
        real->GetProgramBuildInfo(p, device, CL_PROGRAM_BUILD_OPTIONS, sizeof made->options, made[i].options, NULL) !=
            CL_SUCCESS)
        stop_recording("a program's source or options are not to be had");
    clf_format(made[i].entry, sizeof made->entry, "%s", entry);
    made[i].kernel = k;
    made[i].items = 0;
    pthread_mutex_unlock(&lock);
}

static bool recorded(const record line)
{
    for (size_t i = 0; i < record_count; i++)
        if (strcmp(records[i], line) == 0)
            return true;
    return false;
}

/* In one piece: other test programs write there at the same time. */
static void write_record(const char *file, const record line, size_t length)
{
    const int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0666);

    if (fd < 0 || write(fd, line, length) != (ssize_t)length || close(fd) != 0)
        stop_recording("the file cannot be written");
    if ((records = realloc(records, (record_count + 1) * sizeof *records)) == NULL)
        stop_recording("out of memory");
    memcpy(records[record_count++], line, length + 1);
}

/* One line "source, kernel, items a group, options", with tabs between, at the end of the file CLF_TEST_PROGRAMS: what
 * tools/offline_compile.py compiles for devices that are not there. */
static void record_launch(cl_kernel k, size_t items)
{
    const char *file = programs_file();
    record line;

    if (file == NULL)
        return;
    pthread_mutex_lock(&lock);
    const size_t i = place_of(k);

    if (i < made_count && made[i].items != items) {
        const size_t length =
            clf_format(line, sizeof line, "%s\t%s\t%zu\t%s\n", made[i].source, made[i].entry, items, made[i].options);

        made[i].items = items;
        if (!recorded(line))
            write_record(file, line, length);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the table ---- */

static cl_int get_platform_ids(cl_uint entries, cl_platform_id *ids, cl_uint *found)
{
    FAIL("clGetPlatformIDs", -1001);
    return real->GetPlatformIDs(entries, ids, found);
}

static cl_context create_context(const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
                                 void (*notify)(const char *, const void *, size_t, void *), void *user, cl_int *result)
{
    cl_context c;

    FAIL_CREATE("clCreateContext", CL_OUT_OF_RESOURCES);
    c = real->CreateContext(properties, n, devices, notify, user, result);
    count(&counts.contexts, c != NULL);
    return c;
}

static cl_int retain_context(cl_context c)
{
    FAIL("clRetainContext", CL_OUT_OF_RESOURCES);
    count(&counts.contexts, 1);
    return real->RetainContext(c);
}

static cl_int release_context(cl_context c)
{
    count(&counts.contexts, -1);
    return real->ReleaseContext(c);
}

static cl_command_queue create_queue(cl_context c, cl_device_id d, cl_command_queue_properties p, cl_int *result)
{
    cl_command_queue q;

    FAIL_CREATE("clCreateCommandQueue", CL_OUT_OF_HOST_MEMORY);
    q = real->CreateCommandQueue(c, d, p, result);
    count(&counts.queues, q != NULL);
    return q;
}

static cl_int retain_queue(cl_command_queue q)
{
    FAIL("clRetainCommandQueue", CL_OUT_OF_RESOURCES);
    count(&counts.queues, 1);
    return real->RetainCommandQueue(q);
}

static cl_int release_queue(cl_command_queue q)
{
    count(&counts.queues, -1);
    return real->ReleaseCommandQueue(q);
}

static cl_mem create_buffer(cl_context c, cl_mem_flags flags, size_t bytes, void *host, cl_int *result)
{
    cl_mem m;

    FAIL_CREATE("clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE);
    m = real->CreateBuffer(c, flags, bytes, host, result);
    count(&counts.buffers, m != NULL);
    count(&counts.buffers_created, m != NULL);
    return m;
}

/* A part of a buffer, which takes no memory. */
static cl_mem create_sub_buffer(cl_mem whole, cl_mem_flags flags, cl_buffer_create_type type, const void *region,
                                cl_int *result)
{
    cl_mem m;

    FAIL_CREATE("clCreateSubBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE);
    m = real->CreateSubBuffer(whole, flags, type, region, result);
    count(&counts.buffers, m != NULL);
    return m;
}

static cl_int destructor_callback(cl_mem m, void(CL_CALLBACK *notify)(cl_mem, void *), void *user)
{
    FAIL("clSetMemObjectDestructorCallback", CL_OUT_OF_HOST_MEMORY);
    return real->SetMemObjectDestructorCallback(m, notify, user);
}

static cl_int release_mem(cl_mem m)
{
    count(&counts.buffers, -1);
    return real->ReleaseMemObject(m);
}

static cl_program program_with_source(cl_context c, cl_uint n, const char **texts, const size_t *bytes, cl_int *result)
{
    cl_program p;

    FAIL_CREATE("clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY);
    p = real->CreateProgramWithSource(c, n, texts, bytes, result);
    count(&counts.programs, p != NULL);
    return p;
}

static cl_program program_with_binary(cl_context c, cl_uint n, const cl_device_id *devices, const size_t *bytes,
                                      const unsigned char **binaries, cl_int *status, cl_int *result)
{
    cl_program p;

    FAIL_CREATE("clCreateProgramWithBinary", CL_INVALID_BINARY);
    p = real->CreateProgramWithBinary(c, n, devices, bytes, binaries, status, result);
    count(&counts.programs, p != NULL);
    return p;
}

static cl_int build_program(cl_program p, cl_uint n, const cl_device_id *devices, const char *options,
                            void (*notify)(cl_program, void *), void *user)
{
    FAIL("clBuildProgram", CL_BUILD_PROGRAM_FAILURE);
    count(&counts.programs_built, 1);
    return real->BuildProgram(p, n, devices, options, notify, user);
}

static cl_int release_program(cl_program p)
{
    count(&counts.programs, -1);
    return real->ReleaseProgram(p);
}

static cl_kernel create_kernel(cl_program p, const char *name, cl_int *result)
{
    cl_kernel k;

    FAIL_CREATE("clCreateKernel", CL_OUT_OF_HOST_MEMORY);
    k = real->CreateKernel(p, name, result);
    count(&counts.kernels, k != NULL);
    if (k != NULL)
        note_kernel(k, p, name);
    return k;
}

static cl_int release_kernel(cl_kernel k)
{
    count(&counts.kernels, -1);
    return real->ReleaseKernel(k);
}

static cl_int set_arg(cl_kernel k, cl_uint i, size_t bytes, const void *value)
{
    FAIL("clSetKernelArg", CL_OUT_OF_RESOURCES);
    return real->SetKernelArg(k, i, bytes, value);
}

static cl_int work_group_info(cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t bytes, void *value,
                              size_t *written)
{
    FAIL("clGetKernelWorkGroupInfo", CL_OUT_OF_RESOURCES);
    return real->GetKernelWorkGroupInfo(k, d, what, bytes, value, written);
}

static cl_int get_device_ids(cl_platform_id p, cl_device_type type, cl_uint entries, cl_device_id *ids, cl_uint *found)
{
    FAIL("clGetDeviceIDs", CL_DEVICE_NOT_FOUND);
    return real->GetDeviceIDs(p, type, entries, ids, found);
}

/* The queries have one shape: object, what, bytes, value, written. */
#define QUERY(function, Name, object, kind)                                                                            \
    static cl_int function(object o, kind what, size_t bytes, void *value, size_t *written)                            \
    {                                                                                                                  \
        FAIL("cl" #Name, CL_INVALID_VALUE);                                                                            \
        return real->Name(o, what, bytes, value, written);                                                             \
    }

static cl_int platform_info(cl_platform_id p, cl_platform_info what, size_t bytes, void *value, size_t *written)
{
    static const char name[] = "A GPU's look";

    FAIL("clGetPlatformInfo", CL_INVALID_VALUE);
    if (what == CL_PLATFORM_NAME && looks_like_gpu())
        return answer(name, sizeof name, bytes, value, written);
    return real->GetPlatformInfo(p, what, bytes, value, written);
}

static cl_int device_info(cl_device_id d, cl_device_info what, size_t bytes, void *value, size_t *written)
{
    const cl_device_type type = CL_DEVICE_TYPE_GPU;
    const cl_uint width = 1;

    FAIL("clGetDeviceInfo", CL_INVALID_VALUE);
    if (what == CL_DEVICE_TYPE && looks_like_gpu())
        return answer(&type, sizeof type, bytes, value, written);
    if (what == CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT && looks_like_gpu())
        return answer(&width, sizeof width, bytes, value, written);
    return real->GetDeviceInfo(d, what, bytes, value, written);
}

QUERY(context_info, GetContextInfo, cl_context, cl_context_info)
QUERY(queue_info, GetCommandQueueInfo, cl_command_queue, cl_command_queue_info)
QUERY(mem_info, GetMemObjectInfo, cl_mem, cl_mem_info)
QUERY(program_info, GetProgramInfo, cl_program, cl_program_info)
QUERY(event_info, GetEventInfo, cl_event, cl_event_info)
QUERY(profiling_info, GetEventProfilingInfo, cl_event, cl_profiling_info)

static cl_int build_info(cl_program p, cl_device_id d, cl_program_build_info what, size_t bytes, void *value,
                         size_t *written)
{
    FAIL("clGetProgramBuildInfo", CL_INVALID_VALUE);
    return real->GetProgramBuildInfo(p, d, what, bytes, value, written);
}

static cl_int enqueue_kernel(cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *offset, const size_t *global,
                             const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int code;

    FAIL_COMMAND("clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES, q);
    record_launch(k, local[0]);
    code = real->EnqueueNDRangeKernel(q, k, dims, offset, global, local, n, wait, event);
    count(&counts.events, event != NULL && code == CL_SUCCESS);
    count(&counts.launched, code == CL_SUCCESS);
    enqueued();
    return code;
}

static cl_int enqueue_read(cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset, size_t bytes, void *host,
                           cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int code;

    FAIL_COMMAND("clEnqueueReadBuffer", CL_OUT_OF_RESOURCES, q);
    count(&watched.reads, is_watched(host));
    code = real->EnqueueReadBuffer(q, m, blocking, offset, bytes, host, n, wait, event);
    count(&counts.events, event != NULL && code == CL_SUCCESS);
    enqueued();
    return code;
}

static cl_int enqueue_write(cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset, size_t bytes,
                            const void *host, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int code;

    FAIL_COMMAND("clEnqueueWriteBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE, q);
    code = real->EnqueueWriteBuffer(q, m, blocking, offset, bytes, host, n, wait, event);
    count(&counts.events, event != NULL && code == CL_SUCCESS);
    enqueued();
    return code;
}

static cl_int enqueue_marker(cl_command_queue q, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int code;

    FAIL_COMMAND("clEnqueueMarkerWithWaitList", CL_OUT_OF_RESOURCES, q);
    code = real->EnqueueMarkerWithWaitList(q, n, wait, event);
    count(&counts.events, event != NULL && code == CL_SUCCESS);
    enqueued();
    return code;
}

static cl_int enqueue_barrier(cl_command_queue q, cl_uint n, const cl_event *wait, cl_event *event)
{
    FAIL_COMMAND("clEnqueueBarrierWithWaitList", CL_OUT_OF_RESOURCES, q);
    enqueued();
    return real->EnqueueBarrierWithWaitList(q, n, wait, event);
}

static cl_int finish(cl_command_queue q)
{
    const cl_int failure = verdict("clFinish", CL_OUT_OF_RESOURCES);
    const cl_int code = real->Finish(q); /* wait all the same: the commands are real */

    if (failure != CL_SUCCESS)
        plan.failed_queue = q;
    return failure != CL_SUCCESS ? failure : code;
}

static cl_int flush(cl_command_queue q)
{
    FAIL("clFlush", CL_OUT_OF_RESOURCES);
    return real->Flush(q);
}

static cl_int release_event(cl_event e)
{
    count(&counts.events, -1);
    return real->ReleaseEvent(e);
}

/* ---- host memory ---- */

static bool refuse_allocation(void)
{
    bool refused;

    pthread_mutex_lock(&lock);
    plan.allocations++;
    refused = plan.allocation_k > 0 &&
              (plan.allocations == plan.allocation_k || (plan.allocation_from && plan.allocations > plan.allocation_k));
    if (refused && plan.failed == NULL)
        plan.failed = "allocation";
    pthread_mutex_unlock(&lock);
    return refused;
}

static void *allocate(void *user, size_t bytes)
{
    void *memory = refuse_allocation() ? NULL : malloc(bytes);

    (void)user;
    count(&counts.allocations, memory != NULL);
    count(&counts.allocated, memory != NULL);
    return memory;
}

static void *reallocate(void *user, void *memory, size_t bytes)
{
    void *larger = refuse_allocation() ? NULL : realloc(memory, bytes);

    (void)user;
    count(&counts.allocations, larger != NULL && memory == NULL);
    count(&counts.allocated, larger != NULL);
    return larger;
}

static void release(void *user, void *memory)
{
    (void)user;
    count(&counts.allocations, memory != NULL ? -1 : 0);
    free(memory);
}

/* ---- what tests call ---- */

bool clf_shims_install(void)
{
    static clf_cl_table table;
    static const clf_allocator allocator = { NULL, allocate, reallocate, release };

    clf_set_allocator(&allocator);
    if (real != NULL)
        return true;
    real = clf_cl_replace(NULL);
    if (real == NULL)
        return false;
    table = *real;
    table.GetPlatformIDs = get_platform_ids;
    table.GetDeviceIDs = get_device_ids;
    table.GetPlatformInfo = platform_info;
    table.GetDeviceInfo = device_info;
    table.GetContextInfo = context_info;
    table.GetCommandQueueInfo = queue_info;
    table.GetProgramInfo = program_info;
    table.GetProgramBuildInfo = build_info;
    table.GetEventInfo = event_info;
    table.GetEventProfilingInfo = profiling_info;
    table.CreateContext = create_context;
    table.RetainContext = retain_context;
    table.ReleaseContext = release_context;
    table.CreateCommandQueue = create_queue;
    table.RetainCommandQueue = retain_queue;
    table.ReleaseCommandQueue = release_queue;
    table.CreateBuffer = create_buffer;
    table.CreateSubBuffer = create_sub_buffer;
    table.SetMemObjectDestructorCallback = destructor_callback;
    table.ReleaseMemObject = release_mem;
    table.GetMemObjectInfo = mem_info;
    table.CreateProgramWithSource = program_with_source;
    table.CreateProgramWithBinary = program_with_binary;
    table.BuildProgram = build_program;
    table.ReleaseProgram = release_program;
    table.CreateKernel = create_kernel;
    table.ReleaseKernel = release_kernel;
    table.SetKernelArg = set_arg;
    table.GetKernelWorkGroupInfo = work_group_info;
    table.EnqueueNDRangeKernel = enqueue_kernel;
    table.EnqueueReadBuffer = enqueue_read;
    table.EnqueueWriteBuffer = enqueue_write;
    table.EnqueueMarkerWithWaitList = enqueue_marker;
    table.EnqueueBarrierWithWaitList = enqueue_barrier;
    table.Finish = finish;
    table.Flush = flush;
    table.ReleaseEvent = release_event;
    clf_cl_replace(&table);
    return true;
}

clf_shim_counts clf_shims_count(void)
{
    return counts;
}

bool clf_shims_balanced(const clf_shim_counts *before)
{
    return counts.contexts == before->contexts && counts.queues == before->queues &&
           counts.buffers == before->buffers && counts.programs == before->programs &&
           counts.kernels == before->kernels && counts.events == before->events &&
           counts.allocations == before->allocations;
}

static void start_anew(void)
{
    plan.failed = NULL;
    plan.failed_queue = NULL;
    plan.enqueued_after = watched.reads = 0;
}

void clf_shims_fail_cl(long k, bool from)
{
    pthread_mutex_lock(&lock);
    plan.k = k;
    plan.from = from;
    plan.calls = 0;
    start_anew();
    pthread_mutex_unlock(&lock);
}

void clf_shims_fail_allocation(long k, bool from)
{
    pthread_mutex_lock(&lock);
    plan.allocation_k = k;
    plan.allocation_from = from;
    plan.allocations = 0;
    start_anew();
    pthread_mutex_unlock(&lock);
}

long clf_shims_calls(void)
{
    return plan.calls;
}

long clf_shims_allocations(void)
{
    return plan.allocations;
}

const char *clf_shims_called(long k)
{
    return k >= 1 && k <= plan.calls && k <= (long)CLF_COUNT(called) ? called[k - 1] : "";
}

const char *clf_shims_failed(void)
{
    return plan.failed;
}

cl_command_queue clf_shims_failed_queue(void)
{
    return plan.failed_queue;
}

long clf_shims_enqueued_after(void)
{
    return plan.enqueued_after;
}

void clf_shims_watch(const void *memory, size_t bytes)
{
    watched.memory = memory;
    watched.bytes = bytes;
    watched.reads = 0;
}

long clf_shims_watched_reads(void)
{
    return watched.reads;
}

void clf_shims_fail_named(const char *name, cl_int code)
{
    pthread_mutex_lock(&lock);
    plan.only = name;
    plan.only_code = code;
    start_anew();
    pthread_mutex_unlock(&lock);
}
