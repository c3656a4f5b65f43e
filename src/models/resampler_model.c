/* Models that are one resampler: tokens, the attention of a layer, and tokens among text. */
#include "models/resampler_model.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/attention_layer.h"
#include "fusion/feed_forward.h"
#include "fusion/weight.h"
#include "models/fused.h"
#include "models/masks.h"
#include "runtime/op.h"

#define NAME_BYTES 160

enum { VISION, INPUTS_MAX = 4 };
enum { TOKENS, ATTENTION, FUSED };

typedef struct resampler_model {
    clf_model_class class; /* what it takes and gives depends on the family */
    clf_resampler *resampler;
    clf_resampler_cost cost;
    clf_placeholders ids;
    size_t mask, text, text_ids; /* input ports; 0: none */
    int32_t layer;
    bool of_self;
} resampler_model;

/* ---- counts ---- */

/* H (D + E): a query with a key, and the key's value. */
static uint64_t pair_products(const clf_attention_layer_desc *a)
{
    const int64_t Hk = a->kv_heads != 0 ? a->kv_heads : a->heads;

    return (uint64_t)(a->q.weight.dim[0] + a->v.weight.dim[0] / Hk * a->heads);
}

/* What the first layer asks is made with the module, unless self-attention stands before it. */
static bool asks_at_first(const clf_resampler_desc *d, int32_t i)
{
    return i == 0 && !clf_host_present(d->layers[0].self.q.weight);
}

clf_resampler_cost clf_resampler_cost_of(const clf_resampler_desc *d)
{
    clf_resampler_cost cost = { .M = d->latents.dim[d->latents.rank - 2], .latents_in_context = d->latents_in_context };

    cost.vision_row = clf_weight_products(&d->input) + clf_feed_forward_products(&d->input_feed_forward);
    cost.latent_row = clf_weight_products(&d->output);
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_resampler_layer_desc *l = &d->layers[i];
        const uint64_t keys = clf_attention_layer_context_products(&l->cross);

        cost.vision_row += keys;
        cost.latent_row += clf_attention_layer_products(&l->cross) + clf_feed_forward_products(&l->feed_forward);
        if (asks_at_first(d, i))
            cost.latent_row -= clf_weight_products(&l->cross.q);
        else if (d->latents_in_context)
            cost.latent_row += keys;
        cost.pair += pair_products(&l->cross);
        if (!clf_host_present(l->self.q.weight))
            continue;
        cost.latent_row += clf_attention_layer_products(&l->self) + clf_attention_layer_context_products(&l->self);
        cost.self_pair += pair_products(&l->self);
    }
    return cost;
}

uint64_t clf_resampler_flop(const clf_resampler_cost *c, int64_t B, int64_t N)
{
    const uint64_t M = (uint64_t)c->M, n = (uint64_t)N, keys = c->latents_in_context ? n + M : n;

    return 2 * (uint64_t)B * (n * c->vision_row + M * (c->latent_row + keys * c->pair + M * c->self_pair));
}

static uint64_t bytes_of(clf_host_tensor t, clf_dtype storage)
{
    clf_model alone = { .parameters = 0 };

    clf_build_count(&alone, t, storage);
    return alone.weight_bytes;
}

/* The bytes of a layer's cross-attention beside one copy of each weight. */
static void correct_bytes(clf_model *m, const clf_resampler_desc *d, int32_t i)
{
    const clf_attention_layer_desc *a = &d->layers[i].cross;
    const int64_t M = d->latents.dim[d->latents.rank - 2];
    int64_t asked = a->q.weight.dim[0];

    if (!asks_at_first(d, i)) {
        if (d->latents_in_context)
            m->weight_bytes += bytes_of(a->k.weight, d->storage) + bytes_of(a->v.weight, d->storage);
        return;
    }
    if (d->latents_in_context)
        asked += a->k.weight.dim[0] + a->v.weight.dim[0];
    m->weight_bytes += (uint64_t)(M * asked) * sizeof(float);
    m->weight_bytes -= bytes_of(a->q.weight, d->storage) + bytes_of(a->q.bias, CLF_F32) +
                       bytes_of(a->norm.weight, CLF_F32) + bytes_of(a->norm.bias, CLF_F32);
}

