/* Mllama: what its cases in tests/data cannot show. */
#include "data_case.h"

#define NO_MASK "mllama_no_mask" /* the same without cross_mask */
#define BASIC "mllama_basic"     /* B 1, T 5, one picture of two tiles, 5 tokens each; layers 1 and 3 */

enum { T = 5, DT = 32, K = 10, H = 4 };

static void the_layer_is_the_kth_in_the_order_of_the_model(void **state)
{
    static const char *const sets[] = { NULL, "text_config.cross_attention_layers=[3, 1]",
                                        "text_config.cross_attention_layers=null" };
    clf_test *t = *state;
    const clf_value in[] = { case_input(t, BASIC, "text"), case_input(t, BASIC, "media"),
                             case_input(t, BASIC, "cross_mask") };

    for (size_t i = 0; i < CLF_COUNT(sets); i++) {
        clf_connector *c = case_open(t, BASIC, sets[i], 1);

        case_close(t, case_run(t, c, in, 3, "hidden"), case_array(t, BASIC, "layer1_hidden", "hidden"));
        case_close(t, case_run(t, c, in, 3, "attention"), case_array(t, BASIC, "layer1_attention", "attention"));
        clf_connector_destroy(c);
    }
}

static void layers_that_are_not_there_are_refused(void **state)
{
    clf_test *t = *state;

    case_refused(t, BASIC, NULL, 2, "mllama: layer is 2; want 0 to 1: the checkpoint has 2 layers");
    case_refused(t, BASIC, "text_config.cross_attention_layers=[2]", 0,
                 "mllama: language_model.model.layers.2.cross_attn.q_proj.weight is missing; want it in "
                 "model.safetensors");
    case_refused(t, BASIC, "text_config.cross_attention_layers=[-1]", 0,
                 "mllama: text_config.cross_attention_layers has -1; want 0 to 1023");
}

static void a_configuration_that_contradicts_the_tensors_is_refused(void **state)
{
    clf_test *t = *state;

    case_refused(t, BASIC, "text_config.num_attention_heads=8", 0,
                 "mllama: text_config.num_attention_heads is 8; want 4, the rows of q_proj over q_norm's");
    case_refused(t, BASIC, "text_config.num_key_value_heads=4", 0,
                 "mllama: text_config.num_key_value_heads is 4; want 2, the rows of k_proj over k_norm's");
    case_refused(t, BASIC, "text_config.hidden_size=64", 0,
                 "mllama: text_config.hidden_size is 64; want 32, the columns of q_proj.weight");
    case_refused(t, BASIC, "text_config.intermediate_size=64", 0,
                 "mllama: text_config.intermediate_size is 64; want 48, the rows of up_proj");
    case_refused(t, BASIC, "vision_config.vision_output_dim=7680", 0,
                 "mllama: vision_config.vision_output_dim is 7680; want 40, the columns of "
                 "multi_modal_projector.weight");
    case_refused(
        t, BASIC, "text_config.hidden_act=\"sine\"", 0,
        "mllama: text_config.hidden_act is sine; want gelu, gelu_pytorch_tanh, quick_gelu, silu, relu or relu2");
}

static clf_value reshaped(clf_value v, clf_dims dims)
{
    v.tensor = clf_tensor_shape(v.tensor.dtype, dims);
    return v;
}

static void all_forms_of_media_give_the_same_bits(void **state)
{
    static const clf_dims forms[] = {
        { 3, { 1, K, DT } }, { 4, { 1, 1, K, DT } }, { 3, { 2, 5, DT } }, { 2, { K, DT } }
    };
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    const clf_value media = case_input(t, BASIC, "media");
    clf_value in[] = { case_input(t, BASIC, "text"), media, case_input(t, BASIC, "cross_mask") };
    const float *want = NULL;

    for (size_t i = 0; i < CLF_COUNT(forms); i++) {
        in[1] = reshaped(media, forms[i]);
        const float *got = case_run(t, c, in, 3, "hidden");

        want = want != NULL ? want : got;
        assert_memory_equal(got, want, T * DT * sizeof *got);
    }
    clf_connector_destroy(c);
}

