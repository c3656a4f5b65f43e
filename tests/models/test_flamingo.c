/* openflamingo and idefics: what the cases of tests/data cannot show. */
#include "flamingo_cases.h"
#include "models/connector.h"
#include "models/example.h"
#include "walk.h"

/* ---- where gated layers stand ---- */

static void layers_count_in_the_order_of_the_model_not_of_their_names(void **state)
{
    static const edit edits[] = { { STEM "1.", STEM "10.", false }, { STEM "3.", STEM "9.", false } };
    clf_test *t = *state;
    clf_value in[3];
    float *plain[2];

    inputs_of_immediate(t, in);
    for (int32_t layer = 0; layer < 2; layer++)
        plain[layer] = run(t, open_case(t, IMMEDIATE, NULL, layer), in, 3, "hidden", NULL);
    assert_false(same(plain[0], plain[1], B * T * Dt));
    for (int32_t layer = 0; layer < 2; layer++) {
        clf_connector *c = open_edited(t, IMMEDIATE, edits, 2, NULL, layer);

        assert_true(same(run(t, c, in, 3, "hidden", NULL), plain[1 - layer], B * T * Dt));
    }
}

static void layers_are_found_wherever_a_state_dict_has_them(void **state)
{
    static const char *const stems[][2] = {
        { "lang_encoder.gpt_neox.layers.1.gated_cross_attn_layer.",
          "lang_encoder.gpt_neox.layers.3.gated_cross_attn_layer." },
        { "lang_encoder.model.layers.1.gated_cross_attn_layer.",
          "lang_encoder.model.layers.3.gated_cross_attn_layer." },
        { "lang_encoder.model.decoder.layers.1.gated_cross_attn_layer.",
          "lang_encoder.model.decoder.layers.3.gated_cross_attn_layer." },
        { "lang_encoder.transformer.h.0.gated_cross_attn_layer.",
          "lang_encoder.transformer.h.1.gated_cross_attn_layer." },
        { "lang_encoder.gated_cross_attn_layers.1.", "lang_encoder.gated_cross_attn_layers.3." },
        { "lang_encoder.old_decoder_blocks.1.gated_cross_attn_layer.",
          "lang_encoder.old_decoder_blocks.3.gated_cross_attn_layer." },
        { "flamingo.lm.h.0.xattn_block.", "flamingo.lm.h.2.xattn_block." },
        { "model.lang_encoder.model.layers.1.gated_cross_attn_layer.",
          "model.lang_encoder.model.layers.3.gated_cross_attn_layer." },
    };
    clf_test *t = *state;
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 1), in, 3, "hidden", NULL);

    for (size_t i = 0; i < CLF_COUNT(stems); i++) {
        const edit edits[] = { { STEM "1.gated_cross_attn_layer.", stems[i][0], false },
                               { STEM "3.gated_cross_attn_layer.", stems[i][1], false } };
        clf_connector *c = open_edited(t, IMMEDIATE, edits, 2, NULL, 1);

        if (!same(run(t, c, in, 3, "hidden", NULL), want, B * T * Dt))
            fail_msg("%s gives another result", stems[i][1]);
    }
}

/* The decoder's layers count, whatever numbers copies of them have elsewhere. */
static void tensors_that_stand_there_twice_are_one_layer(void **state)
{
    static const edit edits[] = {
        { STEM "1.gated_cross_attn_layer.", "lang_encoder.gated_cross_attn_layers.0.", true },
        { STEM "3.gated_cross_attn_layer.", "lang_encoder.old_decoder_blocks.2.gated_cross_attn_layer.", true },
    };
    clf_test *t = *state;
    clf_connector *c = NULL;
    clf_error err = { 0 };
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 1), in, 3, "hidden", NULL);

    c = open_edited(t, IMMEDIATE, edits, 2, NULL, 1);
    assert_true(same(run(t, c, in, 3, "hidden", NULL), want, B * T * Dt));
    assert_int_equal(create(t, open_source(t, IMMEDIATE, edits, 2), NULL, 0, 2, &c, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "openflamingo: layer is 2; want 0 to 1: the checkpoint has 2 layers");
}

