/* Opening connectors: which family, which tensors, which configuration, and what is refused. */
#include <stdio.h>

#include "memory_source.h"

#define MODULES                                                                                                        \
    "linear_projection, mlp_projection, llava_fusion, early_fusion, cross_attention, gated_cross_attention, "          \
    "gated_cross_attention_dense, gated_cross_attention_stack, cross_attention_fusion, perceiver_resampler, "          \
    "latent_resampler, learned_query_compressor, simplified_qformer, late_fusion, contrastive, adaptive_avg_pool,"     \
    " top_k, query_aware, importance_prune, token_merge, pixel_shuffle, unfold_merge, conv_compress, "                 \
    "visual_vocabulary, relevance"
#define LIST                                                                                                           \
    "llava, llava_original, llava_next, llava_next_video, llava_onevision, fast_vlm, video_llava, vipllava, "          \
    "paligemma, fuyu, janus, mllama, openflamingo, idefics, idefics2, kosmos-2, kosmos-2.5, blip-2, instructblip,"     \
    " instructblipvideo, aria, qwen_vl, minicpmv, siglip, siglip2, clip_resnet, coca, clip, align, " MODULES

static const char *family_of(clf_test *t, memory_source *s, const char *json, const char *name)
{
    clf_connector_options options = clf_connector_options_default();
    const char *family;

    options.family = name;
    clf_connector *c = memory_connector(t, s, json, &options);
    family = clf_connector_describe(c).family;
    clf_connector_destroy(c);
    return family;
}

static void the_family_comes_from_model_type_or_the_option(void **state)
{
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, llava_rows);
    assert_string_equal(family_of(t, &s, "{\"model_type\": \"llava\"}", NULL), "llava");
    assert_string_equal(family_of(t, &s, "{\"model_type\": \"llava_next\"}", NULL), "llava_next");
    assert_string_equal(family_of(t, &s, "{\"model_type\": \"qwen2_vl\"}", "Video-LLaVA"), "video_llava");
    assert_string_equal(family_of(t, &s, NULL, "llava-onevision"), "llava_onevision");
}

static void mm_projector_tensors_tell_llava_original_from_llava(void **state)
{
    static const memory_row linear[] = { { "model.mm_projector.weight", 12, 8 },
                                         { "model.mm_projector.bias", 12, 0 },
                                         { NULL, 0, 0 } };
    static const memory_row mlp[] = {
        { "mm_projector.0.weight", 12, 8 },
        { "mm_projector.0.bias", 12, 0 },
        { "mm_projector.2.weight", 12, 12 },
        { "mm_projector.2.bias", 12, 0 },
        { NULL, 0, 0 },
    };
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, linear);
    assert_string_equal(family_of(t, &s, "{\"model_type\": \"llava\"}", NULL), "llava_original");
    assert_string_equal(family_of(t, &s, NULL, "llava"), "llava_original");
    memory_source_fill(t, &s, mlp);
    assert_string_equal(family_of(t, &s, "{\"model_type\": \"llava_llama\"}", NULL), "llava_original");
    assert_string_equal(family_of(t, &s, NULL, "llava-mpt"), "llava_original");
    memory_refused(t, &s, "{\"model_type\": \"llava\", \"mm_projector_type\": \"mlp3x_gelu\"}", NULL, CLF_BAD_FILE,
                   "llava_original: mm_projector_type is mlp3x_gelu; want 2 layers, as mm_projector has tensors");
    memory_refused(t, &s, "{\"model_type\": \"llava\", \"mm_projector_type\": \"identity\"}", NULL, CLF_UNSUPPORTED,
                   "llava_original: mm_projector_type is identity, which is unsupported; want linear or mlpNx_gelu");
}

