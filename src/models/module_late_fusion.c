/* clfusion's late_fusion: each modality pooled to one vector, projected, merged, classified.
 *
 * vision_proj.{weight [D, Dv], bias}, text_proj.{weight [D, Dt], bias}
 * classifier.{weight [classes, 2 D or D], bias}     may be missing
 * vision_pool.query [Dv], text_pool.query [Dt]      with pool "attention"
 *
 * Options vision_dim, text_dim, dim, num_classes, pool (mean, cls, attention), merge (concat, add). */
#include <clfusion/late_fusion.h>

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/masks.h"
#include "models/registry.h"
#include "runtime/op.h"

enum { VISION, VISION_MASK, TEXT, TEXT_MASK };
enum { FUSED, IMAGE_EMBEDS, TEXT_EMBEDS, LOGITS };

typedef struct late_model {
    clf_late_fusion *late;
    bool scored; /* pool "attention": a product for the scores of the rows */
    bool cls;
} late_model;

/* Scratch f32 [B, N] for the ids of a mask: 0 where a row is seen, -inf where not; absent without one. */
static clf_tensor mask_of(clf_stream *s, const clf_call *call, int port)
{
    const clf_tensor none = { 0 };

    if (call->ids[port] == NULL)
        return none;
    return clf_mask_upload(s, call->ids[port], clf_tensor_dims(call->in[port]));
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const late_model *m = module;
    clf_late_fusion_call c = clf_late_fusion_call_default();

    c.vision = call->in[VISION];
    c.vision_mask = mask_of(s, call, VISION_MASK);
    c.text = call->in[TEXT];
    c.text_mask = mask_of(s, call, TEXT_MASK);
    c.image_embeds = call->out[IMAGE_EMBEDS];
    c.text_embeds = call->out[TEXT_EMBEDS];
    c.fused = call->out[FUSED];
    c.logits = call->out[LOGITS];
    clf_late_fusion_forward(s, m->late, &c);
}

static uint64_t side_products(const late_model *m, clf_tensor x, int64_t D)
{
    const uint64_t rows = m->cls ? 0 : (uint64_t)x.dim[1] * (m->scored ? 2 : 1); /* scores, and the weighted sum */

    return (uint64_t)x.dim[0] * (uint64_t)x.dim[2] * (rows + (uint64_t)D);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const late_model *m = module;
    const clf_tensor logits = call->out[LOGITS];
    const bool both = clf_present(call->out[FUSED]) || clf_present(logits);
    const int64_t D = clf_late_fusion_width(m->late);
    uint64_t products = 0;

    if (both || clf_present(call->out[IMAGE_EMBEDS]))
        products += side_products(m, call->in[VISION], D);
    if (both || clf_present(call->out[TEXT_EMBEDS]))
        products += side_products(m, call->in[TEXT], D);
    if (clf_present(logits))
        products += (uint64_t)clf_element_count(logits) * (uint64_t)clf_late_fusion_fused_width(m->late);
    return 2 * products;
}

static void destroy(void *module)
{
    late_model *m = module;

    if (m != NULL)
        clf_late_fusion_destroy(m->late);
    clf_free(m);
}

#define IN(port) (1U << (port))
#define OF_BOTH .needs = IN(VISION) | IN(TEXT), .may = IN(VISION_MASK) | IN(TEXT_MASK)

#define LATE_CLASS(count)                                                                                              \
    {                                                                                                                  \
        .module = "late_fusion",                                                                                       \
        .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },                                                       \
                    { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS },                                \
                    { .name = "text", .shape = "[B, T, Dt]" },                                                         \
                    { .name = "text_mask", .shape = "[B, T]", .kind = CLF_PORT_IDS } },                                \
        .input_count = 4,                                                                                              \
        .outputs = { { .name = "fused", .shape = "[B, F]", OF_BOTH },                                                  \
                     { .name = "image_embeds", .shape = "[B, D]", .needs = IN(VISION), .may = IN(VISION_MASK) },       \
                     { .name = "text_embeds", .shape = "[B, D]", .needs = IN(TEXT), .may = IN(TEXT_MASK) },            \
                     { .name = "logits", .shape = "[B, L]", OF_BOTH } },                                               \
        .output_count = (count), .forward = forward, .flop = flop, .destroy = destroy,                                 \
    }

static const clf_model_class plain_class = LATE_CLASS(3), classifier_class = LATE_CLASS(4);

/* ---- building ---- */

/* The option `key` as one of `count` words; *index as it was without it. */
static clf_status read_word(const clf_builder *b, const char *key, const char *const *words, size_t count,
                            const char *want, size_t *index, clf_error *err)
{
    const char *word = NULL;

    CLF_TRY(clf_config_text(b->config, key, &word, err));
    for (size_t i = 0; word != NULL && i < count; i++)
        if (strcmp(word, words[i]) == 0) {
            *index = i;
            return CLF_OK;
        }
    if (word == NULL)
        return CLF_OK;
    return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want %s", b->family, key, clf_text_quote(word, strlen(word)).text,
                    want);
}

