/* The tensors of a module by its options: options -> letters -> names and shapes -> values when they are asked for. */
#include <clfusion/module.h>

#include <inttypes.h>
#include <math.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "core/zeros.h"
#include "models/family.h"
#include "models/module_spec.h"
#include "runtime/op.h"

#define CLF_OP "module"
#define NAME_BYTES 96
#define MOST_NUMBER ((int64_t)1 << 31) /* of an option: products of a few stay below 2^63 where tensors are sane */
#define MOST_TENSORS 100000

typedef struct named_tensor {
    char name[NAME_BYTES];
    clf_host_tensor tensor; /* data NULL until it is asked for */
    void *values;           /* its own; NULL where zeros are shared */
} named_tensor;

struct clf_module_source {
    clf_tensor_source source;
    const clf_module_spec *spec;
    clf_letters letters;
    named_tensor *tensors;
    size_t count, capacity;
    size_t found; /* last: builders ask in about the order of the list */
    uint64_t seed;
    const void *zeros; /* as long as the longest tensor */
    uint64_t longest;  /* bytes of it */
};

void clf_module_source_destroy(clf_module_source *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++)
        clf_free(m->tensors[i].values);
    clf_free(m->tensors);
    clf_zeros_unmap(m->zeros, (size_t)m->longest);
    clf_free(m);
}

/* ---- values ---- */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* splitmix64: Steele, Lea and Flood 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* Seeded by the name too, so that tensors do not depend on the order in which they are asked for. */
static void fill_random(uint64_t seed, const char *name, int64_t columns, float *values, size_t count)
{
    const float bound = (float)sqrt(3.0 / (double)columns);
    uint64_t state = seed;

    for (const char *c = name; *c != '\0'; c++)
        state = (state ^ (unsigned char)*c) * 0x100000001b3U; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        values[i] = bound * ((float)(next_random(&state) >> 40) * 0x1p-23F - 1.0F);
}

/* Norms are 1, other vectors (biases, gates) 0, matrices and tables random. */
static void fill(const clf_module_source *m, const named_tensor *t, float *values, size_t count)
{
    const clf_host_tensor h = t->tensor;
    int64_t columns = 1;

    for (int32_t i = 1; i < h.rank; i++)
        columns *= h.dim[i];
    if (h.rank > 1 || ends_with(t->name, ".query"))
        fill_random(m->seed, t->name, h.rank > 1 ? columns : h.dim[0], values, count);
    else
        for (size_t i = 0; i < count && ends_with(t->name, ".weight"); i++)
            values[i] = 1.0F;
}

static clf_status no_memory(const clf_module_source *m, const named_tensor *t, clf_error *err)
{
    return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: %s is %s; want host memory for it", m->spec->module, t->name,
                    CLF_HOST_TEXT(t->tensor));
}

/* Without a seed all tensors share zeros. */
static clf_status make_zeros(clf_module_source *m, named_tensor *t, clf_error *err)
{
    if (m->zeros == NULL && m->longest <= SIZE_MAX)
        m->zeros = clf_zeros_map((size_t)m->longest);
    t->tensor.data = m->zeros;
    return m->zeros != NULL ? CLF_OK : no_memory(m, t, err);
}

static clf_status make_values(clf_module_source *m, named_tensor *t, clf_error *err)
{
    uint64_t bytes = 0;

    if (m->seed == 0)
        return make_zeros(m, t, err);
    (void)clf_host_bytes(t->tensor, &bytes); /* it fitted when the tensor was added */
    if (t->values == NULL && bytes <= SIZE_MAX) {
        t->values = clf_alloc((size_t)bytes / sizeof(float), sizeof(float));
        if (t->values != NULL)
            fill(m, t, t->values, (size_t)bytes / sizeof(float));
    }
    t->tensor.data = t->values;
    return t->values != NULL ? CLF_OK : no_memory(m, t, err);
}

/* ---- the source ---- */

static size_t source_count(void *self)
{
    return ((clf_module_source *)self)->count;
}

static const char *source_name(void *self, size_t index)
{
    const clf_module_source *m = self;

    return index < m->count ? m->tensors[index].name : NULL;
}

static clf_status source_find(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    clf_module_source *m = self;

    *t = (clf_host_tensor){ 0 };
    for (size_t i = 0; i < m->count; i++) {
        const size_t at = (m->found + i) % m->count;

        if (strcmp(m->tensors[at].name, name) != 0)
            continue;
        m->found = at;
        CLF_TRY(make_values(m, &m->tensors[at], err));
        *t = m->tensors[at].tensor;
        return CLF_OK;
    }
    return CLF_OK;
}

