/* Launching a kernel: program, kernel object, arguments, limits. */
#include "runtime/launch.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "runtime/stream.h"

clf_arg clf_arg_memory(clf_tensor t)
{
    return (clf_arg){ .kind = CLF_ARG_MEMORY, .tensor = t };
}

clf_arg clf_arg_rows(clf_tensor t)
{
    return (clf_arg){ .kind = CLF_ARG_ROWS, .tensor = t };
}

clf_arg clf_arg_u32(uint32_t value)
{
    return (clf_arg){ .kind = CLF_ARG_U32, .u = value };
}

clf_arg clf_arg_u64(uint64_t value)
{
    return (clf_arg){ .kind = CLF_ARG_U64, .u = value };
}

clf_arg clf_arg_f32(float value)
{
    return (clf_arg){ .kind = CLF_ARG_F32, .f = value };
}

clf_options clf_options_types(const char *macro, clf_dtype dtype, ...)
{
    clf_options o = { "" };
    size_t at = 0;
    va_list list;

    va_start(list, dtype);
    while (macro != NULL) {
        at +=
            clf_format(o.text + at, sizeof o.text - at, "%s-D%s=%s", at == 0 ? "" : " ", macro, clf_dtype_name(dtype));
        macro = va_arg(list, const char *);
        if (macro != NULL)
            dtype = (clf_dtype)va_arg(list, int);
    }
    va_end(list);
    return o;
}

/* Leading dimensions that follow each other without gaps count as one; at most two may be left. */
bool clf_rows_of(clf_tensor t, clf_rows *rows)
{
    uint64_t count[CLF_MAX_RANK], stride[CLF_MAX_RANK];
    const uint64_t bytes = clf_dtype_bytes(t.dtype);
    int levels = 0;

    if (bytes == 0 || t.offset % bytes != 0 || !clf_row_dense(t))
        return false;
    for (int32_t i = t.rank - 2; i >= 0; i--) {
        const uint64_t n = (uint64_t)t.dim[i], step = (uint64_t)t.stride[i];

        if (n == 1)
            continue;
        if (levels > 0 && step == count[levels - 1] * stride[levels - 1])
            count[levels - 1] *= n;
        else {
            count[levels] = n;
            stride[levels++] = step;
        }
    }
    *rows = (clf_rows){ { t.offset / bytes, levels > 0 && count[0] > 0 ? count[0] : 1, levels > 0 ? stride[0] : 0,
                          levels > 1 ? stride[1] : 0 } };
    if (levels < 2) /* one level: never wrap, so that r / v[1] is 0 */
        rows->v[1] = UINT64_MAX;
    return levels <= 2;
}

/* The largest work-group of a kernel.  A size that its source states counts: the program would not have been built
 * otherwise, yet rusticl 22.3 answers 32 for every kernel (2026-11). */
static clf_status find_item_limit(clf_stream *s, const clf_kernel *k, clf_stream_kernel *kernel, clf_error *err)
{
    size_t stated[3] = { 0 };

    CLF_CL(s->ctx, err,
           clf_cl()->GetKernelWorkGroupInfo(kernel->cl, s->ctx->device, CL_KERNEL_WORK_GROUP_SIZE,
                                            sizeof kernel->item_limit, &kernel->item_limit, NULL),
           "%s: clGetKernelWorkGroupInfo", k->entry);
    if (k->items > kernel->item_limit)
        CLF_CL(s->ctx, err,
               clf_cl()->GetKernelWorkGroupInfo(kernel->cl, s->ctx->device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
                                                sizeof stated, stated, NULL),
               "%s: clGetKernelWorkGroupInfo", k->entry);
    kernel->item_limit = CLF_MAX(kernel->item_limit, stated[0]);
    return CLF_OK;
}

/* The kernel object of this stream for an entry of a program. */
static clf_status kernel_get(clf_stream *s, const clf_kernel *k, clf_stream_kernel *kernel, clf_error *err)
{
    cl_program program;
    cl_int code = CL_SUCCESS;
    clf_status status;

    CLF_TRY(clf_program_get(s->ctx, k->program, k->options, &program, err));
    for (size_t i = 0; i < s->kernel_count; i++)
        if (s->kernels[i].program == program && strcmp(s->kernels[i].entry, k->entry) == 0) {
            *kernel = s->kernels[i];
            return CLF_OK;
        }
    CLF_TRY(clf_grow((void **)&s->kernels, s->kernel_count, &s->kernel_capacity, sizeof *kernel, err));
    *kernel = (clf_stream_kernel){ .program = program, .entry = k->entry };
    kernel->cl = clf_cl()->CreateKernel(program, k->entry, &code);
    CLF_CL(s->ctx, err, code, "%s: clCreateKernel", k->entry);
    status = find_item_limit(s, k, kernel, err);
    if (status != CLF_OK) {
        clf_cl()->ReleaseKernel(kernel->cl);
        return status;
    }
    s->kernels[s->kernel_count++] = *kernel;
    return CLF_OK;
}

