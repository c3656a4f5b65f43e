/* Every case folder of tests/data: a checkpoint, inputs, and what the reference class made of them.
 *
 * The reference is torch in f32.  |a - b| <= 2e-5 max|b| + 1e-4 |b|: two f32 computations of the same graph differ by
 * the order of their sums, at most (in + 3) u sum|x w| a layer, which is below 2e-5 max|b| for the widths used here;
 * the relative part covers the activations' own bounds (activation.h). */
#include <math.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "data_folders.h"

/* Runs the connector for all outputs of the case; results[i] lives until the test ends. */
static void run_case(clf_test *t, const test_case *c, const clf_connector *connector, void **results)
{
    clf_value in[MAX_VALUES], out[MAX_VALUES];
    clf_error err = { 0 };

    plan_case(c, connector, in, out);
    for (size_t i = 0; i < c->out_count; i++)
        out[i].host = results[i] =
            clf_test_memory(t, elements(c->out[i].array) * clf_dtype_bytes(c->out[i].array.dtype));
    if (clf_connector_run(t->stream, connector, in, c->in_count, out, c->out_count, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
}

static void compare(clf_test *t, const char *path, const char *name, const float *got, const float *want, size_t count)
{
    double largest = 0;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)want[i]));
    assert_true(largest > 0);
    for (size_t i = 0; i < count; i++) {
        const double error = fabs((double)got[i] - (double)want[i]);
        const double bound = 2e-5 * largest + 1e-4 * fabs((double)want[i]);

        if (!(error <= bound))
            fail_msg("%s: %s[%zu] is %.9g; want %.9g, error %.3g of %.3g", path, name, i, (double)got[i],
                     (double)want[i], error, bound);
        t->worst_share = fmax(t->worst_share, error / bound);
    }
}

/* Ids, masks and counts are the reference's, each of them. */
static void compare_ids(const char *path, const char *name, const int64_t *got, const int64_t *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (got[i] != want[i])
            fail_msg("%s: %s[%zu] is %lld; want %lld", path, name, i, (long long)got[i], (long long)want[i]);
}

static void compare_output(clf_test *t, const char *path, const case_value *output, const void *got, const void *want)
{
    if (output->array.dtype == CLF_I64)
        compare_ids(path, output->name, got, want, elements(output->array));
    else
        compare(t, path, output->name, got, want, elements(output->array));
}

static clf_connector *open_connector(clf_test *t, const test_case *c, clf_dtype storage)
{
    clf_connector_options options = clf_connector_options_default();
    clf_connector *connector = NULL;
    clf_error err = { 0 };

    options.storage = storage;
    if (clf_connector_open(t->ctx, c->path, &options, &connector, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
    return connector;
}

static void check_reference(clf_test *t, const test_case *c)
{
    clf_connector *connector = open_connector(t, c, CLF_DTYPE_NONE);
    void *results[MAX_VALUES];

    run_case(t, c, connector, results);
    for (size_t i = 0; i < c->out_count; i++)
        compare_output(t, c->path, &c->out[i], results[i], c->out[i].array.data);
    clf_connector_destroy(connector);
}

static void every_case_agrees_with_its_reference(void **state)
{
    each_case(*state, check_reference);
}

/* ---- token counts: projectors work row by row, so the reference's rows serve for any number of them ---- */

static const case_value *value_named(const case_value *values, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(values[i].name, name) == 0)
            return &values[i];
    return NULL;
}

/* `rows` rows of the array, the first again after the last, as the bytes they are stored in. */
static void *repeated_rows(clf_test *t, clf_host_tensor array, int64_t rows)
{
    const int64_t width = array.dim[array.rank - 1], have = array.dim[array.rank - 2];
    const size_t row_bytes = (size_t)width * clf_dtype_bytes(array.dtype);
    char *all = clf_test_memory(t, (size_t)rows * row_bytes);

    for (int64_t r = 0; r < rows; r++)
        memcpy(all + (size_t)r * row_bytes, (const char *)array.data + (size_t)(r % have) * row_bytes, row_bytes);
    return all;
}

/* The first picture's tokens, made M of. */
static void check_count(clf_test *t, const test_case *c, const clf_connector *connector, int64_t M)
{
    const case_value *vision = value_named(c->in, c->in_count, "vision");
    const case_value *tokens = value_named(c->out, c->out_count, "tokens");
    const int64_t N = clf_dim(shape_of(vision->array), -2), have = clf_dim(shape_of(tokens->array), -2);
    const int64_t Dv = clf_dim(shape_of(vision->array), -1), Dt = clf_dim(shape_of(tokens->array), -1);
    const int64_t rows = M * (N / have); /* compressed families merge N / have rows */
    const clf_value in = { "vision", clf_tensor_shape(vision->array.dtype, CLF_DIMS(1, rows, Dv)),
                           repeated_rows(t, vision->array, rows) };
    const clf_value out = { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(1, M, Dt)),
                            clf_test_memory(t, (size_t)(M * Dt) * sizeof(float)) };
    clf_error err = { 0 };

    if (clf_connector_run(t->stream, connector, &in, 1, &out, 1, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
    compare(t, c->path, "tokens", out.host, repeated_rows(t, tokens->array, M), (size_t)(M * Dt));
}

static void check_token_counts(clf_test *t, const test_case *c)
{
    static const int64_t counts[] = { 1, 5, 257, 576, 729 };
    clf_connector *connector;

    if (value_named(c->out, c->out_count, "tokens") == NULL || value_named(c->in, c->in_count, "vision") == NULL)
        return;
    connector = open_connector(t, c, CLF_DTYPE_NONE);
    const bool by_rows = strstr("projector llava_fusion", clf_connector_describe(connector).module) != NULL;
    for (size_t i = 0; by_rows && i < (clf_test_small_only(t) ? 2 : CLF_COUNT(counts)); i++)
        check_count(t, c, connector, counts[i]);
    clf_connector_destroy(connector);
}

static void every_projector_agrees_at_1_5_257_576_and_729_tokens(void **state)
{
    each_case(*state, check_token_counts);
}

/* ---- storage: the type on the device rounds the weights and nothing else ---- */

/* A source that gives what `storage` would make of each matrix, as f32. */
typedef struct rounding_source {
    clf_test *t;
    const clf_tensor_source *inner;
    clf_dtype storage;
} rounding_source;

static size_t rounding_count(void *self)
{
    return ((rounding_source *)self)->inner->count(((rounding_source *)self)->inner->self);
}

static const char *rounding_name(void *self, size_t index)
{
    return ((rounding_source *)self)->inner->name(((rounding_source *)self)->inner->self, index);
}

static float rounded(double value, clf_dtype storage)
{
    return storage == CLF_F16 ? clf_f16_to_f32(clf_f32_to_f16((float)value))
                              : clf_bf16_to_f32(clf_f32_to_bf16((float)value));
}

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), part = strlen(end);

    return length >= part && strcmp(name + length - part, end) == 0;
}

