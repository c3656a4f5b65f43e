/* Visual tokens of pictures: every line of tests/tables/token_plan.txt, which the references' processors have made; the
 * numbers that are in use for patch grids and tiles, and of the families' papers; configurations; refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clfusion/token_plan.h>

#include "core/size.h"
#include "harness.h"
#include "models/family.h"
#include "shims.h"

#define LINES_AT_LEAST 900

static clf_token_plan compute(const char *family, const char *const *sets, size_t set_count, int64_t height,
                              int64_t width)
{
    clf_token_plan_desc desc = clf_token_plan_desc_default();
    clf_token_plan plan;
    clf_error err = { 0 };

    desc.family = family;
    desc.sets = sets;
    desc.set_count = set_count;
    if (clf_token_plan_compute(&desc, height, width, &plan, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return plan;
}

/* ---- the table ---- */

/* Splits the text at each mark in place. */
static size_t split(char *text, char mark, char **parts, size_t capacity)
{
    size_t count = 0;

    for (char *at = text; at != NULL && count < capacity; count++) {
        parts[count] = at;
        at = strchr(at, mark);
        if (at != NULL)
            *at++ = '\0';
    }
    return count;
}

static void check_line(char *line)
{
    char *word[14], *sets[8], text[200];
    int64_t want[12];
    size_t set_count;

    snprintf(text, sizeof text, "%s", line);
    assert_int_equal(split(line, ' ', word, CLF_COUNT(word)), CLF_COUNT(word));
    set_count = strcmp(word[1], "-") == 0 ? 0 : split(word[1], ';', sets, CLF_COUNT(sets));
    for (size_t i = 0; i < CLF_COUNT(want); i++)
        want[i] = strtoll(word[i + 2], NULL, 10);
    const clf_token_plan p = compute(word[0], (const char *const *)sets, set_count, want[0], want[1]);
    const int64_t got[] = { want[0],     want[1],        p.tokens,         p.context_tokens,
                            p.tiles,     p.tile_rows,    p.tile_columns,   p.thumbnail,
                            p.grid_rows, p.grid_columns, p.thumbnail_rows, p.thumbnail_columns };

    for (size_t i = 0; i < CLF_COUNT(want); i++)
        if (want[i] >= 0 && got[i] != want[i])
            fail_msg("%s: number %zu is %lld", text, i, (long long)got[i]);
}

static void every_size_gives_what_the_reference_gives(void **state)
{
    FILE *file = fopen(CLF_TEST_DATA "/../tables/token_plan.txt", "r");
    char line[200];
    size_t count = 0;

    (void)state;
    assert_non_null(file);
    for (; fgets(line, sizeof line, file) != NULL; count++) {
        line[strcspn(line, "\n")] = '\0';
        check_line(line);
    }
    fclose(file);
    assert_true(count >= LINES_AT_LEAST);
}

/* ---- plain rules ---- */

static void a_patch_grid_has_height_times_width_over_patch_squared_tokens(void **state)
{
    static const int64_t rows[][2] = { { 224, 256 }, { 336, 576 }, { 448, 1024 }, { 672, 2304 } };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(rows); i++)
        assert_int_equal(compute("patches", NULL, 0, rows[i][0], rows[i][0]).tokens, rows[i][1]);
    assert_int_equal(compute("patches", NULL, 0, 29, 43).tokens, 6); /* rest cut off */
}

static void tiles_and_a_thumbnail_fill_a_context(void **state)
{
    static const struct {
        int64_t height, width, tiles, tokens;
        int percent; /* of 4096, rounded */
    } rows[] = { { 336, 336, 1, 1152, 28 },
                 { 336, 672, 2, 1728, 42 },
                 { 672, 672, 4, 2880, 70 },
                 { 672, 1008, 6, 4032, 98 },
                 { 1008, 1008, 9, 5760, 141 } };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        const clf_token_plan p = compute("tiles", NULL, 0, rows[i].height, rows[i].width);

        assert_int_equal(p.tile_rows * p.tile_columns, rows[i].tiles);
        assert_int_equal(p.tokens, rows[i].tokens);
        assert_int_equal((int)(100 * p.context_share + 0.5), rows[i].percent);
    }
    assert_int_equal(compute("tiles", (const char *[]){ "thumbnail=false" }, 1, 337, 336).tokens, 1152);
}

