/* clfusion's relevance: the cells of a picture that matter to a query, after ARR-COC-0-1.
 *
 * participatory_scorer.texture_proj.{0, 2}.{weight [F, 13, 1, 1], [Q, F, 1, 1], bias}
 * balancer.weight_predictor.{0, 2, 4}.{weight [P, 9 + Q], [P', P], [3, P'], bias}
 *
 * Options grid (32), k (200, or all cells where they are fewer), min_tokens (64), max_tokens (400), total (none),
 * scale ("batch", "picture"), query_dim.
 *
 * How many rows dense_tokens has depends on the budgets, so with its inputs at hand planning computes them, on a stream of
 * its own; without their memory, or a device, the plan says the most there can be. */
#include <clfusion/detail_pool.h>
#include <clfusion/relevance.h>

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "fusion/orthonormal.h"
#include "fusion/weight.h"
#include "models/registry.h"
#include "models/values.h"
#include "runtime/op.h"

typedef struct clf_relevance_model {
    clf_context *ctx;
    clf_relevance *relevance;
    int32_t max_tokens;
    uint64_t cell_products;    /* multiply-adds of the participatory map, for each cell */
    uint64_t query_products;   /* and for each query */
    uint64_t picture_products; /* of the weights of the maps */
} clf_relevance_model;

enum { IMAGE, TEXTURES_IN, QUERY, VISION, DENSE };
enum {
    TOKENS,
    RELEVANCE,
    TEXTURES,
    INFORMATION,
    PERSPECTIVAL,
    PARTICIPATORY,
    WEIGHTS,
    INDICES,
    BUDGETS,
    POSITIONS,
    DENSE_TOKENS,
    LENGTHS
};

/* The inputs of a call; outputs are the caller's to say. */
static clf_relevance_call inputs_of(const clf_call *call)
{
    clf_relevance_call c = clf_relevance_call_default();

    c.image = call->in[IMAGE];
    c.given_textures = call->in[TEXTURES_IN];
    c.query = call->in[QUERY];
    c.vision = call->in[VISION];
    c.dense = call->in[DENSE];
    return c;
}

/* ---- planning ---- */

static bool has_memory(const clf_call *call, size_t port)
{
    const clf_value *given = call->given[port];

    return !clf_present(call->in[port]) || given->host != NULL || given->tensor.mem != NULL;
}

/* The budgets [B, k] of the call's cells, computed and waited for. */
static clf_status find_budgets(const clf_relevance_model *m, const clf_call *call, clf_stream *s, int32_t *budgets,
                               clf_error *err)
{
    const clf_scope scope = clf_scope_open(s, call->family, -1);
    clf_call placed = *call;
    clf_relevance_call c;

    for (size_t i = IMAGE; i <= QUERY; i++)
        if (clf_present(call->in[i])) {
            clf_value value = *call->given[i];

            if (value.host != NULL) /* what the device has may still be on its way there */
                value.tensor.mem = NULL;
            placed.in[i] = clf_values_on_device(s, &value, clf_tensor_dims(call->in[i]));
        }
    c = inputs_of(&placed);
    c.budgets = clf_scratch(s, CLF_I32, CLF_DIMS(call->in[DENSE].dim[0], clf_relevance_count(m->relevance)));
    clf_relevance_forward(s, m->relevance, &c);
    clf_download(s, c.budgets, budgets);
    clf_scope_close(s, scope);
    return clf_stream_finish(s, err);
}

/* The same on a stream of its own. */
static clf_status run_budgets(const clf_relevance_model *m, const clf_call *call, int32_t *budgets, clf_error *err)
{
    clf_stream *s = NULL;
    clf_status status = clf_stream_create(m->ctx, NULL, &s, err);

    if (status != CLF_OK)
        return status;
    status = find_budgets(m, call, s, budgets, err);
    clf_stream_reset(s); /* the error has been told */
    clf_stream_destroy(s);
    return status;
}

