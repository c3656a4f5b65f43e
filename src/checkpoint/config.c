/* Overrides stay beside the text, each a JSON value of its own; a path asks them first, the last one first. */
#include "checkpoint/config.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/digits.h"
#include "checkpoint/json.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

static const clf_json_limits file_limits = {
    .bytes = CLF_CONFIG_BYTES, .depth = CLF_JSON_MAX_DEPTH, .values = 1048576, .python_constants = true
};
static const clf_json_limits override_limits = { .bytes = CLF_CONFIG_BYTES,
                                                 .depth = CLF_JSON_MAX_DEPTH,
                                                 .values = 65536 };

typedef struct override {
    char *path;
    clf_json *value;
    bool *read; /* the caller's flag, or NULL */
} override;

struct clf_config {
    char *label;
    clf_json *text;
    override *overrides;
    size_t override_count;
};

/* Where a path led. */
typedef struct place {
    const clf_json *json; /* NULL: absent */
    clf_json_node node;
    bool from_override;
    bool implied; /* no value of its own: an object only because an override lies below */
} place;

void clf_config_destroy(clf_config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->override_count; i++) {
        clf_json_free(c->overrides[i].value);
        clf_free(c->overrides[i].path);
    }
    clf_free(c->overrides);
    clf_json_free(c->text);
    clf_free(c->label);
    clf_free(c);
}

/* Dotted segments, none empty, before '='. */
static bool is_override(const char *set)
{
    const char *equals = strchr(set, '=');

    if (equals == NULL || equals == set || equals[-1] == '.' || set[0] == '.')
        return false;
    for (const char *p = set; p + 1 < equals; p++)
        if (p[0] == '.' && p[1] == '.')
            return false;
    return true;
}

static clf_status add_override(clf_config *c, const char *set, bool *read, clf_error *err)
{
    override *o = &c->overrides[c->override_count];
    const char *value;
    clf_status status;
    clf_error why; /* *err stays as it is when the value becomes a string */

    if (set == NULL || !is_override(set))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: override is '%s'; want KEY=VALUE with a dotted KEY", c->label,
                        set == NULL ? "NULL" : clf_text_quote(set, strlen(set)).text);
    value = strchr(set, '=') + 1;
    o->read = read;
    c->override_count++; /* from here on clf_config_destroy frees it */
    o->path = clf_strndup(set, (size_t)(value - 1 - set));
    if (o->path == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for override '%s'", c->label,
                        clf_text_quote(set, strlen(set)).text);
    status = clf_json_parse(o->path, value, strlen(value), &override_limits, &o->value, &why);
    if (status == CLF_BAD_FILE) /* no JSON: the characters themselves */
        return clf_json_from_string(value, &o->value, err);
    if (status != CLF_OK)
        return CLF_FAIL(err, status == CLF_UNSUPPORTED ? CLF_INVALID_ARGUMENT : status, "%s: override %s", c->label,
                        why.message);
    return CLF_OK;
}

static clf_status fill(clf_config *c, const char *label, const char *text, size_t bytes, const clf_config_sets *sets,
                       clf_error *err)
{
    const bool empty = text == NULL || bytes == 0;

    c->label = clf_strdup(label);
    c->overrides = clf_alloc(sets->count, sizeof *c->overrides);
    if (c->label == NULL || c->overrides == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for the configuration", label);
    CLF_TRY(clf_json_parse(label, empty ? "{}" : text, empty ? 2 : bytes, &file_limits, &c->text, err));
    if (clf_json_kind_of(c->text, CLF_JSON_ROOT) != CLF_JSON_OBJECT)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: text is %s; want an object", label,
                        clf_json_kind_name(clf_json_kind_of(c->text, CLF_JSON_ROOT)));
    for (size_t i = 0; i < sets->count; i++)
        CLF_TRY(add_override(c, sets->items[i], sets->read != NULL ? &sets->read[i] : NULL, err));
    return CLF_OK;
}

