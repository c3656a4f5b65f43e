/* What the tables of a model class can say, each on a small class of its own: optional inputs, shapes that follow from
 * values, forms of a port, kinds of outputs, layers, families that share a name, example calls. */
#include "memory_source.h"

#include <clfusion/copy.h>

#include "models/connector.h"
#include "models/example.h"
#include "runtime/op.h"

/* What the last forward was given. */
typedef struct seen {
    clf_call call;
    int64_t ids[8];
    size_t calls;
} seen;

static const clf_family fake_family = { .id = "fake" };

/* A connector of the class, described as if it were built; Dv is 4. */
static clf_connector fake(const clf_model_class *k, seen *module)
{
    clf_connector c = { .family = &fake_family, .model = { .model_class = k, .module = module } };

    (void)clf_letters_set(&c.model.widths, "Dv", 4);
    return c;
}

static clf_value shape_of(const char *name, clf_dtype dtype, clf_dims dims)
{
    return (clf_value){ .name = name, .tensor = clf_tensor_shape(dtype, dims) };
}

static clf_value ids_of(const char *name, clf_dims dims, int64_t *ids)
{
    return (clf_value){ .name = name, .tensor = clf_tensor_shape(CLF_I64, dims), .host = ids };
}

/* One output's planned shape. */
static clf_tensor planned(clf_connector *c, const clf_value *in, size_t count, const char *output)
{
    clf_value out = { .name = output };
    clf_error err = { 0 };

    clf_connector_describe_ports(c);
    if (clf_connector_plan(c, in, count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return out.tensor;
}

static void refused(clf_connector *c, const clf_value *in, size_t count, const char *output, clf_status status,
                    const char *message)
{
    clf_value out = { .name = output };
    clf_error err = { 0 };

    clf_connector_describe_ports(c);
    assert_int_equal(clf_connector_plan(c, in, count, &out, 1, &err), status);
    assert_string_equal(err.message, message);
}

static void remember(const void *module, const clf_call *call)
{
    seen *m = (seen *)(uintptr_t)module; /* the test's own memory */

    m->call = *call;
    m->calls++;
    for (size_t i = 0; i < CLF_MAX_PORTS; i++) /* ids are gone after the call */
        if (call->ids[i] != NULL)
            memcpy(m->ids, call->ids[i], CLF_MIN((size_t)clf_element_count(call->in[i]), 8) * sizeof m->ids[0]);
}

static uint64_t rows_of_first(const void *module, const clf_call *call)
{
    (void)module;
    return (uint64_t)clf_row_count(call->in[0]);
}

/* ---- optional inputs ---- */

static void copy_forward(clf_stream *s, const void *module, const clf_call *call)
{
    remember(module, call);
    clf_copy(s, call->in[0], call->out[0]);
}

static const clf_model_class masked = {
    .module = "fake",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },
                { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS } },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[B, N, Dv]", .needs = 1U << 0, .may = 1U << 1 },
                 { .name = "plain", .shape = "[B, N, Dv]", .needs = 1U << 0 } },
    .output_count = 2,
    .forward = copy_forward,
    .flop = rows_of_first,
};

