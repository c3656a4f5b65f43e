/* pool: y[b, (i, j), c] = mean of x[b, cell (i, j), c].  x [B, H W, C], y [B, h w, C]. */
#include <clfusion/pool.h>

#include <string.h>

#include "core/text.h"
#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "pool"

/* Elements that a work-group reads: as many as make its start cheap, few enough that one cell of a whole picture still
 * feeds several cores. */
#define READS 16384

/* Columns of a group at least: four vectors of 16 on CPUs, of all items on GPUs. */
#define SPAN_SIMD 64
#define SPAN_TILE 1024
#define ITEMS 64

/* Tokens of a cell that its kernel has in one straight line at most. */
#define TOKENS 16

static clf_status check_grid(const char *name, clf_grid grid, clf_error *err)
{
    CLF_REQUIRE(err, grid.rows >= 1 && grid.columns >= 1 && grid.rows <= INT32_MAX && grid.columns <= INT32_MAX,
                CLF_INVALID_ARGUMENT, "%s is %" PRId64 " x %" PRId64 "; want sides of 1 to 2^31 - 1", name, grid.rows,
                grid.columns);
    return CLF_OK;
}

clf_status clf_pool_check(clf_tensor x, clf_grid from, clf_grid to, clf_tensor y, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE(err, x.rank == 3, CLF_INVALID_ARGUMENT, "x is %s; want [B, N, C]", CLF_TEXT(x));
    CLF_TRY(check_grid("from", from, err));
    CLF_TRY(check_grid("to", to, err));
    CLF_REQUIRE(err, x.dim[1] == from.rows * from.columns, CLF_INVALID_ARGUMENT,
                "x is %s, %" PRId64 " tokens; want %" PRId64 ", a grid of %" PRId64 " x %" PRId64, CLF_TEXT(x),
                x.dim[1], from.rows * from.columns, from.rows, from.columns);
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, clf_shape_is(y, CLF_DIMS(x.dim[0], to.rows * to.columns, x.dim[2])), CLF_INVALID_ARGUMENT,
                "y is %s; want [%" PRId64 ", %" PRId64 ", %" PRId64 "], a grid of %" PRId64 " x %" PRId64, CLF_TEXT(y),
                x.dim[0], to.rows * to.columns, x.dim[2], to.rows, to.columns);
    CLF_REQUIRE(err, y.dtype == CLF_F32 || y.dtype == x.dtype, CLF_UNSUPPORTED, "y is %s; want f32 or the type of x %s",
                CLF_TEXT(y), CLF_TEXT(x));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

/* Longest side of a cell. */
static uint64_t side_of(int64_t from, int64_t to)
{
    return (uint64_t)(from / to + (from % to == 0 ? 0 : 2));
}

/* At most so many walks of an item over the tokens of a cell: four vectors or more, one vector, what fills none.  Where
 * there is such a rest, llvmpipe (Mesa 22.3) was measured to count every vector. */
static uint64_t walks_of(const clf_stream *s, uint64_t items, uint64_t columns)
{
    const uint64_t vector = clf_stream_context(s)->vector_width, step = vector * items;
    const uint64_t rest = columns % vector, whole = columns - rest;

    if (rest > 0)
        return clf_div_up(whole, step) + clf_div_up(rest, items);
    return whole / (4 * step) + clf_div_up(whole % (4 * step), step);
}

/* The last group of columns may be narrower than the others, and yet have more walks.  Leaving a loop turns the loops in
 * it once more: one of a walk, and of a cell its five loops over columns with two in each but the last walk's four, also
 * where they are not taken. */
static uint64_t turns_of_cell(const clf_stream *s, clf_sweep w, clf_grid from, clf_grid to)
{
    const uint64_t full = walks_of(s, w.items, CLF_MIN(w.span, w.columns));
    const uint64_t walks = CLF_MAX(full, walks_of(s, w.items, w.columns % w.span));
    const uint64_t row = clf_turns(side_of(from.columns, to.columns), 0);

    return clf_turns(walks, clf_turns(side_of(from.rows, to.rows), row) + 1) + 14;
}

