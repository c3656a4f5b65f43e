/* Calls of connectors: what is planned, what is refused and how, and relations between calls that need no tolerance. */
#include <math.h>
#include <stdio.h>

#include "memory_source.h"

#define LLAVA "{\"model_type\": \"llava\", \"image_token_index\": 7}"
#define MLP "{\"model_type\": \"clfusion\", \"module\": \"mlp_projection\", \"compress_ratio\": 2}"

/* Host tensors of the calls: llava_rows has widths 8 and 12; mlp_rows with compress_ratio 2 has 8 and 10. */
static clf_value host_value(clf_test *t, const char *name, clf_dtype dtype, clf_dims dims)
{
    const clf_value v = { name, clf_tensor_shape(dtype, dims), NULL };
    const size_t count = (size_t)clf_element_count(v.tensor);
    float *values = clf_test_memory(t, (count + 1) * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * clf_test_random(t) - 1);
    return (clf_value){ name, v.tensor, values };
}

static clf_value values_of(clf_test *t, const char *name, clf_dims dims)
{
    return host_value(t, name, CLF_F32, dims);
}

static clf_value ids_of(const char *name, clf_dims dims, int64_t *ids)
{
    return (clf_value){ name, clf_tensor_shape(CLF_I64, dims), ids };
}

/* Runs for one output in new host memory; *shape as planned. */
static float *run_one(clf_test *t, const clf_connector *c, const clf_value *in, size_t count, const char *name,
                      clf_tensor *shape)
{
    clf_value out = { .name = name };
    clf_error err = { 0 };

    if (clf_connector_plan(c, in, count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    *shape = out.tensor;
    out.host = clf_test_memory(t, (size_t)clf_element_count(out.tensor) * sizeof(float) + 1);
    if (clf_connector_run(t->stream, c, in, count, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return out.host;
}

static void refused(clf_test *t, const clf_connector *c, const clf_value *in, size_t count, const char *output,
                    clf_status status, const char *message)
{
    clf_value out = { .name = output, .host = clf_test_memory(t, 4096) };
    clf_error planned = { 0 }, run = { 0 };

    assert_int_equal(clf_connector_plan(c, in, count, &(clf_value){ .name = output }, 1, &planned), status);
    assert_string_equal(planned.message, message);
    assert_int_equal(clf_connector_run(t->stream, c, in, count, &out, 1, &run), status);
    assert_string_equal(run.message, message);
    clf_stream_reset(t->stream);
}

static void names_that_do_not_exist_are_answered_with_those_that_do(void **state)
{
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value vision = values_of(t, "vision", CLF_DIMS(1, 3, 8)), pixels = values_of(t, "pixels", CLF_DIMS(3, 8));

    refused(t, c, &pixels, 1, "tokens", CLF_INVALID_ARGUMENT,
            "llava: input is pixels; want one of vision, text, text_ids");
    refused(t, c, &vision, 1, "hidden", CLF_INVALID_ARGUMENT, "llava: output is hidden; want one of tokens, fused");
    refused(t, c, &vision, 1, "fused", CLF_INVALID_ARGUMENT,
            "llava: text is missing; want vision, text, text_ids for fused");
    refused(t, c, NULL, 0, "tokens", CLF_INVALID_ARGUMENT, "llava: vision is missing; want vision for tokens");
    refused(t, c, (clf_value[]){ vision, vision }, 2, "tokens", CLF_INVALID_ARGUMENT,
            "llava: vision is given twice; want it once");
    clf_connector_destroy(c);
}

static void shapes_that_do_not_fit_are_answered_with_the_formula(void **state)
{
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value narrow = values_of(t, "vision", CLF_DIMS(1, 3, 9)), row = values_of(t, "vision", CLF_DIMS(8));
    const clf_value video = values_of(t, "vision", CLF_DIMS(1, 2, 3, 8));
    clf_value integers = row;

    refused(t, c, &narrow, 1, "tokens", CLF_INVALID_ARGUMENT,
            "llava: vision is f32[1, 3, 9]; want [B, N, 8] or [N, 8]");
    refused(t, c, &row, 1, "tokens", CLF_INVALID_ARGUMENT, "llava: vision is f32[8]; want [B, N, 8] or [N, 8]");
    refused(t, c, &video, 1, "tokens", CLF_INVALID_ARGUMENT,
            "llava: vision is f32[1, 2, 3, 8]; want [B, N, 8] or [N, 8]");
    integers.tensor.dtype = CLF_I32;
    refused(t, c, &integers, 1, "tokens", CLF_UNSUPPORTED,
            "llava: vision is i32[8]; want f32, f16 or bf16, or f64 in host memory");
    clf_connector_destroy(c);
}

static void sizes_that_disagree_name_both_inputs(void **state)
{
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, mlp_rows);
    clf_connector *c = memory_connector(t, &s, MLP, NULL);
    const clf_value vision = values_of(t, "vision", CLF_DIMS(3, 4, 8)), odd = values_of(t, "vision", CLF_DIMS(3, 5, 8));
    const clf_value text = values_of(t, "text", CLF_DIMS(2, 6, 10));

    refused(t, c, (clf_value[]){ vision, text }, 2, "fused", CLF_INVALID_ARGUMENT,
            "mlp_projection: text is f32[2, 6, 10]; want B of 3, as vision has");
    refused(t, c, &odd, 1, "tokens", CLF_INVALID_ARGUMENT,
            "mlp_projection: N of vision is 5; want a multiple of 2 for tokens");
    clf_connector_destroy(c);
}

static void placeholders_that_do_not_match_are_counted(void **state)
{
    int64_t ids[] = { 1, 7, 7, 2, 3 };
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value in[] = { values_of(t, "vision", CLF_DIMS(1, 3, 8)), values_of(t, "text", CLF_DIMS(1, 5, 12)),
                             ids_of("text_ids", CLF_DIMS(1, 5), ids) };
    clf_value out = { .name = "fused", .host = clf_test_memory(t, 5 * 12 * sizeof(float)) };
    clf_error err = { 0 };

    assert_int_equal(clf_connector_run(t->stream, c, in, 3, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "llava/splice: text_ids has 2 placeholders 7; want 3, the rows of tokens f32[1, 3, 12]");
    clf_stream_reset(t->stream);
    clf_connector_destroy(c);
}

static void picture_sizes_are_refused_until_packing_is_built(void **state)
{
    int64_t sizes[] = { 336, 336 };
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, "{\"model_type\": \"llava_next\"}", NULL);
    const clf_value in[] = { values_of(t, "vision", CLF_DIMS(1, 3, 8)), ids_of("image_sizes", CLF_DIMS(1, 2), sizes) };

    refused(t, c, in, 2, "tokens", CLF_UNSUPPORTED,
            "llava_next: image_sizes is given; want plain features without it: the packing of picture tiles is "
            "unsupported so far");
    clf_connector_destroy(c);
}

static void outputs_without_memory_or_with_another_shape_are_refused(void **state)
{
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value vision = values_of(t, "vision", CLF_DIMS(1, 3, 8));
    clf_value out = { .name = "tokens" }, blind = vision;
    clf_error err = { 0 };

    assert_int_equal(clf_connector_run(t->stream, c, &vision, 1, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "llava: tokens has no memory; want tensor.mem or host");
    clf_stream_reset(t->stream);
    out.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, 12));
    out.host = clf_test_memory(t, 4096);
    clf_connector_enqueue(t->stream, c, &vision, 1, &out, 1);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "llava: tokens is f32[1, 2, 12]; want f32[1, 3, 12], as planned");
    blind.host = NULL;
    out.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 12));
    assert_int_equal(clf_connector_run(t->stream, c, &blind, 1, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "llava: vision has no memory; want tensor.mem or host");
    clf_stream_reset(t->stream);
    out.tensor.dtype = CLF_I64;
    assert_int_equal(clf_connector_run(t->stream, c, &vision, 1, &out, 1, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "llava: tokens is wanted as i64; want f32, f16 or bf16");
    assert_int_equal(clf_connector_plan(c, &vision, 1, NULL, 0, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "llava: no output is asked for; want at least one");
    clf_connector_destroy(c);
}

/* run once took the memory of an output for as large as the planned shape, whatever shape the caller had stated: 64
 * rows went into memory for three. */
static void a_shape_that_run_is_told_must_come_out(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_error err = { 0 };
    float result[3 * 12 + 1];
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value vision = values_of(t, "vision", CLF_DIMS(1, 64, 8)),
                    fits = values_of(t, "vision", CLF_DIMS(1, 3, 8));
    clf_value out = { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 12)), result };

    for (size_t i = 0; i < CLF_COUNT(result); i++)
        result[i] = 42.0F;
    assert_int_equal(clf_connector_run(t->stream, c, &vision, 1, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "llava: tokens is f32[1, 3, 12]; want f32[1, 64, 12], as planned");
    for (size_t i = 0; i < CLF_COUNT(result); i++)
        assert_true(result[i] == 42.0F);
    assert_int_equal(clf_connector_run(t->stream, c, &fits, 1, &out, 1, &err), CLF_OK);
    assert_true(result[0] != 42.0F && result[3 * 12] == 42.0F);
    out.tensor = (clf_tensor){ .dtype = CLF_F32 }; /* whatever comes out */
    assert_int_equal(clf_connector_run(t->stream, c, &fits, 1, &out, 1, &err), CLF_OK);
    clf_connector_destroy(c);
}

static void a_batch_left_out_is_left_out_of_the_result(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_tensor with, without;
    memory_source_fill(t, &s, mlp_rows);
    clf_connector *c = memory_connector(t, &s, MLP, NULL);
    clf_value in[] = { values_of(t, "vision", CLF_DIMS(1, 4, 8)), values_of(t, "text", CLF_DIMS(1, 3, 10)) };
    const float *a = run_one(t, c, in, 2, "fused", &with);

    in[0].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(4, 8));
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(3, 10));
    const float *b = run_one(t, c, in, 2, "fused", &without);
    assert_true(clf_shape_is(with, CLF_DIMS(1, 5, 10)));
    assert_true(clf_shape_is(without, CLF_DIMS(5, 10)));
    assert_memory_equal(a, b, 5 * 10 * sizeof *a);
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 10)); /* one of them spells it out */
    run_one(t, c, in, 2, "fused", &with);
    assert_true(clf_shape_is(with, CLF_DIMS(1, 5, 10)));
    clf_connector_destroy(c);
}

