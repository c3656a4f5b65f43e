/* What holds for every family without a tolerance: device memory in views gives what host memory gives, and a batch
 * what its rows give one by one. */
#include <math.h>

#include "data_folders.h"

#define SPARE 3 /* rows and columns of NaN around a view */

static long rows_compared, outputs_masked;

typedef struct call {
    clf_value in[MAX_VALUES], out[MAX_VALUES];
    size_t in_count, out_count;
} call;

static clf_connector *open_connector(clf_test *t, const test_case *c)
{
    clf_connector *connector = NULL;
    clf_error err = { 0 };

    if (clf_connector_open(t->ctx, c->path, NULL, &connector, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
    return connector;
}

static size_t bytes_of(clf_tensor shape)
{
    return (size_t)clf_element_count(shape) * clf_dtype_bytes(shape.dtype);
}

static void run(clf_test *t, const test_case *c, const clf_connector *connector, call *k)
{
    clf_error err = { 0 };

    if (clf_connector_run(t->stream, connector, k->in, k->in_count, k->out, k->out_count, &err) != CLF_OK)
        fail_msg("%s: %s", c->path, err.message);
}

/* ---- views ---- */

/* Only rows and columns: operators take two strides above rows. */
static int64_t spare(clf_tensor shape, int32_t axis)
{
    return axis >= shape.rank - 2 ? SPARE : 0;
}

/* A view of rows in the middle of longer and more ones that are NaN elsewhere; its values, where there are any. */
static clf_tensor amid_nan(clf_test *t, clf_tensor shape, const double *values)
{
    clf_dims room = { .rank = shape.rank };
    clf_tensor x;

    for (int32_t a = 0; a < shape.rank; a++)
        room.dim[a] = shape.dim[a] + spare(shape, a);
    const size_t count = (size_t)clf_element_count(clf_tensor_shape(CLF_F32, room));
    double *all = clf_test_memory(t, count * sizeof *all);

    for (size_t n = 0; n < count; n++) {
        int64_t rest = (int64_t)n, from = 0, step = 1;
        bool inside = values != NULL;

        for (int32_t a = shape.rank - 1; a >= 0; a--) {
            const int64_t at = rest % room.dim[a] - (spare(shape, a) > 0);

            inside = inside && at >= 0 && at < shape.dim[a];
            from += at * step;
            step *= shape.dim[a];
            rest /= room.dim[a];
        }
        all[n] = inside ? values[from] : (double)NAN;
    }
    x = clf_test_from(t, shape.dtype, room, all);
    for (int32_t a = 0; a < shape.rank; a++)
        x = clf_slice(t->stream, x, a, spare(shape, a) > 0, shape.dim[a]);
    return x;
}

static double *doubles_of(clf_test *t, clf_value v)
{
    const size_t count = (size_t)clf_element_count(v.tensor);
    double *values = clf_test_memory(t, count * sizeof *values + 1);

    for (size_t i = 0; i < count; i++)
        values[i] = clf_host_value(v.host, v.tensor.dtype, i);
    return values;
}

/* Values of the case rounded to `type`; ids as they are. */
static clf_value rounded(clf_test *t, clf_value v, clf_dtype type)
{
    if (!clf_is_float(v.tensor.dtype))
        return v;
    const size_t count = (size_t)clf_element_count(v.tensor);
    clf_value r = { v.name, clf_tensor_shape(type, clf_tensor_dims(v.tensor)), NULL };

    r.host = clf_test_memory(t, count * sizeof(float) + 1);
    for (size_t i = 0; i < count; i++) {
        const float value = (float)clf_host_value(v.host, v.tensor.dtype, i);

        if (type == CLF_F32)
            ((float *)r.host)[i] = value;
        else
            ((uint16_t *)r.host)[i] = clf_f32_to_f16(value);
    }
    return r;
}

/* f32 outputs to the bit, others as f32 rounds to them: a module may add its residual after or before that. */
static void compare(const test_case *c, const char *name, clf_dtype type, const double *got, const double *want,
                    size_t count)
{
    double largest = 0;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(want[i]));
    for (size_t i = 0; i < count; i++) {
        const double bound = type == CLF_F32 ? 0 : 0x1p-10 * fabs(want[i]) + 0x1p-14 * largest;

        if (!(fabs(got[i] - want[i]) <= bound))
            fail_msg("%s: %s[%zu] in views of %s is %.9g; host memory gives %.9g", c->path, name, i,
                     clf_dtype_name(type), got[i], want[i]);
    }
}

static void in_views(clf_test *t, const test_case *c, const clf_connector *connector, clf_dtype type)
{
    call host = { .in_count = c->in_count, .out_count = c->out_count }, device;
    clf_error err = { 0 };

    plan_case(c, connector, host.in, host.out);
    for (size_t i = 0; i < c->in_count; i++)
        host.in[i] = rounded(t, host.in[i], type);
    for (size_t i = 0; i < c->out_count; i++)
        host.out[i].host = clf_test_memory(t, bytes_of(host.out[i].tensor));
    run(t, c, connector, &host);
    device = host;
    for (size_t i = 0; i < c->in_count; i++)
        if (clf_is_float(host.in[i].tensor.dtype))
            device.in[i].tensor = amid_nan(t, host.in[i].tensor, doubles_of(t, host.in[i]));
    for (size_t i = 0; i < c->out_count; i++)
        if (clf_is_float(host.out[i].tensor.dtype))
            device.out[i] =
                (clf_value){ host.out[i].name,
                             amid_nan(t, clf_tensor_shape(type, clf_tensor_dims(host.out[i].tensor)), NULL), NULL };
        else
            device.out[i].host = clf_test_memory(t, bytes_of(host.out[i].tensor));
    if (clf_connector_run(t->stream, connector, device.in, device.in_count, device.out, device.out_count, &err) !=
        CLF_OK)
        fail_msg("%s in views of %s: %s", c->path, clf_dtype_name(type), err.message);
    for (size_t i = 0; i < c->out_count; i++) {
        const size_t count = (size_t)clf_element_count(host.out[i].tensor);

        if (clf_is_float(host.out[i].tensor.dtype))
            compare(c, host.out[i].name, type, clf_test_values(t, device.out[i].tensor), doubles_of(t, host.out[i]),
                    count);
        else
            assert_memory_equal(device.out[i].host, host.out[i].host, bytes_of(host.out[i].tensor));
    }
}

static void check_views(clf_test *t, const test_case *c)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16 };
    clf_connector *connector = open_connector(t, c);

    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        in_views(t, c, connector, types[i]);
        clf_test_release_all(t);
    }
    clf_connector_destroy(connector);
}