/* Cuts cells and columns by what a group reads, and by the turns that the device allows. */
static clf_sweep cut(const clf_stream *s, clf_tensor x, clf_grid from, clf_grid to, clf_tensor y)
{
    const bool tile = clf_op_kernels(s) == CLF_KERNELS_TILE;
    const uint64_t C = (uint64_t)y.dim[2], least = tile ? SPAN_TILE : SPAN_SIMD;
    const uint64_t cell = CLF_MAX((uint64_t)(x.dim[1] / y.dim[1]), 1);
    clf_sweep w = { .rows = (uint64_t)clf_row_count(y), .columns = C, .items = tile ? ITEMS : 1 };

    w.span = CLF_MAX(READS / cell / least, clf_div_up(C, least * CLF_GROUPS_MAX)) * least;
    w.span = CLF_MAX(w.span, least);
    w.block =
        CLF_MIN(READS / cell / CLF_MIN(C, w.span), (clf_launch_turns(s) - 1) / (1 + turns_of_cell(s, w, from, to)));
    w.block = CLF_MAX(CLF_MAX(w.block, 1), clf_div_up(w.rows, CLF_GROUPS_MAX));
    w.groups[0] = clf_div_up(C, w.span);
    w.groups[1] = clf_div_up(w.rows, w.block);
    return w;
}

/* Sides of every cell, where the device's kernel is built with them: measured on CPU devices.  0 x 0 elsewhere, as for
 * sequences, whose every length would be a program of its own. */
static clf_grid cell_of(const clf_stream *s, clf_grid from, clf_grid to)
{
    const clf_grid cell = { from.rows / to.rows, from.columns / to.columns };
    const bool equal = from.rows % to.rows == 0 && from.columns % to.columns == 0;
    const bool plane = cell.rows > 1 && cell.columns > 1;

    return clf_op_kernels(s) == CLF_KERNELS_SIMD && equal && plane && cell.rows <= TOKENS / cell.columns
               ? cell
               : (clf_grid){ 0 };
}

static clf_options options_of(const clf_stream *s, clf_tensor x, clf_grid cell, clf_tensor y, uint64_t items)
{
    clf_options options = clf_options_types("CLF_X", x.dtype, "CLF_Y", y.dtype, NULL);
    const size_t length = strlen(options.text);

    clf_format(options.text + length, sizeof options.text - length,
               " -DCLF_ITEMS=%d -DCLF_STRETCH=%d -DCLF_CELL_ROWS=%d -DCLF_CELL_COLUMNS=%d", (int)items,
               x.dtype == CLF_F32 ? (int)clf_stream_context(s)->vector_width : 4, (int)cell.rows, (int)cell.columns);
    return options;
}

void clf_pool(clf_stream *s, clf_tensor x, clf_grid from, clf_grid to, clf_tensor y)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_pool_check(x, from, to, y, clf_op_error(s))))
        return;
    if (clf_element_count(y) == 0)
        return;

    const clf_sweep w = cut(s, x, from, to, y);
    const clf_options options = options_of(s, x, cell_of(s, from, to), y, w.items);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_pool_cells",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
        .turns = clf_turns(CLF_MIN(w.block, w.rows), turns_of_cell(s, w, from, to)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(x), clf_arg_u64(clf_first_element(x)), clf_arg_u64((uint64_t)x.stride[0]),
               clf_arg_u64((uint64_t)x.stride[1]), clf_arg_u64((uint64_t)from.rows),
               clf_arg_u64((uint64_t)from.columns), clf_arg_u64((uint64_t)to.rows), clf_arg_u64((uint64_t)to.columns),
               CLF_ARG_SWEEP(w), clf_arg_memory(y), clf_arg_u64(clf_first_element(y)),
               clf_arg_u64((uint64_t)y.stride[0]), clf_arg_u64((uint64_t)y.stride[1]),
               clf_arg_u32(clf_stores_past(s, y, clf_element_bytes(x) + clf_element_bytes(y))));
}
