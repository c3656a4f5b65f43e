/* Cross-attention modules from their descriptions: the rules, then the weights. */
#include "fusion/cross_attention.h"

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "cross_attention"
#define NAME_BYTES 64

/* "cross_attention: layers[2].attention", which stands before messages. */
static const char *layer_name(char *buffer, int32_t i, const char *part)
{
    clf_format(buffer, NAME_BYTES, CLF_OP ": layers[%d].%s", (int)i, part);
    return buffer;
}

/* ---- descriptions ---- */

/* Heads of a layer, and the columns that it has among the keys and values of all. */
static bool same_heads(const clf_attention_layer_desc *a, const clf_attention_layer_desc *b)
{
    return a->heads == b->heads && a->k.weight.dim[0] == b->k.weight.dim[0] &&
           a->v.weight.dim[0] == b->v.weight.dim[0] && a->q.weight.dim[0] == b->q.weight.dim[0];
}

static clf_status check_feed_forward(const clf_cross_attention_desc *d, int32_t i, clf_error *err)
{
    const clf_feed_forward_desc *ff = &d->layers[i].feed_forward;
    const int64_t C = clf_attention_layer_width(&d->layers[0].attention);
    char name[NAME_BYTES];

    if (!clf_host_present(ff->up.weight))
        return CLF_OK;
    CLF_REQUIRE(err, d->form != CLF_CROSS_PLAIN, CLF_INVALID_ARGUMENT,
                "layers[%d].feed_forward.up.weight is %s; want none in the form plain", (int)i,
                CLF_HOST_TEXT(ff->up.weight));
    CLF_TRY(clf_feed_forward_check(layer_name(name, i, "feed_forward"), ff, err));
    CLF_REQUIRE(err, ff->up.weight.dim[1] == C && ff->down.weight.dim[0] == C, CLF_INVALID_ARGUMENT,
                "layers[%d].feed_forward goes from %" PRId64 " to %" PRId64 "; want %" PRId64 ", the text's width",
                (int)i, ff->up.weight.dim[1], ff->down.weight.dim[0], C);
    CLF_REQUIRE(err, d->form != CLF_CROSS_POST_NORM || ff->norm.kind != CLF_NORM_NONE, CLF_INVALID_ARGUMENT,
                "layers[%d].feed_forward.norm is none; want one in the form post-norm", (int)i);
    return CLF_OK;
}

static clf_status check_layer(const clf_cross_attention_desc *d, int32_t i, clf_error *err)
{
    const clf_attention_layer_desc *a = &d->layers[i].attention, *first = &d->layers[0].attention;
    char name[NAME_BYTES];

    CLF_TRY(clf_attention_layer_check(layer_name(name, i, "attention"), a, err));
    CLF_REQUIRE(err, clf_attention_layer_width(a) == clf_attention_layer_width(first), CLF_INVALID_ARGUMENT,
                "layers[%d].attention.q.weight is %s; want %" PRId64 " columns, as layers[0] has", (int)i,
                CLF_HOST_TEXT(a->q.weight), clf_attention_layer_width(first));
    CLF_REQUIRE(err, same_heads(a, first), CLF_INVALID_ARGUMENT,
                "layers[%d].attention has %d heads, q %s and k %s; want the heads of layers[0]", (int)i, (int)a->heads,
                CLF_HOST_TEXT(a->q.weight), CLF_HOST_TEXT(a->k.weight));
    CLF_REQUIRE(err, clf_attention_layer_result_width(a) == clf_attention_layer_width(a), CLF_INVALID_ARGUMENT,
                "layers[%d].attention gives rows of %" PRId64 "; want %" PRId64 ", the text's width", (int)i,
                clf_attention_layer_result_width(a), clf_attention_layer_width(a));
    CLF_REQUIRE(err, d->form != CLF_CROSS_PLAIN || !clf_host_present(a->gate), CLF_INVALID_ARGUMENT,
                "layers[%d].attention.gate is %s; want none in the form plain", (int)i, CLF_HOST_TEXT(a->gate));
    CLF_REQUIRE(err, d->form != CLF_CROSS_POST_NORM || a->norm.kind != CLF_NORM_NONE, CLF_INVALID_ARGUMENT,
                "layers[%d].attention.norm is none; want one in the form post-norm", (int)i);
    return check_feed_forward(d, i, err);
}

static clf_status check_desc(const clf_cross_attention_desc *d, clf_error *err)
{
    CLF_REQUIRE(err, d->form == CLF_CROSS_PLAIN || d->form == CLF_CROSS_RESIDUAL || d->form == CLF_CROSS_POST_NORM,
                CLF_INVALID_ARGUMENT, "form is %d; want plain, residual or post-norm", (int)d->form);
    CLF_REQUIRE(err, d->layer_count >= 1 && d->layers != NULL, CLF_INVALID_ARGUMENT,
                "layer_count is %d and layers is %s; want at least one", (int)d->layer_count,
                d->layers != NULL ? "set" : "NULL");
    for (int32_t i = 0; i < d->layer_count; i++)
        CLF_TRY(check_layer(d, i, err));
    if (!clf_host_present(d->media_projection.weight))
        return CLF_OK;
    CLF_TRY(clf_weight_check(CLF_OP ": media_projection", &d->media_projection, 0, err));
    const int64_t C = clf_attention_layer_context_width(&d->layers[0].attention);

    CLF_REQUIRE(err, d->media_projection.weight.dim[0] == C, CLF_INVALID_ARGUMENT,
                "media_projection.weight is %s; want %" PRId64 " rows, the columns of k",
                CLF_HOST_TEXT(d->media_projection.weight), C);
    return CLF_OK;
}

