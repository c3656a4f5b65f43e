/* resize: y = (resample(x) rescale - mean) / std.  x [B, H, W, C]; y [B, h, w, C] or [B, C, h, w].
 *
 *     u8, few channels   across: t[b, i, o, :] = rows of x that y needs, each resampled to w pixels, in the type of x
 *                        down:   y = columns of t resampled, mean and std, layout
 *     f32, many channels rows (CPU), direct (GPU): both at once, since neighbouring channels fill vectors */
#include <clfusion/resize.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "ops/check.h"
#include "ops/resize_table.h"
#include "ops/sweep.h"

#define CLF_OP "resize"

/* From here on both passes at once are faster; a CPU's vector. */
#define DIRECT_CHANNELS 16

/* Turns of the loops of a work-item, at most about: Mesa's llvmpipe (22.3, 2026-11) ends loops after 65535 without a
 * word.  Some ten microseconds, so starting a group does not count. */
#define TURNS 16384

/* Channels of a group then: 16 old pixels of so many fill half a first cache. */
#define DIRECT_SPAN UINT64_C(256)

/* Groups for each compute unit of a CPU device, when each has rows of its own. */
#define ROW_GROUPS UINT64_C(4)

/* Items of a group on GPUs: the kernels hold vectors, and llvmpipe allows no more of them. */
#define ITEMS 32

/* Columns of a vector, and turns that they may take: vectors are of 4 on some devices, and columns that fill none go
 * one by one. */
#define VECTOR UINT64_C(16)
#define VECTOR_TURNS UINT64_C(8)

/* A call: x [B, H, W, C] with one row a picture row, y, and the two tables with their copies on the device. */
typedef struct job {
    clf_resize_options options;
    clf_tensor x, y;
    int64_t B, H, W, C, h, w;
    clf_resize_axis across, down;
    clf_resize_table columns, rows;
    clf_tensor columns_at, rows_at;
    clf_tensor affine; /* f32 [2, w C]: factor and term of every column of a row; or absent */
} job;

static clf_resize_options options_of(const clf_resize_options *options)
{
    clf_resize_options o = clf_resize_options_default();

    if (options != NULL)
        (void)clf_desc_read(&o, sizeof o, options); /* the check has found it readable */
    return o;
}

/* Rank 4, with B = 1 where there is none. */
static clf_tensor batched(clf_tensor t)
{
    if (t.rank != 3)
        return t;
    for (int32_t i = 3; i > 0; i--) {
        t.dim[i] = t.dim[i - 1];
        t.stride[i] = t.stride[i - 1];
    }
    t.dim[0] = 1;
    t.stride[0] = t.dim[1] * t.stride[1];
    t.rank = 4;
    return t;
}

/* What the shapes say; both have been found to be of rank 3 or 4. */
static job job_of(clf_tensor x, const clf_resize_options *options, clf_tensor y)
{
    job j = { .options = options_of(options), .x = batched(x), .y = batched(y) };
    const int first = j.options.channels_first ? 2 : 1;

    j.B = j.x.dim[0];
    j.H = j.x.dim[1];
    j.W = j.x.dim[2];
    j.C = j.x.dim[3];
    j.h = j.y.dim[first];
    j.w = j.y.dim[first + 1];
    j.across = (clf_resize_axis){ .filter = j.options.filter,
                                  .antialias = j.options.antialias,
                                  .fixed = x.dtype == CLF_U8,
                                  .in = j.W,
                                  .out = j.options.width > 0 ? j.options.width : j.w,
                                  .first = j.options.left,
                                  .count = j.w };
    j.down = j.across;
    j.down.in = j.H;
    j.down.out = j.options.height > 0 ? j.options.height : j.h;
    j.down.first = j.options.top;
    j.down.count = j.h;
    return j;
}

static clf_status check_axis(const clf_resize_axis *a, const char *name, clf_error *err)
{
    const double width = clf_resize_width(a);

    CLF_REQUIRE(err, a->in >= 1 && a->in <= INT32_MAX && a->out <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "%s goes from %" PRId64 " to %" PRId64 "; want 1 to 2^31 - 1", name, a->in, a->out);
    CLF_REQUIRE(err, a->first >= -INT32_MAX && a->first <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "%s begins at %" PRId64 "; want at most 2^31 - 1 from the picture", name, a->first);
    CLF_REQUIRE(err, (width + 4.0) * (double)a->count <= (double)CLF_RESIZE_WEIGHTS, CLF_UNSUPPORTED,
                "%s goes from %" PRId64 " to %" PRId64 ", %.0f weights for each of %" PRId64 "; want at most 2^24",
                name, a->in, a->out, width, a->count);
    return CLF_OK;
}

