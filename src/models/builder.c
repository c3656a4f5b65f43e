/* Tensors by name and configuration keys, checked against each other. */
#include "models/builder.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/family.h"

#define NAME_BYTES 160

clf_status clf_source_find(const clf_tensor_source *source, const char *name, clf_host_tensor *t, clf_error *err)
{
    char prefixed[NAME_BYTES];

    *t = (clf_host_tensor){ 0 };
    CLF_TRY(source->find(source->self, name, t, err));
    if (clf_host_present(*t))
        return CLF_OK;
    clf_format(prefixed, sizeof prefixed, "model.%s", name);
    return source->find(source->self, prefixed, t, err);
}

clf_status clf_build_has(const clf_builder *b, const char *name, bool *there, clf_error *err)
{
    clf_host_tensor t;

    CLF_TRY(clf_source_find(b->source, name, &t, err));
    *there = clf_host_present(t);
    return CLF_OK;
}

/* A shape that a weight can have: the rank that the family's table says, no empty dimension. */
static bool is_weight_shape(clf_host_tensor t, int32_t rank)
{
    for (int32_t i = 0; i < t.rank && i < CLF_MAX_RANK; i++)
        if (t.dim[i] < 1)
            return false;
    return t.rank == rank;
}

clf_status clf_build_tensor(const clf_builder *b, const char *name, int32_t rank, clf_host_tensor *t, clf_error *err)
{
    CLF_TRY(clf_source_find(b->source, name, t, err));
    if (!clf_host_present(*t))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is missing; want it in %s", b->family, name,
                        b->source->label != NULL ? b->source->label : "the checkpoint");
    if (!clf_is_float(t->dtype) && t->dtype != CLF_F64)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is %s; want f32, f16, bf16 or f64", b->family, name,
                        CLF_HOST_TEXT(*t));
    if (!is_weight_shape(*t, rank))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want %d dimension%s, none of them 0", b->family, name,
                        CLF_HOST_TEXT(*t), (int)rank, rank == 1 ? "" : "s");
    return CLF_OK;
}

clf_status clf_build_linear(const clf_builder *b, const char *name, bool bias, int64_t in, const char *in_is,
                            clf_linear_layer *layer, clf_error *err)
{
    char weight_name[NAME_BYTES], bias_name[NAME_BYTES];

    clf_format(weight_name, sizeof weight_name, "%s.weight", name);
    clf_format(bias_name, sizeof bias_name, "%s.bias", name);
    CLF_TRY(clf_build_tensor(b, weight_name, 2, &layer->weight, err));
    if (in != 0 && layer->weight.dim[1] != in)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want %" PRId64 " columns, %s", b->family, weight_name,
                        CLF_HOST_TEXT(layer->weight), in, in_is);
    if (!bias)
        return CLF_OK;
    CLF_TRY(clf_build_tensor(b, bias_name, 1, &layer->bias, err));
    if (layer->bias.dim[0] != layer->weight.dim[0])
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [%" PRId64 "], the rows of %s %s", b->family, bias_name,
                        CLF_HOST_TEXT(layer->bias), layer->weight.dim[0], weight_name, CLF_HOST_TEXT(layer->weight));
    return CLF_OK;
}

clf_status clf_build_sequence(const clf_builder *b, const char *name, int step, clf_projector_desc *desc,
                              clf_error *err)
{
    for (bool more = true; more;) {
        const int32_t i = desc->layer_count;
        char layer[NAME_BYTES - 16], weight[NAME_BYTES], before[NAME_BYTES];

        if (i == CLF_PROJECTOR_MAX_LAYERS)
            return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s has more than %d layers; want at most that many", b->family,
                            name, CLF_PROJECTOR_MAX_LAYERS);
        clf_format(layer, sizeof layer, "%s.%d", name, (int)i * step);
        clf_format(before, sizeof before, "the rows of %s.%d.weight", name, (int)(i - 1) * step);
        CLF_TRY(clf_build_linear(b, layer, true, i == 0 ? 0 : desc->layers[i - 1].weight.dim[0], before,
                                 &desc->layers[i], err));
        desc->layer_count++;
        clf_format(weight, sizeof weight, "%s.%d.weight", name, (int)desc->layer_count * step);
        CLF_TRY(clf_build_has(b, weight, &more, err));
    }
    return CLF_OK;
}

clf_status clf_build_width(const clf_builder *b, const char *key, int64_t got, const char *what, clf_error *err)
{
    int64_t value = got;

    CLF_TRY(clf_config_int(b->config, key, &value, err));
    if (value != got)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want %" PRId64 ", %s", b->family, key, value, got,
                        what);
    return CLF_OK;
}

