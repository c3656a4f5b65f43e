/* The module relevance: options and calls that do not fit, alternatives of its inputs, rows that values decide. */
#include "data_case.h"

#define MESSAGE "relevance: "

static void options_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;

    case_refused(t, "relevance_basic", "k=0", 0, MESSAGE "k is 0; want 1 to 1024, the cells of the grid");
    case_refused(t, "relevance_basic", "k=1025", 0, MESSAGE "k is 1025; want 1 to 1024, the cells of the grid");
    case_refused(t, "relevance_basic", "grid=1", 0, MESSAGE "grid is 1; want 2 to 4096");
    case_refused(t, "relevance_basic", "min_tokens=401", 0, MESSAGE "min_tokens is 401; want 0 to 400, max_tokens");
    case_refused(t, "relevance_basic", "max_tokens=-1", 0, MESSAGE "max_tokens is -1; want 0 to 2147483647");
    case_refused(t, "relevance_basic", "total=12799", 0,
                 MESSAGE "total is 12799; want 12800 to 80000, k cells of min_tokens to max_tokens");
    case_refused(t, "relevance_basic", "scale=both", 0, MESSAGE "scale is both; want batch or picture");
    case_refused(t, "relevance_basic", "query_dim=17", 0,
                 MESSAGE "query_dim is 17; want 16, the rows of participatory_scorer.texture_proj.2.weight");
}

/* A smaller grid has fewer cells than the 200 that are taken by default. */
static void the_default_of_k_is_within_the_grid(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, "relevance_basic", "grid=4", 0);
    const clf_value in[] = { { .name = "image", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 3, 8, 8)) },
                             { .name = "query", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 16)) } };
    clf_value out = { .name = "indices" };

    assert_int_equal(clf_connector_plan(c, in, 2, &out, 1, NULL), CLF_OK);
    assert_true(clf_alike(out.tensor, clf_tensor_shape(CLF_I64, CLF_DIMS(2, 16))));
    clf_connector_destroy(c);
}

static clf_value shaped(const char *name, clf_dims dims)
{
    return (clf_value){ .name = name, .tensor = clf_tensor_shape(CLF_F32, dims) };
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, "relevance_basic", NULL, 0);
    const clf_value image = shaped("image", CLF_DIMS(1, 3, 8, 9)), query = shaped("query", CLF_DIMS(1, 16));
    const clf_value textures = shaped("textures", CLF_DIMS(1, 13, 32, 32));

    case_call_refused(t, c, (clf_value[]){ query }, 1, "relevance",
                      MESSAGE "image is missing; want one of image, textures for relevance");
    case_call_refused(t, c, (clf_value[]){ image }, 1, "relevance",
                      MESSAGE "query is missing; want query for relevance");
    case_call_refused(t, c, (clf_value[]){ image, textures }, 2, "information",
                      MESSAGE "image and textures are given; want one of them");
    case_call_refused(t, c, (clf_value[]){ shaped("image", CLF_DIMS(1, 3, 8, 0)) }, 1, "information",
                      MESSAGE "image is f32[1, 3, 8, 0]; want at least one pixel");
    case_call_refused(t, c, (clf_value[]){ shaped("image", CLF_DIMS(1, 4, 8, 8)) }, 1, "information",
                      MESSAGE "image is f32[1, 4, 8, 8]; want [B, 3, h, w] or [3, h, w]");
    case_call_refused(t, c, (clf_value[]){ shaped("textures", CLF_DIMS(1, 13, 16, 16)) }, 1, "information",
                      MESSAGE "textures is f32[1, 13, 16, 16]; want [B, 13, 32, 32] or [13, 32, 32]");
    case_call_refused(t, c, (clf_value[]){ image, shaped("query", CLF_DIMS(1, 15)) }, 2, "relevance",
                      MESSAGE "query is f32[1, 15]; want [B, 16] or [16]");
    case_call_refused(t, c, (clf_value[]){ image, query, shaped("vision", CLF_DIMS(1, 1000, 4)) }, 3, "tokens",
                      MESSAGE "vision is f32[1, 1000, 4]; want [B, 1024, D] or [1024, D]");
    case_call_refused(t, c, (clf_value[]){ image, query, shaped("dense", CLF_DIMS(1, 200, 15, 4)) }, 3, "dense_tokens",
                      "detail_pool: dense is f32[1, 200, 15, 4], 15 features a cell; want a square");
    case_call_refused(t, c, (clf_value[]){ image, query, shaped("dense", CLF_DIMS(1, 100, 16, 4)) }, 3, "dense_tokens",
                      MESSAGE "dense is f32[1, 100, 16, 4]; want [B, 200, S, E] or [200, S, E]");
    clf_connector_destroy(c);
}

