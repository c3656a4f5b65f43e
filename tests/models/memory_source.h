/* Checkpoints in memory for the tests of connectors: names and shapes, values random in [-1, 1). */
#ifndef CLF_TESTS_MEMORY_SOURCE_H
#define CLF_TESTS_MEMORY_SOURCE_H

#include <string.h>

#include "harness.h"

#define MEMORY_TENSORS 32

typedef struct memory_row {
    const char *name;
    int64_t rows;
    int64_t columns; /* 0: a vector */
} memory_row;

typedef struct memory_source {
    clf_tensor_source source;
    size_t count;
    const char *names[MEMORY_TENSORS];
    clf_host_tensor tensors[MEMORY_TENSORS];
    uint64_t done_bytes; /* of all calls of done */
} memory_source;

static inline size_t memory_source_count(void *self)
{
    return ((memory_source *)self)->count;
}

static inline const char *memory_source_name(void *self, size_t index)
{
    return ((memory_source *)self)->names[index];
}

static inline clf_status memory_source_find(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    const memory_source *s = self;

    (void)err;
    *t = (clf_host_tensor){ 0 };
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->names[i], name) == 0)
            *t = s->tensors[i];
    return CLF_OK;
}

static inline void memory_source_done(void *self, const void *data, size_t bytes)
{
    memory_source *s = self;

    (void)data;
    s->done_bytes += bytes;
}

/* Rows up to the first without a name.  Lives until the test ends; must stay where it is. */
static inline void memory_source_fill(clf_test *t, memory_source *s, const memory_row *rows)
{
    *s = (memory_source){ .source = { s, "memory", memory_source_count, memory_source_name, memory_source_find,
                                      memory_source_done } };
    for (; rows[s->count].name != NULL; s->count++) {
        const memory_row *row = &rows[s->count];
        const size_t elements = (size_t)row->rows * (size_t)(row->columns == 0 ? 1 : row->columns);
        float *values = clf_test_memory(t, elements * sizeof *values);

        for (size_t i = 0; i < elements; i++)
            values[i] = (float)(2 * clf_test_random(t) - 1);
        s->names[s->count] = row->name;
        s->tensors[s->count] =
            (clf_host_tensor){ values, CLF_F32, row->columns == 0 ? 1 : 2, { row->rows, row->columns } };
    }
}

/* Opens or fails the test. */
static inline clf_connector *memory_connector(clf_test *t, memory_source *s, const char *json,
                                              const clf_connector_options *options)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    if (clf_connector_create(t->ctx, &s->source, json, json != NULL ? strlen(json) : 0, options, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return c;
}

/* Opening must fail with this status and message. */
static inline void memory_refused(clf_test *t, memory_source *s, const char *json, const clf_connector_options *options,
                                  clf_status status, const char *message)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_connector_create(t->ctx, &s->source, json, json != NULL ? strlen(json) : 0, options, &c, &err),
                     status);
    assert_string_equal(err.message, message);
    assert_int_equal(err.status, status);
    assert_null(c);
}

static const memory_row llava_rows[] = {
    { "multi_modal_projector.linear_1.weight", 12, 8 },
    { "multi_modal_projector.linear_1.bias", 12, 0 },
    { "multi_modal_projector.linear_2.weight", 12, 12 },
    { "multi_modal_projector.linear_2.bias", 12, 0 },
    { NULL, 0, 0 },
};

static const memory_row mlp_rows[] = {
    { "mlp.0.weight", 12, 16 }, { "mlp.0.bias", 12, 0 }, { "mlp.2.weight", 10, 12 },
    { "mlp.2.bias", 10, 0 },    { NULL, 0, 0 },
};

#endif
