/* best_scores: of logits = scale x + bias the k largest of each row, and what softmax or sigmoid makes of them. */
#include "ops/best_scores.h"

#include "ops/check.h"
#include "ops/sweep.h"
#include "ops/top_k_of.h"
#include "ops/turns.h"

#define CLF_OP "scores"

/* Logits and scores of all columns first. */
static void run_apart(clf_stream *s, clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor values,
                      clf_tensor indices)
{
    clf_tensor scores = { .dtype = CLF_DTYPE_NONE };

    if (clf_present(values))
        scores = clf_scratch(s, CLF_F32, clf_tensor_dims(x));
    clf_scores(s, x, scale, bias, kind, x, scores);
    clf_top_k_of(s, x, CLF_TOP_K_BY_SCORE, scores, values, indices);
}

/* Twice over the row, and what enters its list: at worst every column, k deep. */
static uint64_t turns_of_row(const clf_stream *s, uint64_t C, uint64_t k)
{
    return 2 * clf_turns_of_row(s, (int64_t)C) + clf_turns(C, k) + clf_turns(2 * 16, k) + 2 * k;
}

bool clf_best_scores_at_once(const clf_stream *s, int64_t C, int64_t k)
{
    return clf_op_kernels(s) == CLF_KERNELS_SIMD && k <= CLF_SCORES_BEST && C <= INT32_MAX &&
           turns_of_row(s, (uint64_t)C, (uint64_t)k) < clf_launch_turns(s);
}

void clf_best_scores(clf_stream *s, clf_tensor x, float scale, float bias, clf_scores_kind kind, clf_tensor values,
                     clf_tensor indices)
{
    if (!clf_op_enter(s))
        return;

    const uint64_t rows = (uint64_t)x.dim[0], C = (uint64_t)x.dim[1], k = (uint64_t)indices.dim[1];
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_scores_best_simd",
        .options = kind == CLF_SCORES_SIGMOID ? "-DCLF_SIGMOID=1" : "-DCLF_SIGMOID=0",
        .groups = { clf_row_groups(x.dim[0]), 1 },
        .items = 1,
        .turns = clf_turns_of_rows(x.dim[0], turns_of_row(s, C, k)),
    };

    if (!clf_best_scores_at_once(s, x.dim[1], indices.dim[1]) || kernel.turns > clf_launch_turns(s)) {
        run_apart(s, x, scale, bias, kind, values, indices);
        return;
    }
    CLF_LAUNCH(s, &kernel, clf_arg_rows(x), clf_arg_f32(scale), clf_arg_f32(bias), clf_arg_u64(rows),
               clf_arg_u32((uint32_t)C), clf_arg_u32((uint32_t)k), clf_arg_u32(clf_present(values)),
               clf_arg_rows(values), clf_arg_rows(indices));
}
