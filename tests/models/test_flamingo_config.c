/* Configurations and tensors of openflamingo and idefics: defaults, contradictions, what is refused. */
#include "flamingo_cases.h"

static void attention_of_tokens_is_of_the_perceivers_layer(void **state)
{
    clf_test *t = *state;
    const char *folder = "idefics_float";
    const clf_value vision = value_of(t, folder, "vision", -1);
    const clf_value text[] = { value_of(t, folder, "text", -1), value_of(t, folder, "media", -1) };
    clf_connector *c = NULL;
    clf_error err = { 0 };
    clf_tensor shape;
    const float *weights[2];
    const char *set = "attention_of=tokens";

    for (int32_t layer = 0; layer < 2; layer++) {
        weights[layer] = run(t, open_case(t, folder, set, layer), &vision, 1, "attention", &shape);
        assert_true(clf_shape_is(shape, CLF_DIMS(6, 4, 5, 12)));
        for (size_t row = 0; row < 6 * 4 * 5; row++) {
            double sum = 0;

            for (size_t k = 0; k < 12; k++)
                sum += (double)weights[layer][row * 12 + k];
            assert_true(fabs(sum - 1) < 1e-5);
        }
    }
    assert_false(same(weights[0], weights[1], 12));

    const float *hidden = run(t, open_case(t, folder, NULL, 1), text, 2, "hidden", NULL);
    assert_true(same(run(t, open_case(t, folder, set, 1), text, 2, "hidden", NULL), hidden, 3 * 6 * Dt));
    assert_int_equal(create(t, open_source(t, folder, NULL, 0), &set, 1, 2, &c, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "idefics: layer is 2; want 0 to 1: the checkpoint has 2 layers");
}

/* use_resampler counts at top level; the key of the same name in perceiver_config means nothing. */
static void a_perceiver_that_is_not_used_gives_no_tokens(void **state)
{
    static const char *const sets[] = { "use_resampler=false", "perceiver_config.use_resampler=true" };
    clf_test *t = *state;
    const char *folder = "idefics_float";
    const clf_value vision = value_of(t, folder, "vision", -1);
    clf_value out = { .name = "tokens" };
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(create(t, open_source(t, folder, NULL, 0), sets, 2, 0, &c, &err), CLF_OK);
    assert_int_equal(clf_connector_plan(c, NULL, 0, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "idefics: output is tokens; want one of hidden, attention");
    clf_connector_destroy(c);
    c = open_case(t, folder, "perceiver_config.use_resampler=false", 0);
    (void)run(t, c, &vision, 1, "tokens", NULL);
}

/* Idefics without a mask: every position sees every picture. */
static void a_missing_mask_is_all_ones(void **state)
{
    clf_test *t = *state;
    const char *folder = "idefics_float";
    uint8_t ones[3 * 6 * 2];
    const clf_value in[] = { value_of(t, folder, "text", -1),
                             value_of(t, folder, "media", -1),
                             { "cross_mask", clf_tensor_shape(CLF_BOOL, CLF_DIMS(3, 6, 2)), ones } };

    memset(ones, 1, sizeof ones);
    const float *with = run(t, open_case(t, folder, NULL, 0), in, 3, "hidden", NULL);
    close_to(run(t, open_case(t, folder, NULL, 0), in, 2, "hidden", NULL), with, 3 * 6 * Dt);
}

static void configurations_that_contradict_the_tensors_are_refused(void **state)
{
    static const struct {
        const char *folder, *set;
        clf_status status;
        const char *message;
    } cases[] = {
        { IMMEDIATE, "heads=3", CLF_BAD_FILE,
          "openflamingo: heads is 3; want a divisor of 16, the rows of the query weight" },
        { IMMEDIATE, "heads=0", CLF_BAD_FILE,
          "openflamingo: heads is 0; want a divisor of 16, the rows of the query weight" },
        { IMMEDIATE, "dim_head=64", CLF_BAD_FILE,
          "openflamingo: dim_head is 64; want 8, the rows of perceiver.layers.0.0.to_q.weight f32[16, 24] over 2 "
          "heads" },
        { IMMEDIATE, "activation=\"swiglu\"", CLF_UNSUPPORTED,
          "openflamingo: activation is swiglu; want gelu, gelu_pytorch_tanh, quick_gelu, silu, relu or relu2" },
        { IMMEDIATE, "attention_of=self", CLF_INVALID_ARGUMENT,
          "openflamingo: attention_of is self; want hidden or tokens" },
        { "openflamingo_perceiver", "attention_of=hidden", CLF_INVALID_ARGUMENT,
          "openflamingo: attention_of is hidden; want tokens" },
        { IMMEDIATE, "num_latents=64", CLF_BAD_FILE,
          "openflamingo: num_latents is 64; want 5, the rows of perceiver.latents" },
        { IMMEDIATE, "depth=6", CLF_BAD_FILE, "openflamingo: depth is 6; want 1, the layers of the perceiver" },
        { "idefics_float", "num_attention_heads=32", CLF_BAD_FILE,
          "idefics: num_attention_heads is 32; want a divisor of 28, the rows of the query weight" },
        { "idefics_float", "perceiver_config.resampler_head_dim=96", CLF_BAD_FILE,
          "idefics: perceiver_config.resampler_head_dim is 96; want 6, the rows of q_proj.weight over "
          "resampler_n_heads" },
        { "idefics_float", "perceiver_config.resampler_depth=6", CLF_BAD_FILE,
          "idefics: perceiver_config.resampler_depth is 6; want 2, the blocks of perceiver_resampler.blocks that the "
          "checkpoint has" },
        { "idefics_float", "perceiver_config.resampler_n_latents=64", CLF_BAD_FILE,
          "idefics: perceiver_config.resampler_n_latents is 64; want 5, the rows of perceiver_resampler.latents" },
        { "idefics_float", "perceiver_config.qk_layer_norms_perceiver=false", CLF_BAD_FILE,
          "idefics: perceiver_config.qk_layer_norms_perceiver is false; want true, as "
          "perceiver_resampler.blocks.0.0.q_layer_norm.weight is there" },
        { "idefics_float", "qk_layer_norms=false", CLF_BAD_FILE,
          "idefics: qk_layer_norms is false; want true, as gated_cross_attn_layers.0.cross_attn.q_layer_norm.weight is "
          "there" },
        { "idefics_vector_f16", "qk_layer_norms=true", CLF_BAD_FILE,
          "idefics: gated_cross_attn_layers.0.cross_attn.q_layer_norm.weight is missing; want it in edited" },
        { "idefics_float", "alpha_type=vector", CLF_BAD_FILE,
          "idefics: alpha_type is vector; want float, as gated_cross_attn_layers.0.alpha_cross_attn is f32[1]" },
        { "idefics_vector_f16", "alpha_type=float", CLF_BAD_FILE,
          "idefics: alpha_type is float; want vector, as gated_cross_attn_layers.0.alpha_cross_attn is f16[1, 1, 28]" },
        { "idefics_float", "cross_layer_interval=3", CLF_BAD_FILE,
          "idefics: cross_layer_interval is 3; want a divisor of num_hidden_layers 4" },
        { "idefics_float", "cross_layer_interval=4", CLF_BAD_FILE,
          "idefics: gated_cross_attn_layers.1 is there; want 1 gated layers, num_hidden_layers 4 over "
          "cross_layer_interval 4" },
        { "idefics_float", "vision_config.embed_dim=768", CLF_BAD_FILE,
          "idefics: vision_config.embed_dim is 768; want 24, the columns of perceiver_resampler.latents" },
        { "idefics_vector_f16", "vision_config.embed_dim=768", CLF_BAD_FILE,
          "idefics: vision_config.embed_dim is 768; want 24, the columns of cross_attn.k_proj.weight" },
        { "idefics_float", "hidden_size=4096", CLF_BAD_FILE,
          "idefics: hidden_size is 4096; want 28, the columns of cross_attn.q_proj.weight" },
        { "idefics_float", "intermediate_size=11008", CLF_BAD_FILE,
          "idefics: intermediate_size is 11008; want 20, the rows of mlp.gate_proj.weight" },
    };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_connector *c = NULL;
        clf_error err = { 0 };
        const clf_status status = create(t, open_source(t, cases[i].folder, NULL, 0), &cases[i].set, 1, 0, &c, &err);

        if (status != cases[i].status || strcmp(err.message, cases[i].message) != 0)
            fail_msg("%s: %s \"%s\"", cases[i].set, clf_status_name(status), status == CLF_OK ? "" : err.message);
        assert_null(c);
    }
}

static void tensors_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *folder;
        edit edits[2];
        size_t count;
        const char *message;
    } cases[] = {
        { "openflamingo_perceiver",
          { { "perceiver.", NULL, false } },
          1,
          "openflamingo: perceiver.latents and lang_encoder.LAYERS.{i}.gated_cross_attn_layer.attn.to_q.weight are "
          "missing; want a perceiver or gated layers in edited" },
        { "openflamingo_perceiver",
          { { "perceiver.layers.0.0.to_q", "perceiver.x", false } },
          1,
          "openflamingo: perceiver.layers.0.0.to_q.weight is missing; want at least one layer beside "
          "perceiver.latents" },
        { "openflamingo_perceiver",
          { { "perceiver.layers.0.0.to_kv", NULL, false },
            { "perceiver.layers.0.0.to_out", "perceiver.layers.0.0.to_kv", true } },
          2,
          "openflamingo: perceiver.layers.0.0.to_kv.weight is f32[24, 16]; want 32 rows, twice those of to_q" },
        { IMMEDIATE,
          { { STEM "1.gated_cross_attn_layer.attn_gate", NULL, false } },
          1,
          "openflamingo: " STEM "1.gated_cross_attn_layer.attn_gate is missing; want it in edited" },
        { IMMEDIATE,
          { { STEM "1.gated_cross_attn_layer.attn_gate", NULL, false },
            { "perceiver.norm.bias", STEM "1.gated_cross_attn_layer.attn_gate", true } },
          2,
          "openflamingo: " STEM "1.gated_cross_attn_layer.attn_gate is f32[24]; want [1] or [1, 1, 28]" },
        { "openflamingo_perceiver",
          { { "perceiver.layers.0.0.to_out.weight", "perceiver.frame_embs", true } },
          1,
          "openflamingo: perceiver.frame_embs is f32[24, 16]; want [rows, 24], as perceiver.latents has columns" },
        { IMMEDIATE,
          { { "perceiver.latents", NULL, false } },
          1,
          "openflamingo: perceiver.latents is missing; want it in edited" },
        { "idefics_float",
          { { "perceiver_resampler.latents", NULL, false } },
          1,
          "idefics: perceiver_resampler.latents is missing; want it in edited" },
        { "idefics_float",
          { { "gated_cross_attn_layers.", NULL, false }, { "perceiver_resampler.", NULL, false } },
          2,
          "idefics: gated_cross_attn_layers.0.cross_attn.q_proj.weight is missing; want gated layers, or use_resampler "
          "true and perceiver_resampler.latents" },
    };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_connector *c = NULL;
        clf_error err = { 0 };
        const clf_status status =
            create(t, open_source(t, cases[i].folder, cases[i].edits, cases[i].count), NULL, 0, 0, &c, &err);

        if (status != CLF_BAD_FILE || strcmp(err.message, cases[i].message) != 0)
            fail_msg("case %zu: %s \"%s\"", i, clf_status_name(status), status == CLF_OK ? "" : err.message);
        assert_null(c);
    }
}

