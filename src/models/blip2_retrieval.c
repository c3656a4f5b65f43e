/* BLIP-2's stage-one model: image-text contrast, matching, and the pass of generation.
 *
 * blip2.c's Q-Former with text (embeddings.*), vision_projection and text_projection.{weight [P, D], bias},
 * itm_head.{weight [2, D], bias}
 *
 *   image_embeds  L2(vision_projection(x)) of the M queries alone
 *   text_embeds   L2(text_projection(row 0)) of the text alone
 *   logits        max over the M queries of <image_embeds, text_embeds>; transformers does not divide by a temperature
 *   itm_logits    mean over the M queries of itm_head(x), queries and text together
 *   hidden        all rows under `objective`: itm, the default, itc or itg
 *
 * Source: Li et al. 2023, arXiv:2301.12597; transformers' Blip2ForImageTextRetrieval; LAVIS' Blip2Qformer for itg. */
#include <inttypes.h>
#include <string.h>

#include <clfusion/l2_norm.h>
#include <clfusion/scale.h>
#include <clfusion/similarity.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/shape.h"
#include "fusion/qformer.h"
#include "fusion/weight.h"
#include "models/blip2.h"
#include "runtime/op.h"

enum { VISION, VISION_MASK, TEXT_IDS, TEXT_MASK };
enum { LOGITS, IMAGE_EMBEDS, TEXT_EMBEDS, ITM_LOGITS, HIDDEN, ATTENTION };

#define EPS 1e-12F /* torch.nn.functional.normalize */

static bool wanted(const clf_call *call, int port)
{
    return clf_present(call->out[port]);
}

/* The same while planning, when out[] has no shapes yet. */
static bool asked(const clf_call *call, int port)
{
    return call->wanted[port] != SIZE_MAX;
}

/* Queries and text stand in one pass, so they have one batch. */
static bool joint(const clf_call *call)
{
    return asked(call, ITM_LOGITS) || asked(call, HIDDEN) ||
           (asked(call, ATTENTION) && clf_present(call->in[TEXT_IDS]));
}

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    (void)module;
    const clf_tensor vision = call->in[VISION], text = call->in[TEXT_IDS];

    if (joint(call) && clf_present(vision) && clf_present(text) && vision.dim[0] != text.dim[0])
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: text_ids has a batch of %" PRId64 "; want %" PRId64 ", that of vision: each text is "
                        "matched with its picture",
                        call->family, text.dim[0], vision.dim[0]);
    return CLF_OK;
}

/* ---- texts ---- */

/* The texts of a call without the M placeholders that transformers' processor puts before them where the configuration
 * has an image_token_index: its model drops them again. */
typedef struct clf_texts {
    const int64_t *ids, *mask; /* [B, T]; mask NULL: all ones */
    int64_t B, T;
    int64_t *copy[2]; /* behind ids and mask where placeholders were dropped */
} clf_texts;

static bool begin_with_placeholders(const clf_qformer_model *m, const int64_t *ids, int64_t B, int64_t T)
{
    const int64_t M = clf_qformer_queries(m->qformer);

    if (ids == NULL || m->placeholder < 0 || T <= M)
        return false;
    for (int64_t i = 0; i < B * M; i++)
        if (ids[i / M * T + i % M] != m->placeholder)
            return false;
    return true;
}

/* The last `keep` of the T columns in memory of their own; NULL of NULL. */
static int64_t *last_columns(clf_stream *s, const int64_t *rows, int64_t B, int64_t T, int64_t keep)
{
    int64_t *copy;

    if (rows == NULL)
        return NULL;
    copy = clf_alloc((size_t)(B * keep), sizeof *copy);
    if (copy == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "text_ids: no host memory for %" PRId64 " ids", B * keep);
    for (int64_t b = 0; copy != NULL && b < B; b++)
        memcpy(copy + b * keep, rows + b * T + T - keep, (size_t)keep * sizeof *copy);
    return copy;
}