/* [T, I, tiles] has as many dimensions as [B, T, I]; without its batch the output is without. */
static void the_batch_may_be_left_out_of_every_input(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    const clf_value text = case_input(t, BASIC, "text"), media = case_input(t, BASIC, "media");
    const clf_value mask = case_input(t, BASIC, "cross_mask");
    const clf_value in[] = { text, media, mask },
                    small[] = { reshaped(text, CLF_DIMS(T, DT)), media, reshaped(mask, CLF_DIMS(T, 1, 2)) };
    const clf_value columns[] = { small[0], reshaped(media, CLF_DIMS(K, DT)), reshaped(mask, CLF_DIMS(T, 2)) };
    clf_value out = { .name = "hidden" };
    const float *want = case_run(t, c, in, 3, "hidden");

    assert_memory_equal(case_run(t, c, small, 3, "hidden"), want, T * DT * sizeof *want);
    assert_memory_equal(case_run(t, c, columns, 3, "hidden"), want, T * DT * sizeof *want);
    assert_int_equal(clf_connector_plan(c, small, 3, &out, 1, NULL), CLF_OK);
    assert_int_equal(out.tensor.rank, 2);
    clf_connector_destroy(c);
}

static void a_mask_of_ones_is_no_mask(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    uint8_t ones[T * 2];
    const clf_value in[] = { case_input(t, BASIC, "text"),
                             case_input(t, BASIC, "media"),
                             { "cross_mask", clf_tensor_shape(CLF_BOOL, CLF_DIMS(1, T, 1, 2)), ones } };

    memset(ones, 1, sizeof ones);
    assert_memory_equal(case_run(t, c, in, 3, "hidden"), case_run(t, c, in, 2, "hidden"), T * DT * sizeof(float));
    assert_memory_equal(case_run(t, c, in, 3, "attention"), case_run(t, c, in, 2, "attention"),
                        H * T * K * sizeof(float));
    clf_connector_destroy(c);
}

static void tiles_of_a_picture_that_are_alike_are_one_column(void **state)
{
    static const uint8_t columns[] = { 1, 0, 0, 1, 0, 0, 1, 1, 0, 1 };
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    uint8_t tiles[sizeof columns * 5];
    const clf_value text = case_input(t, BASIC, "text"), media = case_input(t, BASIC, "media");
    const clf_value by_picture[] = {
        text, media, { "cross_mask", clf_tensor_shape(CLF_U8, CLF_DIMS(1, T, 2)), (void *)(uintptr_t)columns }
    };
    const clf_value by_tile[] = { text,
                                  media,
                                  { "cross_mask", clf_tensor_shape(CLF_U8, CLF_DIMS(1, T, 2, 5)), tiles } };

    for (size_t i = 0; i < sizeof tiles; i++)
        tiles[i] = columns[i / 5];
    assert_memory_equal(case_run(t, c, by_picture, 3, "hidden"), case_run(t, c, by_tile, 3, "hidden"),
                        T * DT * sizeof(float));
    clf_connector_destroy(c);
}

/* It sees everything, and has no feed-forward; its neighbours do not change. */
static void a_row_without_an_open_tile(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    int64_t open[T * 2] = { 1, 1, 1, 1, 0, 0, 1, 1, 1, 1 };
    const clf_value in[] = { case_input(t, BASIC, "text"),
                             case_input(t, BASIC, "media"),
                             { "cross_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 1, 2)), open } };
    const float *x = in[0].host, *closed = case_run(t, c, in, 3, "hidden"), *all = case_run(t, c, in, 2, "hidden");
    const size_t row = DT * sizeof(float);

    assert_memory_equal(case_run(t, c, in, 3, "attention"), case_run(t, c, in, 2, "attention"),
                        H * T * K * sizeof(float));
    for (size_t r = 0; r < T; r++)
        assert_int_equal(memcmp(closed + r * DT, all + r * DT, row) == 0, r != 2);
    assert_memory_not_equal(closed + 2 * (size_t)DT, x + 2 * (size_t)DT, row); /* the attention branch is there */
    clf_connector_destroy(c);
}

/* Media [B I tiles, M, Dt] spell the tiles out: columns that would straddle them are refused. */
static void a_column_of_the_mask_is_a_tile(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    clf_value in[] = { case_input(t, BASIC, "text"),
                       { "media", clf_tensor_shape(CLF_F32, CLF_DIMS(6, 10, 32)), NULL },
                       { "cross_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 2, 5)), NULL } };
    clf_value out = { .name = "hidden" };
    clf_error err = { 0 };

    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 2, 5] with 10 columns; want 6 tiles, the rows of media "
                      "f32[6, 10, 32] for each of 1 texts");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 5));
    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 5] with 5 columns; want 6 tiles, the rows of media "
                      "f32[6, 10, 32] for each of 1 texts");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 2, 3));
    assert_int_equal(clf_connector_plan(c, in, 3, &out, 1, &err), CLF_OK);
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 2)); /* a column for the three tiles of a picture */
    assert_int_equal(clf_connector_plan(c, in, 3, &out, 1, &err), CLF_OK);
    clf_connector_destroy(c);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    const clf_value text = case_input(t, BASIC, "text"), media = case_input(t, BASIC, "media");
    clf_value in[] = { text, media, { "cross_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 1, 3)), NULL } };

    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 1, 3] with 3 columns; want a divisor of 10, the rows of media "
                      "f32[1, 10, 32]");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 11, 1)); /* more columns than rows of media */
    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 11, 1] with 11 columns; want a divisor of 10, the rows of media "
                      "f32[1, 10, 32]");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 0));
    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 0] with 0 columns; want a divisor of 10, the rows of media "
                      "f32[1, 10, 32]");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(2, T, 1));
    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[2, 5, 1]; want [B, T, I] or [B, T, I, tiles] for text f32[1, 5, 32] "
                      "and media f32[1, 10, 32]");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T - 1, 1, 2));
    case_call_refused(t, c, in, 3, "hidden", "mllama: cross_mask is i64[1, 4, 1, 2]; want T of 5, as text has");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 1, 2));
    in[1] = reshaped(media, CLF_DIMS(1, 2, 5, DT));
    case_call_refused(t, c, in, 3, "hidden", "mllama: cross_mask is i64[1, 5, 1, 2]; want I of 2, as media has");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 5));
    case_call_refused(t, c, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 5]; want [B, T, I] or [B, T, I, tiles] for text f32[1, 5, 32] "
                      "and media f32[1, 2, 5, 32]");
    clf_connector_destroy(c);
}