static void an_unsupported_family_is_named_with_those_there_are(void **state)
{
    clf_connector_options options = clf_connector_options_default();
    clf_test *t = *state;
    memory_source s;
    char last[40];
    clf_connector *c = NULL;
    clf_error err = { 0 };

    memory_source_fill(t, &s, llava_rows);
    assert_int_equal(clf_connector_create(t->ctx, &s.source, NULL, 0, NULL, &c, &err), CLF_INVALID_ARGUMENT);
    snprintf(last, sizeof last, ", %s", clf_family_name(clf_family_count() - 1));
    assert_true(strlen(err.message) > strlen(last)); /* the list is not cut */
    assert_string_equal(err.message + strlen(err.message) - strlen(last), last);
    memory_refused(t, &s, "{\"model_type\": \"blip-9\"}", NULL, CLF_UNSUPPORTED,
                   "connector: model_type is blip-9, which is unsupported; want one of " LIST);
    memory_refused(t, &s, NULL, NULL, CLF_INVALID_ARGUMENT,
                   "connector: family is not given and the configuration has no model_type; want one of " LIST);
    memory_refused(t, &s, "{\"model_type\": \"clfusion\"}", NULL, CLF_BAD_FILE,
                   "connector: module is missing; want it beside model_type clfusion");
    memory_refused(t, &s, "{\"model_type\": \"clfusion\", \"module\": \"llava\"}", NULL, CLF_UNSUPPORTED,
                   "connector: module is llava, which is unsupported; want one of " MODULES);
    options.family = "nothing";
    memory_refused(t, &s, "{\"model_type\": \"llava\"}", &options, CLF_UNSUPPORTED,
                   "connector: family is nothing, which is unsupported; want one of " LIST);
}

static void the_list_of_families_is_complete(void **state)
{
    char list[CLF_MESSAGE_BYTES];
    size_t used = 0;

    (void)state;
    for (size_t i = 0; i < clf_family_count(); i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", clf_family_name(i));
    assert_string_equal(list, LIST);
    assert_null(clf_family_name(clf_family_count()));
}

static void a_leading_model_is_stripped(void **state)
{
    static const memory_row rows[] = {
        { "model.multi_modal_projector.linear_1.weight", 12, 8 },
        { "model.multi_modal_projector.linear_1.bias", 12, 0 },
        { "multi_modal_projector.linear_2.weight", 12, 12 },
        { "multi_modal_projector.linear_2.bias", 12, 0 },
        { NULL, 0, 0 },
    };
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, rows);
    assert_string_equal(family_of(t, &s, NULL, "llava"), "llava");
}

static void every_weight_read_is_given_back(void **state)
{
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, llava_rows);
    clf_connector_destroy(memory_connector(t, &s, "{\"model_type\": \"llava\"}", NULL));
    assert_int_equal(s.done_bytes, (12 * 8 + 12 + 12 * 12 + 12) * sizeof(float));
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    static const memory_row no_bias[] = { { "multi_modal_projector.linear_1.weight", 12, 8 }, { NULL, 0, 0 } };
    static const memory_row wrong_bias[] = { { "multi_modal_projector.linear_1.weight", 12, 8 },
                                             { "multi_modal_projector.linear_1.bias", 11, 0 },
                                             { NULL, 0, 0 } };
    static const memory_row wrong_chain[] = { { "multi_modal_projector.linear_1.weight", 12, 8 },
                                              { "multi_modal_projector.linear_1.bias", 12, 0 },
                                              { "multi_modal_projector.linear_2.weight", 12, 13 },
                                              { NULL, 0, 0 } };
    static const memory_row vector[] = { { "multi_modal_projector.linear_1.weight", 12, 0 }, { NULL, 0, 0 } };
    const char *llava = "{\"model_type\": \"llava\"}";
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, no_bias);
    memory_refused(t, &s, llava, NULL, CLF_BAD_FILE,
                   "llava: multi_modal_projector.linear_1.bias is missing; want it in memory");
    memory_source_fill(t, &s, wrong_bias);
    memory_refused(t, &s, llava, NULL, CLF_BAD_FILE,
                   "llava: multi_modal_projector.linear_1.bias is f32[11]; want [12], the rows of "
                   "multi_modal_projector.linear_1.weight f32[12, 8]");
    memory_source_fill(t, &s, wrong_chain);
    memory_refused(t, &s, llava, NULL, CLF_BAD_FILE,
                   "llava: multi_modal_projector.linear_2.weight is f32[12, 13]; want 12 columns, the rows of "
                   "multi_modal_projector.linear_1.weight");
    memory_source_fill(t, &s, vector);
    memory_refused(t, &s, llava, NULL, CLF_BAD_FILE,
                   "llava: multi_modal_projector.linear_1.weight is f32[12]; want 2 dimensions, none of them 0");
    memory_source_fill(t, &s, vector);
    s.tensors[0].dtype = CLF_I8;
    memory_refused(t, &s, llava, NULL, CLF_UNSUPPORTED,
                   "llava: multi_modal_projector.linear_1.weight is i8[12]; want f32, f16, bf16 or f64");
}

