/* mrope_positions: get_rope_index of transformers' models, and the rules. */
#include <math.h>
#include <string.h>

#include "fusion/positions_data.h"
#include "ops/ops.h"

static clf_mrope_prompts prompts_open(clf_test *t, const char *folder)
{
    const position_array rule = position_data(t, folder, "in_rule", true);
    const position_array types = position_data(t, folder, "in_types", true);
    const position_array images = position_data(t, folder, "in_images", false);
    const position_array videos = position_data(t, folder, "in_videos", false);
    clf_mrope_prompts p = clf_mrope_prompts_default();

    p.rule = (clf_mrope_rule)rule.value[0];
    p.merge = (int64_t)rule.value[1];
    p.tokens_per_second = rule.value[2];
    p.B = types.dim[0];
    p.T = types.dim[1];
    p.types = position_whole(t, types);
    p.mask = position_whole(t, position_data(t, folder, "in_mask", false));
    p.image_grids = position_whole(t, images);
    p.image_count = images.value != NULL ? images.dim[0] : 0;
    p.video_grids = position_whole(t, videos);
    p.video_count = videos.value != NULL ? videos.dim[0] : 0;
    p.seconds_per_frame = position_data(t, folder, "in_seconds", false).value;
    return p;
}

static void one_case(clf_test *t, const char *folder)
{
    const clf_mrope_prompts p = prompts_open(t, folder);
    const position_array want = position_data(t, folder, "out_positions", true);
    const position_array deltas = position_data(t, folder, "out_deltas", true);
    int32_t *got = clf_test_memory(t, (size_t)want.count * sizeof *got);
    int32_t *got_deltas = clf_test_memory(t, (size_t)deltas.count * sizeof *got_deltas);
    clf_error err = { 0 };

    assert_int_equal(want.count, 3 * p.B * p.T);
    memset(got, 0x55, (size_t)want.count * sizeof *got);
    if (clf_mrope_positions(&p, got, got_deltas, &err) != CLF_OK)
        fail_msg("%s: %s", folder, err.message);
    for (int64_t i = 0; i < want.count; i++)
        if (got[i] != (int32_t)want.value[i])
            fail_msg("%s: axis %d, prompt %d, place %d: %d, want %d", folder, (int)(i / (p.B * p.T)),
                     (int)(i / p.T % p.B), (int)(i % p.T), (int)got[i], (int)want.value[i]);
    for (int64_t b = 0; b < p.B; b++)
        assert_int_equal(got_deltas[b], (int32_t)deltas.value[b]);
}

static void positions_are_those_of_get_rope_index(void **state)
{
    static const char *const cases[] = { "one_picture",
                                         "qwen2_vl_left",
                                         "qwen2_vl_right",
                                         "qwen2_5_vl_left",
                                         "qwen2_5_vl_0.05",
                                         "qwen2_5_vl_0.70",
                                         "qwen2_5_vl_0.33",
                                         "qwen2_5_vl_2.30",
                                         "qwen3_vl_left",
                                         "qwen3_vl_right",
                                         "qwen2_5_vl_plain",
                                         "qwen2_5_vl_holes",
                                         "text" };
    char folder[100];

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        snprintf(folder, sizeof folder, "prompts_%s", cases[i]);
        one_case(*state, folder);
    }
}

