/* clfusion's cross-attention modules.
 *
 * cross_attention              q_proj.weight [H d, Dt], k_proj.weight, v_proj.weight [H d, Dv], out_proj.{weight, bias}
 * gated_cross_attention        layer_norm.*, cross_attn.* as above, alpha [1]
 * gated_cross_attention_dense  cross_attn.* as above with H d = Dt, dense.{weight, bias}, gate [1]
 * gated_cross_attention_stack  visual_proj.* where widths differ, xattn_i.{norm, q_proj, k_proj, v_proj, out_proj}.*,
 *                              xattn_i.alpha [1], i = 1 ..
 * cross_attention_fusion       cross_attn.{in_proj_weight, in_proj_bias, out_proj.*}, norm.*, ffn.0.*, ffn.2.*
 *
 * Options that are not given come from the tensors, or have their default; what is given must agree with the tensors. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "models/cross_model.h"
#include "models/registry.h"

#define NAME_BYTES 160

static const char *join(char *buffer, const char *prefix, const char *name)
{
    clf_format(buffer, NAME_BYTES, "%s%s", prefix, name);
    return buffer;
}

/* The rows of PREFIX k_proj or v_proj are those of q_proj. */
static clf_status check_rows(const clf_builder *b, const char *name, const clf_linear_layer *layer,
                             const clf_linear_layer *q, clf_error *err)
{
    if (layer->weight.dim[0] == q->weight.dim[0])
        return CLF_OK;
    return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s.weight is %s; want %" PRId64 " rows, as q_proj.weight has", b->family,
                    name, CLF_HOST_TEXT(layer->weight), q->weight.dim[0]);
}

/* PREFIX{q,k,v,out}_proj; q, k and v have biases where `biases` says so, out has one always. */
static clf_status read_projections(const clf_builder *b, const char *prefix, bool biases, clf_attention_layer_desc *a,
                                   clf_error *err)
{
    char name[NAME_BYTES];

    CLF_TRY(clf_build_linear(b, join(name, prefix, "q_proj"), biases, 0, NULL, &a->q, err));
    CLF_TRY(clf_build_linear(b, join(name, prefix, "k_proj"), biases, 0, NULL, &a->k, err));
    CLF_TRY(check_rows(b, name, &a->k, &a->q, err));
    CLF_TRY(clf_build_linear(b, join(name, prefix, "v_proj"), biases, a->k.weight.dim[1],
                             "the columns of k_proj.weight", &a->v, err));
    CLF_TRY(check_rows(b, name, &a->v, &a->q, err));
    CLF_TRY(clf_build_linear(b, join(name, prefix, "out_proj"), true, a->q.weight.dim[0], "the rows of q_proj.weight",
                             &a->out, err));
    if (a->out.weight.dim[0] != a->q.weight.dim[1])
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s.weight is %s; want %" PRId64 " rows, the columns of q_proj.weight",
                        b->family, name, CLF_HOST_TEXT(a->out.weight), a->q.weight.dim[1]);
    return CLF_OK;
}

/* Options num_heads (16) and head_dim (64); text_dim and vision_dim. */
static clf_status read_heads(const clf_builder *b, clf_attention_layer_desc *a, clf_error *err)
{
    const int64_t rows = a->q.weight.dim[0];
    int64_t heads = 16, width = 64;

    CLF_TRY(clf_config_int(b->config, "num_heads", &heads, err));
    CLF_TRY(clf_config_int(b->config, "head_dim", &width, err));
    if (heads < 1 || width < 1 || rows % heads != 0 || rows / heads != width)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: num_heads is %" PRId64 " and head_dim %" PRId64 "; want a product of %" PRId64
                        ", the rows of q_proj.weight",
                        b->family, heads, width, rows);
    CLF_TRY(clf_build_width(b, "text_dim", a->q.weight.dim[1], "the columns of q_proj.weight", err));
    CLF_TRY(clf_build_width(b, "vision_dim", a->k.weight.dim[1], "the columns of k_proj.weight", err));
    return clf_build_heads(b, "num_heads", heads, a, err);
}

