/* BLIP-2 and InstructBLIP: what the cases of tests/data leave open.  Which outputs there are, what they need, what is
 * refused, and that outputs asked for together are those asked for one by one. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "walk.h"

#define FOLDER(name) CLF_TEST_DATA "/" name

/* ---- connectors of the data's checkpoints under other keys ---- */

static clf_status open_with(clf_test *t, const char *path, const char *set, int32_t layer, clf_connector **c,
                            clf_error *err)
{
    clf_connector_options options = clf_connector_options_default();

    options.layer = layer;
    options.sets = &set;
    options.set_count = set != NULL ? 1 : 0;
    return clf_connector_open(t->ctx, path, &options, c, err);
}

static clf_connector *opened(clf_test *t, const char *path, const char *set)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    if (open_with(t, path, set, 0, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return c;
}

static void refused(clf_test *t, const char *path, const char *set, int32_t layer, const char *message)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_not_equal(open_with(t, path, set, layer, &c, &err), CLF_OK);
    assert_string_equal(err.message, message);
    assert_null(c);
}

static void keys_that_contradict_the_tensors_are_refused(void **state)
{
    clf_test *t = *state;
    const char *path = FOLDER("blip2_basic"), *retrieval = FOLDER("blip2_retrieval");

    refused(t, path, "qformer_config.num_attention_heads=5", 0,
            "blip-2: qformer_config.num_attention_heads is 5; want a divisor of 12, the rows of the query weight");
    refused(t, path, "qformer_config.hidden_size=13", 0,
            "blip-2: qformer_config.hidden_size is 13; want 12, the width of the queries");
    refused(t, path, "vision_config.hidden_size=19", 0,
            "blip-2: vision_config.hidden_size is 19; want 18, the columns of the keys' weight in cross-attention");
    refused(t, path, "num_query_tokens=32", 0, "blip-2: num_query_tokens is 32; want 3, the queries that there are");
    refused(t, path, "qformer_config.cross_attention_frequency=0", 0,
            "blip-2: qformer_config.cross_attention_frequency is 0; want 1 or more");
    refused(t, path, "text_config.hidden_size=21", 0,
            "blip-2: text_config.hidden_size is 21; want 20, the rows of language_projection.weight");
    refused(t, path, "attention_of=both", 0, "blip-2: attention_of is both; want self or cross");
    refused(t, retrieval, "objective=itx", 0, "blip-2: objective is itx; want itm, itc or itg");
    refused(t, retrieval, "image_text_hidden_size=11", 0,
            "blip-2: image_text_hidden_size is 11; want 10, the rows of vision_projection.weight");
    refused(t, retrieval, "qformer_config.use_qformer_text_input=false", 0,
            "blip-2: qformer_config.use_qformer_text_input is false; want true: the checkpoint has heads for "
            "retrieval, which need text");
}

/* encoder_hidden_size says nothing: Blip2Config puts the vision width over it. */
static void the_encoder_s_width_is_that_of_the_tensors(void **state)
{
    clf_test *t = *state;

    clf_connector_destroy(opened(t, FOLDER("blip2_basic"), "qformer_config.encoder_hidden_size=1408"));
}

/* Of three layers 0 and 2 have cross-attention. */
static void layers_are_counted_where_the_attention_is(void **state)
{
    clf_test *t = *state;
    clf_connector *c = NULL;
    clf_error err = { 0 };

    float vision[5 * 18], attention[2 * 3 * 5];
    const clf_value in = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 18)), vision };
    const clf_value out = { .name = "attention", .host = attention };

    for (size_t i = 0; i < CLF_COUNT(vision); i++)
        vision[i] = (float)clf_test_random(t);
    assert_int_equal(open_with(t, FOLDER("blip2_basic"), NULL, 1, &c, &err), CLF_OK);
    assert_int_equal(clf_connector_run(t->stream, c, &in, 1, &out, 1, &err), CLF_OK); /* of layer 2 */
    for (size_t i = 0; i < CLF_COUNT(attention); i += 5) {
        const double sum = (double)attention[i] + (double)attention[i + 1] + (double)attention[i + 2] +
                           (double)attention[i + 3] + (double)attention[i + 4];

        assert_true(fabs(sum - 1) < 1e-6);
    }
    clf_connector_destroy(c);
    refused(t, FOLDER("blip2_basic"), NULL, 2, "blip-2: layer is 2; want 0 to 1: the checkpoint has 2 layers");
    assert_int_equal(open_with(t, FOLDER("blip2_basic"), "attention_of=self", 2, &c, &err), CLF_OK);
    clf_connector_destroy(c);
    refused(t, FOLDER("blip2_basic"), "attention_of=self", 3,
            "blip-2: layer is 3; want 0 to 2: the checkpoint has 3 layers");
}

