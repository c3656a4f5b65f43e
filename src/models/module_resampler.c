/* clfusion's own modules with learned queries x [M, D] that read vision [N, Dv].
 *
 * perceiver_resampler       x += self(LN x); x += cross(LN x, v), v = visual_proj(vision); no output projections
 *     queries [M, D], visual_proj.{weight [D, Dv], bias} where the widths differ, and for each layer i from 1 on
 *     resampler_i.{self_norm,cross_norm}.{weight, bias}, .{self,cross}_{q,k,v}.{weight [D, D], bias}
 * latent_resampler          x = cross(x, vision), `residual` adds x, `pre_norm` normalises it before
 *     latents [M, D], cross_attn_layers.{i}.q_proj.weight [D, D], .{k_proj,v_proj}.weight [D, Dv],
 *     .out_proj.{weight [D, D], bias}, with pre_norm norms.{i}.{weight, bias}
 * learned_query_compressor  tokens = attention(x, vision)
 *     queries [M, D], cross_attn.* packed as torch.nn.MultiheadAttention has it
 * simplified_qformer        x += self(LN x); x += cross(LN x, vision); x += ffn(LN x)
 *     queries [1, M, D], layers.{i}.self_attn.* packed, .cross_attn.{q_proj,k_proj,v_proj}.weight,
 *     .cross_attn.out_proj.{weight, bias}, .{self_norm,cross_norm,ffn_norm}.{weight, bias}, .ffn.{0,2}.{weight, bias}
 *
 * Options that are not given come from the tensors; those that are given must agree with them. */
#include <inttypes.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/registry.h"
#include "models/resampler_model.h"

#define NAME_BYTES 96

typedef struct resampler_module {
    const char *queries, *count_key, *width_key; /* the tensor; options for its rows and columns */
    const char *before, *behind;                 /* names of layers, for their number; NULL: one */
    int32_t first;
    const char *depth_key;
    clf_status (*read)(const clf_builder *b, clf_resampler_desc *desc, clf_resampler_layer_desc *layers,
                       clf_error *err);
} resampler_module;

/* [M, D] or [1, M, D]. */
static clf_status read_queries(const clf_builder *b, const resampler_module *k, clf_host_tensor *t, clf_error *err)
{
    char rows[NAME_BYTES], columns[NAME_BYTES];

    CLF_TRY(clf_source_find(b->source, k->queries, t, err));
    CLF_TRY(clf_build_tensor(b, k->queries, t->rank == 3 ? 3 : 2, t, err));
    if (t->rank == 3 && t->dim[0] != 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [1, M, D]", b->family, k->queries, CLF_HOST_TEXT(*t));
    clf_format(rows, sizeof rows, "the rows of %s", k->queries);
    clf_format(columns, sizeof columns, "the width of %s", k->queries);
    CLF_TRY(clf_build_width(b, k->count_key, t->dim[t->rank - 2], rows, err));
    return clf_build_width(b, k->width_key, t->dim[t->rank - 1], columns, err);
}

static int64_t width_of(const clf_resampler_desc *desc)
{
    return desc->latents.dim[desc->latents.rank - 1];
}

/* "num_heads", or the default; 0: it must be given. */
static clf_status read_heads(const clf_builder *b, int64_t heads, clf_attention_layer_desc *a, clf_error *err)
{
    if (heads == 0 && !clf_config_has(b->config, "num_heads"))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: num_heads is missing; want the number of heads", b->family);
    CLF_TRY(clf_config_int(b->config, "num_heads", &heads, err));
    return clf_build_heads(b, "num_heads", heads, a, err);
}

static clf_status read_eps(const clf_builder *b, double *eps, clf_error *err)
{
    *eps = 1e-5;
    return clf_config_float(b->config, "layer_norm_eps", eps, err);
}

/* LAYER + PART: "layers.2." and "ffn_norm". */
static clf_status read_norm(const clf_builder *b, const char *layer, const char *part, int64_t width,
                            clf_norm_desc *norm, clf_error *err)
{
    char name[NAME_BYTES];
    double eps;

    CLF_TRY(read_eps(b, &eps, err));
    clf_format(name, sizeof name, "%s%s", layer, part);
    return clf_build_norm(b, name, CLF_NORM_LAYER, width, eps, norm, err);
}

/* vision_dim against the columns of a weight that meets vision. */
static clf_status check_vision(const clf_builder *b, const char *weight, clf_host_tensor t, clf_error *err)
{
    char columns[NAME_BYTES];

    clf_format(columns, sizeof columns, "the columns of %s.weight", weight);
    return clf_build_width(b, "vision_dim", t.dim[1], columns, err);
}

/* ---- perceiver_resampler ---- */

/* visual_proj where it is there; it must be where vision is not as wide as the queries. */
static clf_status read_visual_proj(const clf_builder *b, clf_resampler_desc *desc, clf_error *err)
{
    const int64_t D = width_of(desc);
    int64_t vision = D;
    bool there;

    CLF_TRY(clf_config_int(b->config, "vision_dim", &vision, err));
    CLF_TRY(clf_build_has(b, "visual_proj.weight", &there, err));
    if (!there && vision == D)
        return CLF_OK;
    if (!there)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: visual_proj.weight is missing; want [%" PRId64 ", %" PRId64 "], because vision_dim is not "
                        "the width of queries",
                        b->family, D, vision);
    CLF_TRY(clf_build_linear(b, "visual_proj", true, 0, NULL, &desc->input, err));
    return check_vision(b, "visual_proj", desc->input.weight, err);
}