/* The rows of dense_tokens. */
static clf_status count_rows(const clf_relevance_model *m, const clf_call *call, int64_t *rows, clf_error *err)
{
    const int64_t cells = call->in[DENSE].dim[0] * clf_relevance_count(m->relevance), S = call->in[DENSE].dim[2];
    int32_t *budgets;
    clf_status status;

    CLF_TRY(clf_detail_plan(&m->max_tokens, 1, S, rows, err));
    *rows *= cells;
    if (cells == 0 || !clf_context_has_device(m->ctx) || !has_memory(call, IMAGE) || !has_memory(call, TEXTURES_IN) ||
        !has_memory(call, QUERY))
        return CLF_OK;
    budgets = clf_alloc((size_t)cells, sizeof *budgets);
    if (budgets == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the budgets of %" PRId64 " cells", call->family,
                        cells);
    status = run_budgets(m, call, budgets, err);
    if (status == CLF_OK)
        status = clf_detail_plan(budgets, (size_t)cells, S, rows, err);
    clf_free(budgets);
    return status;
}

static clf_status bind_rows(const clf_relevance_model *m, clf_call *call, clf_error *err)
{
    clf_relevance_call c = inputs_of(call);
    int64_t rows;

    c.lengths = clf_tensor_shape(CLF_I64, CLF_DIMS(call->in[DENSE].dim[0], clf_relevance_count(m->relevance)));
    CLF_TRY(clf_relevance_check(m->relevance, &c, err));
    if (call->wanted[DENSE_TOKENS] == SIZE_MAX)
        return CLF_OK;
    CLF_TRY(count_rows(m, call, &rows, err));
    return clf_letters_bind(&call->letters, call->family, "M", rows, "dense", err);
}

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    if (clf_present(call->in[IMAGE]) && clf_present(call->in[TEXTURES_IN]))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: image and textures are given; want one of them", call->family);
    if (clf_present(call->in[IMAGE]) && (call->in[IMAGE].dim[2] < 1 || call->in[IMAGE].dim[3] < 1))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: image is %s; want at least one pixel", call->family,
                        CLF_TEXT(call->in[IMAGE]));
    return clf_present(call->in[DENSE]) ? bind_rows(module, call, err) : CLF_OK;
}

/* ---- running ---- */

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_relevance_model *m = module;
    clf_relevance_call c = inputs_of(call);

    c.tokens = call->out[TOKENS];
    c.relevance = call->out[RELEVANCE];
    c.textures = call->out[TEXTURES];
    c.information = call->out[INFORMATION];
    c.perspectival = call->out[PERSPECTIVAL];
    c.participatory = call->out[PARTICIPATORY];
    c.weights = call->out[WEIGHTS];
    c.indices = call->out[INDICES];
    c.budgets = call->out[BUDGETS];
    c.positions = call->out[POSITIONS];
    c.dense_tokens = call->out[DENSE_TOKENS];
    c.lengths = call->out[LENGTHS];
    clf_relevance_forward(s, m->relevance, &c);
}

/* Whether one of these outputs is wanted. */
static bool wants(const clf_call *call, uint32_t outputs)
{
    for (size_t o = 0; o <= LENGTHS; o++)
        if ((outputs >> o & 1U) != 0 && clf_present(call->out[o]))
            return true;
    return false;
}

/* The products.  Textures, entropies and what else is done to a cell count as 300: 48 interpolated colours and 13
 * channels. */
static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_relevance_model *m = module;
    const uint32_t textures = 1U << TEXTURES | 1U << INFORMATION | 1U << PERSPECTIVAL;
    const clf_tensor source = call->in[clf_present(call->in[IMAGE]) ? IMAGE : TEXTURES_IN];
    const uint64_t B = (uint64_t)clf_dim(source, 0), g = (uint64_t)clf_relevance_grid(m->relevance);
    uint64_t products = 300 * g * g;

    if (wants(call, ~textures))
        products += m->cell_products * g * g + m->query_products;
    if (wants(call, ~(textures | 1U << PARTICIPATORY)))
        products += m->picture_products;
    return 2 * B * products;
}

/* A picture of 448 x 448, and the 16 features of a cell. */
static int64_t example(const void *module, const char *letter)
{
    (void)module;
    switch (letter[0]) {
    case 'h':
    case 'w':
        return 448;
    case 'D':
    case 'E':
        return 1024;
    case 'S':
        return 16;
    default:
        return 0;
    }
}

static void destroy(void *module)
{
    clf_relevance_model *m = module;

    if (m != NULL)
        clf_relevance_destroy(m->relevance);
    clf_free(m);
}