static void both_outputs_at_once_equal_each_alone(void **state)
{
    int64_t ids[] = { 7, 1, 7, 7, 2, 7, 7, 7 };
    clf_test *t = *state;
    memory_source s;
    clf_tensor shape;
    clf_error err = { 0 };
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value in[] = { values_of(t, "vision", CLF_DIMS(3, 2, 8)), values_of(t, "text", CLF_DIMS(2, 4, 12)),
                             ids_of("text_ids", CLF_DIMS(2, 4), ids) };
    const float *tokens = run_one(t, c, in, 1, "tokens", &shape), *fused = run_one(t, c, in, 3, "fused", &shape);
    clf_value out[] = { { .name = "fused", .host = clf_test_memory(t, 96 * sizeof(float)) },
                        { .name = "tokens", .host = clf_test_memory(t, 72 * sizeof(float)) } };

    assert_int_equal(clf_connector_run(t->stream, c, in, 3, out, 2, &err), CLF_OK);
    assert_memory_equal(out[0].host, fused, 96 * sizeof(float));
    assert_memory_equal(out[1].host, tokens, 72 * sizeof(float));
    assert_memory_equal(fused, tokens, 12 * sizeof(float));                              /* the first placeholder */
    assert_memory_equal(fused + 12, (const float *)in[1].host + 12, 12 * sizeof(float)); /* text that stays */
    clf_connector_destroy(c);
}