static clf_status read_perceiver(const clf_builder *b, clf_resampler_desc *desc, clf_resampler_layer_desc *layers,
                                 clf_error *err)
{
    static const clf_projection_names self = { "self_q", "self_k", "self_v", NULL };
    static const clf_projection_names cross = { "cross_q", "cross_k", "cross_v", NULL };
    const int64_t D = width_of(desc);

    CLF_TRY(read_visual_proj(b, desc, err));
    for (int32_t i = 0; i < desc->layer_count; i++) {
        clf_resampler_layer_desc *l = &layers[i];
        char name[NAME_BYTES];

        clf_format(name, sizeof name, "resampler_%d.", (int)i + 1);
        CLF_TRY(clf_build_projections(b, name, &self, true, false, D, D, &l->self, err));
        CLF_TRY(clf_build_projections(b, name, &cross, true, false, D, D, &l->cross, err));
        CLF_TRY(read_heads(b, 4, &l->self, err));
        CLF_TRY(read_heads(b, 4, &l->cross, err));
        CLF_TRY(read_norm(b, name, "self_norm", D, &l->self.norm, err));
        CLF_TRY(read_norm(b, name, "cross_norm", D, &l->cross.norm, err));
    }
    return CLF_OK;
}

/* ---- latent_resampler ---- */

static const clf_projection_names projections = { "q_proj", "k_proj", "v_proj", "out_proj" };

/* An attention NAMEq_proj, ...: k_proj says how wide vision is. */
static clf_status read_cross(const clf_builder *b, const char *name, int64_t D, clf_attention_layer_desc *a,
                             clf_error *err)
{
    char k[NAME_BYTES];

    clf_format(k, sizeof k, "%sk_proj", name);
    CLF_TRY(clf_build_linear(b, k, false, 0, NULL, &a->k, err));
    CLF_TRY(check_vision(b, k, a->k.weight, err));
    return clf_build_projections(b, name, &projections, false, true, D, a->k.weight.dim[1], a, err);
}

/* norms.i, which is there with pre_norm and only then: a norm that is passed over would change the tokens. */
static clf_status read_pre_norm(const clf_builder *b, int32_t i, bool pre_norm, int64_t D, clf_norm_desc *norm,
                                clf_error *err)
{
    static const char *const parts[] = { "weight", "bias" };
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "norms.%d", (int)i);
    if (pre_norm)
        return read_norm(b, name, "", D, norm, err);
    for (size_t k = 0; k < CLF_COUNT(parts); k++) {
        bool there;

        clf_format(name, sizeof name, "norms.%d.%s", (int)i, parts[k]);
        CLF_TRY(clf_build_has(b, name, &there, err));
        if (there)
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: pre_norm is false beside the tensor %s; want true, or no norms",
                            b->family, name);
    }
    return CLF_OK;
}

static clf_status read_latents(const clf_builder *b, clf_resampler_desc *desc, clf_resampler_layer_desc *layers,
                               clf_error *err)
{
    bool pre_norm = false;

    desc->residual = false;
    CLF_TRY(clf_config_bool(b->config, "residual", &desc->residual, err));
    CLF_TRY(clf_config_bool(b->config, "pre_norm", &pre_norm, err));
    for (int32_t i = 0; i < desc->layer_count; i++) {
        clf_attention_layer_desc *a = &layers[i].cross;
        char name[NAME_BYTES];

        clf_format(name, sizeof name, "cross_attn_layers.%d.", (int)i);
        CLF_TRY(read_cross(b, name, width_of(desc), a, err));
        CLF_TRY(read_heads(b, 0, a, err));
        CLF_TRY(read_pre_norm(b, i, pre_norm, width_of(desc), &a->norm, err));
    }
    return CLF_OK;
}

/* ---- learned_query_compressor ---- */

static clf_status read_compressor(const clf_builder *b, clf_resampler_desc *desc, clf_resampler_layer_desc *layers,
                                  clf_error *err)
{
    int64_t heads = 16;

    desc->residual = false;
    CLF_TRY(clf_config_int(b->config, "num_heads", &heads, err));
    return clf_build_multihead(b, "cross_attn", "num_heads", heads, &layers[0].cross, err);
}

