/* contrastive: e = L2(projection(norm(x))) of both sides, logits = scale image_embeds text_embeds^T + bias, scores.
 *
 * vision [I, Dv], text [J, Dt], embeds [I or J, P], logits and scores [I, J], indices and values [I, k].
 *
 * First the texts, in blocks that are packed for products where that is faster, else kept as rows; then pictures, each
 * block to the end.  Beside outputs and the texts' embeddings there is one block of either. */
#include <clfusion/contrastive.h>

#include <clfusion/l2_norm.h>
#include <clfusion/similarity.h>

#include "core/desc.h"
#include "fusion/apart.h"
#include "fusion/contrastive_parts.h"
#include "fusion/place.h"
#include "ops/best_scores.h"
#include "ops/packed_rows.h"
#include "ops/row_products.h"
#include "ops/top_k_of.h"
#include "runtime/op.h"

#define CLF_OP "contrastive"

/* Of a block: a quarter of the call's largest tensor on CPU devices, within these; the upper one elsewhere, where few and
 * large launches count. */
#define LEAST_BLOCK_BYTES (512 << 10)
#define MOST_BLOCK_BYTES (32 << 20)

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
static int64_t width_of(const clf_contrastive_side *side, clf_tensor x)
{
    return side->projection != NULL ? clf_linear_weight_out(side->projection) : x.dim[1];
}