static void a_width_in_the_configuration_must_be_the_tensors(void **state)
{
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, llava_rows);
    memory_refused(t, &s, "{\"model_type\": \"llava\", \"text_config\": {\"hidden_size\": 13}}", NULL, CLF_BAD_FILE,
                   "llava: text_config.hidden_size is 13; want 12, the rows of multi_modal_projector.linear_2.weight");
    memory_refused(t, &s, "{\"model_type\": \"llava\", \"vision_config\": {\"hidden_size\": 4}}", NULL, CLF_BAD_FILE,
                   "llava: multi_modal_projector.linear_1.weight has 8 columns; want vision_config.hidden_size 4 times "
                   "1, the layers in vision_feature_layer");
    clf_connector_destroy(memory_connector(t, &s,
                                           "{\"model_type\": \"llava\", \"vision_feature_layer\": [-2, -5], "
                                           "\"vision_config\": {\"hidden_size\": 4}}",
                                           NULL));
    memory_refused(
        t, &s, "{\"model_type\": \"llava\", \"projector_hidden_act\": \"mish\"}", NULL, CLF_UNSUPPORTED,
        "llava: projector_hidden_act is mish; want gelu, gelu_pytorch_tanh, quick_gelu, silu, relu or relu2");
    memory_refused(t, &s, "{\"model_type\": \"llava\", \"image_token_index\": 5, \"image_token_id\": 6}", NULL,
                   CLF_BAD_FILE, "llava: image_token_id is 6; want 5, like image_token_index, or only one of the two");
}

static void an_option_of_a_module_must_agree_with_the_tensors(void **state)
{
    static const struct {
        const char *option, *message;
    } rows[] = {
        { "\"vision_dim\": 17", "mlp_projection: vision_dim is 17; want 16, the 16 columns of mlp.0.weight over "
                                "compress_ratio 1" },
        { "\"llm_dim\": 11", "mlp_projection: llm_dim is 11; want 10, the rows of mlp.2.weight" },
        { "\"hidden_dim\": 10", "mlp_projection: hidden_dim is 10; want 12, the rows of mlp.0.weight" },
        { "\"depth\": 3", "mlp_projection: depth is 3; want 2, the layers of mlp" },
        { "\"compress_ratio\": 3", "mlp_projection: compress_ratio is 3; want a divisor of 16, the columns of "
                                   "mlp.0.weight" },
        { "\"compress_ratio\": 0", "mlp_projection: compress_ratio is 0; want a divisor of 16, the columns of "
                                   "mlp.0.weight" },
        { "\"compress_ratio\": 4, \"vision_dim\": 16", "mlp_projection: vision_dim is 16; want 4, the 16 columns of "
                                                       "mlp.0.weight over compress_ratio 4" },
    };
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, mlp_rows);
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"model_type\": \"clfusion\", \"module\": \"mlp_projection\", %s}",
                 rows[i].option);
        memory_refused(t, &s, json, NULL, CLF_BAD_FILE, rows[i].message);
    }
}

static void overrides_stand_above_the_configuration(void **state)
{
    static const char *const sets[] = { "text_config.hidden_size=13" };
    static const char *const family[] = { "model_type=llava_next", "vision_config.hidden_size=8", "hiden_size=8" };
    bool read[CLF_COUNT(family)] = { false };
    clf_connector_options options = clf_connector_options_default();
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, llava_rows);
    options.sets = sets;
    options.set_count = CLF_COUNT(sets);
    memory_refused(t, &s, "{\"model_type\": \"llava\", \"text_config\": {\"hidden_size\": 12}}", &options, CLF_BAD_FILE,
                   "llava: text_config.hidden_size is 13; want 12, the rows of multi_modal_projector.linear_2.weight");
    options.sets = family;
    options.set_count = CLF_COUNT(family);
    options.sets_read = read;
    clf_connector *c = memory_connector(t, &s, NULL, &options); /* without a configuration */
    assert_string_equal(clf_connector_describe(c).family, "llava_next");
    assert_true(read[0] && read[1] && !read[2]);
    clf_connector_destroy(c);
}