static void all_layers_serve_programs_and_layer_0_the_outputs(void **state)
{
    clf_test *t = *state;
    clf_connector *c = open_case(t, IMMEDIATE, NULL, CLF_ALL_LAYERS);
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    assert_int_equal(clf_cross_attention_layers(clf_connector_cross_attention(c)), 2);
    close_to(run(t, c, in, 3, "hidden", NULL), want, B * T * Dt);
    c = open_case(t, IMMEDIATE, NULL, 1);
    assert_int_equal(clf_cross_attention_layers(clf_connector_cross_attention(c)), 1);
    clf_connector_destroy(c);
    c = open_case(t, "openflamingo_perceiver", NULL, 0);
    assert_null(clf_connector_cross_attention(c));
    clf_connector_destroy(c);
}

static void either_part_works_alone(void **state)
{
    static const edit no_perceiver = { "perceiver.", NULL, false }, no_text = { "lang_encoder.", NULL, false };
    clf_test *t = *state;
    const clf_value vision = value_of(t, IMMEDIATE, "vision", -1);
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *hidden = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);
    const float *tokens = run(t, open_case(t, IMMEDIATE, NULL, 0), &vision, 1, "tokens", NULL);
    clf_connector *c = open_edited(t, IMMEDIATE, &no_perceiver, 1, NULL, 0);

    assert_true(same(run(t, c, in, 3, "hidden", NULL), hidden, B * T * Dt));
    refused(open_edited(t, IMMEDIATE, &no_perceiver, 1, NULL, 0), &vision, 1, "tokens", CLF_INVALID_ARGUMENT,
            "openflamingo: input is vision; want one of text, media, text_ids, cross_mask");
    c = open_edited(t, IMMEDIATE, &no_text, 1, NULL, 0);
    assert_true(same(run(t, c, &vision, 1, "tokens", NULL), tokens, B * I * M * Dv));
}

/* ---- what a position sees ---- */

/* In immediate mode a position sees its last picture alone: what is not a number in the others does not reach it. */
static void pictures_that_are_not_seen_may_hold_nan(void **state)
{
    static const int visible[T] = { 0, 0, 0, 1, 1, 1, 1, 1, 1 }; /* text 1 has its <image> at 3 */
    clf_test *t = *state;
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);
    float *media = in[1].host;

    for (size_t i = 0; i < (size_t)M * Dv; i++) /* picture 2 of text 1 */
        media[((size_t)1 * I + 1) * M * Dv + i] = NAN;
    const float *got = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    assert_true(same(got + T * Dt, want + T * Dt, T * Dt));
    for (size_t i = 0; i < (size_t)M * Dv; i++)
        media[((size_t)1 * I) * M * Dv + i] = NAN; /* picture 1 too: rows before it do not mind */
    got = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);
    for (size_t row = 0; row < T; row++)
        assert_int_equal(isnan(got[(T + row) * Dt]) != 0, visible[row]);
}

static void more_media_tokens_than_pictures_see_all_alike(void **state)
{
    clf_test *t = *state;
    clf_tensor shape;
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *weights = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "attention", &shape);

    assert_true(clf_shape_is(shape, CLF_DIMS(B, 2, T, I * M)));
    for (size_t k = 0; k < I * M; k++) { /* text 2 has <image> at 1, 2 and 6 */
        assert_true(weights[((2 * 2) * T + 8) * I * M + k] == 0.1F);
        assert_true(weights[((2 * 2) * T + 0) * I * M + k] == 0.0F);
    }
}

/* A step of decoding has the time of the whole prompt, as the prompt's last row has. */
static void a_cached_step_is_the_prompts_last_row(void **state)
{
    clf_test *t = *state;
    clf_value in[3];

    for (int mode = 0; mode < 2; mode++) {
        const char *set = mode == 0 ? "only_attend_immediate_media=true" : "only_attend_immediate_media=false";
        float last[B * Dt], want[B * Dt];

        inputs_of_immediate(t, in);
        const float *prefill = run(t, open_case(t, IMMEDIATE, set, 0), in, 3, "hidden", NULL);

        for (size_t b = 0; b < B; b++) {
            memcpy(last + b * Dt, (float *)in[0].host + (b * T + T - 1) * Dt, Dt * sizeof(float));
            memcpy(want + b * Dt, prefill + (b * T + T - 1) * Dt, Dt * sizeof(float));
        }
        in[0] = (clf_value){ "text", clf_tensor_shape(CLF_F32, CLF_DIMS(B, 1, Dt)), last };
        close_to(run(t, open_case(t, IMMEDIATE, set, 0), in, 3, "hidden", NULL), want, B * Dt);
    }
}