/* ---- options ---- */

static clf_status add_letter(clf_module_source *m, const clf_spec_option *o, int64_t value, clf_error *err)
{
    if (clf_letters_set(&m->letters, o->letter, value) == NULL)
        return CLF_FAIL(err, CLF_INTERNAL, "%s: %s is one letter more than %d; want a larger CLF_MAX_LETTERS",
                        m->spec->module, o->letter, CLF_MAX_LETTERS);
    return CLF_OK;
}

static clf_status read_word(const clf_config *config, const clf_spec_option *o, int64_t *value, clf_error *err)
{
    const char *word = "";

    CLF_TRY(clf_config_text(config, o->key, &word, err));
    *value = strcmp(word, o->like) == 0;
    return CLF_OK;
}

static clf_status read_switch(const clf_config *config, const clf_spec_option *o, int64_t *value, clf_error *err)
{
    bool on = o->value != 0;

    CLF_TRY(clf_config_bool(config, o->key, &on, err));
    *value = on;
    return CLF_OK;
}

static clf_status read_number(const clf_module_source *m, const clf_config *config, const clf_spec_option *o,
                              int64_t *value, clf_error *err)
{
    const bool given = clf_config_has(config, o->key);

    if (o->kind == CLF_SPEC_REQUIRED && !given)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is missing; want a number above 0", m->spec->module, o->key);
    *value = o->kind == CLF_SPEC_LIKE ? clf_spec_value(&m->letters, o->like) : o->value;
    CLF_TRY(clf_config_int(config, o->key, value, err));
    if (given && (*value < (o->kind == CLF_SPEC_ABSENT ? 0 : 1) || *value > MOST_NUMBER))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRId64 "; want 1 to %" PRId64, m->spec->module, o->key, *value,
                        MOST_NUMBER);
    return CLF_OK;
}

static clf_status read_options(clf_module_source *m, const clf_config *config, clf_error *err)
{
    for (const clf_spec_option *o = m->spec->options; o < m->spec->options + CLF_SPEC_OPTIONS && o->key != NULL; o++) {
        int64_t value = 0;

        if (o->kind == CLF_SPEC_WORD)
            CLF_TRY(read_word(config, o, &value, err));
        else if (o->kind == CLF_SPEC_SWITCH)
            CLF_TRY(read_switch(config, o, &value, err));
        else
            CLF_TRY(read_number(m, config, o, &value, err));
        CLF_TRY(add_letter(m, o, value, err));
    }
    if (m->spec->derive != NULL)
        m->spec->derive(&m->letters);
    return CLF_OK;
}

/* ---- tensors ---- */

/* {i} and {X} of the name. */
static void put_name(const clf_letters *letters, const char *pattern, int64_t layer, char *name)
{
    size_t used = 0;

    while (*pattern != '\0' && used + 1 < NAME_BYTES) {
        const size_t plain = strcspn(pattern, "{"), end = strcspn(pattern, "}");
        char letter[8] = "";

        used += clf_format(name + used, NAME_BYTES - used, "%.*s", (int)plain, pattern);
        pattern += plain;
        if (*pattern == '\0')
            return;
        clf_format(letter, sizeof letter, "%.*s", (int)(end - plain - 1), pattern + 1);
        used += clf_format(name + used, NAME_BYTES - used, "%" PRId64,
                           strcmp(letter, "i") == 0 ? layer : clf_spec_value(letters, letter));
        pattern += end - plain + 1;
    }
}

static clf_status add_tensor(clf_module_source *m, const clf_spec_tensor *row, int64_t layer, clf_error *err)
{
    void *items = m->tensors;
    clf_dims whole, dims;
    uint64_t bytes = 0;

    CLF_TRY(clf_grow(&items, m->count, &m->capacity, sizeof *m->tensors, err));
    m->tensors = items;
    named_tensor *t = &m->tensors[m->count];
    memset(t, 0, sizeof *t);
    put_name(&m->letters, row->name, layer, t->name);
    CLF_TRY(clf_formula_shape(m->spec->module, t->name, row->shape, &m->letters, &whole, &dims, err));
    t->tensor = (clf_host_tensor){ .dtype = CLF_F32, .rank = dims.rank };
    memcpy(t->tensor.dim, dims.dim, sizeof dims.dim);
    if (m->count >= MOST_TENSORS || !clf_host_bytes(t->tensor, &bytes) || bytes > INT64_MAX / 4)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is %s; want at most %d tensors, each below 2^61 bytes",
                        m->spec->module, t->name, CLF_HOST_TEXT(t->tensor), MOST_TENSORS);
    m->longest = CLF_MAX(m->longest, bytes);
    m->count++;
    return CLF_OK;
}

