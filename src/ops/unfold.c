/* unfold: y[b, (i, j), (u, v, c)] = x[b, (i stride - padding + u, j stride - padding + v), c].  x [B, H W, C],
 * y [B, h w, k k C]. */
#include <clfusion/unfold.h>

#include "core/desc.h"
#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "unfold"

#define MOST 32768 /* of kernel, stride and padding: places stay far from 2^63 */
#define VECTOR 16  /* columns that the kernel moves at once */

static clf_status check_options(const clf_unfold_options *o, clf_error *err)
{
    CLF_REQUIRE(err, o->kernel >= 1 && o->kernel <= MOST, CLF_INVALID_ARGUMENT, "kernel is %" PRId64 "; want 1 to %d",
                o->kernel, MOST);
    CLF_REQUIRE(err, o->stride >= 1 && o->stride <= MOST, CLF_INVALID_ARGUMENT, "stride is %" PRId64 "; want 1 to %d",
                o->stride, MOST);
    CLF_REQUIRE(err, o->padding >= 0 && o->padding <= MOST, CLF_INVALID_ARGUMENT,
                "padding is %" PRId64 "; want 0 to %d", o->padding, MOST);
    CLF_REQUIRE(err, o->order == CLF_UNFOLD_BLOCK_MAJOR || o->order == CLF_UNFOLD_CHANNEL_MAJOR, CLF_INVALID_ARGUMENT,
                "order is %d; want block-major 0 or channel-major 1", (int)o->order);
    return CLF_OK;
}

static clf_status check_grid(const char *name, clf_grid grid, clf_error *err)
{
    CLF_REQUIRE(err, grid.rows >= 1 && grid.columns >= 1 && grid.rows <= INT32_MAX && grid.columns <= INT32_MAX,
                CLF_INVALID_ARGUMENT, "%s is %" PRId64 " x %" PRId64 "; want sides of 1 to 2^31 - 1", name, grid.rows,
                grid.columns);
    return CLF_OK;
}

static clf_status check_tokens(clf_tensor x, clf_grid from, clf_error *err)
{
    const size_t bytes = clf_dtype_bytes(x.dtype);

    CLF_REQUIRE(err, bytes == 2 || bytes == 4, CLF_UNSUPPORTED, "x is %s; want a type of 2 or 4 bytes", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3, CLF_INVALID_ARGUMENT, "x is %s; want [B, N, C]", CLF_TEXT(x));
    CLF_REQUIRE(err, x.dim[2] <= INT32_MAX, CLF_UNSUPPORTED, "x is %s; want a last dimension below 2^31", CLF_TEXT(x));
    CLF_REQUIRE(err, x.dim[1] == from.rows * from.columns, CLF_INVALID_ARGUMENT,
                "x is %s, %" PRId64 " tokens; want %" PRId64 ", a grid of %" PRId64 " x %" PRId64, CLF_TEXT(x),
                x.dim[1], from.rows * from.columns, from.rows, from.columns);
    return CLF_OK;
}

clf_status clf_unfold_check(clf_tensor x, clf_grid from, const clf_unfold_options *options, clf_grid to, clf_tensor y,
                            clf_error *err)
{
    clf_unfold_options o = clf_unfold_options_default();

    CLF_DESC_READ(err, &o, options);
    CLF_TRY(check_options(&o, err));
    CLF_TRY(check_grid("from", from, err));
    CLF_TRY(check_grid("to", to, err));
    CLF_TRY(check_tokens(x, from, err));
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err,
                y.dtype == x.dtype &&
                    clf_shape_is(y, CLF_DIMS(x.dim[0], to.rows * to.columns, o.kernel * o.kernel * x.dim[2])),
                CLF_INVALID_ARGUMENT,
                "y is %s; want %s[%" PRId64 ", %" PRId64 ", %" PRId64 "], a grid of %" PRId64 " x %" PRId64
                " windows of %" PRId64 " x %" PRId64,
                CLF_TEXT(y), clf_dtype_name(x.dtype), x.dim[0], to.rows * to.columns, o.kernel * o.kernel * x.dim[2],
                to.rows, to.columns, o.kernel, o.kernel);
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