void clf_build_count_resampler(clf_model *m, const clf_resampler_desc *d)
{
    clf_build_count_f32(m, d->latents);
    clf_build_count_linear(m, &d->input, d->storage);
    clf_build_count_feed_forward(m, &d->input_feed_forward, d->storage);
    clf_build_count_norm(m, &d->input_norm);
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_resampler_layer_desc *l = &d->layers[i];

        clf_build_count_attention(m, &l->self, d->storage);
        clf_build_count_attention(m, &l->cross, d->storage);
        clf_build_count_norm(m, &l->context_norm);
        clf_build_count_feed_forward(m, &l->feed_forward, d->storage);
        correct_bytes(m, d, i);
    }
    clf_build_count_norm(m, &d->final_norm);
    clf_build_count_linear(m, &d->output, d->storage);
}

/* ---- the class ---- */

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const resampler_model *m = module;
    const clf_tensor vision = call->in[VISION], fused = call->out[FUSED];
    const int64_t B = vision.dim[0], N = vision.dim[1], M = clf_resampler_tokens(m->resampler);
    clf_resampler_options options = clf_resampler_options_default();
    clf_tensor tokens = call->out[TOKENS];

    if (m->mask != 0 && call->ids[m->mask] != NULL)
        options.mask = clf_mask_upload(s, call->ids[m->mask], CLF_DIMS(B, 1, 1, N));
    options.unseen = CLF_UNSEEN_UNIFORM;
    options.weights = call->out[ATTENTION];
    options.weights_of = m->layer;
    options.weights_of_self = m->of_self;
    if (!clf_present(tokens))
        tokens = clf_scratch(s, CLF_F32, CLF_DIMS(B, M, clf_resampler_token_width(m->resampler)));
    clf_resampler_forward(s, m->resampler, vision, &options, tokens);
    if (clf_present(fused))
        clf_fused_splice(s, tokens, call->in[m->text], call->ids[m->text_ids], m->ids, fused);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const resampler_model *m = module;

    return clf_resampler_flop(&m->cost, call->in[VISION].dim[0], call->in[VISION].dim[1]);
}

static void destroy(void *module)
{
    resampler_model *m = module;

    if (m != NULL)
        clf_resampler_destroy(m->resampler);
    clf_free(m);
}

/* The ports: H, M and what attention looks at are numbers of the checkpoint. */
static void describe(resampler_model *m, const clf_resampler_ports *ports, bool latents_in_context)
{
    clf_model_class *k = &m->class;
    uint32_t may = 0;

    *k = (clf_model_class){ .module = "resampler", .forward = forward, .flop = flop, .destroy = destroy };
    k->inputs[k->input_count++] = (clf_input_port){ .name = "vision", .shape = "[B, N, Dv]" };
    if (ports->vision_mask) {
        m->mask = k->input_count;
        may = 1U << m->mask;
        k->inputs[k->input_count++] =
            (clf_input_port){ .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS };
    }
    k->outputs[k->output_count++] =
        (clf_output_port){ .name = "tokens", .shape = "[B, M, Dt]", .needs = 1U << VISION, .may = may };
    k->outputs[k->output_count++] = (clf_output_port){ .name = "attention",
                                                       .shape = m->of_self           ? "[B, H, M, M]"
                                                                : latents_in_context ? "[B, H, M, N + M]"
                                                                                     : "[B, H, M, N]",
                                                       .needs = 1U << VISION,
                                                       .may = may,
                                                       .dense_f32 = true };
    if (ports->ids == NULL)
        return;
    m->text = k->input_count;
    k->inputs[k->input_count++] = (clf_input_port)CLF_FUSED_TEXT;
    m->text_ids = k->input_count;
    k->inputs[k->input_count++] = (clf_input_port)CLF_FUSED_TEXT_IDS;
    k->outputs[k->output_count++] = (clf_output_port){
        .name = "fused", .shape = CLF_FUSED_SHAPE, .needs = 1U << VISION | 1U << m->text | 1U << m->text_ids, .may = may
    };
}

/* attention_of: "cross", the default, or "self". */
static clf_status read_attention_of(const clf_builder *b, bool has_self, bool *of_self, clf_error *err)
{
    const char *of = NULL;

    *of_self = false;
    CLF_TRY(clf_config_text(b->config, "attention_of", &of, err));
    if (of == NULL)
        return CLF_OK;
    *of_self = strcmp(of, "self") == 0;
    if (!*of_self && strcmp(of, "cross") != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: attention_of is %s; want cross or self", b->family,
                        clf_text_quote(of, strlen(of)).text);
    if (*of_self && !has_self)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: attention_of is self; want cross: its layers have no self-attention",
                        b->family);
    return CLF_OK;
}

