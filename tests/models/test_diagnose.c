/* Diagnostics: entropy and collapse of weights whose answer is known, gates by their names, blind baselines against
 * two runs. */
#include <math.h>
#include <stdio.h>

#include <clfusion/diagnose.h>

#include "memory_source.h"
#include "models/connector.h"

static const double rounding = 1e-6; /* of f32 weights */

static void expect_near(double got, double want, double allowed)
{
    if (!(fabs(got - want) <= allowed))
        fail_msg("%.17g, want %.17g", got, want);
}

/* ---- attention ---- */

static void equal_weights_have_full_entropy_and_no_collapse(void **state)
{
    enum { B = 3, H = 2, Q = 5, K = 7 };
    clf_test *t = *state;
    float *weights = clf_test_memory(t, B * H * Q * K * sizeof *weights);
    clf_head_report heads[H];
    clf_attention_report report;

    for (int i = 0; i < B * H * Q * K; i++)
        weights[i] = 1.0F / K;
    assert_int_equal(
        clf_diagnose_attention(weights, CLF_DIMS(B, H, Q, K), CLF_COLLAPSE_THRESHOLD, heads, &report, NULL), CLF_OK);
    for (int h = 0; h < H; h++) {
        expect_near(heads[h].entropy, log(K), rounding);
        expect_near(heads[h].relative_entropy, 1.0, rounding);
        expect_near(heads[h].largest, 1.0 / K, rounding);
        assert_false(heads[h].collapsed);
    }
    expect_near(report.entropy, log(K), rounding);
    expect_near(report.relative_entropy, 1.0, rounding);
    assert_int_equal(report.heads, H);
    assert_int_equal(report.tokens, B * K);
    assert_int_equal(report.collapsed_heads, 0);
    assert_int_equal(report.collapsed_tokens, 0);
    assert_int_equal(report.unseeing_rows, 0);
}

/* Head 0 looks at token 1 with 0.95 in one row; head 1 halves its rows; batch 1 is even but for token 3 of head 1. */
static const float known[2][2][2][4] = {
    { { { 0.25F, 0.25F, 0.25F, 0.25F }, { 0.05F, 0.95F, 0.0F, 0.0F } },
      { { 0.5F, 0.5F, 0.0F, 0.0F }, { 0.0F, 0.0F, 0.5F, 0.5F } } },
    { { { 0.25F, 0.25F, 0.25F, 0.25F }, { 0.25F, 0.25F, 0.25F, 0.25F } },
      { { 0.0F, 0.0F, 0.0F, 1.0F }, { 0.0F, 0.0F, 0.0F, 0.0F } } },
};

static void heads_and_tokens_above_the_threshold_are_counted(void **state)
{
    clf_head_report heads[2];
    clf_attention_report report;
    const double sharp = -0.05 * log(0.05) - 0.95 * log(0.95);

    (void)state;
    assert_int_equal(clf_diagnose_attention(&known[0][0][0][0], CLF_DIMS(2, 2, 2, 4), 0.9, heads, &report, NULL),
                     CLF_OK);
    expect_near(heads[0].entropy, (3 * log(4) + sharp) / 4, rounding);
    expect_near(heads[1].entropy, (2 * log(2) + 0) / 3, rounding); /* the row of zeros is in no mean */
    expect_near(heads[1].relative_entropy, 2 * log(2) / 3 / log(4), rounding);
    expect_near(heads[0].largest, 0.95, rounding);
    expect_near(heads[1].largest, 1.0, 0);
    expect_near(report.largest, 1.0, 0);
    assert_true(heads[0].collapsed && heads[1].collapsed);
    assert_int_equal(report.collapsed_heads, 2);
    assert_int_equal(report.collapsed_tokens, 2); /* token 1 of batch 0, token 3 of batch 1 */
    assert_int_equal(report.tokens, 8);
    assert_int_equal(report.unseeing_rows, 1);
    expect_near(report.entropy, (heads[0].entropy + heads[1].entropy) / 2, rounding);
}

