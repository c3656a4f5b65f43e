/* token_plan: configuration -> family -> its rule -> share of the context. */
#include "models/token_plan.h"

#include <inttypes.h>

#include "checkpoint/file_map.h"
#include "core/alloc.h"
#include "core/desc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/family.h"

#define CLF_OP "token plan"

/* ---- typed keys ---- */

/* The next of "a.b|c"; *keys is NULL behind the last. */
static void next_key(const char **keys, char *key, size_t bytes)
{
    const size_t length = strcspn(*keys, "|");

    clf_format(key, bytes, "%.*s", (int)length, *keys);
    *keys = (*keys)[length] == '|' ? *keys + length + 1 : NULL;
}

clf_status clf_token_int(const clf_token_call *c, const char *keys, clf_token_size missing, int64_t *value,
                         clf_error *err)
{
    const clf_config *found = NULL;
    char key[80] = "";

    while (found == NULL && keys != NULL) {
        next_key(&keys, key, sizeof key);
        found = clf_config_has(c->config, key) ? c->config : clf_config_has(c->processor, key) ? c->processor : NULL;
    }
    *value = c->given && missing.of_class != 0 ? missing.of_class : missing.published;
    if (found == NULL)
        return CLF_OK;
    CLF_TRY(clf_config_int(found, key, value, err));
    if (*value < 1 || *value > CLF_TOKEN_PLAN_SIDE)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want 1 to %d", c->rule->family, key, *value,
                        CLF_TOKEN_PLAN_SIDE);
    return CLF_OK;
}

clf_status clf_token_bool(const clf_token_call *c, const char *key, bool *value, clf_error *err)
{
    return clf_config_bool(clf_config_has(c->config, key) ? c->config : c->processor, key, value, err);
}

clf_status clf_token_text(const clf_token_call *c, const char *key, const char **value, clf_error *err)
{
    return clf_config_text(clf_config_has(c->config, key) ? c->config : c->processor, key, value, err);
}

clf_status clf_token_pairs(const clf_token_call *c, const char *key, clf_resolution *pairs, size_t capacity,
                           size_t *count, clf_error *err)
{
    const clf_config *from = clf_config_has(c->config, key) ? c->config : c->processor;
    char entry[80];

    if (!clf_config_has(from, key))
        return CLF_OK;
    *count = clf_config_count(from, key);
    if (*count < 1 || *count > capacity)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has %zu entries; want 1 to %zu pairs of height and width",
                        c->rule->family, key, *count, capacity);
    for (size_t i = 0; i < *count; i++) {
        int64_t pair[2] = { 0, 0 };
        size_t numbers = 0;

        clf_format(entry, sizeof entry, "%s.%zu", key, i);
        CLF_TRY(clf_config_ints(from, entry, pair, CLF_COUNT(pair), &numbers, err));
        if (numbers != 2 || pair[0] < 1 || pair[1] < 1 || pair[0] > CLF_TOKEN_PLAN_SIDE ||
            pair[1] > CLF_TOKEN_PLAN_SIDE)
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has %zu numbers; want height and width, 1 to %d",
                            c->rule->family, entry, numbers, CLF_TOKEN_PLAN_SIDE);
        pairs[i] = (clf_resolution){ pair[0], pair[1] };
    }
    return CLF_OK;
}

clf_status clf_token_tower(const clf_token_call *c, int64_t *image, int64_t *patch, clf_error *err)
{
    const clf_token_rule *rule = c->rule;
    const char *keys = rule->image_keys != NULL
                           ? rule->image_keys
                           : "image_size|crop_size.height|size.height|vision_config.image_size|crop_size";

    CLF_TRY(clf_token_int(c, keys, rule->image, image, err));
    CLF_TRY(clf_token_int(c, "vision_config.patch_size|patch_size", rule->patch, patch, err));
    if (*patch > *image)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: patch_size is %" PRId64 "; want at most image_size %" PRId64,
                        rule->family, *patch, *image);
    return CLF_OK;
}

clf_status clf_token_square(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    int64_t patch;

    CLF_TRY(clf_token_tower(c, &plan->tile_height, &patch, err));
    plan->tile_width = plan->tile_height;
    plan->grid_rows = plan->grid_columns = plan->tile_height / patch;
    return CLF_OK;
}

/* ---- the family ---- */

static size_t no_tensors(void *self)
{
    (void)self;
    return 0;
}

static const char *no_name(void *self, size_t index)
{
    (void)self;
    (void)index;
    return NULL;
}

static clf_status no_tensor(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    (void)self;
    (void)name;
    (void)err;
    *t = (clf_host_tensor){ 0 };
    return CLF_OK;
}

static const clf_token_rule *find_rule(const char *name)
{
    for (size_t i = 0; name != NULL && i < clf_token_rule_count; i++)
        if (clf_name_equal(clf_token_rules[i]->family, name) ||
            (clf_token_rules[i]->also != NULL && clf_name_equal(clf_token_rules[i]->also, name)))
            return clf_token_rules[i];
    return NULL;
}