static clf_status read_query(const clf_builder *b, const char *name, const char *projection, int64_t C,
                             clf_host_tensor *query, clf_error *err)
{
    CLF_TRY(clf_build_tensor(b, name, 1, query, err));
    if (query->dim[0] != C)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [%" PRId64 "], the columns of %s.weight", b->family,
                        name, CLF_HOST_TEXT(*query), C, projection);
    return CLF_OK;
}

static clf_status read_options(const clf_builder *b, clf_late_fusion_desc *d, clf_error *err)
{
    static const char *const pools[] = { "mean", "cls", "attention" }, *const merges[] = { "concat", "add" };
    size_t pool = CLF_LATE_POOL_MEAN, merge = CLF_LATE_MERGE_CONCAT;

    CLF_TRY(read_word(b, "pool", pools, CLF_COUNT(pools), "mean, cls or attention", &pool, err));
    CLF_TRY(read_word(b, "merge", merges, CLF_COUNT(merges), "concat or add", &merge, err));
    d->pool = (clf_late_pool)pool;
    d->merge = (clf_late_merge)merge;
    d->storage = b->storage;
    d->source = b->source;
    return CLF_OK;
}

static clf_status read_sides(const clf_builder *b, clf_late_fusion_desc *d, clf_error *err)
{
    CLF_TRY(clf_build_linear(b, "vision_proj", true, 0, NULL, &d->vision.projection, err));
    CLF_TRY(clf_build_linear(b, "text_proj", true, 0, NULL, &d->text.projection, err));
    const clf_host_tensor v = d->vision.projection.weight, t = d->text.projection.weight;

    CLF_TRY(clf_build_width(b, "vision_dim", v.dim[1], "the columns of vision_proj.weight", err));
    CLF_TRY(clf_build_width(b, "text_dim", t.dim[1], "the columns of text_proj.weight", err));
    CLF_TRY(clf_build_width(b, "dim", v.dim[0], "the rows of vision_proj.weight", err));
    if (t.dim[0] != v.dim[0])
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: text_proj.weight is %s; want %" PRId64 " rows, as vision_proj.weight",
                        b->family, CLF_HOST_TEXT(t), v.dim[0]);
    if (d->pool != CLF_LATE_POOL_ATTENTION)
        return CLF_OK;
    CLF_TRY(read_query(b, "vision_pool.query", "vision_proj", v.dim[1], &d->vision.query, err));
    return read_query(b, "text_pool.query", "text_proj", t.dim[1], &d->text.query, err);
}

static clf_status read_classifier(const clf_builder *b, clf_late_fusion_desc *d, clf_error *err)
{
    const bool concat = d->merge == CLF_LATE_MERGE_CONCAT;
    const int64_t D = d->vision.projection.weight.dim[0];
    int64_t classes = 0;
    bool there;

    CLF_TRY(clf_build_has(b, "classifier.weight", &there, err));
    CLF_TRY(clf_config_int(b->config, "num_classes", &classes, err));
    if (!there && classes == 0)
        return CLF_OK;
    CLF_TRY(clf_build_linear(b, "classifier", true, concat ? 2 * D : D,
                             concat ? "the two embeddings of merge concat" : "the sum of merge add", &d->classifier,
                             err));
    return clf_build_width(b, "num_classes", d->classifier.weight.dim[0], "the rows of classifier.weight", err);
}

static void count(const clf_builder *b, const clf_late_fusion_desc *d, clf_model *m)
{
    clf_build_count_linear(m, &d->vision.projection, b->storage);
    clf_build_count_linear(m, &d->text.projection, b->storage);
    clf_build_count_linear(m, &d->classifier, b->storage);
    clf_build_count_f32(m, d->vision.query);
    clf_build_count_f32(m, d->text.query);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_late_fusion_desc d = clf_late_fusion_desc_default();
    late_model *model;

    CLF_TRY(read_options(b, &d, err));
    CLF_TRY(read_sides(b, &d, err));
    CLF_TRY(read_classifier(b, &d, err));
    m->model_class = clf_host_present(d.classifier.weight) ? &classifier_class : &plain_class;
    m->module = model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    model->scored = d.pool == CLF_LATE_POOL_ATTENTION;
    model->cls = d.pool == CLF_LATE_POOL_CLS;
    CLF_TRY(clf_late_fusion_create(b->ctx, &d, &model->late, err));
    count(b, &d, m);
    CLF_TRY(clf_build_letter(b, m, "Dv", clf_late_fusion_vision_width(model->late), err));
    CLF_TRY(clf_build_letter(b, m, "Dt", clf_late_fusion_text_width(model->late), err));
    CLF_TRY(clf_build_letter(b, m, "D", clf_late_fusion_width(model->late), err));
    CLF_TRY(clf_build_letter(b, m, "F", clf_late_fusion_fused_width(model->late), err));
    if (clf_late_fusion_classes(model->late) > 0)
        CLF_TRY(clf_build_letter(b, m, "L", clf_late_fusion_classes(model->late), err));
    return CLF_OK;
}

const clf_family clf_family_late_fusion = { .id = "late_fusion", .module = true, .build = build };
