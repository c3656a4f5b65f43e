/* Models that are cross-attention layers.
 *
 * text [B, T, Dt], vision [B, N, Dv] or pictures [B, I, M, Dv], vision_mask [B, N], text_ids [B, T] or cross_mask
 * [B, T, I] -> hidden [B, T, Dt], attention [B, H, T, N] */
#include "models/cross_model.h"

#include <string.h>

#include <clfusion/gather.h>

#include "core/alloc.h"
#include "fusion/cross_attention.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "models/cross_sight.h"
#include "runtime/op.h"

/* ---- facts ---- */

clf_cross_products clf_cross_products_of(const clf_cross_attention_desc *desc)
{
    clf_cross_products p = { .media = clf_weight_products(&desc->media_projection) };

    for (int32_t i = 0; i < desc->layer_count; i++) {
        const clf_attention_layer_desc *a = &desc->layers[i].attention;
        const int64_t Hk = a->kv_heads != 0 ? a->kv_heads : a->heads;

        p.text += clf_attention_layer_products(a) + clf_feed_forward_products(&desc->layers[i].feed_forward);
        p.media += clf_attention_layer_context_products(a);
        p.pair += (uint64_t)(a->q.weight.dim[0] + a->v.weight.dim[0] / Hk * a->heads);
    }
    return p;
}

uint64_t clf_cross_flop(const clf_cross_products *p, int64_t B, int64_t T, int64_t K)
{
    const uint64_t rows = (uint64_t)T, keys = (uint64_t)K;

    return 2 * (uint64_t)B * (p->text * rows + p->media * keys + p->pair * rows * keys);
}

clf_cross_attention_desc clf_build_cross_desc(const clf_builder *b, clf_cross_form form)
{
    clf_cross_attention_desc desc = clf_cross_attention_desc_default();

    desc.form = form;
    desc.storage = b->storage;
    desc.source = b->source;
    return desc;
}

clf_status clf_build_cross_facts(const clf_builder *b, const clf_cross_attention_desc *desc, clf_model *m,
                                 clf_error *err)
{
    const clf_attention_layer_desc *first = &desc->layers[0].attention;

    clf_build_count_linear(m, &desc->media_projection, desc->storage);
    for (int32_t i = 0; i < desc->layer_count; i++) {
        const clf_attention_layer_desc *attention = &desc->layers[i].attention;
        clf_feed_forward_desc ff = desc->layers[i].feed_forward;

        if (ff.norm.weight.data == attention->norm.weight.data) /* one norm in two places */
            ff.norm = (clf_norm_desc){ .kind = CLF_NORM_NONE };
        clf_build_count_attention(m, attention, desc->storage);
        clf_build_count_feed_forward(m, &ff, desc->storage);
    }
    CLF_TRY(clf_build_letter(b, m, "Dt", clf_attention_layer_width(first), err));
    return clf_build_letter(b, m, "H", first->heads, err);
}

/* ---- forward ---- */

void clf_cross_model_forward(clf_stream *s, clf_cross_call call, clf_tensor text, clf_tensor media,
                             const clf_cross_options *rules, clf_tensor hidden, clf_tensor attention)
{
    clf_cross_options options = *rules;

    if (!clf_present(hidden))
        hidden = clf_scratch(s, CLF_F32, clf_tensor_dims(text));
    options.attention.weights = attention;
    if (call.first_alone)
        clf_cross_attention_first(s, call.layers, text, media, &options, hidden);
    else
        clf_cross_attention_stack(s, call.layers, text, media, &options, call.layer, hidden);
}

/* ---- clfusion's own modules ---- */

typedef struct clf_cross_model {
    clf_cross_attention *layers;
    int32_t layer; /* whose attention is given */
    bool residual; /* text that sees no picture passes unchanged */
    clf_cross_sight sight;
    clf_cross_products products;
} clf_cross_model;

enum { TEXT, VISION, VISION_MASK, TEXT_IDS, CROSS_MASK };
enum { HIDDEN, ATTENTION };

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_cross_model *m = module;

    return clf_cross_sight_bind(&m->sight, call, call->in[VISION], call->in[TEXT_IDS], call->in[CROSS_MASK], err);
}

static int64_t size_of(const clf_call *call, const char *letter)
{
    return clf_letters_find(&call->letters, letter)->value;
}