/* ---- families of one size ---- */

static void learned_queries_are_as_many_for_any_picture(void **state)
{
    static const struct {
        const char *family;
        int64_t tokens, context_tokens;
    } rows[] = { { "blip-2", 32, 32 },
                 { "instructblip", 32, 32 },
                 { "instructblipvideo", 128, 128 },
                 { "openflamingo", 64, 1 },
                 { "idefics", 64, 1 },
                 { "kosmos-2", 64, 64 },
                 { "qwen_vl", 256, 256 },
                 { "paligemma", 256, 256 },
                 { "janus", 576, 576 },
                 { "fast_vlm", 256, 256 },
                 { "vipllava", 576, 576 },
                 { "video_llava", 256, 256 },
                 { "llava_original", 576, 576 },
                 { "siglip", 1, 0 },
                 { "clip", 1, 0 },
                 { "align", 1, 0 },
                 { "clip_resnet", 1, 0 },
                 { "coca", 255, 0 } };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(rows); i++)
        for (int64_t side = 1; side < 3000; side += 1371) {
            const clf_token_plan p = compute(rows[i].family, NULL, 0, side, 77);

            assert_int_equal(p.tokens, rows[i].tokens);
            assert_int_equal(p.context_tokens, rows[i].context_tokens);
        }
}

static void every_rule_has_a_family_and_the_reverse(void **state)
{
    (void)state;
    for (size_t i = 0; i < clf_token_plan_family_count(); i++)
        assert_string_equal(compute(clf_token_plan_family_name(i), NULL, 0, 500, 400).family,
                            clf_token_plan_family_name(i));
    assert_null(clf_token_plan_family_name(clf_token_plan_family_count()));
    for (size_t i = 0; i < clf_family_count(); i++)
        if (!clf_family_at(i)->module)
            assert_string_equal(compute(clf_family_name(i), NULL, 0, 500, 400).family, clf_family_name(i));
}

/* ---- configurations ---- */