/* ---- rows of dense_tokens ---- */

#define FOLDER "relevance_batch_f16/model.safetensors"

static clf_connector *open_file(clf_test *t)
{
    return case_open(t, FOLDER, NULL, 0);
}

static clf_value given(clf_test *t, const char *name)
{
    return case_input(t, "relevance_batch_f16", name);
}

/* Of three pictures, 12 cells each, 5 x 5 features of which 30 tokens hold all. */
static void without_values_the_plan_says_the_most(void **state)
{
    clf_test *t = *state;
    clf_connector *c = open_file(t);
    clf_value in[] = { given(t, "image"), given(t, "query"), given(t, "dense") }, out = { .name = "dense_tokens" };

    in[1].host = NULL;
    assert_int_equal(clf_connector_plan(c, in, 3, &out, 1, NULL), CLF_OK);
    assert_true(clf_shape_is(out.tensor, CLF_DIMS(3 * 12 * 25, in[2].tensor.dim[3])));
    clf_connector_destroy(c);
}

/* On the device too, which planning must be able to read. */
static void inputs_on_the_device_decide_as_those_on_the_host(void **state)
{
    clf_test *t = *state;
    clf_connector *c = open_file(t);
    clf_value in[] = { given(t, "image"), given(t, "query"), given(t, "dense") };
    const clf_value want = case_array(t, "relevance_batch_f16", "out_dense_tokens", "dense_tokens");
    clf_tensor on_device[2];

    for (int i = 0; i < 2; i++) {
        clf_dims dims = clf_tensor_dims(in[i].tensor);

        assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, dims, &on_device[i], NULL), CLF_OK);
        clf_upload(t->stream, in[i].host, on_device[i]);
        in[i] = (clf_value){ .name = in[i].name, .tensor = on_device[i] };
    }
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    case_close(t, case_run(t, c, in, 3, "dense_tokens"), want);
    for (int i = 0; i < 2; i++)
        clf_tensor_free(t->ctx, &on_device[i]);
    clf_connector_destroy(c);
}

/* Of each step that some output needs, once. */
static void flop_are_those_of_the_outputs(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, "relevance_basic", NULL, 0);
    const clf_value in[] = { shaped("image", CLF_DIMS(1, 3, 8, 8)), shaped("query", CLF_DIMS(1, 16)) };
    const clf_value both[] = { { .name = "participatory" }, { .name = "relevance" } };
    const clf_value information = { .name = "information" };
    const uint64_t maps = clf_connector_flop(c, in, 2, &both[1], 1), one = clf_connector_flop(c, in, 2, both, 1);

    assert_int_equal(clf_connector_flop(c, in, 2, both, 2), maps);
    assert_true(one < maps);
    assert_true(clf_connector_flop(c, in, 1, &information, 1) < one);
    assert_int_equal(clf_connector_flop(c, in, 2, &information, 1), clf_connector_flop(c, in, 1, &information, 1));
    clf_connector_destroy(c);
}

/* A batch that is left out everywhere, and half outputs. */
static void one_picture_needs_no_batch(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, "relevance_basic", NULL, 0);
    clf_value in[] = { case_input(t, "relevance_basic", "image"), case_input(t, "relevance_basic", "query") };
    const clf_value want = case_array(t, "relevance_basic", "out_relevance", "relevance");
    clf_value out = { .name = "relevance", .tensor = { .dtype = CLF_F16 } };
    uint16_t half[1024];
    float got[1024];
    clf_error err = { 0 };

    in[0].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(3, in[0].tensor.dim[2], in[0].tensor.dim[3]));
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(16));
    if (clf_connector_plan(c, in, 2, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_true(clf_alike(out.tensor, clf_tensor_shape(CLF_F16, CLF_DIMS(32, 32))));
    out.host = half;
    if (clf_connector_run(t->stream, c, in, 2, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < 1024; i++) {
        got[i] = clf_f16_to_f32(half[i]);
        assert_true(fabs((double)got[i] - (double)((const float *)want.host)[i]) < 5e-4);
    }
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(options_that_do_not_fit_are_refused),
        CLF_TEST(the_default_of_k_is_within_the_grid),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(without_values_the_plan_says_the_most),
        CLF_TEST(inputs_on_the_device_decide_as_those_on_the_host),
        CLF_TEST(flop_are_those_of_the_outputs),
        CLF_TEST(one_picture_needs_no_batch),
    };

    return CLF_TEST_MAIN(tests);
}
