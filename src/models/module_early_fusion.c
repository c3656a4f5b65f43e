/* clfusion's early_fusion: pictures or features, then text, with positions and modalities added.
 *
 * patch_embed.{weight [D, C, p, p], bias} for `image`; or vision_proj.{weight [D, Dv], bias} for `vision`; or neither, when
 * features are D wide.  text_embed.weight [V, D] for `text_ids`; without it `text`.
 * vision_pos_embed [rows, D], text_pos_embed [rows, D], modality_embed [2, D]: each may be missing.
 * Options: dim, patch_size, vocab_size; those that are given must agree with the tensors. */
#include <clfusion/early_fusion.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "models/module.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_early_fusion_model {
    clf_early_fusion *fusion;
    uint64_t products;               /* multiply-adds of one visual token */
    int64_t patch;                   /* 0: features */
    int64_t most_tokens, most_words; /* rows of the tables of positions; 0: any number */
} clf_early_fusion_model;

enum { VISION, TEXT, VISION_MASK, TEXT_MASK };
enum { FUSED, TOKENS, HIDDEN, MASK };

/* N of a picture. */
static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_early_fusion_model *m = module;
    const clf_tensor vision = call->in[VISION];
    int64_t N;

    if (vision.rank == 0) /* the text alone */
        return CLF_OK;
    CLF_TRY(clf_early_fusion_check(m->fusion, vision, &N, err));
    return clf_letters_bind(&call->letters, call->family, "N", N, m->patch > 0 ? "image" : "vision", err);
}

static void give_mask(clf_stream *s, const clf_call *call)
{
    const clf_tensor mask = call->out[MASK];
    const int64_t B = mask.dim[0], N = clf_letters_find(&call->letters, "N")->value, T = mask.dim[1] - N;
    const size_t count = (size_t)clf_element_count(mask);
    int64_t *values = clf_alloc(count, sizeof *values);

    if (values == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for mask %s", call->family, CLF_TEXT(mask));
        return;
    }
    clf_early_fusion_mask(call->ids[VISION_MASK], call->ids[TEXT_MASK], B, N, T, values);
    clf_upload_copy(s, values, count * sizeof *values, mask);
    clf_free(values);
}

static void give_text(clf_stream *s, const clf_early_fusion_model *m, const clf_call *call, clf_tensor words)
{
    const int64_t *ids = call->ids[TEXT];

    clf_early_fusion_text(s, m->fusion, ids == NULL ? call->in[TEXT] : (clf_tensor){ 0 }, ids, words);
}

/* Both sides in one sequence, and each where it is asked for beside. */
static void fuse(clf_stream *s, const clf_early_fusion_model *m, const clf_call *call)
{
    const clf_tensor fused = call->out[FUSED], tokens = call->out[TOKENS], hidden = call->out[HIDDEN];
    const int64_t N = clf_letters_find(&call->letters, "N")->value;
    const clf_tensor left = clf_slice(s, fused, 1, 0, N), right = clf_slice(s, fused, 1, N, fused.dim[1] - N);

    clf_early_fusion_vision(s, m->fusion, call->in[VISION], left);
    give_text(s, m, call, right);
    if (clf_present(tokens))
        clf_place(s, left, tokens);
    if (clf_present(hidden))
        clf_place(s, right, hidden);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_early_fusion_model *m = module;
    const clf_tensor tokens = call->out[TOKENS], hidden = call->out[HIDDEN];

    if (clf_present(call->out[MASK]))
        give_mask(s, call);
    if (clf_present(call->out[FUSED])) {
        fuse(s, m, call);
        return;
    }
    if (clf_present(tokens))
        clf_early_fusion_vision(s, m->fusion, call->in[VISION], tokens);
    if (clf_present(hidden))
        give_text(s, m, call, hidden);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_early_fusion_model *m = module;
    const clf_letter *N = clf_letters_find(&call->letters, "N");

    return N != NULL ? 2 * m->products * (uint64_t)(call->in[VISION].dim[0] * N->value) : 0;
}

