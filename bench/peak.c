/* peak: runs the kernels of cl/peak.cl. */
#include "peak.h"

#include <inttypes.h>

#include "cli/timing.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "runtime/launch.h"
#include "runtime/op.h"

#define CLF_OP "peak"

enum {
    FIRST_READINGS = 3,
    FLOATS = 1 << 24,   /* 64 MiB: beyond the caches of desktop processors */
    GROUPS_A_UNIT = 16, /* several for each core, so that a late one does not leave the others idle for long */
    TILE_ITEMS = 64,    /* the smallest limit of a work-group that we test with */
    TILE_GROUPS_A_UNIT = 64,
    MOST_GROUPS = 4096,
    FIRST_ROUNDS = 64,
    MOST_LAUNCHES = 256,
};

static const double fma_seconds = 4e-3; /* long against a launch, short against a watchdog */

static clf_status run(clf_peak *p, const char *simd, const char *tile, const clf_arg *args, size_t count,
                      uint64_t launches, double *seconds, clf_error *err)
{
    const clf_kernel kernel = {
        .program = "peak", .entry = p->tile ? tile : simd, .options = "", .groups = { p->groups, 1 }, .items = p->items
    };
    const double begin = clf_seconds();

    for (uint64_t i = 0; i < launches; i++)
        clf_launch(p->stream, &kernel, args, count);
    CLF_TRY(clf_stream_finish(p->stream, err));
    *seconds = clf_seconds() - begin;
    return CLF_OK;
}

static clf_status run_fma(clf_peak *p, double *seconds, double *work, clf_error *err)
{
    /* a fixed point of 1: no overflow, no subnormal numbers */
    const clf_arg args[] = { clf_arg_memory(p->out), clf_arg_u32(p->rounds), clf_arg_f32(0.5F), clf_arg_f32(0.5F) };

    *work = 2.0 * (double)(p->chains * (p->tile ? 1 : p->width)) * p->rounds * (double)(p->groups * p->items);
    return run(p, "clf_peak_fma_simd", "clf_peak_fma_tile", args, CLF_COUNT(args), 1, seconds, err);
}

/* Small sizes are launched often, so that every reading takes about as long. */
static uint64_t launches_of(const clf_peak *p)
{
    return CLF_MIN(CLF_MAX(p->most / p->count, 1), MOST_LAUNCHES);
}

static clf_status run_copy(clf_peak *p, double *seconds, double *work, clf_error *err)
{
    const clf_arg args[] = { clf_arg_memory(p->in), clf_arg_memory(p->out), clf_arg_u64(p->count),
                             clf_arg_u32(clf_stores_past(p->stream, p->out, 8 * p->count)) };

    *work = 8.0 * (double)(p->count * launches_of(p));
    return run(p, "clf_peak_copy_simd", "clf_peak_copy_tile", args, CLF_COUNT(args), launches_of(p), seconds, err);
}

static clf_status run_read(clf_peak *p, double *seconds, double *work, clf_error *err)
{
    const clf_arg args[] = { clf_arg_memory(p->in), clf_arg_memory(p->out), clf_arg_u64(p->count) };

    *work = 4.0 * (double)(p->count * launches_of(p));
    return run(p, "clf_peak_read_simd", "clf_peak_read_tile", args, CLF_COUNT(args), launches_of(p), seconds, err);
}

/* As much for every work-item; on CPUs whole vectors, STEP of cl/peak.cl of 16 floats. */
static uint64_t step_of(const clf_peak *p)
{
    return p->groups * p->items * (p->tile ? 1 : 64);
}

static uint64_t whole_count(const clf_peak *p, uint64_t count)
{
    const uint64_t step = step_of(p);

    return CLF_MIN(CLF_MAX(count / step, 1) * step, p->most);
}

/* The floats of a buffer: a multiple of the step, with fewer groups where a driver reports a tiny limit. */
static clf_status choose_size(clf_peak *p, const clf_device_info *device, clf_error *err)
{
    const uint64_t units = CLF_MAX(device->compute_units, 1);

    p->items = p->tile ? TILE_ITEMS : 1;
    p->groups = CLF_MIN(units * (p->tile ? TILE_GROUPS_A_UNIT : GROUPS_A_UNIT), MOST_GROUPS);
    p->most = CLF_MIN((uint64_t)FLOATS, device->allocation_bytes / 16);
    while (p->groups > 1 && step_of(p) > p->most)
        p->groups /= 2;
    CLF_REQUIRE(err, step_of(p) <= p->most, CLF_UNSUPPORTED,
                "device allocates at most %" PRIu64 " bytes at once; want at least %" PRIu64, device->allocation_bytes,
                step_of(p) * 16);
    p->most -= p->most % step_of(p);
    p->count = p->most;
    return CLF_OK;
}