static void device_memory_and_host_memory_give_the_same_bits(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_tensor shape;
    memory_source_fill(t, &s, mlp_rows);
    clf_connector *c = memory_connector(t, &s, MLP, NULL);
    const clf_tensor vision = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 4, 8));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 10));
    const clf_tensor longer = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 7, 10));
    const clf_value device[] = { { "vision", vision, NULL }, { "text", text, NULL } };
    size_t bytes;
    const clf_value host[] = {
        { "vision", clf_tensor_shape(CLF_F16, CLF_DIMS(2, 4, 8)), clf_test_bits(t, vision, &bytes) },
        { "text", clf_tensor_shape(CLF_F32, CLF_DIMS(2, 3, 10)), clf_test_bits(t, text, &bytes) }
    };
    const clf_value out = { "fused", clf_slice(t->stream, longer, 1, 1, 5), NULL }; /* a view between other rows */

    clf_connector_enqueue(t->stream, c, device, 2, &out, 1);
    const float *want = run_one(t, c, host, 2, "fused", &shape);
    const void *got = clf_test_bits(t, out.tensor, &bytes);
    assert_int_equal(bytes, 2 * 5 * 10 * sizeof(float));
    assert_memory_equal(got, want, bytes);
    clf_connector_destroy(c);
}

static void other_types_of_input_hold_the_same_values(void **state)
{
    int64_t ids[] = { 7, 1, 7, 2 };
    const int16_t small[] = { 7, 1, 7, 2 };
    const uint8_t smaller[] = { 7, 1, 7, 2 };
    clf_test *t = *state;
    memory_source s;
    clf_tensor shape;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    clf_value in[] = { values_of(t, "vision", CLF_DIMS(1, 2, 8)), values_of(t, "text", CLF_DIMS(1, 4, 12)),
                       ids_of("text_ids", CLF_DIMS(1, 4), ids) };
    const float *want = run_one(t, c, in, 3, "fused", &shape);
    double *doubles = clf_test_memory(t, 2 * 8 * sizeof *doubles);

    for (size_t i = 0; i < 16; i++)
        doubles[i] = (double)((const float *)in[0].host)[i];
    in[0].host = doubles;
    in[0].tensor.dtype = CLF_F64;
    in[2].host = (void *)(uintptr_t)small;
    in[2].tensor.dtype = CLF_I16;
    assert_memory_equal(run_one(t, c, in, 3, "fused", &shape), want, 4 * 12 * sizeof(float));
    in[2].host = (void *)(uintptr_t)smaller;
    in[2].tensor.dtype = CLF_U8;
    assert_memory_equal(run_one(t, c, in, 3, "fused", &shape), want, 4 * 12 * sizeof(float));
    in[2].tensor.dtype = CLF_F32;
    refused(t, c, in, 3, "fused", CLF_UNSUPPORTED, "llava: text_ids is f32[1, 4]; want an integer type or bool");
    clf_connector_destroy(c);
}