/* A row of 256 patches, or as many as the table of positions has. */
static int64_t example(const void *module, const char *letter)
{
    const clf_early_fusion_model *m = module;
    const int64_t tokens = m->most_tokens > 0 ? CLF_MIN(m->most_tokens, 256) : 256;

    switch (letter[0]) {
    case 'h':
        return m->patch;
    case 'w':
        return m->patch * tokens;
    case 'N':
        return tokens;
    case 'T':
        return m->most_words > 0 ? CLF_MIN(m->most_words, 32) : 32;
    default:
        return 0;
    }
}

static void destroy(void *module)
{
    clf_early_fusion_model *m = module;

    if (m != NULL)
        clf_early_fusion_destroy(m->fusion);
    clf_free(m);
}

#define IMAGE                                                                                                          \
    {                                                                                                                  \
        .name = "image", .shape = "[B, C, h, w]"                                                                       \
    }
#define FEATURES                                                                                                       \
    {                                                                                                                  \
        .name = "vision", .shape = "[B, N, Dv]"                                                                        \
    }
#define IDS                                                                                                            \
    {                                                                                                                  \
        .name = "text_ids", .shape = "[B, T]", .kind = CLF_PORT_IDS                                                    \
    }
#define EMBEDDED                                                                                                       \
    {                                                                                                                  \
        .name = "text", .shape = "[B, T, Dt]"                                                                          \
    }
#define BOTH (1U << VISION | 1U << TEXT)
#define CLASS(vision, text)                                                                                            \
    {                                                                                                                  \
        .module = "early_fusion",                                                                                      \
        .inputs = { vision,                                                                                            \
                    text,                                                                                              \
                    { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS },                                \
                    { .name = "text_mask", .shape = "[B, T]", .kind = CLF_PORT_IDS } },                                \
        .input_count = 4,                                                                                              \
        .outputs = { { .name = "fused", .shape = "[B, N + T, Dt]", .needs = BOTH, .dense_f32 = true },                 \
                     { .name = "tokens", .shape = "[B, N, Dt]", .needs = 1U << VISION, .dense_f32 = true },            \
                     { .name = "hidden", .shape = "[B, T, Dt]", .needs = 1U << TEXT, .dense_f32 = true },              \
                     { .name = "mask",                                                                                 \
                       .shape = "[B, N + T]",                                                                          \
                       .needs = BOTH,                                                                                  \
                       .may = 1U << VISION_MASK | 1U << TEXT_MASK,                                                     \
                       .kind = CLF_PORT_IDS } },                                                                       \
        .output_count = 4, .shape = shape, .forward = forward, .flop = flop, .example = example, .destroy = destroy,   \
    }

static const clf_model_class classes[2][2] = { { CLASS(FEATURES, EMBEDDED), CLASS(FEATURES, IDS) },
                                               { CLASS(IMAGE, EMBEDDED), CLASS(IMAGE, IDS) } };

/* ---- building ---- */

/* A tensor that may be missing. */
static clf_status read_optional(const clf_builder *b, const char *name, int32_t rank, clf_host_tensor *t,
                                clf_error *err)
{
    bool there;

    CLF_TRY(clf_build_has(b, name, &there, err));
    return there ? clf_build_tensor(b, name, rank, t, err) : CLF_OK;
}

/* patch_embed or vision_proj, or nothing. */
static clf_status read_vision(const clf_builder *b, clf_early_fusion_desc *d, clf_error *err)
{
    bool pixels, features;

    CLF_TRY(clf_build_has(b, "patch_embed.weight", &pixels, err));
    CLF_TRY(clf_build_has(b, "vision_proj.weight", &features, err));
    if (pixels) {
        CLF_TRY(clf_build_tensor(b, "patch_embed.weight", 4, &d->patch.weight, err));
        CLF_TRY(read_optional(b, "patch_embed.bias", 1, &d->patch.bias, err));
        CLF_TRY(
            clf_build_width(b, "patch_size", d->patch.weight.dim[2], "the rows of a patch of patch_embed.weight", err));
    }
    return features ? clf_build_linear(b, "vision_proj", true, 0, NULL, &d->vision, err) : CLF_OK;
}