static clf_status set(clf_stream *s, const clf_kernel *k, cl_kernel kernel, cl_uint index, size_t bytes,
                      const void *value, clf_error *err)
{
    CLF_CL(s->ctx, err, clf_cl()->SetKernelArg(kernel, index, bytes, value), "%s: clSetKernelArg %u", k->entry,
           (unsigned)index);
    return CLF_OK;
}

static clf_status set_arg(clf_stream *s, const clf_kernel *k, cl_kernel kernel, const clf_arg *arg, cl_uint *index,
                          clf_error *err)
{
    const cl_mem mem = arg->tensor.mem != NULL ? arg->tensor.mem : s->ctx->dummy;
    const cl_uint u32 = (cl_uint)arg->u;
    const cl_ulong u64 = arg->u;
    clf_rows rows = { { 0 } };

    switch (arg->kind) {
    case CLF_ARG_ROWS:
    case CLF_ARG_MEMORY:
        if (clf_present(arg->tensor))
            CLF_TRY(clf_in_memory(s, k->program, arg->tensor, err));
        CLF_TRY(set(s, k, kernel, (*index)++, sizeof mem, &mem, err));
        if (arg->kind == CLF_ARG_MEMORY)
            return CLF_OK;
        if (clf_present(arg->tensor) && !clf_rows_of(arg->tensor, &rows))
            return CLF_FAIL(err, CLF_INTERNAL, "%s: %s has no rows", k->entry, CLF_TEXT(arg->tensor));
        if (rows.v[1] == 0)
            rows.v[1] = 1;
        return set(s, k, kernel, (*index)++, sizeof rows, &rows, err);
    case CLF_ARG_U32:
        return set(s, k, kernel, (*index)++, sizeof u32, &u32, err);
    case CLF_ARG_U64:
        return set(s, k, kernel, (*index)++, sizeof u64, &u64, err);
    case CLF_ARG_F32:
        break;
    }
    return set(s, k, kernel, (*index)++, sizeof arg->f, &arg->f, err);
}

/* Mesa's llvmpipe (22.3, 2026-11) ends the loops of a work-item without a word when they have turned so often, all of
 * them together; leaving a loop counts too. */
#define LLVMPIPE_TURNS 65535

uint64_t clf_launch_turns(const clf_stream *s)
{
    return s->ctx->emulated_fma ? LLVMPIPE_TURNS : UINT64_MAX;
}

static clf_status launch(clf_stream *s, const clf_kernel *k, const clf_arg *args, size_t count, clf_error *err)
{
    const size_t global[2] = { (size_t)(k->groups[0] * k->items), (size_t)k->groups[1] };
    const size_t local[2] = { (size_t)k->items, 1 };
    clf_stream_kernel kernel;
    cl_event event = NULL;
    cl_uint index = 0;

    if (k->turns > clf_launch_turns(s))
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "%s: the loops of a work-item turn up to %" PRIu64
                        " times; want at most %d on llvmpipe, or another device",
                        k->entry, k->turns, LLVMPIPE_TURNS);
    CLF_TRY(kernel_get(s, k, &kernel, err));
    if (k->items > kernel.item_limit || k->items > s->ctx->info.work_group_limit)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "%s: work-groups of %" PRIu64 " items; the device allows %" PRIu64 " and the kernel %zu",
                        k->entry, k->items, s->ctx->info.work_group_limit, kernel.item_limit);
    for (size_t i = 0; i < count; i++)
        CLF_TRY(set_arg(s, k, kernel.cl, &args[i], &index, err));
    CLF_CL(s->ctx, err,
           clf_cl()->EnqueueNDRangeKernel(s->queue, kernel.cl, 2, NULL, global, local, 0, NULL,
                                          clf_stream_event_slot(s, &event)),
           "%s: clEnqueueNDRangeKernel of %zu x %zu by %zu", k->entry, global[0], global[1], local[0]);
    s->launches++;
    for (size_t i = 0; i < count; i++)
        clf_stream_operand(s, args[i].tensor);
    clf_stream_enqueued(s, k->entry, event);
    return CLF_OK;
}

void clf_launch(clf_stream *s, const clf_kernel *k, const clf_arg *args, size_t count)
{
    if (!clf_op_enter(s) || k->groups[0] == 0 || k->groups[1] == 0)
        return;
    clf_op_passed(s, launch(s, k, args, count, &s->error));
}
