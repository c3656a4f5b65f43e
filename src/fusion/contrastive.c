/* contrastive: e = L2(projection(norm(x))) of both sides, logits = scale image_embeds text_embeds^T + bias, scores.
 *
 * vision [I, Dv], text [J, Dt], embeds [I or J, P], logits and scores [I, J], indices and values [I, k]. */
#include <clfusion/contrastive.h>

#include <clfusion/l2_norm.h>
#include <clfusion/similarity.h>
#include <clfusion/top_k.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/norm.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "contrastive"

typedef struct modality {
    int64_t width; /* of the rows; 0: any */
    clf_norm norm;
    clf_linear_weight *projection; /* NULL: none */
} modality;

struct clf_contrastive {
    clf_context *ctx;
    modality vision, text;
    int64_t P; /* 0: any */
    float scale, bias, eps;
    clf_scores_kind kind;
};

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
                            const clf_contrastive_side_desc *desc, modality *out, clf_error *err)
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

/* ---- calls ---- */

static bool wants_pairs(const clf_contrastive_call *c)
{
    return clf_present(c->logits) || clf_present(c->scores) || clf_present(c->indices);
}

static bool wants_images(const clf_contrastive_call *c)
{
    return clf_present(c->image_embeds) || wants_pairs(c);
}

static bool wants_texts(const clf_contrastive_call *c)
{
    return clf_present(c->text_embeds) || wants_pairs(c);
}

/* Width of the embeddings of x. */
static int64_t width_of(const modality *side, clf_tensor x)
{
    return side->projection != NULL ? clf_linear_weight_out(side->projection) : x.dim[1];
}

static clf_status check_rows(const char *name, const clf_contrastive *m, const modality *side, clf_tensor x,
                             clf_error *err)
{
    const int64_t want = side->width != 0 ? side->width : m->P;

    CLF_REQUIRE(err, clf_is_float(x.dtype), CLF_UNSUPPORTED, "%s is %s; want f32, f16 or bf16", name, CLF_TEXT(x));
    CLF_REQUIRE(err, clf_shape_valid(x) && x.rank == 2 && x.dim[1] >= 1, CLF_INVALID_ARGUMENT,
                "%s is %s; want [rows, columns], columns above 0", name, CLF_TEXT(x));
    CLF_REQUIRE(err, want == 0 || x.dim[1] == want, CLF_INVALID_ARGUMENT, "%s is %s; want [rows, %" PRId64 "]", name,
                CLF_TEXT(x), want);
    return CLF_OK;
}

static clf_status check_output(const char *name, clf_tensor y, int64_t rows, int64_t columns, clf_error *err)
{
    CLF_REQUIRE(err, !clf_present(y) || (clf_is_float(y.dtype) && clf_shape_is(y, CLF_DIMS(rows, columns))),
                CLF_INVALID_ARGUMENT, "%s is %s; want f32, f16 or bf16 [%" PRId64 ", %" PRId64 "]", name, CLF_TEXT(y),
                rows, columns);
    return CLF_OK;
}

static clf_status check_best(const clf_contrastive_call *c, clf_error *err)
{
    const int64_t I = clf_dim(c->vision, 0), J = clf_dim(c->text, 0), k = clf_dim(c->indices, 1);

    CLF_REQUIRE(err, clf_present(c->indices) || !clf_present(c->values), CLF_INVALID_ARGUMENT,
                "values is %s without indices; want both, or indices alone", CLF_TEXT(c->values));
    if (!clf_present(c->indices))
        return CLF_OK;
    CLF_REQUIRE(err, c->indices.dtype == CLF_I32 && clf_shape_is(c->indices, CLF_DIMS(I, k)), CLF_INVALID_ARGUMENT,
                "indices is %s; want i32[%" PRId64 ", k]", CLF_TEXT(c->indices), I);
    CLF_REQUIRE(err, k >= 1 && k <= J, CLF_INVALID_ARGUMENT, "indices is %s; want k of 1 to %" PRId64 ", the texts",
                CLF_TEXT(c->indices), J);
    CLF_REQUIRE(err, !clf_present(c->values) || (c->values.dtype == CLF_F32 && clf_shape_is(c->values, CLF_DIMS(I, k))),
                CLF_INVALID_ARGUMENT, "values is %s; want f32[%" PRId64 ", %" PRId64 "], for indices",
                CLF_TEXT(c->values), I, k);
    return CLF_OK;
}

