/* Tokens of jsmn become nodes; the private copy of the text becomes the decoded strings. */
#include "checkpoint/json.h"

#include <inttypes.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_PARENT_LINKS /* without them jsmn is quadratic in the number of tokens */
#include <jsmn.h>

#include "checkpoint/json_scan.h"
#include "checkpoint/order.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

typedef struct node {
    uint32_t begin, length; /* in the text, decoded */
    uint32_t next;          /* the node behind this one and everything in it, so children are i + 1 .. next - 1 */
    clf_json_kind kind;
} node;

struct clf_json {
    char *text; /* strings decoded in place, each terminated where its quotation mark stood */
    node *nodes;
    uint32_t count;
};

void clf_json_free(clf_json *j)
{
    if (j == NULL)
        return;
    clf_free(j->nodes);
    clf_free(j->text);
    clf_free(j);
}

static clf_json_kind token_kind(const jsmntok_t *token, const char *text)
{
    switch (token->type) {
    case JSMN_OBJECT:
        return CLF_JSON_OBJECT;
    case JSMN_ARRAY:
        return CLF_JSON_ARRAY;
    case JSMN_STRING:
        return CLF_JSON_STRING;
    case JSMN_PRIMITIVE:
    case JSMN_UNDEFINED:
        break;
    }
    switch (text[token->start]) {
    case 'n':
        return CLF_JSON_NULL;
    case 't':
        return CLF_JSON_TRUE;
    case 'f':
        return CLF_JSON_FALSE;
    default:
        return CLF_JSON_NUMBER;
    }
}

static void make_nodes(clf_json *j, const jsmntok_t *tokens)
{
    for (uint32_t i = 0; i < j->count; i++)
        j->nodes[i] = (node){ .begin = (uint32_t)tokens[i].start,
                              .length = (uint32_t)(tokens[i].end - tokens[i].start),
                              .next = i + 1,
                              .kind = token_kind(&tokens[i], j->text) };
    for (uint32_t i = j->count; i-- > 1;) { /* children stand behind their parents */
        node *parent = &j->nodes[tokens[i].parent];

        parent->next = CLF_MAX(parent->next, j->nodes[i].next);
    }
}

/* After this the brackets, commas and escapes of the text are gone. */
static void decode_texts(clf_json *j)
{
    for (uint32_t i = 0; i < j->count; i++) {
        node *n = &j->nodes[i];

        if (n->kind == CLF_JSON_STRING)
            n->length = (uint32_t)clf_json_decode(j->text + n->begin, n->length);
        else if (n->kind == CLF_JSON_OBJECT || n->kind == CLF_JSON_ARRAY)
            n->length = 0;
    }
    for (uint32_t i = 0; i < j->count; i++) {
        node *n = &j->nodes[i];

        if (n->kind == CLF_JSON_OBJECT || n->kind == CLF_JSON_ARRAY)
            j->text[n->begin] = '\0';
        else
            j->text[n->begin + n->length] = '\0';
    }
}

typedef struct key_order {
    const clf_json *json;
    const jsmntok_t *tokens;
} key_order;

/* By object, then by decoded name. */
static int compare_keys(const void *context, uint32_t a, uint32_t b)
{
    const key_order *o = context;
    const node *x = &o->json->nodes[a], *y = &o->json->nodes[b];

    if (o->tokens[a].parent != o->tokens[b].parent)
        return o->tokens[a].parent < o->tokens[b].parent ? -1 : 1;
    return clf_order_bytes(o->json->text + x->begin, x->length, o->json->text + y->begin, y->length);
}

static clf_status refuse_duplicates(const char *label, const clf_json *j, const jsmntok_t *tokens, uint32_t *keys,
                                    clf_error *err)
{
    const key_order order = { j, tokens };
    size_t count = 0;

    for (uint32_t i = 1; i < j->count; i++)
        if (j->nodes[tokens[i].parent].kind == CLF_JSON_OBJECT)
            keys[count++] = i;
    CLF_TRY(clf_order(keys, count, compare_keys, &order, err));
    for (size_t i = 1; i < count; i++)
        if (compare_keys(&order, keys[i - 1], keys[i]) == 0)
            return CLF_FAIL(err, CLF_BAD_FILE,
                            "%s: key \"%s\" stands twice in one object, at bytes %d and %d; want one", label,
                            clf_text_quote(j->text + j->nodes[keys[i]].begin, j->nodes[keys[i]].length).text,
                            tokens[keys[i - 1]].start, tokens[keys[i]].start);
    return CLF_OK;
}

/* The text has passed the check, and room is there for exactly its tokens. */
static clf_status fill(const char *label, clf_json *j, size_t bytes, jsmntok_t *tokens, uint32_t *keys, clf_error *err)
{
    jsmn_parser parser;
    int found;

    jsmn_init(&parser);
    found = jsmn_parse(&parser, j->text, bytes, tokens, j->count);
    if (found < 0 || (uint32_t)found != j->count)
        return CLF_FAIL(err, CLF_INTERNAL, "%s: jsmn finds %d values; want %u", label, found, (unsigned)j->count);
    make_nodes(j, tokens);
    decode_texts(j);
    return refuse_duplicates(label, j, tokens, keys, err);
}