/* use_cached_media: a prompt as long as the new rows is still a prompt. */
static void as_many_new_rows_as_a_prompt_need_the_configuration_to_say_so(void **state)
{
    clf_test *t = *state;
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *text = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);
    const float *step = run(t, open_case(t, IMMEDIATE, "use_cached_media=true", 0), in, 3, "hidden", NULL);

    assert_false(same(text + T * Dt, step + T * Dt, Dt)); /* text 1 begins before its picture */
    close_to(step + (T + T - 1) * Dt, text + (T + T - 1) * Dt, Dt);
}

/* The groups of text_ids as a finished mask. */
static void a_cross_mask_says_what_text_ids_say(void **state)
{
    clf_test *t = *state;
    clf_value in[3];
    uint8_t mask[B * T * I];

    inputs_of_immediate(t, in);
    const int64_t *ids = in[2].host;

    for (size_t b = 0; b < B; b++) {
        int time = 0;

        for (size_t row = b * T; row < (b + 1) * T; row++) {
            time += ids[row] == 7;
            for (int i = 0; i < I; i++)
                mask[row * I + (size_t)i] = time == i + 1;
        }
    }
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    in[2] = (clf_value){ "cross_mask", clf_tensor_shape(CLF_U8, CLF_DIMS(B, T, I)), mask };
    const float *got = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    close_to(got, want, (2 * T + 6) * Dt); /* from there on text 2 has more <image> tokens than pictures */
}

static void a_text_without_its_batch_may_have_pictures(void **state)
{
    clf_test *t = *state;
    clf_tensor shape;
    clf_value in[3];

    inputs_of_immediate(t, in);
    const float *want = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    in[0] = value_of(t, IMMEDIATE, "text", 1);
    in[1] = value_of(t, IMMEDIATE, "media", 1); /* [I, M, Dv] */
    in[2] = value_of(t, IMMEDIATE, "text_ids", 1);
    const float *got = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", &shape);

    assert_true(clf_shape_is(shape, CLF_DIMS(T, Dt)));
    close_to(got, want + T * Dt, T * Dt);
}

static void nothing_to_see_and_nobody_to_look_are_fine(void **state)
{
    static float text[2 * Dt];
    static int64_t ids[2] = { 7, 1 }, mask[6] = { 1, 1, 1, 1, 1, 1 };
    clf_test *t = *state;
    clf_value in[] = { { "text", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 2, Dt)), text },
                       { "media", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0, M, Dv)), NULL },
                       { "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(1, 2)), ids } };
    clf_tensor shape;

    for (size_t i = 0; i < CLF_COUNT(text); i++)
        text[i] = (float)clf_test_random(t);
    const float *none = run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL);

    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 0, Dv)); /* pictures without tokens */
    assert_true(same(run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL), none, 2 * Dt));
    in[2] = (clf_value){ "cross_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(1, 2, 3)), mask };
    assert_true(same(run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", NULL), none, 2 * Dt));
    in[0].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0, Dt));
    in[2] = (clf_value){ "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(1, 0)), ids };
    in[1] = value_of(t, IMMEDIATE, "media", 0);
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, I, M, Dv));
    (void)run(t, open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", &shape);
    assert_true(clf_shape_is(shape, CLF_DIMS(1, 0, Dt)));
}

