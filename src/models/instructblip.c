/* InstructBLIP, for pictures and videos: BLIP-2's Q-Former that reads the instruction beside its queries.
 *
 * tokens = language_projection(the queries' rows of Q-Former([query_tokens; instruction], vision)), of a video frame by
 * frame with the same instruction, one frame after another.
 *
 * query_tokens, qformer.* (models/qformer_model.c; words and norm under qformer.embeddings), language_projection.
 * text_ids are the Q-Former's own ids, llm_ids those of the language model, where the placeholders stand.
 *
 * Source: Dai et al. 2023, arXiv:2305.06500; transformers' InstructBlipForConditionalGeneration and
 * InstructBlipVideoForConditionalGeneration. */
#include <inttypes.h>
#include <string.h>

#include <clfusion/qformer.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "fusion/place.h"
#include "fusion/qformer.h"
#include "models/fused.h"
#include "models/qformer_model.h"
#include "models/registry.h"
#include "runtime/op.h"

enum { VISION, VISION_MASK, TEXT_IDS, TEXT_MASK, TEXT, LLM_IDS };
enum { TOKENS, ATTENTION, FUSED };

static const clf_qformer_place instructblip_place = {
    .prefix = "qformer.",
    .key = "qformer_config.",
    .embedding_norm = "qformer.embeddings.layernorm",
    .words = "qformer.embeddings.",
    .queries = "query_tokens",
};

/* vision [B, N, Dv] or [B, F, N, Dv]. */
static int64_t frames(const clf_call *call)
{
    return call->in[VISION].rank == 4 ? call->in[VISION].dim[1] : 1;
}

static int64_t pictures(const clf_call *call)
{
    return call->in[VISION].dim[0] * frames(call);
}

/* [B, T] with each row F times: *copy is the caller's to free, NULL where there is nothing to repeat. */
static const int64_t *repeat_rows(clf_stream *s, const int64_t *rows, int64_t B, int64_t F, int64_t T, int64_t **copy)
{
    *copy = NULL;
    if (rows == NULL || F == 1)
        return rows;
    *copy = clf_alloc((size_t)(B * F * T), sizeof **copy);
    if (*copy == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "text_ids: no host memory for %" PRId64 " times %" PRId64 " ids", F, B * T);
    for (int64_t i = 0; *copy != NULL && i < B * F; i++)
        memcpy(*copy + i * T, rows + i / F * T, (size_t)T * sizeof **copy);
    return *copy;
}

/* The Q-Former over all pictures or frames; the queries' rows, [B F, M, D]. */
static clf_tensor run(clf_stream *s, const clf_qformer_model *m, const clf_call *call)
{
    const clf_tensor vision = call->in[VISION];
    const int64_t B = vision.dim[0], F = frames(call), T = call->in[TEXT_IDS].dim[1];
    const clf_dims flat = CLF_DIMS(B * F, clf_dim(vision, -2), clf_dim(vision, -1));
    clf_qformer_pass pass = { .B = B * F, .T = T, .vision_mask = call->ids[VISION_MASK] };
    int64_t *ids, *mask;
    clf_tensor x;

    pass.vision = F == 1 && vision.rank == 3 ? vision : clf_reshape(s, clf_place_dense(s, vision), flat);
    pass.weights = clf_qformer_model_weights(s, call->out[ATTENTION], B * F);
    pass.text_ids = repeat_rows(s, call->ids[TEXT_IDS], B, F, T, &ids);
    pass.text_mask = repeat_rows(s, call->ids[TEXT_MASK], B, F, T, &mask);
    x = clf_qformer_model_run(s, m, &pass);
    clf_free(ids);
    clf_free(mask);
    clf_qformer_model_give(s, pass.weights, call->out[ATTENTION]);
    return clf_slice(s, x, 1, 0, clf_qformer_queries(m->qformer));
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_qformer_model *m = module;
    const clf_tensor x = run(s, m, call), fused = call->out[FUSED];
    const clf_tensor tokens =
        clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], x.dim[1], clf_linear_weight_out(m->projection)));

    if (!clf_present(call->out[TOKENS]) && !clf_present(fused))
        return;
    clf_linear(s, x, m->projection, NULL, tokens);
    clf_qformer_model_give(s, tokens, call->out[TOKENS]);
    if (clf_present(fused))
        clf_fused_splice(s, tokens, call->in[TEXT], call->ids[LLM_IDS],
                         (clf_placeholders){ m->placeholder, m->placeholder }, fused);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_qformer_model *m = module;
    const int64_t BF = pictures(call), N = clf_dim(call->in[VISION], -2), T = call->in[TEXT_IDS].dim[1];
    const bool tokens = clf_present(call->out[TOKENS]) || clf_present(call->out[FUSED]);

    return clf_qformer_flop(m->qformer, BF, N, T, CLF_QFORMER_ITM) +
           (tokens ? clf_qformer_model_head_flop(m->projection, BF * clf_qformer_queries(m->qformer)) : 0);
}

