/* detail_pool: dense [B, K, S, D] to tokens [M, D], the features of each cell averaged to a square within its budget. */
#include <clfusion/detail_pool.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"
#include "runtime/context.h"

#define CLF_OP "detail_pool"

#define CELLS_AT_ONCE 32768 /* of a launch that numbers tokens: half of the turns that runtime/launch.c allows */

/* What a work-group takes: elements that it reads, as long as cells are small; turns of its loops, of those that
 * runtime/launch.c allows; columns: whole features gained a half on 256 of them with pocl at f32[200,400,1024]; items on
 * GPUs, of which some drivers give no more to a kernel without barriers. */
#define READS 16384
#define TURNS 32768
#define SPAN 4096
#define ITEMS 32

/* The side of a square of S; 0 when S is none. */
static int64_t side_of(int64_t S)
{
    int64_t side = S > 0 ? (int64_t)sqrt((double)S) : 0;

    while (side > 0 && side > S / side)
        side--;
    while (side + 1 <= S / (side + 1))
        side++;
    return side * side == S ? side : 0;
}

static clf_status check_tokens(clf_tensor dense, clf_tensor budgets, clf_tensor tokens, clf_error *err)
{
    if (!clf_present(tokens))
        return CLF_OK;
    CLF_REQUIRE(err, tokens.dtype == CLF_F32 || tokens.dtype == dense.dtype, CLF_UNSUPPORTED,
                "tokens is %s; want f32 or the type of dense %s", CLF_TEXT(tokens), CLF_TEXT(dense));
    CLF_REQUIRE_RESULT(err, tokens, "tokens");
    CLF_REQUIRE(err, tokens.rank == 2 && tokens.dim[1] == dense.dim[3], CLF_INVALID_ARGUMENT,
                "tokens is %s; want [M, %" PRId64 "], the width of dense %s", CLF_TEXT(tokens), dense.dim[3],
                CLF_TEXT(dense));
    CLF_REQUIRE_APART(err, tokens, "tokens", dense, "dense");
    CLF_REQUIRE_APART(err, tokens, "tokens", budgets, "budgets");
    return CLF_OK;
}

static clf_status check_lengths(clf_tensor dense, clf_tensor budgets, clf_tensor tokens, clf_tensor lengths,
                                clf_error *err)
{
    if (!clf_present(lengths))
        return CLF_OK;
    CLF_REQUIRE(err, lengths.dtype == CLF_I32 && clf_same_shape(lengths, budgets), CLF_INVALID_ARGUMENT,
                "lengths is %s; want %s, like budgets", CLF_TEXT(lengths), CLF_TEXT(budgets));
    CLF_REQUIRE_RESULT(err, lengths, "lengths");
    CLF_REQUIRE_APART(err, lengths, "lengths", dense, "dense");
    CLF_REQUIRE_APART(err, lengths, "lengths", budgets, "budgets");
    CLF_REQUIRE(err, !clf_present(tokens) || !clf_may_overlap(lengths, tokens), CLF_INVALID_ARGUMENT,
                "lengths overlaps tokens; want apart");
    return CLF_OK;
}

clf_status clf_detail_pool_check(clf_tensor dense, clf_tensor budgets, clf_tensor tokens, clf_tensor lengths,
                                 clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, dense, "dense");
    CLF_REQUIRE_SHAPE(err, dense, "dense");
    CLF_REQUIRE_ALIGNED(err, dense, "dense");
    CLF_REQUIRE(err, clf_row_dense(dense), CLF_UNSUPPORTED,
                "dense is a view with stride %" PRId64 " in its last dimension; want 1", dense.stride[dense.rank - 1]);
    CLF_REQUIRE(err, dense.rank == 4, CLF_INVALID_ARGUMENT, "dense is %s; want [B, K, S, D]", CLF_TEXT(dense));
    CLF_REQUIRE(err, side_of(dense.dim[2]) > 0, CLF_INVALID_ARGUMENT,
                "dense is %s, %" PRId64 " features a cell; want a square", CLF_TEXT(dense), dense.dim[2]);
    CLF_REQUIRE(err, budgets.dtype == CLF_I32, CLF_UNSUPPORTED, "budgets is %s; want i32", CLF_TEXT(budgets));
    CLF_REQUIRE_TENSOR(err, budgets, "budgets");
    CLF_REQUIRE(err, clf_shape_is(budgets, CLF_DIMS(dense.dim[0], dense.dim[1])), CLF_INVALID_ARGUMENT,
                "budgets is %s; want [%" PRId64 ", %" PRId64 "], the cells of dense %s", CLF_TEXT(budgets),
                dense.dim[0], dense.dim[1], CLF_TEXT(dense));
    CLF_TRY(check_tokens(dense, budgets, tokens, err));
    return check_lengths(dense, budgets, tokens, lengths, err);
}

clf_status clf_detail_plan(const int32_t *budgets, size_t count, int64_t S, int64_t *total, clf_error *err)
{
    const int64_t side = side_of(S);

    *total = 0;
    CLF_REQUIRE(err, side > 0, CLF_INVALID_ARGUMENT, "S is %" PRId64 "; want a square", S);
    CLF_REQUIRE(err, count <= UINT32_MAX, CLF_INVALID_ARGUMENT, "count is %zu; want below 2^32", count);
    CLF_REQUIRE(err, budgets != NULL || count == 0, CLF_INVALID_ARGUMENT, "budgets is NULL; want %zu", count);
    for (size_t i = 0; i < count; i++) {
        int64_t n = budgets[i] > 0 ? (int64_t)sqrt((double)budgets[i]) : 0; /* exact: 31 bits in a double */

        n = CLF_MIN(n, side);
        *total += n * n;
    }
    return CLF_OK;
}

