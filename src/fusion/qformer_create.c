/* qformer: its description checked, its weights packed. */
#include <clfusion/copy.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/name.h"
#include "fusion/parameter.h"
#include "fusion/qformer.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "qformer"

/* ---- rules of a description ---- */

static bool has_cross(const clf_qformer_layer_desc *l)
{
    return clf_host_present(l->cross.q.weight);
}

static bool takes_text(const clf_qformer_desc *d)
{
    return clf_host_present(d->word_embeddings);
}

/* Rows of width D enter and leave. */
static clf_status check_width(const char *name, int64_t in, int64_t out, int64_t D, clf_error *err)
{
    if (in != D || out != D)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s makes rows of %" PRId64 " of rows of %" PRId64 "; want %" PRId64 ", the width of queries",
                        name, out, in, D);
    return CLF_OK;
}

static clf_status check_attention(const char *name, const clf_attention_layer_desc *a, int64_t D, clf_error *err)
{
    CLF_TRY(clf_attention_layer_check(name, a, err));
    return check_width(name, clf_attention_layer_width(a), clf_attention_layer_result_width(a), D, err);
}

static clf_status check_feed_forward(const char *name, const clf_feed_forward_desc *ff, int64_t D, clf_error *err)
{
    CLF_TRY(clf_feed_forward_check(name, ff, err));
    return check_width(name, ff->up.weight.dim[1], ff->down.weight.dim[0], D, err);
}

static clf_status check_self(const clf_qformer_layer_desc *l, int32_t i, int64_t D, clf_error *err)
{
    CLF_TRY(check_attention(CLF_LAYER(i, "self"), &l->self, D, err));
    if (l->self.k.weight.dim[1] != D)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "layers[%d].self.k.weight is %s; want %" PRId64 " columns, the width of queries", (int)i,
                        CLF_HOST_TEXT(l->self.k.weight), D);
    return clf_norm_check(CLF_LAYER(i, "self_norm"), &l->self_norm, D, err);
}

/* All layers with cross-attention read the same rows, those of layer `first`. */
static clf_status check_cross(const clf_qformer_desc *d, int32_t i, int32_t first, int64_t D, clf_error *err)
{
    const clf_attention_layer_desc *cross = &d->layers[i].cross;
    const int64_t Dv = d->layers[first].cross.k.weight.dim[1];

    CLF_TRY(check_attention(CLF_LAYER(i, "cross"), cross, D, err));
    if (cross->k.weight.dim[1] != Dv)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "layers[%d].cross.k.weight is %s; want %" PRId64 " columns, as layers[%d].cross has", (int)i,
                        CLF_HOST_TEXT(cross->k.weight), Dv, (int)first);
    return clf_norm_check(CLF_LAYER(i, "cross_norm"), &d->layers[i].cross_norm, D, err);
}

static clf_status check_feed_forwards(const clf_qformer_desc *d, int32_t i, int64_t D, clf_error *err)
{
    const clf_qformer_layer_desc *l = &d->layers[i];
    const bool text = clf_host_present(l->text_feed_forward.up.weight);

    CLF_TRY(check_feed_forward(CLF_LAYER(i, "query_feed_forward"), &l->query_feed_forward, D, err));
    CLF_TRY(clf_norm_check(CLF_LAYER(i, "query_norm"), &l->query_norm, D, err));
    if (text != takes_text(d))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "layers[%d].text_feed_forward is %s and word_embeddings %s; want both or none", (int)i,
                        text ? "there" : "absent", CLF_HOST_TEXT(d->word_embeddings));
    if (text)
        CLF_TRY(check_feed_forward(CLF_LAYER(i, "text_feed_forward"), &l->text_feed_forward, D, err));
    return clf_norm_check(CLF_LAYER(i, "text_norm"), &l->text_norm, D, err);
}

static clf_status check_layers(const clf_qformer_desc *d, int64_t D, clf_error *err)
{
    int32_t first = -1;

    for (int32_t i = 0; i < d->layer_count; i++) {
        CLF_TRY(check_self(&d->layers[i], i, D, err));
        if (has_cross(&d->layers[i])) {
            first = first < 0 ? i : first;
            CLF_TRY(check_cross(d, i, first, D, err));
        }
        CLF_TRY(check_feed_forwards(d, i, D, err));
    }
    if (first < 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "no layer has cross-attention; want one at least");
    return CLF_OK;
}