static clf_status check_options(const clf_resize_options *o, clf_error *err)
{
    CLF_REQUIRE(err, (unsigned)o->filter <= CLF_RESAMPLE_LANCZOS, CLF_INVALID_ARGUMENT,
                "filter is %d; want bilinear, bicubic or lanczos", (int)o->filter);
    CLF_REQUIRE(err, o->antialias || o->filter == CLF_RESAMPLE_BILINEAR, CLF_UNSUPPORTED,
                "antialias is false for %s; want true, or bilinear",
                o->filter == CLF_RESAMPLE_BICUBIC ? "bicubic" : "lanczos");
    CLF_REQUIRE(err, o->height >= 0 && o->width >= 0, CLF_INVALID_ARGUMENT,
                "height is %" PRId64 " and width %" PRId64 "; want at least 1, or 0 for that of y", o->height,
                o->width);
    return CLF_OK;
}

/* One picture row, all its pixels and channels, is a row. */
static clf_tensor rows_of_pixels(clf_tensor t)
{
    t.dim[t.rank - 2] *= t.dim[t.rank - 1];
    t.stride[t.rank - 2] = 1;
    t.rank--;
    return t;
}

/* The pixels of a row lie side by side. */
static bool gapless(clf_tensor t)
{
    return t.stride[t.rank - 2] == t.dim[t.rank - 1] || t.dim[t.rank - 2] <= 1 || t.dim[t.rank - 1] == 0;
}

clf_status clf_resize_check(clf_tensor x, const clf_resize_options *options, clf_tensor y, clf_error *err)
{
    clf_resize_options o = clf_resize_options_default();

    CLF_DESC_READ(err, &o, options);
    CLF_TRY(check_options(&o, err));
    CLF_REQUIRE(err, x.dtype == CLF_U8 || x.dtype == CLF_F32, CLF_UNSUPPORTED, "x is %s; want u8 or f32", CLF_TEXT(x));
    CLF_REQUIRE_SHAPE(err, x, "x");
    CLF_REQUIRE(err, clf_dim(x, -1) <= INT32_MAX, CLF_UNSUPPORTED, "x is %s; want fewer than 2^31 colours",
                CLF_TEXT(x));
    CLF_REQUIRE(err, (x.rank == 3 || x.rank == 4) && clf_dim(x, -2) > 0 && clf_dim(x, -3) > 0, CLF_INVALID_ARGUMENT,
                "x is %s; want [H, W, C] or [B, H, W, C] with a pixel", CLF_TEXT(x));
    CLF_REQUIRE(err, clf_row_dense(x) && gapless(x), CLF_UNSUPPORTED,
                "x is a view with gaps between pixels; want a row without");
    CLF_REQUIRE_TENSOR(err, rows_of_pixels(x), "x");
    CLF_REQUIRE(err, y.dtype == CLF_F32, CLF_UNSUPPORTED, "y is %s; want f32", CLF_TEXT(y));
    CLF_REQUIRE_SHAPE(err, y, "y");
    CLF_REQUIRE(err,
                y.rank == x.rank && clf_dim(y, o.channels_first ? -3 : -1) == clf_dim(x, -1) &&
                    (x.rank == 3 || y.dim[0] == x.dim[0]),
                CLF_INVALID_ARGUMENT, "y is %s; want %s for x %s", CLF_TEXT(y),
                o.channels_first ? "channels, height, width" : "height, width, channels", CLF_TEXT(x));
    CLF_REQUIRE(err, o.channels_first || (clf_row_dense(y) && gapless(y)), CLF_UNSUPPORTED,
                "y is a view with gaps between pixels; want a row without");
    CLF_REQUIRE_RESULT(err, o.channels_first ? y : rows_of_pixels(y), "y");
    const job j = job_of(x, options, y);
    CLF_TRY(check_axis(&j.across, "width", err));
    CLF_TRY(check_axis(&j.down, "height", err));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

static bool has_affine(const clf_resize_options *o)
{
    return o->rescale != 1.0 || o->mean != NULL || o->std != NULL;
}

/* y = v factor + term, in double on the host: one rounding of each. */
static void upload_affine(clf_stream *s, job *j)
{
    const size_t columns = (size_t)(j->w * j->C), bytes = 2 * columns * sizeof(float);
    float *values = clf_alloc(columns, 2 * sizeof *values);

    j->affine = clf_scratch(s, CLF_F32, CLF_DIMS(2, j->w * j->C));
    if (values == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %zu bytes", bytes);
        return;
    }
    for (size_t i = 0; i < columns; i++) {
        const size_t c = i % (size_t)j->C;
        const double std = j->options.std != NULL ? j->options.std[c] : 1.0;
        const double mean = j->options.mean != NULL ? j->options.mean[c] : 0.0;

        values[i] = (float)(j->options.rescale / std);
        values[columns + i] = (float)(-mean / std);
    }
    clf_upload_copy(s, values, bytes, j->affine);
    clf_free(values);
}

static clf_tensor upload_table(clf_stream *s, const clf_resize_axis *a, clf_resize_table *table)
{
    if (!clf_resize_table_make(a, table)) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for the weights of %" PRId64 " to %" PRId64, a->in,
                    a->out);
        return clf_tensor_shape(CLF_I32, CLF_DIMS(0));
    }
    const clf_tensor t = clf_scratch(s, CLF_I32, CLF_DIMS(a->count, table->step));

    clf_upload_copy(s, table->row, (uint64_t)(a->count * table->step) * sizeof(int32_t), t);
    return t;
}

