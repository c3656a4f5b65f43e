/* attention_pool: a description checked, its weights packed, its queries projected. */
#include "fusion/attention_pool_parts.h"

#include <clfusion/add.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/gate.h"
#include "fusion/parameter.h"
#include "fusion/transpose.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "attention_pool"

/* ---- descriptions ---- */

/* The rows of a table [.., rows, width] behind leading ones; 0 when it is none. */
static int64_t table_rows(clf_host_tensor t, int64_t width)
{
    clf_host_tensor table;

    return clf_parameter_table(t, &table) && table.dim[2] == width ? table.dim[1] : 0;
}

/* The width C of the rows after input. */
static int64_t row_width(const clf_attention_pool_desc *d)
{
    if (clf_host_present(d->input.weight))
        return d->input.weight.dim[0];
    return clf_host_present(d->key_projection) ? d->key_projection.dim[1] : d->attention.k.weight.dim[1];
}

static clf_status check_queries(const clf_attention_pool_desc *d, clf_error *err)
{
    const int64_t C = clf_attention_layer_width(&d->attention), M = table_rows(d->queries, C);

    if (!clf_host_present(d->queries)) {
        if (clf_host_present(d->query_positions) || clf_host_present(d->query_projection.weight) ||
            clf_host_present(d->key_projection) || d->positions_of_call || C != row_width(d))
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "queries is absent beside query_positions, a projection, positions_of_call or an attention "
                            "of other width than the rows; want none of them where the mean asks");
        return CLF_OK;
    }
    if (M < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "queries is %s; want [M, %" PRId64 "], M above 0",
                        CLF_HOST_TEXT(d->queries), C);
    if (clf_host_present(d->query_positions) && table_rows(d->query_positions, C) != M)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "query_positions is %s; want [%" PRId64 ", %" PRId64 "], like queries",
                        CLF_HOST_TEXT(d->query_positions), M, C);
    if (!clf_host_present(d->query_projection.weight))
        return CLF_OK;
    CLF_TRY(clf_weight_check("query_projection", &d->query_projection, C, err));
    if (d->query_projection.weight.dim[0] != C)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "query_projection.weight is %s; want %" PRId64 " rows, the columns of attention.q.weight",
                        CLF_HOST_TEXT(d->query_projection.weight), C);
    return CLF_OK;
}

/* key_projection and value_projection; both or none. */
static clf_status check_projection(const char *name, clf_host_tensor t, int64_t C, clf_error *err)
{
    if (!clf_host_present(t) || t.rank != 2 || t.dim[0] < 1 || t.dim[1] != C)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s; want [C', %" PRId64 "], C' above 0", name,
                        CLF_HOST_TEXT(t), C);
    return CLF_OK;
}

/* What stands before the attention's own k and v. */
static clf_status check_rows(const clf_attention_pool_desc *d, clf_error *err)
{
    const clf_host_tensor key = d->key_projection, value = d->value_projection;
    const int64_t C = row_width(d);
    int64_t inner = C;

    if (clf_host_present(d->input.weight))
        CLF_TRY(clf_weight_check("input", &d->input, 0, err));
    CLF_TRY(clf_norm_check("input_norm", &d->input_norm, C, err));
    if (clf_host_present(key) || clf_host_present(value)) {
        CLF_TRY(check_projection("key_projection", key, C, err));
        CLF_TRY(check_projection("value_projection", value, C, err));
        inner = key.dim[0];
        if (value.dim[0] != inner)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "value_projection is %s; want %" PRId64 " rows, as keys",
                            CLF_HOST_TEXT(value), inner);
    }
    if (d->attention.k.weight.dim[1] != inner)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "attention.k.weight is %s; want %" PRId64 " columns, the width of the rows before it",
                        CLF_HOST_TEXT(d->attention.k.weight), inner);
    if (clf_host_present(d->positions) && table_rows(d->positions, C) < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "positions is %s; want [N, %" PRId64 "], N above 0",
                        CLF_HOST_TEXT(d->positions), C);
    return CLF_OK;
}