static clf_status parse_copy(const char *label, clf_json *j, size_t bytes, const clf_json_limits *limits,
                             clf_error *err)
{
    jsmntok_t *tokens;
    uint32_t *keys;
    clf_status status;

    CLF_TRY(clf_json_scan(label, j->text, bytes, limits, &j->count, err));
    j->nodes = clf_alloc(j->count, sizeof *j->nodes);
    tokens = clf_alloc(j->count, sizeof *tokens);
    keys = clf_alloc(j->count, sizeof *keys);
    if (j->nodes == NULL || tokens == NULL || keys == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for %u values", label, (unsigned)j->count);
    else
        status = fill(label, j, bytes, tokens, keys, err);
    clf_free(keys);
    clf_free(tokens);
    return status;
}

clf_status clf_json_parse(const char *label, const char *text, uint64_t bytes, const clf_json_limits *limits,
                          clf_json **j, clf_error *err)
{
    clf_json *made;
    clf_status status;

    *j = NULL;
    if (limits->bytes > CLF_JSON_MAX_BYTES || limits->depth > CLF_JSON_MAX_DEPTH)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: limits are %" PRIu64 " bytes and depth %u; want at most %d and %d", label, limits->bytes,
                        (unsigned)limits->depth, CLF_JSON_MAX_BYTES, CLF_JSON_MAX_DEPTH);
    if (bytes > limits->bytes)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: text is %" PRIu64 " bytes; want at most %" PRIu64, label, bytes,
                        limits->bytes);
    made = clf_alloc(1, sizeof *made);
    if (made != NULL)
        made->text = clf_strndup(text, (size_t)bytes);
    if (made == NULL || made->text == NULL) {
        clf_json_free(made);
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for %" PRIu64 " bytes", label, bytes);
    }
    status = parse_copy(label, made, (size_t)bytes, limits, err);
    if (status != CLF_OK) {
        clf_json_free(made);
        return status;
    }
    *j = made;
    return CLF_OK;
}

clf_status clf_json_from_string(const char *text, clf_json **j, clf_error *err)
{
    const size_t length = strlen(text);
    clf_json *made = clf_alloc(1, sizeof *made);

    *j = NULL;
    if (made != NULL) {
        made->count = 1;
        made->text = clf_strdup(text);
        made->nodes = clf_alloc(1, sizeof *made->nodes);
    }
    if (made == NULL || made->text == NULL || made->nodes == NULL || length > CLF_JSON_MAX_BYTES) {
        clf_json_free(made);
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "json: no memory for a string of %zu bytes", length);
    }
    made->nodes[0] = (node){ .length = (uint32_t)length, .next = 1, .kind = CLF_JSON_STRING };
    *j = made;
    return CLF_OK;
}

clf_json_kind clf_json_kind_of(const clf_json *j, clf_json_node n)
{
    return j->nodes[n].kind;
}

const char *clf_json_kind_name(clf_json_kind kind)
{
    static const char *const names[] = {
        [CLF_JSON_NULL] = "null",        [CLF_JSON_FALSE] = "a boolean", [CLF_JSON_TRUE] = "a boolean",
        [CLF_JSON_NUMBER] = "a number",  [CLF_JSON_STRING] = "a string", [CLF_JSON_ARRAY] = "an array",
        [CLF_JSON_OBJECT] = "an object",
    };

    return names[kind];
}

const char *clf_json_text(const clf_json *j, clf_json_node n, size_t *length)
{
    if (length != NULL)
        *length = j->nodes[n].length;
    return j->text + j->nodes[n].begin;
}

clf_json_node clf_json_first(const clf_json *j, clf_json_node container)
{
    const node *n = &j->nodes[container];

    if (n->kind != CLF_JSON_ARRAY && n->kind != CLF_JSON_OBJECT)
        return CLF_JSON_NONE;
    return n->next > container + 1 ? container + 1 : CLF_JSON_NONE;
}

clf_json_node clf_json_next(const clf_json *j, clf_json_node container, clf_json_node child)
{
    const uint32_t next = j->nodes[child].next;

    return next < j->nodes[container].next ? next : CLF_JSON_NONE;
}

size_t clf_json_count(const clf_json *j, clf_json_node container)
{
    size_t count = 0;

    for (clf_json_node n = clf_json_first(j, container); n != CLF_JSON_NONE; n = clf_json_next(j, container, n))
        count++;
    return count;
}

clf_json_node clf_json_find(const clf_json *j, clf_json_node object, const char *key, size_t length)
{
    if (clf_json_kind_of(j, object) != CLF_JSON_OBJECT)
        return CLF_JSON_NONE;
    for (clf_json_node n = clf_json_first(j, object); n != CLF_JSON_NONE; n = clf_json_next(j, object, n))
        if (j->nodes[n].length == length && memcmp(j->text + j->nodes[n].begin, key, length) == 0)
            return n + 1;
    return CLF_JSON_NONE;
}
