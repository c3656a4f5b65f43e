/* Models that are one projector: `tokens`, and `fused` with text.
 *
 * Families of the hub put the tokens at the placeholders of text_ids; clfusion's own modules put them first. */
#include <clfusion/projector.h>
#include <clfusion/splice.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "models/family.h"
#include "runtime/op.h"

typedef struct clf_projector_model {
    clf_projector *projector;
    uint64_t products; /* multiply-adds of one token */
    clf_placeholders ids;
} clf_projector_model;

enum { VISION, TEXT, TEXT_IDS };
enum { TOKENS, FUSED };

/* Text ids with one placeholder for pictures and videos: the splice knows one. */
static int64_t *unify_placeholders(clf_stream *s, const int64_t *ids, int64_t count, clf_placeholders placeholders)
{
    int64_t *unified = clf_alloc((size_t)count, sizeof *unified);

    if (unified == NULL)
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "fused: no host memory for %" PRId64 " text_ids", count);
    for (int64_t i = 0; unified != NULL && i < count; i++)
        unified[i] = ids[i] == placeholders.video ? placeholders.image : ids[i];
    return unified;
}

/* fused = text with the tokens at the placeholders. */
static void splice_forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_projector_model *m = module;
    const clf_tensor vision = call->in[VISION], text = call->in[TEXT], fused = call->out[FUSED];
    const int64_t Dt = clf_projector_text_width(m->projector);
    clf_tensor tokens = call->out[TOKENS];

    if (!clf_present(tokens))
        tokens = clf_scratch(s, fused.dtype, CLF_DIMS(vision.dim[0], vision.dim[1], Dt));
    clf_projector_forward(s, m->projector, vision, tokens);
    if (!clf_present(fused))
        return;

    int64_t *ids = unify_placeholders(s, call->ids[TEXT_IDS], clf_row_count(text), m->ids);
    clf_splice(s, clf_place_as(s, text, fused.dtype), ids, m->ids.image, clf_place_as(s, tokens, fused.dtype), fused);
    clf_free(ids);
}

/* fused = [tokens; text]: the projector writes its part of fused itself unless tokens are asked for too. */
static void concat_forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_projector_model *m = module;
    const clf_tensor vision = call->in[VISION], text = call->in[TEXT];
    const clf_tensor tokens = call->out[TOKENS], fused = call->out[FUSED];

    if (clf_present(tokens))
        clf_projector_forward(s, m->projector, vision, tokens);
    if (!clf_present(fused))
        return;

    const int64_t T = text.dim[1], M = fused.dim[1] - T;
    const clf_tensor head = clf_slice(s, fused, 1, 0, M);

    if (clf_present(tokens))
        clf_place(s, tokens, head);
    else
        clf_projector_forward(s, m->projector, vision, head);
    clf_place(s, text, clf_slice(s, fused, 1, M, T));
}

static uint64_t projector_flop(const void *module, const clf_call *call)
{
    const clf_projector_model *m = module;
    const clf_letter *r = clf_letters_find(&call->letters, "r");

    return 2 * m->products * (uint64_t)(clf_row_count(call->in[VISION]) / r->value);
}

static void projector_destroy(void *module)
{
    clf_projector_model *m = module;

    if (m != NULL)
        clf_projector_destroy(m->projector);
    clf_free(m);
}

static const clf_model_class splice_class = {
    .module = "projector",
    .inputs = { { "vision", "[B, N, Dv]", CLF_PORT_VALUES },
                { "text", "[B', T, Dt]", CLF_PORT_VALUES },
                { "text_ids", "[B', T]", CLF_PORT_IDS } },
    .input_count = 3,
    .outputs = { { "tokens", "[B, N, Dt]", 1U << VISION },
                 { "fused", "[B', T, Dt]", 1U << VISION | 1U << TEXT | 1U << TEXT_IDS } },
    .output_count = 2,
    .forward = splice_forward,
    .flop = projector_flop,
    .destroy = projector_destroy,
};

static const clf_model_class concat_class = {
    .module = "projector",
    .inputs = { { "vision", "[B, N, Dv]", CLF_PORT_VALUES }, { "text", "[B, T, Dt]", CLF_PORT_VALUES } },
    .input_count = 2,
    .outputs = { { "tokens", "[B, N/r, Dt]", 1U << VISION },
                 { "fused", "[B, N/r + T, Dt]", 1U << VISION | 1U << TEXT } },
    .output_count = 2,
    .forward = concat_forward,
    .flop = projector_flop,
    .destroy = projector_destroy,
};

clf_status clf_build_projector(const clf_builder *b, const clf_projector_desc *desc, const clf_placeholders *ids,
                               clf_model *m, clf_error *err)
{
    clf_projector_model *model = clf_alloc(1, sizeof *model);

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = ids != NULL ? &splice_class : &concat_class;
    m->module = model;
    model->products = clf_build_projector_products(desc);
    if (ids != NULL)
        model->ids = *ids;
    clf_build_projector_facts(desc, m);
    return clf_projector_create(b->ctx, desc, &model->projector, err);
}