/* ---- weights ---- */

static clf_status create_layer(clf_cross_attention *c, const clf_cross_attention_desc *d, int32_t i, clf_error *err)
{
    const bool post = d->form == CLF_CROSS_POST_NORM;
    clf_attention_layer_desc attention = d->layers[i].attention;
    clf_feed_forward_desc ff = d->layers[i].feed_forward;
    clf_norm_desc after[2] = { { .kind = CLF_NORM_NONE }, { .kind = CLF_NORM_NONE } };
    clf_cross_layer *l = &c->layers[i];
    char name[NAME_BYTES];

    if (post) {
        after[0] = attention.norm;
        attention.norm.kind = CLF_NORM_NONE;
    }
    if (post && clf_host_present(ff.up.weight)) {
        after[1] = ff.norm;
        ff.norm.kind = CLF_NORM_NONE;
    }
    CLF_TRY(clf_attention_layer_create(c->ctx, layer_name(name, i, "attention"), &attention, CLF_SHARED_ATTENTION,
                                       d->storage, d->source, &l->attention, err));
    CLF_TRY(clf_norm_create(c->ctx, layer_name(name, i, "attention.norm"), &after[0], c->text_width, d->source,
                            &l->norm, err));
    CLF_TRY(clf_feed_forward_create(c->ctx, layer_name(name, i, "feed_forward"), &ff, d->storage, d->source,
                                    &l->feed_forward, err));
    return clf_norm_create(c->ctx, layer_name(name, i, "feed_forward.norm"), &after[1], c->text_width, d->source,
                           &l->feed_forward_norm, err);
}

/* Keys and values of all layers as one weight; media have no norm of their own. */
static clf_status create_kv(clf_cross_attention *c, const clf_cross_attention_desc *d, clf_error *err)
{
    const size_t count = (size_t)d->layer_count;
    const clf_attention_layer_desc **layers = clf_alloc(count, sizeof *layers);
    clf_norm_desc *norms = clf_alloc(count, sizeof *norms); /* zeroed: none */
    clf_status status = CLF_OK;

    if (layers == NULL || norms == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for the list of %zu layers", count);
    for (size_t i = 0; status == CLF_OK && i < count; i++)
        layers[i] = &d->layers[i].attention;
    if (status == CLF_OK)
        status = clf_kv_weight_create(c->ctx, layers, norms, d->layer_count, d->storage, d->source, &c->kv, err);
    clf_free(layers);
    clf_free(norms);
    return status;
}

static clf_status fill(clf_cross_attention *c, const clf_cross_attention_desc *d, clf_error *err)
{
    const bool projected = clf_host_present(d->media_projection.weight);

    c->form = d->form;
    c->text_width = clf_attention_layer_width(&d->layers[0].attention);
    c->media_width =
        projected ? d->media_projection.weight.dim[1] : clf_attention_layer_context_width(&d->layers[0].attention);
    c->layers = clf_alloc((size_t)d->layer_count, sizeof *c->layers);
    CLF_REQUIRE(err, c->layers != NULL, CLF_OUT_OF_MEMORY, "no host memory for %d layers", (int)d->layer_count);
    c->layer_count = d->layer_count;
    CLF_TRY(clf_weight_create(c->ctx, CLF_OP ": media_projection", &d->media_projection, d->storage, d->source,
                              &c->media_projection, err));
    CLF_TRY(create_kv(c, d, err));
    for (int32_t i = 0; i < d->layer_count; i++)
        CLF_TRY(create_layer(c, d, i, err));
    return CLF_OK;
}

clf_status clf_cross_attention_create(clf_context *ctx, const clf_cross_attention_desc *desc, clf_cross_attention **c,
                                      clf_error *err)
{
    clf_cross_attention_desc full = clf_cross_attention_desc_default();
    clf_status status;

    *c = NULL;
    CLF_DESC_READ(err, &full, desc);
    CLF_TRY(check_desc(&full, err));
    *c = clf_alloc(1, sizeof **c);
    CLF_REQUIRE(err, *c != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **c);
    (*c)->ctx = ctx;
    status = fill(*c, &full, err);
    if (status != CLF_OK) {
        clf_cross_attention_destroy(*c);
        *c = NULL;
    }
    return status;
}

void clf_cross_attention_destroy(clf_cross_attention *c)
{
    if (c == NULL)
        return;
    for (int32_t i = 0; i < c->layer_count; i++) {
        clf_attention_layer_destroy(c->ctx, &c->layers[i].attention);
        clf_feed_forward_destroy(c->ctx, &c->layers[i].feed_forward);
        clf_norm_destroy(c->ctx, &c->layers[i].norm);
        clf_norm_destroy(c->ctx, &c->layers[i].feed_forward_norm);
    }
    clf_linear_weight_destroy(c->media_projection);
    clf_linear_weight_destroy(c->kv);
    clf_free(c->layers);
    clf_free(c);
}

int32_t clf_cross_attention_layers(const clf_cross_attention *c)
{
    return c->layer_count;
}

int64_t clf_cross_attention_text_width(const clf_cross_attention *c)
{
    return c->text_width;
}

int64_t clf_cross_attention_media_width(const clf_cross_attention *c)
{
    return c->media_width;
}