/* D by the first tensor that says it. */
static clf_status read_width(const clf_builder *b, clf_early_fusion_desc *d, clf_error *err)
{
    const struct {
        const char *what;
        clf_host_tensor t;
        int dim;
    } tensors[] = { { "the rows of patch_embed.weight", d->patch.weight, 0 },
                    { "the rows of vision_proj.weight", d->vision.weight, 0 },
                    { "the columns of text_embed.weight", d->text_embed, 1 },
                    { "the columns of vision_pos_embed", d->vision_positions, 1 },
                    { "the columns of text_pos_embed", d->text_positions, 1 },
                    { "the columns of modality_embed", d->modalities, 1 } };

    for (size_t i = 0; i < CLF_COUNT(tensors); i++)
        if (clf_host_present(tensors[i].t)) {
            d->width = tensors[i].t.dim[tensors[i].dim];
            return clf_build_width(b, "dim", d->width, tensors[i].what, err);
        }
    return CLF_FAIL(err, CLF_BAD_FILE,
                    "%s: no tensor; want patch_embed, vision_proj, text_embed, vision_pos_embed, text_pos_embed or "
                    "modality_embed",
                    b->family);
}

static clf_status count(const clf_builder *b, const clf_early_fusion_desc *d, clf_model *m, clf_error *err)
{
    clf_build_count(m, d->patch.weight, b->storage);
    clf_build_count_f32(m, d->patch.bias);
    clf_build_count_linear(m, &d->vision, b->storage);
    clf_build_count(m, d->text_embed, b->storage);
    clf_build_count_f32(m, d->vision_positions);
    clf_build_count_f32(m, d->text_positions);
    clf_build_count_f32(m, d->modalities);
    if (clf_host_present(d->patch.weight))
        CLF_TRY(clf_build_letter(b, m, "C", d->patch.weight.dim[1], err));
    else
        CLF_TRY(
            clf_build_letter(b, m, "Dv", clf_host_present(d->vision.weight) ? d->vision.weight.dim[1] : d->width, err));
    return clf_build_letter(b, m, "Dt", d->width, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_early_fusion_desc d = clf_early_fusion_desc_default();

    CLF_TRY(read_vision(b, &d, err));
    CLF_TRY(read_optional(b, "text_embed.weight", 2, &d.text_embed, err));
    CLF_TRY(read_optional(b, "vision_pos_embed", 2, &d.vision_positions, err));
    CLF_TRY(read_optional(b, "text_pos_embed", 2, &d.text_positions, err));
    CLF_TRY(read_optional(b, "modality_embed", 2, &d.modalities, err));
    CLF_TRY(read_width(b, &d, err));
    if (clf_host_present(d.text_embed))
        CLF_TRY(clf_build_width(b, "vocab_size", d.text_embed.dim[0], "the rows of text_embed.weight", err));
    d.storage = b->storage;
    d.source = b->source;

    clf_early_fusion_model *model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &classes[clf_host_present(d.patch.weight)][clf_host_present(d.text_embed)];
    m->module = model;
    model->patch = clf_host_present(d.patch.weight) ? d.patch.weight.dim[2] : 0;
    model->products = clf_weight_products(model->patch > 0 ? &d.patch : &d.vision);
    model->most_tokens = clf_host_present(d.vision_positions) ? d.vision_positions.dim[0] : 0;
    model->most_words = clf_host_present(d.text_positions) ? d.text_positions.dim[0] : 0;
    CLF_TRY(count(b, &d, m, err));
    return clf_early_fusion_create(b->ctx, &d, &model->fusion, err);
}

const clf_family clf_family_early_fusion = { .id = "early_fusion", .module = true, .build = build };
