/* Q-Formers of checkpoints.
 *
 * {queries} [1, M, D];  {embedding_norm}.{weight, bias} [D];  {words}word_embeddings.weight [V, D],
 * .position_embeddings.weight [P, D];  {prefix}encoder.layer.{i}, i from 0:
 *   .attention.attention.{query, key, value} [D, D], .attention.output.{dense [D, D], LayerNorm}
 *   .crossattention, likewise with key and value [D, Dv], where cross_attention_frequency divides i
 *   .intermediate_query.dense [F, D], .output_query.{dense [D, F], LayerNorm}: of the queries' rows
 *   .intermediate.dense [F, D], .output.{dense [D, F], LayerNorm}: of the text's rows
 *
 * Heads, activation, eps and frequency come from the configuration, with transformers' defaults; widths and, where the
 * configuration is silent, the number of layers from the tensors. */
#include "models/qformer_model.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "models/masks.h"
#include "runtime/op.h"

#define NAME_BYTES 160
#define MAX_LAYERS 1000 /* a larger number in a configuration is damage */

/* What the layers of a checkpoint have in common. */
typedef struct clf_qformer_reader {
    const clf_builder *b;
    const clf_qformer_place *place;
    int64_t D, layers, heads, frequency;
    double eps;
    clf_activation activation;
} clf_qformer_reader;

static const char *key_name(const clf_qformer_reader *r, char *buffer, const char *key)
{
    clf_format(buffer, NAME_BYTES, "%s%s", r->place->key, key);
    return buffer;
}

/* ---- configuration ---- */

/* The number of layers: as the configuration says, else as many as there are. */
static clf_status read_layer_count(clf_qformer_reader *r, clf_error *err)
{
    char name[NAME_BYTES];
    int32_t there;

    clf_format(name, sizeof name, "%sencoder.layer.", r->place->prefix);
    CLF_TRY(clf_build_find_layers(r->b, name, 0, ".attention.attention.query.weight", &there, err));
    r->layers = there;
    CLF_TRY(clf_config_int(r->b->config, key_name(r, name, "num_hidden_layers"), &r->layers, err));
    if (r->layers < 1 || r->layers > MAX_LAYERS)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want 1 to %d", r->b->family, name, r->layers,
                        MAX_LAYERS);
    return CLF_OK;
}

static clf_status read_config(clf_qformer_reader *r, clf_error *err)
{
    const clf_config *config = r->b->config;
    char key[NAME_BYTES];

    CLF_TRY(read_layer_count(r, err));
    CLF_TRY(clf_config_int(config, key_name(r, key, "num_attention_heads"), &r->heads, err));
    CLF_TRY(clf_config_float(config, key_name(r, key, "layer_norm_eps"), &r->eps, err));
    CLF_TRY(clf_build_activation(r->b, key_name(r, key, "hidden_act"), &r->activation, err));
    CLF_TRY(clf_config_int(config, key_name(r, key, "cross_attention_frequency"), &r->frequency, err));
    if (r->frequency < 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want 1 or more", r->b->family,
                        key_name(r, key, "cross_attention_frequency"), r->frequency);
    r->frequency = CLF_MIN(r->frequency, r->layers); /* the first layer alone has cross-attention then */
    return clf_build_width(r->b, key_name(r, key, "hidden_size"), r->D, "the width of the queries", err);
}

/* ---- tensors ---- */

static clf_status read_linear(const clf_qformer_reader *r, const char *layer, const char *part, int64_t in,
                              const char *in_is, clf_linear_layer *linear, clf_error *err)
{
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%s.%s", layer, part);
    return clf_build_linear(r->b, name, true, in, in_is, linear, err);
}

static clf_status read_norm(const clf_qformer_reader *r, const char *layer, const char *part, clf_norm_desc *norm,
                            clf_error *err)
{
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%s.%s.LayerNorm", layer, part);
    return clf_build_norm(r->b, name, CLF_NORM_LAYER, r->D, r->eps, norm, err);
}

/* Attention of the Q-Former's rows to rows of `in` (0: any width), and the norm behind it. */
static clf_status read_attention(const clf_qformer_reader *r, const char *layer, int64_t in,
                                 clf_attention_layer_desc *a, clf_norm_desc *norm, clf_error *err)
{
    static const char width[] = "the width of the queries", keys[] = "the columns of the key weight";
    char key[NAME_BYTES];

    CLF_TRY(read_linear(r, layer, "attention.query", r->D, width, &a->q, err));
    CLF_TRY(read_linear(r, layer, "attention.key", in, width, &a->k, err));
    CLF_TRY(read_linear(r, layer, "attention.value", a->k.weight.dim[1], keys, &a->v, err));
    CLF_TRY(read_linear(r, layer, "output.dense", a->v.weight.dim[0], "the rows of the value weight", &a->out, err));
    CLF_TRY(read_norm(r, layer, "output", norm, err));
    return clf_build_heads(r->b, key_name(r, key, "num_attention_heads"), r->heads, a, err);
}