static void options_out_of_range_are_refused(void **state)
{
    clf_connector_options options = clf_connector_options_default();
    clf_test *t = *state;
    memory_source s;
    char message[100];

    memory_source_fill(t, &s, llava_rows);
    options.storage = CLF_I8;
    memory_refused(t, &s, "{\"model_type\": \"llava\"}", &options, CLF_UNSUPPORTED,
                   "connector: storage is i8; want f32, f16, bf16 or none");
    options.storage = CLF_DTYPE_NONE;
    options.layer = -2;
    memory_refused(t, &s, "{\"model_type\": \"llava\"}", &options, CLF_INVALID_ARGUMENT,
                   "connector: layer is -2; want 0 or more, or CLF_ALL_LAYERS");
    options.layer = CLF_ALL_LAYERS;
    memory_refused(t, &s, "{\"model_type\": \"llava\"}", &options, CLF_UNSUPPORTED,
                   "llava: layer is CLF_ALL_LAYERS; want one: it has no cross-attention layers");
    options.layer = 2;
    memory_refused(t, &s, "{\"model_type\": \"llava\"}", &options, CLF_INVALID_ARGUMENT,
                   "llava: layer is 2; want 0: the family has 1 layer");
    options.struct_size = offsetof(clf_connector_options, layer); /* a caller that knows no layer yet */
    clf_connector_destroy(memory_connector(t, &s, "{\"model_type\": \"llava\"}", &options));
    options.struct_size = 0;
    snprintf(message, sizeof message, "connector: struct_size is 0; want %zu: start from the _default() function",
             sizeof options);
    memory_refused(t, &s, "{\"model_type\": \"llava\"}", &options, CLF_INVALID_ARGUMENT, message);
}

static void a_description_has_the_widths_of_the_checkpoint(void **state)
{
    clf_connector_options options = clf_connector_options_default();
    clf_test *t = *state;
    memory_source s;

    memory_source_fill(t, &s, mlp_rows);
    options.storage = CLF_F16;
    clf_connector *c = memory_connector(t, &s,
                                        "{\"model_type\": \"clfusion\", \"module\": \"mlp_projection\", "
                                        "\"compress_ratio\": 4}",
                                        &options);
    const clf_connector_info info = clf_connector_describe(c);

    assert_string_equal(info.family, "mlp_projection");
    assert_string_equal(info.module, "projector");
    assert_int_equal(info.parameters, 12 * 16 + 12 + 10 * 12 + 10);
    assert_int_equal(info.f32_parameters, 12 + 10);
    assert_int_equal(info.weight_bytes, (12 * 16 + 10 * 12) * 2 + (12 + 10) * 4);
    assert_int_equal(info.input_count, 2);
    assert_string_equal(info.inputs[0].name, "vision");
    assert_string_equal(info.inputs[0].shape, "[B, N, 4]");
    assert_string_equal(info.inputs[0].types, "f32 f16 bf16 f64");
    assert_false(info.inputs[0].optional);
    assert_string_equal(info.inputs[0].needed_by, "tokens fused");
    assert_string_equal(info.inputs[1].needed_by, "fused");
    assert_string_equal(info.inputs[1].taken_by, "");
    assert_true(info.inputs[1].optional);
    assert_string_equal(info.outputs[0].shape, "[B, N/4, 10]");
    assert_string_equal(info.outputs[1].name, "fused");
    assert_string_equal(info.outputs[1].shape, "[B, N/4 + T, 10]");
    clf_connector_destroy(c);

    memory_source_fill(t, &s, llava_rows);
    c = memory_connector(t, &s, "{\"model_type\": \"llava\"}", NULL);
    assert_string_equal(clf_connector_describe(c).inputs[1].shape, "[B, T, 12]");
    assert_string_equal(clf_connector_describe(c).inputs[2].shape, "[B, T]");
    assert_string_equal(clf_connector_describe(c).outputs[0].shape, "[B, N, 12]");
    clf_connector_destroy(c);
    clf_connector_destroy(NULL);
}

static void a_path_that_is_not_there_is_an_io_error(void **state)
{
    clf_test *t = *state;
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_connector_open(t->ctx, CLF_TEST_DATA "/nothing_here", NULL, &c, &err), CLF_IO);
    assert_non_null(strstr(err.message, "nothing_here"));
    assert_null(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_family_comes_from_model_type_or_the_option),
        CLF_TEST(mm_projector_tensors_tell_llava_original_from_llava),
        CLF_TEST(an_unsupported_family_is_named_with_those_there_are),
        CLF_TEST(the_list_of_families_is_complete),
        CLF_TEST(a_leading_model_is_stripped),
        CLF_TEST(every_weight_read_is_given_back),
        CLF_TEST(tensors_that_do_not_fit_are_named),
        CLF_TEST(a_width_in_the_configuration_must_be_the_tensors),
        CLF_TEST(an_option_of_a_module_must_agree_with_the_tensors),
        CLF_TEST(overrides_stand_above_the_configuration),
        CLF_TEST(options_out_of_range_are_refused),
        CLF_TEST(a_description_has_the_widths_of_the_checkpoint),
        CLF_TEST(a_path_that_is_not_there_is_an_io_error),
    };

    return CLF_TEST_MAIN(tests);
}
