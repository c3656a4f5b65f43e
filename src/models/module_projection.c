/* clfusion's linear_projection and mlp_projection.
 *
 * linear_projection  proj.{weight [Dt, Dv], bias}
 * mlp_projection     mlp.0.{weight [hidden, r Dv], bias}, mlp.2.*, then 4, 6, ...; the last one has Dt rows
 *
 * Options that are not given come from the tensors; those that are given must agree with them. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "models/module.h"
#include "models/registry.h"

clf_status clf_module_linear(const clf_builder *b, const char *prefix, clf_projector_desc *desc, clf_error *err)
{
    char name[64], columns[96], rows[96];

    clf_format(name, sizeof name, "%sproj", prefix);
    clf_format(columns, sizeof columns, "the columns of %s.weight", name);
    clf_format(rows, sizeof rows, "the rows of %s.weight", name);
    CLF_TRY(clf_build_linear(b, name, true, 0, NULL, &desc->layers[0], err));
    desc->layer_count = 1;
    CLF_TRY(clf_build_width(b, "vision_dim", desc->layers[0].weight.dim[1], columns, err));
    return clf_build_width(b, "llm_dim", desc->layers[0].weight.dim[0], rows, err);
}

/* compress_ratio and vision_dim against the columns of the first weight: r Dv. */
static clf_status read_merge(const clf_builder *b, const char *name, clf_projector_desc *desc, clf_error *err)
{
    const int64_t in = desc->layers[0].weight.dim[1];
    char columns[128];

    CLF_TRY(clf_config_int(b->config, "compress_ratio", &desc->compress_ratio, err));
    if (desc->compress_ratio < 1 || in % desc->compress_ratio != 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: compress_ratio is %" PRId64 "; want a divisor of %" PRId64 ", the columns of %s.0.weight",
                        b->family, desc->compress_ratio, in, name);
    clf_format(columns, sizeof columns, "the %" PRId64 " columns of %s.0.weight over compress_ratio %" PRId64, in, name,
               desc->compress_ratio);
    return clf_build_width(b, "vision_dim", in / desc->compress_ratio, columns, err);
}

clf_status clf_module_mlp(const clf_builder *b, const char *prefix, clf_projector_desc *desc, clf_error *err)
{
    char name[64], rows[96], layers[96];

    clf_format(name, sizeof name, "%smlp", prefix);
    CLF_TRY(clf_build_sequence(b, name, 2, desc, err));
    CLF_TRY(read_merge(b, name, desc, err));
    clf_format(layers, sizeof layers, "the layers of %s", name);
    CLF_TRY(clf_build_width(b, "depth", desc->layer_count, layers, err));
    for (int32_t i = 0; i < desc->layer_count; i++) {
        const char *key = i + 1 < desc->layer_count ? "hidden_dim" : "llm_dim";

        clf_format(rows, sizeof rows, "the rows of %s.%d.weight", name, 2 * (int)i);
        CLF_TRY(clf_build_width(b, key, desc->layers[i].weight.dim[0], rows, err));
    }
    return clf_build_activation(b, "activation", &desc->activation, err);
}

static clf_status build_linear_projection(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);

    CLF_TRY(clf_module_linear(b, "", &desc, err));
    return clf_build_projector(b, &desc, NULL, m, err);
}

static clf_status build_mlp_projection(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);

    CLF_TRY(clf_module_mlp(b, "", &desc, err));
    return clf_build_projector(b, &desc, NULL, m, err);
}

const clf_family clf_family_linear_projection = {
    .id = "linear_projection",
    .module = true,
    .build = build_linear_projection,
};
const clf_family clf_family_mlp_projection = { .id = "mlp_projection", .module = true, .build = build_mlp_projection };
