/* qformer: its description checked, its weights packed. */
#include <string.h>

#include <clfusion/copy.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/parameter.h"
#include "fusion/qformer.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "qformer"
#define NAME_BYTES 64

/* ---- rules of a description ---- */

static bool has_cross(const clf_qformer_layer_desc *l)
{
    return clf_host_present(l->cross.q.weight);
}

static bool takes_text(const clf_qformer_desc *d)
{
    return clf_host_present(d->word_embeddings);
}

static const char *part_name(char *buffer, int32_t layer, const char *part)
{
    clf_format(buffer, NAME_BYTES, CLF_OP ": layers[%d].%s", (int)layer, part);
    return buffer;
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

static clf_status check_self(int32_t i, const clf_qformer_layer_desc *l, int64_t D, clf_error *err)
{
    const int64_t width = clf_host_present(l->self.k.weight) ? l->self.k.weight.dim[1] : 0;
    char name[NAME_BYTES];

    CLF_TRY(check_attention(part_name(name, i, "self"), &l->self, D, err));
    if (width != D)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.k.weight is %s; want %" PRId64 " columns, the width of queries",
                        name, CLF_HOST_TEXT(l->self.k.weight), D);
    return clf_norm_check(part_name(name, i, "self_norm"), &l->self_norm, D, err);
}

static clf_status check_layer(const clf_qformer_desc *d, int32_t i, int64_t D, clf_error *err)
{
    const clf_qformer_layer_desc *l = &d->layers[i];
    const bool text = clf_host_present(l->text_feed_forward.up.weight);
    char name[NAME_BYTES];

    CLF_TRY(check_self(i, l, D, err));
    if (has_cross(l))
        CLF_TRY(check_attention(part_name(name, i, "cross"), &l->cross, D, err));
    CLF_TRY(clf_norm_check(part_name(name, i, "cross_norm"), &l->cross_norm, D, err));
    CLF_TRY(check_feed_forward(part_name(name, i, "query_feed_forward"), &l->query_feed_forward, D, err));
    CLF_TRY(clf_norm_check(part_name(name, i, "query_norm"), &l->query_norm, D, err));
    CLF_REQUIRE(err, text == takes_text(d), CLF_INVALID_ARGUMENT,
                "layers[%d].text_feed_forward is %s and word_embeddings %s; want both or none", (int)i,
                text ? "there" : "absent", CLF_HOST_TEXT(d->word_embeddings));
    if (text)
        CLF_TRY(check_feed_forward(part_name(name, i, "text_feed_forward"), &l->text_feed_forward, D, err));
    return clf_norm_check(part_name(name, i, "text_norm"), &l->text_norm, D, err);
}

/* [M, D] behind leading ones. */
static bool is_table(clf_host_tensor t)
{
    for (int32_t i = 0; i + 2 < t.rank; i++)
        if (t.dim[i] != 1)
            return false;
    return clf_host_present(t) && t.rank >= 2 && t.dim[t.rank - 2] >= 1 && t.dim[t.rank - 1] >= 1;
}

static clf_status check_tables(const clf_qformer_desc *d, int64_t D, clf_error *err)
{
    const clf_host_tensor words = d->word_embeddings, positions = d->position_embeddings;

    if (!takes_text(d))
        return CLF_OK;
    CLF_REQUIRE(err, words.rank == 2 && words.dim[0] >= 1 && words.dim[0] <= INT32_MAX && words.dim[1] == D,
                CLF_INVALID_ARGUMENT, "word_embeddings is %s; want [V, %" PRId64 "], V of 1 to 2^31 - 1",
                CLF_HOST_TEXT(words), D);
    CLF_REQUIRE(err,
                clf_host_present(positions) && positions.rank == 2 && positions.dim[0] >= 1 &&
                    positions.dim[0] <= INT32_MAX && positions.dim[1] == D,
                CLF_INVALID_ARGUMENT, "position_embeddings is %s; want [P, %" PRId64 "], P of 1 to 2^31 - 1",
                CLF_HOST_TEXT(positions), D);
    return CLF_OK;
}