static void an_optional_input_is_checked_and_used_when_it_is_given(void **state)
{
    clf_test *t = *state;
    seen module = { .calls = 0 };
    clf_connector c = fake(&masked, &module);
    int64_t mask[] = { 1, 0, 5 };
    float values[12], result[12];
    clf_value in[] = { shape_of("vision", CLF_F32, CLF_DIMS(1, 3, 4)), ids_of("vision_mask", CLF_DIMS(1, 3), mask) };
    const clf_value tokens = { .name = "tokens", .host = result }, plain = { .name = "plain", .host = result };
    const clf_value wrong[] = { in[0], ids_of("vision_mask", CLF_DIMS(1, 2), mask) };
    clf_error err = { 0 };

    for (size_t i = 0; i < CLF_COUNT(values); i++)
        values[i] = (float)i;
    in[0].host = values;
    refused(&c, wrong, 2, "tokens", CLF_INVALID_ARGUMENT, "fake: vision_mask is i64[1, 2]; want N of 3, as vision has");
    assert_int_equal(clf_connector_run(t->stream, &c, in, 2, &tokens, 1, &err), CLF_OK);
    assert_true(clf_present(module.call.in[1]));
    assert_memory_equal(module.ids, mask, sizeof mask);
    assert_int_equal(clf_connector_run(t->stream, &c, in, 1, &tokens, 1, &err), CLF_OK); /* left out */
    assert_false(clf_present(module.call.in[1]));
    assert_null(module.call.ids[1]);
    clf_plan plan; /* an output that has no use for it does not look at it */
    assert_int_equal(clf_plan_make(&c, wrong, 2, &plain, 1, &plan, &err), CLF_OK);
    assert_false(clf_present(plan.call.in[1]));
    clf_plan_free(&plan);
    assert_true(c.inputs[1].optional);
    assert_string_equal(c.inputs[0].needed_by, "tokens plain");
    assert_string_equal(c.inputs[1].needed_by, "");
    assert_string_equal(c.inputs[1].taken_by, "tokens");
}

/* ---- shapes that follow from values ---- */

/* Rows S of pictures in the order of grid; 2 x 2 rows become one: M. */
static clf_status ragged_shape(const void *module, clf_call *call, clf_error *err)
{
    int64_t S = 0;

    (void)module;
    for (int64_t i = 0; i < call->in[1].dim[0]; i++) {
        const int64_t rows = call->ids[1][2 * i], columns = call->ids[1][2 * i + 1];

        if (rows < 1 || rows > 1000 || columns < 1 || columns > 1000 || rows % 2 != 0 || columns % 2 != 0)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "%s: grid[%" PRId64 "] is %" PRId64 " x %" PRId64 "; want even numbers of 2 to 1000",
                            call->family, i, rows, columns);
        S += rows * columns;
    }
    CLF_TRY(clf_letters_bind(&call->letters, call->family, "S", S, "grid", err));
    return clf_letters_bind(&call->letters, call->family, "M", S / 4, "grid", err);
}

static void ragged_forward(clf_stream *s, const void *module, const clf_call *call)
{
    remember(module, call);
    clf_copy(s, clf_slice(s, call->in[0], 0, 0, call->out[0].dim[0]), call->out[0]);
}

static uint64_t flop_of_tokens(const void *module, const clf_call *call)
{
    (void)module;
    return (uint64_t)clf_letters_find(&call->letters, "M")->value;
}

static const clf_model_class ragged = {
    .module = "fake",
    .inputs = { { .name = "vision", .shape = "[S, Dv]" },
                { .name = "grid", .shape = "[I, 2]", .kind = CLF_PORT_SIZES } },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[M, Dv]", .needs = 1U << 0 | 1U << 1 } },
    .output_count = 1,
    .shape = ragged_shape,
    .forward = ragged_forward,
    .flop = flop_of_tokens,
};

static void a_shape_may_follow_from_values(void **state)
{
    clf_test *t = *state;
    seen module = { .calls = 0 };
    clf_connector c = fake(&ragged, &module);
    int32_t grid[] = { 2, 4, 4, 2 };
    int64_t odd[] = { 2, 4, 3, 2 }, larger[] = { 2, 4, 4, 4 };
    float values[16 * 4] = { 7 }, result[4 * 4] = { 0 };
    clf_value in[] = { shape_of("vision", CLF_F32, CLF_DIMS(16, 4)), shape_of("grid", CLF_I32, CLF_DIMS(2, 2)) };
    clf_value tokens = { .name = "tokens", .host = result };
    clf_error err = { 0 };

    in[0].host = values;
    refused(&c, in, 2, "tokens", CLF_INVALID_ARGUMENT, "fake: grid has no memory; want tensor.mem or host");
    in[1].host = grid;
    assert_true(clf_shape_is(planned(&c, in, 2, "tokens"), CLF_DIMS(4, 4)));
    assert_int_equal(clf_connector_flop(&c, in, 2, &tokens, 1), 4);
    assert_int_equal(clf_connector_run(t->stream, &c, in, 2, &tokens, 1, &err), CLF_OK);
    assert_true(result[0] == 7.0F);
    assert_int_equal(module.ids[2], 4);
    in[1] = ids_of("grid", CLF_DIMS(2, 2), odd);
    refused(&c, in, 2, "tokens", CLF_INVALID_ARGUMENT, "fake: grid[1] is 3 x 2; want even numbers of 2 to 1000");
    assert_int_equal(clf_connector_flop(&c, in, 2, &tokens, 1), 0);
    in[1] = ids_of("grid", CLF_DIMS(2, 2), larger);
    refused(&c, in, 2, "tokens", CLF_INVALID_ARGUMENT, "fake: S of vision is 16; want 24, as grid says");
}