static clf_status check_rows(const char *name, const clf_contrastive *m, const clf_contrastive_side *side, clf_tensor x,
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

/* A block's outputs are written before the next block's rows are read, so that no operator sees all of both. */
static clf_status check_apart(const clf_contrastive_call *c, clf_error *err)
{
    enum { INPUTS = 2 };
    const clf_named_tensor all[] = {
        { "vision", c->vision },
        { "text", c->text }, /* INPUTS, which may be one */
        { "image_embeds", c->image_embeds },
        { "text_embeds", c->text_embeds },
        { "logits", c->logits },
        { "scores", c->scores },
        { "indices", c->indices },
        { "values", c->values },
    };

    return clf_outputs_apart(CLF_OP, all, CLF_COUNT(all), INPUTS, err);
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
    CLF_TRY(check_best(&c, err));
    return check_apart(&c, err);
}

/* ---- forward ---- */

/* A call on its way. */
typedef struct run {
    const clf_contrastive *m;
    clf_contrastive_call call;
    int64_t I, J, P;
    bool packs;
    clf_gemm_weight packed; /* the texts' embeddings: this if `packs` */
    clf_tensor texts;       /* else rows [J, P] */
} run;

/* Rows that go at once: as many as lie in a block with `floats` of scratch each, in blocks as equal as panels allow. */
static int64_t rows_of_block(const clf_stream *s, const run *r, int64_t rows, int64_t floats)
{
    const double f = (double)sizeof(float), I = (double)r->I, J = (double)r->J, P = (double)r->P;
    const double quarter = fmax(fmax(I, J) * P, wants_pairs(&r->call) ? I * J : 0.0) * f / 4.0;
    const double bytes = clf_gemm_of(clf_stream_context(s))->fuses
                             ? fmin(fmax(quarter, LEAST_BLOCK_BYTES), MOST_BLOCK_BYTES)
                             : MOST_BLOCK_BYTES;
    const double fit = floor(bytes / (f * (double)CLF_MAX(floats, 1)));
    const int64_t most = CLF_MAX((int64_t)fmin(fit, (double)rows) / CLF_GEMM_ROWS, 1) * CLF_GEMM_ROWS;
    const int64_t blocks = CLF_MAX((rows + most - 1) / most, 1), each = (rows + blocks - 1) / blocks;

    return floats == 0 ? CLF_MAX(rows, 1) : (each + CLF_GEMM_ROWS - 1) / CLF_GEMM_ROWS * CLF_GEMM_ROWS;
}

/* Rows first .. first + count of what may be absent. */
static clf_tensor rows_of(clf_stream *s, clf_tensor t, int64_t first, int64_t count)
{
    return clf_present(t) ? clf_slice(s, t, 0, first, count) : t;
}

/* Results in f32 can go to y, which may be absent. */
static bool is_direct(clf_tensor y)
{
    return y.dtype == CLF_F32 && clf_row_dense(y);
}

static clf_tensor result_for(clf_stream *s, clf_tensor y, int64_t rows, int64_t columns)
{
    return is_direct(y) ? y : clf_scratch(s, CLF_F32, CLF_DIMS(rows, columns));
}

static void deliver(clf_stream *s, clf_tensor result, clf_tensor y)
{
    if (clf_present(y) && !clf_same_memory(result, y))
        clf_place(s, result, y);
}

/* Floats of scratch for a row of x and its embedding. */
static int64_t floats_of_row(const run *r, const clf_contrastive_side *side, clf_tensor x, clf_tensor embeds)
{
    const bool prepared = side->norm.kind != CLF_NORM_NONE || x.dtype != CLF_F32;

    return (is_direct(embeds) ? 0 : r->P) + (prepared ? x.dim[1] : 0);
}

/* y [rows, P] f32 = projection(norm(x)). */
static void project(clf_stream *s, const clf_contrastive_side *side, clf_tensor x, clf_tensor y)
{
    clf_linear_options o = clf_linear_options_default();

    if (side->projection != NULL) {
        clf_norm_before(&side->norm, &o);
        clf_linear(s, x, side->projection, &o, y);
    } else if (side->norm.kind != CLF_NORM_NONE) {
        clf_normalise(s, &side->norm, clf_place_as(s, x, CLF_F32), y);
    } else {
        clf_place(s, x, y);
    }
}

/* y [rows, P] f32 = L2(projection(norm(x))); the same to `embeds`, where that is wanted. */
static void embed(clf_stream *s, const run *r, const clf_contrastive_side *side, clf_tensor x, clf_tensor y,
                  clf_tensor embeds)
{
    project(s, side, x, y);
    clf_l2_norm(s, y, r->m->eps, y);
    deliver(s, y, embeds);
}

static void pack_texts(clf_stream *s, run *r)
{
    const int64_t floats = floats_of_row(r, &r->m->text, r->call.text, r->call.text_embeds);
    const int64_t step = rows_of_block(s, r, r->J, floats);

    r->packed = clf_packed_rows(s, r->J, r->P);
    for (int64_t first = 0; first < r->J; first += step) {
        const int64_t count = CLF_MIN(step, r->J - first);
        const clf_scope scope = clf_scope_open(s, NULL, -1);
        const clf_tensor x = rows_of(s, r->call.text, first, count);
        const clf_tensor embeds = rows_of(s, r->call.text_embeds, first, count);
        const clf_tensor y = result_for(s, embeds, count, r->P);

        if (clf_present(embeds)) {
            embed(s, r, &r->m->text, x, y, embeds);
            clf_pack_rows(s, y, first, &r->packed);
        } else {
            project(s, &r->m->text, x, y);
            clf_pack_unit_rows(s, y, r->m->eps, first, &r->packed);
        }
        clf_scope_close(s, scope);
    }
}

static void keep_texts(clf_stream *s, run *r)
{
    /* Few pictures take a pass over rows, and a few texts no panel.  The bits are the same. */
    r->packs = wants_pairs(&r->call) && r->I > CLF_ROW_PRODUCTS_MAX && clf_packs_rows(s, r->J, r->P);
    if (r->packs) {
        pack_texts(s, r);
        return;
    }
    r->texts = clf_is_dense(r->call.text_embeds) /* else they would be compared in another order of additions */
                   ? result_for(s, r->call.text_embeds, r->J, r->P)
                   : clf_scratch(s, CLF_F32, CLF_DIMS(r->J, r->P));
    const clf_scope scope = clf_scope_open(s, NULL, -1);

    embed(s, r, &r->m->text, r->call.text, r->texts, r->call.text_embeds);
    clf_scope_close(s, scope);
}

/* Of all pairs nothing is wanted but the best. */
static bool wants_best_alone(const clf_contrastive_call *c)
{
    return clf_present(c->indices) && !clf_present(c->logits) && !clf_present(c->scores);
}

/* From products of unit vectors [rows, J], in `logits`, to what is wanted of these rows. */
static void finish_rows(clf_stream *s, const run *r, const clf_contrastive_call *c, clf_tensor logits)
{
    const clf_contrastive *m = r->m;
    const bool keeps_logits = clf_present(c->logits) || clf_present(c->indices);
    clf_tensor scores = c->scores;

    if (wants_best_alone(c)) {
        clf_best_scores(s, logits, m->scale, m->bias, m->kind, c->values, c->indices);
        return;
    }
    if (clf_present(c->scores) || clf_present(c->values))
        scores = result_for(s, c->scores, logits.dim[0], r->J);
    clf_scores(s, logits, m->scale, m->bias, m->kind, keeps_logits ? logits : (clf_tensor){ 0 }, scores);
    deliver(s, logits, c->logits);
    deliver(s, scores, c->scores);
    /* Scores may be equal where logits are not, so these say which. */
    if (clf_present(c->indices))
        clf_top_k_of(s, logits, CLF_TOP_K_BY_SCORE, scores, c->values, c->indices);
}

/* [n, P], rows anywhere, as [n, 1, P]. */
static clf_tensor one_row_each(clf_tensor t)
{
    t.rank = 3;
    t.dim[2] = t.dim[1];
    t.stride[2] = t.stride[1];
    t.dim[1] = 1;
    return t;
}

static void compare(clf_stream *s, const run *r, clf_tensor images, clf_tensor logits)
{
    if (r->packs)
        clf_packed_similarity(s, images, &r->packed, logits);
    else
        clf_similarity(s, one_row_each(images), r->texts, 1.0F, logits);
}

/* Pictures first .. first + count, from rows to results. */
static void run_images(clf_stream *s, const run *r, int64_t first, int64_t count)
{
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    clf_contrastive_call c = r->call;
    clf_tensor *const rows[] = { &c.vision, &c.image_embeds, &c.logits, &c.scores, &c.indices, &c.values };
    clf_tensor logits = { .dtype = CLF_DTYPE_NONE };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        *rows[i] = rows_of(s, *rows[i], first, count);
    if (wants_pairs(&c)) /* before the smaller tensor: blocks of scratch are used again in their order */
        logits = result_for(s, c.logits, count, r->J);
    const clf_tensor images = result_for(s, c.image_embeds, count, r->P);

    embed(s, r, &r->m->vision, c.vision, images, c.image_embeds);
    if (wants_pairs(&c)) {
        compare(s, r, images, logits);
        finish_rows(s, r, &c, logits);
    }
    clf_scope_close(s, scope);
}

/* Floats of scratch for a picture. */
static int64_t floats_of_image(const clf_stream *s, const run *r)
{
    const clf_contrastive_call *c = &r->call;
    const int64_t row = floats_of_row(r, &r->m->vision, c->vision, c->image_embeds);
    const bool scores =
        clf_present(c->scores)
            ? !is_direct(c->scores)
            : clf_present(c->values) && (!wants_best_alone(c) || !clf_best_scores_at_once(s, r->J, c->indices.dim[1]));

    return row + (wants_pairs(c) && !is_direct(c->logits) ? r->J : 0) + (scores ? r->J : 0);
}

static void run_call(clf_stream *s, run *r)
{
    if (wants_texts(&r->call))
        keep_texts(s, r);
    if (!wants_images(&r->call))
        return;

    const int64_t step = rows_of_block(s, r, r->I, floats_of_image(s, r));

    for (int64_t first = 0; first < r->I; first += step)
        run_images(s, r, first, CLF_MIN(step, r->I - first));
}

void clf_contrastive_forward(clf_stream *s, const clf_contrastive *m, const clf_contrastive_call *given)
{
    run r = { .m = m, .call = clf_contrastive_call_default() };

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_contrastive_check(m, given, clf_op_error(s))))
        return;
    if (given != NULL)
        (void)clf_desc_read(&r.call, sizeof r.call, given); /* the check has found it readable */
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);

    r.I = wants_images(&r.call) ? r.call.vision.dim[0] : 0;
    r.J = wants_texts(&r.call) ? r.call.text.dim[0] : 0;
    r.P = wants_texts(&r.call) ? width_of(&m->text, r.call.text) : width_of(&m->vision, r.call.vision);
    run_call(s, &r);
    clf_scope_close(s, scope);
}
