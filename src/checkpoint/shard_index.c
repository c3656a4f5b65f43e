/* The weight_map, sorted twice: by shard to number the shards, by name to find tensors. */
#include "checkpoint/shard_index.h"

#include <string.h>

#include "checkpoint/json.h"
#include "checkpoint/order.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

#define TENSORS 1048576u /* the largest models list about 200,000 */

static const clf_json_limits limits = { .bytes = CLF_SHARD_INDEX_BYTES, .depth = 8, .values = 2 * TENSORS + 1024 };

typedef struct row {
    const char *name, *file; /* in the JSON text */
    uint32_t shard;
} row;

struct clf_shard_index {
    clf_json *json;
    row *rows;
    uint32_t *sorted; /* rows by name */
    uint32_t count;
    const char **shards;
    uint32_t shard_count;
};

void clf_shard_index_free(clf_shard_index *x)
{
    if (x == NULL)
        return;
    clf_free(x->shards);
    clf_free(x->sorted);
    clf_free(x->rows);
    clf_json_free(x->json);
    clf_free(x);
}

static bool is_base_name(const char *name, size_t length)
{
    return length > 0 && strlen(name) == length && strpbrk(name, "/\\") == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static clf_status read_row(const char *label, const clf_json *j, clf_json_node key, row *r, clf_error *err)
{
    size_t name_length, file_length;

    r->name = clf_json_text(j, key, &name_length);
    r->file = clf_json_text(j, key + 1, &file_length);
    if (strlen(r->name) != name_length)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: tensor name %s has a NUL; want none", label,
                        clf_text_quote(r->name, name_length).text);
    if (clf_json_kind_of(j, key + 1) != CLF_JSON_STRING)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: shard of %s is %s; want a file name", label,
                        clf_text_quote(r->name, name_length).text, clf_json_kind_name(clf_json_kind_of(j, key + 1)));
    if (!is_base_name(r->file, file_length))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: shard of %s is '%s'; want the bare name of a file beside the index",
                        label, clf_text_quote(r->name, name_length).text, clf_text_quote(r->file, file_length).text);
    return CLF_OK;
}

static int compare_files(const void *context, uint32_t a, uint32_t b)
{
    const row *rows = context;

    return strcmp(rows[a].file, rows[b].file);
}

static int compare_names(const void *context, uint32_t a, uint32_t b)
{
    const row *rows = context;

    return strcmp(rows[a].name, rows[b].name);
}

/* Numbers the shards in the order of their names. */
static clf_status number_shards(const char *label, clf_shard_index *x, clf_error *err)
{
    uint32_t count = 0;

    CLF_TRY(clf_order(x->sorted, x->count, compare_files, x->rows, err));
    for (uint32_t i = 0; i < x->count; i++) {
        count += i == 0 || compare_files(x->rows, x->sorted[i - 1], x->sorted[i]) != 0;
        x->rows[x->sorted[i]].shard = count - 1;
    }
    x->shards = clf_alloc(count, sizeof *x->shards);
    if (x->shards == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for %u shards", label, (unsigned)count);
    x->shard_count = count;
    for (uint32_t i = 0; i < x->count; i++)
        x->shards[x->rows[i].shard] = x->rows[i].file;
    return clf_order(x->sorted, x->count, compare_names, x->rows, err);
}

static clf_status read_map(const char *label, clf_shard_index *x, clf_error *err)
{
    const clf_json *j = x->json;
    const clf_json_node map = clf_json_find(j, CLF_JSON_ROOT, "weight_map", strlen("weight_map"));
    size_t count;

    if (map == CLF_JSON_NONE || clf_json_kind_of(j, map) != CLF_JSON_OBJECT)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: weight_map is %s; want an object of tensor and file names", label,
                        map == CLF_JSON_NONE ? "absent" : clf_json_kind_name(clf_json_kind_of(j, map)));
    count = clf_json_count(j, map);
    if (count > TENSORS)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: weight_map has %zu tensors; want at most %u", label, count, TENSORS);
    x->rows = clf_alloc(count, sizeof *x->rows);
    x->sorted = clf_alloc(count, sizeof *x->sorted);
    if (x->rows == NULL || x->sorted == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for %zu tensors", label, count);
    for (clf_json_node n = clf_json_first(j, map); n != CLF_JSON_NONE; n = clf_json_next(j, map, n)) {
        CLF_TRY(read_row(label, j, n, &x->rows[x->count], err));
        x->sorted[x->count] = x->count;
        x->count++;
    }
    return number_shards(label, x, err);
}

clf_status clf_shard_index_parse(const char *label, const char *text, uint64_t bytes, clf_shard_index **x,
                                 clf_error *err)
{
    clf_shard_index *made = clf_alloc(1, sizeof *made);
    clf_status status;

    *x = NULL;
    if (made == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to open it", label);
    status = clf_json_parse(label, text, bytes, &limits, &made->json, err);
    if (status == CLF_OK)
        status = read_map(label, made, err);
    if (status != CLF_OK) {
        clf_shard_index_free(made);
        return status;
    }
    *x = made;
    return CLF_OK;
}

size_t clf_shard_index_count(const clf_shard_index *x)
{
    return x->count;
}

const char *clf_shard_index_name(const clf_shard_index *x, size_t index)
{
    return index < x->count ? x->rows[x->sorted[index]].name : NULL;
}

size_t clf_shard_index_shard_count(const clf_shard_index *x)
{
    return x->shard_count;
}

const char *clf_shard_index_shard_name(const clf_shard_index *x, uint32_t shard)
{
    return shard < x->shard_count ? x->shards[shard] : NULL;
}

uint32_t clf_shard_index_find(const clf_shard_index *x, const char *name)
{
    uint32_t low = 0, high = x->count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const row *r = &x->rows[x->sorted[middle]];
        const int order = strcmp(name, r->name);

        if (order == 0)
            return r->shard;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return CLF_SHARD_NONE;
}
