/* BLIP-2: tokens = language_projection(Q-Former(query_tokens, vision)).
 *
 * query_tokens, qformer.* (models/qformer_model.c; the norm is qformer.layernorm), language_projection.{weight [Dt, D],
 * bias}.  Checkpoints with heads for retrieval are models/blip2_retrieval.c's.
 *
 * Source: Li et al. 2023, arXiv:2301.12597; transformers' Blip2ForConditionalGeneration. */
#include <clfusion/qformer.h>

#include "core/error.h"
#include "core/shape.h"
#include "fusion/qformer.h"
#include "models/blip2.h"
#include "models/fused.h"
#include "models/registry.h"

enum { VISION, VISION_MASK, TEXT, TEXT_IDS };
enum { TOKENS, ATTENTION, FUSED };

const clf_qformer_place clf_blip2_place = {
    .prefix = "qformer.",
    .key = "qformer_config.",
    .embedding_norm = "qformer.layernorm",
    .queries = "query_tokens",
};

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_qformer_model *m = module;
    const clf_tensor vision = call->in[VISION], fused = call->out[FUSED];
    const int64_t B = vision.dim[0];
    const clf_qformer_pass pass = {
        .vision = vision,
        .vision_mask = call->ids[VISION_MASK],
        .B = B,
        .weights = clf_qformer_model_weights(s, call->out[ATTENTION], B),
    };
    const clf_tensor x = clf_qformer_model_run(s, m, &pass);
    clf_tensor tokens = call->out[TOKENS];

    clf_qformer_model_give(s, pass.weights, call->out[ATTENTION]);
    if (!clf_present(tokens) && clf_present(fused))
        tokens = clf_scratch(s, CLF_F32, CLF_DIMS(B, x.dim[1], fused.dim[2]));
    if (clf_present(tokens))
        clf_qformer_model_head(s, m->projection, x, tokens);
    if (clf_present(fused))
        clf_fused_splice(s, tokens, call->in[TEXT], call->ids[TEXT_IDS],
                         (clf_placeholders){ m->placeholder, m->placeholder }, fused);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_qformer_model *m = module;
    const clf_tensor vision = call->in[VISION];
    const int64_t rows = vision.dim[0] * clf_qformer_queries(m->qformer);
    const bool tokens = clf_present(call->out[TOKENS]) || clf_present(call->out[FUSED]);

    return clf_qformer_flop(m->qformer, vision.dim[0], vision.dim[1], 0, CLF_QFORMER_ITM) +
           (tokens ? clf_qformer_model_head_flop(m->projection, rows) : 0);
}

/* A picture of 224 pixels, patches of 14, and CLS. */
static int64_t example(const void *module, const char *letter)
{
    (void)module;
    return letter[0] == 'N' && letter[1] == '\0' ? 257 : 0;
}

#define IN(port) (1U << (port))
#define COMMON                                                                                                         \
    .module = "qformer",                                                                                               \
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },                                                           \
                { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS },                                    \
                CLF_FUSED_TEXT,                                                                                        \
                CLF_FUSED_TEXT_IDS },                                                                                  \
    .outputs = { { .name = "tokens", .shape = "[B, M, Dt]", .needs = IN(VISION), .may = IN(VISION_MASK) },             \
                 { .name = "attention", .needs = IN(VISION), .may = IN(VISION_MASK) },                                 \
                 { .name = "fused",                                                                                    \
                   .shape = CLF_FUSED_SHAPE,                                                                           \
                   .needs = IN(VISION) | IN(TEXT) | IN(TEXT_IDS),                                                      \
                   .may = IN(VISION_MASK) } },                                                                         \
    .forward = forward, .flop = flop, .example = example, .destroy = clf_qformer_model_destroy

/* With an image_token_index there is a place for the tokens among text. */
static const clf_model_class tokens_class = { .input_count = 2, .output_count = 2, COMMON };
static const clf_model_class fused_class = { .input_count = 4, .output_count = 3, COMMON };

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_qformer_model *model;
    clf_placeholders ids;
    bool retrieval;

    CLF_TRY(clf_blip2_is_retrieval(b, &retrieval, err));
    if (retrieval)
        return clf_blip2_build_retrieval(b, m, err);
    m->model_class = &tokens_class;
    CLF_TRY(clf_build_qformer(b, &clf_blip2_place, m, &model, err));
    CLF_TRY(clf_build_qformer_head(b, "language_projection", "Dt", m, &model->projection, err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", clf_linear_weight_out(model->projection),
                            "the rows of language_projection.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ -1, -1 }, &ids, err));
    model->placeholder = ids.image;
    clf_qformer_model_set_class(m, ids.image >= 0 ? &fused_class : &tokens_class, "[B, H, M, N]", "[B, H, M, M]");
    return CLF_OK;
}

const clf_family clf_family_blip2 = { .id = "blip-2", .spellings = { "blip2" }, .layered = true, .build = build };
