/* CLIP: the row of CLS against the row where the text ends.
 *
 * vision_model.post_layernorm.{weight, bias} [Dv], visual_projection.weight [P, Dv], text_projection.weight [P, Dt],
 * logit_scale []
 *
 * vision is the tower's last_hidden_state, which post_layernorm has not seen; text the text tower's, behind its final
 * norm.  The end of a text: the largest id where text_config.eos_token_id is 2, as in configurations from before 2023,
 * else the first eos_token_id.
 * Source: Radford et al. 2021, arXiv:2103.00020; transformers' CLIPModel. */
#include <inttypes.h>

#include "core/error.h"
#include "models/contrast_model.h"
#include "models/registry.h"

static clf_status read_vision(const clf_builder *b, clf_contrastive_side_desc *side, clf_error *err)
{
    double eps = 1e-5;

    CLF_TRY(clf_build_linear(b, "visual_projection", false, 0, NULL, &side->projection, err));
    const int64_t Dv = side->projection.weight.dim[1];

    CLF_TRY(clf_build_width(b, "vision_config.hidden_size", Dv, "the columns of visual_projection.weight", err));
    CLF_TRY(clf_build_width(b, "projection_dim", side->projection.weight.dim[0], "the rows of visual_projection.weight",
                            err));
    CLF_TRY(clf_config_float(b->config, "vision_config.layer_norm_eps", &eps, err));
    return clf_build_norm(b, "vision_model.post_layernorm", CLF_NORM_LAYER, Dv, eps, &side->norm, err);
}

static clf_status read_text(const clf_builder *b, int64_t P, clf_contrast_spec *spec, clf_error *err)
{
    clf_linear_layer *projection = &spec->contrast.text.projection;

    spec->text = CLF_TEXT_END;
    spec->end_id = 49407; /* transformers' default, and what CLIP's tokenizer gives out */
    CLF_TRY(clf_config_int(b->config, "text_config.eos_token_id", &spec->end_id, err));
    CLF_TRY(clf_build_linear(b, "text_projection", false, 0, NULL, projection, err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", projection->weight.dim[1],
                            "the columns of text_projection.weight", err));
    if (projection->weight.dim[0] != P)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: text_projection.weight has %" PRId64 " rows; want %" PRId64
                        ", as visual_projection.weight",
                        b->family, projection->weight.dim[0], P);
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_contrast_spec spec = clf_build_contrast_spec(b);

    CLF_TRY(read_vision(b, &spec.contrast.vision, err));
    CLF_TRY(read_text(b, spec.contrast.vision.projection.weight.dim[0], &spec, err));
    CLF_TRY(clf_build_logit_scale(b, &spec, err));
    return clf_build_contrast(b, &spec, CLF_VISION_FIRST, m, err);
}

const clf_family clf_family_clip = { .id = "clip", .spellings = { "clip_model" }, .build = build };
