/* clfusion's top_k and query_aware: the k visual tokens that a text asks for.
 *
 * No tensors.  Option k; order, "position" (default) or "score"; of query_aware also pool, "mean" (default), "max" or
 * "per-token-max", and cosine (false). */
#include <clfusion/select.h>
#include <clfusion/widen.h>

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/place.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_select_model {
    clf_select_options options;
    int64_t k;
} clf_select_model;

enum { VISION, TEXT };
enum { TOKENS, SCORES, INDICES };

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_select_model *m = module;
    const clf_tensor vision = call->in[VISION], text = call->in[TEXT];

    if (vision.dim[1] < m->k)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: k is %" PRId64 "; want 1 to %" PRId64 ", the tokens of vision %s", call->family, m->k,
                        vision.dim[1], CLF_TEXT(vision));
    if (text.dim[1] < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: text is %s; want at least one row of each picture",
                        call->family, CLF_TEXT(text));
    return CLF_OK;
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_select_model *m = module;
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS], scores = call->out[SCORES];
    const int64_t B = vision.dim[0], D = vision.dim[2];
    const clf_tensor indices = clf_scratch(s, CLF_I32, CLF_DIMS(B, m->k));
    clf_tensor kept = tokens, best = scores;

    if (clf_present(kept) && kept.dtype != CLF_F32 && kept.dtype != vision.dtype)
        kept = clf_scratch(s, CLF_F32, CLF_DIMS(B, m->k, D));
    if (clf_present(best) && best.dtype != CLF_F32)
        best = clf_scratch(s, CLF_F32, CLF_DIMS(B, m->k));
    clf_select_tokens(s, vision, call->in[TEXT], &m->options, indices, best, kept);
    if (kept.dtype != tokens.dtype)
        clf_place(s, kept, tokens);
    if (best.dtype != scores.dtype)
        clf_place(s, best, scores);
    if (clf_present(call->out[INDICES]))
        clf_widen(s, indices, call->out[INDICES]);
}

/* The products of scores. */
static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_select_model *m = module;
    const uint64_t T = (uint64_t)call->in[TEXT].dim[1];

    return 2 * (uint64_t)clf_element_count(call->in[VISION]) * (m->options.pool == CLF_SELECT_TOKEN_MAX ? T : 1);
}

#define BOTH (1U << VISION | 1U << TEXT)
#define PORTS(text_shape)                                                                                              \
    .inputs = { { .name = "vision", .shape = "[B, N, D]" }, { .name = "text", .shape = (text_shape) } },               \
    .input_count = 2,                                                                                                  \
    .outputs = { { .name = "tokens", .shape = "[B, k, D]", .needs = BOTH },                                            \
                 { .name = "scores", .shape = "[B, k]", .needs = BOTH },                                               \
                 { .name = "indices", .shape = "[B, k]", .needs = BOTH, .kind = CLF_PORT_IDS } },                      \
    .output_count = 3, .shape = shape, .forward = forward, .flop = flop, .destroy = clf_free

static const clf_model_class one_query_class = { .module = "top_k", PORTS("[B, 1, D]") };
static const clf_model_class text_class = { .module = "query_aware", PORTS("[B, T, D]") };

static clf_status read_k(const clf_builder *b, int64_t *k, clf_error *err)
{
    if (!clf_config_has(b->config, "k"))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: k is missing; want the number of tokens to keep", b->family);
    CLF_TRY(clf_config_int(b->config, "k", k, err));
    if (*k < 1 || *k > INT32_MAX)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: k is %" PRId64 "; want 1 to %d", b->family, *k, INT32_MAX);
    return CLF_OK;
}

/* The number of the word at `key` in `words`, which NULL ends; *value as it was when the key is not there. */
static clf_status read_word(const clf_builder *b, const char *key, const char *const *words, int *value, clf_error *err)
{
    const char *word = words[*value];
    char list[80] = "";
    size_t used = 0;

    CLF_TRY(clf_config_text(b->config, key, &word, err));
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0) {
            *value = i;
            return CLF_OK;
        }
        used += clf_format(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want one of %s", b->family, key,
                    clf_text_quote(word, strlen(word)).text, list);
}

static clf_status build_part(const clf_builder *b, bool query_aware, clf_model *m, clf_error *err)
{
    static const char *const orders[] = { [CLF_TOP_K_BY_SCORE] = "score", [CLF_TOP_K_BY_POSITION] = "position", NULL };
    static const char *const pools[] = {
        [CLF_SELECT_MEAN] = "mean", [CLF_SELECT_MAX] = "max", [CLF_SELECT_TOKEN_MAX] = "per-token-max", NULL
    };
    clf_select_model *model = clf_alloc(1, sizeof *model);
    int order = CLF_TOP_K_BY_POSITION, pool = CLF_SELECT_MEAN;

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = query_aware ? &text_class : &one_query_class;
    m->module = model;
    model->options = clf_select_options_default();
    CLF_TRY(read_k(b, &model->k, err));
    CLF_TRY(read_word(b, "order", orders, &order, err));
    if (query_aware) {
        CLF_TRY(read_word(b, "pool", pools, &pool, err));
        CLF_TRY(clf_config_bool(b->config, "cosine", &model->options.cosine, err));
    }
    model->options.order = (clf_top_k_order)order;
    model->options.pool = (clf_select_pool)pool;
    return clf_build_letter(b, m, "k", model->k, err);
}

static clf_status build_top_k(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build_part(b, false, m, err);
}

static clf_status build_query_aware(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build_part(b, true, m, err);
}

const clf_family clf_family_top_k = { .id = "top_k", .module = true, .build = build_top_k };
const clf_family clf_family_query_aware = { .id = "query_aware", .module = true, .build = build_query_aware };
