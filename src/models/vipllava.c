/* ViP-LLaVA: five layers of the tower side by side, LayerNorm, Linear, activation, Linear.
 *
 * multi_modal_projector.projector_layernorm.{weight, bias} [5 Dv], .linear_1.{weight [Dt, 5 Dv], bias},
 * .linear_2.{weight [Dt, Dt], bias}
 *
 * Source: Cai et al. 2023, arXiv:2312.00784; transformers' VipLlavaMultiModalProjector. */
#include <inttypes.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/registry.h"

#define PROJECTOR "multi_modal_projector."

/* Hub files say vision_feature_layers, transformers 5 vision_feature_layer; five layers by default. */
static clf_status check_vision_width(const clf_builder *b, int64_t width, clf_error *err)
{
    int64_t layers[64], hidden = width;
    size_t count = 5;

    CLF_TRY(clf_config_ints(b->config, "vision_feature_layers", layers, CLF_COUNT(layers), &count, err));
    CLF_TRY(clf_config_ints(b->config, "vision_feature_layer", layers, CLF_COUNT(layers), &count, err));
    CLF_TRY(clf_config_int(b->config, "vision_config.hidden_size", &hidden, err));
    if (clf_config_has(b->config, "vision_config.hidden_size") &&
        (hidden < 1 || count < 1 || width % hidden != 0 || (uint64_t)(width / hidden) != count))
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " PROJECTOR "linear_1.weight has %" PRId64 " columns; want vision_config.hidden_size "
                        "%" PRId64 " times %zu, the layers in vision_feature_layers",
                        b->family, width, hidden, count);
    return CLF_OK;
}

static clf_status read_norm(const clf_builder *b, int64_t width, clf_projector_desc *desc, clf_error *err)
{
    double eps = 1e-5;

    CLF_TRY(clf_build_tensor(b, PROJECTOR "projector_layernorm.weight", 1, &desc->norm_weight, err));
    CLF_TRY(clf_build_tensor(b, PROJECTOR "projector_layernorm.bias", 1, &desc->norm_bias, err));
    if (desc->norm_weight.dim[0] != width || desc->norm_bias.dim[0] != width)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " PROJECTOR "projector_layernorm has weight %s and bias %s; want [%" PRId64 "], the "
                        "columns of " PROJECTOR "linear_1.weight",
                        b->family, CLF_HOST_TEXT(desc->norm_weight), CLF_HOST_TEXT(desc->norm_bias), width);
    CLF_TRY(clf_config_float(b->config, "projector_layernorm_eps", &eps, err));
    desc->norm_eps = (float)eps;
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    clf_placeholders ids;

    CLF_TRY(clf_build_linear(b, PROJECTOR "linear_1", true, 0, NULL, &desc.layers[0], err));
    CLF_TRY(clf_build_linear(b, PROJECTOR "linear_2", true, desc.layers[0].weight.dim[0],
                             "the rows of " PROJECTOR "linear_1.weight", &desc.layers[1], err));
    desc.layer_count = 2;
    CLF_TRY(read_norm(b, desc.layers[0].weight.dim[1], &desc, err));
    CLF_TRY(clf_build_activation(b, "projector_hidden_act", &desc.activation, err));
    CLF_TRY(check_vision_width(b, desc.layers[0].weight.dim[1], err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", desc.layers[1].weight.dim[0],
                            "the rows of " PROJECTOR "linear_2.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 32000, .video = 32000 }, &ids, err));
    return clf_build_projector(b, &desc, &ids, m, err);
}

const clf_family clf_family_vipllava = { .id = "vipllava", .spellings = { "vip_llava" }, .build = build };
