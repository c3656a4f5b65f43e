/* Modules of selection: options and calls that do not fit. */
#include <stdio.h>

#include "memory_source.h"

static const memory_row no_rows[] = { { NULL, 0, 0 } };

#define MODULE(name, options) "{\"model_type\": \"clfusion\", \"module\": \"" name "\"" options "}"

static void refuses(clf_test *t, const char *json, const char *message)
{
    memory_source source;

    memory_source_fill(t, &source, no_rows);
    memory_refused(t, &source, json, NULL, CLF_BAD_FILE, message);
}

static void options_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;

    refuses(t, MODULE("top_k", ""), "top_k: k is missing; want the number of tokens to keep");
    refuses(t, MODULE("top_k", ", \"k\": 0"), "top_k: k is 0; want 1 to 2147483647");
    refuses(t, MODULE("top_k", ", \"k\": 3, \"order\": \"random\""),
            "top_k: order is random; want one of score, position");
    refuses(t, MODULE("query_aware", ", \"k\": 3, \"pool\": \"sum\""),
            "query_aware: pool is sum; want one of mean, max, per-token-max");
    refuses(t, MODULE("importance_prune", ", \"metric\": \"l1\""),
            "importance_prune: metric is l1; want l2 or variance");
    refuses(t, MODULE("token_merge", ""), "token_merge: r is missing; want the number of pairs to merge");
    refuses(t, MODULE("token_merge", ", \"r\": -2"), "token_merge: r is -2; want 0 to 2147483647");
}

/* The message of a plan for `vision` and `text`; "" when it is planned. */
static const char *plan(clf_test *t, const char *json, clf_dims vision, clf_dims text, clf_dims *tokens)
{
    static clf_error err;
    memory_source source;
    const clf_value in[] = { { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, vision) },
                             { .name = "text", .tensor = clf_tensor_shape(CLF_F32, text) } };
    clf_value out[] = { { .name = "tokens" }, { .name = "indices" } };

    memory_source_fill(t, &source, no_rows);
    clf_connector *c = memory_connector(t, &source, json, NULL);
    const clf_status status = clf_connector_plan(c, in, 2, out, 2, &err);

    clf_connector_destroy(c);
    if (status != CLF_OK)
        return err.message;
    assert_int_equal(out[1].tensor.dtype, CLF_I64);
    *tokens = (clf_dims){ .rank = out[0].tensor.rank };
    memcpy(tokens->dim, out[0].tensor.dim, sizeof tokens->dim);
    return "";
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    clf_dims y;

    assert_string_equal(plan(t, MODULE("top_k", ", \"k\": 6"), CLF_DIMS(2, 5, 4), CLF_DIMS(2, 1, 4), &y),
                        "top_k: k is 6; want 1 to 5, the tokens of vision f32[2, 5, 4]");
    assert_string_equal(plan(t, MODULE("top_k", ", \"k\": 5"), CLF_DIMS(2, 5, 4), CLF_DIMS(2, 1, 4), &y), "");
    assert_true(y.rank == 3 && y.dim[0] == 2 && y.dim[1] == 5 && y.dim[2] == 4);
    assert_string_equal(plan(t, MODULE("top_k", ", \"k\": 2"), CLF_DIMS(5, 4), CLF_DIMS(1, 4), &y), "");
    assert_true(y.rank == 2 && y.dim[0] == 2 && y.dim[1] == 4);
    assert_string_equal(plan(t, MODULE("query_aware", ", \"k\": 2"), CLF_DIMS(2, 5, 4), CLF_DIMS(2, 0, 4), &y),
                        "query_aware: text is f32[2, 0, 4]; want at least one row of each picture");
}

static void no_more_than_half_the_tokens_are_merged(void **state)
{
    clf_test *t = *state;
    memory_source source;
    const clf_value vision = { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 7, 4)) };
    const char *const r[] = { ", \"r\": 4", ", \"r\": 3" };
    clf_value out[] = { { .name = "tokens" }, { .name = "source" } };
    clf_error err = { 0 };

    for (int i = 0; i < 2; i++) {
        char json[120];

        snprintf(json, sizeof json, MODULE("token_merge", "%s"), r[i]);
        memory_source_fill(t, &source, no_rows);
        clf_connector *c = memory_connector(t, &source, json, NULL);
        const clf_status status = clf_connector_plan(c, &vision, 1, out, 2, &err);

        clf_connector_destroy(c);
        assert_int_equal(status, i == 0 ? CLF_INVALID_ARGUMENT : CLF_OK);
    }
    assert_string_equal(err.message, "token_merge: r is 4; want 0 to 3, half the tokens of vision f32[2, 7, 4]");
    assert_true(out[0].tensor.dim[1] == 4 && out[1].tensor.dim[1] == 7 && out[1].tensor.dtype == CLF_I64);
}