static bool is_there(const clf_letters *letters, const char *when)
{
    if (when == NULL)
        return true;
    return when[0] == '!' ? clf_spec_value(letters, when + 1) == 0 : clf_spec_value(letters, when) != 0;
}

/* Rows from `row` on that stand once for each of the same layers: a layer's tensors come together. */
static int32_t rows_of_layer(const clf_spec_tensor *row, const clf_spec_tensor *end)
{
    int32_t rows = 1;

    while (row->count != NULL && row + rows < end && row[rows].count != NULL &&
           strcmp(row[rows].count, row->count) == 0)
        rows++;
    return rows;
}

static clf_status add_tensors(clf_module_source *m, clf_error *err)
{
    const clf_spec_tensor *row = m->spec->tensors, *const end = row + CLF_SPEC_TENSORS;

    while (row < end && row->name != NULL) {
        const int64_t layers = row->count != NULL ? clf_spec_value(&m->letters, row->count) : 1;
        const int32_t rows = rows_of_layer(row, end);

        for (int64_t i = 0; i < layers; i++)
            for (const clf_spec_tensor *r = row; r < row + rows; r++)
                if (is_there(&m->letters, r->when))
                    CLF_TRY(add_tensor(m, r, r->first + i * (r->step > 0 ? r->step : 1), err));
        row += rows;
    }
    return CLF_OK;
}

/* ---- public ---- */

static clf_status find_spec(const clf_config *config, const char *module, const clf_module_spec **spec, clf_error *err)
{
    char list[CLF_MESSAGE_BYTES];
    size_t used = 0;

    if (module == NULL)
        CLF_TRY(clf_config_text(config, "module", &module, err));
    CLF_REQUIRE(err, module != NULL, CLF_INVALID_ARGUMENT,
                "module is not given; want its name, or \"module\" in the "
                "configuration");
    *spec = clf_module_spec_find(module);
    if (*spec != NULL)
        return CLF_OK;
    for (size_t i = 0; i < clf_module_count(); i++)
        used += clf_format(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", clf_module_name(i));
    return CLF_FAIL(err, CLF_UNSUPPORTED, CLF_OP ": module is %s, which is unsupported; want one of %s",
                    clf_text_quote(module, strlen(module)).text, list);
}

static clf_status fill_source(const clf_module_desc *desc, const clf_config *config, clf_module_source *m,
                              clf_error *err)
{
    CLF_TRY(find_spec(config, desc->module, &m->spec, err));
    m->seed = desc->seed;
    m->source = (clf_tensor_source){
        .self = m, .label = m->spec->module, .count = source_count, .name = source_name, .find = source_find
    };
    CLF_TRY(read_options(m, config, err));
    return add_tensors(m, err);
}

clf_status clf_module_source_create(const clf_module_desc *given, clf_module_source **source, clf_error *err)
{
    clf_module_desc desc = clf_module_desc_default();
    clf_config *config = NULL;
    clf_module_source *m;
    clf_status status;

    *source = NULL;
    CLF_DESC_READ(err, &desc, given);
    const clf_config_sets sets = { desc.sets, desc.set_count, desc.sets_read };
    CLF_TRY(clf_config_create("configuration", desc.config_json, desc.config_bytes, &sets, &config, err));
    m = clf_alloc(1, sizeof *m);
    status = m != NULL ? fill_source(&desc, config, m, err)
                       : CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %zu bytes", sizeof *m);
    clf_config_destroy(config);
    if (status != CLF_OK)
        clf_module_source_destroy(m);
    else
        *source = m;
    return status;
}

const clf_tensor_source *clf_module_source_tensors(const clf_module_source *m)
{
    return &m->source;
}

clf_status clf_module_create(clf_context *ctx, const clf_module_desc *given, clf_connector **c, clf_error *err)
{
    clf_module_desc desc = clf_module_desc_default();
    clf_connector_options options = clf_connector_options_default();
    clf_module_source *m = NULL;
    clf_status status;

    *c = NULL;
    CLF_DESC_READ(err, &desc, given);
    if (!clf_context_has_device(ctx))
        desc.seed = 0; /* nobody needs values */
    CLF_TRY(clf_module_source_create(&desc, &m, err));
    options.family = m->spec->module;
    options.storage = desc.storage;
    options.layer = desc.layer;
    options.sets = desc.sets;
    options.set_count = desc.set_count;
    options.sets_read = desc.sets_read;
    status = clf_connector_create(ctx, &m->source, desc.config_json, desc.config_bytes, &options, c, err);
    clf_module_source_destroy(m);
    return status;
}
