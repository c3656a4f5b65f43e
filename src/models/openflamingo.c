/* OpenFlamingo: a perceiver that turns a picture into latents, and gated layers before layers of the decoder.
 *
 * perceiver.latents [M, Dv], .layers.{i}.0.{norm_media, norm_latents}.{weight, bias} [Dv], .0.to_q.weight [H D, Dv],
 * .0.to_kv.weight [2 H D, Dv] (keys, then values), .0.to_out.weight [Dv, H D], .1.{0.weight, 0.bias} [Dv],
 * .1.1.weight [4 Dv, Dv], .1.3.weight [Dv, 4 Dv], .norm.*; optionally .frame_embs [F, Dv], .media_time_embs [I, 1, Dv].
 * flamingo-mini has resampler., to_k and to_v, time_pos_emb [F, 1, Dv]; flamingo-pytorch media_pos_emb [I, 1, Dv].
 * The gated layers: openflamingo_text.c.
 *
 * Norms are of the kind that torch has by default, eps 1e-5.  Attention, feed-forward and gates have no biases.
 * Source: Alayrac et al. 2022, arXiv:2204.14198; Awadalla et al. 2023, arXiv:2308.01390. */
#include "models/openflamingo.h"

#include <inttypes.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/flamingo_model.h"
#include "models/registry.h"

#define NAME_BYTES 160

/* ---- parts that perceiver and gated layers share ---- */

static clf_status read_heads(const clf_builder *b, const char *prefix, clf_attention_layer_desc *a, clf_error *err)
{
    int64_t heads = 8, head_dim = 0;

    CLF_TRY(clf_config_int(b->config, "heads", &heads, err));
    CLF_TRY(clf_build_heads(b, "heads", heads, a, err));
    head_dim = a->q.weight.dim[0] / heads;
    CLF_TRY(clf_config_int(b->config, "dim_head", &head_dim, err));
    if (head_dim != a->q.weight.dim[0] / heads)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: dim_head is %" PRId64 "; want %" PRId64 ", the rows of %sto_q.weight %s over %" PRId64
                        " heads",
                        b->family, head_dim, a->q.weight.dim[0] / heads, prefix, CLF_HOST_TEXT(a->q.weight), heads);
    return CLF_OK;
}

/* Keys and values in halves of one weight, or in one each. */
static clf_status read_kv(const clf_builder *b, const char *prefix, clf_attention_layer_desc *a, clf_error *err)
{
    const int64_t rows = a->q.weight.dim[0];
    char name[NAME_BYTES];
    clf_linear_layer both;
    bool apart;

    clf_format(name, sizeof name, "%sto_k.weight", prefix);
    CLF_TRY(clf_build_has(b, name, &apart, err));
    if (!apart) {
        clf_format(name, sizeof name, "%sto_kv", prefix);
        CLF_TRY(clf_build_linear(b, name, false, 0, NULL, &both, err));
        if (both.weight.dim[0] != 2 * rows)
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s.weight is %s; want %" PRId64 " rows, twice those of to_q",
                            b->family, name, CLF_HOST_TEXT(both.weight), 2 * rows);
        a->k.weight = clf_build_rows(both.weight, 0, rows);
        a->v.weight = clf_build_rows(both.weight, rows, rows);
        return CLF_OK;
    }
    clf_format(name, sizeof name, "%sto_k", prefix);
    CLF_TRY(clf_build_linear(b, name, false, 0, NULL, &a->k, err));
    clf_format(name, sizeof name, "%sto_v", prefix);
    CLF_TRY(clf_build_linear(b, name, false, a->k.weight.dim[1], "those of to_k", &a->v, err));
    if (a->k.weight.dim[0] != rows || a->v.weight.dim[0] != rows)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %sto_k and to_v are %s and %s; want %" PRId64 " rows, as to_q",
                        b->family, prefix, CLF_HOST_TEXT(a->k.weight), CLF_HOST_TEXT(a->v.weight), rows);
    return CLF_OK;
}

clf_status clf_openflamingo_attention(const clf_builder *b, const char *prefix, int64_t width,
                                      clf_attention_layer_desc *a, clf_error *err)
{
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%sto_q", prefix);
    CLF_TRY(clf_build_linear(b, name, false, width, "the columns of perceiver.latents", &a->q, err));
    CLF_TRY(read_kv(b, prefix, a, err));
    clf_format(name, sizeof name, "%sto_out", prefix);
    CLF_TRY(clf_build_linear(b, name, false, a->q.weight.dim[0], "the rows of to_q.weight", &a->out, err));
    if (a->out.weight.dim[0] != a->q.weight.dim[1])
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s.weight is %s; want %" PRId64 " rows, the columns of to_q.weight",
                        b->family, name, CLF_HOST_TEXT(a->out.weight), a->q.weight.dim[1]);
    return read_heads(b, prefix, a, err);
}