/* ---- simplified_qformer ---- */

static clf_status read_feed_forward(const clf_builder *b, const char *layer, int64_t D, clf_feed_forward_desc *ff,
                                    clf_error *err)
{
    char name[NAME_BYTES];

    ff->activation = CLF_GELU;
    CLF_TRY(clf_build_activation(b, "activation", &ff->activation, err));
    clf_format(name, sizeof name, "%sffn.0", layer);
    CLF_TRY(clf_build_linear(b, name, true, D, "the width of queries", &ff->up, err));
    clf_format(name, sizeof name, "%sffn.2", layer);
    CLF_TRY(clf_build_linear(b, name, true, ff->up.weight.dim[0], "the rows of ffn.0.weight", &ff->down, err));
    return read_norm(b, layer, "ffn_norm", D, &ff->norm, err);
}

static clf_status read_qformer(const clf_builder *b, clf_resampler_desc *desc, clf_resampler_layer_desc *layers,
                               clf_error *err)
{
    const int64_t D = width_of(desc);
    int64_t heads = 12;

    CLF_TRY(clf_config_int(b->config, "num_heads", &heads, err));
    for (int32_t i = 0; i < desc->layer_count; i++) {
        clf_resampler_layer_desc *l = &layers[i];
        char layer[NAME_BYTES / 2], name[NAME_BYTES];

        clf_format(layer, sizeof layer, "layers.%d.", (int)i);
        clf_format(name, sizeof name, "%sself_attn", layer);
        CLF_TRY(clf_build_multihead(b, name, "num_heads", heads, &l->self, err));
        CLF_TRY(read_norm(b, layer, "self_norm", D, &l->self.norm, err));
        clf_format(name, sizeof name, "%scross_attn.", layer);
        CLF_TRY(read_cross(b, name, D, &l->cross, err));
        CLF_TRY(read_heads(b, 12, &l->cross, err));
        CLF_TRY(read_norm(b, layer, "cross_norm", D, &l->cross.norm, err));
        CLF_TRY(read_feed_forward(b, layer, D, &l->feed_forward, err));
    }
    return CLF_OK;
}

/* ---- the four ---- */

static clf_status build(const clf_builder *b, const resampler_module *k, clf_model *m, clf_error *err)
{
    clf_resampler_layer_desc *layers = NULL;
    clf_resampler_desc desc;
    int32_t count = 1;
    clf_status status;

    if (k->before != NULL)
        CLF_TRY(clf_build_layer_count(b, k->before, k->first, k->behind, k->depth_key, &count, err));
    status = clf_build_resampler_desc(b, count, &desc, &layers, err);
    if (status == CLF_OK)
        status = read_queries(b, k, &desc.latents, err);
    if (status == CLF_OK)
        status = k->read(b, &desc, layers, err);
    if (status == CLF_OK)
        status = clf_build_resampler(b, &desc, (clf_resampler_ports){ .vision_mask = true }, m, err);
    clf_free(layers);
    return status;
}

static clf_status build_perceiver(const clf_builder *b, clf_model *m, clf_error *err)
{
    static const resampler_module module = { "queries", "num_queries", "output_dim",  "resampler_", ".cross_q.weight",
                                             1,         "num_layers",  read_perceiver };

    return build(b, &module, m, err);
}

static clf_status build_latents(const clf_builder *b, clf_model *m, clf_error *err)
{
    static const resampler_module module = { "latents", "num_latents", "dim", "cross_attn_layers.", ".q_proj.weight", 0,
                                             "depth",   read_latents };

    return build(b, &module, m, err);
}

static clf_status build_compressor(const clf_builder *b, clf_model *m, clf_error *err)
{
    static const resampler_module module = { "queries", "num_queries", "dim", NULL, NULL, 0, NULL, read_compressor };

    return build(b, &module, m, err);
}

static clf_status build_qformer(const clf_builder *b, clf_model *m, clf_error *err)
{
    static const resampler_module module = {
        "queries", "num_queries", "query_dim", "layers.", ".cross_attn.q_proj.weight", 0, "num_layers", read_qformer
    };

    return build(b, &module, m, err);
}

const clf_family clf_family_perceiver_resampler = {
    .id = "perceiver_resampler",
    .module = true,
    .layered = true,
    .build = build_perceiver,
};
const clf_family clf_family_latent_resampler = {
    .id = "latent_resampler",
    .module = true,
    .layered = true,
    .build = build_latents,
};
const clf_family clf_family_learned_query_compressor = {
    .id = "learned_query_compressor",
    .module = true,
    .build = build_compressor,
};
const clf_family clf_family_simplified_qformer = {
    .id = "simplified_qformer",
    .module = true,
    .layered = true,
    .build = build_qformer,
};