static clf_status check_desc(const clf_qformer_desc *d, clf_error *err)
{
    int32_t cross = 0;

    CLF_REQUIRE(err, is_table(d->queries), CLF_INVALID_ARGUMENT, "queries is %s; want [M, D], both above 0",
                CLF_HOST_TEXT(d->queries));
    const int64_t D = d->queries.dim[d->queries.rank - 1];

    CLF_REQUIRE(err, d->layers != NULL && d->layer_count >= 1, CLF_INVALID_ARGUMENT,
                "layer_count is %d; want 1 or more, and layers", (int)d->layer_count);
    CLF_TRY(clf_norm_check(CLF_OP ": embedding_norm", &d->embedding_norm, D, err));
    CLF_TRY(check_tables(d, D, err));
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_status status = check_layer(d, i, D, err);

        cross += has_cross(&d->layers[i]) ? 1 : 0;
        if (status != CLF_OK)
            return status;
    }
    CLF_REQUIRE(err, cross > 0, CLF_INVALID_ARGUMENT, "no layer has cross-attention; want one at least");
    return CLF_OK;
}

/* ---- weights ---- */

/* Keys and values of all layers with cross-attention in one product. */
static clf_status create_kv(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    const size_t count = (size_t)d->layer_count;
    const clf_attention_layer_desc **cross = clf_alloc(count, sizeof *cross);
    clf_norm_desc *norms = clf_alloc(count, sizeof *norms); /* none stands before them */
    clf_status status = CLF_OUT_OF_MEMORY;

    q->cross_count = 0;
    for (int32_t i = 0; cross != NULL && i < d->layer_count; i++)
        if (has_cross(&d->layers[i]))
            cross[q->cross_count++] = &d->layers[i].cross;
    if (cross != NULL && norms != NULL)
        status = clf_kv_weight_create(q->ctx, cross, norms, q->cross_count, d->storage, d->source, &q->kv, err);
    else
        CLF_FAIL(err, status, CLF_OP ": no host memory for %zu layers", count);
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
    char name[NAME_BYTES];

    l->kv_at = kv_at;
    CLF_TRY(clf_attention_layer_create(q->ctx, part_name(name, i, "self"), &from->self, CLF_SELF_ATTENTION, d->storage,
                                       d->source, &l->self, err));
    CLF_TRY(create_norm(q, d, part_name(name, i, "self_norm"), &from->self_norm, &l->self_norm, err));
    if (has_cross(from)) {
        CLF_TRY(clf_attention_layer_create(q->ctx, part_name(name, i, "cross"), &from->cross, CLF_SHARED_ATTENTION,
                                           d->storage, d->source, &l->cross, err));
        CLF_TRY(create_norm(q, d, part_name(name, i, "cross_norm"), &from->cross_norm, &l->cross_norm, err));
    }
    CLF_TRY(clf_feed_forward_create(q->ctx, part_name(name, i, "query_feed_forward"), &from->query_feed_forward,
                                    d->storage, d->source, &l->query_feed_forward, err));
    CLF_TRY(create_norm(q, d, part_name(name, i, "query_norm"), &from->query_norm, &l->query_norm, err));
    CLF_TRY(clf_feed_forward_create(q->ctx, part_name(name, i, "text_feed_forward"), &from->text_feed_forward,
                                    d->storage, d->source, &l->text_feed_forward, err));
    return create_norm(q, d, part_name(name, i, "text_norm"), &from->text_norm, &l->text_norm, err);
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
    const clf_dtype stored = host.dtype == CLF_F64 ? CLF_F32 : host.dtype;

    return clf_parameter_create(q->ctx, name, host, d->storage != CLF_DTYPE_NONE ? d->storage : stored, d->source,
                                table, err);
}