clf_status clf_build_activation(const clf_builder *b, const char *key, clf_activation *activation, clf_error *err)
{
    const char *name = NULL;

    CLF_TRY(clf_config_text(b->config, key, &name, err));
    if (name != NULL && !clf_activation_from_name(name, activation))
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "%s: %s is %s; want gelu, gelu_pytorch_tanh, quick_gelu, silu, relu or relu2", b->family, key,
                        clf_text_quote(name, strlen(name)).text);
    return CLF_OK;
}

clf_projector_desc clf_build_projector_desc(const clf_builder *b)
{
    clf_projector_desc desc = clf_projector_desc_default();

    desc.storage = b->storage;
    desc.source = b->source;
    return desc;
}

/* transformers' attribute_map makes KEY_index and KEY_id one attribute; two values that differ are a contradiction. */
static clf_status read_placeholder(const clf_builder *b, const char *index_key, const char *id_key, int64_t *id,
                                   clf_error *err)
{
    int64_t by_id = *id;

    CLF_TRY(clf_config_int(b->config, index_key, id, err));
    if (!clf_config_has(b->config, id_key))
        return CLF_OK;
    CLF_TRY(clf_config_int(b->config, id_key, &by_id, err));
    if (clf_config_has(b->config, index_key) && *id != by_id)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want %" PRId64 ", like %s, or only one of the two",
                        b->family, id_key, by_id, *id, index_key);
    *id = by_id;
    return CLF_OK;
}

clf_status clf_build_placeholders(const clf_builder *b, clf_placeholders defaults, clf_placeholders *ids,
                                  clf_error *err)
{
    const bool no_video = defaults.video == defaults.image;

    *ids = defaults;
    CLF_TRY(read_placeholder(b, "image_token_index", "image_token_id", &ids->image, err));
    if (no_video)
        ids->video = ids->image;
    return read_placeholder(b, "video_token_index", "video_token_id", &ids->video, err);
}

clf_status clf_build_layer(const clf_builder *b, int32_t count, clf_error *err)
{
    if (b->layer < count)
        return CLF_OK;
    if (count == 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: layer is %d; want 0: the family has 1 layer", b->family,
                        (int)b->layer);
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: layer is %d; want 0 to %d: the checkpoint has %d layers", b->family,
                    (int)b->layer, (int)count - 1, (int)count);
}

/* Elements of a host tensor; 0 when absent. */
static uint64_t elements(clf_host_tensor t)
{
    uint64_t count = clf_host_present(t) ? 1 : 0;

    for (int32_t i = 0; i < t.rank; i++)
        count *= (uint64_t)t.dim[i]; /* the reader has checked the product */
    return count;
}

void clf_build_count(clf_model *m, clf_host_tensor t, clf_dtype storage)
{
    const clf_dtype stored = t.dtype == CLF_F64 ? CLF_F32 : t.dtype;

    m->parameters += elements(t);
    m->weight_bytes += elements(t) * clf_dtype_bytes(storage != CLF_DTYPE_NONE ? storage : stored);
}

void clf_build_count_f32(clf_model *m, clf_host_tensor t)
{
    m->f32_parameters += elements(t);
    clf_build_count(m, t, CLF_F32);
}

clf_status clf_build_letter(const clf_builder *b, clf_model *m, const char *letter, int64_t value, clf_error *err)
{
    if (clf_letters_set(&m->widths, letter, value) == NULL)
        return CLF_FAIL(err, CLF_INTERNAL, "%s: %s is one letter more than %d; want a larger CLF_MAX_LETTERS",
                        b->family, letter, CLF_MAX_LETTERS);
    return CLF_OK;
}

uint64_t clf_build_projector_products(const clf_projector_desc *desc)
{
    uint64_t products = 0;

    for (int32_t i = 0; i < desc->layer_count; i++)
        products += elements(desc->layers[i].weight);
    return products;
}

clf_status clf_build_projector_facts(const clf_builder *b, const clf_projector_desc *desc, clf_model *m, clf_error *err)
{
    clf_build_count_f32(m, desc->norm_weight);
    clf_build_count_f32(m, desc->norm_bias);
    for (int32_t i = 0; i < desc->layer_count; i++) {
        clf_build_count(m, desc->layers[i].weight, desc->storage);
        clf_build_count_f32(m, desc->layers[i].bias);
    }
    CLF_TRY(clf_build_letter(b, m, "Dv", desc->layers[0].weight.dim[1] / desc->compress_ratio, err));
    CLF_TRY(clf_build_letter(b, m, "Dt", desc->layers[desc->layer_count - 1].weight.dim[0], err));
    return clf_build_letter(b, m, "r", desc->compress_ratio, err);
}