#define IN(port) (1U << (port))
#define SOURCE .may = IN(IMAGE) | IN(TEXTURES_IN), .either = IN(IMAGE) | IN(TEXTURES_IN)
#define MAP(map)                                                                                                       \
    {                                                                                                                  \
        .name = (map), .shape = "[B, g, g]", SOURCE                                                                    \
    }
#define QUERIED(output, form)                                                                                          \
    {                                                                                                                  \
        .name = (output), .shape = (form), .needs = IN(QUERY), SOURCE                                                  \
    }
#define COUNTED(output, form, inputs)                                                                                  \
    {                                                                                                                  \
        .name = (output), .shape = (form), .needs = (inputs), SOURCE, .kind = CLF_PORT_IDS                             \
    }

static const clf_model_class relevance_class = {
    .module = "relevance",
    .inputs = { { .name = "image", .shape = "[B, 3, h, w]" },
                { .name = "textures", .shape = "[B, 13, g, g]" },
                { .name = "query", .shape = "[B, Q]" },
                { .name = "vision", .shape = "[B, N, D]" },
                { .name = "dense", .shape = "[B, k, S, E]" } },
    .input_count = 5,
    .outputs = { { .name = "tokens", .shape = "[B, k, D]", .needs = IN(QUERY) | IN(VISION), SOURCE, .like = VISION },
                 QUERIED("relevance", "[B, g, g]"),
                 { .name = "textures", .shape = "[B, 13, g, g]", SOURCE },
                 MAP("information"),
                 MAP("perspectival"),
                 QUERIED("participatory", "[B, g, g]"),
                 QUERIED("weights", "[B, 3]"),
                 COUNTED("indices", "[B, k]", IN(QUERY)),
                 COUNTED("budgets", "[B, k]", IN(QUERY)),
                 COUNTED("positions", "[B, k, 3]", IN(QUERY)),
                 { .name = "dense_tokens", .shape = "[M, E]", .needs = IN(QUERY) | IN(DENSE), SOURCE, .like = DENSE },
                 COUNTED("lengths", "[B, k]", IN(QUERY) | IN(DENSE)) },
    .output_count = 12,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .example = example,
    .destroy = destroy,
};

/* ---- building ---- */

/* A convolution of 1 x 1 as a Linear. */
static clf_status read_texture(const clf_builder *b, int number, int64_t in, const char *in_is, clf_linear_layer *layer,
                               clf_error *err)
{
    char name[64];
    clf_host_tensor *w = &layer->weight;

    (void)clf_format(name, sizeof name, "participatory_scorer.texture_proj.%d.weight", number);
    CLF_TRY(clf_build_tensor(b, name, 4, w, err));
    if (w->dim[1] != in || w->dim[2] != 1 || w->dim[3] != 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [out, %" PRId64 ", 1, 1], %s", b->family, name,
                        CLF_HOST_TEXT(*w), in, in_is);
    w->rank = 2;
    (void)clf_format(name, sizeof name, "participatory_scorer.texture_proj.%d.bias", number);
    CLF_TRY(clf_build_tensor(b, name, 1, &layer->bias, err));
    if (layer->bias.dim[0] != w->dim[0])
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [%" PRId64 "], the rows of its weight", b->family, name,
                        CLF_HOST_TEXT(layer->bias), w->dim[0]);
    return CLF_OK;
}

static clf_status read_weights(const clf_builder *b, clf_relevance_desc *d, clf_error *err)
{
    static const char predictor[] = "balancer.weight_predictor.";
    clf_linear_layer *t = d->texture, *w = d->balance;

    CLF_TRY(read_texture(b, 0, CLF_TEXTURE_CHANNELS, "the channels of textures", &t[0], err));
    CLF_TRY(
        read_texture(b, 2, t[0].weight.dim[0], "the rows of participatory_scorer.texture_proj.0.weight", &t[1], err));
    CLF_TRY(clf_build_width(b, "query_dim", t[1].weight.dim[0],
                            "the rows of participatory_scorer.texture_proj.2.weight", err));
    for (int i = 0; i < 3; i++) {
        char name[64], in_is[100];

        (void)clf_format(name, sizeof name, "%s%d", predictor, 2 * i);
        (void)clf_format(in_is, sizeof in_is, "the rows of %s%d.weight", predictor, 2 * (i - 1));
        CLF_TRY(clf_build_linear(b, name, true, i == 0 ? 9 + t[1].weight.dim[0] : w[i - 1].weight.dim[0],
                                 i == 0 ? "9 and the rows of participatory_scorer.texture_proj.2.weight" : in_is, &w[i],
                                 err));
    }
    if (w[2].weight.dim[0] != 3)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s4.weight is %s; want 3 rows, one for each map", b->family, predictor,
                        CLF_HOST_TEXT(w[2].weight));
    return CLF_OK;
}

