/* OpenFlamingo's gated layers, in a checkpoint of the trained part or in a raw state dict.
 *
 * {i} counts the decoder's layers, of which every n-th has a gated one:
 *
 *     lang_encoder.LAYERS.{i}.gated_cross_attn_layer.    LAYERS: transformer.blocks (MPT), gpt_neox.layers,
 *                                                        model.layers, model.decoder.layers (OPT), transformer.h, ...
 *     ....{i}.xattn_block.                               flamingo-mini
 *     lang_encoder.gated_cross_attn_layers.{i}.          the same tensors once more
 *     lang_encoder.old_decoder_blocks.{i}.gated_...
 *
 * attn.norm.{weight, bias} [Dt], attn.to_q.weight [H D, Dt], attn.to_kv.weight [2 H D, Dv] (keys, then values),
 * attn.to_out.weight [Dt, H D], attn_gate [1], ff.{0.weight, 0.bias} [Dt], ff.1.weight [4 Dt, Dt],
 * ff.3.weight [Dt, 4 Dt], ff_gate [1]; flamingo-mini has attn.to_k and to_v, alpha_attn, ffw, alpha_ffw */
#include <string.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/flamingo_model.h"
#include "models/openflamingo.h"

#define NAME_BYTES 160
#define QUERY ".attn.to_q.weight"

/* Where a layer stands; of several places the first counts. */
typedef enum gated_place { IN_THE_DECODER, IN_A_LIST, AMONG_OLD_BLOCKS, PLACES } gated_place;

typedef struct gated_name {
    gated_place place;
    int64_t index;
    char prefix[NAME_BYTES]; /* with the last dot */
} gated_name;

/* Shortens the first `length` bytes of a name by the text that they end in. */
static bool strip(const char *name, size_t *length, const char *end)
{
    const size_t bytes = strlen(end);

    if (*length < bytes || memcmp(name + *length - bytes, end, bytes) != 0)
        return false;
    *length -= bytes;
    return true;
}

/* The same for ".NUMBER". */
static bool strip_index(const char *name, size_t *length, int64_t *index)
{
    size_t digits = 0;

    *index = 0;
    while (digits < *length && name[*length - digits - 1] >= '0' && name[*length - digits - 1] <= '9')
        digits++;
    if (digits == 0 || digits > 6 || digits == *length || name[*length - digits - 1] != '.')
        return false;
    for (size_t i = *length - digits; i < *length; i++)
        *index = *index * 10 + (name[i] - '0');
    *length -= digits + 1;
    return true;
}

/* Reads the name of a gated layer's query weight; false for any other. */
static bool read_name(const char *name, gated_name *layer)
{
    size_t length = strlen(name);

    if (!strip(name, &length, QUERY) || length + 2 > sizeof layer->prefix)
        return false;
    clf_format(layer->prefix, sizeof layer->prefix, "%.*s", (int)length + 1, name);
    if (strip(name, &length, ".gated_cross_attn_layer") || strip(name, &length, ".xattn_block")) {
        if (!strip_index(name, &length, &layer->index))
            return false;
        layer->place = strip(name, &length, ".old_decoder_blocks") ? AMONG_OLD_BLOCKS : IN_THE_DECODER;
        return true;
    }
    layer->place = IN_A_LIST;
    return strip_index(name, &length, &layer->index) && strip(name, &length, ".gated_cross_attn_layers");
}

/* The layer with the smallest index above `after` at the best place that has any. */
static bool next_layer(const clf_tensor_source *source, int64_t after, gated_name *next)
{
    gated_place best = PLACES;
    bool found = false;

    for (size_t i = 0; i < source->count(source->self); i++) {
        gated_name layer;

        if (!read_name(source->name(source->self, i), &layer) || layer.place > best)
            continue;
        if (layer.place < best) {
            best = layer.place;
            found = false;
        }
        if (layer.index > after && (!found || layer.index < next->index)) {
            *next = layer;
            found = true;
        }
    }
    return found;
}

int32_t clf_openflamingo_gated_count(const clf_tensor_source *source)
{
    gated_name layer = { .index = -1 };
    int32_t count = 0;

    while (next_layer(source, layer.index, &layer))
        count++;
    return count;
}

/* PREFIX + the first of two spellings that is there, "a" when there is neither. */
static clf_status spelt(const clf_builder *b, const char *prefix, const char *a, const char *other, const char *tensor,
                        char *name, clf_error *err)
{
    char whole[NAME_BYTES];
    bool there;

    clf_format(whole, sizeof whole, "%s%s%s", prefix, other, tensor);
    CLF_TRY(clf_build_has(b, whole, &there, err));
    clf_format(name, NAME_BYTES, "%s%s", prefix, there ? other : a);
    return CLF_OK;
}

static clf_status read_gate(const clf_builder *b, const char *prefix, const char *a, const char *other, int64_t Dt,
                            clf_host_tensor *gate, clf_error *err)
{
    char name[NAME_BYTES];

    CLF_TRY(spelt(b, prefix, a, other, "", name, err));
    return clf_build_alpha(b, name, Dt, gate, err);
}

clf_status clf_openflamingo_gated_layer(const clf_builder *b, int32_t layer, clf_cross_layer_desc *desc, clf_error *err)
{
    gated_name at = { .index = -1 };
    clf_attention_layer_desc *a = &desc->attention;
    clf_feed_forward_desc *ff = &desc->feed_forward;
    char name[NAME_BYTES];

    for (int32_t i = 0; i <= layer; i++)
        if (!next_layer(b->source, at.index, &at))
            return CLF_FAIL(err, CLF_INTERNAL, "%s: layer %d is not there; want one that was counted", b->family,
                            (int)layer);
    clf_format(name, sizeof name, "%sattn.", at.prefix);
    CLF_TRY(clf_openflamingo_attention(b, name, 0, a, err));
    const int64_t Dt = a->q.weight.dim[1];

    clf_format(name, sizeof name, "%sattn.norm", at.prefix);
    CLF_TRY(clf_build_norm(b, name, CLF_NORM_LAYER, Dt, 1e-5, &a->norm, err));
    CLF_TRY(read_gate(b, at.prefix, "attn_gate", "alpha_attn", Dt, &a->gate, err));
    CLF_TRY(spelt(b, at.prefix, "ff.", "ffw.", "1.weight", name, err));
    CLF_TRY(clf_openflamingo_feed_forward(b, name, Dt, ff, err));
    return read_gate(b, at.prefix, "ff_gate", "alpha_ffw", Dt, &ff->gate, err);
}
