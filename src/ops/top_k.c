/* top_k: the k best of each row of scores [R, N], of equal ones the lower index.  values, indices [R, k]. */
#include <clfusion/top_k.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/top_k_of.h"
#include "ops/turns.h"

#define CLF_OP "top_k"

/* Scratch of the rows that are on their way at once. */
#define SCRATCH_BYTES (UINT64_C(64) << 20)

/* Blocks are sought first where k of them, and the best of all, are together at most about half a row. */
#define SMALLEST_BLOCK 64
#define LARGEST_BLOCK 4096
#define BLOCKS_FROM 256 /* N over k */

#define SPAN_SCORES 32768 /* that a work-group looks at */
#define SHARED_ITEMS 32   /* of keys and write on GPUs: some drivers give no more to a kernel without barriers */

/* How a call is cut up. */
typedef struct work {
    clf_tensor scores, from, values, indices; /* values are taken from `from` */
    clf_top_k_order order;
    clf_kernel_shape shape;
    clf_options options;
    uint64_t rows, N, k;
    uint64_t block, blocks; /* of a row; block 0: the whole row is sorted out at once */
    uint64_t first, batch;  /* rows on their way */
} work;

clf_status clf_top_k_check(clf_tensor scores, clf_top_k_order order, clf_tensor values, clf_tensor indices,
                           clf_error *err)
{
    const int64_t N = clf_dim(scores, -1), k = clf_dim(indices, -1);

    CLF_REQUIRE_NUMBERS(err, scores, "scores");
    CLF_REQUIRE_WIDTH(err, scores, "scores");
    CLF_REQUIRE(err, order == CLF_TOP_K_BY_SCORE || order == CLF_TOP_K_BY_POSITION, CLF_INVALID_ARGUMENT,
                "order is %d; want CLF_TOP_K_BY_SCORE or CLF_TOP_K_BY_POSITION", (int)order);
    CLF_REQUIRE(err, indices.dtype == CLF_I32, CLF_UNSUPPORTED, "indices is %s; want i32", CLF_TEXT(indices));
    CLF_REQUIRE_RESULT(err, indices, "indices");
    CLF_REQUIRE(err, clf_same_rows(indices, scores), CLF_INVALID_ARGUMENT,
                "indices is %s; want the leading dimensions of scores %s", CLF_TEXT(indices), CLF_TEXT(scores));
    CLF_REQUIRE(err, k >= 1 && k <= N, CLF_INVALID_ARGUMENT,
                "k is %" PRId64 ", the last dimension of indices; want 1 to %" PRId64 ", the last of scores %s", k, N,
                CLF_TEXT(scores));
    CLF_REQUIRE_APART(err, indices, "indices", scores, "scores");
    if (!clf_present(values))
        return CLF_OK;
    CLF_REQUIRE(err, values.dtype == CLF_F32 && clf_same_shape(values, indices), CLF_INVALID_ARGUMENT,
                "values is %s; want f32 in the shape of indices %s", CLF_TEXT(values), CLF_TEXT(indices));
    CLF_REQUIRE_RESULT(err, values, "values");
    CLF_REQUIRE_APART(err, values, "values", scores, "scores");
    CLF_REQUIRE_APART(err, values, "values", indices, "indices");
    return CLF_OK;
}

/* `across` groups for each of the rows on their way, whose loops turn so often for a row. */
static clf_kernel kernel_of(const work *w, const char *simd, const char *tile, uint64_t across, uint64_t turns)
{
    return (clf_kernel){
        .program = CLF_OP,
        .entry = w->shape == CLF_KERNELS_TILE ? tile : simd,
        .options = w->options.text,
        .groups = { across, clf_row_groups((int64_t)w->batch) },
        .items = w->shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows((int64_t)w->batch, turns),
    };
}

/* The same of a kernel that both shapes share. */
static clf_kernel shared_kernel_of(const work *w, const char *entry, uint64_t across, uint64_t turns)
{
    clf_kernel kernel = kernel_of(w, entry, entry, across, turns);

    kernel.items = CLF_MIN(kernel.items, SHARED_ITEMS);
    return kernel;
}