static void half_outputs_are_the_f32_result_rounded(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_tensor shape;
    clf_error err = { 0 };
    memory_source_fill(t, &s, mlp_rows);
    clf_connector *c = memory_connector(t, &s, MLP, NULL);
    const clf_value vision = values_of(t, "vision", CLF_DIMS(2, 4, 8));
    const float *want = run_one(t, c, &vision, 1, "tokens", &shape);
    uint16_t half[40];
    clf_value out = { .name = "tokens", .tensor = { .dtype = CLF_F16 }, .host = half };

    assert_int_equal(clf_connector_run(t->stream, c, &vision, 1, &out, 1, &err), CLF_OK);
    for (size_t i = 0; i < CLF_COUNT(half); i++)
        assert_int_equal(half[i], clf_f32_to_f16(want[i]));
    clf_connector_destroy(c);
}

/* NaN is data: it fills its own token, and the others keep their bits. */
static void a_nan_in_the_features_stays_in_its_token(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_tensor shape;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    clf_value in = values_of(t, "vision", CLF_DIMS(1, 9, 8));
    const float *clean = run_one(t, c, &in, 1, "tokens", &shape);
    const int64_t Dt = clf_dim(shape, -1);

    ((float *)in.host)[4 * 8 + 3] = NAN;
    const float *got = run_one(t, c, &in, 1, "tokens", &shape);
    for (int64_t i = 0; i < 9 * Dt; i++) {
        assert_int_equal(isnan(got[i]) != 0, i / Dt == 4);
        if (i / Dt != 4)
            assert_memory_equal(&got[i], &clean[i], sizeof *got);
    }
    clf_connector_destroy(c);
}

