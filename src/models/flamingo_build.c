/* How a model with a perceiver and gated layers is made: its ports are those of the parts that a checkpoint has. */
#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/attention_layer.h"
#include "fusion/parameter.h"
#include "models/flamingo_inside.h"

/* ---- ports ---- */

/* B' and I' of vision, M' of the latents, B of text, B'' of media: letters of their own, since each part runs without
 * the others. */
static const clf_input_port input_ports[INPUTS] = {
    [VISION] = { .name = "vision", .shape = "[B', N, Dv]" },
    [TEXT] = { .name = "text", .shape = "[B, T, Dt]" },
    [MEDIA] = { .name = "media", .shape = "[B'', I, M, Dv] | [B'', M, Dv]" },
    [TEXT_IDS] = { .name = "text_ids", .shape = "[B, T']", .kind = CLF_PORT_IDS },
    [CROSS_MASK] = { .name = "cross_mask", .shape = "[B, T, I]", .kind = CLF_PORT_IDS },
};

/* Pictures as rows, pictures and frames of texts (which embeddings of theirs need), or either. */
typedef struct vision_shapes {
    const char *vision, *tokens, *attention;
} vision_shapes;

static const vision_shapes pictures_shapes = { "[B', N, Dv]", "[B', M', Dv]", "[B', H', M', N + M']" };
static const vision_shapes frames_shapes = { "[B', I', F, N, Dv]", "[B', I', M', Dv]", "[B', I', H', M', F*N + M']" };
static const vision_shapes either_shapes = { "[B', N, Dv] | [B', I', F, N, Dv]", "[B', I', M', Dv] | [B', M', Dv]",
                                             "[B', I', H', M', F*N + M'] | [B', H', M', N + M']" };

static const vision_shapes *shapes_of(const clf_flamingo_desc *d)
{
    if (!d->takes_frames)
        return &pictures_shapes;
    return clf_host_present(d->frame_embs.rows) || clf_host_present(d->media_embs.rows) ? &frames_shapes
                                                                                        : &either_shapes;
}

static uint32_t add_input(clf_flamingo_model *m, size_t which)
{
    clf_model_class *k = &m->model_class;

    m->in[which] = k->input_count;
    k->inputs[k->input_count] = input_ports[which];
    return 1U << k->input_count++;
}

/* An output of shape `form`, in f32 or, unless `like` is NO_PORT, the type of that input. */
static void add_output(clf_flamingo_model *m, size_t which, const char *name, const char *form, uint32_t needs,
                       uint32_t may, size_t like)
{
    clf_model_class *k = &m->model_class;

    m->out[which] = k->output_count;
    k->outputs[k->output_count++] = (clf_output_port){ .name = name,
                                                       .shape = form,
                                                       .needs = needs,
                                                       .may = may,
                                                       .like = like == NO_PORT ? 0 : m->in[like],
                                                       .dense_f32 = like == NO_PORT };
}

static void add_ports(clf_flamingo_model *m, const clf_flamingo_desc *d)
{
    const vision_shapes *shapes = shapes_of(d);
    uint32_t tokens = 0, hidden = 0, sight = 0;

    for (size_t i = 0; i < INPUTS; i++)
        m->in[i] = NO_PORT;
    for (size_t i = 0; i < OUTPUTS; i++)
        m->out[i] = NO_PORT;
    if (d->perceiver.layer_count > 0) {
        tokens = add_input(m, VISION);
        m->model_class.inputs[m->in[VISION]].shape = shapes->vision;
        add_output(m, TOKENS, "tokens", shapes->tokens, tokens, 0, NO_PORT);
        m->model_class.outputs[m->out[TOKENS]].of_no_layer = !d->attention_of_tokens;
    }
    if (d->gated.layer_count > 0) {
        hidden = add_input(m, TEXT) | add_input(m, MEDIA);
        if (d->sight.reads_text_ids)
            sight = add_input(m, TEXT_IDS);
        sight |= add_input(m, CROSS_MASK);
        add_output(m, HIDDEN, "hidden", "[B, T, Dt]", hidden, sight, TEXT);
    }
    if (d->attention_of_tokens)
        add_output(m, ATTENTION, "attention", shapes->attention, tokens, 0, NO_PORT);
    else
        add_output(m, ATTENTION, "attention", "[B, H, T, I*M]", hidden, sight, NO_PORT);
}

/* ---- building ---- */

clf_flamingo_desc clf_build_flamingo_desc(const clf_builder *b)
{
    clf_flamingo_desc desc = { .perceiver = clf_resampler_desc_default() };

    desc.perceiver.storage = b->storage;
    desc.perceiver.source = b->source;
    desc.perceiver.latents_in_context = true;
    desc.gated = clf_build_cross_desc(b, CLF_CROSS_RESIDUAL);
    return desc;
}

clf_status clf_build_attention_of(const clf_builder *b, bool has_tokens, bool has_hidden, bool *tokens, clf_error *err)
{
    const char *of = has_hidden ? "hidden" : "tokens";

    CLF_TRY(clf_config_text(b->config, "attention_of", &of, err));
    *tokens = strcmp(of, "tokens") == 0;
    if ((!*tokens && strcmp(of, "hidden") != 0) || (*tokens ? !has_tokens : !has_hidden))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: attention_of is %s; want %s", b->family,
                        clf_text_quote(of, strlen(of)).text,
                        has_tokens && has_hidden ? "hidden or tokens"
                        : has_tokens             ? "tokens"
                                                 : "hidden");
    return CLF_OK;
}

