/* late_fusion: image_embeds = Wv pool(vision), text_embeds = Wt pool(text), fused = merge of both, logits = Wc fused.
 *
 * vision [B, N, Dv], text [B, T, Dt], embeds [B, D], fused [B, 2 D] or [B, D], logits [B, classes]. */
#include <clfusion/late_fusion.h>

#include <clfusion/add.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/place.h"
#include "fusion/row_pool.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "late_fusion"

typedef struct modality {
    clf_linear_weight *projection;
    clf_linear_weight *query; /* [1, C]; NULL but for attention */
} modality;

struct clf_late_fusion {
    clf_context *ctx;
    clf_late_pool pool;
    clf_late_merge merge;
    modality vision, text;
    clf_linear_weight *classifier; /* NULL: none */
    clf_tensor constants;
};

int64_t clf_late_fusion_vision_width(const clf_late_fusion *m)
{
    return clf_linear_weight_in(m->vision.projection);
}

int64_t clf_late_fusion_text_width(const clf_late_fusion *m)
{
    return clf_linear_weight_in(m->text.projection);
}

int64_t clf_late_fusion_width(const clf_late_fusion *m)
{
    return clf_linear_weight_out(m->vision.projection);
}

int64_t clf_late_fusion_fused_width(const clf_late_fusion *m)
{
    return clf_late_fusion_width(m) * (m->merge == CLF_LATE_MERGE_CONCAT ? 2 : 1);
}

int64_t clf_late_fusion_classes(const clf_late_fusion *m)
{
    return m->classifier != NULL ? clf_linear_weight_out(m->classifier) : 0;
}

/* ---- creation ---- */

static clf_status check_query(const char *name, const clf_late_side_desc *d, bool wanted, clf_error *err)
{
    const clf_host_tensor q = d->query;
    const int64_t C = d->projection.weight.dim[1];

    if (!wanted && !clf_host_present(q))
        return CLF_OK;
    CLF_REQUIRE(err, wanted, CLF_INVALID_ARGUMENT, "%s.query is %s; want none without CLF_LATE_POOL_ATTENTION", name,
                CLF_HOST_TEXT(q));
    CLF_REQUIRE(err, clf_host_present(q) && q.rank == 1 && q.dim[0] == C && q.data != NULL, CLF_INVALID_ARGUMENT,
                "%s.query is %s; want [%" PRId64 "], the columns of %s.projection.weight", name, CLF_HOST_TEXT(q), C,
                name);
    return CLF_OK;
}

static clf_status check_desc(const clf_late_fusion_desc *d, clf_error *err)
{
    const bool attention = d->pool == CLF_LATE_POOL_ATTENTION, concat = d->merge == CLF_LATE_MERGE_CONCAT;

    CLF_REQUIRE(err, (unsigned)d->pool <= (unsigned)CLF_LATE_POOL_ATTENTION, CLF_INVALID_ARGUMENT,
                "pool is %d; want a value of clf_late_pool", (int)d->pool);
    CLF_REQUIRE(err, (unsigned)d->merge <= (unsigned)CLF_LATE_MERGE_ADD, CLF_INVALID_ARGUMENT,
                "merge is %d; want a value of clf_late_merge", (int)d->merge);
    CLF_TRY(clf_weight_check("vision.projection", &d->vision.projection, 0, err));
    CLF_TRY(clf_weight_check("text.projection", &d->text.projection, 0, err));
    const int64_t D = d->vision.projection.weight.dim[0];

    CLF_REQUIRE(err, d->text.projection.weight.dim[0] == D, CLF_INVALID_ARGUMENT,
                "text.projection.weight is %s; want %" PRId64 " rows, as vision.projection.weight",
                CLF_HOST_TEXT(d->text.projection.weight), D);
    CLF_REQUIRE(err, D <= INT32_MAX, CLF_UNSUPPORTED, "vision.projection.weight is %s; want fewer than 2^31 rows",
                CLF_HOST_TEXT(d->vision.projection.weight));
    CLF_TRY(check_query("vision", &d->vision, attention, err));
    CLF_TRY(check_query("text", &d->text, attention, err));
    if (clf_host_present(d->classifier.weight))
        CLF_TRY(clf_weight_check("classifier", &d->classifier, concat ? 2 * D : D, err));
    return CLF_OK;
}

static clf_status create_side(clf_context *ctx, const char *name, const clf_late_fusion_desc *d,
                              const clf_late_side_desc *desc, modality *out, clf_error *err)
{
    clf_linear_layer query = { .weight = desc->query };

    if (clf_host_present(desc->query)) { /* [C] as the one row of a weight */
        query.weight.rank = 2;
        query.weight.dim[1] = desc->query.dim[0];
        query.weight.dim[0] = 1;
    }
    CLF_TRY(clf_weight_create(ctx, name, &desc->projection, d->storage, d->source, &out->projection, err));
    /* A vector, so f32 whatever the weights are stored in. */
    return clf_weight_create(ctx, name, &query, CLF_F32, d->source, &out->query, err);
}