/* The number of layers was added to it once, which overflowed. */
static void a_frequency_beyond_the_layers_is_the_first_layer_alone(void **state)
{
    static const char *const sets[] = { "qformer_config.cross_attention_frequency=3",
                                        "qformer_config.cross_attention_frequency=9223372036854775807" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(sets); i++) {
        clf_connector_destroy(opened(t, FOLDER("blip2_basic"), sets[i]));
        refused(t, FOLDER("blip2_basic"), sets[i], 1, "blip-2: layer is 1; want 0: the family has 1 layer");
    }
}

/* On the device: the weight of itm_head once for each of 4 queries, and 4 rows of 12 before they meet vision in the
 * first layer and what they ask there. */
static void bytes_are_those_on_the_device(void **state)
{
    clf_connector *c = opened(*state, FOLDER("blip2_matching"), NULL);
    const clf_connector_info info = clf_connector_describe(c);

    assert_int_equal(info.weight_bytes, 4 * (info.parameters + 3 * 2 * 12 + 2 * 4 * 12));
    clf_connector_destroy(c);
}

/* ---- ports ---- */

static bool gives(const clf_connector *c, const char *output)
{
    const clf_connector_info info = clf_connector_describe(c);

    for (size_t i = 0; i < info.output_count; i++)
        if (strcmp(info.outputs[i].name, output) == 0)
            return true;
    return false;
}

/* As a formula of the inputs. */
static void the_attention_s_shape_is_that_of_the_one_that_is_shown(void **state)
{
    static const struct {
        const char *path, *of, *shape;
    } cases[] = {
        { FOLDER("blip2_basic"), "attention_of=cross", "[B, 2, 3, N]" },
        { FOLDER("blip2_basic"), "attention_of=self", "[B, 2, 3, 3]" },
        { FOLDER("blip2_retrieval"), "attention_of=cross", "[B, 2, 4, N]" },
        { FOLDER("blip2_retrieval"), "attention_of=self", "[B, 2, 4 + T, 4 + T] or [B, 2, 4, 4]" },
        { FOLDER("instructblip_basic"), "attention_of=cross", "[B, 2, 3, N]" },
        { FOLDER("instructblip_basic"), "attention_of=self", "[B, 2, 3 + T, 3 + T]" },
        { FOLDER("instructblipvideo_basic"), "attention_of=cross", "[B, F, 2, 3, N]" },
        { FOLDER("instructblipvideo_basic"), "attention_of=self", "[B, F, 2, 3 + T, 3 + T]" },
    };

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_connector *c = opened(*state, cases[i].path, cases[i].of);
        const clf_connector_info info = clf_connector_describe(c);
        const char *shape = NULL;

        for (size_t o = 0; o < info.output_count; o++)
            if (strcmp(info.outputs[o].name, "attention") == 0)
                shape = info.outputs[o].shape;
        assert_non_null(shape);
        assert_string_equal(shape, cases[i].shape);
        clf_connector_destroy(c);
    }
}

static void heads_and_placeholders_decide_which_outputs_there_are(void **state)
{
    clf_test *t = *state;
    clf_connector *plain = opened(t, FOLDER("blip2_basic"), NULL);
    clf_connector *placed = opened(t, FOLDER("blip2_basic"), "image_token_id=5");
    clf_connector *heads = opened(t, FOLDER("blip2_retrieval"), NULL);

    assert_true(gives(plain, "tokens") && gives(plain, "attention") && !gives(plain, "fused"));
    assert_true(gives(placed, "fused"));
    assert_true(gives(heads, "itm_logits") && gives(heads, "hidden") && !gives(heads, "tokens"));
    clf_connector_destroy(plain);
    clf_connector_destroy(placed);
    clf_connector_destroy(heads);
}

