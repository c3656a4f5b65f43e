/* Late fusion from checkpoints: what outputs need, which texts are the best, where texts end, what contradicts. */
#include "data_case.h"

static void the_best_texts_are_those_of_torch(void **state)
{
    static const char *const folders[] = { "contrastive_basic", "contrastive_sigmoid_f16" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(folders); i++) {
        clf_connector *c = case_open(t, folders[i], NULL, 0);
        const clf_value in[] = { case_input(t, folders[i], "vision"), case_input(t, folders[i], "text") };
        const clf_value want = case_array(t, folders[i], "best_indices", "indices");
        clf_value out = { .name = "indices" };
        clf_error err = { 0 };

        assert_int_equal(clf_connector_plan(c, in, 2, &out, 1, &err), CLF_OK);
        assert_true(clf_alike(out.tensor, want.tensor));
        out.host = clf_test_memory(t, (size_t)clf_element_count(out.tensor) * sizeof(int64_t));
        assert_int_equal(clf_connector_run(t->stream, c, in, 2, &out, 1, &err), CLF_OK);
        assert_memory_equal(out.host, want.host, (size_t)clf_element_count(want.tensor) * sizeof(int64_t));
        clf_connector_destroy(c);
    }
}

static void more_best_than_texts_are_refused(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, "contrastive_basic", "k=4", 0);
    const clf_value in[] = { case_input(t, "contrastive_basic", "vision"), case_input(t, "contrastive_basic", "text") };

    case_call_refused(t, c, in, 2, "indices", "contrastive: k is 4; want at most 3, the texts of text f32[3, 24]");
    case_close(t, case_run(t, c, in, 2, "scores"), case_array(t, "contrastive_basic", "out_scores", "scores"));
    clf_connector_destroy(c);
    case_refused(t, "contrastive_basic", "k=0", 0, "contrastive: k is 0; want 1 to the number of texts");
}

/* Each embedding alone wants its own side. */
static void an_embedding_needs_its_own_side_alone(void **state)
{
    static const char *const folders[] = { "clip_eos_f16", "siglip_text_f16", "align_f16", "coca_text_bias_f16",
                                           "late_fusion_basic" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(folders); i++) {
        const char *folder = folders[i];
        clf_connector *c = case_open(t, folder, NULL, 0);
        const clf_value vision = case_input(t, folder, "vision");
        clf_value text[2] = { case_input(t, folder, "text") };
        size_t texts = 1;

        if (i == 0)
            text[texts++] = case_input(t, folder, "text_ids");
        case_close(t, case_run(t, c, &vision, 1, "image_embeds"),
                   case_array(t, folder, "out_image_embeds", "image_embeds"));
        case_close(t, case_run(t, c, text, texts, "text_embeds"),
                   case_array(t, folder, "out_text_embeds", "text_embeds"));
        clf_connector_destroy(c);
    }
}

static void missing_inputs_are_named(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, "clip_basic", NULL, 0);
    const clf_value in[] = { case_input(t, "clip_basic", "vision"), case_input(t, "clip_basic", "text") };

    case_call_refused(t, c, in, 2, "logits", "clip: text_ids is missing; want vision, text, text_ids for logits");
    case_call_refused(t, c, in, 1, "tokens",
                      "clip: output is tokens; want one of image_embeds, text_embeds, logits, scores");
    clf_connector_destroy(c);
}

static void a_grid_of_other_cells_is_refused(void **state)
{
    static const int32_t right[3 * 2] = { 2, 5, 5, 2, 10, 1 }, wrong[3 * 2] = { 2, 5, 3, 3, 5, 2 };
    clf_test *t = *state;
    clf_connector *c = case_open(t, "align_f16", NULL, 0);
    clf_value in[] = {
        case_input(t, "align_f16", "vision"),
        { "grid", clf_tensor_shape(CLF_I32, CLF_DIMS(3, 2)), (void *)(uintptr_t)right },
    };

    case_close(t, case_run(t, c, in, 2, "image_embeds"),
               case_array(t, "align_f16", "out_image_embeds", "image_embeds"));
    in[1].host = (void *)(uintptr_t)wrong;
    case_call_refused(t, c, in, 2, "image_embeds",
                      "align: grid of picture 1 is 3 x 3, 9 tokens; want 10, the rows of vision f32[3, 10, 16]");
    clf_connector_destroy(c);
}

/* A mean of no rows has no direction, as no row has. */
static void pictures_without_rows_are_refused(void **state)
{
    static const char *const folders[] = { "align_f16", "align_max_bf16", "clip_eos_f16" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(folders); i++) {
        clf_connector *c = case_open(t, folders[i], NULL, 0);
        clf_value vision = case_input(t, folders[i], "vision"), out = { .name = "image_embeds" };
        clf_error err = { 0 };

        vision.tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, vision.tensor.dim[2]));
        assert_int_equal(clf_connector_plan(c, &vision, 1, &out, 1, &err), CLF_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "want at least one row of each picture"));
        clf_connector_destroy(c);
    }
}

