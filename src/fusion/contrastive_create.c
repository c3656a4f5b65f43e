/* contrastive: descriptions checked, weights packed. */
#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/contrastive_parts.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "contrastive"

int64_t clf_contrastive_vision_width(const clf_contrastive *m)
{
    return m->vision.width;
}

int64_t clf_contrastive_text_width(const clf_contrastive *m)
{
    return m->text.width;
}

int64_t clf_contrastive_width(const clf_contrastive *m)
{
    return m->P;
}

/* ---- creation ---- */

/* Width of the rows that come in, and of the embeddings; 0: any. */
static clf_status check_side(const char *norm_name, const char *name, const clf_contrastive_side_desc *d, int64_t *in,
                             int64_t *out, clf_error *err)
{
    const clf_host_tensor w = d->projection.weight;

    CLF_REQUIRE(err, d->width >= 0 && d->width <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "%s has width %" PRId64 "; want 0 to 2^31 - 1", name, d->width);
    *in = d->width;
    if (clf_host_present(w)) {
        CLF_TRY(clf_weight_check(name, &d->projection, d->width, err));
        *in = w.dim[1];
    } else if (d->norm.kind != CLF_NORM_NONE && *in == 0 && d->norm.weight.rank == 1) {
        *in = d->norm.weight.dim[0];
    }
    CLF_TRY(clf_norm_check(norm_name, &d->norm, *in, err));
    *out = clf_host_present(w) ? w.dim[0] : *in;
    return CLF_OK;
}

static clf_status check_desc(const clf_contrastive_desc *d, clf_contrastive *m, clf_error *err)
{
    int64_t P = 0, Pt = 0;

    CLF_TRY(check_side("vision.norm", "vision.projection", &d->vision, &m->vision.width, &P, err));
    CLF_TRY(check_side("text.norm", "text.projection", &d->text, &m->text.width, &Pt, err));
    CLF_REQUIRE(err, P == 0 || Pt == 0 || P == Pt, CLF_INVALID_ARGUMENT,
                "text embeddings are %" PRId64 " wide; want %" PRId64 ", as those of vision", Pt, P);
    m->P = P != 0 ? P : Pt;
    CLF_REQUIRE(err, d->kind == CLF_SCORES_SOFTMAX || d->kind == CLF_SCORES_SIGMOID, CLF_INVALID_ARGUMENT,
                "kind is %d; want CLF_SCORES_SOFTMAX or CLF_SCORES_SIGMOID", (int)d->kind);
    CLF_REQUIRE(err, isfinite(d->eps) && d->eps >= 0.0F, CLF_INVALID_ARGUMENT, "eps is %g; want finite, not negative",
                (double)d->eps);
    m->scale = d->scale;
    m->bias = d->bias;
    m->eps = d->eps;
    m->kind = d->kind;
    return CLF_OK;
}

static clf_status fill_side(clf_context *ctx, const char *norm_name, const char *name, const clf_contrastive_desc *d,
                            const clf_contrastive_side_desc *desc, clf_contrastive_side *out, clf_error *err)
{
    CLF_TRY(clf_norm_create(ctx, norm_name, &desc->norm, out->width, d->source, &out->norm, err));
    return clf_weight_create(ctx, name, &desc->projection, d->storage, d->source, &out->projection, err);
}

static clf_status create(clf_context *ctx, const clf_contrastive_desc *given, clf_contrastive **m, clf_error *err)
{
    clf_contrastive_desc d = clf_contrastive_desc_default();

    CLF_DESC_READ(err, &d, given);
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    CLF_TRY(check_desc(&d, *m, err));
    CLF_TRY(fill_side(ctx, "vision.norm", "vision.projection", &d, &d.vision, &(*m)->vision, err));
    return fill_side(ctx, "text.norm", "text.projection", &d, &d.text, &(*m)->text, err);
}

clf_status clf_contrastive_create(clf_context *ctx, const clf_contrastive_desc *desc, clf_contrastive **m,
                                  clf_error *err)
{
    clf_status status;

    *m = NULL;
    status = create(ctx, desc, m, err);
    if (status != CLF_OK) {
        clf_contrastive_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_contrastive_destroy(clf_contrastive *m)
{
    if (m == NULL)
        return;
    clf_norm_destroy(m->ctx, &m->vision.norm);
    clf_norm_destroy(m->ctx, &m->text.norm);
    clf_linear_weight_destroy(m->vision.projection);
    clf_linear_weight_destroy(m->text.projection);
    clf_free(m);
}