/* ---- calls ---- */

enum { I = 2, J = 3, N = 5, T = 4, DV = 18 };

/* A call of the retrieval checkpoint: two pictures, `texts` texts, some of the inputs. */
typedef struct call {
    float vision[J * N * DV];
    int64_t ids[J * T];
    uint8_t mask[J * T];
    clf_value in[3];
    size_t in_count;
} call;

static call *prepare(clf_test *t, int64_t pictures, int64_t texts)
{
    call *c = clf_test_memory(t, sizeof *c);

    for (size_t i = 0; i < CLF_COUNT(c->vision); i++)
        c->vision[i] = (float)(2 * clf_test_random(t) - 1);
    for (size_t i = 0; i < CLF_COUNT(c->ids); i++) {
        c->ids[i] = (int64_t)(clf_test_random(t) * 40);
        c->mask[i] = i % T < 3;
    }
    c->in[0] = (clf_value){ "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(texts, T)), c->ids };
    c->in[1] = (clf_value){ "text_mask", clf_tensor_shape(CLF_U8, CLF_DIMS(texts, T)), c->mask };
    c->in[2] = (clf_value){ "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(pictures, N, DV)), c->vision };
    c->in_count = 3;
    return c;
}

static void plan_refused(const clf_connector *c, const call *k, const char *output, const char *message)
{
    clf_value out = { .name = output };
    clf_error err = { 0 };

    assert_int_not_equal(clf_connector_plan(c, k->in, k->in_count, &out, 1, &err), CLF_OK);
    assert_string_equal(err.message, message);
}

static void pictures_and_texts_differ_in_number_only_for_contrast(void **state)
{
    clf_test *t = *state;
    clf_connector *c = opened(t, FOLDER("blip2_retrieval"), NULL);
    call *k = prepare(t, I, J);
    clf_value out = { .name = "logits" };

    assert_int_equal(clf_connector_plan(c, k->in, k->in_count, &out, 1, NULL), CLF_OK);
    assert_true(clf_shape_is(out.tensor, CLF_DIMS(I, J)));
    plan_refused(c, k, "itm_logits",
                 "blip-2: text_ids has a batch of 3; want 2, that of vision: each text is matched "
                 "with its picture");
    k->in_count = 2;
    plan_refused(c, k, "logits", "blip-2: vision is missing; want vision, text_ids for logits");
    out.name = "text_embeds"; /* needs no picture */
    assert_int_equal(clf_connector_plan(c, k->in, k->in_count, &out, 1, NULL), CLF_OK);
    clf_connector_destroy(c);
}

static const struct {
    const char *name;
    int64_t elements;
} outputs[] = { { "logits", I *I },      { "image_embeds", I * 4 * 10 }, { "text_embeds", I * 10 },
                { "itm_logits", I * 2 }, { "hidden", I *(4 + T) * 12 },  { "attention", I * 2 * 4 * N } };

/* A pass that two outputs share must not change either. */
static void outputs_together_are_the_outputs_one_by_one(void **state)
{
    static const char *const objectives[] = { "objective=itm", "objective=itg" };
    clf_test *t = *state;
    const call *k = prepare(t, I, I);

    for (size_t o = 0; o < 2; o++) {
        clf_connector *c = opened(t, FOLDER("blip2_retrieval"), objectives[o]);
        clf_value all[CLF_COUNT(outputs)];
        clf_error err = { 0 };

        for (size_t i = 0; i < CLF_COUNT(outputs); i++)
            all[i] = (clf_value){ .name = outputs[i].name,
                                  .host = clf_test_memory(t, (size_t)outputs[i].elements * sizeof(float)) };
        if (clf_connector_run(t->stream, c, k->in, k->in_count, all, CLF_COUNT(all), &err) != CLF_OK)
            fail_msg("%s", err.message);
        for (size_t i = 0; i < CLF_COUNT(outputs); i++) {
            const size_t bytes = (size_t)outputs[i].elements * sizeof(float);
            clf_value one = { .name = outputs[i].name, .host = clf_test_memory(t, bytes) };

            assert_int_equal(clf_connector_run(t->stream, c, k->in, k->in_count, &one, 1, &err), CLF_OK);
            assert_memory_equal(one.host, all[i].host, bytes);
        }
        clf_connector_destroy(c);
    }
}

/* The pass of matching does not depend on the objective that `hidden` has. */
static void matching_is_matching_under_every_objective(void **state)
{
    clf_test *t = *state;
    const call *k = prepare(t, I, I);
    clf_connector *itm = opened(t, FOLDER("blip2_retrieval"), NULL);
    clf_connector *itc = opened(t, FOLDER("blip2_retrieval"), "objective=itc");
    float a[2 * I], b[2 * I];
    const clf_value first = { .name = "itm_logits", .host = a }, second = { .name = "itm_logits", .host = b };

    assert_int_equal(clf_connector_run(t->stream, itm, k->in, k->in_count, &first, 1, NULL), CLF_OK);
    assert_int_equal(clf_connector_run(t->stream, itc, k->in, k->in_count, &second, 1, NULL), CLF_OK);
    assert_memory_equal(a, b, sizeof a);
    clf_connector_destroy(itm);
    clf_connector_destroy(itc);
}

static void half_precision_outputs_are_the_rounded_ones(void **state)
{
    clf_test *t = *state;
    const call *k = prepare(t, I, I);
    clf_connector *c = opened(t, FOLDER("blip2_retrieval"), NULL);
    float wide[I * 4 * 10];
    uint16_t half[I * 4 * 10];
    const clf_value first = { .name = "image_embeds", .host = wide };
    const clf_value second = { "image_embeds", { .dtype = CLF_F16 }, half };

    assert_int_equal(clf_connector_run(t->stream, c, k->in, k->in_count, &first, 1, NULL), CLF_OK);
    assert_int_equal(clf_connector_run(t->stream, c, k->in, k->in_count, &second, 1, NULL), CLF_OK);
    for (size_t i = 0; i < CLF_COUNT(wide); i++)
        assert_int_equal(half[i], clf_f32_to_f16(wide[i]));
    clf_connector_destroy(c);
}

static void an_id_outside_the_vocabulary_is_named(void **state)
{
    clf_test *t = *state;
    call *k = prepare(t, I, I);
    clf_connector *c = opened(t, FOLDER("blip2_retrieval"), NULL);
    float logits[I * I];
    const clf_value out = { .name = "logits", .host = logits };
    clf_error err = { 0 };

    k->ids[T + 1] = 40;
    assert_int_equal(clf_connector_run(t->stream, c, k->in, k->in_count, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "blip-2/qformer: text_ids[1, 1] is 40; want 0 to 39, the vocabulary");
    clf_stream_reset(t->stream);
    clf_connector_destroy(c);
}

/* Of a checkpoint with placeholders: logits of six ids, behind four placeholders or not. */
static clf_status run_placed(clf_test *t, const call *k, clf_stream *s, bool placed, float *logits, clf_error *err)
{
    int64_t ids[I * 10], mask[I * 10];
    const int64_t length = placed ? 10 : 6, before = length - 6;
    const clf_value in[] = { k->in[2],
                             { "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(I, length)), ids },
                             { "text_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(I, length)), mask } };
    const clf_value out = { .name = "logits", .host = logits };
    clf_connector *c = NULL;
    clf_status status = open_with(t, FOLDER("blip2_retrieval_placeholders"), NULL, 0, &c, err);

    for (int64_t i = 0; i < I * length; i++) {
        const int64_t column = i % length - before;

        ids[i] = column < 0 ? 40 : i / length * 9 + column;
        mask[i] = column < 5;
    }
    if (status == CLF_OK)
        status = clf_connector_run(s, c, in, CLF_COUNT(in), &out, 1, err);
    clf_connector_destroy(c);
    return status;
}

static void placeholders_before_the_text_change_nothing(void **state)
{
    clf_test *t = *state;
    const call *k = prepare(t, I, I);
    float with[I * I], without[I * I];

    assert_int_equal(run_placed(t, k, t->stream, true, with, NULL), CLF_OK);
    assert_int_equal(run_placed(t, k, t->stream, false, without, NULL), CLF_OK);
    assert_memory_equal(with, without, sizeof with);
}

/* Dropping them would leave fewer rows than ids. */
static void outputs_with_a_row_for_each_id_take_no_placeholders(void **state)
{
    clf_test *t = *state;
    call *k = prepare(t, I, I);
    clf_connector *c = opened(t, FOLDER("blip2_retrieval_placeholders"), NULL);
    int64_t ids[I * (T + 4)];
    float hidden[I * (4 + T + 4) * 12];
    const clf_value out = { .name = "hidden", .host = hidden };
    clf_error err = { 0 };

    for (int i = 0; i < I * (T + 4); i++)
        ids[i] = i % (T + 4) < 4 ? 40 : i;
    k->in[0] = (clf_value){ "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(I, T + 4)), ids };
    k->in[1] = k->in[2];
    k->in_count = 2;
    assert_int_equal(clf_connector_run(t->stream, c, k->in, k->in_count, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "blip-2/retrieval: text_ids begins with 4 times 40, the image_token_index; want none of them "
                        "for outputs with a row for each id");
    clf_stream_reset(t->stream);
    clf_connector_destroy(c);
}

/* ---- failures: opening, one call of all passes, closing ---- */

typedef struct life {
    const call *call;
    struct {
        float first[2 * 3 * 20], second[2 * I];
    } out;
} life;

static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    life *l = user;
    const clf_value out[] = { { .name = "logits", .host = l->out.first },
                              { .name = "itm_logits", .host = l->out.second } };
    clf_connector *c = NULL;
    clf_status status = open_with(t, FOLDER("blip2_retrieval"), "objective=itg", 0, &c, err);

    if (status == CLF_OK)
        status = clf_connector_run(s, c, l->call->in, l->call->in_count, out, CLF_COUNT(out), err);
    clf_connector_destroy(c);
    return status;
}

/* Frames repeat ids and masks in host memory. */
static clf_status live_video(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    life *l = user;
    const clf_value in[] = {
        { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, 4, DV)), (void *)(uintptr_t)l->call->vision },
        { "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(1, T)), (void *)(uintptr_t)l->call->ids }
    };
    const clf_value out = { .name = "tokens", .host = l->out.first };
    clf_connector *c = NULL;
    clf_status status = open_with(t, FOLDER("instructblipvideo_basic"), NULL, 0, &c, err);

    if (status == CLF_OK)
        status = clf_connector_run(s, c, in, 2, &out, 1, err);
    clf_connector_destroy(c);
    return status;
}

static clf_status live_placed(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    life *l = user;

    return run_placed(t, l->call, s, true, l->out.first, err);
}

static void an_allocation_that_fails_is_out_of_memory(void **state)
{
    clf_test *t = *state;
    life l = { .call = prepare(t, I, I) };
    const long few = clf_test_small_only(t) ? 1 : 20;
    clf_walk w = { "objective=itg", live, &l, &l.out, sizeof l.out, .outputs = 2, .beside = true, .again = 64 };

    assert_true(clf_walk_allocations(t, &w) > few);
    w.name = "instructblipvideo";
    w.work = live_video;
    w.outputs = 1;
    assert_true(clf_walk_allocations(t, &w) > few);
    w.name = "placeholders";
    w.work = live_placed;
    assert_true(clf_walk_allocations(t, &w) > few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(keys_that_contradict_the_tensors_are_refused),
        CLF_TEST(the_encoder_s_width_is_that_of_the_tensors),
        CLF_TEST(layers_are_counted_where_the_attention_is),
        CLF_TEST(a_frequency_beyond_the_layers_is_the_first_layer_alone),
        CLF_TEST(bytes_are_those_on_the_device),
        CLF_TEST(the_attention_s_shape_is_that_of_the_one_that_is_shown),
        CLF_TEST(heads_and_placeholders_decide_which_outputs_there_are),
        CLF_TEST(pictures_and_texts_differ_in_number_only_for_contrast),
        CLF_TEST(outputs_together_are_the_outputs_one_by_one),
        CLF_TEST(matching_is_matching_under_every_objective),
        CLF_TEST(half_precision_outputs_are_the_rounded_ones),
        CLF_TEST(an_id_outside_the_vocabulary_is_named),
        CLF_TEST(placeholders_before_the_text_change_nothing),
        CLF_TEST(outputs_with_a_row_for_each_id_take_no_placeholders),
        CLF_TEST(an_allocation_that_fails_is_out_of_memory),
    };

    return CLF_TEST_MAIN(tests);
}