/* keys [batch, blocks]: the best of each block. */
static void best_of_blocks(clf_stream *s, const work *w, clf_tensor keys)
{
    const uint64_t span = CLF_MAX(1, SPAN_SCORES / w->block);
    const clf_kernel kernel = kernel_of(w, "clf_top_k_best_simd", "clf_top_k_best_tile", clf_div_up(w->blocks, span),
                                        clf_turns(span, clf_turns_of_row(s, (int64_t)w->block)));

    CLF_LAUNCH(s, &kernel, clf_arg_rows(w->scores), clf_arg_u64(w->first), clf_arg_u64(w->batch), clf_arg_u64(w->N),
               clf_arg_u64(w->block), clf_arg_u64(w->blocks), clf_arg_u64(span), clf_arg_memory(keys),
               clf_arg_u64(clf_first_element(keys)));
}

/* keys [batch, n]: of all blocks of a row, or of `count` chosen ones. */
static void keys_of_blocks(clf_stream *s, const work *w, uint64_t block, uint64_t count, clf_tensor chosen,
                           clf_tensor keys)
{
    const uint64_t span = CLF_MAX(1, SPAN_SCORES / block);
    const clf_kernel kernel = shared_kernel_of(w, "clf_top_k_keys", clf_div_up(count, span),
                                               clf_turns(span, clf_turns_of_row(s, (int64_t)block)));

    CLF_LAUNCH(s, &kernel, clf_arg_rows(w->scores), clf_arg_u64(w->first), clf_arg_u64(w->batch), clf_arg_u64(w->N),
               clf_arg_u64(block), clf_arg_u64(count), clf_arg_u64(span), clf_arg_u32(clf_present(chosen)),
               clf_arg_memory(chosen), clf_arg_u64(clf_first_element(chosen)), clf_arg_u64((uint64_t)clf_dim(keys, -1)),
               clf_arg_memory(keys), clf_arg_u64(clf_first_element(keys)));
}

/* Four digits of 8 bits, then the results. */
static uint64_t select_turns(const work *w, uint64_t n)
{
    if (w->shape == CLF_KERNELS_TILE)
        return clf_turns(6, clf_div_up(n, CLF_NORM_WG) + 300);
    return clf_turns(5, n + 520);
}

/* The k best of keys [batch, n], ascending. */
static void select_keys(clf_stream *s, const work *w, clf_tensor keys, clf_tensor found)
{
    const clf_kernel kernel =
        kernel_of(w, "clf_top_k_select_simd", "clf_top_k_select_tile", 1, select_turns(w, (uint64_t)clf_dim(keys, -1)));

    CLF_LAUNCH(s, &kernel, clf_arg_memory(keys), clf_arg_u64(clf_first_element(keys)), clf_arg_u64(w->batch),
               clf_arg_u64((uint64_t)clf_dim(keys, -1)), clf_arg_u64(w->k), clf_arg_memory(found),
               clf_arg_u64(clf_first_element(found)));
}

/* found[0] [batch, k] into the order that is wanted; found[1] is room for it. */
static void put_in_order(clf_stream *s, const work *w, clf_tensor found)
{
    /* Digits of 8 bits, or on GPUs of 4, in two walks each; a few are sorted by insertion. */
    const uint64_t turns = w->shape == CLF_KERNELS_TILE ? clf_turns(8, 2 * clf_div_up(w->k, CLF_NORM_WG) + 200)
                                                        : clf_turns(4, 2 * w->k + 520);
    const clf_kernel kernel = kernel_of(w, "clf_top_k_order_simd", "clf_top_k_order_tile", 1, turns);

    if (w->order == CLF_TOP_K_BY_POSITION || w->k == 1)
        return;
    CLF_LAUNCH(s, &kernel, clf_arg_memory(found), clf_arg_u64(clf_first_element(found)),
               clf_arg_u64(clf_first_element(found) + w->batch * w->k), clf_arg_u64(w->batch), clf_arg_u64(w->k));
}

static void write_results(clf_stream *s, const work *w, clf_tensor chosen, clf_tensor found)
{
    const clf_kernel kernel =
        shared_kernel_of(w, "clf_top_k_write", clf_div_up(w->k, SPAN_SCORES), clf_turns(CLF_MIN(w->k, SPAN_SCORES), 0));

    CLF_LAUNCH(s, &kernel, clf_arg_rows(w->from), clf_arg_u64(w->first), clf_arg_u64(w->batch), clf_arg_u64(w->k),
               clf_arg_u64(CLF_MAX(1, w->block)), clf_arg_u32(clf_present(chosen)), clf_arg_memory(chosen),
               clf_arg_u64(clf_first_element(chosen)), clf_arg_memory(found), clf_arg_u64(clf_first_element(found)),
               clf_arg_u32(clf_present(w->values)), clf_arg_rows(w->values), clf_arg_rows(w->indices));
}

