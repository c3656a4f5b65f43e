/* budgets: tokens of the cells indices [..., k] of relevance [..., N], with or without a sum to meet. */
#include <clfusion/budgets.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "budgets"

/* Cells that a work-group of `plain` takes, and its items on GPUs: some drivers give no more to a kernel without
 * barriers. */
#define SPAN 4096
#define ITEMS 32

static clf_status check_range(int64_t k, int64_t min_tokens, int64_t max_tokens, int64_t total, clf_error *err)
{
    CLF_REQUIRE(err, max_tokens >= 0 && max_tokens <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "max_tokens is %" PRId64 "; want 0 to 2^31 - 1", max_tokens);
    CLF_REQUIRE(err, min_tokens >= 0 && min_tokens <= max_tokens, CLF_INVALID_ARGUMENT,
                "min_tokens is %" PRId64 "; want 0 to max_tokens, %" PRId64, min_tokens, max_tokens);
    if (total == 0)
        return CLF_OK;
    CLF_REQUIRE(err, total >= k * min_tokens && total <= k * max_tokens, CLF_INVALID_ARGUMENT,
                "total is %" PRId64 "; want 0, or %" PRId64 " to %" PRId64 ", for %" PRId64 " cells of %" PRId64
                " to %" PRId64 " tokens",
                total, k * min_tokens, k * max_tokens, k, min_tokens, max_tokens);
    CLF_REQUIRE(err, total <= INT32_MAX, CLF_UNSUPPORTED, "total is %" PRId64 "; want at most 2^31 - 1", total);
    return CLF_OK;
}

clf_status clf_budgets_check(clf_tensor relevance, clf_tensor indices, int64_t min_tokens, int64_t max_tokens,
                             int64_t total, clf_tensor budgets, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, relevance, "relevance");
    CLF_REQUIRE_WIDTH(err, relevance, "relevance");
    CLF_REQUIRE(err, indices.dtype == CLF_I32, CLF_UNSUPPORTED, "indices is %s; want i32", CLF_TEXT(indices));
    CLF_REQUIRE_TENSOR(err, indices, "indices");
    CLF_REQUIRE(err, clf_same_rows(indices, relevance), CLF_INVALID_ARGUMENT,
                "indices is %s; want the leading dimensions of relevance %s", CLF_TEXT(indices), CLF_TEXT(relevance));
    CLF_REQUIRE(err, clf_dim(indices, -1) <= INT32_MAX, CLF_UNSUPPORTED,
                "indices is %s; want a last dimension below 2^31", CLF_TEXT(indices));
    CLF_REQUIRE(err, budgets.dtype == CLF_I32 && clf_same_shape(budgets, indices), CLF_INVALID_ARGUMENT,
                "budgets is %s; want %s, like indices", CLF_TEXT(budgets), CLF_TEXT(indices));
    CLF_REQUIRE_RESULT(err, budgets, "budgets");
    CLF_REQUIRE_APART(err, budgets, "budgets", relevance, "relevance");
    CLF_REQUIRE_APART(err, budgets, "budgets", indices, "indices");
    return check_range(clf_dim(indices, -1), min_tokens, max_tokens, total, err);
}

/* Each cell alone. */
static void run_plain(clf_stream *s, clf_tensor relevance, clf_tensor indices, uint32_t low, uint32_t span,
                      clf_tensor budgets)
{
    const uint64_t k = (uint64_t)clf_dim(indices, -1);
    const clf_options options = clf_options_types("CLF_X", relevance.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_budgets_plain",
        .options = options.text,
        .groups = { clf_div_up(k, SPAN), clf_row_groups(clf_row_count(indices)) },
        .items = clf_op_kernels(s) == CLF_KERNELS_TILE ? ITEMS : 1,
        .turns = clf_turns_of_rows(clf_row_count(indices), clf_turns(SPAN, 0)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(relevance), clf_arg_u64((uint64_t)clf_row_count(indices)),
               clf_arg_u64((uint64_t)clf_dim(relevance, -1)), clf_arg_u64(k), clf_arg_rows(indices), clf_arg_u32(low),
               clf_arg_u32(span), clf_arg_rows(budgets));
}

/* Of a row in run_share: a walk over the cells, or over a stretch of them and the sums of all items, for each of the 25
 * bits of a weight and 55 of a remainder, and 6 more. */
static uint64_t turns_of_row(bool tile, uint64_t k)
{
    return clf_turns(25 + 55 + 6, clf_turns(tile ? clf_div_up(k, CLF_NORM_WG) + CLF_NORM_WG + 1 : k, 0));
}

/* A picture a work-group; `rest` is what is left of the total beside `low` for each cell. */
static void run_share(clf_stream *s, clf_tensor relevance, clf_tensor indices, uint32_t low, uint32_t span,
                      uint64_t rest, clf_tensor budgets)
{
    const bool tile = clf_op_kernels(s) == CLF_KERNELS_TILE;
    const int64_t rows = clf_row_count(indices), k = clf_dim(indices, -1);
    const clf_options options = clf_options_types("CLF_X", relevance.dtype, NULL);
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor parts = clf_scratch(s, CLF_U64, CLF_DIMS(rows, k));
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = tile ? "clf_budgets_share_tile" : "clf_budgets_share_simd",
        .options = options.text,
        .groups = { 1, clf_row_groups(rows) },
        .items = tile ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(rows, turns_of_row(tile, (uint64_t)k)),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(relevance), clf_arg_u64((uint64_t)rows),
               clf_arg_u64((uint64_t)clf_dim(relevance, -1)), clf_arg_u64((uint64_t)k), clf_arg_rows(indices),
               clf_arg_u32(low), clf_arg_u32(span), clf_arg_u64(rest), clf_arg_memory(parts),
               clf_arg_u64(clf_first_element(parts)), clf_arg_rows(budgets));
    clf_scope_close(s, scope);
}

void clf_budgets(clf_stream *s, clf_tensor relevance, clf_tensor indices, int64_t min_tokens, int64_t max_tokens,
                 int64_t total, clf_tensor budgets)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, clf_budgets_check(relevance, indices, min_tokens, max_tokens, total,
                                                                budgets, clf_op_error(s))))
        return;
    if (clf_element_count(indices) == 0)
        return;

    const uint32_t low = (uint32_t)min_tokens, span = (uint32_t)(max_tokens - min_tokens);

    if (total == 0)
        run_plain(s, relevance, indices, low, span, budgets);
    else
        run_share(s, relevance, indices, low, span, (uint64_t)(total - clf_dim(indices, -1) * min_tokens), budgets);
}
