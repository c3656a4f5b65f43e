/* Idefics2: a gated projection, then a perceiver with RMS norms and grouped keys.
 *
 *     c = down_proj(act(gate_proj vision) * up_proj vision)
 *     layer by layer: x += o_proj(attention(q_proj n, k_proj [norm c; n], v_proj [norm c; n])),  n = norm(x)
 *                     x += mlp.down_proj(act(mlp.gate_proj m) * mlp.up_proj m),  m = norm(x)
 *     tokens = norm(x)
 *
 * connector.modality_projection.{gate_proj [F, Dv], up_proj [F, Dv], down_proj [D, F]}.weight
 * connector.perceiver_resampler.latents [M, D], .norm.weight [D], and for each layer i, behind .layers.{i}:
 *     .{input_latents_norm,input_context_norm,post_attention_layernorm}.weight [D]
 *     .self_attn.{q_proj [H d, D], k_proj [Hk d, D], v_proj [Hk d, D], o_proj [D, H d]}.weight
 *     .mlp.{gate_proj [4 D, D], up_proj, down_proj [D, 4 D]}.weight
 *
 * Source: Laurençon et al. 2024, arXiv:2405.02246; transformers' Idefics2Connector. */
#include <inttypes.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "models/registry.h"
#include "models/resampler_model.h"

#define PROJECTION "connector.modality_projection."
#define PERCEIVER "connector.perceiver_resampler."
#define PERCEIVER_CONFIG "perceiver_config."
#define NAME_BYTES 120

/* gate_proj, up_proj and down_proj behind NAME, without biases. */
static clf_status read_gated(const clf_builder *b, const char *name, int64_t in, const char *activation_key,
                             clf_feed_forward_desc *ff, clf_error *err)
{
    char part[NAME_BYTES];

    ff->activation = CLF_SILU;
    CLF_TRY(clf_build_activation(b, activation_key, &ff->activation, err));
    clf_format(part, sizeof part, "%sgate_proj", name);
    CLF_TRY(clf_build_linear(b, part, false, in, "the width of the latents", &ff->gated, err));
    clf_format(part, sizeof part, "%sup_proj", name);
    CLF_TRY(clf_build_linear(b, part, false, ff->gated.weight.dim[1], "as gate_proj has", &ff->up, err));
    clf_format(part, sizeof part, "%sdown_proj", name);
    return clf_build_linear(b, part, false, ff->up.weight.dim[0], "the rows of up_proj", &ff->down, err);
}

/* Heads by their number and width: the rows of q_proj and k_proj must be theirs. */
static clf_status read_heads(const clf_builder *b, clf_attention_layer_desc *a, clf_error *err)
{
    int64_t heads = 16, kv_heads = 4, width;

    CLF_TRY(clf_config_int(b->config, PERCEIVER_CONFIG "resampler_n_heads", &heads, err));
    CLF_TRY(clf_config_int(b->config, PERCEIVER_CONFIG "num_key_value_heads", &kv_heads, err));
    CLF_TRY(clf_build_heads(b, PERCEIVER_CONFIG "resampler_n_heads", heads, a, err));
    width = a->q.weight.dim[0] / heads;
    CLF_TRY(clf_build_width(b, PERCEIVER_CONFIG "resampler_head_dim", width,
                            "the rows of q_proj.weight over resampler_n_heads", err));
    if (kv_heads < 1 || heads % kv_heads != 0 || a->k.weight.dim[0] % width != 0 ||
        a->k.weight.dim[0] / width != kv_heads)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " PERCEIVER_CONFIG "num_key_value_heads is %" PRId64 "; want a divisor of %" PRId64
                        " heads, and of %" PRId64 " entries each in the %" PRId64 " rows of k_proj.weight",
                        b->family, kv_heads, heads, width, a->k.weight.dim[0]);
    a->kv_heads = (int32_t)kv_heads;
    return CLF_OK;
}