/* Pictures [B, I, M, Dv] one after another: [B, I M, Dv]. */
static clf_tensor rows_of(clf_stream *s, clf_tensor vision)
{
    if (vision.rank == 3)
        return vision;
    return clf_reshape(s, clf_place_dense(s, vision),
                       CLF_DIMS(vision.dim[0], vision.dim[1] * vision.dim[2], vision.dim[3]));
}

/* text, or a copy where `hidden` takes its place before rows of it are needed again. */
static clf_tensor keep(clf_stream *s, clf_tensor text, clf_tensor hidden)
{
    clf_tensor copy;

    if (text.mem != hidden.mem)
        return text;
    copy = clf_scratch(s, text.dtype, clf_tensor_dims(text));
    clf_place(s, text, copy);
    return copy;
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_cross_model *m = module;
    const clf_tensor text = call->in[TEXT], hidden = call->out[HIDDEN];
    const int64_t B = text.dim[0], N = size_of(call, "N");
    const clf_tensor vision = rows_of(s, call->in[VISION]);
    const clf_cross_view view = { call->ids[VISION_MASK], call->ids[TEXT_IDS], call->ids[CROSS_MASK], B, text.dim[1], N,
                                  size_of(call, "I") };
    clf_cross_options options = clf_cross_options_default();
    clf_tensor unseen, kept = { .mem = NULL };

    clf_cross_sight_rules(s, &m->sight, call->family, &view, &options.attention, &unseen);
    const bool passes = m->residual && clf_present(unseen) && clf_present(hidden);
    if (passes)
        kept = keep(s, text, hidden);
    clf_cross_model_forward(s, (clf_cross_call){ .layers = m->layers, .layer = m->layer }, text, vision, &options,
                            hidden, call->out[ATTENTION]);
    if (passes)
        clf_gather(s, clf_place_as(s, kept, hidden.dtype), unseen, hidden);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_cross_model *m = module;
    const clf_tensor text = call->in[TEXT];

    return clf_cross_flop(&m->products, text.dim[0], text.dim[1], size_of(call, "N"));
}

static void destroy(void *module)
{
    clf_cross_model *m = module;

    if (m != NULL)
        clf_cross_attention_destroy(m->layers);
    clf_free(m);
}

#define BOTH (1U << TEXT | 1U << VISION)
#define SIGHT (1U << VISION_MASK | 1U << TEXT_IDS | 1U << CROSS_MASK)

static const clf_model_class cross_class = {
    .module = "cross_attention",
    .inputs = { { .name = "text", .shape = "[B, T, Dt]" },
                { .name = "vision", .shape = "[B, N, Dv]|[B, I, M, Dv]" },
                { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS },
                { .name = "text_ids", .shape = "[B, T]", .kind = CLF_PORT_IDS },
                { .name = "cross_mask", .shape = "[B, T, I]", .kind = CLF_PORT_IDS } },
    .input_count = 5,
    .outputs = { { .name = "hidden", .shape = "[B, T, Dt]", .needs = BOTH, .may = SIGHT, .like = TEXT },
                 { .name = "attention", .shape = "[B, H, T, N]", .needs = BOTH, .may = SIGHT, .dense_f32 = true } },
    .output_count = 2,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

/* These layers have one kind of attention. */
static clf_status check_attention_of(const clf_builder *b, clf_error *err)
{
    const char *of = "cross";

    CLF_TRY(clf_config_text(b->config, "attention_of", &of, err));
    if (strcmp(of, "cross") != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: attention_of is %s; want cross", b->family,
                        clf_text_quote(of, strlen(of)).text);
    return CLF_OK;
}

clf_status clf_build_cross(const clf_builder *b, const clf_cross_attention_desc *desc, clf_model *m, clf_error *err)
{
    clf_cross_model *model = clf_alloc(1, sizeof *model);

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &cross_class;
    m->module = model;
    model->layer = b->layer == CLF_ALL_LAYERS ? 0 : b->layer;
    model->residual = desc->form == CLF_CROSS_RESIDUAL;
    model->products = clf_cross_products_of(desc);
    CLF_TRY(clf_build_cross_sight(b, &model->sight, err));
    CLF_TRY(clf_build_layer(b, desc->layer_count, err));
    CLF_TRY(check_attention_of(b, err));
    CLF_TRY(clf_build_cross_facts(b, desc, m, err));
    CLF_TRY(clf_cross_attention_create(b->ctx, desc, &model->layers, err));
    m->cross = model->layers;
    return clf_build_letter(b, m, "Dv", clf_cross_attention_media_width(model->layers), err);
}