/* The rows on their way, in one of the two ways of cl/top_k.cl. */
static void run_batch(clf_stream *s, const work *w)
{
    const int64_t rows = (int64_t)w->batch, k = (int64_t)w->k;
    const uint64_t n = w->block != 0 ? w->k * w->block : w->N;
    const clf_tensor found = clf_scratch(s, CLF_U64, CLF_DIMS(2, rows, k));
    const clf_tensor keys = clf_scratch(s, CLF_U32, CLF_DIMS(rows, (int64_t)n));
    clf_tensor chosen = { .dtype = CLF_DTYPE_NONE };

    if (w->block != 0) {
        const clf_tensor best = clf_scratch(s, CLF_U32, CLF_DIMS(rows, (int64_t)w->blocks));

        chosen = clf_scratch(s, CLF_U64, CLF_DIMS(rows, k));
        best_of_blocks(s, w, best);
        select_keys(s, w, best, chosen);
        keys_of_blocks(s, w, w->block, w->k, chosen, keys);
    } else {
        keys_of_blocks(s, w, LARGEST_BLOCK, clf_div_up(w->N, LARGEST_BLOCK), chosen, keys);
    }
    select_keys(s, w, keys, found);
    put_in_order(s, w, found);
    write_results(s, w, chosen, found);
}

/* Blocks as long as makes the two selections alike: N / block and k block keys. */
static uint64_t block_of(uint64_t N, uint64_t k)
{
    uint64_t block = SMALLEST_BLOCK;

    if (N / k < BLOCKS_FROM)
        return 0;
    while (block < LARGEST_BLOCK && block * block * k < N)
        block *= 2;
    return block;
}

static uint64_t bytes_of_row(const work *w)
{
    if (w->block != 0)
        return 4 * (w->blocks + w->k * w->block) + 24 * w->k;
    return 4 * w->N + 16 * w->k;
}

static void run_ref(clf_stream *s, const work *w)
{
    const uint64_t moved = w->order == CLF_TOP_K_BY_POSITION ? w->k / 2 + 1 : 0; /* by each that is found, on average */
    const clf_kernel kernel = kernel_of(w, "clf_top_k_ref", NULL, 1, clf_turns(w->k, clf_turns(w->N, 0) + moved + 2));

    CLF_LAUNCH(s, &kernel, clf_arg_rows(w->scores), clf_arg_rows(w->from), clf_arg_u64(w->rows), clf_arg_u64(w->N),
               clf_arg_u64(w->k), clf_arg_u32(w->order == CLF_TOP_K_BY_SCORE), clf_arg_u32(clf_present(w->values)),
               clf_arg_rows(w->values), clf_arg_rows(w->indices));
}

void clf_top_k(clf_stream *s, clf_tensor scores, clf_top_k_order order, clf_tensor values, clf_tensor indices)
{
    clf_top_k_of(s, scores, order, scores, values, indices);
}

void clf_top_k_of(clf_stream *s, clf_tensor scores, clf_top_k_order order, clf_tensor from, clf_tensor values,
                  clf_tensor indices)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_top_k_check(scores, order, values, indices, clf_op_error(s))))
        return;

    work w = {
        .scores = scores,
        .from = from,
        .values = values,
        .indices = indices,
        .order = order,
        .shape = clf_op_kernels(s), /* SIMD for CPUs, TILE for GPUs */
        .options = clf_options_types("CLF_X", scores.dtype, NULL),
        .rows = (uint64_t)clf_row_count(scores),
        .N = (uint64_t)clf_dim(scores, -1),
        .k = (uint64_t)clf_dim(indices, -1),
    };

    w.batch = w.rows;
    if (w.shape == CLF_KERNELS_REF) {
        run_ref(s, &w);
        return;
    }
    w.block = block_of(w.N, w.k);
    w.blocks = w.block != 0 ? clf_div_up(w.N, w.block) : 0;
    w.batch = CLF_MAX(1, SCRATCH_BYTES / bytes_of_row(&w));
    for (; w.first < w.rows; w.first += w.batch) {
        const clf_scope scope = clf_scope_open(s, NULL, -1);

        w.batch = CLF_MIN(w.batch, w.rows - w.first);
        run_batch(s, &w);
        clf_scope_close(s, scope);
    }
}