static void inputs_that_do_not_say_what_is_seen_are_refused(void **state)
{
    clf_test *t = *state;
    clf_value in[4];
    clf_error err = { 0 };
    clf_connector *c = NULL;

    inputs_of_immediate(t, in);
    refused(open_case(t, IMMEDIATE, NULL, 0), in, 2, "hidden", CLF_INVALID_ARGUMENT,
            "openflamingo: text_ids is missing; want text_ids or cross_mask for the 2 pictures of media");
    in[3] = (clf_value){ "cross_mask", clf_tensor_shape(CLF_U8, CLF_DIMS(B, T, I)), NULL };
    refused(open_case(t, IMMEDIATE, NULL, 0), in, 4, "hidden", CLF_INVALID_ARGUMENT,
            "openflamingo: text_ids and cross_mask are given; want one of them");
    in[2] = in[3];
    in[2].tensor.dim[2] = I + 1;
    refused(open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", CLF_INVALID_ARGUMENT,
            "openflamingo: cross_mask is u8[3, 9, 3]; want I of 2, as media has");
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(B, M, Dv)); /* one picture a text */
    refused(open_case(t, IMMEDIATE, NULL, 0), in, 3, "hidden", CLF_INVALID_ARGUMENT,
            "openflamingo: I of cross_mask is 3; want 1, as media says");
    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(B + 1, I, M, Dv));
    refused(open_case(t, IMMEDIATE, NULL, 0), in, 2, "hidden", CLF_INVALID_ARGUMENT,
            "openflamingo: media is f32[4, 2, 5, 24]; want B of 3, as text has");

    /* Without a configuration nobody knows the media token. */
    edited_source *s = open_source(t, IMMEDIATE, NULL, 0);
    s->json = "{\"model_type\": \"openflamingo\", \"heads\": 2}";
    s->json_bytes = strlen(s->json);
    inputs_of_immediate(t, in);
    assert_int_equal(create(t, s, NULL, 0, 0, &c, &err), CLF_OK);
    refused(c, in, 3, "hidden", CLF_INVALID_ARGUMENT,
            "openflamingo: media_token_id is missing; want it in the configuration to read text_ids");
}

/* ---- vision ---- */

static void frames_and_pictures_need_their_embeddings(void **state)
{
    static const edit edits[] = { { "perceiver.frame_embs", NULL, false },
                                  { "perceiver.media_time_embs", NULL, false } };
    clf_test *t = *state;
    clf_value vision = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(2, 4, Dv)), NULL };
    const char *folder = "openflamingo_frames_bf16";

    for (size_t i = 0; i < 2; i++) /* either of the tables is enough */
        refused(open_edited(t, folder, &edits[i], 1, NULL, 0), &vision, 1, "tokens", CLF_INVALID_ARGUMENT,
                "openflamingo: vision is f32[2, 4, 24]; want [B, I, F, N, 24] or [I, F, N, 24]");
    vision.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 4, 4, 2, Dv));
    refused(open_case(t, folder, NULL, 0), &vision, 1, "tokens", CLF_INVALID_ARGUMENT,
            "openflamingo: vision is f32[1, 4, 4, 2, 24]; want at most 3 frames, the rows of perceiver.frame_embs");
    vision.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 3, 2, Dv));
    refused(open_case(t, folder, NULL, 0), &vision, 1, "tokens", CLF_INVALID_ARGUMENT,
            "openflamingo: vision is f32[1, 5, 3, 2, 24]; want at most 4 pictures, the rows of "
            "perceiver.media_time_embs");
}

/* flamingo-pytorch calls the table of pictures media_pos_emb; passed over, it would change the tokens without a word. */
static void a_table_of_pictures_has_two_names(void **state)
{
    static const edit edits[] = { { "perceiver.media_time_embs", "perceiver.media_pos_emb", false } };
    clf_test *t = *state;
    const char *folder = "openflamingo_frames_bf16";
    const clf_value vision = value_of(t, folder, "vision", -1);
    clf_tensor shape;
    const float *want = run(t, open_case(t, folder, NULL, 0), &vision, 1, "tokens", &shape);
    const float *got = run(t, open_edited(t, folder, edits, 1, NULL, 0), &vision, 1, "tokens", NULL);

    assert_true(same(got, want, (size_t)clf_element_count(shape)));
}