static clf_status set_letters(const clf_builder *b, const clf_resampler_desc *d, const resampler_model *m,
                              clf_model *model, clf_error *err)
{
    const clf_resampler_layer_desc *l = &d->layers[m->layer];

    CLF_TRY(clf_build_letter(b, model, "Dv", clf_resampler_vision_width(m->resampler), err));
    CLF_TRY(clf_build_letter(b, model, "Dt", clf_resampler_token_width(m->resampler), err));
    CLF_TRY(clf_build_letter(b, model, "M", clf_resampler_tokens(m->resampler), err));
    return clf_build_letter(b, model, "H", m->of_self ? l->self.heads : l->cross.heads, err);
}

clf_status clf_build_resampler(const clf_builder *b, const clf_resampler_desc *desc, clf_resampler_ports ports,
                               clf_model *m, clf_error *err)
{
    resampler_model *model;
    bool of_self;

    CLF_TRY(clf_build_layer(b, desc->layer_count, err));
    CLF_TRY(read_attention_of(b, clf_host_present(desc->layers[b->layer].self.q.weight), &of_self, err));
    model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    model->layer = b->layer;
    model->of_self = of_self;
    if (ports.ids != NULL)
        model->ids = *ports.ids;
    describe(model, &ports, desc->latents_in_context);
    m->model_class = &model->class;
    m->module = model;
    CLF_TRY(clf_resampler_create(b->ctx, desc, &model->resampler, err));
    model->cost = clf_resampler_cost_of(desc);
    clf_build_count_resampler(m, desc);
    return set_letters(b, desc, model, m, err);
}

/* ---- reading ---- */

clf_status clf_build_resampler_desc(const clf_builder *b, int32_t count, clf_resampler_desc *desc,
                                    clf_resampler_layer_desc **layers, clf_error *err)
{
    *desc = clf_resampler_desc_default();
    *layers = clf_alloc((size_t)count, sizeof **layers);
    if (*layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d layers", b->family, (int)count);
    desc->layers = *layers;
    desc->layer_count = count;
    desc->storage = b->storage;
    desc->source = b->source;
    return CLF_OK;
}

clf_status clf_build_layer_count(const clf_builder *b, const char *before, int32_t first, const char *behind,
                                 const char *key, int32_t *count, clf_error *err)
{
    char name[NAME_BYTES];
    clf_host_tensor none;

    CLF_TRY(clf_build_find_layers(b, before, first, behind, count, err));
    if (*count == 0) { /* the message of a tensor that is missing */
        clf_format(name, sizeof name, "%s%d%s", before, (int)first, behind);
        return clf_build_tensor(b, name, 2, &none, err);
    }
    clf_format(name, sizeof name, "the layers %s{i}%s", before, behind);
    CLF_TRY(clf_build_width(b, key, *count, name, err));
    *count = clf_build_end(b, *count);
    return CLF_OK;
}

static clf_status build_projection(const clf_builder *b, const char *name, const char *part, bool bias, int64_t in,
                                   const char *in_is, clf_linear_layer *layer, clf_error *err)
{
    char full[NAME_BYTES - 16]; /* clf_build_linear puts ".weight" behind it */

    clf_format(full, sizeof full, "%s%s", name, part);
    return clf_build_linear(b, full, bias, in, in_is, layer, err);
}

clf_status clf_build_projections(const clf_builder *b, const char *name, const clf_projection_names *names, bool bias,
                                 bool out_bias, int64_t width, int64_t context, clf_attention_layer_desc *a,
                                 clf_error *err)
{
    const char *const latents = "the width of the latents", *const rows = "the width of the rows it reads";

    CLF_TRY(build_projection(b, name, names->q, bias, width, latents, &a->q, err));
    CLF_TRY(build_projection(b, name, names->k, bias, context, rows, &a->k, err));
    CLF_TRY(build_projection(b, name, names->v, bias, context, rows, &a->v, err));
    if (names->out == NULL)
        return CLF_OK;
    CLF_TRY(build_projection(b, name, names->out, out_bias, 0, NULL, &a->out, err));
    if (a->out.weight.dim[0] != width)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s%s.weight is %s; want %" PRId64 " rows, %s", b->family, name,
                        names->out, CLF_HOST_TEXT(a->out.weight), width, latents);
    return CLF_OK;
}