/* What stands behind the attention; *width is that of the tokens. */
static clf_status check_output(const clf_attention_pool_desc *d, int64_t *width, clf_error *err)
{
    int64_t R = clf_attention_layer_result_width(&d->attention);

    CLF_TRY(clf_gate_check_absent("attention", d->attention.gate, err));
    if (clf_host_present(d->feed_forward.up.weight)) {
        CLF_TRY(clf_feed_forward_check("feed_forward", &d->feed_forward, err));
        if (d->feed_forward.up.weight.dim[1] != R ||
            (d->feed_forward_residual && d->feed_forward.down.weight.dim[0] != R))
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "feed_forward is up %s, down %s; want %" PRId64 " columns of up%s, the width of the "
                            "attention",
                            CLF_HOST_TEXT(d->feed_forward.up.weight), CLF_HOST_TEXT(d->feed_forward.down.weight), R,
                            d->feed_forward_residual ? " and rows of down" : "");
        if (!d->feed_forward_residual)
            CLF_TRY(clf_gate_check_absent("feed_forward", d->feed_forward.gate, err));
        R = d->feed_forward.down.weight.dim[0];
    }
    CLF_TRY(clf_norm_check("output_norm", &d->output_norm, R, err));
    *width = R;
    if (clf_host_present(d->output.weight)) {
        CLF_TRY(clf_weight_check("output", &d->output, R, err));
        *width = d->output.weight.dim[0];
    }
    if (!clf_host_present(d->projection))
        return CLF_OK;
    if (clf_host_present(d->output.weight) || d->projection.rank != 2 || d->projection.dim[0] != R)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "projection is %s; want [%" PRId64 ", Dt], the width before it first, and no output beside it",
                        CLF_HOST_TEXT(d->projection), R);
    *width = d->projection.dim[1];
    return CLF_OK;
}

static clf_status check_desc(const clf_attention_pool_desc *d, clf_attention_pool *p, clf_error *err)
{
    CLF_TRY(clf_attention_layer_check("attention", &d->attention, err));
    CLF_TRY(check_queries(d, err));
    CLF_TRY(check_rows(d, err));
    CLF_TRY(check_output(d, &p->Dt, err));
    p->mean = !clf_host_present(d->queries);
    p->positions_of_call = d->positions_of_call;
    p->feed_forward_residual = d->feed_forward_residual;
    p->C = row_width(d);
    p->Dv = clf_host_present(d->input.weight) ? d->input.weight.dim[1] : p->C;
    p->M = p->mean ? 1 : table_rows(d->queries, clf_attention_layer_width(&d->attention));
    p->R = clf_attention_layer_result_width(&d->attention);
    return CLF_OK;
}

/* ---- creation ---- */

/* A table that has been checked as [1, rows, width]; absent stays absent. */
static clf_host_tensor as_table(clf_host_tensor t)
{
    (void)clf_parameter_table(t, &t);
    return t;
}

/* queries = Wq query_projection(norm(rows) + positions). */
static void ask(clf_stream *s, const clf_attention_pool *p, clf_tensor rows, clf_tensor positions,
                const clf_linear_weight *query_projection)
{
    clf_tensor x = clf_norm_rows(s, &p->attention.norm, rows);

    if (clf_present(positions)) {
        clf_add(s, x, positions, 1.0F, rows);
        x = rows;
    }
    if (query_projection != NULL) {
        const clf_tensor y = clf_scratch(s, CLF_F32, clf_tensor_dims(x));

        clf_linear(s, x, query_projection, NULL, y);
        x = y;
    }
    clf_linear(s, x, p->attention.q, NULL, p->queries);
}

static clf_status project_queries(clf_attention_pool *p, const clf_attention_pool_desc *d, clf_error *err)
{
    clf_tensor rows, positions = { 0 };
    clf_linear_weight *first = NULL;
    clf_stream *s = NULL;
    clf_status status = clf_parameter_create(p->ctx, "queries", as_table(d->queries), CLF_F32, d->source, &rows, err);

    if (status == CLF_OK)
        status = clf_parameter_create(p->ctx, "query_positions", as_table(d->query_positions), CLF_F32, d->source,
                                      &positions, err);
    if (status == CLF_OK)
        status =
            clf_weight_create(p->ctx, "query_projection", &d->query_projection, d->storage, d->source, &first, err);
    if (status == CLF_OK)
        status =
            clf_tensor_create(p->ctx, CLF_F32, CLF_DIMS(1, p->M, p->attention.H * p->attention.D), &p->queries, err);
    if (status == CLF_OK)
        status = clf_stream_create(p->ctx, NULL, &s, err);
    if (status == CLF_OK) {
        ask(s, p, rows, positions, first);
        status = clf_stream_finish(s, err);
    }
    clf_stream_destroy(s);
    clf_linear_weight_destroy(first);
    clf_tensor_free(p->ctx, &positions);
    clf_tensor_free(p->ctx, &rows);
    return status;
}

