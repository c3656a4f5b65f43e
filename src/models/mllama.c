/* Llama 3.2 Vision: the projector, and one of the cross-attention layers of the language model.
 *
 * multi_modal_projector.{weight [Dt, Dv], bias}: Dv = 7680, a tile's final state beside five of its inner states
 * language_model.model.layers.{i}. (transformers 5: language_model.layers.{i}.), i of text_config's
 * cross_attention_layers:
 *     input_layernorm.weight [Dt], cross_attn.{q_proj [Dt, Dt], k_proj, v_proj [Hk D, Dt], o_proj [Dt, Dt]}.weight
 *     cross_attn.{q_norm, k_norm}.weight [D], cross_attn_attn_gate [1]
 *     post_attention_layernorm.weight [Dt], mlp.{gate_proj, up_proj, down_proj}.weight, cross_attn_mlp_gate [1]
 *
 * Source: Grattafiori et al. 2024, arXiv:2407.21783; transformers' MllamaCrossAttentionDecoderLayer. */
#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/mllama_model.h"
#include "models/registry.h"

#define NAME_BYTES 160
#define PROJECTOR "multi_modal_projector"
#define QUERY "cross_attn.q_proj.weight"
#define MAX_LAYERS 1024 /* of the language model; Llama 3.2 90B has 100 */

/* "....layers.{i}.cross_attn.q_proj.weight". */
static bool layer_number(const char *name, int64_t *number)
{
    const char *at = strstr(name, "layers."), *digit;

    if (at == NULL)
        return false;
    digit = at + strlen("layers.");
    for (*number = 0; *digit >= '0' && *digit <= '9' && *number < MAX_LAYERS; digit++)
        *number = *number * 10 + (*digit - '0');
    return *number < MAX_LAYERS && strcmp(digit, "." QUERY) == 0;
}

/* The numbers of the cross-attention layers in ascending order: the configuration's, else those that have tensors. */
static clf_status find_layers(const clf_builder *b, int64_t *layers, size_t *count, clf_error *err)
{
    bool there[MAX_LAYERS] = { false };
    bool any = false;

    *count = 0;
    for (size_t i = 0; i < b->source->count(b->source->self); i++) {
        int64_t number;

        if (layer_number(b->source->name(b->source->self, i), &number))
            there[number] = any = true;
    }
    if (any && clf_config_has(b->config, "text_config.cross_attention_layers")) {
        CLF_TRY(clf_config_ints(b->config, "text_config.cross_attention_layers", layers, MAX_LAYERS, count, err));
        memset(there, 0, sizeof there);
        for (size_t i = 0; i < *count; i++) {
            if (layers[i] < 0 || layers[i] >= MAX_LAYERS)
                return CLF_FAIL(err, CLF_BAD_FILE,
                                "%s: text_config.cross_attention_layers has %" PRId64 "; want 0 to %d", b->family,
                                layers[i], MAX_LAYERS - 1);
            there[layers[i]] = true;
        }
    }
    *count = 0;
    for (int64_t i = 0; i < MAX_LAYERS; i++)
        if (there[i])
            layers[(*count)++] = i;
    return CLF_OK;
}

/* What stands before the names of layer i: as on the hub, as transformers 5 saves it, or of the text model alone. */
static clf_status find_prefix(const clf_builder *b, int64_t layer, char *prefix, size_t bytes, clf_error *err)
{
    static const char *const forms[] = { "layers", "language_model.layers", "language_model.model.layers" };
    bool there = false;

    for (size_t i = CLF_COUNT(forms); i > 0 && !there; i--) {
        char name[NAME_BYTES];

        clf_format(prefix, bytes, "%s.%" PRId64 ".", forms[i - 1], layer);
        clf_format(name, sizeof name, "%s" QUERY, prefix);
        CLF_TRY(clf_build_has(b, name, &there, err));
    }
    if (!there) /* the message of the first tensor then names the hub's form */
        clf_format(prefix, bytes, "%s.%" PRId64 ".", forms[CLF_COUNT(forms) - 1], layer);
    return CLF_OK;
}

/* PREFIX.NAME.weight [.., in], without a bias. */
static clf_status read_linear(const clf_builder *b, const char *prefix, const char *name, int64_t in, const char *in_is,
                              clf_linear_layer *layer, clf_error *err)
{
    char full[NAME_BYTES];

    clf_format(full, sizeof full, "%s%s", prefix, name);
    return clf_build_linear(b, full, false, in, in_is, layer, err);
}

