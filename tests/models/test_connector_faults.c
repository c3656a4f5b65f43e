/* Every OpenCL call and every allocation of a connector's life fails once, in turn: from its tensors to fused tokens. */
#include "memory_source.h"
#include "shims.h"
#include "walk.h"

#define CONFIG "{\"model_type\": \"vipllava\", \"image_token_index\": 7}"

static const memory_row rows[] = { { "multi_modal_projector.projector_layernorm.weight", 10, 0 },
                                   { "multi_modal_projector.projector_layernorm.bias", 10, 0 },
                                   { "multi_modal_projector.linear_1.weight", 6, 10 },
                                   { "multi_modal_projector.linear_1.bias", 6, 0 },
                                   { "multi_modal_projector.linear_2.weight", 6, 6 },
                                   { "multi_modal_projector.linear_2.bias", 6, 0 },
                                   { NULL, 0, 0 } };

typedef struct call {
    memory_source source;
    float vision[2 * 10], text[5 * 6];
    struct {
        float tokens[2 * 6], fused[5 * 6];
    } out;
} call;

static int64_t ids[5] = { 1, 7, 7, 2, 3 };

/* Creates the connector, runs both outputs, destroys it. */
static clf_status run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    call *c = user;
    const clf_value inputs[] = { { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, 10)), c->vision },
                                 { "text", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 6)), c->text },
                                 { "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(1, 5)), ids } };
    const clf_value outputs[] = { { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, 6)), c->out.tokens },
                                  { "fused", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 6)), c->out.fused } };
    clf_connector *connector = NULL;
    clf_status status =
        clf_connector_create(t->ctx, &c->source.source, CONFIG, sizeof CONFIG - 1, NULL, &connector, err);

    if (status == CLF_OK)
        status = clf_connector_run(s, connector, inputs, CLF_COUNT(inputs), outputs, CLF_COUNT(outputs), err);
    clf_connector_destroy(connector);
    return status;
}

static call *prepare(clf_test *t)
{
    call *c = clf_test_memory(t, sizeof *c);

    memory_source_fill(t, &c->source, rows);
    for (size_t i = 0; i < CLF_COUNT(c->vision); i++)
        c->vision[i] = (float)clf_test_random(t);
    for (size_t i = 0; i < CLF_COUNT(c->text); i++)
        c->text[i] = (float)clf_test_random(t);
    return c;
}

static clf_walk walk(call *c)
{
    return (clf_walk){ "vipllava", run, c, &c->out, sizeof c->out, .outputs = 2, .beside = true };
}

static void an_opencl_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    const clf_walk w = walk(prepare(t));

    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 3 : 20));
}

static void an_allocation_that_fails_anywhere_is_out_of_memory(void **state)
{
    clf_test *t = *state;
    const clf_walk w = walk(prepare(t));

    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

/* Weights are packed once, and a second call asks the device for nothing. */
static void a_second_call_allocates_nothing_on_the_device(void **state)
{
    clf_test *t = *state;
    call *c = prepare(t);
    const clf_value inputs[] = { { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, 10)), c->vision },
                                 { "text", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 6)), c->text },
                                 { "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(1, 5)), ids } };
    const clf_value output = { "fused", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 6)), c->out.fused };
    clf_connector *connector = NULL;
    clf_shim_counts before = { 0 }, after;

    assert_int_equal(clf_connector_create(t->ctx, &c->source.source, CONFIG, sizeof CONFIG - 1, NULL, &connector, NULL),
                     CLF_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(clf_connector_run(t->stream, connector, inputs, 3, &output, 1, NULL), CLF_OK);
        if (i == 0)
            before = clf_shims_count();
    }
    after = clf_shims_count();
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.programs_built, before.programs_built);
    assert_int_equal(after.kernels, before.kernels);
    clf_connector_destroy(connector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(an_opencl_error_at_any_call_is_reported_once),
        CLF_TEST(an_allocation_that_fails_anywhere_is_out_of_memory),
        CLF_TEST(a_second_call_allocates_nothing_on_the_device),
    };
    return CLF_TEST_MAIN(tests);
}