clf_status clf_build_gated_range(const clf_builder *b, int32_t count, int32_t depth, bool attention_of_tokens,
                                 int32_t *first, int32_t *taken, clf_error *err)
{
    const bool all = b->layer == CLF_ALL_LAYERS;

    *first = all ? 0 : b->layer;
    if (!all)
        CLF_TRY(clf_build_layer(b, attention_of_tokens ? depth : count, err));
    *taken = all ? count : *first < count ? 1 : 0;
    return CLF_OK;
}

clf_status clf_build_alpha(const clf_builder *b, const char *name, int64_t Dt, clf_host_tensor *alpha, clf_error *err)
{
    int64_t elements = 1;

    CLF_TRY(clf_source_find(b->source, name, alpha, err));
    if (!clf_host_present(*alpha)) /* the message of a tensor that is missing */
        return clf_build_tensor(b, name, 1, alpha, err);
    CLF_TRY(clf_build_tensor(b, name, alpha->rank, alpha, err));
    if (alpha->rank == 0) { /* a scalar */
        alpha->rank = 1;
        alpha->dim[0] = 1;
    }
    for (int32_t i = 0; i + 1 < alpha->rank; i++)
        elements = alpha->dim[i] != 1 ? 0 : elements;
    if (elements == 0 || (alpha->dim[alpha->rank - 1] != 1 && alpha->dim[alpha->rank - 1] != Dt))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [1] or [1, 1, %" PRId64 "]", b->family, name,
                        CLF_HOST_TEXT(*alpha), Dt);
    return CLF_OK;
}

/* A table of embeddings as [rows, Dv]. */
static clf_status create_table(const clf_builder *b, const clf_flamingo_table *given, clf_model *m, clf_tensor *table,
                               clf_error *err)
{
    clf_host_tensor host = given->rows;

    if (!clf_host_present(host))
        return CLF_OK;
    clf_build_count_f32(m, host);
    host.dim[1] = host.dim[host.rank - 1];
    host.rank = 2;
    return clf_parameter_create(b->ctx, given->name.text, host, CLF_F32, b->source, table, err);
}

static clf_status build_perceiver(const clf_builder *b, const clf_flamingo_desc *d, clf_flamingo_model *model,
                                  clf_model *m, clf_error *err)
{
    clf_resampler_desc r = d->perceiver;

    if (d->attention_of_tokens)
        r.layer_count = clf_build_end(b, r.layer_count);
    CLF_TRY(clf_build_letter(b, m, "M'", r.latents.dim[0], err));
    CLF_TRY(clf_build_letter(b, m, "H'", r.layers[0].cross.heads, err));
    model->frame_embs_name = d->frame_embs.name;
    model->media_embs_name = d->media_embs.name;
    CLF_TRY(create_table(b, &d->frame_embs, m, &model->frame_embs, err));
    CLF_TRY(create_table(b, &d->media_embs, m, &model->media_embs, err));
    CLF_TRY(clf_resampler_create(b->ctx, &r, &model->perceiver, err));
    model->perceiver_cost = clf_resampler_cost_of(&r);
    clf_build_count_resampler(m, &r);
    return CLF_OK;
}

static clf_status build_gated(const clf_builder *b, const clf_flamingo_desc *d, clf_flamingo_model *model, clf_model *m,
                              clf_error *err)
{
    clf_cross_attention_desc first = d->gated;

    first.layer_count = 1; /* the one that outputs are of */
    model->gated_products = clf_cross_products_of(&first);
    CLF_TRY(clf_build_cross_facts(b, &d->gated, m, err));
    CLF_TRY(clf_cross_attention_create(b->ctx, &d->gated, &model->gated, err));
    m->cross = model->gated;
    return CLF_OK;
}

/* Dv is the perceiver's width and the media's: one number where both are there. */
static clf_status build_width(const clf_builder *b, const clf_flamingo_desc *d, clf_model *m, clf_error *err)
{
    const bool perceiver = d->perceiver.layer_count > 0, gated = d->gated.layer_count > 0;
    const int64_t tokens = perceiver ? d->perceiver.latents.dim[1] : 0;
    const int64_t media = gated ? clf_attention_layer_context_width(&d->gated.layers[0].attention) : tokens;

    if (perceiver && tokens != media)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: the perceiver's latents have %" PRId64 " columns; want %" PRId64 ", those of the gated "
                        "layer's key weight",
                        b->family, tokens, media);
    return clf_build_letter(b, m, "Dv", media, err);
}

clf_status clf_build_flamingo(const clf_builder *b, const clf_flamingo_desc *d, clf_model *m, clf_error *err)
{
    clf_flamingo_model *model = clf_alloc(1, sizeof *model);

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    model->model_class = clf_flamingo_class;
    model->model_class.module = d->gated.layer_count > 0 ? "cross_attention" : "resampler";
    m->model_class = &model->model_class;
    m->module = model;
    model->ctx = b->ctx;
    model->sight = d->sight;
    model->attention_of_tokens = d->attention_of_tokens;
    model->perceiver_layer = b->layer == CLF_ALL_LAYERS ? 0 : b->layer;
    add_ports(model, d);
    CLF_TRY(build_width(b, d, m, err));
    if (d->perceiver.layer_count > 0)
        CLF_TRY(build_perceiver(b, d, model, m, err));
    return d->gated.layer_count > 0 ? build_gated(b, d, model, m, err) : CLF_OK;
}