static void no_tokens_and_no_text_are_a_success(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_tensor shape;
    memory_source_fill(t, &s, mlp_rows);
    clf_connector *c = memory_connector(t, &s, MLP, NULL);
    clf_value in[] = { { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 8)), NULL },
                       values_of(t, "text", CLF_DIMS(2, 3, 10)) };
    const float *fused = run_one(t, c, in, 2, "fused", &shape);

    assert_memory_equal(fused, in[1].host, 2 * 3 * 10 * sizeof(float));
    run_one(t, c, in, 1, "tokens", &shape);
    assert_true(clf_shape_is(shape, CLF_DIMS(2, 0, 10)));
    in[0] = values_of(t, "vision", CLF_DIMS(2, 4, 8));
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 10));
    const float *alone = run_one(t, c, in, 1, "tokens", &shape);
    assert_memory_equal(run_one(t, c, in, 2, "fused", &shape), alone, 2 * 2 * 10 * sizeof(float));
    clf_connector_destroy(c);
}

static void flop_counts_two_for_each_multiply_add(void **state)
{
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, mlp_rows);
    clf_connector *c = memory_connector(t, &s, MLP, NULL);
    const clf_value vision = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(3, 4, 8)), NULL };
    const clf_value tokens = { .name = "tokens" }, unknown = { .name = "nothing" };

    assert_int_equal(clf_connector_flop(c, &vision, 1, &tokens, 1), 2 * 3 * 2 * (12 * 16 + 10 * 12));
    assert_int_equal(clf_connector_flop(c, &vision, 1, &unknown, 1), 0);
    clf_connector_destroy(c);
}

static void a_failed_stream_runs_nothing_and_keeps_its_error(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_error err = { 0 };
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, LLAVA, NULL);
    const clf_value vision = values_of(t, "vision", CLF_DIMS(1, 3, 8));
    float result[36] = { 42 };
    const clf_value out = { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 12)), result };

    clf_slice(t->stream, clf_tensor_shape(CLF_F32, CLF_DIMS(3)), 0, 2, 2); /* any error */
    assert_int_equal(clf_connector_run(t->stream, c, &vision, 1, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "slice"));
    assert_true(result[0] == 42.0F);
    clf_stream_reset(t->stream);
    assert_int_equal(clf_connector_run(t->stream, c, &vision, 1, &out, 1, &err), CLF_OK);
    assert_true(result[0] != 42.0F);
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(names_that_do_not_exist_are_answered_with_those_that_do),
        CLF_TEST(shapes_that_do_not_fit_are_answered_with_the_formula),
        CLF_TEST(sizes_that_disagree_name_both_inputs),
        CLF_TEST(placeholders_that_do_not_match_are_counted),
        CLF_TEST(picture_sizes_are_refused_until_packing_is_built),
        CLF_TEST(outputs_without_memory_or_with_another_shape_are_refused),
        CLF_TEST(a_shape_that_run_is_told_must_come_out),
        CLF_TEST(a_batch_left_out_is_left_out_of_the_result),
        CLF_TEST(both_outputs_at_once_equal_each_alone),
        CLF_TEST(device_memory_and_host_memory_give_the_same_bits),
        CLF_TEST(other_types_of_input_hold_the_same_values),
        CLF_TEST(half_outputs_are_the_f32_result_rounded),
        CLF_TEST(a_nan_in_the_features_stays_in_its_token),
        CLF_TEST(no_tokens_and_no_text_are_a_success),
        CLF_TEST(flop_counts_two_for_each_multiply_add),
        CLF_TEST(a_failed_stream_runs_nothing_and_keeps_its_error),
    };

    return CLF_TEST_MAIN(tests);
}