static clf_status read_feed_forward(const clf_qformer_reader *r, const char *layer, const char *suffix,
                                    clf_feed_forward_desc *ff, clf_norm_desc *norm, clf_error *err)
{
    char part[NAME_BYTES], key[NAME_BYTES], rows[2 * NAME_BYTES];

    clf_format(part, sizeof part, "intermediate%s.dense", suffix);
    CLF_TRY(read_linear(r, layer, part, r->D, "the width of the queries", &ff->up, err));
    clf_format(rows, sizeof rows, "the rows of %s.%s.weight", layer, part);
    CLF_TRY(clf_build_width(r->b, key_name(r, key, "intermediate_size"), ff->up.weight.dim[0], rows, err));
    clf_format(part, sizeof part, "output%s.dense", suffix);
    CLF_TRY(read_linear(r, layer, part, ff->up.weight.dim[0], rows, &ff->down, err));
    clf_format(part, sizeof part, "output%s", suffix);
    ff->activation = r->activation;
    return read_norm(r, layer, part, norm, err);
}

static clf_status read_layer(const clf_qformer_reader *r, int64_t i, clf_qformer_layer_desc *l, clf_error *err)
{
    char layer[NAME_BYTES / 2], part[NAME_BYTES];

    clf_format(layer, sizeof layer, "%sencoder.layer.%" PRId64, r->place->prefix, i);
    clf_format(part, sizeof part, "%s.attention", layer);
    CLF_TRY(read_attention(r, part, r->D, &l->self, &l->self_norm, err));
    if (i % r->frequency == 0) {
        clf_format(part, sizeof part, "%s.crossattention", layer);
        CLF_TRY(read_attention(r, part, 0, &l->cross, &l->cross_norm, err));
    }
    CLF_TRY(read_feed_forward(r, layer, "_query", &l->query_feed_forward, &l->query_norm, err));
    if (r->place->words != NULL)
        CLF_TRY(read_feed_forward(r, layer, "", &l->text_feed_forward, &l->text_norm, err));
    return CLF_OK;
}

static clf_status read_table(const clf_qformer_reader *r, const char *part, const char *key, clf_host_tensor *table,
                             clf_error *err)
{
    char name[NAME_BYTES], rows[NAME_BYTES + 16], key_at[NAME_BYTES];

    clf_format(name, sizeof name, "%s%s.weight", r->place->words, part);
    CLF_TRY(clf_build_tensor(r->b, name, 2, table, err));
    if (table->dim[1] != r->D)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want %" PRId64 " columns, the width of the queries",
                        r->b->family, name, CLF_HOST_TEXT(*table), r->D);
    clf_format(rows, sizeof rows, "the rows of %s", name);
    return clf_build_width(r->b, key_name(r, key_at, key), table->dim[0], rows, err);
}

static clf_status read_queries(clf_qformer_reader *r, clf_qformer_desc *desc, clf_error *err)
{
    clf_host_tensor *q = &desc->queries;

    CLF_TRY(clf_build_tensor(r->b, r->place->queries, 3, q, err));
    if (q->dim[0] != 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [1, M, D]", r->b->family, r->place->queries,
                        CLF_HOST_TEXT(*q));
    r->D = q->dim[2];
    return clf_build_width(r->b, "num_query_tokens", q->dim[1], "the queries that there are", err);
}

