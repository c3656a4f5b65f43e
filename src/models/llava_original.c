/* LLaVA as its authors ship it: mm_projector, one Linear or mlpNx of any depth with the erf GELU between.
 *
 * linear   mm_projector.{weight [Dt, Dv], bias}
 * mlpNx    mm_projector.{0, 2, 4, ...}.{weight, bias}
 *
 * Source: Liu et al. 2023, arXiv:2304.08485 and 2310.03744; build_vision_projector of the authors' code. */
#include <string.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "core/shape.h"
#include "models/registry.h"

/* Number of layers that a type of mm_projector_type asks for: "linear" 1, "mlp3x_gelu" 3; 0: another type. */
static int32_t depth_of(const char *type)
{
    int32_t depth = 0;
    const char *c = type + 3;

    if (strcmp(type, "linear") == 0)
        return 1;
    if (strncmp(type, "mlp", 3) != 0)
        return 0;
    for (; *c >= '0' && *c <= '9' && depth < 100; c++)
        depth = depth * 10 + (*c - '0');
    return strcmp(c, "x_gelu") == 0 ? depth : 0;
}

/* mm_projector_type, if it is there, against the layers that the tensors have. */
static clf_status check_type(const clf_builder *b, int32_t layer_count, clf_error *err)
{
    const char *type = NULL;

    CLF_TRY(clf_config_text(b->config, "mm_projector_type", &type, err));
    if (type == NULL)
        return CLF_OK;
    if (depth_of(type) == 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "%s: mm_projector_type is %s, which is unsupported; want linear or "
                        "mlpNx_gelu",
                        b->family, clf_text_quote(type, strlen(type)).text);
    if (depth_of(type) != layer_count)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: mm_projector_type is %s; want %d layer%s, as mm_projector has tensors",
                        b->family, type, (int)layer_count, layer_count == 1 ? "" : "s");
    return CLF_OK;
}

static clf_status read_layers(const clf_builder *b, clf_projector_desc *desc, clf_error *err)
{
    bool linear = false;

    CLF_TRY(clf_build_has(b, "mm_projector.weight", &linear, err));
    if (!linear)
        return clf_build_sequence(b, "mm_projector", 2, desc, err);
    desc->layer_count = 1;
    return clf_build_linear(b, "mm_projector", true, 0, NULL, &desc->layers[0], err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    /* IMAGE_TOKEN_INDEX of the authors' code; here one id stands for each visual token, not for a whole picture. */
    const clf_placeholders defaults = { .image = -200, .video = -200 };
    clf_placeholders ids;

    CLF_TRY(read_layers(b, &desc, err));
    CLF_TRY(check_type(b, desc.layer_count, err));
    CLF_TRY(clf_build_width(b, "mm_hidden_size", desc.layers[0].weight.dim[1],
                            "the columns of mm_projector's first weight", err));
    CLF_TRY(clf_build_width(b, "hidden_size", desc.layers[desc.layer_count - 1].weight.dim[0],
                            "the rows of mm_projector's last weight", err));
    CLF_TRY(clf_build_placeholders(b, defaults, &ids, err));
    return clf_build_projector(b, &desc, &ids, m, err);
}

/* Hub files of both kinds say model_type llava; the tensors tell them apart. */
static clf_status matches(const clf_tensor_source *source, const clf_config *config, bool *match, clf_error *err)
{
    static const char *const names[] = { "mm_projector.weight", "mm_projector.0.weight" };

    (void)config;
    for (size_t i = 0; !*match && i < CLF_COUNT(names); i++) {
        clf_host_tensor t;
        CLF_TRY(clf_source_find(source, names[i], &t, err));
        *match = clf_host_present(t);
    }
    return CLF_OK;
}

const clf_family clf_family_llava_original = {
    .id = "llava_original",
    .spellings = { "llava", "llava_llama", "llava_mistral", "llava_mpt", "llava_qwen", "llava_gemma" },
    .matches = matches,
    .build = build,
};