/* A table of text, [rows, D]; `letter` names the rows. */
static clf_status check_table(const char *name, clf_host_tensor t, char letter, int64_t D, clf_error *err)
{
    if (!clf_host_present(t) || t.rank != 2 || t.dim[0] < 1 || t.dim[0] > INT32_MAX || t.dim[1] != D)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s; want [%c, %" PRId64 "], %c of 1 to 2^31 - 1", name,
                        CLF_HOST_TEXT(t), letter, D, letter);
    return CLF_OK;
}

/* *queries receives them as [1, M, D]. */
static clf_status check_desc(const clf_qformer_desc *d, clf_host_tensor *queries, clf_error *err)
{
    if (!clf_parameter_table(d->queries, queries))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "queries is %s; want [M, D], both above 0",
                        CLF_HOST_TEXT(d->queries));
    const int64_t D = queries->dim[2];

    if (d->layers == NULL || d->layer_count < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "layer_count is %d and layers is %s; want at least one layer",
                        (int)d->layer_count, d->layers != NULL ? "set" : "NULL");
    CLF_TRY(clf_norm_check("embedding_norm", &d->embedding_norm, D, err));
    if (takes_text(d)) {
        CLF_TRY(check_table("word_embeddings", d->word_embeddings, 'V', D, err));
        CLF_TRY(check_table("position_embeddings", d->position_embeddings, 'P', D, err));
    }
    return check_layers(d, D, err);
}

/* ---- weights ---- */

/* Of the first layer with cross-attention; the check has found the others alike. */
static int64_t vision_width(const clf_qformer_desc *d)
{
    int32_t i = 0;

    while (!has_cross(&d->layers[i]))
        i++;
    return clf_attention_layer_context_width(&d->layers[i].cross);
}

/* Whether all layers with cross-attention can do without keys and values. */
static bool all_absorbed(const clf_qformer *q, const clf_qformer_desc *d)
{
    for (int32_t i = 0; i < d->layer_count; i++)
        if (has_cross(&d->layers[i]) && !clf_absorbed_pays(q->ctx, &d->layers[i].cross, q->M))
            return false;
    return true;
}

/* Keys and values of all layers with cross-attention in one product. */
static clf_status create_kv(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    const size_t count = (size_t)d->layer_count;
    const clf_attention_layer_desc **cross = clf_alloc(count, sizeof *cross);
    clf_norm_desc *norms = clf_alloc(count, sizeof *norms); /* none stands before them */
    clf_status status = CLF_OUT_OF_MEMORY;
    int32_t cross_count = 0;

    for (int32_t i = 0; cross != NULL && i < d->layer_count; i++)
        if (has_cross(&d->layers[i]))
            cross[cross_count++] = &d->layers[i].cross;
    if (cross != NULL && norms != NULL)
        status = clf_kv_weight_create(q->ctx, cross, norms, cross_count, d->storage, d->source, &q->kv, err);
    else
        CLF_FAIL(err, status, "no host memory for %zu layers", count);
    clf_free(cross);
    clf_free(norms);
    return status;
}

static clf_status create_norm(clf_qformer *q, const clf_qformer_desc *d, const char *name, const clf_norm_desc *norm,
                              clf_norm *made, clf_error *err)
{
    return clf_norm_create(q->ctx, name, norm, q->D, d->source, made, err);
}

static clf_status create_layer(clf_qformer *q, const clf_qformer_desc *d, int32_t i, int64_t kv_at, clf_error *err)
{
    const clf_qformer_layer_desc *from = &d->layers[i];
    clf_qformer_layer *l = &q->layers[i];

    l->kv_at = kv_at;
    CLF_TRY(clf_attention_layer_create(q->ctx, CLF_LAYER(i, "self"), &from->self, CLF_SELF_ATTENTION, d->storage,
                                       d->source, &l->self, err));
    CLF_TRY(create_norm(q, d, CLF_LAYER(i, "self_norm"), &from->self_norm, &l->self_norm, err));
    if (has_cross(from)) {
        CLF_TRY(clf_attention_layer_create(q->ctx, CLF_LAYER(i, "cross"), &from->cross, CLF_SHARED_ATTENTION,
                                           d->storage, d->source, &l->cross, err));
        if (q->absorbed)
            CLF_TRY(clf_absorbed_create(q->ctx, CLF_LAYER(i, "cross"), &from->cross, d->storage, d->source,
                                        &l->absorbed, err));
        CLF_TRY(create_norm(q, d, CLF_LAYER(i, "cross_norm"), &from->cross_norm, &l->cross_norm, err));
    }
    CLF_TRY(clf_feed_forward_create(q->ctx, CLF_LAYER(i, "query_feed_forward"), &from->query_feed_forward, d->storage,
                                    d->source, &l->query_feed_forward, err));
    CLF_TRY(create_norm(q, d, CLF_LAYER(i, "query_norm"), &from->query_norm, &l->query_norm, err));
    CLF_TRY(clf_feed_forward_create(q->ctx, CLF_LAYER(i, "text_feed_forward"), &from->text_feed_forward, d->storage,
                                    d->source, &l->text_feed_forward, err));
    return create_norm(q, d, CLF_LAYER(i, "text_norm"), &from->text_norm, &l->text_norm, err);
}

