/* Idefics, the first: a perceiver and gated cross-attention layers.
 *
 * perceiver_resampler.latents [M, Dv], .blocks.{i}.0.{context_layer_norm, latents_layer_norm}.{weight, bias} [Dv],
 * .0.{q_layer_norm, k_layer_norm}.{weight, bias} [D] with qk_layer_norms_perceiver, .0.{q_proj, k_proj, v_proj}.weight
 * [H D, Dv], .0.output_proj.weight [Dv, H D], .1.ln.{weight, bias}, .1.fc.weight [4 Dv, Dv], .1.c_proj.weight,
 * .layer_norm.*;
 * gated_cross_attn_layers.{i}.cross_attn.{q_proj, o_proj}.weight [Dt, Dt], .{k_proj, v_proj}.weight [Dt, Dv],
 * .{q_layer_norm, k_layer_norm}.weight [D] with qk_layer_norms, input_layernorm.weight [Dt],
 * post_attention_layernorm.weight [Dt], mlp.{gate_proj, up_proj, down_proj}.weight, alpha_cross_attn and alpha_dense,
 * [1] or [1, 1, Dt]
 *
 * Norms with weight and bias, eps 1e-5, in the perceiver; root mean square with rms_norm_eps in the gated layers.
 * Source: Laurencon et al. 2023, arXiv:2306.16527; transformers' IdeficsPerceiverResampler and
 * IdeficsGatedCrossAttentionLayer. */
#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "models/flamingo_model.h"
#include "models/registry.h"

#define NAME_BYTES 160
#define PERCEIVER "perceiver_resampler."
#define GATED "gated_cross_attn_layers."

typedef struct idefics_parts {
    clf_flamingo_desc desc;
    clf_resampler_layer_desc *layers;
    clf_cross_layer_desc *gated;
} idefics_parts;

/* PREFIXNAME.weight without bias, of `rows` (0: any) and `columns` (0: any). */
static clf_status read_weight(const clf_builder *b, const char *prefix, const char *tensor, int64_t rows,
                              int64_t columns, clf_linear_layer *layer, clf_error *err)
{
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%s%s", prefix, tensor);
    CLF_TRY(clf_build_linear(b, name, false, 0, NULL, layer, err));
    if ((rows != 0 && layer->weight.dim[0] != rows) || (columns != 0 && layer->weight.dim[1] != columns))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s.weight is %s; want [%" PRId64 ", %" PRId64 "]", b->family, name,
                        CLF_HOST_TEXT(layer->weight), rows != 0 ? rows : layer->weight.dim[0],
                        columns != 0 ? columns : layer->weight.dim[1]);
    return CLF_OK;
}

static clf_status read_norm(const clf_builder *b, const char *prefix, const char *tensor, clf_norm_kind kind,
                            int64_t width, double eps, clf_norm_desc *norm, clf_error *err)
{
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%s%s", prefix, tensor);
    return clf_build_norm(b, name, kind, width, eps, norm, err);
}

/* The norms of q and k: as `key` says, which the tensors must not contradict. */
static clf_status read_head_norms(const clf_builder *b, const char *prefix, const char *key, clf_norm_kind kind,
                                  double eps, clf_attention_layer_desc *a, clf_error *err)
{
    const int64_t D = a->q.weight.dim[0] / a->heads;
    char name[NAME_BYTES];
    bool wanted = false, there;

    CLF_TRY(clf_config_bool(b->config, key, &wanted, err));
    clf_format(name, sizeof name, "%sq_layer_norm.weight", prefix);
    CLF_TRY(clf_build_has(b, name, &there, err));
    if (there && !wanted)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is false; want true, as %s is there", b->family, key, name);
    if (!wanted)
        return CLF_OK;
    CLF_TRY(read_norm(b, prefix, "q_layer_norm", kind, D, eps, &a->q_norm, err));
    return read_norm(b, prefix, "k_layer_norm", kind, D, eps, &a->k_norm, err);
}

/* ---- the perceiver ---- */