/* The copies are the caller's to free, after an error too. */
static clf_texts texts_of(clf_stream *s, const clf_qformer_model *m, const clf_call *call)
{
    const clf_tensor ids = call->in[TEXT_IDS];
    clf_texts x = { .ids = call->ids[TEXT_IDS], .mask = call->ids[TEXT_MASK] };

    if (!clf_present(ids))
        return x;
    x.B = ids.dim[0];
    x.T = ids.dim[1];
    if (!begin_with_placeholders(m, x.ids, x.B, x.T))
        return x;
    if (wanted(call, HIDDEN) || (wanted(call, ATTENTION) && m->weights_of_self))
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT,
                    "retrieval: text_ids begins with %" PRId64 " times %" PRId64
                    ", the image_token_index; want none of them for "
                    "outputs with a row for each id",
                    clf_qformer_queries(m->qformer), m->placeholder);
    x.T -= clf_qformer_queries(m->qformer);
    x.ids = x.copy[0] = last_columns(s, x.ids, x.B, ids.dim[1], x.T);
    x.mask = x.copy[1] = last_columns(s, x.mask, x.B, ids.dim[1], x.T);
    return x;
}

/* ---- passes ---- */

static clf_qformer_pass queries_alone(const clf_call *call)
{
    return (clf_qformer_pass){
        .vision = call->in[VISION],
        .vision_mask = call->ids[VISION_MASK],
        .B = call->in[VISION].dim[0],
    };
}

static clf_qformer_pass text_alone(const clf_texts *texts)
{
    return (clf_qformer_pass){ .text_ids = texts->ids, .text_mask = texts->mask, .B = texts->B, .T = texts->T };
}

static clf_qformer_pass together(const clf_call *call, const clf_texts *texts, clf_qformer_objective objective)
{
    clf_qformer_pass pass = text_alone(texts);

    pass.vision = call->in[VISION];
    pass.vision_mask = call->ids[VISION_MASK];
    pass.objective = objective;
    return pass;
}

/* ---- heads ---- */

/* L2(head(x)), [.., P] in scratch. */
static clf_tensor embed(clf_stream *s, const clf_linear_weight *head, clf_tensor x)
{
    const clf_tensor y = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], x.dim[1], clf_linear_weight_out(head)));

    clf_linear(s, x, head, NULL, y);
    clf_l2_norm(s, y, EPS, y);
    return y;
}

/* The mean of head over M rows is its sum over their M D numbers, divided: one product with the weight side by side M
 * times, as pack_itm has it.  x [B, R, D], dense. */
static void match(clf_stream *s, const clf_qformer_model *m, clf_tensor x, clf_tensor itm_logits)
{
    const int64_t M = clf_qformer_queries(m->qformer), D = x.dim[2];
    const clf_tensor sums = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], 2));
    clf_tensor rows = x;

    rows.rank = 2;
    rows.dim[1] = M * D;
    rows.stride[1] = 1;
    clf_linear(s, rows, m->itm_head, NULL, sums);
    clf_scale(s, sums, 1.0F / (float)M, sums);
    clf_qformer_model_give(s, sums, itm_logits);
}

static void contrast(clf_stream *s, const clf_qformer_model *m, const clf_call *call, const clf_texts *text)
{
    const clf_tensor none = { 0 };
    clf_tensor images = none, texts = none;

    if (wanted(call, LOGITS) || wanted(call, IMAGE_EMBEDS)) {
        const clf_qformer_pass pass = queries_alone(call);

        images = embed(s, m->vision_projection, clf_qformer_model_run(s, m, &pass));
        clf_qformer_model_give(s, images, call->out[IMAGE_EMBEDS]);
    }
    if (wanted(call, LOGITS) || wanted(call, TEXT_EMBEDS)) {
        const clf_qformer_pass pass = text_alone(text);

        texts = embed(s, m->text_projection, clf_slice(s, clf_qformer_model_run(s, m, &pass), 1, 0, 1));
        texts = clf_reshape(s, texts, CLF_DIMS(texts.dim[0], texts.dim[2]));
        clf_qformer_model_give(s, texts, call->out[TEXT_EMBEDS]);
    }
    if (wanted(call, LOGITS)) {
        const clf_tensor logits = clf_scratch(s, CLF_F32, CLF_DIMS(images.dim[0], texts.dim[0]));

        clf_similarity(s, images, texts, 1.0F, logits);
        clf_qformer_model_give(s, logits, call->out[LOGITS]);
    }
}