/* desc->layers is the caller's to free, after an error too. */
static clf_status read_qformer(clf_qformer_reader *r, clf_qformer_desc *desc, clf_error *err)
{
    clf_qformer_layer_desc *layers;

    CLF_TRY(read_queries(r, desc, err));
    CLF_TRY(read_config(r, err));
    CLF_TRY(clf_build_norm(r->b, r->place->embedding_norm, CLF_NORM_LAYER, r->D, r->eps, &desc->embedding_norm, err));
    if (r->place->words != NULL) {
        CLF_TRY(read_table(r, "word_embeddings", "vocab_size", &desc->word_embeddings, err));
        CLF_TRY(read_table(r, "position_embeddings", "max_position_embeddings", &desc->position_embeddings, err));
    }
    desc->layers = layers = clf_alloc((size_t)r->layers, sizeof *layers);
    if (layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %" PRId64 " layers", r->b->family, r->layers);
    for (int64_t i = 0; i < r->layers; i++)
        CLF_TRY(read_layer(r, i, &layers[i], err));
    desc->layer_count = (int32_t)r->layers;
    /* Blip2Config puts vision_config.hidden_size over qformer_config.encoder_hidden_size, which says nothing then. */
    return clf_build_width(r->b, "vision_config.hidden_size", layers[0].cross.k.weight.dim[1],
                           "the columns of the keys' weight in cross-attention", err);
}

/* ---- the model ---- */

static clf_status read_objective(const clf_builder *b, clf_qformer_model *model, clf_error *err)
{
    static const char *const names[] = { "itm", "itc", "itg" };
    const char *name = names[model->objective];

    CLF_TRY(clf_config_text(b->config, "objective", &name, err));
    for (size_t i = 0; i < CLF_COUNT(names); i++)
        if (clf_name_equal(name, names[i])) {
            model->objective = (clf_qformer_objective)i;
            return CLF_OK;
        }
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: objective is %s; want itm, itc or itg", b->family,
                    clf_text_quote(name, strlen(name)).text);
}

/* --layer counts the layers that have the attention that is shown. */
static clf_status read_shown(const clf_qformer_reader *r, clf_qformer_model *model, clf_error *err)
{
    const char *of = "cross";

    CLF_TRY(clf_config_text(r->b->config, "attention_of", &of, err));
    model->weights_of_self = clf_name_equal(of, "self");
    if (!model->weights_of_self && !clf_name_equal(of, "cross"))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: attention_of is %s; want self or cross", r->b->family,
                        clf_text_quote(of, strlen(of)).text);
    const int64_t step = model->weights_of_self ? 1 : r->frequency;

    CLF_TRY(clf_build_layer(r->b, (int32_t)((r->layers + step - 1) / step), err));
    model->weights_of = r->b->layer * (int32_t)step;
    return CLF_OK;
}

static clf_status set_letters(const clf_builder *b, const clf_qformer_desc *desc, clf_model *m, clf_error *err)
{
    CLF_TRY(clf_build_letter(b, m, "Dv", desc->layers[0].cross.k.weight.dim[1], err));
    CLF_TRY(clf_build_letter(b, m, "M", desc->queries.dim[1], err));
    CLF_TRY(clf_build_letter(b, m, "D", desc->queries.dim[2], err));
    return clf_build_letter(b, m, "H", desc->layers[0].self.heads, err);
}

/* Beside the queries lies what becomes of them in the first layer before they meet vision, and what they ask there. */
static void count_queries(const clf_qformer_desc *desc, clf_model *m)
{
    const uint64_t M = (uint64_t)desc->queries.dim[1], D = (uint64_t)desc->queries.dim[2];
    const clf_host_tensor asks = desc->layers[0].cross.q.weight;

    clf_build_count_f32(m, desc->queries);
    m->weight_bytes += M * (D + (clf_host_present(asks) ? (uint64_t)asks.dim[0] : 0)) * sizeof(float);
}

static void count_parameters(const clf_builder *b, const clf_qformer_desc *desc, clf_model *m)
{
    count_queries(desc, m);
    clf_build_count_norm(m, &desc->embedding_norm);
    clf_build_count(m, desc->word_embeddings, b->storage);
    clf_build_count(m, desc->position_embeddings, b->storage);
    for (int32_t i = 0; i < desc->layer_count; i++) {
        const clf_qformer_layer_desc *l = &desc->layers[i];

        clf_build_count_attention(m, &l->self, b->storage);
        clf_build_count_attention(m, &l->cross, b->storage);
        clf_build_count_feed_forward(m, &l->query_feed_forward, b->storage);
        clf_build_count_feed_forward(m, &l->text_feed_forward, b->storage);
        clf_build_count_norm(m, &l->self_norm);
        clf_build_count_norm(m, &l->cross_norm);
        clf_build_count_norm(m, &l->query_norm);
        clf_build_count_norm(m, &l->text_norm);
    }
}

static clf_status build(clf_qformer_reader *r, clf_qformer_desc *desc, clf_model *m, clf_error *err)
{
    clf_qformer_model *model = m->module;

    CLF_TRY(read_qformer(r, desc, err));
    CLF_TRY(read_objective(r->b, model, err));
    CLF_TRY(read_shown(r, model, err));
    if (r->b->ends)
        desc->layer_count = model->weights_of + 1;
    CLF_TRY(set_letters(r->b, desc, m, err));
    count_parameters(r->b, desc, m);
    return clf_qformer_create(r->b->ctx, desc, &model->qformer, err);
}