static clf_status read_perceiver_heads(const clf_builder *b, clf_attention_layer_desc *a, clf_error *err)
{
    int64_t heads = 16;

    CLF_TRY(clf_config_int(b->config, "perceiver_config.resampler_n_heads", &heads, err));
    CLF_TRY(clf_build_heads(b, "perceiver_config.resampler_n_heads", heads, a, err));
    return clf_build_width(b, "perceiver_config.resampler_head_dim", a->q.weight.dim[0] / heads,
                           "the rows of q_proj.weight over resampler_n_heads", err);
}

static clf_status read_block(const clf_builder *b, int32_t i, int64_t Dv, clf_resampler_layer_desc *layer,
                             clf_error *err)
{
    clf_attention_layer_desc *a = &layer->cross;
    clf_feed_forward_desc *ff = &layer->feed_forward;
    char prefix[NAME_BYTES];

    clf_format(prefix, sizeof prefix, PERCEIVER "blocks.%d.0.", (int)i);
    CLF_TRY(read_weight(b, prefix, "q_proj", 0, Dv, &a->q, err));
    const int64_t rows = a->q.weight.dim[0];

    CLF_TRY(read_weight(b, prefix, "k_proj", rows, Dv, &a->k, err));
    CLF_TRY(read_weight(b, prefix, "v_proj", rows, Dv, &a->v, err));
    CLF_TRY(read_weight(b, prefix, "output_proj", Dv, rows, &a->out, err));
    CLF_TRY(read_perceiver_heads(b, a, err));
    CLF_TRY(read_norm(b, prefix, "latents_layer_norm", CLF_NORM_LAYER, Dv, 1e-5, &a->norm, err));
    CLF_TRY(read_norm(b, prefix, "context_layer_norm", CLF_NORM_LAYER, Dv, 1e-5, &layer->context_norm, err));
    CLF_TRY(read_head_norms(b, prefix, "perceiver_config.qk_layer_norms_perceiver", CLF_NORM_LAYER, 1e-5, a, err));

    clf_format(prefix, sizeof prefix, PERCEIVER "blocks.%d.1.", (int)i);
    CLF_TRY(read_norm(b, prefix, "ln", CLF_NORM_LAYER, Dv, 1e-5, &ff->norm, err));
    CLF_TRY(read_weight(b, prefix, "fc", 0, Dv, &ff->up, err));
    CLF_TRY(read_weight(b, prefix, "c_proj", Dv, ff->up.weight.dim[0], &ff->down, err));
    ff->activation = CLF_RELU; /* whatever hidden_act says */
    return CLF_OK;
}

