/* clfusion's llava_fusion: projected picture, then embedded text.
 *
 * projector.proj.* (use_mlp false) or projector.mlp.{0, 2, ...}.*, and text_embed.weight [V, Dt]. */
#include <clfusion/llava_fusion.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "models/module.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_llava_fusion_model {
    clf_llava_fusion *fusion;
    uint64_t products; /* multiply-adds of one visual token */
} clf_llava_fusion_model;

enum { VISION, TEXT_IDS };
enum { FUSED, TOKENS };

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_llava_fusion_model *m = module;
    const clf_projector *projector = clf_llava_fusion_projector(m->fusion);
    const clf_tensor vision = call->in[VISION], fused = call->out[FUSED], tokens = call->out[TOKENS];

    if (!clf_present(fused)) {
        clf_projector_forward(s, projector, vision, tokens);
        return;
    }
    const int64_t M = clf_letters_find(&call->letters, "N")->value / clf_letters_find(&call->letters, "r")->value;
    const int64_t T = fused.dim[1] - M;

    clf_llava_fusion_forward(s, m->fusion, vision, call->ids[TEXT_IDS], T, fused);
    if (clf_present(tokens))
        clf_place(s, clf_slice(s, fused, 1, 0, M), tokens);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_llava_fusion_model *m = module;
    const clf_letter *r = clf_letters_find(&call->letters, "r");

    return 2 * m->products * (uint64_t)(clf_row_count(call->in[VISION]) / r->value);
}

static void destroy(void *module)
{
    clf_llava_fusion_model *m = module;

    if (m != NULL)
        clf_llava_fusion_destroy(m->fusion);
    clf_free(m);
}

static const clf_model_class fusion_class = {
    .module = "llava_fusion",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },
                { .name = "text_ids", .shape = "[B, T]", .kind = CLF_PORT_IDS } },
    .input_count = 2,
    .outputs = { { .name = "fused",
                   .shape = "[B, N/r + T, Dt]",
                   .needs = 1U << VISION | 1U << TEXT_IDS,
                   .dense_f32 = true },
                 { .name = "tokens", .shape = "[B, N/r, Dt]", .needs = 1U << VISION } },
    .output_count = 2,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

/* text_embed.weight [V, Dt], with vocab_size for V. */
static clf_status read_embedding(const clf_builder *b, clf_llava_fusion_desc *desc, clf_error *err)
{
    const clf_projector_desc *p = desc->projector;
    const int64_t Dt = p->layers[p->layer_count - 1].weight.dim[0];

    CLF_TRY(clf_build_tensor(b, "text_embed.weight", 2, &desc->text_embed, err));
    if (desc->text_embed.dim[1] != Dt)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: text_embed.weight is %s; want %" PRId64 " columns, as the projector "
                        "has rows",
                        b->family, CLF_HOST_TEXT(desc->text_embed), Dt);
    return clf_build_width(b, "vocab_size", desc->text_embed.dim[0], "the rows of text_embed.weight", err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc projector = clf_build_projector_desc(b);
    clf_llava_fusion_desc desc = clf_llava_fusion_desc_default();
    bool use_mlp = true;

    desc.projector = &projector;
    CLF_TRY(clf_config_bool(b->config, "use_mlp", &use_mlp, err));
    CLF_TRY(use_mlp ? clf_module_mlp(b, "projector.", &projector, err)
                    : clf_module_linear(b, "projector.", &projector, err));
    CLF_TRY(read_embedding(b, &desc, err));

    clf_llava_fusion_model *model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &fusion_class;
    m->module = model;
    model->products = clf_build_projector_products(&projector);
    CLF_TRY(clf_build_projector_facts(b, &projector, m, err));
    clf_build_count(m, desc.text_embed, b->storage);
    return clf_llava_fusion_create(b->ctx, &desc, &model->fusion, err);
}

const clf_family clf_family_llava_fusion = { .id = "llava_fusion", .module = true, .build = build };