static clf_status read_norm(const clf_builder *b, const char *prefix, const char *name, int64_t width, double eps,
                            clf_norm_desc *norm, clf_error *err)
{
    char full[NAME_BYTES];

    clf_format(full, sizeof full, "%s%s", prefix, name);
    return clf_build_norm(b, full, CLF_NORM_RMS, width, eps, norm, err);
}

static clf_status read_gate(const clf_builder *b, const char *prefix, const char *name, clf_host_tensor *gate,
                            clf_error *err)
{
    char full[NAME_BYTES];

    clf_format(full, sizeof full, "%s%s", prefix, name);
    return clf_build_tensor(b, full, 1, gate, err);
}

/* num_attention_heads and num_key_value_heads follow from the width of q_norm. */
static clf_status read_heads(const clf_builder *b, const char *prefix, double eps, clf_attention_layer_desc *a,
                             clf_error *err)
{
    char name[NAME_BYTES];
    clf_host_tensor norm;

    clf_format(name, sizeof name, "%scross_attn.q_norm.weight", prefix);
    CLF_TRY(clf_build_tensor(b, name, 1, &norm, err));
    const int64_t D = norm.dim[0], q = a->q.weight.dim[0], k = a->k.weight.dim[0];

    if (q % D != 0 || k % D != 0 || k != a->v.weight.dim[0])
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %scross_attn has %" PRId64 ", %" PRId64 " and %" PRId64 " rows of queries, keys and "
                        "values; want multiples of %" PRId64 ", the width of q_norm, and the last two equal",
                        b->family, prefix, q, k, a->v.weight.dim[0], D);
    a->kv_heads = (int32_t)(k / D);
    CLF_TRY(clf_build_heads(b, "text_config.num_attention_heads", q / D, a, err));
    CLF_TRY(clf_build_width(b, "text_config.num_attention_heads", q / D, "the rows of q_proj over q_norm's", err));
    CLF_TRY(clf_build_width(b, "text_config.num_key_value_heads", k / D, "the rows of k_proj over k_norm's", err));
    CLF_TRY(read_norm(b, prefix, "cross_attn.q_norm", D, eps, &a->q_norm, err));
    return read_norm(b, prefix, "cross_attn.k_norm", D, eps, &a->k_norm, err);
}