static clf_status fill(clf_late_fusion *m, const clf_late_fusion_desc *d, clf_error *err)
{
    CLF_TRY(create_side(m->ctx, "vision", d, &d->vision, &m->vision, err));
    CLF_TRY(create_side(m->ctx, "text", d, &d->text, &m->text, err));
    CLF_TRY(clf_weight_create(m->ctx, "classifier", &d->classifier, d->storage, d->source, &m->classifier, err));
    return clf_row_pool_create(m->ctx, &m->constants, err);
}

static clf_status create(clf_context *ctx, const clf_late_fusion_desc *given, clf_late_fusion **m, clf_error *err)
{
    clf_late_fusion_desc d = clf_late_fusion_desc_default();

    CLF_DESC_READ(err, &d, given);
    CLF_TRY(check_desc(&d, err));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    (*m)->pool = d.pool;
    (*m)->merge = d.merge;
    return fill(*m, &d, err);
}

clf_status clf_late_fusion_create(clf_context *ctx, const clf_late_fusion_desc *desc, clf_late_fusion **m,
                                  clf_error *err)
{
    clf_status status;

    *m = NULL;
    status = create(ctx, desc, m, err);
    if (status != CLF_OK) {
        clf_late_fusion_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_late_fusion_destroy(clf_late_fusion *m)
{
    if (m == NULL)
        return;
    clf_linear_weight_destroy(m->vision.projection);
    clf_linear_weight_destroy(m->vision.query);
    clf_linear_weight_destroy(m->text.projection);
    clf_linear_weight_destroy(m->text.query);
    clf_linear_weight_destroy(m->classifier);
    clf_tensor_free(m->ctx, &m->constants);
    clf_free(m);
}

/* ---- calls ---- */

static bool wants_fused(const clf_late_fusion_call *c)
{
    return clf_present(c->fused) || clf_present(c->logits);
}

static bool wants_images(const clf_late_fusion_call *c)
{
    return clf_present(c->image_embeds) || wants_fused(c);
}

static bool wants_texts(const clf_late_fusion_call *c)
{
    return clf_present(c->text_embeds) || wants_fused(c);
}

/* Rows of a modality and their mask. */
static clf_status check_rows(const char *name, clf_tensor x, clf_tensor mask, int64_t C, bool cls, clf_error *err)
{
    CLF_REQUIRE(err, clf_is_float(x.dtype), CLF_UNSUPPORTED, "%s is %s; want f32, f16 or bf16", name, CLF_TEXT(x));
    CLF_REQUIRE(err, clf_shape_valid(x) && x.rank == 3 && x.dim[2] == C, CLF_INVALID_ARGUMENT,
                "%s is %s; want [B, rows, %" PRId64 "]", name, CLF_TEXT(x), C);
    CLF_REQUIRE(err, !cls || x.dim[1] >= 1 || x.dim[0] == 0, CLF_INVALID_ARGUMENT,
                "%s is %s; want at least one row, the one that is taken", name, CLF_TEXT(x));
    CLF_REQUIRE(err,
                !clf_present(mask) ||
                    (mask.dtype == CLF_F32 && clf_row_dense(mask) && clf_shape_is(mask, CLF_DIMS(x.dim[0], x.dim[1]))),
                CLF_INVALID_ARGUMENT, "%s_mask is %s; want f32[%" PRId64 ", %" PRId64 "], for %s %s", name,
                CLF_TEXT(mask), x.dim[0], x.dim[1], name, CLF_TEXT(x));
    return CLF_OK;
}

static clf_status check_output(const char *name, clf_tensor y, int64_t B, int64_t width, clf_error *err)
{
    if (!clf_present(y))
        return CLF_OK;
    CLF_REQUIRE(err, clf_is_float(y.dtype) && clf_shape_is(y, CLF_DIMS(B, width)), CLF_INVALID_ARGUMENT,
                "%s is %s; want f32, f16 or bf16 [%" PRId64 ", %" PRId64 "]", name, CLF_TEXT(y), B, width);
    return CLF_OK;
}

clf_status clf_late_fusion_check(const clf_late_fusion *m, const clf_late_fusion_call *given, clf_error *err)
{
    clf_late_fusion_call c = clf_late_fusion_call_default();
    const bool cls = m->pool == CLF_LATE_POOL_CLS;
    const int64_t D = clf_late_fusion_width(m);

    CLF_DESC_READ(err, &c, given);
    CLF_REQUIRE(err, m->classifier != NULL || !clf_present(c.logits), CLF_INVALID_ARGUMENT,
                "logits is %s; want none of a module without classifier", CLF_TEXT(c.logits));
    if (wants_images(&c))
        CLF_TRY(check_rows("vision", c.vision, c.vision_mask, clf_late_fusion_vision_width(m), cls, err));
    if (wants_texts(&c))
        CLF_TRY(check_rows("text", c.text, c.text_mask, clf_late_fusion_text_width(m), cls, err));
    CLF_REQUIRE(err, !wants_fused(&c) || c.text.dim[0] == c.vision.dim[0], CLF_INVALID_ARGUMENT,
                "text is %s; want a batch of %" PRId64 ", that of vision: each text is merged with its picture",
                CLF_TEXT(c.text), c.vision.dim[0]);
    CLF_TRY(check_output("image_embeds", c.image_embeds, clf_dim(c.vision, 0), D, err));
    CLF_TRY(check_output("text_embeds", c.text_embeds, clf_dim(c.text, 0), D, err));
    CLF_TRY(check_output("fused", c.fused, clf_dim(c.vision, 0), clf_late_fusion_fused_width(m), err));
    return check_output("logits", c.logits, clf_dim(c.vision, 0), clf_late_fusion_classes(m), err);
}

/* ---- forward ---- */

static clf_tensor pooled(clf_stream *s, const clf_late_fusion *m, const modality *side, clf_tensor x, clf_tensor mask)
{
    clf_tensor scores = { 0 };
    float scale = 1.0F;

    if (m->pool == CLF_LATE_POOL_CLS)
        return clf_row_at(s, x, 0);
    if (m->pool == CLF_LATE_POOL_ATTENTION) {
        scores = clf_scratch_rows(s, x, 1);
        scale = (float)(1 / sqrt((double)x.dim[2]));
        clf_linear(s, x, side->query, NULL, scores);
    }
    return clf_row_pool(s, m->constants, x, scores, scale, mask);
}

/* y [B, D] f32 = projection(pool(x)); the same to `embeds`, where that is wanted. */
static void embed(clf_stream *s, const clf_late_fusion *m, const modality *side, clf_tensor x, clf_tensor mask,
                  clf_tensor y, clf_tensor embeds)
{
    const clf_scope scope = clf_scope_open(s, NULL, -1);

    if (clf_element_count(y) > 0)
        clf_linear(s, pooled(s, m, side, x, mask), side->projection, NULL, y);
    if (clf_present(embeds))
        clf_place(s, y, embeds);
    clf_scope_close(s, scope);
}

static void forward(clf_stream *s, const clf_late_fusion *m, const clf_late_fusion_call *c)
{
    const bool concat = m->merge == CLF_LATE_MERGE_CONCAT;
    const int64_t B = wants_images(c) ? c->vision.dim[0] : c->text.dim[0], D = clf_late_fusion_width(m);
    const clf_tensor both = clf_scratch(s, CLF_F32, CLF_DIMS(B, 2 * D));
    const clf_tensor image = clf_slice(s, both, 1, 0, D);
    clf_tensor text = clf_slice(s, both, 1, D, D), fused = both;

    if (wants_images(c) && wants_texts(c) && c->text.dim[0] != B) /* embeds alone may differ in their batch */
        text = clf_scratch(s, CLF_F32, CLF_DIMS(c->text.dim[0], D));
    if (wants_images(c))
        embed(s, m, &m->vision, c->vision, c->vision_mask, image, c->image_embeds);
    if (wants_texts(c))
        embed(s, m, &m->text, c->text, c->text_mask, text, c->text_embeds);
    if (!wants_fused(c))
        return;
    if (!concat) {
        clf_add(s, image, text, 1.0F, image);
        fused = image;
    }
    if (clf_present(c->fused))
        clf_place(s, fused, c->fused);
    if (clf_present(c->logits)) {
        const clf_tensor logits = clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_late_fusion_classes(m)));

        clf_linear(s, fused, m->classifier, NULL, logits);
        clf_place(s, logits, c->logits);
    }
}

void clf_late_fusion_forward(clf_stream *s, const clf_late_fusion *m, const clf_late_fusion_call *given)
{
    clf_late_fusion_call call = clf_late_fusion_call_default();

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_late_fusion_check(m, given, clf_op_error(s))))
        return;
    if (given == NULL)
        return;
    (void)clf_desc_read(&call, sizeof call, given); /* the check has found it readable */
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);

    if (wants_images(&call) || wants_texts(&call))
        forward(s, m, &call);
    clf_scope_close(s, scope);
}