static clf_status create_layers(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    int64_t kv_at = 0;

    for (int32_t i = 0; i < d->layer_count; i++) {
        CLF_TRY(create_layer(q, d, i, kv_at, err));
        if (has_cross(&d->layers[i]))
            kv_at += clf_attention_layer_kv_width(&q->layers[i].cross);
    }
    return CLF_OK;
}

static clf_status create_table(clf_qformer *q, const clf_qformer_desc *d, const char *name, clf_host_tensor host,
                               clf_tensor *table, clf_error *err)
{
    return clf_parameter_create(q->ctx, name, host, clf_weight_storage(host.dtype, d->storage), d->source, table, err);
}

/* Groups of the rows: 0 for the queries; then 1, 1 + step, ... for the text. */
static void fill_groups(int32_t *groups, int64_t M, int64_t P, int32_t step)
{
    for (int64_t i = 0; i < M + P; i++)
        groups[i] = i < M ? 0 : 1 + step * (int32_t)(i - M);
}

/* The queries as the first layer's self-attention leaves them, and what they ask of vision. */
static void start_queries(clf_stream *s, clf_qformer *q)
{
    const clf_attention_options rules = clf_attention_options_default();
    clf_qformer_layer *l = &q->layers[0];

    clf_normalise(s, &q->embedding_norm, q->queries, q->queries);
    clf_attention_layer_self(s, &l->self, q->queries, &rules, q->queries, q->started);
    clf_normalise(s, &l->self_norm, q->started, q->started);
    if (clf_present(q->asked))
        clf_copy(s,
                 q->absorbed ? clf_absorbed_ask(s, &l->cross, &l->absorbed, q->started)
                             : clf_attention_layer_ask(s, &l->cross, q->started),
                 q->asked);
}

/* Copies the groups, and computes what every call would compute again. */
static clf_status fill_constants(clf_qformer *q, int32_t *groups, clf_error *err)
{
    clf_stream *s = NULL;
    clf_status status;

    CLF_TRY(clf_stream_create(q->ctx, NULL, &s, err));
    start_queries(s, q);
    if (groups != NULL) {
        const int64_t P = q->positions.dim[0];

        fill_groups(groups, q->M, P, 0);
        clf_upload_copy(s, groups, (uint64_t)(q->M + P) * sizeof *groups, q->apart);
        fill_groups(groups, q->M, P, 1);
        clf_upload_copy(s, groups, (uint64_t)(q->M + P) * sizeof *groups, q->past);
    }
    status = clf_stream_finish(s, err);
    clf_stream_destroy(s);
    return status;
}

static clf_status create_queries(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    const clf_attention_layer *cross = &q->layers[0].cross;
    clf_host_tensor queries = { 0 };

    (void)clf_parameter_table(d->queries, &queries); /* the check has found it sound */
    CLF_TRY(clf_parameter_create(q->ctx, "queries", queries, CLF_F32, d->source, &q->queries, err));
    CLF_TRY(clf_tensor_create(q->ctx, CLF_F32, CLF_DIMS(1, q->M, q->D), &q->started, err));
    if (cross->q == NULL)
        return CLF_OK;
    return clf_tensor_create(q->ctx, CLF_F32,
                             q->absorbed ? CLF_DIMS(1, cross->H * q->M, q->Dv) : CLF_DIMS(1, q->M, cross->H * cross->D),
                             &q->asked, err);
}

