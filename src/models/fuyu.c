/* Fuyu: one Linear on raw patches, flattened (row, column, channel).
 *
 * vision_embed_tokens.{weight [Dt, patch_size^2 num_channels], bias}
 *
 * Source: transformers' FuyuModel. */
#include <inttypes.h>

#include "core/error.h"
#include "core/size.h"
#include "models/registry.h"

static clf_status check_patch_width(const clf_builder *b, int64_t width, clf_error *err)
{
    int64_t patch = 30, channels = 3;
    uint64_t product = 0;

    CLF_TRY(clf_config_int(b->config, "patch_size", &patch, err));
    CLF_TRY(clf_config_int(b->config, "num_channels", &channels, err));
    if (!clf_config_has(b->config, "patch_size"))
        return CLF_OK;
    if (patch < 1 || channels < 1 || !clf_size_mul((uint64_t)patch, (uint64_t)patch, &product) ||
        !clf_size_mul(product, (uint64_t)channels, &product) || product != (uint64_t)width)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: vision_embed_tokens.weight has %" PRId64 " columns; want patch_size %" PRId64
                        " times itself times num_channels %" PRId64,
                        b->family, width, patch, channels);
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    clf_placeholders ids;

    CLF_TRY(clf_build_linear(b, "vision_embed_tokens", true, 0, NULL, &desc.layers[0], err));
    desc.layer_count = 1;
    CLF_TRY(check_patch_width(b, desc.layers[0].weight.dim[1], err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", desc.layers[0].weight.dim[0],
                            "the rows of vision_embed_tokens.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 71011, .video = 71011 }, &ids, err));
    return clf_build_projector(b, &desc, &ids, m, err);
}

const clf_family clf_family_fuyu = { .id = "fuyu", .build = build };