/* The whole number at `key`, from `least` to `most`; as it was without it. */
static clf_status read_number(const clf_builder *b, const char *key, int64_t least, int64_t most, const char *most_is,
                              int64_t *value, clf_error *err)
{
    CLF_TRY(clf_config_int(b->config, key, value, err));
    if (clf_config_has(b->config, key) && (*value < least || *value > most))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want %" PRId64 " to %" PRId64 "%s", b->family, key,
                        *value, least, most, most_is);
    return CLF_OK;
}

static clf_status read_scale(const clf_builder *b, clf_min_max_over *scale, clf_error *err)
{
    const char *word = "batch";

    CLF_TRY(clf_config_text(b->config, "scale", &word, err));
    if (strcmp(word, "batch") != 0 && strcmp(word, "picture") != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: scale is %s; want batch or picture", b->family,
                        clf_text_quote(word, strlen(word)).text);
    *scale = strcmp(word, "picture") == 0 ? CLF_MIN_MAX_PICTURE : CLF_MIN_MAX_BATCH;
    return CLF_OK;
}

static clf_status read_options(const clf_builder *b, clf_relevance_desc *d, clf_error *err)
{
    int64_t cells;

    CLF_TRY(read_number(b, "grid", 2, CLF_TEXTURE_GRID, "", &d->grid, err));
    cells = d->grid * d->grid;
    CLF_TRY(read_number(b, "k", 1, cells, ", the cells of the grid", &d->k, err));
    d->k = d->k > 0 ? d->k : CLF_MIN(200, cells); /* the reference's */
    CLF_TRY(read_number(b, "max_tokens", 0, INT32_MAX, "", &d->max_tokens, err));
    CLF_TRY(read_number(b, "min_tokens", 0, d->max_tokens, ", max_tokens", &d->min_tokens, err));
    CLF_TRY(read_number(b, "total", d->k * d->min_tokens, d->k * d->max_tokens, ", k cells of min_tokens to max_tokens",
                        &d->total, err));
    d->storage = b->storage;
    d->source = b->source;
    return read_scale(b, &d->scale, err);
}

static clf_status give_letters(const clf_builder *b, const clf_relevance *r, clf_model *m, clf_error *err)
{
    const int64_t g = clf_relevance_grid(r);

    CLF_TRY(clf_build_letter(b, m, "g", g, err));
    CLF_TRY(clf_build_letter(b, m, "N", g * g, err));
    CLF_TRY(clf_build_letter(b, m, "k", clf_relevance_count(r), err));
    return clf_build_letter(b, m, "Q", clf_relevance_query_width(r), err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_relevance_desc d = clf_relevance_desc_default();
    clf_relevance_model *model;

    CLF_TRY(read_options(b, &d, err));
    CLF_TRY(read_weights(b, &d, err));
    m->model_class = &relevance_class;
    m->module = model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    model->ctx = b->ctx;
    model->max_tokens = (int32_t)d.max_tokens;
    for (int i = 0; i < 2; i++)
        clf_build_count_linear(m, &d.texture[i], b->storage);
    model->cell_products = clf_weight_products(&d.texture[0]);
    model->cell_products += clf_orthonormal_pays(&d.texture[1])
                                ? clf_orthonormal_products(&d.texture[1], &model->query_products)
                                : clf_weight_products(&d.texture[1]);
    for (int i = 0; i < 3; i++) {
        clf_build_count_linear(m, &d.balance[i], b->storage);
        model->picture_products += clf_weight_products(&d.balance[i]);
    }
    CLF_TRY(clf_relevance_create(b->ctx, &d, &model->relevance, err));
    return give_letters(b, model->relevance, m, err);
}

const clf_family clf_family_relevance = { .id = "relevance", .module = true, .build = build };