static void the_map_has_the_entropy_of_every_row(void **state)
{
    const float even = (float)log(4), half = (float)log(2);
    const float sharp = (float)(-0.05 * log(0.05) - 0.95 * log(0.95));
    const float want[8] = { even, sharp, half, half, even, even, 0.0F, (float)NAN }; /* the last sees nothing */
    float got[8] = { 0 };
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(clf_diagnose_entropy(&known[0][0][0][0], CLF_DIMS(2, 2, 2, 4), got, &err), CLF_OK);
    for (size_t i = 0; i < CLF_COUNT(got); i++)
        if (isnan(want[i]))
            assert_true(isnan(got[i]));
        else
            expect_near((double)got[i], (double)want[i], rounding);
    assert_int_equal(clf_diagnose_entropy(NULL, CLF_DIMS(2, 2, 2, 4), got, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "diagnose: weights is NULL; want memory");
    assert_int_equal(clf_diagnose_entropy(&known[0][0][0][0], CLF_DIMS(2, 4), got, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "diagnose: attention has 2 dimensions; want 4, [B, H, Q, K], or 3 without a batch");
}

/* [B, I, H, Q, K]: pictures of texts. */
static void all_before_the_heads_is_a_batch(void **state)
{
    static const clf_dims dims[] = { { 5, { 1, 2, 2, 2, 4 } }, { 5, { 2, 1, 2, 2, 4 } }, { 6, { 1, 2, 1, 2, 2, 4 } } };
    clf_attention_report want, got;

    (void)state;
    assert_int_equal(clf_diagnose_attention(&known[0][0][0][0], CLF_DIMS(2, 2, 2, 4), 0.9, NULL, &want, NULL), CLF_OK);
    for (size_t i = 0; i < CLF_COUNT(dims); i++) {
        assert_int_equal(clf_diagnose_attention(&known[0][0][0][0], dims[i], 0.9, NULL, &got, NULL), CLF_OK);
        expect_near(got.entropy, want.entropy, 0);
        assert_int_equal(got.heads, 2);
        assert_int_equal(got.tokens, want.tokens);
        assert_int_equal(got.collapsed_tokens, want.collapsed_tokens);
        assert_int_equal(got.unseeing_rows, want.unseeing_rows);
    }
}

static void the_threshold_itself_is_no_collapse(void **state)
{
    clf_head_report heads[2];
    clf_attention_report report;

    (void)state;
    assert_int_equal(clf_diagnose_attention(&known[0][0][0][0], CLF_DIMS(2, 2, 4), (double)0.95F, heads, &report, NULL),
                     CLF_OK);
    assert_int_equal(report.collapsed_heads, 0);
    assert_int_equal(report.collapsed_tokens, 0);
    assert_int_equal(report.tokens, 4); /* no batch */
    assert_int_equal(clf_diagnose_attention(&known[0][0][0][0], CLF_DIMS(2, 2, 4), 0.5, NULL, &report, NULL), CLF_OK);
    assert_int_equal(report.collapsed_heads, 1); /* 0.5 is not above 0.5 */
    assert_int_equal(report.collapsed_tokens, 1);
}

static void one_key_and_no_key_have_defined_entropies(void **state)
{
    const float ones[] = { 1.0F, 1.0F }, zeros[] = { 0.0F, 0.0F };
    clf_head_report head;
    clf_attention_report report;

    (void)state;
    assert_int_equal(clf_diagnose_attention(ones, CLF_DIMS(1, 2, 1), 0.9, &head, &report, NULL), CLF_OK);
    expect_near(head.entropy, 0.0, 0);
    expect_near(head.relative_entropy, 0.0, 0);
    assert_int_equal(clf_diagnose_attention(zeros, CLF_DIMS(1, 1, 2), 0.9, &head, &report, NULL), CLF_OK);
    assert_true(isnan(head.entropy) && isnan(head.relative_entropy));
    assert_false(head.collapsed);
    assert_int_equal(report.unseeing_rows, 1);
}

static void refuses(const float *weights, clf_dims shape, double threshold, const char *message)
{
    clf_attention_report report;
    clf_error err = { 0 };

    assert_int_equal(clf_diagnose_attention(weights, shape, threshold, NULL, &report, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
}

static void weights_that_are_no_attention_are_refused(void **state)
{
    const float one = 1.0F;

    (void)state;
    refuses(NULL, CLF_DIMS(1, 1, 1), 0.9, "diagnose: weights is NULL; want memory");
    refuses(&one, CLF_DIMS(1, 1), 0.9,
            "diagnose: attention has 2 dimensions; want 4, [B, H, Q, K], or 3 without a batch");
    refuses(&one, CLF_DIMS(1, 1, 0), 0.9,
            "diagnose: attention is f32[1, 1, 0]; want [B, H, Q, K] with dimensions above 0");
    refuses(&one, CLF_DIMS(1, 1, 1), 1.5, "diagnose: threshold is 1.5; want 0 to 1");
    refuses(&one, CLF_DIMS(1, 1, 1), (double)NAN, "diagnose: threshold is nan; want 0 to 1");
}

/* ---- gates ---- */

enum { MOST_GATES = 8 };

static size_t gates_of(memory_source *s, clf_gate_report *gates)
{
    size_t count = 99;
    clf_error err = { 0 };

    if (clf_diagnose_gates(&s->source, gates, MOST_GATES, &count, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return count;
}

static void expect_gate(const clf_gate_report *gate, const char *name, int layer, clf_gate_branch branch)
{
    assert_string_equal(gate->name, name);
    assert_int_equal(gate->layer, layer);
    assert_int_equal(gate->branch, branch);
}

static void gates_come_in_the_order_of_the_layers(void **state)
{
    static const memory_row rows[] = {
        /* as a checkpoint lists them: by bytes */
        { "language_model.model.layers.13.cross_attn_attn_gate", 1, 0 },
        { "language_model.model.layers.13.cross_attn_mlp_gate", 1, 0 },
        { "language_model.model.layers.3.cross_attn_attn_gate", 1, 0 },
        { "language_model.model.layers.3.cross_attn_mlp_gate", 1, 0 },
        { "language_model.model.layers.4.mlp.gate_proj.weight", 2, 2 },
        { "language_model.model.layers.8.cross_attn_attn_gate", 1, 0 },
        { "vision_model.gated_positional_embedding.gate", 1, 0 },
        { NULL, 0, 0 },
    };
    static const struct {
        size_t row;
        int layer;
    } order[] = { { 2, 0 }, { 3, 0 }, { 5, 1 }, { 0, 2 }, { 1, 2 } };
    clf_test *t = *state;
    clf_gate_report gates[MOST_GATES];
    memory_source s;

    memory_source_fill(t, &s, rows);
    assert_int_equal(gates_of(&s, gates), CLF_COUNT(order));
    for (size_t i = 0; i < CLF_COUNT(order); i++) {
        const char *name = rows[order[i].row].name;
        const double alpha = (double)*(const float *)s.tensors[order[i].row].data;

        expect_gate(&gates[i], name, order[i].layer,
                    strstr(name, "mlp") == NULL ? CLF_GATE_ATTENTION : CLF_GATE_FEED_FORWARD);
        assert_int_equal(gates[i].elements, 1);
        expect_near(gates[i].alpha_mean, alpha, 0);
        expect_near(gates[i].tanh_mean, tanh(alpha), 0);
        expect_near(gates[i].tanh_min, gates[i].tanh_max, 0);
    }
}

/* Every spelling of the rules, and words that are no gates where they stand. */
static void gates_are_known_by_their_names(void **state)
{
    static const struct {
        const char *name;
        int branch; /* -1: no gate */
    } names[] = {
        { "lang_encoder.transformer.blocks.0.gated_cross_attn_layer.attn_gate", CLF_GATE_ATTENTION },
        { "lang_encoder.transformer.blocks.0.gated_cross_attn_layer.ff_gate", CLF_GATE_FEED_FORWARD },
        { "xattn_layers.1.alpha_attn", CLF_GATE_ATTENTION },
        { "xattn_layers.1.alpha_ffw", CLF_GATE_FEED_FORWARD },
        { "model.gated_cross_attn_layers.0.alpha_cross_attn", CLF_GATE_ATTENTION },
        { "model.gated_cross_attn_layers.0.alpha_dense", CLF_GATE_FEED_FORWARD },
        { "model.language_model.layers.3.cross_attn_attn_gate", CLF_GATE_ATTENTION },
        { "model.language_model.layers.3.cross_attn_mlp_gate", CLF_GATE_FEED_FORWARD },
        { "alpha", CLF_GATE_ATTENTION },
        { "gate", CLF_GATE_ATTENTION },
        { "xattn_12.alpha", CLF_GATE_ATTENTION },
        { "xattn_.alpha", -1 },
        { "xattn_1.alpha.weight", -1 },
        { "mlp.gate", -1 },
        { "lora.alpha", -1 },
        { "not_attn_gate", -1 },
        { "attn_gate.weight", -1 },
    };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(names); i++) {
        const memory_row rows[] = { { names[i].name, 1, 0 }, { NULL, 0, 0 } };
        clf_gate_report gate;
        size_t count = 99;
        memory_source s;

        memory_source_fill(t, &s, rows);
        assert_int_equal(clf_diagnose_gates(&s.source, &gate, 1, &count, NULL), CLF_OK);
        if ((count == 1) != (names[i].branch >= 0))
            fail_msg("%s: %zu gates", names[i].name, count);
        if (count == 1)
            expect_gate(&gate, names[i].name, 0, (clf_gate_branch)names[i].branch);
    }
}

/* A raw state dict of OpenFlamingo has each layer twice. */
static void a_layer_with_two_names_is_one_layer(void **state)
{
    static const memory_row rows[] = {
        { "lang_encoder.gated_cross_attn_layers.0.attn_gate", 1, 0 },
        { "lang_encoder.gated_cross_attn_layers.0.ff_gate", 1, 0 },
        { "lang_encoder.transformer.blocks.0.gated_cross_attn_layer.attn_gate", 1, 0 },
        { "lang_encoder.transformer.blocks.0.gated_cross_attn_layer.ff_gate", 1, 0 },
        { NULL, 0, 0 },
    };
    clf_test *t = *state;
    clf_gate_report gates[MOST_GATES];
    memory_source s;

    memory_source_fill(t, &s, rows);
    assert_int_equal(gates_of(&s, gates), 2);
    expect_gate(&gates[0], rows[2].name, 0, CLF_GATE_ATTENTION);
    expect_gate(&gates[1], rows[3].name, 0, CLF_GATE_FEED_FORWARD);
    s.count = 2; /* the first two alone */
    assert_int_equal(gates_of(&s, gates), 2);
    expect_gate(&gates[0], rows[0].name, 0, CLF_GATE_ATTENTION);
}

static void a_gate_for_each_channel_is_summed_up(void **state)
{
    static const uint16_t half[] = { 0x3c00, 0x0000, 0xbc00, 0x4000 }; /* 1, 0, -1, 2 */
    static const memory_row rows[] = { { "model.gated_cross_attn_layers.0.alpha_dense", 1, 0 }, { NULL, 0, 0 } };
    clf_test *t = *state;
    clf_gate_report gate;
    size_t count = 0;
    memory_source s;

    memory_source_fill(t, &s, rows);
    s.tensors[0] = (clf_host_tensor){ half, CLF_F16, 3, { 1, 1, 4 } };
    assert_int_equal(clf_diagnose_gates(&s.source, &gate, 1, &count, NULL), CLF_OK);
    assert_int_equal(gate.elements, 4);
    expect_near(gate.alpha_min, -1.0, 0);
    expect_near(gate.alpha_mean, 0.5, 0);
    expect_near(gate.alpha_max, 2.0, 0);
    expect_near(gate.tanh_min, tanh(-1.0), 0);
    expect_near(gate.tanh_mean, tanh(2.0) / 4, 1e-15);
    expect_near(gate.tanh_max, tanh(2.0), 0);
}

static void more_gates_than_room_are_counted(void **state)
{
    static const memory_row rows[] = { { "a.2.attn_gate", 1, 0 }, { "a.1.attn_gate", 1, 0 }, { NULL, 0, 0 } };
    clf_test *t = *state;
    clf_gate_report gates[2] = { { .layer = -7 }, { .layer = -7 } };
    size_t count = 0;
    memory_source s;

    memory_source_fill(t, &s, rows);
    assert_int_equal(clf_diagnose_gates(&s.source, gates, 1, &count, NULL), CLF_OK);
    assert_int_equal(count, 2);
    expect_gate(&gates[0], "a.1.attn_gate", 0, CLF_GATE_ATTENTION);
    assert_int_equal(gates[1].layer, -7);
}

static void gates_that_hold_no_numbers_are_refused(void **state)
{
    static const memory_row rows[] = { { "alpha", 1, 0 }, { NULL, 0, 0 } };
    clf_test *t = *state;
    clf_gate_report gate;
    clf_error err = { 0 };
    size_t count = 99;
    memory_source s;

    memory_source_fill(t, &s, rows);
    s.tensors[0].dtype = CLF_I32;
    assert_int_equal(clf_diagnose_gates(&s.source, &gate, 1, &count, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "diagnose: alpha is i32[1]; want a gate of f32, f16, bf16 or f64");
    assert_int_equal(count, 0);
    s.tensors[0] = (clf_host_tensor){ s.tensors[0].data, CLF_F32, 1, { 0 } };
    assert_int_equal(clf_diagnose_gates(&s.source, &gate, 1, &count, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "diagnose: alpha is f32[0]; want at least one value");
    assert_int_equal(clf_diagnose_gates_open("no such file", &gate, 1, &count, &err), CLF_IO);
}

/* ---- blind baseline ---- */

static clf_value host_values(clf_test *t, const char *name, clf_dims dims)
{
    const clf_tensor shape = clf_tensor_shape(CLF_F32, dims);
    const size_t count = (size_t)clf_element_count(shape);
    float *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * clf_test_random(t) - 1);
    return (clf_value){ name, shape, values };
}

static void run_tokens(clf_test *t, const clf_connector *c, const clf_value *vision, float *tokens)
{
    const clf_value out = { .name = "tokens", .host = tokens };

    assert_int_equal(clf_connector_run(t->stream, c, vision, 1, &out, 1, NULL), CLF_OK);
}

static void the_difference_is_that_of_two_runs(void **state)
{
    enum { COUNT = 2 * 3 * 12 };
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, llava_rows);
    clf_connector *c = memory_connector(t, &s, "{\"model_type\": \"llava\"}", NULL);
    clf_value vision = host_values(t, "vision", CLF_DIMS(2, 3, 8)), blank = vision;
    float real[COUNT], dark[COUNT];
    double got = -1.0, change = 0.0, size = 0.0;

    blank.host = clf_test_memory(t, 2 * 3 * 8 * sizeof(float));
    memset(blank.host, 0, 2 * 3 * 8 * sizeof(float));
    run_tokens(t, c, &vision, real);
    run_tokens(t, c, &blank, dark);
    for (int i = 0; i < COUNT; i++) {
        change += ((double)real[i] - (double)dark[i]) * ((double)real[i] - (double)dark[i]);
        size += (double)real[i] * (double)real[i];
    }
    assert_int_equal(clf_diagnose_blind(t->stream, c, &vision, 1, "tokens", &got, NULL), CLF_OK);
    assert_true(change > 0.0);
    expect_near(got, sqrt(change / size), 0);

    /* the same values on the device */
    clf_value there = vision;
    assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(2, 3, 8), &there.tensor, NULL), CLF_OK);
    clf_upload(t->stream, vision.host, there.tensor);
    there.host = NULL;
    assert_int_equal(clf_diagnose_blind(t->stream, c, &there, 1, "tokens", &got, NULL), CLF_OK);
    expect_near(got, sqrt(change / size), 0);
    clf_tensor_free(t->ctx, &there.tensor);

    assert_int_equal(clf_diagnose_blind(t->stream, c, &blank, 1, "tokens", &got, NULL), CLF_OK);
    expect_near(got, 0.0, 0);
    clf_connector_destroy(c);
}

static void a_picture_is_a_visual_input(void **state)
{
    static const memory_row rows[] = { { "vision_embed_tokens.weight", 5, 12 },
                                       { "vision_embed_tokens.bias", 5, 0 },
                                       { NULL, 0, 0 } };
    clf_test *t = *state;
    memory_source s;
    double by_image = -1.0, by_vision = -1.0;

    memory_source_fill(t, &s, rows);
    clf_connector *c = memory_connector(t, &s, "{\"model_type\": \"fuyu\", \"patch_size\": 2}", NULL);
    const clf_value image = host_values(t, "image", CLF_DIMS(1, 3, 2, 2));
    clf_value vision = host_values(t, "vision", CLF_DIMS(1, 1, 12));
    const float *pixels = image.host;
    for (int i = 0; i < 12; i++)
        ((float *)vision.host)[i] = pixels[i % 3 * 4 + i / 3];
    assert_int_equal(clf_diagnose_blind(t->stream, c, &image, 1, "tokens", &by_image, NULL), CLF_OK);
    assert_int_equal(clf_diagnose_blind(t->stream, c, &vision, 1, "tokens", &by_vision, NULL), CLF_OK);
    assert_true(by_image > 0.0);
    expect_near(by_image, by_vision, 0);
    clf_connector_destroy(c);
}

/* Zeros keep no token at all. */
static void another_shape_without_the_picture_is_a_difference_of_1(void **state)
{
    static const memory_row no_rows[] = { { NULL, 0, 0 } };
    clf_test *t = *state;
    memory_source s;
    double got = -1.0;

    memory_source_fill(t, &s, no_rows);
    clf_connector *c =
        memory_connector(t, &s, "{\"model_type\": \"clfusion\", \"module\": \"importance_prune\"}", NULL);
    const clf_value vision = host_values(t, "vision", CLF_DIMS(2, 5, 4));
    assert_int_equal(clf_diagnose_blind(t->stream, c, &vision, 1, "tokens", &got, NULL), CLF_OK);
    expect_near(got, 1.0, 0);
    clf_connector_destroy(c);
}

static const memory_row gated_rows[] = {
    { "alpha", 1, 0 },
    { "cross_attn.q_proj.weight", 8, 8 },
    { "cross_attn.k_proj.weight", 8, 6 },
    { "cross_attn.v_proj.weight", 8, 6 },
    { "cross_attn.out_proj.weight", 8, 8 },
    { "cross_attn.out_proj.bias", 8, 0 },
    { "layer_norm.weight", 8, 0 },
    { "layer_norm.bias", 8, 0 },
    { NULL, 0, 0 },
};

static const char gated_json[] =
    "{\"model_type\": \"clfusion\", \"module\": \"gated_cross_attention\", \"num_heads\": 2, \"head_dim\": 4}";

static void a_closed_gate_is_blind(void **state)
{
    static const float zero = 0.0F;
    clf_test *t = *state;
    memory_source s;
    double got = -1.0;

    memory_source_fill(t, &s, gated_rows);
    const clf_value in[] = { host_values(t, "text", CLF_DIMS(1, 3, 8)), host_values(t, "vision", CLF_DIMS(1, 5, 6)) };
    clf_connector *c = memory_connector(t, &s, gated_json, NULL);
    assert_int_equal(clf_diagnose_blind(t->stream, c, in, 2, "hidden", &got, NULL), CLF_OK);
    assert_true(got > CLF_BLIND_THRESHOLD);
    clf_connector_destroy(c);
    s.tensors[0].data = &zero;
    c = memory_connector(t, &s, gated_json, NULL);
    assert_int_equal(clf_diagnose_blind(t->stream, c, in, 2, "hidden", &got, NULL), CLF_OK);
    expect_near(got, 0.0, 0);
    clf_connector_destroy(c);
}

/* Two layers of 4 tensors; a third would be "cross_attn_layers.2". */
#define LAYER_ROWS(i)                                                                                                  \
    { "cross_attn_layers." #i ".q_proj.weight", 8, 8 }, { "cross_attn_layers." #i ".k_proj.weight", 8, 6 },            \
        { "cross_attn_layers." #i ".v_proj.weight", 8, 6 }, { "cross_attn_layers." #i ".out_proj.weight", 8, 8 },      \
    {                                                                                                                  \
        "cross_attn_layers." #i ".out_proj.bias", 8, 0                                                                 \
    }

static const memory_row stack_rows[] = { { "latents", 3, 8 }, LAYER_ROWS(0), LAYER_ROWS(1), { NULL, 0, 0 } };

static const char stack_json[] =
    "{\"model_type\": \"clfusion\", \"module\": \"latent_resampler\", \"num_heads\": 2, \"residual\": true}";

/* tokens of the first `tensors` tensors, up to `layer` or whole. */
static void run_stack(clf_test *t, memory_source *s, size_t tensors, bool ends, int32_t layer, const clf_value *vision,
                      float *tokens)
{
    clf_connector_options options = clf_connector_options_default();
    clf_connector *c = NULL;
    clf_error err = { 0 };

    s->count = tensors;
    options.layer = layer;
    if (clf_connector_create_part(t->ctx, &s->source, stack_json, strlen(stack_json), &options, ends, &c, &err) !=
        CLF_OK)
        fail_msg("%s", err.message);
    run_tokens(t, c, vision, tokens);
    clf_connector_destroy(c);
}

static void a_stack_ends_behind_a_layer(void **state)
{
    enum { COUNT = 3 * 8 };
    clf_test *t = *state;
    float one[COUNT], two[COUNT], first[COUNT], last[COUNT];
    memory_source s;

    memory_source_fill(t, &s, stack_rows);
    const clf_value vision = host_values(t, "vision", CLF_DIMS(1, 4, 6));

    run_stack(t, &s, 6, false, 0, &vision, one);
    run_stack(t, &s, 11, false, 0, &vision, two);
    run_stack(t, &s, 11, true, 0, &vision, first);
    run_stack(t, &s, 11, true, 1, &vision, last);
    assert_memory_equal(first, one, sizeof one);
    assert_memory_equal(last, two, sizeof two);
    assert_memory_not_equal(one, two, sizeof one);
}

static void a_baseline_needs_a_visual_input(void **state)
{
    clf_test *t = *state;
    memory_source s;
    memory_source_fill(t, &s, gated_rows);
    clf_connector *c = memory_connector(t, &s, gated_json, NULL);
    const clf_value text = host_values(t, "text", CLF_DIMS(1, 3, 8));
    clf_error err = { 0 };
    double got = -1.0;

    assert_int_equal(clf_diagnose_blind(t->stream, c, &text, 1, "hidden", &got, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "gated_cross_attention: vision is missing; want text, vision for hidden");
    assert_int_equal(clf_diagnose_blind(t->stream, c, &text, 1, "tokens", &got, &err), CLF_INVALID_ARGUMENT);
    expect_near(got, -1.0, 0);
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(equal_weights_have_full_entropy_and_no_collapse),
        CLF_TEST(heads_and_tokens_above_the_threshold_are_counted),
        CLF_TEST(the_map_has_the_entropy_of_every_row),
        CLF_TEST(all_before_the_heads_is_a_batch),
        CLF_TEST(the_threshold_itself_is_no_collapse),
        CLF_TEST(one_key_and_no_key_have_defined_entropies),
        CLF_TEST(weights_that_are_no_attention_are_refused),
        CLF_TEST(gates_come_in_the_order_of_the_layers),
        CLF_TEST(gates_are_known_by_their_names),
        CLF_TEST(a_layer_with_two_names_is_one_layer),
        CLF_TEST(a_gate_for_each_channel_is_summed_up),
        CLF_TEST(more_gates_than_room_are_counted),
        CLF_TEST(gates_that_hold_no_numbers_are_refused),
        CLF_TEST(the_difference_is_that_of_two_runs),
        CLF_TEST(a_picture_is_a_visual_input),
        CLF_TEST(another_shape_without_the_picture_is_a_difference_of_1),
        CLF_TEST(a_closed_gate_is_blind),
        CLF_TEST(a_stack_ends_behind_a_layer),
        CLF_TEST(a_baseline_needs_a_visual_input),
    };

    return CLF_TEST_MAIN(tests);
}