/* product = (second first)^T = first^T second^T, both weights as they would be stored.  turned: first^T. */
static clf_status multiply(clf_attention_pool *p, const char *name, clf_host_tensor turned,
                           const clf_linear_weight *second, clf_dtype storage, float *product, clf_error *err)
{
    clf_tensor x, y = { 0 };
    clf_stream *s = NULL;
    clf_status status =
        clf_parameter_create(p->ctx, name, turned, clf_weight_storage(turned.dtype, storage), NULL, &x, err);

    if (status == CLF_OK)
        status = clf_tensor_create(p->ctx, CLF_F32, CLF_DIMS(turned.dim[0], clf_linear_weight_out(second)), &y, err);
    if (status == CLF_OK)
        status = clf_stream_create(p->ctx, NULL, &s, err);
    if (status == CLF_OK) {
        clf_linear(s, x, second, NULL, y);
        if (clf_context_has_device(p->ctx))
            clf_download(s, y, product);
        status = clf_stream_finish(s, err);
    }
    clf_stream_destroy(s);
    clf_tensor_free(p->ctx, &y);
    clf_tensor_free(p->ctx, &x);
    return status;
}

/* layer->weight = layer->weight first, f32 in *memory, which the caller frees. */
static clf_status merge(clf_attention_pool *p, const clf_attention_pool_desc *d, const char *name,
                        clf_host_tensor first, clf_linear_layer *layer, void **memory, clf_error *err)
{
    const clf_linear_layer second = { .weight = layer->weight };
    const int64_t in = first.dim[1], out = second.weight.dim[0];
    clf_linear_weight *w = NULL;
    clf_host_tensor turned;
    void *turned_memory;
    clf_status status = clf_transpose(name, first, &turned_memory, &turned, err);
    float *product = clf_alloc((size_t)in, (size_t)out * sizeof *product); /* out rows are in memory: no overflow */

    if (status == CLF_OK && product == NULL)
        status =
            CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s is %s; want host memory for its product", name, CLF_HOST_TEXT(first));
    if (status == CLF_OK)
        status = clf_weight_create(p->ctx, name, &second, d->storage, d->source, &w, err);
    if (status == CLF_OK)
        status = multiply(p, name, turned, w, d->storage, product, err);
    if (status == CLF_OK)
        status =
            clf_transpose(name, (clf_host_tensor){ product, CLF_F32, 2, { in, out } }, memory, &layer->weight, err);
    if (status == CLF_OK)
        clf_weight_read(d->source, first);
    clf_linear_weight_destroy(w);
    clf_free(product);
    clf_free(turned_memory);
    return status;
}

/* k and v apart where keys have positions, else side by side. */
static clf_status create_keys(clf_attention_pool *p, bool apart, const clf_linear_layer *k, const clf_linear_layer *v,
                              clf_dtype storage, const clf_tensor_source *source, clf_error *err)
{
    const clf_linear_part parts[] = { { .layer = *k }, { .layer = *v } };

    if (!apart)
        return clf_weight_stack(p->ctx, "attention.kv", parts, 2, storage, source, &p->attention.kv, err);
    CLF_TRY(clf_weight_create(p->ctx, "attention.k", k, storage, source, &p->k, err));
    return clf_weight_create(p->ctx, "attention.v", v, storage, source, &p->v, err);
}

/* The same after the projections have been multiplied into k and v. */
static clf_status create_merged_keys(clf_attention_pool *p, const clf_attention_pool_desc *d, bool apart,
                                     clf_error *err)
{
    clf_linear_layer k = d->attention.k, v = d->attention.v;
    void *key_memory = NULL, *value_memory = NULL;
    clf_status status = merge(p, d, "key_projection", d->key_projection, &k, &key_memory, err);

    if (status == CLF_OK)
        status = merge(p, d, "value_projection", d->value_projection, &v, &value_memory, err);
    if (status == CLF_OK)
        status = create_keys(p, apart, &k, &v, CLF_F32, NULL, err);
    clf_free(key_memory);
    clf_free(value_memory);
    return status;
}