static clf_status read_eps(const clf_builder *b, double *eps, clf_error *err)
{
    *eps = 1e-5;
    return clf_config_float(b->config, "layer_norm_eps", eps, err);
}

static clf_status build_plain(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_cross_attention_desc desc = clf_build_cross_desc(b, CLF_CROSS_PLAIN);
    clf_cross_layer_desc layer = { .feed_forward = { .activation = CLF_ACTIVATION_NONE } };

    desc.layers = &layer;
    desc.layer_count = 1;
    CLF_TRY(read_projections(b, "", false, &layer.attention, err));
    CLF_TRY(read_heads(b, &layer.attention, err));
    return clf_build_cross(b, &desc, m, err);
}

static clf_status build_gated(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_cross_attention_desc desc = clf_build_cross_desc(b, CLF_CROSS_RESIDUAL);
    clf_cross_layer_desc layer = { .feed_forward = { .activation = CLF_ACTIVATION_NONE } };
    clf_attention_layer_desc *a = &layer.attention;
    double eps;

    desc.layers = &layer;
    desc.layer_count = 1;
    CLF_TRY(read_eps(b, &eps, err));
    CLF_TRY(read_projections(b, "cross_attn.", false, a, err));
    CLF_TRY(read_heads(b, a, err));
    CLF_TRY(clf_build_norm(b, "layer_norm", CLF_NORM_LAYER, a->q.weight.dim[1], eps, &a->norm, err));
    CLF_TRY(clf_build_tensor(b, "alpha", 1, &a->gate, err));
    return clf_build_cross(b, &desc, m, err);
}

/* num_heads has no default; heads share the width of the text. */
static clf_status read_dense(const clf_builder *b, clf_attention_layer_desc *a, clf_error *err)
{
    const int64_t dim = a->q.weight.dim[1];
    int64_t heads = 0;

    if (a->q.weight.dim[0] != dim)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: cross_attn.q_proj.weight is %s; want as many rows as columns",
                        b->family, CLF_HOST_TEXT(a->q.weight));
    if (!clf_config_has(b->config, "num_heads"))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: num_heads is missing; want it in the configuration", b->family);
    CLF_TRY(clf_config_int(b->config, "num_heads", &heads, err));
    CLF_TRY(clf_build_heads(b, "num_heads", heads, a, err));
    CLF_TRY(clf_build_width(b, "dim", dim, "the columns of cross_attn.q_proj.weight", err));
    CLF_TRY(clf_build_width(b, "vision_dim", a->k.weight.dim[1], "the columns of cross_attn.k_proj.weight", err));
    CLF_TRY(clf_build_linear(b, "dense", true, dim, "the rows of cross_attn.out_proj.weight", &a->dense, err));
    if (a->dense.weight.dim[0] != dim)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: dense.weight is %s; want %" PRId64 " rows, the width of the text",
                        b->family, CLF_HOST_TEXT(a->dense.weight), dim);
    return clf_build_tensor(b, "gate", 1, &a->gate, err);
}

static clf_status build_dense(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_cross_attention_desc desc = clf_build_cross_desc(b, CLF_CROSS_RESIDUAL);
    clf_cross_layer_desc layer = { .feed_forward = { .activation = CLF_ACTIVATION_NONE } };

    desc.layers = &layer;
    desc.layer_count = 1;
    CLF_TRY(read_projections(b, "cross_attn.", false, &layer.attention, err));
    CLF_TRY(read_dense(b, &layer.attention, err));
    return clf_build_cross(b, &desc, m, err);
}

/* ---- gated_cross_attention_stack ---- */

typedef struct clf_stack_options {
    double eps;
    int64_t heads;       /* num_heads */
    int64_t scale_heads; /* the scale is (hidden_size / scale_heads)^-1/2 */
    bool tanh_output;    /* x + tanh(out_proj(...)) in place of x + tanh(alpha) out_proj(...) */
} clf_stack_options;

