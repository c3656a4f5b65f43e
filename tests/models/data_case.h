/* The cases of tests/data, opened one by one for tests that change what is given. */
#ifndef CLF_TESTS_DATA_CASE_H
#define CLF_TESTS_DATA_CASE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/npy.h"
#include "harness.h"

/* FILE.npy of a case as dense values in memory that lives until the test ends. */
static inline clf_value case_array(clf_test *t, const char *folder, const char *file, const char *name)
{
    clf_npy *npy = NULL;
    clf_error err = { 0 };
    char path[600];

    snprintf(path, sizeof path, "%s/%s/%s.npy", CLF_TEST_DATA, folder, file);
    if (clf_npy_open(path, &npy, &err) != CLF_OK)
        fail_msg("%s", err.message);
    const clf_host_tensor array = clf_npy_tensor(npy);
    clf_dims dims = { .rank = array.rank };

    memcpy(dims.dim, array.dim, sizeof dims.dim);
    const clf_tensor shape = clf_tensor_shape(array.dtype, dims);
    const size_t bytes = (size_t)clf_element_count(shape) * clf_dtype_bytes(array.dtype);
    void *copy = clf_test_memory(t, bytes + 1);

    memcpy(copy, array.data, bytes);
    clf_npy_close(npy);
    return (clf_value){ name, shape, copy };
}

static inline clf_value case_input(clf_test *t, const char *folder, const char *name)
{
    char file[64];

    snprintf(file, sizeof file, "in_%s", name);
    return case_array(t, folder, file, name);
}

/* Options with at most one override. */
static inline clf_connector_options case_options(const char *const *set, int32_t layer)
{
    clf_connector_options options = clf_connector_options_default();

    options.sets = set;
    options.set_count = set != NULL && *set != NULL ? 1 : 0;
    options.layer = layer;
    return options;
}

static inline clf_connector *case_open(clf_test *t, const char *folder, const char *set, int32_t layer)
{
    const clf_connector_options options = case_options(&set, layer);
    clf_connector *c = NULL;
    clf_error err = { 0 };
    char path[600];

    snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, folder);
    if (clf_connector_open(t->ctx, path, &options, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return c;
}

static inline void case_refused(clf_test *t, const char *folder, const char *set, int32_t layer, const char *message)
{
    const clf_connector_options options = case_options(&set, layer);
    clf_connector *c = NULL;
    clf_error err = { 0 };
    char path[600];

    snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, folder);
    assert_int_not_equal(clf_connector_open(t->ctx, path, &options, &c, &err), CLF_OK);
    assert_string_equal(err.message, message);
    assert_null(c);
}

/* One output in f32. */
static inline float *case_run(clf_test *t, const clf_connector *c, const clf_value *in, size_t count, const char *name)
{
    clf_value out = { .name = name };
    clf_error err = { 0 };

    if (clf_connector_plan(c, in, count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    out.host = clf_test_memory(t, (size_t)clf_element_count(out.tensor) * sizeof(float) + 1);
    if (clf_connector_run(t->stream, c, in, count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return out.host;
}

static inline void case_call_refused(clf_test *t, const clf_connector *c, const clf_value *in, size_t count,
                                     const char *name, const char *message)
{
    clf_value out = { .name = name };
    clf_error err = { 0 };

    assert_int_not_equal(clf_connector_plan(c, in, count, &out, 1, &err), CLF_OK);
    assert_string_equal(err.message, message);
    clf_stream_reset(t->stream);
}

/* The bound of test_families.c. */
static inline void case_close(clf_test *t, const float *got, clf_value want)
{
    const float *values = want.host;
    const size_t count = (size_t)clf_element_count(want.tensor);
    double largest = 0;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)values[i]));
    assert_true(largest > 0);
    for (size_t i = 0; i < count; i++) {
        const double error = fabs((double)got[i] - (double)values[i]);
        const double bound = 2e-5 * largest + 1e-4 * fabs((double)values[i]);

        if (!(error <= bound))
            fail_msg("%s[%zu] is %.9g; want %.9g", want.name, i, (double)got[i], (double)values[i]);
        t->worst_share = fmax(t->worst_share, error / bound);
    }
}

/* ---- a checkpoint of which some tensors are left out ---- */

typedef struct case_part {
    const clf_tensor_source *all;
    const char *without; /* names with this text are not there */
    clf_tensor_source source;
} case_part;

static inline size_t case_part_count(void *self)
{
    return ((case_part *)self)->all->count(((case_part *)self)->all->self);
}

static inline const char *case_part_name(void *self, size_t index)
{
    const case_part *p = self;
    const char *name = p->all->name(p->all->self, index);

    return strstr(name, p->without) == NULL ? name : "left.out";
}

static inline clf_status case_part_find(void *self, const char *name, clf_host_tensor *h, clf_error *err)
{
    const case_part *p = self;

    *h = (clf_host_tensor){ 0 };
    return strstr(name, p->without) == NULL ? p->all->find(p->all->self, name, h, err) : CLF_OK;
}

/* Opens the case without those tensors; *err tells why it could not. */
static inline clf_status case_open_part(clf_test *t, const char *folder, const char *without, int32_t layer,
                                        clf_connector **c, clf_error *err)
{
    case_part part = { .without = without };
    const clf_connector_options options = case_options(NULL, layer);
    clf_checkpoint *checkpoint = NULL;
    clf_status status;
    const char *json;
    size_t bytes;
    char path[600];

    snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, folder);
    assert_int_equal(clf_checkpoint_open(path, &checkpoint, NULL), CLF_OK);
    clf_checkpoint_config_text(checkpoint, &json, &bytes);
    part.all = clf_checkpoint_source(checkpoint);
    part.source = (clf_tensor_source){ &part, NULL, case_part_count, case_part_name, case_part_find, NULL };
    status = clf_connector_create(t->ctx, &part.source, json, bytes, &options, c, err);
    clf_checkpoint_close(checkpoint);
    return status;
}

#endif