/* The configuration's tiles are those that the processor cuts a picture into at most. */
static void more_tiles_than_the_configuration_knows_are_refused(void **state)
{
    clf_test *t = *state;
    clf_connector *two = case_open(t, BASIC, "vision_config.max_num_tiles=2", 0),
                  *one = case_open(t, BASIC, "vision_config.max_num_tiles=1", 0);
    const clf_value text = case_input(t, BASIC, "text"), media = case_input(t, BASIC, "media");
    clf_value in[] = { text, media, case_input(t, BASIC, "cross_mask") };

    case_close(t, case_run(t, two, in, 3, "hidden"), case_array(t, BASIC, "out_hidden", "hidden"));
    case_call_refused(t, one, in, 3, "hidden",
                      "mllama: cross_mask is i64[1, 5, 1, 2]; want tiles of at most 1, vision_config.max_num_tiles");
    in[2].tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 2)); /* pictures, whatever tiles they have */
    (void)case_run(t, one, in, 3, "hidden");
    clf_connector_destroy(two);
    clf_connector_destroy(one);
}

static void media_of_another_batch_are_refused(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    const clf_value text = case_input(t, BASIC, "text"), media = case_input(t, BASIC, "media");

    case_call_refused(t, c, (clf_value[]){ text, reshaped(media, CLF_DIMS(2, 1, 5, DT)) }, 2, "hidden",
                      "mllama: media is f32[2, 1, 5, 32]; want B of 1, as text has, or a multiple");
    case_call_refused(t, c, (clf_value[]){ reshaped(text, CLF_DIMS(2, T, DT)), reshaped(media, CLF_DIMS(3, K, DT)) }, 2,
                      "hidden", "mllama: media is f32[3, 10, 32]; want B of 2, as text has, or a multiple");
    clf_connector_destroy(c);
}

/* Without keys the attention is 0, and there is no bias: the feed-forward alone. */
static void no_keys_and_no_text(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    clf_value in[] = { case_input(t, BASIC, "text"),
                       case_input(t, BASIC, "media"),
                       { "cross_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(1, T, 0, 4)), NULL } };

    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0, DT));
    assert_memory_not_equal(case_run(t, c, in, 2, "hidden"), in[0].host, T * DT * sizeof(float));
    assert_memory_equal(case_run(t, c, in, 3, "hidden"), in[0].host, T * DT * sizeof(float)); /* no row sees a tile */
    in[0].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0, DT));
    (void)case_run(t, c, in, 2, "hidden");
    clf_connector_destroy(c);
}