clf_status clf_openflamingo_feed_forward(const clf_builder *b, const char *prefix, int64_t width,
                                         clf_feed_forward_desc *ff, clf_error *err)
{
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%s0", prefix);
    CLF_TRY(clf_build_norm(b, name, CLF_NORM_LAYER, width, 1e-5, &ff->norm, err));
    clf_format(name, sizeof name, "%s1", prefix);
    CLF_TRY(clf_build_linear(b, name, false, width, "the width of the norm before it", &ff->up, err));
    clf_format(name, sizeof name, "%s3", prefix);
    CLF_TRY(clf_build_linear(b, name, false, ff->up.weight.dim[0], "the rows of the weight before it", &ff->down, err));
    if (ff->down.weight.dim[0] != width)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s.weight is %s; want %" PRId64 " rows, the width of the norm",
                        b->family, name, CLF_HOST_TEXT(ff->down.weight), width);
    ff->activation = CLF_GELU;
    return clf_build_activation(b, "activation", &ff->activation, err);
}

/* ---- the perceiver ---- */

typedef struct openflamingo_parts {
    clf_flamingo_desc desc;
    const char *perceiver; /* before the names of its tensors; NULL: there is none */
    clf_resampler_layer_desc *layers;
    clf_cross_layer_desc *gated;
} openflamingo_parts;

static clf_status find_perceiver(const clf_builder *b, const char **stem, clf_error *err)
{
    static const char *const stems[] = { "perceiver.", "resampler.", "flamingo.resampler." };

    *stem = NULL;
    for (size_t i = 0; i < CLF_COUNT(stems) && *stem == NULL; i++) {
        char name[NAME_BYTES];
        bool latents, layers;

        clf_format(name, sizeof name, "%slatents", stems[i]);
        CLF_TRY(clf_build_has(b, name, &latents, err));
        clf_format(name, sizeof name, "%slayers.0.0.to_q.weight", stems[i]);
        CLF_TRY(clf_build_has(b, name, &layers, err));
        if (latents || layers) /* one without the other is damage, which reading it tells */
            *stem = stems[i];
    }
    return CLF_OK;
}

static clf_status count_layers(const clf_builder *b, const char *stem, int32_t *count, clf_error *err)
{
    char before[NAME_BYTES];

    clf_format(before, sizeof before, "%slayers.", stem);
    CLF_TRY(clf_build_find_layers(b, before, 0, ".0.to_q.weight", count, err));
    if (*count < 1)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %slayers.0.0.to_q.weight is missing; want at least one layer beside "
                        "%slatents",
                        b->family, stem, stem);
    return clf_build_width(b, "depth", *count, "the layers of the perceiver", err);
}

static clf_status read_layer(const clf_builder *b, const char *stem, int32_t i, int64_t Dv,
                             clf_resampler_layer_desc *layer, clf_error *err)
{
    char attention[NAME_BYTES], name[NAME_BYTES];

    clf_format(attention, sizeof attention, "%slayers.%d.0.", stem, (int)i);
    CLF_TRY(clf_openflamingo_attention(b, attention, Dv, &layer->cross, err));
    clf_format(name, sizeof name, "%snorm_latents", attention);
    CLF_TRY(clf_build_norm(b, name, CLF_NORM_LAYER, Dv, 1e-5, &layer->cross.norm, err));
    clf_format(name, sizeof name, "%snorm_media", attention);
    CLF_TRY(clf_build_norm(b, name, CLF_NORM_LAYER, Dv, 1e-5, &layer->context_norm, err));
    clf_format(name, sizeof name, "%slayers.%d.1.", stem, (int)i);
    return clf_openflamingo_feed_forward(b, name, Dv, &layer->feed_forward, err);
}

/* STEM.TENSOR [rows, Dv], of rank 3 [rows, 1, Dv], where it is there and no other name has given it. */
static clf_status read_table(const clf_builder *b, const char *stem, const char *tensor, int32_t rank, int64_t Dv,
                             clf_flamingo_table *table, clf_error *err)
{
    clf_host_tensor *const rows = &table->rows;
    clf_text name;
    bool there;

    clf_format(name.text, sizeof name.text, "%s%s", stem, tensor);
    CLF_TRY(clf_build_has(b, name.text, &there, err));
    if (!there || clf_host_present(*rows))
        return CLF_OK;
    table->name = name;
    CLF_TRY(clf_build_tensor(b, name.text, rank, rows, err));
    if (rows->dim[rank - 1] != Dv || (rank == 3 && rows->dim[1] != 1))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [rows, %s%" PRId64 "], as %slatents has columns",
                        b->family, name.text, CLF_HOST_TEXT(*rows), rank == 3 ? "1, " : "", Dv, stem);
    return CLF_OK;
}

/* The configuration's number of rows. */
static clf_status check_rows(const clf_builder *b, const char *key, const clf_flamingo_table *table, clf_error *err)
{
    clf_text rows;

    if (!clf_host_present(table->rows))
        return CLF_OK;
    clf_format(rows.text, sizeof rows.text, "the rows of %s", table->name.text);
    return clf_build_width(b, key, table->rows.dim[0], rows.text, err);
}

