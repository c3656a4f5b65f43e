/* llava_fusion: fused = [projector(vision); text_embed[text_ids]] along the sequence. */
#include <clfusion/llava_fusion.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/look_up.h"
#include "fusion/parameter.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "llava_fusion"

struct clf_llava_fusion {
    clf_context *ctx;
    clf_projector *projector;
    clf_tensor text_embed; /* [V, Dt] */
};

const clf_projector *clf_llava_fusion_projector(const clf_llava_fusion *m)
{
    return m->projector;
}

static clf_status fill(clf_llava_fusion *m, const clf_llava_fusion_desc *d, clf_error *err)
{
    clf_projector_desc projector = clf_projector_desc_default(); /* for the fields that both parts share */

    CLF_DESC_READ(err, &projector, d->projector);
    const clf_dtype storage = clf_weight_storage(d->text_embed.dtype, projector.storage);

    CLF_TRY(clf_projector_create(m->ctx, d->projector, &m->projector, err));
    CLF_REQUIRE(err, d->text_embed.dim[1] == clf_projector_text_width(m->projector), CLF_INVALID_ARGUMENT,
                "text_embed is %s; want %" PRId64 " columns, the width of the projector", CLF_HOST_TEXT(d->text_embed),
                clf_projector_text_width(m->projector));
    return clf_parameter_create(m->ctx, "text_embed", d->text_embed, storage, projector.source, &m->text_embed, err);
}

clf_status clf_llava_fusion_create(clf_context *ctx, const clf_llava_fusion_desc *desc, clf_llava_fusion **m,
                                   clf_error *err)
{
    clf_llava_fusion_desc full = clf_llava_fusion_desc_default();
    clf_status status;

    *m = NULL;
    CLF_DESC_READ(err, &full, desc);
    const clf_host_tensor table = full.text_embed;

    CLF_REQUIRE(err, full.projector != NULL, CLF_INVALID_ARGUMENT, "projector is NULL; want a description");
    CLF_REQUIRE(err, clf_host_present(table) && table.rank == 2 && table.dim[0] >= 1 && table.dim[0] <= INT32_MAX,
                CLF_INVALID_ARGUMENT, "text_embed is %s; want [V, Dt], V of 1 to 2^31 - 1", CLF_HOST_TEXT(table));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    status = fill(*m, &full, err);
    if (status != CLF_OK) {
        clf_llava_fusion_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_llava_fusion_destroy(clf_llava_fusion *m)
{
    if (m == NULL)
        return;
    clf_projector_destroy(m->projector);
    clf_tensor_free(m->ctx, &m->text_embed);
    clf_free(m);
}

static clf_status check_embed(const clf_llava_fusion *m, const int64_t *text_ids, clf_tensor y, clf_error *err)
{
    const int64_t Dt = m->text_embed.dim[1];

    CLF_REQUIRE(err, y.rank == 3 && y.dtype == CLF_F32 && clf_shape_valid(y) && y.dim[2] == Dt, CLF_INVALID_ARGUMENT,
                "y is %s; want f32[B, T, %" PRId64 "]", CLF_TEXT(y), Dt);
    CLF_REQUIRE(err, text_ids != NULL || clf_row_count(y) == 0, CLF_INVALID_ARGUMENT,
                "text_ids is NULL; want one for each row of y %s", CLF_TEXT(y));
    return CLF_OK;
}

void clf_llava_fusion_embed(clf_stream *s, const clf_llava_fusion *m, const int64_t *text_ids, clf_tensor y)
{
    if (clf_op_enter(s) && clf_op_passed(s, check_embed(m, text_ids, y, clf_op_error(s))))
        clf_look_up(s, CLF_OP, m->text_embed, text_ids, y);
}

static clf_status check_forward(const clf_llava_fusion *m, clf_tensor vision, int64_t T, clf_tensor fused,
                                clf_error *err)
{
    clf_tensor tokens;

    CLF_TRY(clf_projector_check(m->projector, vision, &tokens, err));
    CLF_REQUIRE(err, vision.rank == 3, CLF_INVALID_ARGUMENT, "vision is %s; want [B, N, Dv]", CLF_TEXT(vision));
    CLF_REQUIRE(err, T >= 0 && T <= INT64_MAX - tokens.dim[1], CLF_INVALID_ARGUMENT, "T is %" PRId64 "; want 0 or more",
                T);
    CLF_REQUIRE(
        err, fused.dtype == CLF_F32 && clf_shape_is(fused, CLF_DIMS(tokens.dim[0], tokens.dim[1] + T, tokens.dim[2])),
        CLF_INVALID_ARGUMENT, "fused is %s; want f32[%" PRId64 ", %" PRId64 " + %" PRId64 ", %" PRId64 "]",
        CLF_TEXT(fused), tokens.dim[0], tokens.dim[1], T, tokens.dim[2]);
    return CLF_OK;
}

void clf_llava_fusion_forward(clf_stream *s, const clf_llava_fusion *m, clf_tensor vision, const int64_t *text_ids,
                              int64_t T, clf_tensor fused)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(m, vision, T, fused, clf_op_error(s))))
        return;
    const int64_t M = fused.dim[1] - T;

    clf_projector_forward(s, m->projector, vision, clf_slice(s, fused, 1, 0, M));
    clf_llava_fusion_embed(s, m, text_ids, clf_slice(s, fused, 1, M, T));
}