/* ---- importance_prune: shapes that depend on values ---- */

static clf_status prune(clf_test *t, clf_value vision, clf_value *out, bool run, clf_error *err)
{
    memory_source source;

    memory_source_fill(t, &source, no_rows);
    clf_connector *c = memory_connector(t, &source, MODULE("importance_prune", ""), NULL);
    const clf_status status =
        run ? clf_connector_run(t->stream, c, &vision, 1, out, 4, err) : clf_connector_plan(c, &vision, 1, out, 4, err);

    clf_stream_reset(t->stream);
    clf_connector_destroy(c);
    return status;
}

static void vision_decides_how_many_tokens_stay(void **state)
{
    clf_test *t = *state;
    float values[2][3][2] = { { { 4, 0 }, { 0, 3 }, { 1, 0 } }, { { 0, 0 }, { 0, 9 }, { 0, 0 } } };
    float tokens[2 * 2 * 2];
    int64_t lengths[2], mask[4], indices[4];
    clf_value vision = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(2, 3, 2)), NULL };
    clf_value out[] = { { "tokens", { 0 }, tokens },
                        { "lengths", { 0 }, lengths },
                        { "mask", { 0 }, mask },
                        { "indices", { 0 }, indices } };
    clf_value planned[4];
    clf_error err = { 0 };

    memcpy(planned, out, sizeof out);
    assert_int_equal(prune(t, vision, planned, false, &err), CLF_OK);
    assert_int_equal(planned[0].tensor.dim[1], 3); /* without values: the most there can be */
    memcpy(planned, out, sizeof out);
    assert_int_equal(prune(t, vision, planned, true, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "importance_prune: vision has no memory; want tensor.mem or host");

    vision.host = values;
    assert_int_equal(prune(t, vision, out, true, &err), CLF_OK);
    assert_memory_equal(lengths, ((int64_t[]){ 2, 1 }), sizeof lengths);
    assert_memory_equal(mask, ((int64_t[]){ 1, 1, 1, 0 }), sizeof mask);
    assert_memory_equal(indices, ((int64_t[]){ 0, 1, 1, -1 }), sizeof indices);
    assert_memory_equal(tokens, ((float[]){ 4, 0, 0, 3, 0, 9, 0, 0 }), sizeof tokens);
}

static void count_line(void *user, const char *line)
{
    *(int *)user += strstr(line, "keeps no token") != NULL;
}

static void pictures_of_zeros_keep_nothing(void **state)
{
    clf_test *t = *state;
    int told = 0;
    float zeros[2][3][2] = { { { 0 } } };
    int64_t lengths[2] = { 7, 7 };
    clf_value vision = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(2, 3, 2)), zeros };
    clf_value out[] = {
        { .name = "tokens" }, { "lengths", { 0 }, lengths }, { .name = "mask" }, { .name = "indices" }
    };
    clf_error err = { 0 };

    clf_set_log(count_line, &told);
    if (prune(t, vision, out, true, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_set_log(NULL, NULL);
    assert_memory_equal(lengths, ((int64_t[]){ 0, 0 }), sizeof lengths);
    assert_int_equal(told, 2 * 2); /* both pictures: clf_connector_run plans, then enqueues, which plans */
}

static void vision_on_the_device_is_refused(void **state)
{
    clf_test *t = *state;
    const clf_value vision = { "vision", clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 2)), NULL };
    clf_value out[] = { { .name = "tokens" }, { .name = "lengths" }, { .name = "mask" }, { .name = "indices" } };
    clf_error err = { 0 };

    assert_int_equal(prune(t, vision, out, false, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "importance_prune: vision lies on the device; want host memory, because how many "
                                     "tokens stay depends on it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(options_that_do_not_fit_are_refused),     CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(no_more_than_half_the_tokens_are_merged), CLF_TEST(vision_decides_how_many_tokens_stay),
        CLF_TEST(pictures_of_zeros_keep_nothing),          CLF_TEST(vision_on_the_device_is_refused),
    };

    return CLF_TEST_MAIN(tests);
}