static clf_status create_attention(clf_attention_pool *p, const clf_attention_pool_desc *d, clf_error *err)
{
    const bool apart = d->positions_of_call || (!p->mean && clf_host_present(d->positions));

    CLF_TRY(clf_attention_layer_create(p->ctx, "attention", &d->attention, CLF_SHARED_ATTENTION, d->storage, d->source,
                                       &p->attention, err));
    if (clf_host_present(d->key_projection))
        CLF_TRY(create_merged_keys(p, d, apart, err));
    else
        CLF_TRY(create_keys(p, apart, &d->attention.k, &d->attention.v, d->storage, d->source, err));
    if (p->mean)
        return clf_parameter_zeros(p->ctx, CLF_DIMS(1), &p->zero, err);
    CLF_TRY(project_queries(p, d, err));
    clf_linear_weight_destroy(p->attention.q); /* it has done its work */
    p->attention.q = NULL;
    return CLF_OK;
}

/* output, or the transpose of projection. */
static clf_status create_output(clf_attention_pool *p, const clf_attention_pool_desc *d, clf_error *err)
{
    clf_linear_layer layer = { .bias = { 0 } };
    void *memory;
    clf_status status;

    if (!clf_host_present(d->projection))
        return clf_weight_create(p->ctx, "output", &d->output, d->storage, d->source, &p->output, err);
    CLF_TRY(clf_transpose("projection", d->projection, &memory, &layer.weight, err));
    status = clf_weight_create(p->ctx, "projection", &layer, d->storage, NULL, &p->output, err);
    clf_free(memory);
    if (status == CLF_OK)
        clf_weight_read(d->source, d->projection);
    return status;
}

static clf_status fill(clf_attention_pool *p, const clf_attention_pool_desc *d, clf_error *err)
{
    CLF_TRY(check_desc(d, p, err));
    const int64_t width = clf_host_present(d->feed_forward.up.weight) ? d->feed_forward.down.weight.dim[0] : p->R;

    CLF_TRY(clf_weight_create(p->ctx, "input", &d->input, d->storage, d->source, &p->input, err));
    CLF_TRY(clf_norm_create(p->ctx, "input_norm", &d->input_norm, p->C, d->source, &p->input_norm, err));
    CLF_TRY(clf_parameter_create(p->ctx, "positions", as_table(d->positions), CLF_F32, d->source, &p->positions, err));
    CLF_TRY(create_attention(p, d, err));
    CLF_TRY(clf_feed_forward_create(p->ctx, "feed_forward", &d->feed_forward, d->storage, d->source, &p->feed_forward,
                                    err));
    CLF_TRY(clf_norm_create(p->ctx, "output_norm", &d->output_norm, width, d->source, &p->output_norm, err));
    return create_output(p, d, err);
}

clf_status clf_attention_pool_create(clf_context *ctx, const clf_attention_pool_desc *desc, clf_attention_pool **p,
                                     clf_error *err)
{
    clf_attention_pool_desc full = clf_attention_pool_desc_default();
    clf_status status;

    *p = NULL;
    CLF_DESC_READ(err, &full, desc);
    *p = clf_alloc(1, sizeof **p);
    CLF_REQUIRE(err, *p != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **p);
    (*p)->ctx = ctx;
    status = fill(*p, &full, err);
    if (status != CLF_OK) {
        clf_error_prefix(err, CLF_OP ": ");
        clf_attention_pool_destroy(*p);
        *p = NULL;
    }
    return status;
}

void clf_attention_pool_destroy(clf_attention_pool *p)
{
    if (p == NULL)
        return;
    clf_tensor_free(p->ctx, &p->queries);
    clf_tensor_free(p->ctx, &p->zero);
    clf_tensor_free(p->ctx, &p->positions);
    clf_linear_weight_destroy(p->input);
    clf_norm_destroy(p->ctx, &p->input_norm);
    clf_linear_weight_destroy(p->k);
    clf_linear_weight_destroy(p->v);
    clf_attention_layer_destroy(p->ctx, &p->attention);
    clf_feed_forward_destroy(p->ctx, &p->feed_forward);
    clf_norm_destroy(p->ctx, &p->output_norm);
    clf_linear_weight_destroy(p->output);
    clf_free(p);
}
