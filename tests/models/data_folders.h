/* The case folders of tests/data: a checkpoint, its inputs, and what the reference class made of them. */
#ifndef CLF_TESTS_DATA_FOLDERS_H
#define CLF_TESTS_DATA_FOLDERS_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/npy.h"
#include "harness.h"

#define MAX_VALUES 12
#define MAX_CASES 400
#define CASES_AT_LEAST 135 /* a folder that has lost its data must not pass */

typedef struct case_value {
    char name[32];
    clf_npy *file;
    clf_host_tensor array;
} case_value;

typedef struct test_case {
    char path[600]; /* of the checkpoint: the folder, or the single file when there is no config.json */
    case_value in[MAX_VALUES], out[MAX_VALUES];
    size_t in_count, out_count;
} test_case;

static inline clf_tensor shape_of(clf_host_tensor array)
{
    clf_dims dims = { .rank = array.rank };

    memcpy(dims.dim, array.dim, sizeof dims.dim);
    return clf_tensor_shape(array.dtype, dims);
}

static inline void add_value(const char *folder, const char *file, case_value *values, size_t *count)
{
    const char *name = strchr(file, '_') + 1;
    case_value *v = &values[(*count)++];
    char path[1024];
    clf_error err = { 0 };

    assert_true(*count <= MAX_VALUES);
    snprintf(v->name, sizeof v->name, "%.*s", (int)(strlen(name) - strlen(".npy")), name);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (clf_npy_open(path, &v->file, &err) != CLF_OK)
        fail_msg("%s", err.message);
    v->array = clf_npy_tensor(v->file);
}

static inline int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted, so that a failure comes at the same place every time. */
static inline size_t list_folder(const char *folder, char **names, size_t capacity)
{
    DIR *dir = opendir(folder);
    size_t count = 0;

    if (dir == NULL)
        fail_msg("%s cannot be read", folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') {
            assert_true(count < capacity);
            names[count++] = strdup(entry->d_name);
        }
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    return count;
}

static inline test_case open_case(const char *folder)
{
    char *names[32];
    const size_t count = list_folder(folder, names, CLF_COUNT(names));
    test_case c = { .in_count = 0 };
    bool config = false;

    for (size_t i = 0; i < count; i++) {
        config = config || strcmp(names[i], "config.json") == 0;
        if (strncmp(names[i], "in_", 3) == 0)
            add_value(folder, names[i], c.in, &c.in_count);
        if (strncmp(names[i], "out_", 4) == 0)
            add_value(folder, names[i], c.out, &c.out_count);
        free(names[i]);
    }
    snprintf(c.path, sizeof c.path, "%s%s", folder, config ? "" : "/model.safetensors");
    assert_true(c.in_count > 0 && c.out_count > 0);
    return c;
}

static inline void close_case(test_case *c)
{
    for (size_t i = 0; i < c->in_count; i++)
        clf_npy_close(c->in[i].file);
    for (size_t i = 0; i < c->out_count; i++)
        clf_npy_close(c->out[i].file);
}

static inline size_t elements(clf_host_tensor array)
{
    return (size_t)clf_element_count(shape_of(array));
}

/* The case's inputs and its outputs as planned. */
static inline void make_plan(const test_case *c, const clf_connector *connector, clf_value *in, clf_value *out)
{
    clf_error err = { 0 };

    for (size_t i = 0; i < c->in_count; i++)
        in[i] = (clf_value){ c->in[i].name, shape_of(c->in[i].array), (void *)(uintptr_t)c->in[i].array.data };
    for (size_t i = 0; i < c->out_count; i++)
        out[i] = (clf_value){ .name = c->out[i].name };
    if (clf_connector_plan(connector, in, c->in_count, out, c->out_count, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
}

/* The same: the outputs are those of the reference. */
static inline void plan_case(const test_case *c, const clf_connector *connector, clf_value *in, clf_value *out)
{
    make_plan(c, connector, in, out);
    for (size_t i = 0; i < c->out_count; i++)
        if (!clf_alike(out[i].tensor, shape_of(c->out[i].array)))
            fail_msg("%s: %s is planned with another shape than the reference has", c->path, out[i].name);
}

/* Each folder in turn, by name. */
static inline void each_case(clf_test *t, void (*check)(clf_test *t, const test_case *c))
{
    char *names[MAX_CASES];
    const size_t count = list_folder(CLF_TEST_DATA, names, MAX_CASES);

    for (size_t i = 0; i < count; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/%s", CLF_TEST_DATA, names[i]);
        test_case c = open_case(folder);

        check(t, &c);
        close_case(&c);
        free(names[i]);
    }
    assert_true(count >= CASES_AT_LEAST);
}

#endif
