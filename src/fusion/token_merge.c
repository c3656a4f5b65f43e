/* token_merge: each even token and the odd one with the largest cosine; the r best pairs become one token each. */
#include <clfusion/token_merge.h>

#include <clfusion/l2_norm.h>
#include <clfusion/merge_pairs.h>
#include <clfusion/similarity.h>
#include <clfusion/top_k.h>

#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "token_merge"

#define LEAST_NORM 1e-12F /* torch.nn.functional.normalize */

static clf_status check(clf_tensor vision, int64_t r, clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank == 3 && vision.dim[1] <= INT32_MAX && vision.dim[2] >= 1, CLF_INVALID_ARGUMENT,
                "vision is %s; want [B, N, D], N below 2^31 and D above 0", CLF_TEXT(vision));
    CLF_REQUIRE(err, r >= 0 && r <= vision.dim[1] / 2, CLF_INVALID_ARGUMENT,
                "r is %" PRId64 "; want 0 to %" PRId64 ", half the tokens of vision %s", r, vision.dim[1] / 2,
                CLF_TEXT(vision));
    return CLF_OK;
}

/* Every second of the N dense rows of one picture, from `first` on, as `dims`: the last is D. */
static clf_tensor second_rows(clf_tensor rows, int64_t first, clf_dims dims)
{
    const int64_t D = rows.dim[2];
    clf_tensor t = rows;

    t.offset += (uint64_t)(first * D) * sizeof(float);
    t.rank = dims.rank;
    for (int32_t i = 0; i < dims.rank; i++) {
        t.dim[i] = dims.dim[i];
        t.stride[i] = i == 0 ? 2 * D : i == dims.rank - 1 ? 1 : D;
    }
    return t;
}

/* The largest cosine of each even token, and the odd token that has it: best, partner [B, E]. */
static void match(clf_stream *s, clf_tensor vision, clf_tensor best, clf_tensor partner)
{
    const int64_t N = vision.dim[1], D = vision.dim[2], O = N / 2, E = N - O;
    const clf_tensor wide = clf_place_as(s, vision, CLF_F32), unit = clf_scratch(s, CLF_F32, clf_tensor_dims(vision));

    clf_l2_norm(s, wide, LEAST_NORM, unit);
    for (int64_t b = 0; b < vision.dim[0]; b++) {
        const clf_scope scope = clf_scope_open(s, NULL, -1);
        const clf_tensor rows = clf_slice(s, unit, 0, b, 1), cosines = clf_scratch(s, CLF_F32, CLF_DIMS(E, O));

        clf_similarity(s, second_rows(rows, 0, CLF_DIMS(E, 1, D)), second_rows(rows, 1, CLF_DIMS(O, D)), 1.0F, cosines);
        clf_top_k(s, cosines, CLF_TOP_K_BY_SCORE, clf_reshape(s, clf_slice(s, best, 0, b, 1), CLF_DIMS(E, 1)),
                  clf_reshape(s, clf_slice(s, partner, 0, b, 1), CLF_DIMS(E, 1)));
        clf_scope_close(s, scope);
    }
}

void clf_token_merge(clf_stream *s, clf_tensor vision, clf_tensor sizes, int64_t r, clf_tensor tokens,
                     clf_tensor new_sizes, clf_tensor source)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check(vision, r, clf_op_error(s))))
        return;

    const int64_t B = vision.dim[0], E = vision.dim[1] - vision.dim[1] / 2;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_tensor best = clf_scratch(s, CLF_F32, CLF_DIMS(B, E)), partner = clf_scratch(s, CLF_I32, CLF_DIMS(B, E));
    clf_tensor merged = { .dtype = CLF_DTYPE_NONE };

    if (r > 0) {
        merged = clf_scratch(s, CLF_I32, CLF_DIMS(B, r));
        match(s, vision, best, partner);
        clf_top_k(s, best, CLF_TOP_K_BY_POSITION, (clf_tensor){ .dtype = CLF_DTYPE_NONE }, merged);
    }
    clf_merge_pairs(s, vision, sizes, partner, merged, tokens, new_sizes, source);
    clf_scope_close(s, scope);
}
