/* The checks stand in the order of the format: length, header text, each tensor alone, all tensors together. */
#include "checkpoint/safetensors.h"

#include <inttypes.h>
#include <string.h>

#include "checkpoint/digits.h"
#include "checkpoint/json.h"
#include "checkpoint/order.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define LENGTH_BYTES 8u
#define FORMAT_HEADER_BYTES 100000000u /* the writer of the reference enforces it too */
#define HEADER_DEPTH 4u                /* 3 by the format; one more for fields to come */
#define HEADER_VALUES 2097152u /* 18 a tensor of 8 dimensions, and room for metadata: 80 MiB of tokens at most */

/* What the format knows; CLF_DTYPE_NONE: validated, but nothing here computes with it. */
static const struct {
    const char *name;
    uint32_t bits;
    clf_dtype dtype;
} types[] = {
    { "F32", 32, CLF_F32 },
    { "F16", 16, CLF_F16 },
    { "BF16", 16, CLF_BF16 },
    { "F64", 64, CLF_F64 },
    { "I8", 8, CLF_I8 },
    { "U8", 8, CLF_U8 },
    { "I16", 16, CLF_I16 },
    { "U16", 16, CLF_U16 },
    { "I32", 32, CLF_I32 },
    { "U32", 32, CLF_U32 },
    { "I64", 64, CLF_I64 },
    { "U64", 64, CLF_U64 },
    { "BOOL", 8, CLF_BOOL },
    { "F4", 4, CLF_DTYPE_NONE },
    { "F6_E2M3", 6, CLF_DTYPE_NONE },
    { "F6_E3M2", 6, CLF_DTYPE_NONE },
    { "F8_E5M2", 8, CLF_DTYPE_NONE },
    { "F8_E4M3", 8, CLF_DTYPE_NONE },
    { "F8_E8M0", 8, CLF_DTYPE_NONE },
    { "C64", 64, CLF_DTYPE_NONE },
    { "F8_E4M3FNUZ", 8, CLF_DTYPE_NONE },
    { "F8_E5M2FNUZ", 8, CLF_DTYPE_NONE },
};

typedef struct entry {
    const char *name; /* in the header's text */
    uint32_t name_bytes;
    uint32_t type, rank; /* type: index into types */
    uint64_t dim[CLF_SAFETENSORS_DIMS];
    uint64_t begin, end; /* in the data, which follow the header */
} entry;

struct clf_safetensors {
    char *label;
    clf_json *header;
    const unsigned char *data;
    uint64_t data_bytes;
    entry *entries;   /* in the order of the header */
    uint32_t *sorted; /* the same by name */
    uint32_t count;
    clf_json_node metadata; /* CLF_JSON_NONE without one */
};

clf_safetensors_limits clf_safetensors_limits_default(void)
{
    return (clf_safetensors_limits){ .header_bytes = 16u << 20, .tensors = 65536, .dims = 8, .name_bytes = 1024 };
}

void clf_safetensors_close(clf_safetensors *s)
{
    if (s == NULL)
        return;
    clf_free(s->sorted);
    clf_free(s->entries);
    clf_json_free(s->header);
    clf_free(s->label);
    clf_free(s);
}

#define NAME(e) (clf_text_quote((e)->name, (e)->name_bytes).text)

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* The length of the header, checked against file and limits. */
static clf_status header_length(const char *label, const unsigned char *bytes, uint64_t count,
                                const clf_safetensors_limits *limits, uint64_t *length, clf_error *err)
{
    uint64_t end = 0;

    if (count < LENGTH_BYTES)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: file is %" PRIu64 " bytes; want at least %u, the length of the header",
                        label, count, LENGTH_BYTES);
    *length = read_u64(bytes);
    if (*length > FORMAT_HEADER_BYTES)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: header is %" PRIu64 " bytes; want at most %u in a safetensors file",
                        label, *length, FORMAT_HEADER_BYTES);
    if (!clf_size_add(LENGTH_BYTES, *length, &end) || end > count)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: header ends at byte %" PRIu64 " of %" PRIu64, label, end, count);
    if (*length > limits->header_bytes)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: header is %" PRIu64 " bytes; want at most %" PRIu64, label, *length,
                        limits->header_bytes);
    if (*length == 0 || bytes[LENGTH_BYTES] != '{')
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: header begins with '%s'; want '{'", label,
                        clf_text_quote((const char *)bytes + LENGTH_BYTES, *length > 0).text);
    return CLF_OK;
}