static const char *type_option(const job *j)
{
    return j->across.fixed ? "-DCLF_FIXED -DCLF_X=uchar" : "-DCLF_X=float";
}

/* A table as three arguments. */
#define ARG_TABLE(tensor, table)                                                                                       \
    clf_arg_memory(tensor), clf_arg_u64(clf_first_element(tensor)), clf_arg_u64((uint64_t)(table).step)

static uint64_t items(const clf_stream *s)
{
    return clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1;
}

/* rows x columns in groups whose items take about TURNS; `turns` for each `unit` of columns. */
static clf_sweep cut(const clf_stream *s, int64_t rows, int64_t columns, uint64_t unit, uint64_t turns)
{
    clf_sweep w = { .rows = (uint64_t)rows, .columns = (uint64_t)columns, .items = items(s) };
    const uint64_t units = clf_div_up(w.columns, unit), most = CLF_MAX(TURNS / CLF_MAX(turns, 1), 1);
    const uint64_t span = CLF_MAX(CLF_MIN(units, most), clf_div_up(units, CLF_GROUPS_MAX));

    w.span = unit * span;
    w.block = CLF_MAX(CLF_MAX(most / span, 1), clf_div_up(w.rows, CLF_GROUPS_MAX));
    w.groups[0] = clf_div_up(w.columns, w.span);
    w.groups[1] = clf_div_up(w.rows, w.block);
    return w;
}

static void both_at_once(clf_stream *s, const job *j)
{
    const uint64_t taps = (uint64_t)((j->rows.step - 4) * (j->columns.step - 4));
    const uint64_t wide =
        CLF_MAX(CLF_MIN((uint64_t)j->w, TURNS / (taps * VECTOR_TURNS)), 1); /* pixels of a row of a group */
    const int64_t parts = (int64_t)clf_div_up((uint64_t)j->w, wide);
    clf_sweep w = cut(s, j->B * j->h * parts, j->C, VECTOR, wide * taps * VECTOR_TURNS);

    w.span = CLF_MIN(w.span, DIRECT_SPAN);
    w.groups[0] = clf_div_up(w.columns, w.span);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_resize_direct",
        .options = type_option(j),
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(rows_of_pixels(j->x)), clf_arg_u64((uint64_t)j->H),
               ARG_TABLE(j->rows_at, j->rows), ARG_TABLE(j->columns_at, j->columns), clf_arg_u64((uint64_t)j->h),
               clf_arg_u64((uint64_t)j->w), clf_arg_u64(wide), CLF_ARG_SWEEP(w), clf_arg_rows(rows_of_pixels(j->y)));
}