static clf_status read_attention(const clf_builder *b, const char *prefix, double eps, clf_attention_layer_desc *a,
                                 clf_error *err)
{
    CLF_TRY(read_linear(b, prefix, "cross_attn.q_proj", 0, NULL, &a->q, err));
    const int64_t Dt = a->q.weight.dim[1];

    CLF_TRY(read_linear(b, prefix, "cross_attn.k_proj", Dt, "the width of the text", &a->k, err));
    CLF_TRY(read_linear(b, prefix, "cross_attn.v_proj", Dt, "the width of the text", &a->v, err));
    CLF_TRY(read_linear(b, prefix, "cross_attn.o_proj", a->q.weight.dim[0], "the rows of q_proj", &a->out, err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", Dt, "the columns of q_proj.weight", err));
    CLF_TRY(read_heads(b, prefix, eps, a, err));
    CLF_TRY(read_norm(b, prefix, "input_layernorm", Dt, eps, &a->norm, err));
    return read_gate(b, prefix, "cross_attn_attn_gate", &a->gate, err);
}

static clf_status read_mlp(const clf_builder *b, const char *prefix, int64_t Dt, double eps, clf_feed_forward_desc *ff,
                           clf_error *err)
{
    ff->activation = CLF_SILU;
    CLF_TRY(clf_build_activation(b, "text_config.hidden_act", &ff->activation, err));
    CLF_TRY(read_linear(b, prefix, "mlp.gate_proj", Dt, "the width of the text", &ff->gated, err));
    CLF_TRY(read_linear(b, prefix, "mlp.up_proj", Dt, "the width of the text", &ff->up, err));
    CLF_TRY(read_linear(b, prefix, "mlp.down_proj", ff->up.weight.dim[0], "the rows of up_proj", &ff->down, err));
    CLF_TRY(clf_build_width(b, "text_config.intermediate_size", ff->up.weight.dim[0], "the rows of up_proj", err));
    CLF_TRY(read_norm(b, prefix, "post_attention_layernorm", Dt, eps, &ff->norm, err));
    return read_gate(b, prefix, "cross_attn_mlp_gate", &ff->gate, err);
}

static clf_status read_layer(const clf_builder *b, int64_t number, double eps, clf_cross_layer_desc *layer,
                             clf_error *err)
{
    char prefix[NAME_BYTES / 2];

    CLF_TRY(find_prefix(b, number, prefix, sizeof prefix, err));
    CLF_TRY(read_attention(b, prefix, eps, &layer->attention, err));
    return read_mlp(b, prefix, layer->attention.q.weight.dim[1], eps, &layer->feed_forward, err);
}

static clf_status read_layers(const clf_builder *b, const int64_t *numbers, clf_cross_attention_desc *d,
                              clf_cross_layer_desc *layers, clf_mllama *model, clf_model *m, clf_error *err)
{
    clf_cross_attention_desc first = *d;
    double eps = 1e-5;

    CLF_TRY(clf_config_float(b->config, "text_config.rms_norm_eps", &eps, err));
    for (int32_t i = 0; i < d->layer_count; i++)
        CLF_TRY(read_layer(b, numbers[i], eps, &layers[i], err));
    first.layer_count = 1; /* a call runs one, and makes the keys of all */
    model->products = clf_cross_products_of(&first);
    model->products.media = clf_cross_products_of(d).media;
    CLF_TRY(clf_build_cross_facts(b, d, m, err));
    return clf_cross_attention_create(b->ctx, d, &model->layers, err);
}

/* `count` layers with these numbers in the model. */
static clf_status build_layers(const clf_builder *b, const int64_t *numbers, int32_t count, clf_mllama *model,
                               clf_model *m, clf_error *err)
{
    clf_cross_attention_desc desc = clf_build_cross_desc(b, CLF_CROSS_RESIDUAL);
    clf_cross_layer_desc *layers = clf_alloc((size_t)count, sizeof *layers);
    clf_status status;

    if (layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d layers", b->family, (int)count);
    desc.layers = layers;
    desc.layer_count = count;
    status = read_layers(b, numbers, &desc, layers, model, m, err);
    clf_free(layers);
    m->cross = model->layers;
    return status;
}

static clf_status build_projector(const clf_builder *b, clf_mllama *model, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    const clf_linear_layer *layer = &desc.layers[0];

    desc.layer_count = 1;
    CLF_TRY(clf_build_linear(b, PROJECTOR, true, 0, NULL, &desc.layers[0], err));
    CLF_TRY(clf_build_width(b, "vision_config.vision_output_dim", layer->weight.dim[1],
                            "the columns of " PROJECTOR ".weight", err));
    CLF_TRY(
        clf_build_width(b, "text_config.hidden_size", layer->weight.dim[0], "the rows of " PROJECTOR ".weight", err));
    model->projector_products = clf_build_projector_products(&desc);
    clf_build_count_linear(m, layer, b->storage);
    if (model->layers == NULL)
        CLF_TRY(clf_build_letter(b, m, "Dt", layer->weight.dim[0], err));
    else if (layer->weight.dim[0] != clf_cross_attention_text_width(model->layers))
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " PROJECTOR ".weight is %s; want %" PRId64 " rows, the width of the text", b->family,
                        CLF_HOST_TEXT(layer->weight), clf_cross_attention_text_width(model->layers));
    CLF_TRY(clf_build_letter(b, m, "Dv", layer->weight.dim[1], err));
    return clf_projector_create(b->ctx, &desc, &model->projector, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    int64_t numbers[MAX_LAYERS];
    size_t count;
    bool projector;
    const bool all = b->layer == CLF_ALL_LAYERS;
    clf_mllama *model = clf_alloc(1, sizeof *model);

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &clf_mllama_class;
    m->module = model;
    CLF_TRY(clf_config_int(b->config, "vision_config.max_num_tiles", &model->max_tiles, err));
    CLF_TRY(find_layers(b, numbers, &count, err));
    CLF_TRY(clf_build_has(b, PROJECTOR ".weight", &projector, err));
    if (count == 0 && !projector)
        numbers[count++] = 3; /* the first of Llama 3.2: the message then names its first tensor */
    CLF_TRY(clf_build_layer(b, (int32_t)CLF_MAX(count, 1), err));
    if (count > 0)
        CLF_TRY(build_layers(b, all ? numbers : numbers + b->layer, all ? (int32_t)count : 1, model, m, err));
    m->model_class = !projector              ? &clf_mllama_layer_class
                     : model->layers != NULL ? &clf_mllama_class
                                             : &clf_mllama_projector_class;
    return projector ? build_projector(b, model, m, err) : CLF_OK;
}

const clf_family clf_family_mllama = { .id = "mllama", .layered = true, .all_layers = true, .build = build };