/* A matrix of a product, as `storage` rounds it; queries, latents and tables of positions stay as they are. */
static bool is_matrix(const char *name)
{
    return ends_with(name, "weight") || ends_with(name, "proj") || ends_with(name, "projection");
}

static clf_status rounding_find(void *self, const char *name, clf_host_tensor *array, clf_error *err)
{
    const rounding_source *s = self;
    const clf_status status = s->inner->find(s->inner->self, name, array, err);

    if (status != CLF_OK || array->dtype == CLF_DTYPE_NONE || array->rank < 2 || !is_matrix(name))
        return status;
    const size_t count = elements(*array);
    float *values = clf_test_memory(s->t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = rounded(clf_host_value(array->data, array->dtype, i), s->storage);
    array->data = values;
    array->dtype = CLF_F32;
    return CLF_OK;
}

static clf_connector *open_rounded(clf_test *t, const test_case *c, clf_dtype storage)
{
    clf_checkpoint *checkpoint = NULL;
    clf_connector *connector = NULL;
    const char *json;
    size_t bytes;
    clf_error err = { 0 };

    if (clf_checkpoint_open(c->path, &checkpoint, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_checkpoint_config_text(checkpoint, &json, &bytes);
    rounding_source inner = { t, clf_checkpoint_source(checkpoint), storage };
    const clf_tensor_source source = { &inner, "rounded", rounding_count, rounding_name, rounding_find, NULL };

    if (clf_connector_create(t->ctx, &source, json, bytes, NULL, &connector, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
    clf_checkpoint_close(checkpoint);
    return connector;
}

static void check_storage(clf_test *t, const test_case *c, clf_dtype storage)
{
    clf_connector *stored = open_connector(t, c, storage), *first = open_rounded(t, c, storage);
    void *got[MAX_VALUES], *want[MAX_VALUES];

    run_case(t, c, stored, got);
    run_case(t, c, first, want);
    for (size_t i = 0; i < c->out_count; i++)
        compare_output(t, c->path, &c->out[i], got[i], want[i]);
    clf_connector_destroy(stored);
    clf_connector_destroy(first);
}

static void check_half_storage(clf_test *t, const test_case *c)
{
    check_storage(t, c, CLF_F16);
    check_storage(t, c, CLF_BF16);
}

static void half_storage_equals_weights_rounded_beforehand(void **state)
{
    each_case(*state, check_half_storage);
}

/* f32 holds what f16 and bf16 hold. */
static void check_f32_storage(clf_test *t, const test_case *c)
{
    clf_connector *connector = open_connector(t, c, CLF_F32);
    void *results[MAX_VALUES];

    run_case(t, c, connector, results);
    for (size_t i = 0; i < c->out_count; i++)
        compare_output(t, c->path, &c->out[i], results[i], c->out[i].array.data);
    clf_connector_destroy(connector);
}

static void f32_storage_agrees_with_the_reference(void **state)
{
    each_case(*state, check_f32_storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(every_case_agrees_with_its_reference),
        CLF_TEST(every_projector_agrees_at_1_5_257_576_and_729_tokens),
        CLF_TEST(f32_storage_agrees_with_the_reference),
        CLF_TEST(half_storage_equals_weights_rounded_beforehand),
    };

    return CLF_TEST_MAIN(tests);
}