static void row_by_row(clf_stream *s, const job *j)
{
    const uint64_t rows = (uint64_t)(j->B * j->h), units = clf_context_device(clf_stream_context(s))->compute_units;
    const uint64_t block = clf_div_up(rows, CLF_MIN(rows, ROW_GROUPS * CLF_MAX(units, 1))),
                   groups = clf_div_up(rows, block);
    const int64_t used = j->columns.high - j->columns.low;
    const clf_tensor sums = clf_scratch(s, CLF_F32, CLF_DIMS((int64_t)groups, used, j->C));
    const clf_kernel kernel = {
        .program = CLF_OP, .entry = "clf_resize_rows", .options = type_option(j), .groups = { groups, 1 }, .items = 1
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(rows_of_pixels(j->x)), clf_arg_u64((uint64_t)j->H),
               ARG_TABLE(j->rows_at, j->rows), ARG_TABLE(j->columns_at, j->columns), clf_arg_u64((uint64_t)j->h),
               clf_arg_u64((uint64_t)j->w), clf_arg_u64((uint64_t)j->columns.low), clf_arg_u64((uint64_t)used),
               clf_arg_u64(rows), clf_arg_u64((uint64_t)j->C), clf_arg_u64(block), clf_arg_memory(sums),
               clf_arg_u64(clf_first_element(sums)), clf_arg_rows(rows_of_pixels(j->y)),
               clf_arg_u32(clf_stores_past(s, j->y, clf_element_bytes(j->x) + clf_element_bytes(j->y))));
}

/* On CPU devices, but for llvmpipe, whose loops must be short. */
static bool wants_rows(const clf_stream *s)
{
    return clf_op_kernels(s) == CLF_KERNELS_SIMD &&
           !clf_text_contains(clf_context_device(clf_stream_context(s))->name, "llvmpipe");
}

/* t [B high-low, w C]. */
static void across(clf_stream *s, const job *j, clf_tensor t)
{
    const clf_sweep w = cut(s, t.dim[0], j->w, 1, (uint64_t)(j->columns.step * j->C));
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_resize_across",
        .options = type_option(j),
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(rows_of_pixels(j->x)), clf_arg_u64((uint64_t)j->H),
               clf_arg_u64((uint64_t)j->rows.low), clf_arg_u64((uint64_t)(j->rows.high - j->rows.low)),
               clf_arg_u32((uint32_t)j->C), ARG_TABLE(j->columns_at, j->columns), CLF_ARG_SWEEP(w), clf_arg_memory(t),
               clf_arg_u64(clf_first_element(t)));
}

static void down(clf_stream *s, const job *j, clf_tensor t)
{
    const clf_sweep w = cut(s, j->B * j->h, j->w * j->C, VECTOR, ((uint64_t)j->rows.step + 2) * VECTOR_TURNS);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_resize_down",
        .options = type_option(j),
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(t), clf_arg_u64(clf_first_element(t)), clf_arg_u64((uint64_t)j->rows.low),
               clf_arg_u64((uint64_t)(j->rows.high - j->rows.low)), clf_arg_u32((uint32_t)j->C),
               ARG_TABLE(j->rows_at, j->rows), clf_arg_memory(j->affine), clf_arg_u64(clf_first_element(j->affine)),
               clf_arg_u32(clf_present(j->affine)), clf_arg_u64((uint64_t)j->h), CLF_ARG_SWEEP(w),
               clf_arg_u32(j->options.channels_first),
               clf_arg_rows(j->options.channels_first ? j->y : rows_of_pixels(j->y)));
}

static void two_passes(clf_stream *s, job *j)
{
    const clf_tensor t = clf_scratch(s, j->x.dtype, CLF_DIMS(j->B * (j->rows.high - j->rows.low), j->w * j->C));

    if (has_affine(&j->options))
        upload_affine(s, j);
    across(s, j, t);
    down(s, j, t);
}

void clf_resize(clf_stream *s, clf_tensor x, const clf_resize_options *options, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_resize_check(x, options, y, clf_op_error(s))))
        return;
    if (clf_element_count(y) == 0)
        return;

    const clf_scope scope = clf_scope_open(s, NULL, -1);
    job j = job_of(x, options, y);

    j.columns_at = upload_table(s, &j.across, &j.columns);
    j.rows_at = upload_table(s, &j.down, &j.rows);
    if (j.across.fixed || j.C < DIRECT_CHANNELS || j.options.channels_first || has_affine(&j.options))
        two_passes(s, &j);
    else if (wants_rows(s))
        row_by_row(s, &j);
    else
        both_at_once(s, &j);
    clf_resize_table_free(&j.columns);
    clf_resize_table_free(&j.rows);
    clf_scope_close(s, scope);
}