/* The header's text, without the spaces at its end. */
static clf_status parse_header(clf_safetensors *s, const char *text, uint64_t length,
                               const clf_safetensors_limits *limits, clf_error *err)
{
    const clf_json_limits json_limits = { .bytes = limits->header_bytes,
                                          .depth = HEADER_DEPTH,
                                          .values = HEADER_VALUES };
    char label[200];

    (void)clf_format(label, sizeof label, "%s: header", s->label);
    while (length > 0 && text[length - 1] == ' ')
        length--;
    if (length == 0 || text[length - 1] != '}')
        return CLF_FAIL(err, CLF_BAD_FILE, "%s ends with '%s'; want '}' and spaces", label,
                        clf_text_quote(text + length - (length > 0), length > 0).text);
    return clf_json_parse(label, text, length, &json_limits, &s->header, err);
}

static clf_status check_metadata(const clf_safetensors *s, clf_error *err)
{
    const clf_json *j = s->header;

    if (clf_json_kind_of(j, s->metadata) != CLF_JSON_OBJECT)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: __metadata__ is %s; want an object", s->label,
                        clf_json_kind_name(clf_json_kind_of(j, s->metadata)));
    for (clf_json_node n = clf_json_first(j, s->metadata); n != CLF_JSON_NONE; n = clf_json_next(j, s->metadata, n))
        if (clf_json_kind_of(j, n + 1) != CLF_JSON_STRING) {
            size_t length;
            const char *key = clf_json_text(j, n, &length);

            return CLF_FAIL(err, CLF_BAD_FILE, "%s: __metadata__ key %s is %s; want a string", s->label,
                            clf_text_quote(key, length).text, clf_json_kind_name(clf_json_kind_of(j, n + 1)));
        }
    return CLF_OK;
}

/* An array of whole numbers into values[0 .. *count). */
static clf_status read_numbers(const clf_safetensors *s, const entry *e, const char *field, clf_json_node array,
                               uint64_t *values, uint32_t capacity, uint32_t *count, clf_error *err)
{
    const clf_json *j = s->header;

    *count = 0;
    if (clf_json_kind_of(j, array) != CLF_JSON_ARRAY)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has a %s that is %s; want an array", s->label, NAME(e), field,
                        clf_json_kind_name(clf_json_kind_of(j, array)));
    for (clf_json_node n = clf_json_first(j, array); n != CLF_JSON_NONE; n = clf_json_next(j, array, n)) {
        size_t length;
        const char *text = clf_json_text(j, n, &length);

        if (*count == capacity)
            return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s has a %s of %zu entries; want at most %u", s->label, NAME(e),
                            field, clf_json_count(j, array), (unsigned)capacity);
        if (clf_json_kind_of(j, n) != CLF_JSON_NUMBER || !clf_digits_u64(text, length, &values[*count]))
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has a %s entry '%s'; want digits, below 2^64", s->label, NAME(e),
                            field, clf_text_quote(text, length).text);
        ++*count;
    }
    return CLF_OK;
}

static clf_status read_type(const clf_safetensors *s, entry *e, clf_json_node node, clf_error *err)
{
    size_t length;
    const char *text = clf_json_text(s->header, node, &length);

    if (clf_json_kind_of(s->header, node) == CLF_JSON_STRING)
        for (uint32_t i = 0; i < CLF_COUNT(types); i++)
            if (length == strlen(types[i].name) && memcmp(text, types[i].name, length) == 0) {
                e->type = i;
                return CLF_OK;
            }
    return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has dtype '%s'; want a type of safetensors", s->label, NAME(e),
                    clf_text_quote(text, length).text);
}

/* end - begin against shape and type. */
static clf_status check_bytes(const clf_safetensors *s, const entry *e, clf_error *err)
{
    uint64_t size = 1;
    bool fits = true;

    if (e->end < e->begin)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has data_offsets [%" PRIu64 ", %" PRIu64 "]; want begin <= end",
                        s->label, NAME(e), e->begin, e->end);
    if (e->end > s->data_bytes)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s ends at byte %" PRIu64 " of %" PRIu64 " of data", s->label, NAME(e),
                        e->end, s->data_bytes);
    for (uint32_t i = 0; i < e->rank; i++)
        fits = fits && clf_size_mul(size, e->dim[i], &size);
    if (!fits || !clf_size_mul(size, types[e->type].bits, &size))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has a shape above 2^64 bits; want one of %" PRIu64 " bytes",
                        s->label, NAME(e), e->end - e->begin);
    if (size % 8 != 0 || size / 8 != e->end - e->begin)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %s has data_offsets [%" PRIu64 ", %" PRIu64 "]; want %" PRIu64
                        " bits, as dtype and shape say",
                        s->label, NAME(e), e->begin, e->end, size);
    return CLF_OK;
}