/* Tables of frames and of pictures, each under one of two names. */
static clf_status read_tables(const clf_builder *b, const char *stem, int64_t Dv, clf_flamingo_desc *d, clf_error *err)
{
    CLF_TRY(read_table(b, stem, "frame_embs", 2, Dv, &d->frame_embs, err));
    CLF_TRY(read_table(b, stem, "time_pos_emb", 3, Dv, &d->frame_embs, err));
    CLF_TRY(read_table(b, stem, "media_time_embs", 3, Dv, &d->media_embs, err));
    CLF_TRY(read_table(b, stem, "media_pos_emb", 3, Dv, &d->media_embs, err));
    CLF_TRY(check_rows(b, "max_num_frames", &d->frame_embs, err));
    return check_rows(b, "max_num_media", &d->media_embs, err);
}

static clf_status read_perceiver(const clf_builder *b, openflamingo_parts *parts, clf_error *err)
{
    clf_resampler_desc *r = &parts->desc.perceiver;
    char name[NAME_BYTES];

    clf_format(name, sizeof name, "%slatents", parts->perceiver);
    CLF_TRY(clf_build_tensor(b, name, 2, &r->latents, err));
    CLF_TRY(clf_build_width(b, "num_latents", r->latents.dim[0], "the rows of perceiver.latents", err));
    CLF_TRY(count_layers(b, parts->perceiver, &r->layer_count, err));
    r->layers = parts->layers = clf_alloc((size_t)r->layer_count, sizeof *parts->layers);
    if (parts->layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d layers", b->family, (int)r->layer_count);
    const int64_t Dv = r->latents.dim[1];

    for (int32_t i = 0; i < r->layer_count; i++)
        CLF_TRY(read_layer(b, parts->perceiver, i, Dv, &parts->layers[i], err));
    clf_format(name, sizeof name, "%snorm", parts->perceiver);
    CLF_TRY(clf_build_norm(b, name, CLF_NORM_LAYER, Dv, 1e-5, &r->final_norm, err));
    return read_tables(b, parts->perceiver, Dv, &parts->desc, err);
}

/* ---- the model ---- */

static clf_status read_gated(const clf_builder *b, int32_t first, int32_t count, openflamingo_parts *parts,
                             clf_error *err)
{
    parts->gated = clf_alloc((size_t)count, sizeof *parts->gated);
    if (parts->gated == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for %d layers", b->family, (int)count);
    parts->desc.gated.layers = parts->gated;
    parts->desc.gated.layer_count = count;
    for (int32_t i = 0; i < count; i++)
        CLF_TRY(clf_openflamingo_gated_layer(b, first + i, &parts->gated[i], err));
    return CLF_OK;
}

static clf_status read_sight(const clf_builder *b, clf_flamingo_sight *sight, clf_error *err)
{
    *sight = (clf_flamingo_sight){ .reads_text_ids = true, .immediate = true };
    sight->has_media_token = clf_config_has(b->config, "media_token_id");
    CLF_TRY(clf_config_int(b->config, "media_token_id", &sight->media_token, err));
    CLF_TRY(clf_config_bool(b->config, "use_cached_media", &sight->cached, err));
    return clf_config_bool(b->config, "only_attend_immediate_media", &sight->immediate, err);
}

static clf_status read_parts(const clf_builder *b, openflamingo_parts *parts, clf_error *err)
{
    const int32_t count = clf_openflamingo_gated_count(b->source);
    clf_flamingo_desc *d = &parts->desc;
    int32_t first, taken;

    *d = clf_build_flamingo_desc(b);
    d->takes_frames = true;
    CLF_TRY(read_sight(b, &d->sight, err));
    CLF_TRY(find_perceiver(b, &parts->perceiver, err));
    if (parts->perceiver == NULL && count == 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: perceiver.latents and lang_encoder.LAYERS.{i}.gated_cross_attn_layer.attn.to_q.weight are "
                        "missing; want a perceiver or gated layers in %s",
                        b->family, b->source->label != NULL ? b->source->label : "the checkpoint");
    if (parts->perceiver != NULL)
        CLF_TRY(read_perceiver(b, parts, err));
    CLF_TRY(clf_build_attention_of(b, parts->perceiver != NULL, count > 0, &d->attention_of_tokens, err));
    CLF_TRY(clf_build_gated_range(b, count, d->perceiver.layer_count, d->attention_of_tokens, &first, &taken, err));
    return taken > 0 ? read_gated(b, first, taken, parts, err) : CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    openflamingo_parts parts = { .perceiver = NULL };
    clf_status status = read_parts(b, &parts, err);

    if (status == CLF_OK)
        status = clf_build_flamingo(b, &parts.desc, m, err);
    clf_free(parts.layers);
    clf_free(parts.gated);
    return status;
}

const clf_family clf_family_openflamingo = {
    .id = "openflamingo",
    .spellings = { "flamingo", "open_flamingo" },
    .layered = true,
    .all_layers = true,
    .build = build,
};