/* Every prompt of a batch alone gives the same, when it brings its own grids. */
static void a_prompt_alone_has_the_same_positions(void **state)
{
    clf_test *t = *state;
    const clf_mrope_prompts batch = prompts_open(t, "prompts_qwen2_vl_left");
    const int64_t images[] = { 0, 2, 2, 4 }, videos[] = { 0, 0, 1, 3 };
    int32_t *all = clf_test_memory(t, (size_t)(3 * batch.B * batch.T) * sizeof *all), deltas[3];
    int32_t *alone = clf_test_memory(t, (size_t)(3 * batch.T) * sizeof *alone), delta;
    clf_error err = { 0 };

    assert_int_equal(clf_mrope_positions(&batch, all, deltas, &err), CLF_OK);
    for (int64_t b = 0; b < batch.B; b++) {
        clf_mrope_prompts one = batch;

        one.B = 1;
        one.types += b * batch.T;
        one.mask += b * batch.T;
        one.image_grids += 3 * images[b];
        one.image_count = images[b + 1] - images[b];
        one.video_grids += 3 * videos[b];
        one.video_count = videos[b + 1] - videos[b];
        assert_int_equal(clf_mrope_positions(&one, alone, &delta, &err), CLF_OK);
        for (int64_t i = 0; i < 3 * batch.T; i++)
            assert_int_equal(alone[i], all[(i / batch.T * batch.B + b) * batch.T + i % batch.T]);
        assert_int_equal(delta, deltas[b]);
    }
}

static void ids_become_types(void **state)
{
    static const int64_t ids[] = { 5, 90, 90, 7, 91, -1 }, want[] = { 0, 1, 1, 0, 2, 0 };
    int64_t types[6];

    (void)state;
    clf_token_types(ids, 6, 90, 91, types);
    assert_memory_equal(types, want, sizeof want);
    memcpy(types, ids, sizeof ids);
    clf_token_types(types, 6, 90, 91, types);
    assert_memory_equal(types, want, sizeof want);
}

static void prompts_without_tokens_are_fine(void **state)
{
    static const int64_t types[6] = { 0 }, mask[6] = { 0, 0, 0, 1, 0, 1 };
    static const int32_t want[18] = { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
    clf_mrope_prompts p = clf_mrope_prompts_default();
    int32_t positions[18], deltas[2] = { 7, 7 };

    (void)state;
    CLF_OPS_ACCEPTS(clf_mrope_positions(&p, NULL, NULL, &err));
    p.B = 2;
    CLF_OPS_ACCEPTS(clf_mrope_positions(&p, NULL, deltas, &err));
    assert_int_equal(deltas[0], 0);
    p.T = 3;
    p.types = types;
    p.mask = mask;
    deltas[0] = 7;
    CLF_OPS_ACCEPTS(clf_mrope_positions(&p, positions, deltas, &err));
    assert_memory_equal(positions, want, sizeof want);
    assert_int_equal(deltas[0], 0);
    assert_int_equal(deltas[1], 0);
}

/* A text, a picture of 6 tokens and a video of 2 x 2, in prompt 1. */
typedef struct sound {
    clf_mrope_prompts p;
    int64_t types[2 * 12], images[3], videos[3];
    double seconds;
} sound;

static void sound_fill(sound *s)
{
    static const int64_t types[24] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0 };

    *s = (sound){ .p = clf_mrope_prompts_default(), .images = { 1, 4, 6 }, .videos = { 2, 2, 4 }, .seconds = 1 };
    memcpy(s->types, types, sizeof types);
    s->p.B = 2;
    s->p.T = 12;
    s->p.types = s->types;
    s->p.image_grids = s->images;
    s->p.image_count = 1;
    s->p.video_grids = s->videos;
    s->p.video_count = 1;
    s->p.seconds_per_frame = &s->seconds;
}

/* The error comes before anything is written. */
static void refused(const sound *s, const char *text)
{
    int32_t positions[72] = { 0 }, deltas[2] = { 0 };
    const int32_t zeros[72] = { 0 };

    CLF_OPS_REFUSES(clf_mrope_positions(&s->p, positions, deltas, &err), CLF_INVALID_ARGUMENT, text);
    assert_memory_equal(positions, zeros, sizeof positions);
    assert_memory_equal(deltas, zeros, sizeof deltas);
}