static clf_status read_stack_options(const clf_builder *b, clf_stack_options *o, clf_error *err)
{
    const char *gate = "alpha";

    *o = (clf_stack_options){ .heads = 4 };
    CLF_TRY(read_eps(b, &o->eps, err));
    CLF_TRY(clf_config_int(b->config, "num_heads", &o->heads, err));
    o->scale_heads = o->heads;
    CLF_TRY(clf_config_int(b->config, "scale_heads", &o->scale_heads, err));
    CLF_TRY(clf_config_text(b->config, "gate", &gate, err));
    o->tanh_output = strcmp(gate, "tanh_output") == 0;
    if (!o->tanh_output && strcmp(gate, "alpha") != 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: gate is %s; want alpha or tanh_output", b->family,
                        clf_text_quote(gate, strlen(gate)).text);
    return CLF_OK;
}

/* tanh_output has no alpha: one that is there would be left out without a word. */
static clf_status read_stack_gate(const clf_builder *b, const clf_stack_options *o, const char *alpha,
                                  clf_attention_layer_desc *a, clf_error *err)
{
    bool there;

    if (!o->tanh_output)
        return clf_build_tensor(b, alpha, 1, &a->gate, err);
    CLF_TRY(clf_build_has(b, alpha, &there, err));
    if (there)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: gate is tanh_output; want alpha, as %s is there", b->family, alpha);
    a->activation = CLF_TANH;
    return CLF_OK;
}

/* xattn_i of a stack, i from 1. */
static clf_status read_stack_layer(const clf_builder *b, const clf_stack_options *o, int32_t i,
                                   clf_attention_layer_desc *a, clf_error *err)
{
    char prefix[32], name[NAME_BYTES];

    clf_format(prefix, sizeof prefix, "xattn_%d.", (int)i);
    CLF_TRY(read_projections(b, prefix, true, a, err));
    CLF_TRY(clf_build_heads(b, "num_heads", o->heads, a, err));
    const int64_t C = a->q.weight.dim[1], rows = a->q.weight.dim[0];

    if (o->scale_heads < 1 || rows % o->scale_heads != 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: scale_heads is %" PRId64 "; want a divisor of %" PRId64 ", the rows of %sq_proj.weight",
                        b->family, o->scale_heads, rows, prefix);
    a->scale = (float)(1.0 / sqrt((double)(rows / o->scale_heads)));
    CLF_TRY(clf_build_norm(b, join(name, prefix, "norm"), CLF_NORM_LAYER, C, o->eps, &a->norm, err));
    return read_stack_gate(b, o, join(name, prefix, "alpha"), a, err);
}