static clf_status read_layer(const clf_builder *b, int32_t i, int64_t D, double eps, clf_resampler_layer_desc *l,
                             clf_error *err)
{
    static const clf_projection_names names = { "q_proj", "k_proj", "v_proj", "o_proj" };
    char part[NAME_BYTES];

    clf_format(part, sizeof part, PERCEIVER "layers.%d.self_attn.", (int)i);
    CLF_TRY(clf_build_projections(b, part, &names, false, false, D, D, &l->cross, err));
    CLF_TRY(read_heads(b, &l->cross, err));
    clf_format(part, sizeof part, PERCEIVER "layers.%d.input_latents_norm", (int)i);
    CLF_TRY(clf_build_norm(b, part, CLF_NORM_RMS, D, eps, &l->cross.norm, err));
    clf_format(part, sizeof part, PERCEIVER "layers.%d.input_context_norm", (int)i);
    CLF_TRY(clf_build_norm(b, part, CLF_NORM_RMS, D, eps, &l->context_norm, err));
    clf_format(part, sizeof part, PERCEIVER "layers.%d.post_attention_layernorm", (int)i);
    CLF_TRY(clf_build_norm(b, part, CLF_NORM_RMS, D, eps, &l->feed_forward.norm, err));
    clf_format(part, sizeof part, PERCEIVER "layers.%d.mlp.", (int)i);
    return read_gated(b, part, D, PERCEIVER_CONFIG "hidden_act", &l->feed_forward, err);
}

/* transformers overwrites a perceiver_config whose hidden_size is not the text's, and takes the text's eps with it.
 * A text_config that is there has its model's defaults (mistral: 1e-6), one that is not those of Idefics2 (1e-5). */
static clf_status read_eps(const clf_builder *b, double *eps, clf_error *err)
{
    int64_t text = 4096, perceiver = 4096;
    double text_eps = clf_config_has(b->config, "text_config") ? 1e-6 : 1e-5;

    *eps = 1e-6;
    CLF_TRY(clf_config_int(b->config, "text_config.hidden_size", &text, err));
    CLF_TRY(clf_config_int(b->config, PERCEIVER_CONFIG "hidden_size", &perceiver, err));
    CLF_TRY(clf_config_float(b->config, "text_config.rms_norm_eps", &text_eps, err));
    CLF_TRY(clf_config_float(b->config, PERCEIVER_CONFIG "rms_norm_eps", eps, err));
    if (text != perceiver)
        *eps = text_eps;
    return CLF_OK;
}

static clf_status check_config(const clf_builder *b, const clf_resampler_desc *d, clf_error *err)
{
    CLF_TRY(clf_build_width(b, "vision_config.hidden_size", d->input_feed_forward.up.weight.dim[1],
                            "the columns of " PROJECTION "gate_proj.weight", err));
    CLF_TRY(clf_build_width(b, "text_config.intermediate_size", d->input_feed_forward.up.weight.dim[0],
                            "the rows of " PROJECTION "gate_proj.weight", err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", d->latents.dim[1], "the width of " PERCEIVER "latents", err));
    return clf_build_width(b, PERCEIVER_CONFIG "resampler_n_latents", d->latents.dim[0],
                           "the rows of " PERCEIVER "latents", err);
}

static clf_status read_perceiver(const clf_builder *b, clf_resampler_desc *desc, clf_resampler_layer_desc *layers,
                                 clf_error *err)
{
    double eps;
    int64_t D;

    CLF_TRY(clf_build_tensor(b, PERCEIVER "latents", 2, &desc->latents, err));
    D = desc->latents.dim[1];
    CLF_TRY(read_gated(b, PROJECTION, 0, "text_config.hidden_act", &desc->input_feed_forward, err));
    CLF_TRY(read_eps(b, &eps, err));
    for (int32_t i = 0; i < desc->layer_count; i++)
        CLF_TRY(read_layer(b, i, D, eps, &layers[i], err));
    CLF_TRY(clf_build_norm(b, PERCEIVER "norm", CLF_NORM_RMS, D, eps, &desc->final_norm, err));
    desc->latents_in_context = true;
    return check_config(b, desc, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_resampler_layer_desc *layers;
    clf_resampler_desc desc;
    clf_placeholders ids;
    int32_t count;
    clf_status status;

    CLF_TRY(clf_build_layer_count(b, PERCEIVER "layers.", 0, ".self_attn.q_proj.weight",
                                  PERCEIVER_CONFIG "resampler_depth", &count, err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 32001, .video = 32001 }, &ids, err));
    status = clf_build_resampler_desc(b, count, &desc, &layers, err);
    if (status == CLF_OK)
        status = read_perceiver(b, &desc, layers, err);
    if (status == CLF_OK)
        status = clf_build_resampler(b, &desc, (clf_resampler_ports){ .ids = &ids, .vision_mask = true }, m, err);
    clf_free(layers);
    return status;
}

const clf_family clf_family_idefics2 = { .id = "idefics2", .layered = true, .build = build };
