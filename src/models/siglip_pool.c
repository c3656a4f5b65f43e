/* SigLIP and SigLIP 2: the pooling head of the vision tower and, where the file has both towers, the text's head.
 *
 * vision_model.head.probe [1, 1, D], .attention.{in_proj_weight, in_proj_bias, out_proj.*}, .layernorm.*,
 *     .mlp.{fc1, fc2}.*; files of the tower alone also without "vision_model."
 * text_model.head.{weight [P, Dt], bias}, logit_scale [1], logit_bias [1], of the last row of the text
 *
 * vision and text are the towers' last_hidden_state, behind their final norms.
 *
 * The residual of the MLP starts at the output of the attention.
 * Source: Zhai et al. 2023, arXiv:2303.15343; Tschannen et al. 2025, arXiv:2502.14786; transformers'
 * SiglipMultiheadAttentionPoolingHead and Siglip2MultiheadAttentionPoolingHead. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "models/pool_head.h"
#include "models/registry.h"

#define NAME_BYTES 96

/* "vision_config.KEY" where the configuration is that of both towers, else KEY. */
static const char *key_name(const clf_builder *b, char *buffer, const char *key)
{
    clf_format(buffer, NAME_BYTES, "vision_config.%s", key);
    return clf_config_has(b->config, buffer) ? buffer : key;
}

static const char *part_name(char *buffer, const char *prefix, const char *part)
{
    clf_format(buffer, NAME_BYTES, "%s%s", prefix, part);
    return buffer;
}

static clf_status read_mlp(const clf_builder *b, const char *prefix, int64_t D, clf_feed_forward_desc *ff,
                           clf_error *err)
{
    char name[NAME_BYTES], key[NAME_BYTES];
    double eps = 1e-6;

    CLF_TRY(clf_config_float(b->config, key_name(b, key, "layer_norm_eps"), &eps, err));
    CLF_TRY(clf_build_norm(b, part_name(name, prefix, "layernorm"), CLF_NORM_LAYER, D, eps, &ff->norm, err));
    CLF_TRY(clf_build_linear(b, part_name(name, prefix, "mlp.fc1"), true, D, "the width of probe", &ff->up, err));
    CLF_TRY(clf_build_linear(b, part_name(name, prefix, "mlp.fc2"), true, ff->up.weight.dim[0],
                             "the rows of mlp.fc1.weight", &ff->down, err));
    ff->activation = CLF_GELU_TANH;
    CLF_TRY(clf_build_activation(b, key_name(b, key, "hidden_act"), &ff->activation, err));
    CLF_TRY(clf_build_width(b, key_name(b, key, "intermediate_size"), ff->up.weight.dim[0],
                            "the rows of mlp.fc1.weight", err));
    return CLF_OK;
}

static clf_status read_head(const clf_builder *b, const char *prefix, clf_attention_pool_desc *pool, clf_error *err)
{
    char name[NAME_BYTES], key[NAME_BYTES], heads_key[NAME_BYTES];
    const char *key_of_heads = key_name(b, heads_key, "num_attention_heads");
    int64_t heads = 12;

    CLF_TRY(clf_build_tensor(b, part_name(name, prefix, "probe"), 3, &pool->queries, err));
    const int64_t D = pool->queries.dim[2];

    if (pool->queries.dim[0] != 1 || pool->queries.dim[1] != 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [1, 1, D]", b->family, name,
                        CLF_HOST_TEXT(pool->queries));
    CLF_TRY(clf_build_pool_heads(b, &key_of_heads, &heads, err));
    CLF_TRY(clf_build_multihead(b, part_name(name, prefix, "attention"), key_of_heads, heads, &pool->attention, err));
    CLF_TRY(clf_build_width(b, key_name(b, key, "hidden_size"), D, "the width of probe", err));
    return read_mlp(b, prefix, D, &pool->feed_forward, err);
}

/* The text's side, in files that have a scale for the logits: those of both towers. */
static clf_status read_text(const clf_builder *b, int64_t D, clf_contrast_spec *spec, clf_error *err)
{
    clf_linear_layer *head = &spec->contrast.text.projection;
    bool there;

    CLF_TRY(clf_build_has(b, "logit_scale", &there, err));
    if (!there)
        return CLF_OK;
    spec->text = CLF_TEXT_LAST;
    spec->contrast.kind = CLF_SCORES_SIGMOID;
    CLF_TRY(clf_build_linear(b, "text_model.head", true, 0, NULL, head, err));
    if (head->weight.dim[0] != D)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: text_model.head.weight has %" PRId64 " rows; want %" PRId64 ", the width of probe",
                        b->family, head->weight.dim[0], D);
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", head->weight.dim[1], "the columns of text_model.head.weight",
                            err));
    CLF_TRY(clf_build_width(b, "text_config.projection_size", D, "the rows of text_model.head.weight", err));
    return clf_build_logit_scale(b, spec, err);
}

static clf_status build_head(const clf_builder *b, bool masked, clf_model *m, clf_error *err)
{
    clf_head_spec spec = { .pool = clf_build_pool_desc(b), .masked = masked, .contrast = clf_build_contrast_spec(b) };
    bool both, tower;

    CLF_TRY(clf_build_has(b, "vision_model.head.probe", &both, err));
    CLF_TRY(clf_build_has(b, "head.probe", &tower, err));
    CLF_TRY(read_head(b, tower && !both ? "head." : "vision_model.head.", &spec.pool, err));
    CLF_TRY(read_text(b, spec.pool.queries.dim[2], &spec.contrast, err));
    return clf_build_head(b, &spec, m, err);
}

static clf_status build_siglip(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build_head(b, false, m, err);
}

static clf_status build_siglip2(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build_head(b, true, m, err);
}

const clf_family clf_family_siglip = { .id = "siglip",
                                       .spellings = { "siglip_vision_model", "siglip_model" },
                                       .build = build_siglip };
const clf_family clf_family_siglip2 = {
    .id = "siglip2",
    .spellings = { "siglip2_vision_model", "siglip2_model" },
    .build = build_siglip2,
};