static void a_projector_or_a_layer_alone_is_a_checkpoint(void **state)
{
    clf_test *t = *state;
    const clf_value vision = case_input(t, BASIC, "vision"), tokens = case_array(t, BASIC, "out_tokens", "tokens");
    const clf_value in[] = { case_input(t, BASIC, "text"), case_input(t, BASIC, "media"),
                             case_input(t, BASIC, "cross_mask") };
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(case_open_part(t, BASIC, "cross_attn.q_proj", 0, &c, &err), CLF_OK);
    case_close(t, case_run(t, c, &vision, 1, "tokens"), tokens);
    assert_int_equal(clf_connector_describe(c).parameters, 40 * DT + DT);
    clf_connector_destroy(c);
    assert_int_equal(case_open_part(t, BASIC, "cross_attn.q_proj", 1, &c, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "mllama: layer is 1; want 0: the family has 1 layer");

    assert_int_equal(case_open_part(t, BASIC, "multi_modal_projector", 0, &c, &err), CLF_OK);
    case_close(t, case_run(t, c, in, 3, "hidden"), case_array(t, BASIC, "out_hidden", "hidden"));
    case_call_refused(t, c, &vision, 1, "tokens", "mllama: input is vision; want one of text, media, cross_mask");
    clf_connector_destroy(c);

    assert_int_equal(case_open_part(t, BASIC, "l", 0, &c, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, "mllama: language_model.model.layers.3.cross_attn.q_proj.weight is missing; want "
                                     "it in the checkpoint");
    assert_int_equal(case_open_part(t, BASIC, "q_norm", 0, &c, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, "mllama: language_model.model.layers.1.cross_attn.q_norm.weight is missing; want "
                                     "it in the checkpoint");
}

static clf_tensor on_device(clf_test *t, clf_value v, clf_dims dims)
{
    const size_t count = (size_t)clf_element_count(v.tensor);
    double *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (double)((const float *)v.host)[i];
    return clf_test_from(t, CLF_F32, dims, values);
}

/* As a program decodes: all layers, the pictures once, one text position after another. */
static void all_layers_read_one_memory_step_by_step(void **state)
{
    static const char *const want[] = { "out_hidden", "layer1_hidden" };
    clf_test *t = *state;
    clf_connector *c = case_open(t, NO_MASK, NULL, CLF_ALL_LAYERS), *one = case_open(t, NO_MASK, NULL, 0);
    const clf_cross_attention *layers = clf_connector_cross_attention(c);
    const clf_value in[] = { case_input(t, NO_MASK, "text"), case_input(t, NO_MASK, "media") };
    const clf_tensor text = on_device(t, in[0], CLF_DIMS(1, T, DT)), media = on_device(t, in[1], CLF_DIMS(1, K, DT));
    clf_visual_memory *memory = NULL;

    assert_int_equal(clf_cross_attention_layers(layers), 2);
    assert_int_equal(clf_cross_attention_layers(clf_connector_cross_attention(one)), 1);
    assert_int_equal(clf_visual_memory_create(layers, 1, K, CLF_F32, &memory, NULL), CLF_OK);
    clf_visual_memory_append(t->stream, memory, media);
    for (int32_t layer = 0; layer < 2; layer++) {
        const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(1, T, DT));
        float got[T * DT];

        for (int64_t i = 0; i < T; i++)
            clf_cross_attention_forward(t->stream, layers, layer, clf_slice(t->stream, text, 1, i, 1), memory, NULL,
                                        clf_slice(t->stream, hidden, 1, i, 1));
        clf_download(t->stream, hidden, got);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        case_close(t, got, case_array(t, NO_MASK, want[layer], "hidden"));
    }
    case_close(t, case_run(t, c, in, 2, "hidden"), case_array(t, NO_MASK, "out_hidden", "hidden")); /* layer 0's */
    case_close(t, case_run(t, c, in, 2, "attention"), case_array(t, NO_MASK, "out_attention", "attention"));
    clf_visual_memory_destroy(memory);
    clf_connector_destroy(c);
    clf_connector_destroy(one);
}

/* 2 (Dt (2 Dt + 3 F) T + 2 Dt Hk D K + 2 H D T K), and 2 Dv Dt rows of the projector. */
static void operations_are_counted(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, BASIC, NULL, 0);
    const clf_value in[] = { case_input(t, BASIC, "text"), case_input(t, BASIC, "media"),
                             case_input(t, BASIC, "vision") };
    const clf_value out[] = { { .name = "hidden" }, { .name = "tokens" } };
    const uint64_t hidden = 2 * (DT * (2 * DT + 3 * 48) * T + 2 * DT * 16 * K + 2 * DT * T * K);

    assert_int_equal(clf_connector_flop(c, in, 2, out, 1), hidden);
    assert_int_equal(clf_connector_flop(c, in, 3, out, 2), hidden + 2 * 40 * DT * 10);
    clf_connector_destroy(c);
}

/* ---- the mask, from sparse to dense ---- */

static void masks_equal_those_of_the_processor(void **state)
{
    clf_test *t = *state;
    const clf_value ids = case_array(t, BASIC, "mask_ids", "ids"), tiles = case_array(t, BASIC, "mask_tiles", "tiles");
    const clf_value sizes = case_array(t, BASIC, "mask_sizes", "sizes"),
                    dense = case_array(t, BASIC, "mask_dense", "mask");
    const int64_t *want = dense.host;

    assert_true(sizes.tensor.dim[0] >= 9);
    for (int64_t i = 0; i < sizes.tensor.dim[0]; i++) {
        const int64_t *size = (const int64_t *)sizes.host + i * 4; /* ids, pictures, length, tiles */
        const clf_mllama_prompt prompt = {
            .ids = (const int64_t *)ids.host + i * ids.tensor.dim[1],
            .id_count = size[0],
            .image_token = 9,
            .tiles = (const int64_t *)tiles.host + i * tiles.tensor.dim[1],
            .picture_count = size[1],
        };
        const size_t count = (size_t)(size[2] * size[1] * size[3]);
        int64_t *mask = clf_test_memory(t, (count + 1) * sizeof *mask);

        memset(mask, 7, (count + 1) * sizeof *mask);
        assert_int_equal(clf_mllama_cross_mask(&prompt, size[2], size[1], size[3], mask, NULL), CLF_OK);
        assert_memory_equal(mask, want, count * sizeof *mask);
        assert_int_equal(mask[count], 0x0707070707070707);
        want += count;
    }
    assert_ptr_equal(want, (const int64_t *)dense.host + clf_element_count(dense.tensor));
}

static void a_mask_has_room_for_pictures_of_other_prompts(void **state)
{
    static const int64_t ids[] = { 9, 1 }, tiles[] = { 1 }, want[] = { 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 };
    const clf_mllama_prompt prompt = { ids, 2, 9, tiles, 1 };
    int64_t mask[12];

    (void)state;
    assert_int_equal(clf_mllama_cross_mask(&prompt, 2, 3, 2, mask, NULL), CLF_OK);
    assert_memory_equal(mask, want, sizeof want);
}

static void masks_of_what_does_not_fit_are_refused(void **state)
{
    static const int64_t ids[] = { 9, 1, 9 }, tiles[] = { 1, 5 };
    clf_mllama_prompt prompt = { ids, 3, 9, tiles, 1 };
    int64_t mask[3 * 2 * 4] = { 42 };
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(clf_mllama_cross_mask(&prompt, 3, 2, 4, mask, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "mllama_cross_mask: ids has 2 image tokens (id 9); want 1, the number of pictures");
    prompt.picture_count = 2;
    assert_int_equal(clf_mllama_cross_mask(&prompt, 3, 2, 4, mask, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "mllama_cross_mask: tiles[1] is 5; want 0 to 4");
    assert_int_equal(clf_mllama_cross_mask(&prompt, 3, 1, 5, mask, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "mllama_cross_mask: the mask has 1 pictures; want at least those of the prompt, 2");
    assert_int_equal(clf_mllama_cross_mask(&prompt, -3, 2, 5, mask, &err), CLF_INVALID_ARGUMENT);
    assert_int_equal(clf_mllama_cross_mask(&prompt, INT64_MAX, 2, 5, mask, &err), CLF_INVALID_ARGUMENT);
    assert_int_equal(mask[0], 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_layer_is_the_kth_in_the_order_of_the_model),
        CLF_TEST(layers_that_are_not_there_are_refused),
        CLF_TEST(a_configuration_that_contradicts_the_tensors_is_refused),
        CLF_TEST(all_forms_of_media_give_the_same_bits),
        CLF_TEST(the_batch_may_be_left_out_of_every_input),
        CLF_TEST(a_mask_of_ones_is_no_mask),
        CLF_TEST(tiles_of_a_picture_that_are_alike_are_one_column),
        CLF_TEST(a_row_without_an_open_tile),
        CLF_TEST(a_column_of_the_mask_is_a_tile),
        CLF_TEST(shapes_that_do_not_fit_are_refused),
        CLF_TEST(more_tiles_than_the_configuration_knows_are_refused),
        CLF_TEST(media_of_another_batch_are_refused),
        CLF_TEST(no_keys_and_no_text),
        CLF_TEST(a_projector_or_a_layer_alone_is_a_checkpoint),
        CLF_TEST(all_layers_read_one_memory_step_by_step),
        CLF_TEST(operations_are_counted),
        CLF_TEST(masks_equal_those_of_the_processor),
        CLF_TEST(a_mask_has_room_for_pictures_of_other_prompts),
        CLF_TEST(masks_of_what_does_not_fit_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
