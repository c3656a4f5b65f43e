/* scores: logits = scale x + bias, scores = softmax(logits) or sigmoid(logits).  All [..., C]. */
#include <clfusion/scores.h>

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/turns.h"

#define CLF_OP "scores"

clf_status clf_scores_check(clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor logits,
                            clf_tensor scores, clf_error *err)
{
    (void)scale; /* any floats will do */
    (void)bias;
    CLF_REQUIRE(err, x.dtype == CLF_F32, CLF_UNSUPPORTED, "x is %s; want f32", CLF_TEXT(x));
    CLF_REQUIRE_TENSOR(err, x, "x");
    CLF_REQUIRE(err, clf_dim(x, -1) <= INT32_MAX, CLF_UNSUPPORTED, "x is %s; want a last dimension below 2^31",
                CLF_TEXT(x));
    CLF_REQUIRE(err, kind == CLF_SCORES_SOFTMAX || kind == CLF_SCORES_SIGMOID, CLF_INVALID_ARGUMENT,
                "kind is %d; want CLF_SCORES_SOFTMAX or CLF_SCORES_SIGMOID", (int)kind);
    CLF_REQUIRE(err, clf_present(logits) || clf_present(scores), CLF_INVALID_ARGUMENT,
                "logits and scores are absent; want at least one");
    if (clf_present(logits)) {
        CLF_REQUIRE_RESULT(err, logits, "logits");
        CLF_REQUIRE_ALIKE(err, logits, "logits", x, "x");
        CLF_REQUIRE_SAME_OR_APART(err, logits, "logits", x, "x");
    }
    if (clf_present(scores)) {
        CLF_REQUIRE_RESULT(err, scores, "scores");
        CLF_REQUIRE_ALIKE(err, scores, "scores", x, "x");
        CLF_REQUIRE_SAME_OR_APART(err, scores, "scores", x, "x");
    }
    if (clf_present(logits) && clf_present(scores))
        CLF_REQUIRE_APART(err, scores, "scores", logits, "logits");
    return CLF_OK;
}

/* Of a row: a softmax goes over it for the largest, for the sum and to divide; the rest is of sums over a group. */
static uint64_t turns_of_row(const clf_stream *s, int64_t C, bool softmax)
{
    return (softmax ? 3 : 1) * clf_turns_of_row(s, C) + 16;
}

void clf_scores(clf_stream *s, clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor logits,
                clf_tensor scores)
{
    if (!clf_op_enter(s) ||
        !clf_op_passed(s, clf_scores_check(x, scale, bias, kind, logits, scores, clf_op_error(s))) ||
        clf_element_count(x) == 0)
        return;

    static const char *const entry[] = {
        [CLF_KERNELS_SIMD] = "clf_scores_simd", /* CPUs: a row a work-item, explicit vectors */
        [CLF_KERNELS_TILE] = "clf_scores_tile", /* GPUs: a row a work-group */
        [CLF_KERNELS_REF] = "clf_scores_ref",
    };
    const clf_kernel_shape shape = clf_op_kernels(s);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = entry[shape],
        .options = kind == CLF_SCORES_SIGMOID ? "-DCLF_SIGMOID=1" : "-DCLF_SIGMOID=0",
        .groups = { clf_row_groups(clf_row_count(x)), 1 },
        .items = shape == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
        .turns = clf_turns_of_rows(clf_row_count(x),
                                   turns_of_row(s, clf_dim(x, -1), kind == CLF_SCORES_SOFTMAX && clf_present(scores))),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_f32(scale), clf_arg_f32(bias),
               clf_arg_u64((uint64_t)clf_row_count(x)), clf_arg_u32((uint32_t)clf_dim(x, -1)),
               clf_arg_u32(clf_present(logits)), clf_arg_rows(logits), clf_arg_u32(clf_present(scores)),
               clf_arg_rows(scores));
}