/* Without embeddings a picture of a text and a picture of its own are the same. */
static void pictures_of_texts_are_pictures_as_rows(void **state)
{
    clf_test *t = *state;
    clf_value vision = value_of(t, IMMEDIATE, "vision", -1); /* [6, 4, Dv] */
    clf_tensor shape;
    const float *rows = run(t, open_case(t, IMMEDIATE, NULL, 0), &vision, 1, "tokens", &shape);

    assert_true(clf_shape_is(shape, CLF_DIMS(B * I, M, Dv)));
    vision.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(B, I, 2, 2, Dv)); /* two frames of two rows */
    const float *texts = run(t, open_case(t, IMMEDIATE, NULL, 0), &vision, 1, "tokens", &shape);

    assert_true(clf_shape_is(shape, CLF_DIMS(B, I, M, Dv)));
    assert_true(same(texts, rows, B * I * M * Dv));
    (void)run(t, open_case(t, IMMEDIATE, "attention_of=tokens", 0), &vision, 1, "attention", &shape);
    assert_true(clf_shape_is(shape, CLF_DIMS(B, I, 2, M, 4 + M)));
}

/* ---- what a connector says of itself ---- */

static void operations_are_counted(void **state)
{
    /* A latent: to_out, feed-forward (what it asks and answers in the first layer is made with the module); a row of
     * vision: to_kv; a pair: scores and values. */
    const uint64_t latent = 16 * 24 + 2 * 24 * 96, context = 24 * 32, pair = 2 * 16;
    const uint64_t rows = 28 * 16 + 16 * 28 + 2 * 28 * 56, media = 24 * 32;
    clf_test *t = *state;
    const clf_value vision = value_of(t, "openflamingo_perceiver", "vision", -1); /* [3, 7, 24] */
    const clf_value tokens = { .name = "tokens" }, hidden = { .name = "hidden" };
    clf_connector *c = open_case(t, "openflamingo_perceiver", NULL, 0);
    clf_value in[3];

    assert_int_equal(clf_connector_flop(c, &vision, 1, &tokens, 1), 2 * 3 * (5 * latent + 7 * context + 5 * 12 * pair));
    clf_connector_destroy(c);
    c = open_case(t, IMMEDIATE, NULL, 0);
    inputs_of_immediate(t, in);
    assert_int_equal(clf_connector_flop(c, in, 3, &hidden, 1), 2 * B * (T * rows + I * M * media + T * I * M * pair));
    clf_connector_destroy(c);
}

/* weight_bytes are those on the device: channel gates turn the weight before them into f32, context weights that
 * latents meet too lie there twice, and what the first layer asks stands in place of its weight. */
static void bytes_are_those_on_the_device(void **state)
{
    const uint64_t gated = 2 * (28 * 28 + 2 * 28 * 24 + 2 * 20 * 28) + 4 * (28 * 28 + 28 * 20 + 2 * 28);
    const uint64_t layer = 2 * (24 * 48 + 24 * 24 + 2 * 24 * 96) + 4 * 6 * 24, asked = 4 * 5 * (24 + 48);
    const uint64_t second = 2 * (24 * 24 + 24 * 48), first_norm = 4 * 2 * 24;
    const uint64_t tables = 4 * 24 * (3 + 4 + 5 + 2); /* frames, pictures, latents, the last norm */
    clf_connector *c = open_case(*state, "idefics_vector_f16", NULL, 0);

    assert_int_equal(clf_connector_describe(c).weight_bytes, gated);
    assert_int_equal(clf_connector_describe(c).parameters, 2 * 28 * 28 + 2 * 28 * 24 + 3 * 20 * 28 + 4 * 28);
    clf_connector_destroy(c);
    c = open_case(*state, "openflamingo_frames_bf16", NULL, 0);
    assert_int_equal(clf_connector_describe(c).weight_bytes, tables + 2 * layer - first_norm + asked + second);
    clf_connector_destroy(c);
}

/* `inspect` gives FLOP of an example call for every output. */
static void every_output_has_an_example(void **state)
{
    static const char *const folders[] = { IMMEDIATE,       "openflamingo_perceiver", "openflamingo_cached",
                                           "idefics_float", "idefics_vector_f16",     "openflamingo_frames_bf16" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(folders); i++) {
        clf_connector *c = open_case(t, folders[i], NULL, 0);
        const clf_connector_info info = clf_connector_describe(c);

        for (size_t o = 0; o < info.output_count; o++) {
            clf_example example;
            clf_error err = { 0 };

            if (clf_connector_example(c, o, &example, &err) != CLF_OK)
                fail_msg("%s, %s: %s", folders[i], info.outputs[o].name, err.message);
            assert_true(example.flop > 0);
        }
        clf_connector_destroy(c);
    }
}

