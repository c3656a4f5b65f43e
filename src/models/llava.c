/* LLaVA 1.5 and the families whose projector is the same: linear_1, an activation, linear_2.
 *
 * multi_modal_projector.linear_1.{weight [Dt, Dv l], bias}, .linear_2.{weight [Dt, Dt], bias}, l the number of entries
 * of vision_feature_layer: the channels of the chosen layers stand side by side.
 * Source: Liu et al. 2023, arXiv:2310.03744; transformers' LlavaMultiModalProjector. */
#include <inttypes.h>

#include "core/error.h"
#include "core/size.h"
#include "models/registry.h"

/* vision_config.hidden_size, once for each chosen layer, is the width of the input. */
static clf_status check_vision_width(const clf_builder *b, int64_t width, clf_error *err)
{
    int64_t layers[64], hidden = width;
    size_t count = 1;

    CLF_TRY(clf_config_ints(b->config, "vision_feature_layer", layers, CLF_COUNT(layers), &count, err));
    CLF_TRY(clf_config_int(b->config, "vision_config.hidden_size", &hidden, err));
    if (clf_config_has(b->config, "vision_config.hidden_size") &&
        (hidden < 1 || count < 1 || width % hidden != 0 || (uint64_t)(width / hidden) != count))
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: multi_modal_projector.linear_1.weight has %" PRId64 " columns; want "
                        "vision_config.hidden_size %" PRId64 " times %zu, the layers in vision_feature_layer",
                        b->family, width, hidden, count);
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_placeholders defaults, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    clf_placeholders ids;
    bool bias = true;

    CLF_TRY(clf_config_bool(b->config, "multimodal_projector_bias", &bias, err));
    CLF_TRY(clf_build_linear(b, "multi_modal_projector.linear_1", bias, 0, NULL, &desc.layers[0], err));
    const int64_t Dv = desc.layers[0].weight.dim[1], Dt = desc.layers[0].weight.dim[0];

    CLF_TRY(clf_build_linear(b, "multi_modal_projector.linear_2", bias, Dt,
                             "the rows of multi_modal_projector.linear_1.weight", &desc.layers[1], err));
    desc.layer_count = 2;
    CLF_TRY(clf_build_activation(b, "projector_hidden_act", &desc.activation, err));
    CLF_TRY(check_vision_width(b, Dv, err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", desc.layers[1].weight.dim[0],
                            "the rows of multi_modal_projector.linear_2.weight", err));
    CLF_TRY(clf_build_placeholders(b, defaults, &ids, err));
    return clf_build_projector(b, &desc, &ids, m, err);
}

/* Ids by default as in the configuration classes of transformers 5.23. */
static clf_status build_llava(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, (clf_placeholders){ .image = 32000, .video = 32000 }, m, err);
}

static clf_status build_llava_next_video(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, (clf_placeholders){ .image = 32001, .video = 32000 }, m, err);
}

static clf_status build_llava_onevision(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, (clf_placeholders){ .image = 151646, .video = 151647 }, m, err);
}

static clf_status build_fast_vlm(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, (clf_placeholders){ .image = 151646, .video = 151646 }, m, err);
}

static clf_status build_video_llava(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, (clf_placeholders){ .image = 32000, .video = 32001 }, m, err);
}

#define PACKING                                                                                                        \
    {                                                                                                                  \
        "image_sizes", "plain features without it: the packing of picture tiles is unsupported so far"                 \
    }

const clf_family clf_family_llava = { .id = "llava", .build = build_llava };
const clf_family clf_family_llava_next = { .id = "llava_next", .unbuilt = PACKING, .build = build_llava };
const clf_family clf_family_llava_next_video = { .id = "llava_next_video",
                                                 .unbuilt = PACKING,
                                                 .build = build_llava_next_video };
const clf_family clf_family_llava_onevision = { .id = "llava_onevision",
                                                .unbuilt = PACKING,
                                                .build = build_llava_onevision };
const clf_family clf_family_fast_vlm = { .id = "fast_vlm", .spellings = { "fastvlm" }, .build = build_fast_vlm };
const clf_family clf_family_video_llava = { .id = "video_llava", .build = build_video_llava };