/* A row: the columns of a token; or those of a window of 2 x 2 in vectors; or of each token of a window one by one.
 * The loops of branches not taken turn once. */
static uint64_t turns_of_row(clf_sweep w, const clf_unfold_options *o)
{
    const uint64_t columns = CLF_MIN(w.span, w.columns), side = (uint64_t)o->kernel;
    const uint64_t vectors = clf_div_up(columns / VECTOR, w.items), rest = clf_div_up(w.columns % VECTOR, w.items);

    if (o->order == CLF_UNFOLD_BLOCK_MAJOR)
        return clf_turns(vectors, 0) + clf_turns(rest, 0) + 2;
    if (side == 2)
        return clf_turns(4, 0) + clf_turns(vectors, clf_turns(4, 0)) + clf_turns(4, clf_turns(rest, 0)) + 2;
    return clf_turns(side * side, clf_turns(clf_div_up(columns, w.items), 0)) + 4;
}

/* Block-major: a token of a window is a row of its own.  Channel-major: a column is the window of a channel. */
static clf_sweep cut(const clf_stream *s, const clf_unfold_options *o, clf_tensor x, clf_tensor y)
{
    const int64_t parts = o->order == CLF_UNFOLD_BLOCK_MAJOR ? o->kernel * o->kernel : 1;
    clf_sweep w = clf_sweep_of(s, clf_tensor_shape(CLF_F32, CLF_DIMS(clf_row_count(y) * parts, x.dim[2])));

    w.block = CLF_MIN(w.block, (clf_launch_turns(s) - 1) / (1 + turns_of_row(w, o)));
    w.block = CLF_MAX(CLF_MAX(w.block, 1), clf_div_up(w.rows, CLF_GROUPS_MAX));
    w.groups[1] = clf_div_up(w.rows, w.block);
    return w;
}

void clf_unfold(clf_stream *s, clf_tensor x, clf_grid from, const clf_unfold_options *options, clf_grid to,
                clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_unfold_check(x, from, options, to, y, clf_op_error(s))))
        return;
    if (clf_element_count(y) == 0)
        return;

    clf_unfold_options o = clf_unfold_options_default();
    (void)clf_desc_read(&o, sizeof o, options != NULL ? options : &o);
    const bool blocks = o.order == CLF_UNFOLD_BLOCK_MAJOR;
    const clf_sweep w = cut(s, &o, x, y);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = blocks ? "clf_unfold_blocks" : "clf_unfold_channels",
        .options = clf_dtype_bytes(x.dtype) == 2 ? "-DCLF_UNIT=ushort -DCLF_UNIT_BYTES=2"
                                                 : "-DCLF_UNIT=uint -DCLF_UNIT_BYTES=4",
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
        .turns = clf_turns(CLF_MIN(w.block, w.rows), turns_of_row(w, &o)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(x), clf_arg_u64(clf_first_element(x)), clf_arg_u64((uint64_t)x.stride[0]),
               clf_arg_u64((uint64_t)x.stride[1]), clf_arg_u32((uint32_t)from.rows),
               clf_arg_u32((uint32_t)from.columns), clf_arg_u32((uint32_t)to.rows), clf_arg_u32((uint32_t)to.columns),
               clf_arg_u32((uint32_t)o.kernel), clf_arg_u32((uint32_t)o.stride), clf_arg_u32((uint32_t)o.padding),
               CLF_ARG_SWEEP(w), clf_arg_memory(y), clf_arg_u64(clf_first_element(y)),
               clf_arg_u64((uint64_t)y.stride[0]), clf_arg_u64((uint64_t)y.stride[1]));
}