clf_status clf_contrastive_check(const clf_contrastive *m, const clf_contrastive_call *given, clf_error *err)
{
    clf_contrastive_call c = clf_contrastive_call_default();

    CLF_DESC_READ(err, &c, given);
    if (wants_images(&c))
        CLF_TRY(check_rows("vision", m, &m->vision, c.vision, err));
    if (wants_texts(&c))
        CLF_TRY(check_rows("text", m, &m->text, c.text, err));
    const int64_t P = wants_images(&c) ? width_of(&m->vision, c.vision) : 0,
                  Pt = wants_texts(&c) ? width_of(&m->text, c.text) : 0;

    CLF_REQUIRE(err, !wants_pairs(&c) || P == Pt, CLF_INVALID_ARGUMENT,
                "vision is %s and text %s; want embeddings of one width", CLF_TEXT(c.vision), CLF_TEXT(c.text));
    CLF_TRY(check_output("image_embeds", c.image_embeds, clf_dim(c.vision, 0), P, err));
    CLF_TRY(check_output("text_embeds", c.text_embeds, clf_dim(c.text, 0), Pt, err));
    CLF_TRY(check_output("logits", c.logits, clf_dim(c.vision, 0), clf_dim(c.text, 0), err));
    CLF_TRY(check_output("scores", c.scores, clf_dim(c.vision, 0), clf_dim(c.text, 0), err));
    return check_best(&c, err);
}

/* ---- forward ---- */

/* L2(projection(norm(x))) [rows, P] f32 in scratch; the same to `embeds`, where that is wanted. */
static clf_tensor embed(clf_stream *s, const clf_contrastive *m, const modality *side, clf_tensor x, clf_tensor embeds)
{
    const clf_tensor y = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], width_of(side, x)));
    clf_linear_options o = clf_linear_options_default();

    if (side->projection != NULL) {
        clf_norm_before(&side->norm, &o);
        clf_linear(s, x, side->projection, &o, y);
    } else if (side->norm.kind != CLF_NORM_NONE) {
        clf_normalise(s, &side->norm, clf_place_as(s, x, CLF_F32), y);
    } else {
        clf_place(s, x, y);
    }
    clf_l2_norm(s, y, m->eps, y);
    if (clf_present(embeds))
        clf_place(s, y, embeds);
    return y;
}

static void best(clf_stream *s, clf_tensor logits, clf_tensor scores, const clf_contrastive_call *c)
{
    const clf_tensor none = { 0 };

    /* Scores may be equal where logits are not, so these say which. */
    clf_top_k(s, logits, CLF_TOP_K_BY_SCORE, none, c->indices);
    if (clf_present(c->values))
        clf_top_k(s, scores, CLF_TOP_K_BY_SCORE, c->values, clf_scratch(s, CLF_I32, clf_tensor_dims(c->indices)));
}

static void compare(clf_stream *s, const clf_contrastive *m, clf_tensor images, clf_tensor texts,
                    const clf_contrastive_call *c)
{
    const int64_t I = images.dim[0], J = texts.dim[0];
    const clf_tensor logits = clf_scratch(s, CLF_F32, CLF_DIMS(I, J));
    clf_tensor scores = { 0 };

    if (clf_present(c->scores) || clf_present(c->values))
        scores = clf_scratch(s, CLF_F32, CLF_DIMS(I, J));
    clf_similarity(s, clf_reshape(s, images, CLF_DIMS(I, 1, images.dim[1])), texts, 1.0F, logits);
    clf_scores(s, logits, m->scale, m->bias, m->kind, logits, scores);
    if (clf_present(c->logits))
        clf_place(s, logits, c->logits);
    if (clf_present(c->scores))
        clf_place(s, scores, c->scores);
    if (clf_present(c->indices))
        best(s, logits, scores, c);
}

void clf_contrastive_forward(clf_stream *s, const clf_contrastive *m, const clf_contrastive_call *given)
{
    clf_contrastive_call call = clf_contrastive_call_default();
    const clf_tensor none = { 0 };
    clf_tensor images = none, texts = none;

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_contrastive_check(m, given, clf_op_error(s))))
        return;
    if (given != NULL)
        (void)clf_desc_read(&call, sizeof call, given); /* the check has found it readable */
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);

    if (wants_images(&call))
        images = embed(s, m, &m->vision, call.vision, call.image_embeds);
    if (wants_texts(&call))
        texts = embed(s, m, &m->text, call.text, call.text_embeds);
    if (wants_pairs(&call))
        compare(s, m, images, texts, &call);
    clf_scope_close(s, scope);
}