static clf_status create_constants(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    int32_t *groups;
    clf_status status;

    CLF_TRY(create_queries(q, d, err));
    if (!takes_text(d))
        return fill_constants(q, NULL, err);
    const int64_t rows = q->M + q->positions.dim[0];

    CLF_TRY(clf_tensor_create(q->ctx, CLF_I32, CLF_DIMS(1, rows), &q->apart, err));
    CLF_TRY(clf_tensor_create(q->ctx, CLF_I32, CLF_DIMS(1, rows), &q->past, err));
    CLF_TRY(clf_parameter_zeros(q->ctx, CLF_DIMS(1, 1, 1, q->M), &q->open, err));
    groups = clf_alloc((size_t)rows, sizeof *groups);
    if (groups == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %" PRId64 " groups", rows);
    status = fill_constants(q, groups, err);
    clf_free(groups);
    return status;
}

/* Keys and values are products of the rows of vision; absorbed, their weights meet the queries, and scores and sums are
 * as wide as vision. */
static void count_cross(clf_qformer *q, const clf_attention_layer_desc *cross)
{
    const uint64_t made = clf_attention_layer_context_products(cross);

    q->products.query += clf_attention_layer_products(cross) + (q->absorbed ? made : 0);
    q->products.vision += q->absorbed ? 0 : made;
    q->products.pair += 2 * (uint64_t)(q->absorbed ? cross->heads * q->Dv : q->D);
}

static void count_products(clf_qformer *q, const clf_qformer_desc *d)
{
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_qformer_layer_desc *l = &d->layers[i];
        const uint64_t self = clf_attention_layer_products(&l->self) + clf_attention_layer_context_products(&l->self);

        q->products.query += self + clf_feed_forward_products(&l->query_feed_forward);
        q->products.text += self + clf_feed_forward_products(&l->text_feed_forward);
        if (has_cross(l))
            count_cross(q, &l->cross);
    }
}

static clf_status fill(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    q->layers = clf_alloc((size_t)d->layer_count, sizeof *q->layers);
    if (q->layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %d layers", (int)d->layer_count);
    q->layer_count = d->layer_count;
    q->Dv = vision_width(d);
    q->absorbed = all_absorbed(q, d);
    count_products(q, d);
    CLF_TRY(create_norm(q, d, "embedding_norm", &d->embedding_norm, &q->embedding_norm, err));
    CLF_TRY(create_layers(q, d, err));
    if (!q->absorbed)
        CLF_TRY(create_kv(q, d, err));
    CLF_TRY(create_table(q, d, "word_embeddings", d->word_embeddings, &q->words, err));
    if (takes_text(d))
        CLF_TRY(create_table(q, d, "position_embeddings", d->position_embeddings, &q->positions, err));
    return create_constants(q, d, err);
}

static clf_status create(clf_context *ctx, const clf_qformer_desc *d, clf_qformer **q, clf_error *err)
{
    clf_host_tensor queries;

    CLF_TRY(check_desc(d, &queries, err));
    *q = clf_alloc(1, sizeof **q);
    if (*q == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **q);
    (*q)->ctx = ctx;
    (*q)->M = queries.dim[1];
    (*q)->D = queries.dim[2];
    return fill(*q, d, err);
}

clf_status clf_qformer_create(clf_context *ctx, const clf_qformer_desc *desc, clf_qformer **q, clf_error *err)
{
    clf_qformer_desc full = clf_qformer_desc_default();
    clf_status status;

    *q = NULL;
    CLF_DESC_READ(err, &full, desc);
    status = create(ctx, &full, q, err);
    if (status != CLF_OK) {
        clf_error_prefix(err, CLF_OP ": ");
        clf_qformer_destroy(*q);
        *q = NULL;
    }
    return status;
}

static void destroy_layer(clf_context *ctx, clf_qformer_layer *l)
{
    clf_attention_layer_destroy(ctx, &l->self);
    clf_attention_layer_destroy(ctx, &l->cross);
    clf_absorbed_destroy(ctx, &l->absorbed);
    clf_feed_forward_destroy(ctx, &l->query_feed_forward);
    clf_feed_forward_destroy(ctx, &l->text_feed_forward);
    clf_norm_destroy(ctx, &l->self_norm);
    clf_norm_destroy(ctx, &l->cross_norm);
    clf_norm_destroy(ctx, &l->query_norm);
    clf_norm_destroy(ctx, &l->text_norm);
}

void clf_qformer_destroy(clf_qformer *q)
{
    if (q == NULL)
        return;
    for (int32_t i = 0; i < q->layer_count; i++)
        destroy_layer(q->ctx, &q->layers[i]);
    clf_free(q->layers);
    clf_linear_weight_destroy(q->kv);
    clf_norm_destroy(q->ctx, &q->embedding_norm);
    clf_tensor_free(q->ctx, &q->queries);
    clf_tensor_free(q->ctx, &q->started);
    clf_tensor_free(q->ctx, &q->asked);
    clf_tensor_free(q->ctx, &q->words);
    clf_tensor_free(q->ctx, &q->positions);
    clf_tensor_free(q->ctx, &q->open);
    clf_tensor_free(q->ctx, &q->apart);
    clf_tensor_free(q->ctx, &q->past);
    clf_free(q);
}
