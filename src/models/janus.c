/* Janus: an MLP of any depth behind the understanding tower.
 *
 * hub of transformers  aligner.fc1.{weight [P, Dv], bias}, aligner.hidden_layers.{i}.{weight [P, P], bias}
 * the authors' files   aligner.layers.{0, 2, ...}.{weight, bias}, or aligner.layers.{weight, bias}: one Linear
 *
 * Source: Wu et al. 2024, arXiv:2410.13848; transformers' JanusVisionAlignerMLP. */
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/registry.h"

/* fc1, then hidden_layers.0, .1, ... as far as there are weights. */
static clf_status read_hub_layers(const clf_builder *b, clf_projector_desc *desc, clf_error *err)
{
    char name[64], weight[80];
    bool more = true;

    CLF_TRY(clf_build_linear(b, "aligner.fc1", true, 0, NULL, &desc->layers[0], err));
    for (desc->layer_count = 1; more; desc->layer_count += more) {
        const int32_t i = desc->layer_count;

        clf_format(name, sizeof name, "aligner.hidden_layers.%d", (int)i - 1);
        clf_format(weight, sizeof weight, "%s.weight", name);
        CLF_TRY(clf_build_has(b, weight, &more, err));
        if (!more)
            break;
        if (i == CLF_PROJECTOR_MAX_LAYERS)
            return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: aligner has more than %d layers; want at most that many",
                            b->family, CLF_PROJECTOR_MAX_LAYERS);
        CLF_TRY(clf_build_linear(b, name, true, desc->layers[i - 1].weight.dim[0], "the rows of the layer before",
                                 &desc->layers[i], err));
    }
    return CLF_OK;
}

static clf_status read_layers(const clf_builder *b, clf_projector_desc *desc, clf_error *err)
{
    bool linear = false, sequence = false;

    CLF_TRY(clf_build_has(b, "aligner.layers.weight", &linear, err));
    CLF_TRY(clf_build_has(b, "aligner.layers.0.weight", &sequence, err));
    if (sequence)
        return clf_build_sequence(b, "aligner.layers", 2, desc, err);
    if (!linear)
        return read_hub_layers(b, desc, err);
    desc->layer_count = 1;
    return clf_build_linear(b, "aligner.layers", true, 0, NULL, &desc->layers[0], err);
}

/* Keys of the configuration class and of the authors' aligner_config. */
static clf_status check_config(const clf_builder *b, const clf_projector_desc *desc, clf_error *err)
{
    static const char *const in_keys[] = { "vision_config.hidden_size", "aligner_config.params.input_dim" };
    static const char *const out_keys[] = { "vision_config.projection_dim", "aligner_config.params.n_embed" };
    const int64_t in = desc->layers[0].weight.dim[1], out = desc->layers[desc->layer_count - 1].weight.dim[0];

    for (size_t i = 0; i < CLF_COUNT(in_keys); i++) {
        CLF_TRY(clf_build_width(b, in_keys[i], in, "the columns of aligner's first weight", err));
        CLF_TRY(clf_build_width(b, out_keys[i], out, "the rows of aligner's last weight", err));
    }
    CLF_TRY(clf_build_width(b, "vision_config.depth", desc->layer_count, "the layers of aligner", err));
    if (desc->layer_count == 1) /* the authors' "linear" has a depth too and ignores it */
        return CLF_OK;
    return clf_build_width(b, "aligner_config.params.depth", desc->layer_count, "the layers of aligner", err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    clf_placeholders ids;

    CLF_TRY(read_layers(b, &desc, err));
    CLF_TRY(check_config(b, &desc, err));
    CLF_TRY(clf_build_activation(b, "vision_config.hidden_act", &desc.activation, err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 100581, .video = 100581 }, &ids, err));
    return clf_build_projector(b, &desc, &ids, m, err);
}

const clf_family clf_family_janus = { .id = "janus", .spellings = { "multi_modality" }, .build = build };