/* Gates without dimensions, which files in memory can have. */
static clf_status find_scalars(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    const size_t length = strlen(name);

    if (edited_find(self, name, t, err) != CLF_OK)
        return err->status;
    if (length > 5 && strcmp(name + length - 5, "_gate") == 0 && t->rank == 1)
        t->rank = 0;
    return CLF_OK;
}

/* The last of no dimensions was read once. */
static void a_gate_may_be_a_scalar(void **state)
{
    clf_test *t = *state;
    edited_source *s = open_source(t, IMMEDIATE, NULL, 0);
    clf_connector *c = NULL;
    clf_error err = { 0 };
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    s->source.find = find_scalars;
    if (create(t, s, NULL, 0, 0, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_true(same(run(t, c, in, 3, "hidden", NULL), want, B * T * Dt));
}

/* A lone file has no configuration: heads 8, the last picture alone. */
static void without_a_configuration_the_defaults_of_openflamingo_hold(void **state)
{
    static const char *const sets[] = { "media_token_id=7" };
    clf_test *t = *state;
    clf_connector_options options = clf_connector_options_default();
    edited_source *s = open_source(t, IMMEDIATE, NULL, 0);
    clf_connector *c = NULL;
    clf_error err = { 0 };
    clf_value in[3];

    inputs_of_immediate(t, in);
    options.family = "openflamingo";
    options.sets = sets;
    options.set_count = 1;
    if (clf_connector_create(t->ctx, &s->source, NULL, 0, &options, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_checkpoint_close(s->checkpoint);
    const float *got = run(t, c, in, 3, "hidden", NULL);

    s = open_source(t, IMMEDIATE, NULL, 0);
    s->json =
        "{\"model_type\": \"openflamingo\", \"heads\": 8, \"dim_head\": 2, \"only_attend_immediate_media\": true, "
        "\"media_token_id\": 7, \"activation\": \"gelu\"}";
    s->json_bytes = strlen(s->json);
    assert_int_equal(create(t, s, NULL, 0, 0, &c, &err), CLF_OK);
    assert_true(same(run(t, c, in, 3, "hidden", NULL), got, B * T * Dt));
}

/* Heads and eps of transformers' configuration class. */
static void missing_keys_of_idefics_have_their_defaults(void **state)
{
    static const char *const json[] = { "{\"model_type\": \"idefics\"}",
                                        "{\"model_type\": \"idefics\", \"use_resampler\": true}" };
    static const char *const messages[] = {
        "idefics: num_attention_heads is 32; want a divisor of 28, the rows of the query weight",
        "idefics: perceiver_config.resampler_n_heads is 16; want a divisor of 24, the rows of the query weight",
    };
    clf_test *t = *state;
    const char *folder = "idefics_float";
    const clf_value in[] = { value_of(t, folder, "text", -1), value_of(t, folder, "media", -1) };

    for (size_t i = 0; i < CLF_COUNT(json); i++) {
        edited_source *s = open_source(t, folder, NULL, 0);
        clf_connector *c = NULL;
        clf_error err = { 0 };

        s->json = json[i];
        s->json_bytes = strlen(json[i]);
        assert_int_equal(create(t, s, NULL, 0, 0, &c, &err), CLF_BAD_FILE);
        assert_string_equal(err.message, messages[i]);
    }
    const float *plain = run(t, open_case(t, folder, NULL, 0), in, 2, "hidden", NULL);
    const float *set = run(t, open_case(t, folder, "rms_norm_eps=1e-6", 0), in, 2, "hidden", NULL);
    const float *other = run(t, open_case(t, folder, "rms_norm_eps=1e-4", 0), in, 2, "hidden", NULL);

    assert_true(same(plain, set, 3 * 6 * Dt));
    assert_false(same(plain, other, 3 * 6 * Dt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(attention_of_tokens_is_of_the_perceivers_layer),
        CLF_TEST(a_perceiver_that_is_not_used_gives_no_tokens),
        CLF_TEST(a_missing_mask_is_all_ones),
        CLF_TEST(configurations_that_contradict_the_tensors_are_refused),
        CLF_TEST(tensors_that_do_not_fit_are_refused),
        CLF_TEST(a_gate_may_be_a_scalar),
        CLF_TEST(missing_keys_of_idefics_have_their_defaults),
        CLF_TEST(without_a_configuration_the_defaults_of_openflamingo_hold),
    };

    return CLF_TEST_MAIN(tests);
}