static clf_token_plan with_config(const char *config, const char *processor, const char *set)
{
    clf_token_plan_desc desc = clf_token_plan_desc_default();
    clf_token_plan plan;
    clf_error err = { 0 };

    desc.config_json = config;
    desc.config_bytes = strlen(config);
    desc.processor_json = processor;
    desc.processor_bytes = processor != NULL ? strlen(processor) : 0;
    desc.sets = &set;
    desc.set_count = set != NULL ? 1 : 0;
    if (clf_token_plan_compute(&desc, 1000, 1000, &plan, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return plan;
}

static void keys_come_from_overrides_then_the_configuration_then_the_processor(void **state)
{
    static const char config[] = "{\"model_type\": \"mllama\", \"vision_config\": {\"image_size\": 280, "
                                 "\"patch_size\": 14}, \"text_config\": {\"max_position_embeddings\": 1000}}";

    (void)state;
    assert_int_equal(with_config("{\"model_type\": \"mllama\"}", NULL, NULL).tokens, 4 * 1025); /* the class: 448 */
    assert_int_equal(compute("mllama", NULL, 0, 1000, 1000).tokens, 4 * 1601);                  /* published: 560 */
    assert_int_equal(with_config(config, NULL, NULL).tokens, 4 * 401);
    assert_int_equal(with_config(config, "{\"max_image_tiles\": 1}", NULL).tokens, 401);
    assert_int_equal(with_config(config, "{\"max_image_tiles\": 1}", "max_image_tiles=4").tokens, 4 * 401);
    assert_int_equal(with_config(config, NULL, NULL).context, 1000);
    assert_int_equal(with_config(config, NULL, "context=64").context, 64);
}

static void original_llava_is_told_by_its_keys_and_reads_the_size_from_the_tower(void **state)
{
    static const char config[] = "{\"model_type\": \"llava\", \"mm_projector_type\": \"linear\", \"mm_hidden_size\": "
                                 "1024, \"mm_vision_tower\": \"openai/clip-vit-large-patch14\"}";
    const clf_token_plan p = with_config(config, NULL, NULL);

    (void)state;
    assert_string_equal(p.family, "llava_original");
    assert_int_equal(p.tokens, 256);
    assert_int_equal(with_config(config, NULL, "mm_vision_select_feature=cls_patch").tokens, 257);
    assert_int_equal(with_config(config, NULL, "mm_vision_tower=openai/clip-vit-base-patch32-336").tokens, 100);
}

static void pinpoints_and_strategies_are_read(void **state)
{
    static const char config[] =
        "{\"model_type\": \"llava-next\", \"image_grid_pinpoints\": [[336, 336]], \"vision_feature_select_strategy\": "
        "\"full\"}";

    (void)state;
    assert_int_equal(with_config(config, NULL, NULL).tokens, 577 + 576 + 24);
    assert_int_equal(with_config("{\"model_type\": \"idefics\"}", NULL, NULL).tokens, 257); /* use_resampler false */
}

/* InternVL's sizes come as one number or as two. */
static void sizes_of_both_layouts_of_internvl_are_read(void **state)
{
    static const char original[] = "{\"model_type\": \"internvl_chat\", \"force_image_size\": 448, "
                                   "\"downsample_ratio\": 0.5, \"max_dynamic_patch\": 4, \"vision_config\": "
                                   "{\"image_size\": 224, \"patch_size\": 14}}",
                      hub[] = "{\"model_type\": \"internvl\", \"downsample_ratio\": 0.5, \"vision_config\": "
                              "{\"image_size\": [448, 448], \"patch_size\": [14, 14]}}";

    (void)state;
    assert_int_equal(with_config(original, NULL, NULL).tokens, 5 * 256);
    assert_int_equal(with_config(original, NULL, "use_thumbnail=false").tokens, 4 * 256);
    assert_int_equal(with_config(hub, "{\"max_patches\": 4}", NULL).tokens, 5 * 256);
    assert_int_equal(with_config(hub, NULL, "crop_to_patches=false").tokens, 256);
}

static void a_folder_needs_no_weights(void **state)
{
    clf_token_plan_desc desc = clf_token_plan_desc_default();
    clf_token_plan plan;
    clf_error err = { 0 };

    (void)state;
    if (clf_token_plan_open(CLF_TEST_DATA "/vipllava_basic", &desc, 20, 30, &plan, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_string_equal(plan.family, "vipllava");
    assert_int_equal(clf_token_plan_open(CLF_TEST_DATA "/nothing_here", &desc, 20, 30, &plan, &err), CLF_IO);
}

/* ---- refusals ---- */

static void refuses(const char *family, const char *set, int64_t height, int64_t width, clf_status status,
                    const char *message)
{
    clf_token_plan_desc desc = clf_token_plan_desc_default();
    clf_token_plan plan;
    clf_error err = { 0 };

    desc.family = family;
    desc.sets = &set;
    desc.set_count = set != NULL ? 1 : 0;
    assert_int_equal(clf_token_plan_compute(&desc, height, width, &plan, &err), status);
    if (strncmp(err.message, message, strlen(message)) != 0)
        fail_msg("%s", err.message);
}

static void what_cannot_be_is_named(void **state)
{
    (void)state;
    refuses("llava", NULL, 0, 5, CLF_INVALID_ARGUMENT, "token plan: picture is 0 x 5 pixels; want each 1 to 16777216");
    refuses("llava", NULL, 5, 16777217, CLF_INVALID_ARGUMENT, "token plan: picture is 5 x 16777217 pixels");
    refuses("llava", "image_size=13", 5, 5, CLF_BAD_FILE, "llava: patch_size is 14; want at most image_size 13");
    refuses("llava", "patch_size=0", 5, 5, CLF_BAD_FILE, "llava: patch_size is 0; want 1 to 16777216");
    refuses("llava_next", "image_grid_pinpoints=[[336]]", 5, 5, CLF_BAD_FILE,
            "llava_next: image_grid_pinpoints.0 has 1 numbers; want height and width, 1 to 16777216");
    refuses("llava_next", "image_grid_pinpoints=[[100, 100]]", 5, 5, CLF_BAD_FILE,
            "llava_next: image_grid_pinpoints has 100 x 100; want at least one tile of 336 pixels");
    refuses("llava_next", "image_grid_pinpoints=[]", 5, 5, CLF_BAD_FILE,
            "llava_next: image_grid_pinpoints has 0 entries; want 1 to 256 pairs of height and width");
    refuses("llava_onevision", "vision_aspect_ratio=anyres", 5, 5, CLF_BAD_FILE,
            "llava_onevision: vision_aspect_ratio has the number 0; want anyres_max_1 to anyres_max_256");
    refuses("mllama", "max_image_tiles=257", 5, 5, CLF_BAD_FILE, "mllama: max_num_tiles is 257; want 1 to 256");
    refuses("aria", "max_image_size=500", 5, 5, CLF_BAD_FILE, "aria: max_image_size is 500; want 490 or 980");
    refuses("minicpmv", "max_slice_nums=300", 5, 5, CLF_BAD_FILE, "minicpmv: max_slice_nums is 300; want 1 to 256");
    refuses("fuyu", "patch_size=7", 5, 5, CLF_BAD_FILE, "fuyu: patch_size is 7; want a divisor of size 1080 x 1920");
    refuses("fuyu", NULL, 1, 100000, CLF_INVALID_ARGUMENT, "fuyu: picture is 1 x 100000; want one pixel");
    refuses("qwen2_vl", NULL, 1, 201, CLF_INVALID_ARGUMENT,
            "qwen2_vl: picture is 1 x 201; want sides of at most 200 to 1");
    refuses("internvl", "downsample_ratio=0", 5, 5, CLF_BAD_FILE,
            "internvl: 1 to 12 tiles of 448 pixels, patches of 14, downsample_ratio 0; want 1 to 256 tiles");
    refuses("patches", NULL, 13, 14, CLF_INVALID_ARGUMENT,
            "patches: picture is 13 x 14; want at least one patch of 14 pixels");
    refuses("perceiver_resampler", NULL, 5, 5, CLF_UNSUPPORTED,
            "token plan: family is perceiver_resampler, whose token count is unsupported; want one of patches, tiles");
    refuses("nothing", NULL, 5, 5, CLF_UNSUPPORTED, "connector: family is nothing, which is unsupported");
    refuses(NULL, NULL, 5, 5, CLF_INVALID_ARGUMENT, "connector: family is not given");
}

/* A folder's plan takes a dozen blocks; whichever is missing, the record says so and nothing leaks. */
static void a_missing_block_is_told(void **state)
{
    clf_token_plan_desc desc = clf_token_plan_desc_default();
    const char *set = "image_size=28";
    bool read = false;

    (void)state;
    desc.sets = &set;
    desc.set_count = 1;
    desc.sets_read = &read;
    for (long k = 1;; k++) {
        clf_token_plan plan;
        clf_error err = { 0 };

        clf_shims_fail_allocation(k, false);
        const clf_status status = clf_token_plan_open(CLF_TEST_DATA "/vipllava_basic", &desc, 20, 30, &plan, &err);
        const bool failed = clf_shims_allocations() >= k;

        clf_shims_fail_allocation(0, false);
        assert_int_equal(status, failed ? CLF_OUT_OF_MEMORY : CLF_OK);
        if (!failed) {
            assert_true(k > 5 && read);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_gives_what_the_reference_gives),
        cmocka_unit_test(a_patch_grid_has_height_times_width_over_patch_squared_tokens),
        cmocka_unit_test(tiles_and_a_thumbnail_fill_a_context),
        cmocka_unit_test(learned_queries_are_as_many_for_any_picture),
        cmocka_unit_test(every_rule_has_a_family_and_the_reverse),
        cmocka_unit_test(keys_come_from_overrides_then_the_configuration_then_the_processor),
        cmocka_unit_test(original_llava_is_told_by_its_keys_and_reads_the_size_from_the_tower),
        cmocka_unit_test(pinpoints_and_strategies_are_read),
        cmocka_unit_test(sizes_of_both_layouts_of_internvl_are_read),
        cmocka_unit_test(a_folder_needs_no_weights),
        cmocka_unit_test(what_cannot_be_is_named),
        cmocka_unit_test(a_missing_block_is_told),
    };

    return CLF_TEST_MAIN(tests);
}
