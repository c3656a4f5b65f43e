/* clfusion's visual_vocabulary: head.weight [V, vision_dim], table.weight [V, llm_dim].
 *
 * mode is softmax or argmax.  vision_dim, vocab_size and llm_dim that are given must agree with the tensors. */
#include <clfusion/visual_vocabulary.h>

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/place.h"
#include "models/family.h"
#include "models/registry.h"

enum { VISION };
enum { TOKENS };

typedef struct clf_vocabulary_model {
    clf_visual_vocabulary *vocabulary;
    uint64_t products; /* multiply-adds of a token */
} clf_vocabulary_model;

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_vocabulary_model *m = module;
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS];
    clf_tensor y = tokens;

    if (y.dtype != CLF_F32 && y.dtype != vision.dtype)
        y = clf_scratch(s, CLF_F32, clf_tensor_dims(y));
    clf_visual_vocabulary_forward(s, m->vocabulary, vision, y);
    if (y.dtype != tokens.dtype)
        clf_place(s, y, tokens);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_vocabulary_model *m = module;

    return 2 * m->products * (uint64_t)clf_row_count(call->in[VISION]);
}

static void destroy(void *module)
{
    clf_vocabulary_model *m = module;

    if (m != NULL)
        clf_visual_vocabulary_destroy(m->vocabulary);
    clf_free(m);
}

static const clf_model_class vocabulary_class = {
    .module = "visual_vocabulary",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" } },
    .input_count = 1,
    .outputs = { { .name = "tokens", .shape = "[B, N, Dt]", .needs = 1U << VISION } },
    .output_count = 1,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

static clf_status read_mode(const clf_builder *b, clf_vocabulary_mode *mode, clf_error *err)
{
    const char *name = NULL;

    CLF_TRY(clf_config_text(b->config, "mode", &name, err));
    if (name == NULL)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: mode is missing; want softmax or argmax", b->family);
    if (strcmp(name, "softmax") != 0 && strcmp(name, "argmax") != 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: mode is %s; want softmax or argmax", b->family,
                        clf_text_quote(name, strlen(name)).text);
    *mode = strcmp(name, "softmax") == 0 ? CLF_VOCABULARY_SOFTMAX : CLF_VOCABULARY_ARGMAX;
    return CLF_OK;
}

static clf_status read_desc(const clf_builder *b, clf_visual_vocabulary_desc *d, clf_error *err)
{
    CLF_TRY(read_mode(b, &d->mode, err));
    CLF_TRY(clf_build_tensor(b, "head.weight", 2, &d->head, err));
    CLF_TRY(clf_build_tensor(b, "table.weight", 2, &d->table, err));
    if (d->table.dim[0] != d->head.dim[0])
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: table.weight is %s; want the rows of head.weight %s", b->family,
                        CLF_HOST_TEXT(d->table), CLF_HOST_TEXT(d->head));
    CLF_TRY(clf_build_width(b, "vision_dim", d->head.dim[1], "the columns of head.weight", err));
    CLF_TRY(clf_build_width(b, "vocab_size", d->head.dim[0], "the rows of head.weight", err));
    CLF_TRY(clf_build_width(b, "llm_dim", d->table.dim[1], "the columns of table.weight", err));
    d->storage = b->storage;
    d->source = b->source;
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_visual_vocabulary_desc d = clf_visual_vocabulary_desc_default();

    CLF_TRY(read_desc(b, &d, err));
    clf_vocabulary_model *model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &vocabulary_class;
    m->module = model;
    model->products = (uint64_t)(d.head.dim[0] * d.head.dim[1]);
    if (d.mode == CLF_VOCABULARY_SOFTMAX)
        model->products += (uint64_t)(d.table.dim[0] * d.table.dim[1]);
    clf_build_count(m, d.head, b->storage);
    clf_build_count(m, d.table, b->storage);
    CLF_TRY(clf_build_letter(b, m, "Dv", d.head.dim[1], err));
    CLF_TRY(clf_build_letter(b, m, "Dt", d.table.dim[1], err));
    return clf_visual_vocabulary_create(b->ctx, &d, &model->vocabulary, err);
}

const clf_family clf_family_visual_vocabulary = { .id = "visual_vocabulary", .module = true, .build = build };