static void grids_and_placeholders_that_disagree_are_named(void **state)
{
    int32_t positions[72], deltas[2];
    sound s;

    (void)state;
    sound_fill(&s);
    CLF_OPS_ACCEPTS(clf_mrope_positions(&s.p, positions, deltas, &err));
    s.types[18] = 0;
    refused(&s,
            "mrope_positions: types has a run of 5 image tokens at [1, 1]; want 6, image_grids[0] [1, 4, 6] by merge "
            "2");
    sound_fill(&s);
    s.videos[0] = 3;
    refused(&s,
            "mrope_positions: types has a run of 4 video tokens at [1, 7]; want 6, video_grids[0] [3, 2, 4] by merge "
            "2");
    s.p.rule = CLF_MROPE_QWEN3_VL;
    refused(&s,
            "mrope_positions: types has a run of 4 video tokens at [1, 7]; want 2, video_grids[0] [1, 2, 4] by merge "
            "2");
    sound_fill(&s);
    s.types[16] = 0;
    s.images[1] = 2;
    refused(&s, "mrope_positions: types has a run of 2 image tokens at [1, 5], run 2; want at most 1, the entries of "
                "image_grids");
    sound_fill(&s);
    s.p.video_count = 0;
    refused(&s, "mrope_positions: types has a run of 4 video tokens at [1, 7], run 1; want at most 0, the entries of "
                "video_grids");
    sound_fill(&s);
    memset(s.types + 13, 0, 6 * sizeof s.types[0]);
    refused(&s, "mrope_positions: types has 0 runs of image tokens; want 1, the entries of image_grids");
    sound_fill(&s);
    memset(s.types + 20, 0, 3 * sizeof s.types[0]);
    s.p.rule = CLF_MROPE_QWEN3_VL;
    s.videos[2] = 2;
    refused(&s, "mrope_positions: types has 1 runs of video tokens; want 2, the frames of video_grids");
}

static void what_cannot_be_is_named(void **state)
{
    sound s;

    (void)state;
    sound_fill(&s);
    s.types[3] = 3;
    refused(&s, "mrope_positions: types[0, 3] is 3; want 0 text, 1 image or 2 video");
    sound_fill(&s);
    s.images[1] = 0;
    refused(&s, "mrope_positions: image_grids[0] is [1, 0, 6]; want sizes of 1 to 2^31 - 1");
    sound_fill(&s);
    s.p.image_grids = NULL;
    refused(&s, "mrope_positions: image_count is 1 with image_grids NULL; want as many grids");
    sound_fill(&s);
    s.p.merge = 0;
    refused(&s, "mrope_positions: merge is 0; want 1 or more, below 2^31");
    sound_fill(&s);
    s.p.rule = (clf_mrope_rule)3;
    refused(&s, "mrope_positions: rule is 3; want 0 to 2");
    sound_fill(&s);
    s.p.rule = CLF_MROPE_QWEN2_5_VL;
    s.seconds = -1;
    refused(&s, "mrope_positions: seconds_per_frame[0] is -1; want 0 or more");
    s.seconds = (double)NAN;
    refused(&s, "mrope_positions: seconds_per_frame[0] is nan; want 0 or more");
    s.seconds = 2e9;
    refused(&s, "mrope_positions: video_grids[0] ends at time 4000000004; want positions below 2^31");
    s.p.tokens_per_second = (double)INFINITY;
    refused(&s, "mrope_positions: tokens_per_second is inf; want 0 or more");
    sound_fill(&s);
    s.p.types = NULL;
    refused(&s, "mrope_positions: types is NULL; want one for each token");
    s.p.B = -1;
    refused(&s, "mrope_positions: B and T are -1 and 12; want 0 or more, T below 2^31");
    s.p.B = INT64_MAX / 2;
    refused(&s, "mrope_positions: B and T are 4611686018427387903 and 12; want 0 or more, T below 2^31");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(positions_are_those_of_get_rope_index),
        CLF_TEST(a_prompt_alone_has_the_same_positions),
        CLF_TEST(ids_become_types),
        CLF_TEST(prompts_without_tokens_are_fine),
        CLF_TEST(grids_and_placeholders_that_disagree_are_named),
        CLF_TEST(what_cannot_be_is_named),
    };

    return CLF_TEST_MAIN(tests);
}
