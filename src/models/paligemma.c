/* PaliGemma: one Linear.  multi_modal_projector.linear.{weight [Dt, Dv], bias}
 *
 * The features are not divided by sqrt(Dt): transformers 5 scales inside the embedding look-up, so the projector's
 * output stands among unscaled embeddings.
 * Source: Beyer et al. 2024, arXiv:2407.07726; transformers' PaliGemmaMultiModalProjector. */
#include "core/error.h"
#include "models/registry.h"

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    clf_placeholders ids;

    CLF_TRY(clf_build_linear(b, "multi_modal_projector.linear", true, 0, NULL, &desc.layers[0], err));
    desc.layer_count = 1;
    CLF_TRY(clf_build_width(b, "vision_config.hidden_size", desc.layers[0].weight.dim[1],
                            "the columns of multi_modal_projector.linear.weight", err));
    /* The configuration class overwrites vision_config.projection_dim with the one at top level. */
    const bool top = clf_config_has(b->config, "projection_dim");
    CLF_TRY(clf_build_width(b, top ? "projection_dim" : "vision_config.projection_dim", desc.layers[0].weight.dim[0],
                            "the rows of multi_modal_projector.linear.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 256000, .video = 256000 }, &ids, err));
    return clf_build_projector(b, &desc, &ids, m, err);
}

const clf_family clf_family_paligemma = { .id = "paligemma", .build = build };