static void views_on_the_device_equal_dense_host_memory(void **state)
{
    each_case(*state, check_views);
}

/* ---- batches ---- */

static bool is_batched(const char *form)
{
    return strncmp(form, "[B, ", 4) == 0;
}

static bool has_word(const char *words, const char *word)
{
    const size_t length = strlen(word);

    for (const char *at = words; (at = strstr(at, word)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static const clf_port *port_of(const clf_port *ports, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(ports[i].name, name) == 0)
            return &ports[i];
    return NULL;
}

/* The inputs of the case that this output uses; false unless all of them have a row for each of its rows. */
static bool takes_rows(const test_case *c, clf_connector_info info, const call *all, const clf_value *output, call *k)
{
    *k = (call){ .out = { *output }, .out_count = 1 };
    for (size_t i = 0; i < c->in_count; i++) {
        const clf_port *port = port_of(info.inputs, info.input_count, all->in[i].name);

        if (!has_word(port->needed_by, output->name) && !has_word(port->taken_by, output->name))
            continue;
        if (!is_batched(port->shape) || all->in[i].tensor.dim[0] != output->tensor.dim[0])
            return false;
        k->in[k->in_count++] = all->in[i];
    }
    return true;
}

/* Row b of a value, a batch of one. */
static clf_value row_of(clf_value v, int64_t b)
{
    const size_t bytes = bytes_of(v.tensor) / (size_t)v.tensor.dim[0];

    v.tensor.dim[0] = 1;
    v.host = (char *)v.host + (size_t)b * bytes;
    return v;
}

static void compare_rows(clf_test *t, const test_case *c, const clf_connector *connector, call *whole)
{
    const clf_value out = whole->out[0];
    call one = *whole;

    run(t, c, connector, whole);
    for (int64_t b = 0; b < out.tensor.dim[0]; b++) {
        const clf_value want = row_of(out, b);
        clf_error err = { 0 };

        for (size_t i = 0; i < whole->in_count; i++)
            one.in[i] = row_of(whole->in[i], b);
        one.out[0] = (clf_value){ .name = out.name };
        if (clf_connector_plan(connector, one.in, one.in_count, one.out, 1, &err) != CLF_OK)
            fail_msg("%s, row %d: %s", c->path, (int)b, err.message);
        if (!clf_alike(one.out[0].tensor, want.tensor)) /* rows are padded to the longest of the batch */
            continue;
        one.out[0].host = clf_test_memory(t, bytes_of(want.tensor));
        run(t, c, connector, &one);
        if (memcmp(one.out[0].host, want.host, bytes_of(want.tensor)) != 0)
            fail_msg("%s: row %d of %s is another in a batch", c->path, (int)b, out.name);
        rows_compared++;
    }
}

static void check_batches(clf_test *t, const test_case *c)
{
    clf_connector *connector = open_connector(t, c);
    const clf_connector_info info = clf_connector_describe(connector);
    call all, k;

    plan_case(c, connector, all.in, all.out);
    for (size_t i = 0; i < c->out_count && strcmp(info.family, "relevance") != 0; i++) { /* it scales over the batch */
        const clf_port *port = port_of(info.outputs, info.output_count, all.out[i].name);

        if (!is_batched(port->shape) || strcmp(port->name, "fused") == 0 || all.out[i].tensor.dim[0] < 2 ||
            !takes_rows(c, info, &all, &all.out[i], &k))
            continue;
        k.out[0].host = clf_test_memory(t, bytes_of(k.out[0].tensor));
        compare_rows(t, c, connector, &k);
    }
    clf_connector_destroy(connector);
    clf_test_release_all(t);
}

static void a_batch_equals_its_rows_bit_for_bit(void **state)
{
    clf_test *t = *state;

    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast picks its kernels by the number of rows");
    each_case(t, check_batches);
    print_message("             %ld rows of outputs\n", rows_compared);
    assert_true(rows_compared > 400);
}

/* ---- masks ---- */

static clf_value *value_named(clf_value *values, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(values[i].name, name) == 0)
            return &values[i];
    return NULL;
}

/* A copy of vision [B, N, C] with NaN in the rows that mask [B, N] hides; a picture without any row that is seen stays:
 * attention to equally hidden rows is their mean. */
static clf_value spoiled(clf_test *t, clf_value vision, clf_value mask)
{
    const int64_t B = vision.tensor.dim[0], N = vision.tensor.dim[1], C = vision.tensor.dim[2];
    clf_value v = rounded(t, vision, CLF_F32);
    float *values = v.host;

    for (int64_t b = 0; b < B; b++) {
        bool any = false;

        for (int64_t n = 0; n < N; n++)
            any = any || clf_host_value(mask.host, mask.tensor.dtype, (size_t)(b * N + n)) != 0;
        for (int64_t n = 0; n < N && any; n++)
            for (int64_t i = 0; i < C && clf_host_value(mask.host, mask.tensor.dtype, (size_t)(b * N + n)) == 0; i++)
                values[(b * N + n) * C + i] = NAN;
    }
    return v;
}

static void check_masks(clf_test *t, const test_case *c)
{
    clf_connector *connector = open_connector(t, c);
    const clf_connector_info info = clf_connector_describe(connector);
    call all;

    plan_case(c, connector, all.in, all.out);
    const clf_value *mask = value_named(all.in, c->in_count, "vision_mask");
    const clf_value *vision = value_named(all.in, c->in_count, "vision");

    for (size_t i = 0; i < c->out_count && mask != NULL && vision != NULL; i++) {
        const size_t bytes = bytes_of(all.out[i].tensor);
        call k = { .in_count = c->in_count, .out = { all.out[i] }, .out_count = 1 };
        void *want = clf_test_memory(t, bytes);

        if (!has_word(port_of(info.inputs, info.input_count, "vision_mask")->taken_by, all.out[i].name))
            continue;
        memcpy(k.in, all.in, sizeof k.in);
        k.out[0].host = want;
        run(t, c, connector, &k);
        *value_named(k.in, k.in_count, "vision") = spoiled(t, *vision, *mask);
        k.out[0].host = clf_test_memory(t, bytes);
        run(t, c, connector, &k);
        if (memcmp(k.out[0].host, want, bytes) != 0)
            fail_msg("%s: %s depends on rows that vision_mask hides", c->path, all.out[i].name);
        outputs_masked++;
    }
    clf_connector_destroy(connector);
    clf_test_release_all(t);
}

static void rows_that_a_mask_hides_may_be_nan(void **state)
{
    each_case(*state, check_masks);
    print_message("             %ld outputs\n", outputs_masked);
    assert_true(outputs_masked > 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(rows_that_a_mask_hides_may_be_nan),
        CLF_TEST(a_batch_equals_its_rows_bit_for_bit),
        CLF_TEST(views_on_the_device_equal_dense_host_memory),
    };

    return CLF_TEST_MAIN(tests);
}