static clf_status read_name(const clf_safetensors *s, entry *e, clf_json_node key, const clf_safetensors_limits *limits,
                            clf_error *err)
{
    size_t length;

    e->name = clf_json_text(s->header, key, &length);
    e->name_bytes = (uint32_t)length;
    if (strlen(e->name) != length)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: name %s has a NUL; want none", s->label, NAME(e));
    if (length > limits->name_bytes)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: name %s is %zu bytes; want at most %u", s->label, NAME(e), length,
                        (unsigned)limits->name_bytes);
    return CLF_OK;
}

static clf_status read_entry(const clf_safetensors *s, clf_json_node key, const clf_safetensors_limits *limits,
                             entry *e, clf_error *err)
{
    static const char *const fields[] = { "dtype", "shape", "data_offsets" };
    clf_json_node node[CLF_COUNT(fields)];
    uint64_t offsets[2];
    uint32_t offset_count;

    CLF_TRY(read_name(s, e, key, limits, err));
    if (clf_json_kind_of(s->header, key + 1) != CLF_JSON_OBJECT)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want an object", s->label, NAME(e),
                        clf_json_kind_name(clf_json_kind_of(s->header, key + 1)));
    for (size_t i = 0; i < CLF_COUNT(fields); i++) {
        node[i] = clf_json_find(s->header, key + 1, fields[i], strlen(fields[i]));
        if (node[i] == CLF_JSON_NONE)
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has no %s; want dtype, shape and data_offsets", s->label,
                            NAME(e), fields[i]);
    }
    CLF_TRY(read_type(s, e, node[0], err));
    CLF_TRY(read_numbers(s, e, fields[1], node[1], e->dim, CLF_MIN(limits->dims, CLF_SAFETENSORS_DIMS), &e->rank, err));
    if (clf_json_count(s->header, node[2]) != 2)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s has data_offsets of %zu entries; want [begin, end]", s->label,
                        NAME(e), clf_json_count(s->header, node[2]));
    CLF_TRY(read_numbers(s, e, fields[2], node[2], offsets, 2, &offset_count, err));
    e->begin = offsets[0];
    e->end = offsets[1];
    return check_bytes(s, e, err);
}

static clf_status read_entries(clf_safetensors *s, const clf_safetensors_limits *limits, clf_error *err)
{
    const clf_json *j = s->header;
    const size_t keys = clf_json_count(j, CLF_JSON_ROOT);
    size_t wanted;

    s->metadata = clf_json_find(j, CLF_JSON_ROOT, "__metadata__", strlen("__metadata__"));
    wanted = keys - (s->metadata != CLF_JSON_NONE);
    if (s->metadata != CLF_JSON_NONE)
        CLF_TRY(check_metadata(s, err));
    if (wanted > limits->tensors)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: file has %zu tensors; want at most %u", s->label, wanted,
                        (unsigned)limits->tensors);
    s->entries = clf_alloc(wanted, sizeof *s->entries);
    s->sorted = clf_alloc(wanted, sizeof *s->sorted);
    if (s->entries == NULL || s->sorted == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for %zu tensors", s->label, wanted);
    for (clf_json_node n = clf_json_first(j, CLF_JSON_ROOT); n != CLF_JSON_NONE;
         n = clf_json_next(j, CLF_JSON_ROOT, n)) {
        if (n + 1 == s->metadata)
            continue;
        CLF_TRY(read_entry(s, n, limits, &s->entries[s->count], err));
        s->sorted[s->count] = s->count;
        s->count++;
    }
    return CLF_OK;
}

