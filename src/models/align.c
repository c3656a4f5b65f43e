/* ALIGN: the mean, or the maximum, of EfficientNet's channel map against the projected CLS of the text.
 *
 * text_projection.{weight [P, Dt], bias}, temperature [], which divides the cosines; pictures have no projection
 *
 * vision is the channel map as rows, in raster order; grid its rows and columns, which are only checked.
 * Source: Jia et al. 2021, arXiv:2102.05918; transformers' AlignModel. */
#include <string.h>

#include "core/error.h"
#include "core/text.h"
#include "models/contrast_model.h"
#include "models/registry.h"

static clf_status read_pooling(const clf_builder *b, clf_vision_row *pooling, clf_error *err)
{
    const char *type = "mean";

    CLF_TRY(clf_config_text(b->config, "vision_config.pooling_type", &type, err));
    if (strcmp(type, "mean") != 0 && strcmp(type, "max") != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: vision_config.pooling_type is %s; want mean or max", b->family,
                        clf_text_quote(type, strlen(type)).text);
    *pooling = type[1] == 'e' ? CLF_VISION_MEAN : CLF_VISION_MAX;
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_contrast_spec spec = clf_build_contrast_spec(b);
    clf_linear_layer *projection = &spec.contrast.text.projection;
    float temperature = 1.0F;
    clf_vision_row pooling = CLF_VISION_MEAN;

    CLF_TRY(read_pooling(b, &pooling, err));
    CLF_TRY(clf_build_linear(b, "text_projection", true, 0, NULL, projection, err));
    const clf_host_tensor w = projection->weight;

    CLF_TRY(clf_build_width(b, "text_config.hidden_size", w.dim[1], "the columns of text_projection.weight", err));
    CLF_TRY(clf_build_width(b, "projection_dim", w.dim[0], "the rows of text_projection.weight", err));
    CLF_TRY(clf_build_width(b, "vision_config.hidden_dim", w.dim[0], "the rows of text_projection.weight", err));
    CLF_TRY(clf_build_scalar(b, "temperature", &temperature, err));
    spec.contrast.scale = (float)(1 / (double)temperature);
    spec.contrast.vision.width = w.dim[0];
    spec.scalars = 1;
    spec.text = CLF_TEXT_FIRST;
    return clf_build_contrast(b, &spec, pooling, m, err);
}

const clf_family clf_family_align = { .id = "align", .build = build };