static clf_status read_perceiver(const clf_builder *b, idefics_parts *parts, clf_error *err)
{
    clf_resampler_desc *r = &parts->desc.perceiver;

    CLF_TRY(clf_build_tensor(b, PERCEIVER "latents", 2, &r->latents, err));
    const int64_t M = r->latents.dim[0], Dv = r->latents.dim[1];

    CLF_TRY(clf_build_width(b, "vision_config.embed_dim", Dv, "the columns of " PERCEIVER "latents", err));
    CLF_TRY(clf_build_width(b, "perceiver_config.resampler_n_latents", M, "the rows of " PERCEIVER "latents", err));
    CLF_TRY(clf_build_find_layers(b, PERCEIVER "blocks.", 0, ".0.q_proj.weight", &r->layer_count, err));
    CLF_TRY(clf_build_width(b, "perceiver_config.resampler_depth", r->layer_count,
                            "the blocks of " PERCEIVER "blocks that the checkpoint has", err));
    if (r->layer_count == 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " PERCEIVER "blocks.0.0.q_proj.weight is missing; want at least one block", b->family);
    r->layers = parts->layers = clf_alloc((size_t)r->layer_count, sizeof *parts->layers);
    if (parts->layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d blocks", b->family, (int)r->layer_count);
    for (int32_t i = 0; i < r->layer_count; i++)
        CLF_TRY(read_block(b, i, Dv, &parts->layers[i], err));
    return clf_build_norm(b, PERCEIVER "layer_norm", CLF_NORM_LAYER, Dv, 1e-5, &r->final_norm, err);
}

/* ---- the gated layers ---- */

static clf_status read_cross_attention(const clf_builder *b, const char *layer, double eps, clf_attention_layer_desc *a,
                                       clf_error *err)
{
    int64_t heads = 32;
    char prefix[NAME_BYTES];

    clf_format(prefix, sizeof prefix, "%scross_attn.", layer);
    CLF_TRY(read_weight(b, prefix, "q_proj", 0, 0, &a->q, err));
    const int64_t rows = a->q.weight.dim[0], Dt = a->q.weight.dim[1];

    CLF_TRY(read_weight(b, prefix, "k_proj", rows, 0, &a->k, err));
    CLF_TRY(read_weight(b, prefix, "v_proj", rows, a->k.weight.dim[1], &a->v, err));
    CLF_TRY(read_weight(b, prefix, "o_proj", Dt, rows, &a->out, err));
    CLF_TRY(clf_config_int(b->config, "num_attention_heads", &heads, err));
    CLF_TRY(clf_build_heads(b, "num_attention_heads", heads, a, err));
    CLF_TRY(read_norm(b, layer, "input_layernorm", CLF_NORM_RMS, Dt, eps, &a->norm, err));
    return read_head_norms(b, prefix, "qk_layer_norms", CLF_NORM_RMS, eps, a, err);
}

static clf_status read_mlp(const clf_builder *b, const char *layer, int64_t Dt, double eps, clf_feed_forward_desc *ff,
                           clf_error *err)
{
    char prefix[NAME_BYTES];

    clf_format(prefix, sizeof prefix, "%smlp.", layer);
    CLF_TRY(read_weight(b, prefix, "gate_proj", 0, Dt, &ff->gated, err));
    const int64_t F = ff->gated.weight.dim[0];

    CLF_TRY(read_weight(b, prefix, "up_proj", F, Dt, &ff->up, err));
    CLF_TRY(read_weight(b, prefix, "down_proj", Dt, F, &ff->down, err));
    CLF_TRY(read_norm(b, layer, "post_attention_layernorm", CLF_NORM_RMS, Dt, eps, &ff->norm, err));
    CLF_TRY(clf_build_width(b, "intermediate_size", F, "the rows of mlp.gate_proj.weight", err));
    ff->activation = CLF_SILU;
    return clf_build_activation(b, "hidden_act", &ff->activation, err);
}

/* alpha_type "float" is one gate, "vector" one a channel; the tensor says it too. */
static clf_status read_alpha(const clf_builder *b, const char *layer, const char *tensor, int64_t Dt,
                             clf_host_tensor *alpha, clf_error *err)
{
    const char *type = NULL;
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%s%s", layer, tensor);
    CLF_TRY(clf_build_alpha(b, name, Dt, alpha, err));
    CLF_TRY(clf_config_text(b->config, "alpha_type", &type, err));
    const char *found = alpha->dim[alpha->rank - 1] == 1 && Dt != 1 ? "float" : "vector";

    if (type != NULL && strcmp(type, found) != 0 && Dt != 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: alpha_type is %s; want %s, as %s is %s", b->family,
                        clf_text_quote(type, strlen(type)).text, found, name, CLF_HOST_TEXT(*alpha));
    return CLF_OK;
}

static clf_status read_gated_layer(const clf_builder *b, int32_t i, clf_cross_layer_desc *layer, clf_error *err)
{
    double eps = 1e-6;
    char prefix[NAME_BYTES];

    clf_format(prefix, sizeof prefix, GATED "%d.", (int)i);
    CLF_TRY(clf_config_float(b->config, "rms_norm_eps", &eps, err));
    CLF_TRY(read_cross_attention(b, prefix, eps, &layer->attention, err));
    const int64_t Dt = layer->attention.q.weight.dim[1], Dv = layer->attention.k.weight.dim[1];

    CLF_TRY(clf_build_width(b, "hidden_size", Dt, "the columns of cross_attn.q_proj.weight", err));
    CLF_TRY(clf_build_width(b, "vision_config.embed_dim", Dv, "the columns of cross_attn.k_proj.weight", err));
    CLF_TRY(read_mlp(b, prefix, Dt, eps, &layer->feed_forward, err));
    CLF_TRY(read_alpha(b, prefix, "alpha_cross_attn", Dt, &layer->attention.gate, err));
    return read_alpha(b, prefix, "alpha_dense", Dt, &layer->feed_forward.gate, err);
}

/* One gated layer before decoder layers 0, interval, 2 interval, ...: the interval divides their number, and a
 * checkpoint has no more gated layers than that; it may have fewer, when they were exported alone. */
static clf_status check_count(const clf_builder *b, int32_t count, clf_error *err)
{
    int64_t layers = 0, interval = 1;

    CLF_TRY(clf_config_int(b->config, "num_hidden_layers", &layers, err));
    CLF_TRY(clf_config_int(b->config, "cross_layer_interval", &interval, err));
    if (interval < 1 || layers < 0 || layers % interval != 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: cross_layer_interval is %" PRId64 "; want a divisor of num_hidden_layers %" PRId64,
                        b->family, interval, layers);
    if (clf_config_has(b->config, "num_hidden_layers") && count > layers / interval)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " GATED "%d is there; want %" PRId64 " gated layers, num_hidden_layers %" PRId64
                        " over cross_layer_interval %" PRId64,
                        b->family, (int)count - 1, layers / interval, layers, interval);
    return CLF_OK;
}

static clf_status read_gated(const clf_builder *b, int32_t first, int32_t count, idefics_parts *parts, clf_error *err)
{
    parts->gated = clf_alloc((size_t)count, sizeof *parts->gated);
    if (parts->gated == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d layers", b->family, (int)count);
    parts->desc.gated.layers = parts->gated;
    parts->desc.gated.layer_count = count;
    for (int32_t i = 0; i < count; i++)
        CLF_TRY(read_gated_layer(b, first + i, &parts->gated[i], err));
    return CLF_OK;
}

/* ---- the model ---- */

/* Gated layers may be exported alone. */
static clf_status has_perceiver(const clf_builder *b, bool *there, clf_error *err)
{
    bool blocks;

    CLF_TRY(clf_build_has(b, PERCEIVER "blocks.0.0.q_proj.weight", &blocks, err));
    CLF_TRY(clf_build_has(b, PERCEIVER "latents", there, err));
    *there = *there || blocks; /* one without the other is damage, which reading it tells */
    return CLF_OK;
}

static clf_status read_parts(const clf_builder *b, idefics_parts *parts, clf_error *err)
{
    clf_flamingo_desc *d = &parts->desc;
    bool perceiver = false; /* at top level; perceiver_config has a key of this name that means nothing */
    int32_t count, first, taken;

    *d = clf_build_flamingo_desc(b);
    CLF_TRY(clf_config_bool(b->config, "use_resampler", &perceiver, err));
    CLF_TRY(clf_build_find_layers(b, GATED, 0, ".cross_attn.q_proj.weight", &count, err));
    CLF_TRY(check_count(b, count, err));
    if (perceiver)
        CLF_TRY(has_perceiver(b, &perceiver, err));
    if (!perceiver && count == 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " GATED "0.cross_attn.q_proj.weight is missing; want gated layers, or use_resampler true "
                        "and " PERCEIVER "latents",
                        b->family);
    if (perceiver)
        CLF_TRY(read_perceiver(b, parts, err));
    CLF_TRY(clf_build_attention_of(b, perceiver, count > 0, &d->attention_of_tokens, err));
    CLF_TRY(clf_build_gated_range(b, count, d->perceiver.layer_count, d->attention_of_tokens, &first, &taken, err));
    return taken > 0 ? read_gated(b, first, taken, parts, err) : CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    idefics_parts parts = { .layers = NULL };
    clf_status status = read_parts(b, &parts, err);

    if (status == CLF_OK)
        status = clf_build_flamingo(b, &parts.desc, m, err);
    clf_free(parts.layers);
    clf_free(parts.gated);
    return status;
}

const clf_family clf_family_idefics = { .id = "idefics", .layered = true, .all_layers = true, .build = build };
