/* select_tokens: the k visual tokens [N, D] of each picture that its text [T, D] scores best. */
#include <clfusion/select.h>

#include <clfusion/l2_norm.h>
#include <clfusion/pool.h>
#include <clfusion/row_max.h>
#include <clfusion/similarity.h>

#include "core/desc.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "select_tokens"

#define LEAST_NORM 1e-12F /* torch.nn.functional.normalize */

static clf_status read_options(const clf_select_options *options, clf_select_options *full, clf_error *err)
{
    *full = clf_select_options_default();
    CLF_DESC_READ(err, full, options);
    CLF_REQUIRE(err, full->pool >= CLF_SELECT_MEAN && full->pool <= CLF_SELECT_TOKEN_MAX, CLF_INVALID_ARGUMENT,
                "pool is %d; want CLF_SELECT_MEAN, _MAX or _TOKEN_MAX", (int)full->pool);
    CLF_REQUIRE(err, full->order == CLF_TOP_K_BY_SCORE || full->order == CLF_TOP_K_BY_POSITION, CLF_INVALID_ARGUMENT,
                "order is %d; want CLF_TOP_K_BY_SCORE or CLF_TOP_K_BY_POSITION", (int)full->order);
    return CLF_OK;
}

static clf_status check_inputs(clf_tensor vision, clf_tensor text, clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank == 3 && vision.dim[1] <= INT32_MAX && vision.dim[2] >= 1, CLF_INVALID_ARGUMENT,
                "vision is %s; want [B, N, D], N below 2^31 and D above 0", CLF_TEXT(vision));
    CLF_REQUIRE_FLOAT(err, text, "text");
    CLF_REQUIRE_SHAPE(err, text, "text");
    CLF_REQUIRE(err, text.rank == 3 && text.dim[0] == vision.dim[0] && text.dim[1] >= 1 && text.dim[2] == vision.dim[2],
                CLF_INVALID_ARGUMENT, "text is %s; want [%" PRId64 ", T, %" PRId64 "], T above 0, for vision %s",
                CLF_TEXT(text), vision.dim[0], vision.dim[2], CLF_TEXT(vision));
    return CLF_OK;
}

static clf_status check_indices(clf_tensor vision, clf_tensor indices, clf_error *err)
{
    const int64_t k = clf_dim(indices, -1);

    CLF_REQUIRE(err, indices.dtype == CLF_I32, CLF_UNSUPPORTED, "indices is %s; want i32", CLF_TEXT(indices));
    CLF_REQUIRE(err, indices.rank == 2 && indices.dim[0] == vision.dim[0], CLF_INVALID_ARGUMENT,
                "indices is %s; want [%" PRId64 ", k], for vision %s", CLF_TEXT(indices), vision.dim[0],
                CLF_TEXT(vision));
    CLF_REQUIRE(err, k >= 1 && k <= vision.dim[1], CLF_INVALID_ARGUMENT,
                "k is %" PRId64 "; want 1 to %" PRId64 ", the tokens of vision %s", k, vision.dim[1], CLF_TEXT(vision));
    CLF_REQUIRE(err, clf_row_dense(indices), CLF_UNSUPPORTED, "indices has rows with gaps; want dense rows");
    return CLF_OK;
}