clf_status clf_config_create(const char *label, const char *text, size_t bytes, const clf_config_sets *sets,
                             clf_config **c, clf_error *err)
{
    static const clf_config_sets none = { .count = 0 };
    clf_config *made = clf_alloc(1, sizeof *made);
    clf_status status;

    *c = NULL;
    if (made == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for the configuration", label);
    status = fill(made, label, text, bytes, sets != NULL ? sets : &none, err);
    if (status != CLF_OK) {
        clf_config_destroy(made);
        return status;
    }
    *c = made;
    return CLF_OK;
}

static bool array_entry(const clf_json *j, clf_json_node array, const char *segment, size_t length, clf_json_node *node)
{
    clf_json_node n = clf_json_first(j, array);
    uint64_t index;

    if (!clf_digits_u64(segment, length, &index))
        return false;
    for (; n != CLF_JSON_NONE && index > 0; index--)
        n = clf_json_next(j, array, n);
    *node = n;
    return n != CLF_JSON_NONE;
}

/* Follows a path, "" for the value itself, down from a node. */
static bool descend(const clf_json *j, const char *path, clf_json_node *node)
{
    while (*path != '\0') {
        const size_t length = strcspn(path, ".");

        if (clf_json_kind_of(j, *node) == CLF_JSON_ARRAY) {
            if (!array_entry(j, *node, path, length, node))
                return false;
        } else {
            *node = clf_json_find(j, *node, path, length);
            if (*node == CLF_JSON_NONE)
                return false;
        }
        path += length;
        path += *path == '.';
    }
    return true;
}

/* What remains of `path` below `above`: "" when they are equal; NULL when it does not lie there. */
static const char *below(const char *path, const char *above)
{
    const size_t length = strlen(above);

    if (strncmp(path, above, length) != 0)
        return NULL;
    return path[length] == '.' ? path + length + 1 : path[length] == '\0' ? path + length : NULL;
}

static place find(const clf_config *c, const char *path)
{
    place p = { .json = c->text, .node = CLF_JSON_ROOT };

    for (size_t i = c->override_count; i-- > 0;) {
        const override *o = &c->overrides[i];
        const char *rest = below(path, o->path);

        p.from_override = rest != NULL || below(o->path, path) != NULL;
        if (!p.from_override)
            continue;
        p.implied = rest == NULL;
        if (!p.implied)
            p.json = descend(o->value, rest, &p.node) ? o->value : NULL;
        if (o->read != NULL)
            *o->read = true;
        return p;
    }
    if (!descend(c->text, path, &p.node))
        p.json = NULL;
    return p;
}

static bool is_set(place p)
{
    return p.implied || (p.json != NULL && clf_json_kind_of(p.json, p.node) != CLF_JSON_NULL);
}

static clf_json_kind kind_at(place p)
{
    return p.implied ? CLF_JSON_OBJECT : clf_json_kind_of(p.json, p.node);
}

bool clf_config_has(const clf_config *c, const char *path)
{
    return is_set(find(c, path));
}

size_t clf_config_count(const clf_config *c, const char *path)
{
    const place p = find(c, path);

    return is_set(p) && !p.implied ? clf_json_count(p.json, p.node) : 0;
}

/* "config.json: text_config.hidden_size is 4096.5; want an integer". */
static clf_status wrong(const clf_config *c, const char *path, place p, clf_json_node node, const char *want,
                        clf_error *err)
{
    const clf_status status = p.from_override ? CLF_INVALID_ARGUMENT : CLF_BAD_FILE;
    const clf_json_kind kind = p.implied ? CLF_JSON_OBJECT : clf_json_kind_of(p.json, node);
    const char *text;
    size_t length;

    if (p.implied || kind == CLF_JSON_ARRAY || kind == CLF_JSON_OBJECT)
        return CLF_FAIL(err, status, "%s: %s is %s; want %s", c->label, path, clf_json_kind_name(kind), want);
    text = clf_json_text(p.json, node, &length);
    return CLF_FAIL(err, status, "%s: %s is %s%s%s; want %s", c->label, path, kind == CLF_JSON_STRING ? "\"" : "",
                    clf_text_quote(text, length).text, kind == CLF_JSON_STRING ? "\"" : "", want);
}

static bool read_int(const clf_json *j, clf_json_node node, int64_t *value)
{
    size_t length;
    const char *text = clf_json_text(j, node, &length);

    return clf_json_kind_of(j, node) == CLF_JSON_NUMBER && clf_digits_i64(text, length, value);
}

static bool read_float(const clf_json *j, clf_json_node node, double *value)
{
    return clf_json_kind_of(j, node) == CLF_JSON_NUMBER && clf_digits_double(clf_json_text(j, node, NULL), value);
}

clf_status clf_config_int(const clf_config *c, const char *path, int64_t *value, clf_error *err)
{
    const place p = find(c, path);

    if (!is_set(p) || (!p.implied && read_int(p.json, p.node, value)))
        return CLF_OK;
    return wrong(c, path, p, p.node, "an integer within 64 bits", err);
}

clf_status clf_config_float(const clf_config *c, const char *path, double *value, clf_error *err)
{
    const place p = find(c, path);

    if (!is_set(p) || (!p.implied && read_float(p.json, p.node, value)))
        return CLF_OK;
    return wrong(c, path, p, p.node, "a finite number", err);
}

clf_status clf_config_bool(const clf_config *c, const char *path, bool *value, clf_error *err)
{
    const place p = find(c, path);

    if (!is_set(p))
        return CLF_OK;
    if (kind_at(p) != CLF_JSON_TRUE && kind_at(p) != CLF_JSON_FALSE)
        return wrong(c, path, p, p.node, "true or false", err);
    *value = kind_at(p) == CLF_JSON_TRUE;
    return CLF_OK;
}

clf_status clf_config_text(const clf_config *c, const char *path, const char **value, clf_error *err)
{
    const place p = find(c, path);
    const char *text;
    size_t length;

    if (!is_set(p))
        return CLF_OK;
    if (kind_at(p) != CLF_JSON_STRING)
        return wrong(c, path, p, p.node, "a string", err);
    text = clf_json_text(p.json, p.node, &length);
    if (strlen(text) != length)
        return wrong(c, path, p, p.node, "a string without NUL", err);
    *value = text;
    return CLF_OK;
}

/* An array, or one value as an array of one, handed to `read` entry by entry. */
typedef bool read_entry(const clf_json *j, clf_json_node node, void *values, size_t index);

static clf_status read_list(const clf_config *c, const char *path, read_entry *read, void *values, size_t capacity,
                            size_t *count, const char *want, clf_error *err)
{
    const place p = find(c, path);
    const bool array = is_set(p) && kind_at(p) == CLF_JSON_ARRAY;
    clf_json_node n = array ? clf_json_first(p.json, p.node) : p.node;
    const size_t entries = array ? clf_json_count(p.json, p.node) : 1;

    if (!is_set(p))
        return CLF_OK;
    if (p.implied)
        return wrong(c, path, p, p.node, want, err);
    if (entries > capacity)
        return CLF_FAIL(err, p.from_override ? CLF_INVALID_ARGUMENT : CLF_BAD_FILE,
                        "%s: %s has %zu entries; want at most %zu", c->label, path, entries, capacity);
    for (size_t i = 0; i < entries; i++) {
        if (!read(p.json, n, values, i))
            return wrong(c, path, p, n, want, err);
        if (array)
            n = clf_json_next(p.json, p.node, n);
    }
    *count = entries;
    return CLF_OK;
}

static bool read_int_entry(const clf_json *j, clf_json_node node, void *values, size_t index)
{
    return read_int(j, node, (int64_t *)values + index);
}

static bool read_float_entry(const clf_json *j, clf_json_node node, void *values, size_t index)
{
    return read_float(j, node, (double *)values + index);
}

clf_status clf_config_ints(const clf_config *c, const char *path, int64_t *values, size_t capacity, size_t *count,
                           clf_error *err)
{
    return read_list(c, path, read_int_entry, values, capacity, count, "an integer or a list of integers", err);
}

clf_status clf_config_floats(const clf_config *c, const char *path, double *values, size_t capacity, size_t *count,
                             clf_error *err)
{
    return read_list(c, path, read_float_entry, values, capacity, count, "a finite number or a list of them", err);
}