clf_status clf_build_qformer(const clf_builder *b, const clf_qformer_place *place, clf_model *m,
                             clf_qformer_model **model, clf_error *err)
{
    clf_qformer_reader reader = {
        .b = b, .place = place, .heads = 12, .frequency = 2, .eps = 1e-12, .activation = CLF_GELU
    };
    clf_qformer_desc desc = clf_qformer_desc_default();
    clf_status status;

    *model = m->module = clf_alloc(1, sizeof **model);
    if (*model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    (*model)->ctx = b->ctx;
    desc.storage = b->storage;
    desc.source = b->source;
    status = build(&reader, &desc, m, err);
    clf_free((void *)(uintptr_t)desc.layers);
    return status;
}

clf_status clf_build_qformer_head(const clf_builder *b, const char *name, const char *letter, clf_model *m,
                                  clf_linear_weight **head, clf_error *err)
{
    const clf_qformer_model *model = m->module;
    clf_linear_layer layer = { 0 };

    CLF_TRY(
        clf_build_linear(b, name, true, clf_qformer_width(model->qformer), "the width of the queries", &layer, err));
    clf_build_count_linear(m, &layer, b->storage);
    if (letter != NULL)
        CLF_TRY(clf_build_letter(b, m, letter, layer.weight.dim[0], err));
    return clf_weight_create(b->ctx, name, &layer, b->storage, b->source, head, err);
}

void clf_qformer_model_destroy(void *module)
{
    clf_qformer_model *m = module;

    if (m != NULL) {
        clf_qformer_destroy(m->qformer);
        clf_linear_weight_destroy(m->projection);
        clf_linear_weight_destroy(m->vision_projection);
        clf_linear_weight_destroy(m->text_projection);
        clf_linear_weight_destroy(m->itm_head);
    }
    clf_free(m);
}

void clf_qformer_model_set_class(clf_model *m, const clf_model_class *of, const char *cross, const char *self)
{
    clf_qformer_model *model = m->module;

    model->class = *of;
    for (size_t i = 0; i < of->output_count; i++)
        if (strcmp(of->outputs[i].name, "attention") == 0)
            model->class.outputs[i].shape = model->weights_of_self ? self : cross;
    m->model_class = &model->class;
}

/* ---- calls ---- */

clf_tensor clf_qformer_model_run(clf_stream *s, const clf_qformer_model *m, const clf_qformer_pass *pass)
{
    const bool vision = clf_present(pass->vision);
    const int64_t B = pass->B, M = vision ? clf_qformer_queries(m->qformer) : 0;
    const clf_tensor hidden = clf_scratch(s, CLF_F32, CLF_DIMS(B, M + pass->T, clf_qformer_width(m->qformer)));
    clf_qformer_options options = clf_qformer_options_default();

    options.objective = pass->objective;
    options.unseen = CLF_UNSEEN_UNIFORM; /* as eager attention with an additive mask */
    options.weights = pass->weights;
    options.weights_of = m->weights_of;
    options.weights_of_self = m->weights_of_self;
    if (vision && pass->vision_mask != NULL)
        options.vision_mask = clf_mask_upload(s, pass->vision_mask, CLF_DIMS(B, 1, 1, pass->vision.dim[1]));
    if (pass->T > 0 && pass->text_mask != NULL)
        options.text_mask = clf_mask_upload(s, pass->text_mask, CLF_DIMS(B, 1, 1, pass->T));
    clf_qformer_forward(s, m->qformer, pass->vision, pass->text_ids, pass->T, &options, hidden);
    return hidden;
}

clf_tensor clf_qformer_model_weights(clf_stream *s, clf_tensor wanted, int64_t B)
{
    if (!clf_present(wanted))
        return wanted;
    return clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_dim(wanted, -3), clf_dim(wanted, -2), clf_dim(wanted, -1)));
}

void clf_qformer_model_head(clf_stream *s, const clf_linear_weight *head, clf_tensor x, clf_tensor y)
{
    clf_tensor result = y;

    if (y.dtype != CLF_F32)
        result = clf_scratch(s, CLF_F32, clf_tensor_dims(y));
    clf_linear(s, x, head, NULL, result);
    if (y.dtype != CLF_F32)
        clf_place(s, result, y);
}

uint64_t clf_qformer_model_head_flop(const clf_linear_weight *head, int64_t rows)
{
    return 2 * (uint64_t)rows * (uint64_t)clf_linear_weight_out(head) * (uint64_t)clf_linear_weight_in(head);
}

void clf_qformer_model_give(clf_stream *s, clf_tensor x, clf_tensor wanted)
{
    if (clf_present(wanted))
        clf_place(s, clf_reshape(s, x, clf_tensor_dims(wanted)), wanted);
}
