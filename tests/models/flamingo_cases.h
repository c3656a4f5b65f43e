/* Checkpoints and inputs of tests/data for openflamingo and idefics, with names and configuration changed. */
#ifndef CLF_TESTS_FLAMINGO_CASES_H
#define CLF_TESTS_FLAMINGO_CASES_H

#include <math.h>
#include <stdio.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/npy.h"
#include "harness.h"

#define MAX_NAMES 80

/* ---- checkpoints of tests/data under other names ---- */

/* Names that begin with `from` begin with `to` instead; NULL: they are gone. */
typedef struct edit {
    const char *from;
    const char *to;
    bool both; /* the old names stay beside the new ones */
} edit;

typedef struct edited_source {
    clf_checkpoint *checkpoint;
    const clf_tensor_source *inner;
    const char *json;
    size_t json_bytes;
    size_t count;
    char names[MAX_NAMES][200];
    size_t inner_index[MAX_NAMES];
    clf_tensor_source source;
} edited_source;

static inline size_t edited_count(void *self)
{
    return ((edited_source *)self)->count;
}

static inline const char *edited_name(void *self, size_t index)
{
    return ((edited_source *)self)->names[index];
}

static inline clf_status edited_find(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    const edited_source *s = self;

    *t = (clf_host_tensor){ 0 };
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->names[i], name) == 0)
            return s->inner->find(s->inner->self, s->inner->name(s->inner->self, s->inner_index[i]), t, err);
    return CLF_OK;
}

static inline void add_name(edited_source *s, size_t index, const char *to, const char *rest)
{
    assert_true(s->count < MAX_NAMES);
    s->inner_index[s->count] = index;
    snprintf(s->names[s->count++], sizeof s->names[0], "%s%s", to, rest);
}

static inline edited_source *open_source(clf_test *t, const char *folder, const edit *edits, size_t edit_count)
{
    edited_source *s = clf_test_memory(t, sizeof *s);
    clf_error err = { 0 };
    char path[300];

    memset(s, 0, sizeof *s);
    snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, folder);
    if (clf_checkpoint_open(path, &s->checkpoint, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_checkpoint_config_text(s->checkpoint, &s->json, &s->json_bytes);
    s->inner = clf_checkpoint_source(s->checkpoint);
    for (size_t i = 0; i < s->inner->count(s->inner->self); i++) {
        const char *name = s->inner->name(s->inner->self, i);
        const edit *e = NULL;

        for (size_t k = 0; k < edit_count; k++)
            if (strncmp(name, edits[k].from, strlen(edits[k].from)) == 0)
                e = &edits[k];
        if (e == NULL || e->both)
            add_name(s, i, "", name);
        if (e != NULL && e->to != NULL)
            add_name(s, i, e->to, name + strlen(e->from));
    }
    s->source = (clf_tensor_source){ s, "edited", edited_count, edited_name, edited_find, NULL };
    return s;
}

/* Creates a connector from the source, with one override unless it is NULL, and closes the source. */
static inline clf_status create(clf_test *t, edited_source *s, const char *const *sets, size_t set_count, int32_t layer,
                                clf_connector **c, clf_error *err)
{
    clf_connector_options options = clf_connector_options_default();

    options.layer = layer;
    options.sets = sets;
    options.set_count = set_count;
    const clf_status status = clf_connector_create(t->ctx, &s->source, s->json, s->json_bytes, &options, c, err);

    clf_checkpoint_close(s->checkpoint);
    return status;
}

static inline clf_connector *open_edited(clf_test *t, const char *folder, const edit *edits, size_t edit_count,
                                         const char *set, int32_t layer)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    if (create(t, open_source(t, folder, edits, edit_count), &set, set != NULL ? 1 : 0, layer, &c, &err) != CLF_OK)
        fail_msg("%s: %s", folder, err.message);
    return c;
}

static inline clf_connector *open_case(clf_test *t, const char *folder, const char *set, int32_t layer)
{
    return open_edited(t, folder, NULL, 0, set, layer);
}

/* ---- inputs of tests/data ---- */

/* A copy that lives until the test ends; `of_batch` of 0 or more: that row of the first dimension, without it. */
static inline clf_value value_of(clf_test *t, const char *folder, const char *name, int64_t of_batch)
{
    clf_npy *file = NULL;
    clf_error err = { 0 };
    char path[300];

    snprintf(path, sizeof path, "%s/%s/in_%s.npy", CLF_TEST_DATA, folder, name);
    if (clf_npy_open(path, &file, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_host_tensor a = clf_npy_tensor(file);
    size_t bytes = clf_dtype_bytes(a.dtype);
    clf_dims dims = { .rank = a.rank };

    memcpy(dims.dim, a.dim, sizeof dims.dim);
    if (of_batch >= 0) {
        memmove(dims.dim, dims.dim + 1, sizeof dims.dim[0] * (size_t)--dims.rank);
        a.data = (const char *)a.data + (size_t)(of_batch * clf_element_count(clf_tensor_shape(a.dtype, dims))) * bytes;
    }
    clf_value v = { name, clf_tensor_shape(a.dtype, dims), NULL };

    bytes *= (size_t)clf_element_count(v.tensor);
    v.host = clf_test_memory(t, bytes);
    memcpy(v.host, a.data, bytes);
    clf_npy_close(file);
    return v;
}

/* Runs for one output and destroys the connector; *dims (may be NULL) receives the shape. */
static inline float *run(clf_test *t, clf_connector *c, const clf_value *in, size_t in_count, const char *name,
                         clf_tensor *got)
{
    clf_value out = { .name = name };
    clf_error err = { 0 };

    if (clf_connector_plan(c, in, in_count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    out.host = clf_test_memory(t, (size_t)clf_element_count(out.tensor) * sizeof(float));
    if (clf_connector_run(t->stream, c, in, in_count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    if (got != NULL)
        *got = out.tensor;
    clf_connector_destroy(c);
    return out.host;
}

static inline void refused(clf_connector *c, const clf_value *in, size_t in_count, const char *name, clf_status status,
                           const char *message)
{
    clf_value out = { .name = name };
    clf_error err = { 0 };

    assert_int_equal(clf_connector_plan(c, in, in_count, &out, 1, &err), status);
    assert_string_equal(err.message, message);
    clf_connector_destroy(c);
}

static inline void close_to(const float *got, const float *want, size_t count)
{
    double largest = 0;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)want[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= 2e-5 * largest))
            fail_msg("[%zu] is %.9g; want %.9g", i, (double)got[i], (double)want[i]);
}

static inline bool same(const float *a, const float *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

#define IMMEDIATE "openflamingo_immediate"
#define STEM "lang_encoder.transformer.blocks."

enum { B = 3, T = 9, I = 2, M = 5, Dv = 24, Dt = 28 }; /* of IMMEDIATE */

/* text, media, text_ids of IMMEDIATE. */
static inline void inputs_of_immediate(clf_test *t, clf_value *in)
{
    in[0] = value_of(t, IMMEDIATE, "text", -1);
    in[1] = value_of(t, IMMEDIATE, "media", -1);
    in[2] = value_of(t, IMMEDIATE, "text_ids", -1);
}

#endif
