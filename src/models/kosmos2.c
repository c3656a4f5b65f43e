/* Kosmos-2 and Kosmos-2.5: features and latents together answer the latents; no norm, no residual.
 *
 *     f = dense(vision),  tokens = out_proj(attention(q_proj latents, k_proj [f; latents], v_proj [f; latents]))
 *
 * image_to_text_projection.dense.{weight [D, Dv], bias}, .latent_query [M, D],
 * .x_attn.{q_proj,k_proj,v_proj,out_proj}.{weight [D, D], bias}
 *
 * `vision` has been through post_layernorm and, in Kosmos-2, the L2 norm.  A configuration has no placeholder id: with
 * image_token_id the tokens are put among text too.
 * Source: Peng et al. 2023, arXiv:2306.14824; Lv et al. 2023, arXiv:2309.11419; transformers'
 * Kosmos2ImageToTextProjection, Kosmos2_5ImageToTextProjection. */
#include "core/alloc.h"
#include "core/error.h"
#include "models/registry.h"
#include "models/resampler_model.h"

#define PROJECTION "image_to_text_projection."

static clf_status read_heads(const clf_builder *b, int64_t heads, clf_attention_layer_desc *a, clf_error *err)
{
    const char *key = "text_config.attention_heads";

    CLF_TRY(clf_config_int(b->config, "text_config.num_attention_heads", &heads, err)); /* transformers' other name */
    CLF_TRY(clf_config_int(b->config, key, &heads, err));
    return clf_build_heads(b, key, heads, a, err);
}

static clf_status read_attention(const clf_builder *b, int64_t heads, clf_resampler_desc *desc,
                                 clf_attention_layer_desc *a, clf_error *err)
{
    static const clf_projection_names names = { "q_proj", "k_proj", "v_proj", "out_proj" };
    const int64_t D = desc->latents.dim[1];

    CLF_TRY(clf_build_linear(b, PROJECTION "dense", true, 0, NULL, &desc->input, err));
    CLF_TRY(clf_build_projections(b, PROJECTION "x_attn.", &names, true, true, D, desc->input.weight.dim[0], a, err));
    return read_heads(b, heads, a, err);
}

static clf_status check_config(const clf_builder *b, const clf_resampler_desc *desc, clf_error *err)
{
    const int64_t D = desc->latents.dim[1];

    CLF_TRY(clf_build_width(b, "vision_config.hidden_size", desc->input.weight.dim[1],
                            "the columns of " PROJECTION "dense.weight", err));
    CLF_TRY(clf_build_width(b, "text_config.embed_dim", D, "the width of " PROJECTION "latent_query", err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", D, "the width of " PROJECTION "latent_query", err));
    return clf_build_width(b, "latent_query_num", desc->latents.dim[0], "the rows of " PROJECTION "latent_query", err);
}

static clf_status build(const clf_builder *b, int64_t heads, clf_model *m, clf_error *err)
{
    const bool fused = clf_config_has(b->config, "image_token_id") || clf_config_has(b->config, "image_token_index");
    clf_resampler_layer_desc layer = { .self = { .heads = 0 } };
    clf_resampler_desc desc = clf_resampler_desc_default();
    clf_placeholders ids;

    desc.layers = &layer;
    desc.layer_count = 1;
    desc.latents_in_context = true;
    desc.residual = false;
    desc.storage = b->storage;
    desc.source = b->source;
    CLF_TRY(clf_build_tensor(b, PROJECTION "latent_query", 2, &desc.latents, err));
    CLF_TRY(read_attention(b, heads, &desc, &layer.cross, err));
    CLF_TRY(check_config(b, &desc, err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = -1, .video = -1 }, &ids, err));
    return clf_build_resampler(b, &desc, (clf_resampler_ports){ .ids = fused ? &ids : NULL }, m, err);
}

static clf_status build_2(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, 32, m, err);
}

static clf_status build_2_5(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, 16, m, err);
}

const clf_family clf_family_kosmos2 = { .id = "kosmos-2", .spellings = { "kosmos2" }, .build = build_2 };
const clf_family clf_family_kosmos2_5 = {
    .id = "kosmos-2.5",
    .spellings = { "kosmos2.5", "kosmos2_5", "kosmos-2_5" },
    .build = build_2_5,
};