/* ---- forms ---- */

/* Packed rows where there is a grid, frames of a video, pictures; tiles of a mask. */
static const clf_model_class forms = {
    .module = "fake",
    .inputs = { { .name = "vision", .shape = "[S, Dv] | [B, N, Dv] | [B, F, N, Dv]", .first_with = 1U << 1 },
                { .name = "grid", .shape = "[I, 2] | [I, 3]", .kind = CLF_PORT_IDS },
                { .name = "media", .shape = "[B, I, M, Dv] | [B, M, Dv]" } },
    .input_count = 3,
    .outputs = { { .name = "tokens",
                   .shape = "[S, Dv] | [B, F*N + 1, Dv] | [B, N, Dv]",
                   .needs = 1U << 0,
                   .may = 1U << 1 },
                 { .name = "hidden", .shape = "[B, I*M] | [B, M]", .needs = 1U << 2 } },
    .output_count = 2,
    .flop = rows_of_first,
};

static void a_port_takes_the_form_that_it_is_given(void **state)
{
    clf_connector c = fake(&forms, NULL);
    const clf_value rows = shape_of("vision", CLF_F32, CLF_DIMS(6, 4));
    const clf_value pictures = shape_of("vision", CLF_F32, CLF_DIMS(2, 6, 4));
    const clf_value video = shape_of("vision", CLF_F32, CLF_DIMS(2, 3, 6, 4));
    const clf_value packed[] = { rows, shape_of("grid", CLF_I64, CLF_DIMS(1, 3)) };
    const clf_value line = shape_of("vision", CLF_F32, CLF_DIMS(4));
    const clf_value tall[] = { rows, shape_of("grid", CLF_I64, CLF_DIMS(1, 4)) };
    const clf_value media = shape_of("media", CLF_F32, CLF_DIMS(2, 3, 4));
    const clf_value several = shape_of("media", CLF_F32, CLF_DIMS(2, 5, 3, 4));
    clf_plan plan;

    (void)state;
    assert_true(clf_shape_is(planned(&c, &rows, 1, "tokens"), CLF_DIMS(6, 4)));
    assert_int_equal(clf_plan_make(&c, &rows, 1, &(clf_value){ .name = "tokens" }, 1, &plan, NULL), CLF_OK);
    assert_int_equal(plan.call.in[0].rank, 3); /* [N, Dv] without its batch */
    clf_plan_free(&plan);
    assert_int_equal(clf_plan_make(&c, packed, 2, &(clf_value){ .name = "tokens" }, 1, &plan, NULL), CLF_OK);
    assert_int_equal(plan.call.in[0].rank, 2); /* [S, Dv] */
    clf_plan_free(&plan);
    assert_true(clf_shape_is(planned(&c, &pictures, 1, "tokens"), CLF_DIMS(2, 6, 4)));
    assert_true(clf_shape_is(planned(&c, &video, 1, "tokens"), CLF_DIMS(2, 19, 4)));
    assert_true(clf_shape_is(planned(&c, &media, 1, "hidden"), CLF_DIMS(2, 3))); /* not [I, M, Dv] */
    assert_true(clf_shape_is(planned(&c, &several, 1, "hidden"), CLF_DIMS(2, 15)));
    refused(&c, &line, 1, "tokens", CLF_INVALID_ARGUMENT,
            "fake: vision is f32[4]; want [B, N, 4] or [B, F, N, 4] or [N, 4] or [F, N, 4]");
    refused(&c, tall, 2, "tokens", CLF_INVALID_ARGUMENT, "fake: grid is i64[1, 4]; want [I, 2] or [I, 3]");
    assert_string_equal(c.inputs[2].shape, "[B, I, M, 4] or [B, M, 4]");
}