/* Groups of the rows: first, first, ... for the queries; then 1, 1 + step, ... for the text. */
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
        clf_copy(s, clf_attention_layer_ask(s, &l->cross, q->started), q->asked);
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
        memset(groups, 0, (size_t)q->M * sizeof *groups); /* as floats: zeros too */
        clf_upload_copy(s, groups, (uint64_t)q->M * sizeof(float), q->open);
    }
    status = clf_stream_finish(s, err);
    clf_stream_destroy(s);
    return status;
}

static clf_status create_queries(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    const clf_attention_layer *cross = &q->layers[0].cross;
    clf_host_tensor queries = d->queries;

    queries.rank = 3;
    queries.dim[0] = 1;
    queries.dim[1] = q->M;
    queries.dim[2] = q->D;
    CLF_TRY(clf_parameter_create(q->ctx, "queries", queries, CLF_F32, d->source, &q->queries, err));
    CLF_TRY(clf_tensor_create(q->ctx, CLF_F32, CLF_DIMS(1, q->M, q->D), &q->started, err));
    if (cross->q != NULL)
        CLF_TRY(clf_tensor_create(q->ctx, CLF_F32, CLF_DIMS(1, q->M, cross->H * cross->D), &q->asked, err));
    return CLF_OK;
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
    CLF_TRY(clf_tensor_create(q->ctx, CLF_F32, CLF_DIMS(1, 1, 1, q->M), &q->open, err));
    groups = clf_alloc((size_t)rows, sizeof *groups);
    CLF_REQUIRE(err, groups != NULL, CLF_OUT_OF_MEMORY, "no host memory for %" PRId64 " groups", rows);
    status = fill_constants(q, groups, err);
    clf_free(groups);
    return status;
}

static void count_products(clf_qformer *q, const clf_qformer_desc *d)
{
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_qformer_layer_desc *l = &d->layers[i];
        const uint64_t self = clf_attention_layer_products(&l->self) + clf_attention_layer_context_products(&l->self);

        q->products.query += self + clf_feed_forward_products(&l->query_feed_forward);
        q->products.text += self + clf_feed_forward_products(&l->text_feed_forward);
        if (has_cross(l)) {
            q->products.query += clf_attention_layer_products(&l->cross);
            q->products.vision += clf_attention_layer_context_products(&l->cross);
        }
    }
}

static clf_status fill(clf_qformer *q, const clf_qformer_desc *d, clf_error *err)
{
    q->layers = clf_alloc((size_t)d->layer_count, sizeof *q->layers);
    CLF_REQUIRE(err, q->layers != NULL, CLF_OUT_OF_MEMORY, "no host memory for %d layers", (int)d->layer_count);
    q->layer_count = d->layer_count;
    count_products(q, d);
    CLF_TRY(create_norm(q, d, "embedding_norm", &d->embedding_norm, &q->embedding_norm, err));
    CLF_TRY(create_layers(q, d, err));
    CLF_TRY(create_kv(q, d, err));
    CLF_TRY(create_table(q, d, "word_embeddings", d->word_embeddings, &q->words, err));
    if (takes_text(d))
        CLF_TRY(create_table(q, d, "position_embeddings", d->position_embeddings, &q->positions, err));
    return create_constants(q, d, err);
}

clf_status clf_qformer_create(clf_context *ctx, const clf_qformer_desc *desc, clf_qformer **q, clf_error *err)
{
    clf_qformer_desc full = clf_qformer_desc_default();
    clf_status status;

    *q = NULL;
    CLF_DESC_READ(err, &full, desc);
    CLF_TRY(check_desc(&full, err));
    *q = clf_alloc(1, sizeof **q);
    CLF_REQUIRE(err, *q != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **q);
    (*q)->ctx = ctx;
    (*q)->M = full.queries.dim[full.queries.rank - 2];
    (*q)->D = full.queries.dim[full.queries.rank - 1];
    status = fill(*q, &full, err);
    if (status != CLF_OK) {
        clf_qformer_destroy(*q);
        *q = NULL;
    }
    return status;
}

static void destroy_layer(clf_context *ctx, clf_qformer_layer *l)
{
    clf_attention_layer_destroy(ctx, &l->self);
    clf_attention_layer_destroy(ctx, &l->cross);
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