clf_status clf_select_tokens_check(clf_tensor vision, clf_tensor text, const clf_select_options *options,
                                   clf_tensor indices, clf_tensor scores, clf_tensor tokens, clf_error *err)
{
    clf_select_options full;

    CLF_TRY(read_options(options, &full, err));
    CLF_TRY(check_inputs(vision, text, err));
    CLF_TRY(check_indices(vision, indices, err));
    CLF_REQUIRE_APART(err, indices, "indices", vision, "vision");
    CLF_REQUIRE_APART(err, indices, "indices", text, "text");
    if (clf_present(scores)) {
        CLF_REQUIRE(err, scores.dtype == CLF_F32 && clf_same_shape(scores, indices), CLF_INVALID_ARGUMENT,
                    "scores is %s; want f32 in the shape of indices %s", CLF_TEXT(scores), CLF_TEXT(indices));
        CLF_REQUIRE_APART(err, scores, "scores", vision, "vision");
        CLF_REQUIRE_APART(err, scores, "scores", text, "text");
        CLF_REQUIRE_APART(err, scores, "scores", indices, "indices");
    }
    if (!clf_present(tokens))
        return CLF_OK;
    CLF_REQUIRE(err, tokens.dtype == CLF_F32 || tokens.dtype == vision.dtype, CLF_UNSUPPORTED,
                "tokens is %s; want f32 or the type of vision %s", CLF_TEXT(tokens), CLF_TEXT(vision));
    CLF_REQUIRE(err, clf_shape_is(tokens, CLF_DIMS(vision.dim[0], indices.dim[1], vision.dim[2])), CLF_INVALID_ARGUMENT,
                "tokens is %s; want [%" PRId64 ", %" PRId64 ", %" PRId64 "], for indices %s and vision %s",
                CLF_TEXT(tokens), vision.dim[0], indices.dim[1], vision.dim[2], CLF_TEXT(indices), CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    CLF_REQUIRE_APART(err, tokens, "tokens", text, "text");
    CLF_REQUIRE_APART(err, tokens, "tokens", indices, "indices");
    if (clf_present(scores))
        CLF_REQUIRE_APART(err, tokens, "tokens", scores, "scores");
    return CLF_OK;
}

/* [B, Q, D] f32: the rows that score. */
static clf_tensor queries_of(clf_stream *s, clf_tensor text, clf_select_pool pool)
{
    const int64_t B = text.dim[0], T = text.dim[1], D = text.dim[2];
    clf_tensor q;

    if (T == 1 || pool == CLF_SELECT_TOKEN_MAX)
        return clf_place_as(s, text, CLF_F32);
    q = clf_scratch(s, CLF_F32, CLF_DIMS(B, 1, D));
    if (pool == CLF_SELECT_MEAN)
        clf_pool(s, text, (clf_grid){ T, 1 }, (clf_grid){ 1, 1 }, q);
    else
        clf_row_max(s, text, clf_reshape(s, q, CLF_DIMS(B, D)));
    return q;
}

static clf_tensor normalised(clf_stream *s, clf_tensor x)
{
    const clf_tensor wide = clf_place_as(s, x, CLF_F32), y = clf_scratch(s, CLF_F32, clf_tensor_dims(x));

    clf_l2_norm(s, wide, LEAST_NORM, y);
    return y;
}

/* all [B, N]: q·v, the best over the rows q. */
static void score(clf_stream *s, clf_tensor vision, clf_tensor text, const clf_select_options *options, clf_tensor all)
{
    const int64_t B = vision.dim[0], N = vision.dim[1], D = vision.dim[2];
    clf_tensor q = queries_of(s, text, options->pool), v = clf_place_as(s, vision, CLF_F32);

    if (options->cosine) {
        q = normalised(s, q);
        v = normalised(s, v);
    }
    for (int64_t b = 0; b < B; b++) {
        clf_tensor rows = clf_slice(s, v, 0, b, 1);

        rows.rank = 2; /* [1, N, D] without its first dimension */
        rows.dim[0] = N;
        rows.dim[1] = D;
        rows.stride[0] = v.stride[1];
        rows.stride[1] = v.stride[2];
        clf_similarity(s, clf_slice(s, q, 0, b, 1), rows, 1.0F, clf_slice(s, all, 0, b, 1));
    }
}

void clf_select_tokens(clf_stream *s, clf_tensor vision, clf_tensor text, const clf_select_options *options,
                       clf_tensor indices, clf_tensor scores, clf_tensor tokens)
{
    clf_select_options full;

    if (!clf_op_enter(s) ||
        !clf_op_passed(s, clf_select_tokens_check(vision, text, options, indices, scores, tokens, clf_op_error(s))) ||
        read_options(options, &full, NULL) != CLF_OK || vision.dim[0] == 0)
        return;

    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_tensor all = clf_scratch(s, CLF_F32, CLF_DIMS(vision.dim[0], vision.dim[1]));

    score(s, vision, text, &full, all);
    clf_top_k(s, all, full.order, scores, indices);
    if (clf_present(tokens))
        clf_place_rows(s, vision, indices, tokens);
    clf_scope_close(s, scope);
}
