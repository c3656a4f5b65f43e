/* One file, or an index and shards behind the same source: a single file is the only shard. */
#include "checkpoint/checkpoint.h"

#include <string.h>

#include "checkpoint/file_map.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define CONFIG_NAME "config.json"

typedef struct shard {
    clf_file_map map;
    clf_safetensors *file; /* NULL until a tensor is asked for */
} shard;

struct clf_checkpoint {
    char *folder; /* of the index */
    char *label;
    char *config; /* of config.json */
    size_t config_bytes;
    clf_shard_index *index; /* NULL: a single file */
    shard *shards;
    size_t shard_count;
    clf_tensor_source source;
};

static void close_shard(shard *s)
{
    clf_safetensors_close(s->file);
    clf_file_map_close(&s->map);
    s->file = NULL;
}

void clf_checkpoint_close(clf_checkpoint *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->shard_count; i++)
        close_shard(&c->shards[i]);
    clf_free(c->shards);
    clf_shard_index_free(c->index);
    clf_free(c->config);
    clf_free(c->label);
    clf_free(c->folder);
    clf_free(c);
}

static clf_status no_memory(const char *path, clf_error *err)
{
    return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to open it", path);
}

static clf_status open_shard(const char *path, const char *label, shard *s, clf_error *err)
{
    clf_status status;

    CLF_TRY(clf_file_map_open(path, &s->map, err));
    if (s->map.size >= 4 && memcmp(s->map.bytes, "GGUF", 4) == 0)
        status = CLF_FAIL(err, CLF_UNSUPPORTED,
                          "%s: file is GGUF, which is unsupported in this version; want safetensors", label);
    else
        status = clf_safetensors_open(label, s->map.bytes, s->map.size, NULL, &s->file, err);
    if (status != CLF_OK)
        close_shard(s);
    return status;
}

static size_t source_count(void *self)
{
    const clf_checkpoint *c = self;

    return c->index != NULL ? clf_shard_index_count(c->index) : clf_safetensors_count(c->shards[0].file);
}

static const char *source_name(void *self, size_t i)
{
    const clf_checkpoint *c = self;

    return c->index != NULL ? clf_shard_index_name(c->index, i) : clf_safetensors_name(c->shards[0].file, i);
}

/* The file behind a shard, for messages. */
static clf_text shard_label(const clf_checkpoint *c, uint32_t number)
{
    const char *name = c->index != NULL ? clf_shard_index_shard_name(c->index, number) : c->label;

    return clf_text_quote(name, strlen(name));
}

/* The name comes from a file, but is bare, as the index has checked. */
static clf_status open_listed_shard(const clf_checkpoint *c, uint32_t number, clf_error *err)
{
    char *path = clf_file_join(c->folder, clf_shard_index_shard_name(c->index, number));
    clf_status status;

    if (path == NULL)
        return no_memory(c->label, err);
    status = open_shard(path, shard_label(c, number).text, &c->shards[number], err);
    clf_free(path);
    return status;
}

static clf_status source_find(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    const clf_checkpoint *c = self;
    uint32_t number = 0;

    *t = (clf_host_tensor){ .dtype = CLF_DTYPE_NONE };
    if (c->index != NULL) {
        number = clf_shard_index_find(c->index, name);
        if (number == CLF_SHARD_NONE)
            return CLF_OK;
        if (c->shards[number].file == NULL)
            CLF_TRY(open_listed_shard(c, number, err));
    }
    CLF_TRY(clf_file_map_check(&c->shards[number].map, shard_label(c, number).text, err));
    CLF_TRY(clf_safetensors_find(c->shards[number].file, name, t, err));
    if (t->dtype == CLF_DTYPE_NONE && c->index != NULL)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is absent; want it there, as %s says", shard_label(c, number).text,
                        clf_text_quote(name, strlen(name)).text, c->label);
    return CLF_OK;
}