static void shapes_are_told(void **state)
{
    clf_test *t = *state;
    clf_connector *c = open_case(t, IMMEDIATE, NULL, 0);
    const clf_connector_info info = clf_connector_describe(c);
    const char *const want[] = { "[B, N, 24] or [B, I, F, N, 24]", "[B, T, 28]", "[B, I, M, 24] or [B, M, 24]",
                                 "[B, T]", "[B, T, I]" };

    assert_string_equal(info.family, "openflamingo");
    assert_int_equal(info.input_count, CLF_COUNT(want));
    for (size_t i = 0; i < CLF_COUNT(want); i++)
        assert_string_equal(info.inputs[i].shape, want[i]);
    assert_string_equal(info.outputs[0].shape, "[B, I, 5, 24] or [B, 5, 24]");
    assert_string_equal(info.outputs[1].shape, "[B, T, 28]");
    assert_string_equal(info.outputs[2].shape, "[B, 2, T, I*M]");
    assert_string_equal(info.inputs[3].taken_by, "hidden attention");
    clf_connector_destroy(c);
}

/* ---- failures ---- */

typedef struct all_outputs {
    float tokens[B * I * M * Dv], hidden[B * T * Dt], attention[B * 2 * T * I * M];
} all_outputs;

typedef struct call {
    clf_connector *c;
    clf_value in[4];
    all_outputs out;
} call;

static clf_status run_all(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    call *k = user;
    const clf_value out[] = {
        { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(B * I, M, Dv)), k->out.tokens },
        { "hidden", clf_tensor_shape(CLF_F32, CLF_DIMS(B, T, Dt)), k->out.hidden },
        { "attention", clf_tensor_shape(CLF_F32, CLF_DIMS(B, 2, T, I * M)), k->out.attention },
    };

    (void)t;
    return clf_connector_run(s, k->c, k->in, 4, out, CLF_COUNT(out), err);
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    call *k = clf_test_memory(t, sizeof *k);
    clf_walk w = { "openflamingo", run_all, k, &k->out, sizeof k->out, .outputs = 3 };

    k->c = open_case(t, IMMEDIATE, NULL, 0);
    inputs_of_immediate(t, k->in);
    k->in[3] = value_of(t, IMMEDIATE, "vision", -1);
    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 10 : 100));
    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 0 : 5));
    clf_connector_destroy(k->c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(layers_count_in_the_order_of_the_model_not_of_their_names),
        CLF_TEST(layers_are_found_wherever_a_state_dict_has_them),
        CLF_TEST(tensors_that_stand_there_twice_are_one_layer),
        CLF_TEST(all_layers_serve_programs_and_layer_0_the_outputs),
        CLF_TEST(either_part_works_alone),
        CLF_TEST(pictures_that_are_not_seen_may_hold_nan),
        CLF_TEST(more_media_tokens_than_pictures_see_all_alike),
        CLF_TEST(a_cached_step_is_the_prompts_last_row),
        CLF_TEST(as_many_new_rows_as_a_prompt_need_the_configuration_to_say_so),
        CLF_TEST(a_cross_mask_says_what_text_ids_say),
        CLF_TEST(a_text_without_its_batch_may_have_pictures),
        CLF_TEST(nothing_to_see_and_nobody_to_look_are_fine),
        CLF_TEST(inputs_that_do_not_say_what_is_seen_are_refused),
        CLF_TEST(frames_and_pictures_need_their_embeddings),
        CLF_TEST(a_table_of_pictures_has_two_names),
        CLF_TEST(pictures_of_texts_are_pictures_as_rows),
        CLF_TEST(operations_are_counted),
        CLF_TEST(bytes_are_those_on_the_device),
        CLF_TEST(every_output_has_an_example),
        CLF_TEST(shapes_are_told),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