clf_status clf_peak_measure(clf_peak *p, clf_peak_kind kind, double bytes, double *rate, clf_error *err)
{
    double seconds = 0.0, work = 0.0;

    p->count = bytes > 0 ? whole_count(p, (uint64_t)(bytes / (kind == CLF_PEAK_READ ? 4 : 8))) : p->most;
    switch (kind) {
    case CLF_PEAK_FMA:
        CLF_TRY(run_fma(p, &seconds, &work, err));
        break;
    case CLF_PEAK_COPY:
        CLF_TRY(run_copy(p, &seconds, &work, err));
        break;
    case CLF_PEAK_READ:
        CLF_TRY(run_read(p, &seconds, &work, err));
        break;
    }
    *rate = work / seconds;
    if (kind == CLF_PEAK_FMA || p->count == p->most)
        p->best[kind] = CLF_MAX(p->best[kind], *rate);
    return CLF_OK;
}

static clf_status read_width(clf_peak *p, clf_error *err)
{
    const clf_kernel kernel = {
        .program = "peak", .entry = "clf_peak_width", .options = "", .groups = { 1, 1 }, .items = 1
    };
    float text[2] = { 0.0F, 0.0F };
    clf_tensor width = clf_tensor_at(p->out.mem, p->out.offset, CLF_F32, CLF_DIMS(2));

    CLF_LAUNCH(p->stream, &kernel, clf_arg_memory(width));
    clf_download(p->stream, width, text);
    CLF_TRY(clf_stream_finish(p->stream, err));
    p->width = (uint64_t)text[0];
    p->chains = (uint64_t)text[1];
    return CLF_OK;
}

/* Longer and longer, until the time of a launch does not count. */
static clf_status choose_rounds(clf_peak *p, clf_error *err)
{
    double seconds = 0.0, work = 0.0;

    p->rounds = FIRST_ROUNDS;
    CLF_TRY(run_fma(p, &seconds, &work, err)); /* builds the program */
    CLF_TRY(run_fma(p, &seconds, &work, err));
    while (seconds < fma_seconds && p->rounds < UINT32_MAX / 2) {
        p->rounds *= 2;
        CLF_TRY(run_fma(p, &seconds, &work, err));
    }
    return CLF_OK;
}

/* Ones, not what the memory held: subnormal numbers would be slow to add.  Touches every page, too. */
static clf_status fill(clf_peak *p, clf_error *err)
{
    double seconds = 0.0, work = 0.0;
    float *ones = clf_alloc((size_t)p->most, sizeof *ones);

    CLF_REQUIRE(err, ones != NULL, CLF_OUT_OF_MEMORY, "no memory for %" PRIu64 " floats", p->most);
    for (uint64_t i = 0; i < p->most; i++)
        ones[i] = 1.0F;
    clf_upload(p->stream, ones, p->in);
    const clf_status status = clf_stream_finish(p->stream, err);
    clf_free(ones);
    return status == CLF_OK ? run_copy(p, &seconds, &work, err) : status;
}

clf_status clf_peak_open(clf_stream *s, clf_peak *p, clf_error *err)
{
    clf_context *ctx = clf_stream_context(s);
    const clf_device_info *device = clf_context_device(ctx);
    double rate;

    *p = (clf_peak){ .stream = s, .tile = device->kind != CLF_DEVICE_CPU };
    CLF_TRY(choose_size(p, device, err));
    CLF_TRY(clf_tensor_create(ctx, CLF_F32, CLF_DIMS((int64_t)p->most), &p->in, err));
    CLF_TRY(clf_tensor_create(ctx, CLF_F32, CLF_DIMS((int64_t)p->most), &p->out, err));
    CLF_TRY(read_width(p, err));
    CLF_TRY(choose_rounds(p, err));
    CLF_TRY(fill(p, err));
    for (int i = 0; i < FIRST_READINGS * CLF_PEAK_KINDS; i++)
        CLF_TRY(clf_peak_measure(p, (clf_peak_kind)(i % CLF_PEAK_KINDS), 0, &rate, err));
    return CLF_OK;
}

void clf_peak_close(clf_peak *p)
{
    if (p->stream == NULL)
        return;
    clf_stream_reset(p->stream);
    if (p->in.mem != NULL)
        clf_tensor_free(clf_stream_context(p->stream), &p->in);
    if (p->out.mem != NULL)
        clf_tensor_free(clf_stream_context(p->stream), &p->out);
    p->stream = NULL;
}

const char *clf_peak_name(clf_peak_kind kind)
{
    static const char *const names[CLF_PEAK_KINDS] = { "fma", "copy", "read" };

    return names[kind];
}
