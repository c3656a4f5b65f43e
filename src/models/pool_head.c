/* Models of an attention pool that makes one vector of a picture: SigLIP's, CLIP's ResNets' and CoCa's. */
#include "models/pool_head.h"

#include <clfusion/l2_norm.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "fusion/transpose.h"
#include "fusion/weight.h"
#include "models/masks.h"
#include "runtime/op.h"

typedef struct clf_head_model {
    clf_attention_pool *pool;
    clf_linear_weight *projection; /* NULL: none */
    clf_pool_products products;
    bool mean, first_apart;
    float eps;
} clf_head_model;

enum { VISION, VISION_MASK };
enum { IMAGE_EMBEDS, TOKENS, ATTENTION };

/* embeds = row 0 of the pool, projected, over its norm. */
static void embed(clf_stream *s, const clf_head_model *m, clf_tensor rows, clf_tensor embeds)
{
    const int64_t B = rows.dim[0], P = embeds.dim[1];
    const clf_tensor first = clf_slice(s, rows, 1, 0, 1), unit = clf_scratch(s, CLF_F32, CLF_DIMS(B, 1, P));

    if (m->projection != NULL)
        clf_linear(s, first, m->projection, NULL, unit);
    else
        clf_place(s, first, unit);
    clf_l2_norm(s, unit, m->eps, unit);
    clf_place(s, clf_reshape(s, unit, CLF_DIMS(B, P)), embeds);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_head_model *m = module;
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS], attention = call->out[ATTENTION];
    const int64_t B = vision.dim[0], N = vision.dim[1], Q = clf_attention_pool_tokens(m->pool);
    const clf_tensor rows = clf_scratch(s, CLF_F32, CLF_DIMS(B, Q, clf_attention_pool_token_width(m->pool)));
    clf_attention_pool_options o = clf_attention_pool_options_default();

    o.unseen = CLF_UNSEEN_UNIFORM; /* as eager attention does */
    if (call->ids[VISION_MASK] != NULL)
        o.mask = clf_mask_upload(s, call->ids[VISION_MASK], CLF_DIMS(B, 1, 1, N));
    if (clf_present(attention))
        o.weights = clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_attention_pool_heads(m->pool), Q, m->mean ? N + 1 : N));
    clf_attention_pool_forward(s, m->pool, vision, &o, rows);
    if (clf_present(call->out[IMAGE_EMBEDS]))
        embed(s, m, rows, call->out[IMAGE_EMBEDS]);
    if (clf_present(tokens))
        clf_place(s, clf_slice(s, rows, 1, m->first_apart, tokens.dim[1]), tokens);
    if (clf_present(attention))
        clf_place(s, o.weights, attention);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_head_model *m = module;
    const uint64_t B = (uint64_t)call->in[VISION].dim[0], N = (uint64_t)(call->in[VISION].dim[1] + m->mean);
    const uint64_t Q = (uint64_t)clf_attention_pool_tokens(m->pool);
    uint64_t products = N * m->products.row + Q * m->products.query + N * Q * m->products.pair;

    if (m->projection != NULL && clf_present(call->out[IMAGE_EMBEDS]))
        products += (uint64_t)clf_linear_weight_in(m->projection) * (uint64_t)clf_linear_weight_out(m->projection);
    return 2 * B * products;
}

static void destroy(void *module)
{
    clf_head_model *m = module;

    if (m == NULL)
        return;
    clf_attention_pool_destroy(m->pool);
    clf_linear_weight_destroy(m->projection);
    clf_free(m);
}

#define VISION_BIT (1U << VISION)
#define MASK_BIT (1U << VISION_MASK)

#define OUTPUTS(may_use, attention_shape)                                                                              \
    {                                                                                                                  \
        { .name = "image_embeds", .shape = "[B, P]", .needs = VISION_BIT, .may = (may_use) },                          \
            { .name = "tokens", .shape = "[B, M, D]", .needs = VISION_BIT, .may = (may_use) },                         \
            { .name = "attention", .shape = (attention_shape), .needs = VISION_BIT, .may = (may_use) },                \
    }

static const clf_model_class plain_class = {
    .module = "attention_pool",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" } },
    .input_count = 1,
    .outputs = OUTPUTS(0, "[B, H, Q, N]"),
    .output_count = 3,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

static const clf_model_class masked_class = {
    .module = "attention_pool",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },
                { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS } },
    .input_count = 2,
    .outputs = OUTPUTS(MASK_BIT, "[B, H, Q, N]"),
    .output_count = 3,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

static const clf_model_class mean_class = {
    .module = "attention_pool",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" } },
    .input_count = 1,
    .outputs = OUTPUTS(0, "[B, H, Q, K]"),
    .output_count = 3,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

static clf_status make_letters(const clf_builder *b, const clf_head_spec *spec, const clf_head_model *m,
                               clf_model *model, clf_error *err)
{
    const int64_t D = clf_attention_pool_token_width(m->pool), Q = clf_attention_pool_tokens(m->pool);

    CLF_TRY(clf_build_letter(b, model, "Dv", clf_attention_pool_vision_width(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "D", D, err));
    CLF_TRY(clf_build_letter(b, model, "P", m->projection != NULL ? clf_linear_weight_out(m->projection) : D, err));
    CLF_TRY(clf_build_letter(b, model, "H", clf_attention_pool_heads(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "Q", Q, err));
    CLF_TRY(clf_build_letter(b, model, "M", spec->first_apart ? Q - 1 : Q, err));
    if (spec->rows == 0)
        return CLF_OK;
    CLF_TRY(clf_build_letter(b, model, "N", spec->rows, err));
    return clf_build_letter(b, model, "K", m->mean ? spec->rows + 1 : spec->rows, err);
}

static clf_status make_projection(const clf_builder *b, const clf_head_spec *spec, clf_head_model *m, clf_error *err)
{
    clf_linear_layer layer = { .bias = { 0 } };
    void *memory;
    clf_status status;

    if (spec->projection.dtype == CLF_DTYPE_NONE)
        return CLF_OK;
    CLF_TRY(clf_transpose("projection", spec->projection, &memory, &layer.weight, err));
    status = clf_weight_create(b->ctx, "projection", &layer, b->storage, NULL, &m->projection, err);
    clf_free(memory);
    return status;
}

clf_status clf_build_head(const clf_builder *b, const clf_head_spec *spec, clf_model *model, clf_error *err)
{
    clf_head_model *m = clf_alloc(1, sizeof *m);

    if (m == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->mean = spec->pool.queries.dtype == CLF_DTYPE_NONE;
    m->first_apart = spec->first_apart;
    m->eps = (float)spec->eps;
    m->products = clf_build_pool_products(&spec->pool);
    if (m->mean)
        m->products.query +=
            (uint64_t)spec->pool.attention.q.weight.dim[0] * (uint64_t)spec->pool.attention.q.weight.dim[1];
    model->model_class = m->mean ? &mean_class : spec->masked ? &masked_class : &plain_class;
    model->module = m;
    clf_build_pool_facts(&spec->pool, model);
    clf_build_count(model, spec->projection, b->storage);
    CLF_TRY(make_projection(b, spec, m, err));
    CLF_TRY(clf_attention_pool_create(b->ctx, &spec->pool, &m->pool, err));
    return make_letters(b, spec, m, model, err);
}