/* Layers as far as there are tensors; num_layers must say the same. */
static clf_status count_layers(const clf_builder *b, int32_t *count, clf_error *err)
{
    CLF_TRY(clf_build_find_layers(b, "xattn_", 1, ".q_proj.weight", count, err));
    if (*count == 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: xattn_1.q_proj.weight is missing; want at least one layer", b->family);
    CLF_TRY(clf_build_width(b, "num_layers", *count, "the layers xattn_1, xattn_2, ...", err));
    *count = clf_build_end(b, *count);
    return CLF_OK;
}

static clf_status read_visual_proj(const clf_builder *b, const clf_attention_layer_desc *a, clf_cross_attention_desc *d,
                                   clf_error *err)
{
    const int64_t C = a->k.weight.dim[1];
    int64_t Dv = C;
    bool there;

    CLF_TRY(clf_build_has(b, "visual_proj.weight", &there, err));
    if (there) {
        CLF_TRY(clf_build_linear(b, "visual_proj", true, 0, NULL, &d->media_projection, err));
        Dv = d->media_projection.weight.dim[1];
        if (d->media_projection.weight.dim[0] != C)
            return CLF_FAIL(err, CLF_BAD_FILE,
                            "%s: visual_proj.weight is %s; want %" PRId64 " rows, the columns of xattn_1.k_proj.weight",
                            b->family, CLF_HOST_TEXT(d->media_projection.weight), C);
    }
    return clf_build_width(b, "vision_dim", Dv,
                           there ? "the columns of visual_proj.weight" : "the columns of xattn_1.k_proj.weight", err);
}

static clf_status read_stack(const clf_builder *b, clf_cross_attention_desc *d, clf_cross_layer_desc *layers,
                             clf_error *err)
{
    clf_stack_options options;

    CLF_TRY(read_stack_options(b, &options, err));
    for (int32_t i = 0; i < d->layer_count; i++)
        CLF_TRY(read_stack_layer(b, &options, i + 1, &layers[i].attention, err));
    CLF_TRY(clf_build_width(b, "hidden_size", layers[0].attention.q.weight.dim[1],
                            "the columns of xattn_1.q_proj.weight", err));
    return read_visual_proj(b, &layers[0].attention, d, err);
}

static clf_status build_stack(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_cross_attention_desc desc = clf_build_cross_desc(b, CLF_CROSS_RESIDUAL);
    clf_cross_layer_desc *layers;
    clf_status status;

    CLF_TRY(count_layers(b, &desc.layer_count, err));
    layers = clf_alloc((size_t)desc.layer_count, sizeof *layers);
    if (layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d layers", b->family, (int)desc.layer_count);
    desc.layers = layers;
    status = read_stack(b, &desc, layers, err);
    if (status == CLF_OK)
        status = clf_build_cross(b, &desc, m, err);
    clf_free(layers);
    return status;
}

/* ---- cross_attention_fusion ---- */

static clf_status build_fusion(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_cross_attention_desc desc = clf_build_cross_desc(b, CLF_CROSS_POST_NORM);
    clf_cross_layer_desc layer = { .feed_forward = { .activation = CLF_GELU } };
    clf_feed_forward_desc *ff = &layer.feed_forward;
    int64_t heads = 12;
    double eps;

    desc.layers = &layer;
    desc.layer_count = 1;
    CLF_TRY(read_eps(b, &eps, err));
    CLF_TRY(clf_config_int(b->config, "nhead", &heads, err));
    CLF_TRY(clf_build_multihead(b, "cross_attn", "nhead", heads, &layer.attention, err));
    const int64_t D = layer.attention.q.weight.dim[1];

    CLF_TRY(clf_build_width(b, "d_model", D, "the width of cross_attn", err));
    CLF_TRY(clf_build_norm(b, "norm", CLF_NORM_LAYER, D, eps, &layer.attention.norm, err));
    ff->norm = layer.attention.norm; /* the same norm in both places */
    CLF_TRY(clf_build_linear(b, "ffn.0", true, D, "the width of cross_attn", &ff->up, err));
    CLF_TRY(clf_build_linear(b, "ffn.2", true, ff->up.weight.dim[0], "the rows of ffn.0.weight", &ff->down, err));
    CLF_TRY(clf_build_activation(b, "activation", &ff->activation, err));
    return clf_build_cross(b, &desc, m, err);
}

const clf_family clf_family_cross_attention = {
    .id = "cross_attention",
    .module = true,
    .all_layers = true,
    .build = build_plain,
};
const clf_family clf_family_gated_cross_attention = {
    .id = "gated_cross_attention",
    .module = true,
    .all_layers = true,
    .build = build_gated,
};
const clf_family clf_family_gated_cross_attention_dense = {
    .id = "gated_cross_attention_dense",
    .module = true,
    .all_layers = true,
    .build = build_dense,
};
const clf_family clf_family_gated_cross_attention_stack = {
    .id = "gated_cross_attention_stack",
    .module = true,
    .layered = true,
    .all_layers = true,
    .build = build_stack,
};
const clf_family clf_family_cross_attention_fusion = {
    .id = "cross_attention_fusion",
    .module = true,
    .all_layers = true,
    .build = build_fusion,
};