static void source_done(void *self, const void *data, size_t bytes)
{
    const clf_checkpoint *c = self;

    for (size_t i = 0; i < c->shard_count; i++)
        clf_file_map_done(&c->shards[i].map, data, bytes);
}

static clf_status make_shards(clf_checkpoint *c, size_t count, clf_error *err)
{
    c->shards = clf_alloc(count, sizeof *c->shards);
    if (c->shards == NULL)
        return no_memory(c->label, err);
    c->shard_count = count;
    return CLF_OK;
}

static clf_status open_single(clf_checkpoint *c, const char *path, clf_error *err)
{
    c->label = clf_strdup(clf_file_base(path));
    if (c->label == NULL)
        return no_memory(path, err);
    CLF_TRY(make_shards(c, 1, err));
    return open_shard(path, c->label, &c->shards[0], err);
}

static clf_status open_index(clf_checkpoint *c, const char *path, clf_error *err)
{
    char *text;
    size_t bytes;
    clf_status status;

    c->label = clf_strdup(INDEX_NAME);
    if (c->label == NULL)
        return no_memory(path, err);
    CLF_TRY(clf_file_read(path, CLF_SHARD_INDEX_BYTES, &text, &bytes, err));
    status = clf_shard_index_parse(c->label, text, bytes, &c->index, err);
    clf_free(text);
    CLF_TRY(status);
    return make_shards(c, clf_shard_index_shard_count(c->index), err);
}

static clf_status open_tensors(clf_checkpoint *c, const char *single, const char *index, clf_error *err)
{
    if (clf_file_there(single))
        return open_single(c, single, err);
    if (clf_file_there(index))
        return open_index(c, index, err);
    return CLF_FAIL(err, CLF_IO,
                    "%s: folder has neither %s nor %s; want one of them, or the path of one .safetensors file and its "
                    "family (GGUF is unsupported in this version)",
                    c->folder, SINGLE_NAME, INDEX_NAME);
}

static clf_status open_folder(clf_checkpoint *c, const char *folder, clf_error *err)
{
    char *config = clf_file_join(folder, CONFIG_NAME), *single = clf_file_join(folder, SINGLE_NAME);
    char *index = clf_file_join(folder, INDEX_NAME);
    clf_status status = CLF_OK;

    c->folder = clf_strdup(folder);
    if (config == NULL || single == NULL || index == NULL || c->folder == NULL)
        status = no_memory(folder, err);
    else if (clf_file_there(config))
        status = clf_file_read(config, CLF_CONFIG_BYTES, &c->config, &c->config_bytes, err);
    if (status == CLF_OK)
        status = open_tensors(c, single, index, err);
    clf_free(index);
    clf_free(single);
    clf_free(config);
    return status;
}

clf_status clf_checkpoint_open(const char *path, clf_checkpoint **c, clf_error *err)
{
    clf_checkpoint *made = clf_alloc(1, sizeof *made);
    clf_status status;

    *c = NULL;
    if (made == NULL)
        return no_memory(path, err);
    status = clf_file_is_folder(path) ? open_folder(made, path, err) : open_single(made, path, err);
    if (status != CLF_OK) {
        clf_checkpoint_close(made);
        return status;
    }
    made->source = (clf_tensor_source){
        .self = made,
        .label = made->label,
        .count = source_count,
        .name = source_name,
        .find = source_find,
        .done = source_done,
    };
    *c = made;
    return CLF_OK;
}

const clf_tensor_source *clf_checkpoint_source(clf_checkpoint *c)
{
    return &c->source;
}

void clf_checkpoint_config_text(const clf_checkpoint *c, const char **text, size_t *bytes)
{
    *bytes = 0;
    if (c->config != NULL) {
        *text = c->config;
        *bytes = c->config_bytes;
    } else {
        *text = c->index != NULL ? NULL : clf_safetensors_metadata(c->shards[0].file, "clfusion", bytes);
    }
}