/* starts [cells + 1]: where each cell's tokens begin; and the lengths.  In portions, each of which begins where the one
 * before ended. */
static void find_starts(clf_stream *s, clf_tensor budgets, int64_t side, clf_tensor starts, clf_tensor lengths)
{
    const bool tile = clf_op_kernels(s) == CLF_KERNELS_TILE;
    const uint64_t cells = (uint64_t)clf_element_count(budgets);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = tile ? "clf_detail_pool_starts_tile" : "clf_detail_pool_starts_simd",
        .options = "-DCLF_X=f32 -DCLF_Y=f32",
        .groups = { 1, 1 },
        .items = tile ? CLF_NORM_WG : 1,
        .turns = CELLS_AT_ONCE + 1,
    };

    for (uint64_t first = 0; first < cells; first += CELLS_AT_ONCE)
        CLF_LAUNCH(s, &kernel, clf_arg_rows(budgets), clf_arg_u64((uint64_t)budgets.dim[1]), clf_arg_u64(first),
                   clf_arg_u64(CLF_MIN(first + CELLS_AT_ONCE, cells)), clf_arg_u64((uint64_t)side),
                   clf_arg_memory(starts), clf_arg_u64(clf_first_element(starts)), clf_arg_u32(clf_present(lengths)),
                   clf_arg_rows(clf_present(lengths) ? lengths : budgets));
}

/* Of one cell: each feature is in at most two rows and two columns of parts, each row of a part is a turn too, and a token
 * is walked over once for each vector of columns. */
static uint64_t turns_of_cell(const clf_stream *s, clf_sweep w, uint64_t S)
{
    const uint64_t vector = clf_stream_context(s)->vector_width, step = vector * w.items;
    const uint64_t columns = CLF_MIN(w.span, w.columns), few = columns % (4 * step);
    const uint64_t walks = columns / (4 * step) + few / step + clf_div_up(few % vector, w.items);

    return clf_turns(S, 9 * walks + 4);
}

/* Cuts cells and columns: a group reads all features of its cells. */
static clf_sweep cut(const clf_stream *s, clf_tensor dense)
{
    const uint64_t C = (uint64_t)dense.dim[3], S = (uint64_t)dense.dim[2];
    clf_sweep w = { .rows = (uint64_t)(dense.dim[0] * dense.dim[1]), .columns = C };

    w.items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1;
    w.span = CLF_MAX(SPAN, clf_div_up(C, CLF_GROUPS_MAX));
    while (clf_stream_context(s)->emulated_fma && w.span > 64 && turns_of_cell(s, w, S) > TURNS)
        w.span /= 2;
    w.block = CLF_MIN(READS / S / CLF_MIN(C, w.span), TURNS / turns_of_cell(s, w, S));
    w.block = CLF_MAX(CLF_MAX(w.block, 1), clf_div_up(w.rows, CLF_GROUPS_MAX));
    w.groups[0] = clf_div_up(C, w.span);
    w.groups[1] = clf_div_up(w.rows, w.block);
    return w;
}

static void average(clf_stream *s, clf_tensor dense, int64_t side, clf_tensor starts, clf_tensor tokens)
{
    const clf_sweep w = cut(s, dense);
    const clf_options options = clf_options_types("CLF_X", dense.dtype, "CLF_Y", tokens.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_detail_pool_cells",
        .options = options.text,
        .groups = { w.groups[0], w.groups[1] },
        .items = w.items,
        .turns = clf_turns(w.block, turns_of_cell(s, w, (uint64_t)dense.dim[2])),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_memory(dense), clf_arg_u64(clf_first_element(dense)),
               clf_arg_u64((uint64_t)dense.stride[0]), clf_arg_u64((uint64_t)dense.stride[1]),
               clf_arg_u64((uint64_t)dense.stride[2]), clf_arg_u64((uint64_t)dense.dim[1]), clf_arg_u64((uint64_t)side),
               clf_arg_memory(starts), clf_arg_u64(clf_first_element(starts)), CLF_ARG_SWEEP(w), clf_arg_memory(tokens),
               clf_arg_u64(clf_first_element(tokens)), clf_arg_u64((uint64_t)tokens.stride[0]),
               clf_arg_u64((uint64_t)tokens.dim[0]));
}

void clf_detail_pool(clf_stream *s, clf_tensor dense, clf_tensor budgets, clf_tensor tokens, clf_tensor lengths)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_detail_pool_check(dense, budgets, tokens, lengths, clf_op_error(s))))
        return;
    if (clf_element_count(budgets) == 0 || (!clf_present(tokens) && !clf_present(lengths)))
        return;

    const int64_t side = side_of(dense.dim[2]);
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor starts = clf_scratch(s, CLF_U64, CLF_DIMS(clf_element_count(budgets) + 1));

    find_starts(s, budgets, side, starts, lengths);
    if (clf_present(tokens) && clf_element_count(tokens) > 0)
        average(s, dense, side, starts, tokens);
    clf_scope_close(s, scope);
}