/* hidden and the attention under the objective; itm_logits from the same pass when that is matching. */
static void fuse(clf_stream *s, const clf_qformer_model *m, const clf_call *call, const clf_texts *text)
{
    const bool itm = m->objective == CLF_QFORMER_ITM, shown = wanted(call, ATTENTION);

    if (wanted(call, HIDDEN) || shown || (itm && wanted(call, ITM_LOGITS))) {
        clf_qformer_pass pass = text->B > 0 ? together(call, text, m->objective) : queries_alone(call);

        pass.weights = clf_qformer_model_weights(s, call->out[ATTENTION], pass.B);
        const clf_tensor x = clf_qformer_model_run(s, m, &pass);

        clf_qformer_model_give(s, x, call->out[HIDDEN]);
        clf_qformer_model_give(s, pass.weights, call->out[ATTENTION]);
        if (itm && wanted(call, ITM_LOGITS))
            match(s, m, x, call->out[ITM_LOGITS]);
    }
    if (!itm && wanted(call, ITM_LOGITS)) {
        const clf_qformer_pass pass = together(call, text, CLF_QFORMER_ITM);

        match(s, m, clf_qformer_model_run(s, m, &pass), call->out[ITM_LOGITS]);
    }
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_texts text = texts_of(s, module, call);

    contrast(s, module, call, &text);
    fuse(s, module, call, &text);
    clf_free(text.copy[0]);
    clf_free(text.copy[1]);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_qformer_model *m = module;
    const clf_tensor vision = call->in[VISION], text = call->in[TEXT_IDS];
    const int64_t I = clf_present(vision) ? vision.dim[0] : 0, J = clf_present(text) ? text.dim[0] : 0;
    const int64_t N = I > 0 ? vision.dim[1] : 0, T = J > 0 ? text.dim[1] : 0, M = clf_qformer_queries(m->qformer);
    const bool logits = wanted(call, LOGITS);
    uint64_t count = 0;

    if (logits || wanted(call, IMAGE_EMBEDS))
        count += clf_qformer_flop(m->qformer, I, N, 0, CLF_QFORMER_ITC) +
                 clf_qformer_model_head_flop(m->vision_projection, I * M);
    if (logits || wanted(call, TEXT_EMBEDS))
        count +=
            clf_qformer_flop(m->qformer, J, 0, T, CLF_QFORMER_ITM) + clf_qformer_model_head_flop(m->text_projection, J);
    if (logits)
        count += 2 * (uint64_t)(I * M * J) * (uint64_t)clf_linear_weight_out(m->vision_projection);
    if (wanted(call, HIDDEN) || wanted(call, ATTENTION) ||
        (m->objective == CLF_QFORMER_ITM && wanted(call, ITM_LOGITS)))
        count += clf_qformer_flop(m->qformer, I, N, T, m->objective);
    if (wanted(call, ITM_LOGITS))
        count += clf_qformer_model_head_flop(m->itm_head, I) +
                 (m->objective != CLF_QFORMER_ITM ? clf_qformer_flop(m->qformer, I, N, T, CLF_QFORMER_ITM) : 0);
    return count;
}

/* A picture of 224 pixels with CLS. */
static int64_t example(const void *module, const char *letter)
{
    (void)module;
    return letter[0] == 'N' && letter[1] == '\0' ? 257 : 0;
}

#define IN(port) (1U << (port))
#define OF_PICTURES .needs = IN(VISION), .may = IN(VISION_MASK)
#define OF_TEXTS .needs = IN(TEXT_IDS), .may = IN(TEXT_MASK)
#define OF_BOTH .needs = IN(VISION) | IN(TEXT_IDS), .may = IN(VISION_MASK) | IN(TEXT_MASK)

static const clf_model_class retrieval_class = {
    .module = "qformer",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },
                { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS },
                { .name = "text_ids", .shape = "[Bt, T]", .kind = CLF_PORT_IDS },
                { .name = "text_mask", .shape = "[Bt, T]", .kind = CLF_PORT_IDS } },
    .input_count = 4,
    .outputs = { { .name = "logits", .shape = "[B, Bt]", OF_BOTH },
                 { .name = "image_embeds", .shape = "[B, M, P]", OF_PICTURES },
                 { .name = "text_embeds", .shape = "[Bt, P]", OF_TEXTS },
                 { .name = "itm_logits", .shape = "[B, 2]", OF_BOTH },
                 { .name = "hidden", .shape = "[B, M + T, D]", OF_BOTH },
                 { .name = "attention", .needs = IN(VISION), .may = IN(VISION_MASK) | IN(TEXT_IDS) | IN(TEXT_MASK) } },
    .output_count = 6,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .example = example,
    .destroy = clf_qformer_model_destroy,
};

/* ---- building ---- */