/* By place; empty tensors stand before the one that begins where they do. */
static int compare_places(const void *context, uint32_t a, uint32_t b)
{
    const entry *x = (const entry *)context + a, *y = (const entry *)context + b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int compare_names(const void *context, uint32_t a, uint32_t b)
{
    const entry *x = (const entry *)context + a, *y = (const entry *)context + b;

    return clf_order_bytes(x->name, x->name_bytes, y->name, y->name_bytes);
}

/* Neither hole nor overlap, from the first byte of the data to the last. */
static clf_status check_places(const clf_safetensors *s, clf_error *err)
{
    uint64_t end = 0;

    CLF_TRY(clf_order(s->sorted, s->count, compare_places, s->entries, err));
    for (uint32_t i = 0; i < s->count; i++) {
        const entry *e = &s->entries[s->sorted[i]];

        if (e->begin != end)
            return CLF_FAIL(err, CLF_BAD_FILE,
                            "%s: %s begins at byte %" PRIu64 " of the data; want %" PRIu64 ", the end of %s", s->label,
                            NAME(e), e->begin, end, i == 0 ? "the header" : NAME(&s->entries[s->sorted[i - 1]]));
        end = e->end;
    }
    if (end != s->data_bytes)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: tensors end at byte %" PRIu64 " of %" PRIu64 " of data; want equal numbers", s->label, end,
                        s->data_bytes);
    return clf_order(s->sorted, s->count, compare_names, s->entries, err);
}

static clf_status read_file(clf_safetensors *s, const unsigned char *bytes, uint64_t count,
                            const clf_safetensors_limits *limits, clf_error *err)
{
    uint64_t length = 0;

    CLF_TRY(header_length(s->label, bytes, count, limits, &length, err));
    /* From here on LENGTH_BYTES + length <= count. */
    CLF_TRY(parse_header(s, (const char *)bytes + LENGTH_BYTES, length, limits, err));
    s->data = bytes + LENGTH_BYTES + length;
    s->data_bytes = count - LENGTH_BYTES - length;
    CLF_TRY(read_entries(s, limits, err));
    return check_places(s, err);
}

clf_status clf_safetensors_open(const char *label, const void *bytes, uint64_t count,
                                const clf_safetensors_limits *limits, clf_safetensors **s, clf_error *err)
{
    const clf_safetensors_limits defaults = clf_safetensors_limits_default();
    clf_safetensors *made = clf_alloc(1, sizeof *made);
    clf_status status;

    *s = NULL;
    if (made != NULL)
        made->label = clf_strdup(label);
    if (made == NULL || made->label == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to open it", label);
    else
        status = read_file(made, bytes, count, limits != NULL ? limits : &defaults, err);
    if (status != CLF_OK) {
        clf_safetensors_close(made);
        return status;
    }
    *s = made;
    return CLF_OK;
}

size_t clf_safetensors_count(const clf_safetensors *s)
{
    return s->count;
}

const char *clf_safetensors_name(const clf_safetensors *s, size_t index)
{
    return index < s->count ? s->entries[s->sorted[index]].name : NULL;
}

static const entry *look_up(const clf_safetensors *s, const char *name)
{
    uint32_t low = 0, high = s->count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const entry *e = &s->entries[s->sorted[middle]];
        const int order = strcmp(name, e->name);

        if (order == 0)
            return e;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

clf_status clf_safetensors_find(const clf_safetensors *s, const char *name, clf_host_tensor *t, clf_error *err)
{
    const entry *e = look_up(s, name);

    *t = (clf_host_tensor){ .dtype = CLF_DTYPE_NONE };
    if (e == NULL)
        return CLF_OK;
    if (types[e->type].dtype == CLF_DTYPE_NONE)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is %s; want floating point of 16 bits or more, integers or BOOL",
                        s->label, NAME(e), types[e->type].name);
    if (e->rank > CLF_MAX_RANK)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s has %u dimensions; want at most %d", s->label, NAME(e),
                        (unsigned)e->rank, CLF_MAX_RANK);
    t->dim[0] = 1;
    for (uint32_t i = 0; i < e->rank; i++) {
        if (e->dim[i] > INT64_MAX) /* possible beside a dimension of 0 */
            return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s has a dimension of %" PRIu64 "; want below 2^63", s->label,
                            NAME(e), e->dim[i]);
        t->dim[i] = (int64_t)e->dim[i];
    }
    t->data = s->data + e->begin;
    t->rank = e->rank == 0 ? 1 : (int32_t)e->rank;
    t->dtype = types[e->type].dtype;
    return CLF_OK;
}

const char *clf_safetensors_metadata(const clf_safetensors *s, const char *key, size_t *bytes)
{
    clf_json_node node = CLF_JSON_NONE;

    if (s->metadata != CLF_JSON_NONE)
        node = clf_json_find(s->header, s->metadata, key, strlen(key));
    return node == CLF_JSON_NONE ? NULL : clf_json_text(s->header, node, bytes);
}
