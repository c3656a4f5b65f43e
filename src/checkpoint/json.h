/* JSON: tokens by jsmn, after a check of the whole text that jsmn does not make.
 *
 * Refused: anything outside RFC 8259 (01, [1,,2], trailing commas, lone surrogates, bytes that are not UTF-8, control
 * characters in strings, bad escapes, text after the value) and keys that stand twice in one object, compared after
 * decoding.  Nothing recurses; time is n log n in the bytes; memory is bounded by the limits. */
#ifndef CLF_CHECKPOINT_JSON_H
#define CLF_CHECKPOINT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfusion/status.h>

typedef struct clf_json clf_json;

/* What lies beyond a limit is CLF_UNSUPPORTED.  A value takes 40 bytes while parsing and 16 afterwards. */
typedef struct clf_json_limits {
    uint64_t bytes;        /* of the text, at most CLF_JSON_MAX_BYTES */
    uint32_t depth;        /* of nested objects and arrays, at most CLF_JSON_MAX_DEPTH */
    uint32_t values;       /* of every kind, each key counted as one */
    bool python_constants; /* NaN, Infinity and -Infinity, which Python writes, are numbers */
} clf_json_limits;

#define CLF_JSON_MAX_BYTES 0x7fffffff /* jsmn counts in int */
#define CLF_JSON_MAX_DEPTH 64

typedef enum clf_json_kind {
    CLF_JSON_NULL,
    CLF_JSON_FALSE,
    CLF_JSON_TRUE,
    CLF_JSON_NUMBER,
    CLF_JSON_STRING,
    CLF_JSON_ARRAY,
    CLF_JSON_OBJECT
} clf_json_kind;

/* A value, or a key, in the order of the text; the value of a key is key + 1. */
typedef uint32_t clf_json_node;
#define CLF_JSON_ROOT 0u /* the outermost value; never a child */
#define CLF_JSON_NONE 0u /* "no child": the root is none */

/* Copies the text first, so that a mapped file that changes meanwhile does no harm.  `label` stands before messages.
 * *j is NULL after an error: CLF_BAD_FILE, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY. */
clf_status clf_json_parse(const char *label, const char *text, uint64_t bytes, const clf_json_limits *limits,
                          clf_json **j, clf_error *err);
/* One string as if it had been parsed, any bytes.  *j is NULL after CLF_OUT_OF_MEMORY. */
clf_status clf_json_from_string(const char *text, clf_json **j, clf_error *err);
void clf_json_free(clf_json *j); /* takes NULL */

clf_json_kind clf_json_kind_of(const clf_json *j, clf_json_node node);
/* "an integer list"-like words for messages: "null", "a boolean", "a number", "a string", "an array", "an object". */
const char *clf_json_kind_name(clf_json_kind kind);

/* Decoded string or key, or the characters of a number or word; terminated; may hold NUL inside; lives as long as j.
 * Empty for arrays and objects.  length may be NULL. */
const char *clf_json_text(const clf_json *j, clf_json_node node, size_t *length);

/* Walks the entries of an array or the keys of an object; CLF_JSON_NONE at the end and for other kinds. */
clf_json_node clf_json_first(const clf_json *j, clf_json_node container);
clf_json_node clf_json_next(const clf_json *j, clf_json_node container, clf_json_node child);
size_t clf_json_count(const clf_json *j, clf_json_node container);

/* The value behind a key of `length` bytes; CLF_JSON_NONE without one. */
clf_json_node clf_json_find(const clf_json *j, clf_json_node object, const char *key, size_t length);

#endif