static clf_status unsupported(const char *name, clf_error *err)
{
    char list[CLF_MESSAGE_BYTES];
    size_t used = 0;

    for (size_t i = 0; i < clf_token_rule_count; i++)
        used += clf_format(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", clf_token_rules[i]->family);
    return CLF_FAIL(err, CLF_UNSUPPORTED, CLF_OP ": family is %s, whose token count is unsupported; want one of %s",
                    clf_text_quote(name, strlen(name)).text, list);
}

/* The rule that has the name, or the rule of the registered family that has it as a spelling.  Original LLaVA shares
 * its model_type with llava and is told by its tensors elsewhere; here by its keys. */
static clf_status choose_rule(const clf_config *config, const char *name, const clf_token_rule **rule, clf_error *err)
{
    const clf_tensor_source empty = { .count = no_tensors, .name = no_name, .find = no_tensor };
    const clf_family *family = NULL;

    if (name == NULL && clf_config_has(config, "mm_projector_type") && clf_config_has(config, "mm_hidden_size"))
        name = "llava_original";
    *rule = find_rule(name);
    if (*rule != NULL)
        return CLF_OK;
    if (name == NULL) {
        CLF_TRY(clf_config_text(config, "model_type", &name, err));
        *rule = find_rule(name);
        if (*rule != NULL)
            return CLF_OK;
    }
    CLF_TRY(clf_family_choose(config, &empty, name, &family, err));
    *rule = find_rule(family->id);
    return *rule != NULL ? CLF_OK : unsupported(family->id, err);
}

/* ---- the call ---- */

static clf_status compute_context(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    static const clf_token_size usual = { .published = 4096 };

    CLF_TRY(clf_token_int(c,
                          "context|text_config.max_position_embeddings|llm_config.max_position_embeddings|"
                          "language_config.max_position_embeddings|max_position_embeddings|text_config.n_positions|"
                          "seq_length",
                          usual, &plan->context, err));
    if (plan->context_tokens < 0)
        plan->context_tokens = plan->tokens;
    plan->context_share = (double)plan->context_tokens / (double)plan->context;
    return CLF_OK;
}

static clf_status compute(const clf_token_plan_desc *desc, clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(choose_rule(c->config, desc->family, &c->rule, err));
    *plan = (clf_token_plan){ .family = c->rule->family,
                              .tiles = 1,
                              .tile_rows = 1,
                              .tile_columns = 1,
                              .context_tokens = c->rule->context_tokens };
    CLF_TRY(c->rule->compute(c, plan, err));
    if (plan->thumbnail && plan->thumbnail_rows == 0) {
        plan->thumbnail_rows = plan->grid_rows;
        plan->thumbnail_columns = plan->grid_columns;
    }
    return compute_context(c, plan, err);
}

clf_status clf_token_plan_compute(const clf_token_plan_desc *desc, int64_t height, int64_t width, clf_token_plan *plan,
                                  clf_error *err)
{
    clf_token_plan_desc full = clf_token_plan_desc_default();
    clf_config *config = NULL, *processor = NULL;
    clf_status status;

    memset(plan, 0, sizeof *plan);
    CLF_DESC_READ(err, &full, desc);
    CLF_REQUIRE(err, height >= 1 && width >= 1 && height <= CLF_TOKEN_PLAN_SIDE && width <= CLF_TOKEN_PLAN_SIDE,
                CLF_INVALID_ARGUMENT, "picture is %" PRId64 " x %" PRId64 " pixels; want each 1 to %d", height, width,
                CLF_TOKEN_PLAN_SIDE);
    const clf_config_sets sets = { full.sets, full.set_count, full.sets_read };
    status = clf_config_create("configuration", full.config_json, full.config_bytes, &sets, &config, err);
    if (status == CLF_OK)
        status = clf_config_create("preprocessor_config.json", full.processor_json, full.processor_bytes, NULL,
                                   &processor, err);
    if (status == CLF_OK) {
        clf_token_call call = {
            .config = config, .processor = processor, .given = full.config_bytes > 0, .height = height, .width = width
        };
        status = compute(&full, &call, plan, err);
    }
    clf_config_destroy(processor);
    clf_config_destroy(config);
    return status;
}

/* ---- files ---- */

/* FOLDER/NAME as text; without the file *text stays NULL unless it is wanted. */
static clf_status read_file(const char *folder, const char *name, bool wanted, char **text, size_t *bytes,
                            clf_error *err)
{
    char *path = clf_file_join(folder, name);
    clf_status status = CLF_OK;

    if (path == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no memory for the path of %s", name);
    if (wanted || clf_file_there(path))
        status = clf_file_read(path, CLF_CONFIG_BYTES, text, bytes, err);
    clf_free(path);
    return status;
}

clf_status clf_token_plan_open(const char *path, const clf_token_plan_desc *desc, int64_t height, int64_t width,
                               clf_token_plan *plan, clf_error *err)
{
    clf_token_plan_desc full = clf_token_plan_desc_default();
    char *config = NULL, *processor = NULL;
    clf_status status;

    memset(plan, 0, sizeof *plan);
    CLF_DESC_READ(err, &full, desc);
    full.processor_json = NULL;
    full.processor_bytes = 0;
    status = read_file(path, "config.json", true, &config, &full.config_bytes, err);
    if (status == CLF_OK)
        status = read_file(path, "preprocessor_config.json", false, &processor, &full.processor_bytes, err);
    if (status == CLF_OK && processor == NULL)
        status = read_file(path, "processor_config.json", false, &processor, &full.processor_bytes, err);
    full.config_json = config;
    full.processor_json = processor;
    if (status == CLF_OK)
        status = clf_token_plan_compute(&full, height, width, plan, err);
    clf_free(processor);
    clf_free(config);
    return status;
}

size_t clf_token_plan_family_count(void)
{
    return clf_token_rule_count;
}

const char *clf_token_plan_family_name(size_t index)
{
    return index < clf_token_rule_count ? clf_token_rules[index]->family : NULL;
}