/* ---- kinds of outputs ---- */

enum { HIDDEN, INDICES };

static void kinds_forward(clf_stream *s, const void *module, const clf_call *call)
{
    static const int64_t kept[] = { 3, 1LL << 40 };

    remember(module, call);
    if (clf_present(call->out[HIDDEN]))
        clf_copy(s, call->in[1], call->out[HIDDEN]);
    if (clf_present(call->out[INDICES]))
        clf_upload_copy(s, kept, sizeof kept, call->out[INDICES]);
}

static const clf_model_class kinds = {
    .module = "fake",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, { .name = "text", .shape = "[B, T, Dv]" } },
    .input_count = 2,
    .outputs = { { .name = "hidden", .shape = "[B, T, Dv]", .needs = 1U << 0 | 1U << 1, .like = 1 },
                 { .name = "indices", .shape = "[B, N]", .needs = 1U << 0, .kind = CLF_PORT_IDS } },
    .output_count = 2,
    .forward = kinds_forward,
    .flop = rows_of_first,
};

static void outputs_may_be_indices_or_have_the_type_of_another_input(void **state)
{
    clf_test *t = *state;
    seen module = { .calls = 0 };
    clf_connector c = fake(&kinds, &module);
    uint16_t text[] = { 0x3C00, 0x4000, 0x4200, 0x4400 }, hidden[4];
    float vision[8] = { 0 };
    int64_t indices[2] = { 0 };
    clf_value in[] = { shape_of("vision", CLF_F32, CLF_DIMS(1, 2, 4)), shape_of("text", CLF_F16, CLF_DIMS(1, 1, 4)) };
    const clf_value out[] = { { .name = "hidden", .tensor = { .dtype = CLF_F16 }, .host = hidden },
                              { .name = "indices", .host = indices } };
    const clf_value floats = { .name = "indices", .tensor = { .dtype = CLF_F32 }, .host = indices };
    clf_error err = { 0 };

    in[0].host = vision;
    in[1].host = text;
    assert_int_equal(planned(&c, in, 1, "indices").dtype, CLF_I64);
    assert_string_equal(c.outputs[1].types, "i64");
    if (clf_connector_run(t->stream, &c, in, 2, out, 2, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_int_equal(module.call.out[HIDDEN].dtype, CLF_F16); /* as text has, though vision is f32 */
    assert_memory_equal(hidden, text, sizeof text);
    assert_true(indices[0] == 3 && indices[1] == 1LL << 40);
    assert_int_equal(clf_connector_run(t->stream, &c, in, 2, &floats, 1, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "fake: indices is wanted as f32; want i64");
}

/* ---- layers ---- */

static void a_layer_must_be_one_of_the_model(void **state)
{
    const clf_builder fits = { .family = "fake", .layer = 7 }, above = { .family = "fake", .layer = 8 };
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(clf_build_layer(&fits, 8, &err), CLF_OK);
    assert_int_equal(clf_build_layer(&above, 8, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "fake: layer is 8; want 0 to 7: the checkpoint has 8 layers");
}

/* ---- families that share a name ---- */

static clf_status has_b(const clf_tensor_source *source, const clf_config *config, bool *match, clf_error *err)
{
    clf_host_tensor found;

    (void)config;
    CLF_TRY(clf_source_find(source, "b", &found, err));
    *match = found.dtype != CLF_DTYPE_NONE;
    return CLF_OK;
}

static void tensors_choose_among_families_with_one_name(void **state)
{
    static const memory_row with_a[] = { { "a", 1, 0 }, { NULL, 0, 0 } }, with_b[] = { { "b", 1, 0 }, { NULL, 0, 0 } };
    static const clf_family first = { .id = "first", .spellings = { "shared" } };
    static const clf_family second = { .id = "second", .spellings = { "shared" }, .matches = has_b };
    static const clf_family *const items[] = { &second, &first };
    const clf_family_list list = { items, CLF_COUNT(items) };
    const clf_family *family = NULL;
    clf_test *t = *state;
    memory_source a, b;

    memory_source_fill(t, &a, with_a);
    memory_source_fill(t, &b, with_b);
    assert_int_equal(clf_family_pick(list, "shared", &a.source, NULL, &family, NULL), CLF_OK);
    assert_ptr_equal(family, &first);
    assert_int_equal(clf_family_pick(list, "SHARED", &b.source, NULL, &family, NULL), CLF_OK);
    assert_ptr_equal(family, &second);
    assert_int_equal(clf_family_pick(list, "second", &a.source, NULL, &family, NULL), CLF_OK); /* named: as asked */
    assert_ptr_equal(family, &second);
    assert_int_equal(clf_family_pick(list, "third", &a.source, NULL, &family, NULL), CLF_OK);
    assert_null(family);
}

/* ---- example calls ---- */

/* A square of whatever the module says, not the 576 of the default. */
static int64_t small_example(const void *module, const char *letter)
{
    (void)module;
    return strcmp(letter, "N") == 0 ? 64 : 0;
}

static void an_example_call_has_sizes_that_the_family_takes(void **state)
{
    clf_connector c = fake(&ragged, NULL);
    clf_model_class other = masked;
    clf_example example;
    clf_error err = { 0 };

    (void)state;
    clf_connector_describe_ports(&c);
    assert_int_equal(clf_connector_example(&c, 0, &example, &err), CLF_OK); /* S of 24 x 24 */
    assert_int_equal(example.flop, 144);
    assert_string_equal(example.sizes, "S = 576, I = 1, M = 144");
    other.example = small_example;
    c = fake(&other, NULL);
    clf_connector_describe_ports(&c);
    assert_int_equal(clf_connector_example(&c, 0, &example, &err), CLF_OK);
    assert_int_equal(example.flop, 64);
    assert_string_equal(example.sizes, "B = 1, N = 64");
}

static void an_example_call_fits_every_ratio(void **state)
{
    static const struct {
        const char *option, *sizes;
        int64_t tokens;
    } rows[] = { { "1", "B = 1, N = 576, T = 32", 576 },
                 { "5", "B = 1, N = 575, T = 32", 115 },
                 { "1000", "B = 1, N = 1000, T = 32", 1 } };
    static const memory_row tensors[] = { { "mlp.0.weight", 3, 1000 },
                                          { "mlp.0.bias", 3, 0 },
                                          { "mlp.2.weight", 2, 3 },
                                          { "mlp.2.bias", 2, 0 },
                                          { NULL, 0, 0 } };
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, tensors);
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        clf_connector_options options = clf_connector_options_default();
        char set[40];
        const char *const sets[] = { set };
        clf_example example;
        clf_error err = { 0 };

        clf_format(set, sizeof set, "compress_ratio=%s", rows[i].option);
        options.sets = sets;
        options.set_count = 1;
        options.family = "mlp_projection";
        clf_connector *c = memory_connector(t, &s, NULL, &options);
        assert_int_equal(clf_connector_example(c, 1, &example, &err), CLF_OK);
        assert_string_equal(example.sizes, rows[i].sizes);
        assert_int_equal(example.flop, 2 * rows[i].tokens * (3 * 1000 + 2 * 3));
        clf_connector_destroy(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(an_optional_input_is_checked_and_used_when_it_is_given),
        CLF_TEST(a_shape_may_follow_from_values),
        CLF_TEST(a_port_takes_the_form_that_it_is_given),
        CLF_TEST(outputs_may_be_indices_or_have_the_type_of_another_input),
        CLF_TEST(a_layer_must_be_one_of_the_model),
        CLF_TEST(tensors_choose_among_families_with_one_name),
        CLF_TEST(an_example_call_has_sizes_that_the_family_takes),
        CLF_TEST(an_example_call_fits_every_ratio),
    };

    return CLF_TEST_MAIN(tests);
}