/* Pictures of 224 pixels with CLS; a video has four frames. */
static int64_t example(const void *module, const char *letter)
{
    (void)module;
    if (letter[1] != '\0')
        return 0;
    return letter[0] == 'N' ? 257 : letter[0] == 'F' ? 4 : 0;
}

#define IN(port) (1U << (port))
#define NEEDS IN(VISION) | IN(TEXT_IDS)
#define MAY IN(VISION_MASK) | IN(TEXT_MASK)
#define INPUTS(of_picture)                                                                                             \
    .inputs = {                                                                                                        \
        { .name = "vision", .shape = of_picture ", Dv]" },                                                             \
        { .name = "vision_mask", .shape = of_picture "]", .kind = CLF_PORT_IDS },                                      \
        { .name = "text_ids", .shape = "[B, T]", .kind = CLF_PORT_IDS },                                               \
        { .name = "text_mask", .shape = "[B, T]", .kind = CLF_PORT_IDS },                                              \
        { .name = "text", .shape = "[B', T', Dt]" },                                                                   \
        { .name = "llm_ids", .shape = "[B', T']", .kind = CLF_PORT_IDS },                                              \
    }
#define OUTPUTS(tokens)                                                                                                \
    .outputs = {                                                                                                       \
        { .name = "tokens", .shape = tokens, .needs = NEEDS, .may = MAY },                                             \
        { .name = "attention", .needs = NEEDS, .may = MAY },                                                           \
        { .name = "fused", .shape = "[B', T', Dt]", .needs = NEEDS | IN(TEXT) | IN(LLM_IDS), .may = MAY },             \
    }
#define COMMON                                                                                                         \
    .module = "qformer", .forward = forward, .flop = flop, .example = example, .destroy = clf_qformer_model_destroy
#define PICTURE INPUTS("[B, N"), OUTPUTS("[B, M, Dt]"), COMMON
#define VIDEO INPUTS("[B, F, N"), OUTPUTS("[B, F*M, Dt]"), COMMON

/* With a placeholder there is a place for the tokens among text. */
static const clf_model_class picture_class = { .input_count = 4, .output_count = 2, PICTURE };
static const clf_model_class picture_fused_class = { .input_count = 6, .output_count = 3, PICTURE };
static const clf_model_class video_class = { .input_count = 4, .output_count = 2, VIDEO };
static const clf_model_class video_fused_class = { .input_count = 6, .output_count = 3, VIDEO };

static clf_status build_model(const clf_builder *b, const clf_model_class *plain, const clf_model_class *fused,
                              clf_model *m, clf_error *err)
{
    const bool video = plain == &video_class;
    clf_placeholders ids;
    clf_qformer_model *model;

    m->model_class = plain;
    CLF_TRY(clf_build_qformer(b, &instructblip_place, m, &model, err));
    CLF_TRY(clf_build_qformer_head(b, "language_projection", "Dt", m, &model->projection, err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", clf_linear_weight_out(model->projection),
                            "the rows of language_projection.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = -1, .video = -2 }, &ids, err));
    model->placeholder = video ? ids.video : ids.image;
    clf_qformer_model_set_class(m, model->placeholder >= 0 ? fused : plain, video ? "[B, F, H, M, N]" : "[B, H, M, N]",
                                video ? "[B, F, H, M + T, M + T]" : "[B, H, M + T, M + T]");
    return CLF_OK;
}

static clf_status build_picture(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build_model(b, &picture_class, &picture_fused_class, m, err);
}

static clf_status build_video(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build_model(b, &video_class, &video_fused_class, m, err);
}

const clf_family clf_family_instructblip = { .id = "instructblip", .layered = true, .build = build_picture };
const clf_family clf_family_instructblipvideo = {
    .id = "instructblipvideo", .spellings = { "instructblip_video" }, .layered = true, .build = build_video
};
