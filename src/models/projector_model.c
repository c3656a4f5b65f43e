/* Models that are one projector: `tokens`, and `fused` with text.
 *
 * Families of the hub put the tokens at the placeholders of text_ids; clfusion's own modules put them first. */
#include <clfusion/projector.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "models/family.h"
#include "models/fused.h"
#include "runtime/op.h"

typedef struct clf_projector_model {
    clf_projector *projector;
    uint64_t products; /* multiply-adds of one token */
    clf_placeholders ids;
} clf_projector_model;

enum { VISION, TEXT, TEXT_IDS };
enum { TOKENS, FUSED };

/* fused = text with the tokens at the placeholders. */
static void splice_forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_projector_model *m = module;
    const clf_tensor vision = call->in[VISION], fused = call->out[FUSED];
    const int64_t Dt = clf_projector_text_width(m->projector);
    clf_tensor tokens = call->out[TOKENS];

    if (!clf_present(tokens))
        tokens = clf_scratch(s, fused.dtype, CLF_DIMS(vision.dim[0], vision.dim[1], Dt));
    clf_projector_forward(s, m->projector, vision, tokens);
    if (clf_present(fused))
        clf_fused_splice(s, tokens, call->in[TEXT], call->ids[TEXT_IDS], m->ids, fused);
}

/* fused = [tokens; text]: the projector writes its part of fused itself unless tokens are asked for too. */
static void concat_forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_projector_model *m = module;
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS], fused = call->out[FUSED];
    clf_tensor head = tokens;

    if (clf_present(fused))
        head = clf_fused_before_text(s, call->in[TEXT], fused);
    clf_projector_forward(s, m->projector, vision, clf_present(tokens) ? tokens : head);
    if (clf_present(fused) && clf_present(tokens))
        clf_place(s, tokens, head);
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
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_FUSED_TEXT, CLF_FUSED_TEXT_IDS },
    .input_count = 3,
    .outputs = { { .name = "tokens", .shape = "[B, N, Dt]", .needs = 1U << VISION },
                 { .name = "fused", .shape = CLF_FUSED_SHAPE, .needs = 1U << VISION | 1U << TEXT | 1U << TEXT_IDS } },
    .output_count = 2,
    .forward = splice_forward,
    .flop = projector_flop,
    .destroy = projector_destroy,
};

static const clf_model_class concat_class = {
    .module = "projector",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, { .name = "text", .shape = "[B, T, Dt]" } },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[B, N/r, Dt]", .needs = 1U << VISION },
                 { .name = "fused", .shape = "[B, N/r + T, Dt]", .needs = 1U << VISION | 1U << TEXT } },
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
    CLF_TRY(clf_build_projector_facts(b, desc, m, err));
    return clf_projector_create(b->ctx, desc, &model->projector, err);
}