clf_status clf_blip2_is_retrieval(const clf_builder *b, bool *retrieval, clf_error *err)
{
    static const char *const heads[] = { "vision_projection.weight", "text_projection.weight", "itm_head.weight" };

    *retrieval = false;
    for (size_t i = 0; i < CLF_COUNT(heads) && !*retrieval; i++)
        CLF_TRY(clf_build_has(b, heads[i], retrieval, err));
    return CLF_OK;
}

/* itm_head [2, D] as [2, M D], the weight M times side by side, and M times the bias: what match() divides by M. */
static clf_status pack_itm(const clf_builder *b, const clf_linear_layer *head, int64_t M, clf_linear_weight **packed,
                           clf_error *err)
{
    const size_t row = (size_t)head->weight.dim[1] * clf_dtype_bytes(head->weight.dtype);
    char *tiled = clf_alloc(2 * (size_t)M, row);
    float bias[2] = { 0 };
    clf_linear_layer wide = *head;
    clf_status status;

    if (tiled == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for itm_head", b->family);
    for (size_t i = 0; i < 2 * (size_t)M; i++)
        memcpy(tiled + i * row, (const char *)head->weight.data + i / (size_t)M * row, row);
    for (size_t i = 0; i < 2; i++)
        bias[i] = (float)((double)M * clf_host_value(head->bias.data, head->bias.dtype, i));
    wide.weight.data = tiled;
    wide.weight.dim[1] *= M;
    wide.bias = (clf_host_tensor){ .data = bias, .dtype = CLF_F32, .rank = 1, .dim = { 2 } };
    status = clf_weight_create(b->ctx, "itm_head", &wide, b->storage, NULL, packed, err);
    clf_free(tiled);
    return status;
}

/* Each parameter once; on the device are M copies of the weight. */
static void count_itm(const clf_builder *b, const clf_linear_layer *head, int64_t M, clf_model *m)
{
    clf_model weight = { .parameters = 0 };

    clf_build_count(&weight, head->weight, b->storage);
    clf_build_count_linear(m, head, b->storage);
    m->weight_bytes += (uint64_t)(M - 1) * weight.weight_bytes;
}

static clf_status build_itm(const clf_builder *b, clf_model *m, clf_qformer_model *model, clf_error *err)
{
    clf_linear_layer head = { 0 };

    CLF_TRY(clf_build_linear(b, "itm_head", true, clf_qformer_width(model->qformer), "the width of the queries", &head,
                             err));
    if (head.weight.dim[0] != 2)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: itm_head.weight is %s; want 2 rows, no match and match", b->family,
                        CLF_HOST_TEXT(head.weight));
    count_itm(b, &head, clf_qformer_queries(model->qformer), m);
    return pack_itm(b, &head, clf_qformer_queries(model->qformer), &model->itm_head, err);
}

static clf_status check_projections(const clf_builder *b, const clf_qformer_model *model, clf_error *err)
{
    const int64_t P = clf_linear_weight_out(model->vision_projection);

    if (clf_linear_weight_out(model->text_projection) != P)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: text_projection.weight has %" PRId64 " rows; want %" PRId64
                        ", as vision_projection.weight",
                        b->family, clf_linear_weight_out(model->text_projection), P);
    return clf_build_width(b, "image_text_hidden_size", P, "the rows of vision_projection.weight", err);
}

clf_status clf_blip2_build_retrieval(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_qformer_place place = clf_blip2_place;
    clf_qformer_model *model;
    clf_placeholders ids;
    bool text = true;

    m->model_class = &retrieval_class;
    CLF_TRY(clf_config_bool(b->config, "qformer_config.use_qformer_text_input", &text, err));
    if (!text)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: qformer_config.use_qformer_text_input is false; want true: the checkpoint has heads for "
                        "retrieval, which need text",
                        b->family);
    place.words = "embeddings.";
    CLF_TRY(clf_build_qformer(b, &place, m, &model, err));
    CLF_TRY(clf_build_qformer_head(b, "vision_projection", "P", m, &model->vision_projection, err));
    CLF_TRY(clf_build_qformer_head(b, "text_projection", NULL, m, &model->text_projection, err));
    CLF_TRY(check_projections(b, model, err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = -1, .video = -1 }, &ids, err));
    model->placeholder = ids.image;
    clf_qformer_model_set_class(m, &retrieval_class, "[B, H, M, N]", "[B, H, M + T, M + T] | [B, H, M, M]");
    return build_itm(b, m, model, err);
}