/* ---- where a text of CLIP ends ---- */

enum { T = 4, WIDTH = 20, P = 16 };

static const float *text_embeds(clf_test *t, const char *set, float *rows, const int32_t *ids)
{
    clf_connector *c = case_open(t, "clip_basic", set, 0);
    const clf_value in[] = {
        { "text", clf_tensor_shape(CLF_F32, CLF_DIMS(1, T, WIDTH)), rows },
        { "text_ids", clf_tensor_shape(CLF_I32, CLF_DIMS(1, T)), (void *)(uintptr_t)ids },
    };
    const float *embeds = case_run(t, c, in, 2, "text_embeds");

    clf_connector_destroy(c);
    return embeds;
}

/* All rows are alike but row `want`, so the embedding is another one only where that row is taken. */
static void ends_in(clf_test *t, const char *set, int want, const int32_t ids[T])
{
    float rows[T * WIDTH], plain[T * WIDTH];

    for (int i = 0; i < T * WIDTH; i++) {
        plain[i] = (float)(i % WIDTH - 7);
        rows[i] = i / WIDTH == want ? (float)(i % 3) : plain[i];
    }
    const float *got = text_embeds(t, set, rows, ids), *other = text_embeds(t, set, plain, ids);
    assert_memory_not_equal(got, other, P * sizeof *got);
}

static void texts_end_where_transformers_says(void **state)
{
    static const char *const largest = "text_config.eos_token_id=2", *const seven = "text_config.eos_token_id=7";
    clf_test *t = *state;

    ends_in(t, largest, 2, (const int32_t[T]){ 49, 2, 88, 88 }); /* not the 2: the first of the largest */
    ends_in(t, largest, 0, (const int32_t[T]){ 5, 5, 5, 5 });
    ends_in(t, seven, 1, (const int32_t[T]){ 9, 7, 7, 12 }); /* the first, though padding has its id too */
    ends_in(t, seven, 0, (const int32_t[T]){ 1, 2, 3, 4 });  /* none */
    ends_in(t, "text_config.eos_token_id=null", 3, (const int32_t[T]){ 1, 2, 49408, 49407 }); /* the default, 49407 */
}

static void configurations_that_contradict_tensors_are_refused(void **state)
{
    clf_test *t = *state;

    case_refused(t, "clip_basic", "projection_dim=17", 0,
                 "clip: projection_dim is 17; want 16, the rows of visual_projection.weight");
    case_refused(t, "clip_basic", "text_config.hidden_size=21", 0,
                 "clip: text_config.hidden_size is 21; want 20, the columns of text_projection.weight");
    case_refused(t, "siglip_text_f16", "text_config.projection_size=20", 0,
                 "siglip: text_config.projection_size is 20; want 24, the rows of text_model.head.weight");
    case_refused(t, "align_basic", "vision_config.pooling_type=\"sum\"", 0,
                 "align: vision_config.pooling_type is sum; want mean or max");
    case_refused(t, "contrastive_basic", "activation=tanh", 0,
                 "contrastive: activation is tanh; want softmax or sigmoid");
    case_refused(t, "late_fusion_basic", "dim=13", 0,
                 "late_fusion: dim is 13; want 12, the rows of vision_proj.weight");
    case_refused(t, "late_fusion_basic", "num_classes=6", 0,
                 "late_fusion: num_classes is 6; want 5, the rows of classifier.weight");
    case_refused(t, "late_fusion_basic", "merge=add", 0,
                 "late_fusion: classifier.weight is f32[5, 24]; want 12 columns, the sum of merge add");
    case_refused(t, "late_fusion_basic", "merge=mean", 0, "late_fusion: merge is mean; want concat or add");
    case_refused(t, "late_fusion_basic", "pool=attention", 0,
                 "late_fusion: vision_pool.query is missing; want it in model.safetensors");
}

static void a_checkpoint_without_a_scale_is_refused(void **state)
{
    clf_test *t = *state;
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(case_open_part(t, "clip_basic", "logit_scale", 0, &c, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, "clip: logit_scale is missing; want it in the checkpoint");
    assert_null(c);
    assert_int_equal(case_open_part(t, "siglip_text_basic", "logit_scale", 0, &c, &err), CLF_OK); /* the tower's head */
    assert_true(clf_connector_describe(c).output_count == 3);
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_best_texts_are_those_of_torch),       CLF_TEST(more_best_than_texts_are_refused),
        CLF_TEST(an_embedding_needs_its_own_side_alone),   CLF_TEST(missing_inputs_are_named),
        CLF_TEST(a_grid_of_other_cells_is_refused),        CLF_TEST(pictures_without_rows_are_refused),
        CLF_TEST(texts_end_where_transformers_says),       CLF_TEST(configurations_that_contradict_tensors_are_refused),
        CLF_TEST(a_checkpoint_without_a_scale_is_refused),
    };

    return CLF_TEST_MAIN(tests);
}
