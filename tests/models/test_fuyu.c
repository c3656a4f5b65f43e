/* Fuyu: a picture instead of its patches, and what does not fit. */
#include <stdio.h>

#include "memory_source.h"

enum { P = 3, C = 2, WIDTH = P * P * C, DT = 7 };

static const memory_row rows[] = { { "vision_embed_tokens.weight", DT, WIDTH },
                                   { "vision_embed_tokens.bias", DT, 0 },
                                   { NULL, 0, 0 } };

#define JSON(keys) "{\"model_type\": \"fuyu\", \"num_channels\": 2" keys "}"

static clf_connector *create(clf_test *t, memory_source *s, const char *json)
{
    memory_source_fill(t, s, rows);
    return memory_connector(t, s, json, NULL);
}

static float *tokens_of(clf_test *t, const clf_connector *c, const char *input, clf_dims dims, float *values, int64_t B,
                        int64_t N)
{
    const clf_value in = { input, clf_tensor_shape(CLF_F32, dims), values };
    const clf_value out = { "tokens", clf_tensor_shape(CLF_F32, CLF_DIMS(B, N, DT)),
                            clf_test_memory(t, (size_t)(B * N * DT) * sizeof(float)) };
    clf_error err = { 0 };

    if (clf_connector_run(t->stream, c, &in, 1, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return out.host;
}

/* (row, column, channel) of each patch; patches from top to bottom. */
static void cut(const float *image, int64_t B, int64_t h, int64_t w, float *patches)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < h / P; i++)
            for (int64_t j = 0; j < w / P; j++)
                for (int64_t u = 0; u < P; u++)
                    for (int64_t v = 0; v < P; v++)
                        for (int64_t c = 0; c < C; c++)
                            *patches++ = image[((b * C + c) * h + i * P + u) * w + j * P + v];
}

static void a_picture_gives_the_bits_of_its_patches(void **state)
{
    static const int64_t sizes[][3] = { { 1, 3, 3 }, { 1, 6, 15 }, { 3, 9, 6 } };
    clf_test *t = *state;
    memory_source s;
    clf_connector *c = create(t, &s, JSON(""));

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const int64_t B = sizes[i][0], h = sizes[i][1], w = sizes[i][2], N = h / P * (w / P);
        const size_t count = (size_t)(B * C * h * w);
        float *image = clf_test_memory(t, count * sizeof *image), *vision = clf_test_memory(t, count * sizeof *vision);

        for (size_t k = 0; k < count; k++)
            image[k] = (float)(2 * clf_test_random(t) - 1);
        cut(image, B, h, w, vision);
        assert_memory_equal(tokens_of(t, c, "image", CLF_DIMS(B, C, h, w), image, B, N),
                            tokens_of(t, c, "vision", CLF_DIMS(B, N, WIDTH), vision, B, N),
                            (size_t)(B * N * DT) * sizeof(float));
    }
    clf_connector_destroy(c);
}

static void refuses(const clf_connector *c, const clf_value *in, size_t count, clf_status status, const char *message)
{
    clf_value out = { .name = "tokens" };
    clf_error err = { 0 };

    assert_int_equal(clf_connector_plan(c, in, count, &out, 1, &err), status);
    assert_string_equal(err.message, message);
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_connector *c = create(t, &s, JSON(", \"patch_size\": 3"));
    const clf_value both[] = { { .name = "image", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, C, 6, 6)) },
                               { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 4, WIDTH)) } };
    const clf_value odd = { .name = "image", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, C, 6, 7)) };
    const clf_value other = { .name = "image", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 6, 6)) };

    const clf_connector_info info = clf_connector_describe(c);

    assert_string_equal(info.inputs[0].needed_by, "tokens fused"); /* the first of those of which one is enough */
    assert_string_equal(info.inputs[3].taken_by, "tokens fused");
    assert_string_equal(info.inputs[3].needed_by, "");
    refuses(c, NULL, 0, CLF_INVALID_ARGUMENT, "fuyu: vision is missing; want one of vision, image for tokens");
    refuses(c, both, 2, CLF_INVALID_ARGUMENT, "fuyu: image and vision are given; want one of them");
    refuses(c, &odd, 1, CLF_INVALID_ARGUMENT,
            "fuyu: image is f32[1, 2, 6, 7]; want height and width divisible by patch 3");
    refuses(c, &other, 1, CLF_INVALID_ARGUMENT, "fuyu: image is f32[1, 3, 6, 6]; want [B, 2, h, w] or [2, h, w]");
    clf_connector_destroy(c);
}

static void a_width_must_be_that_of_patches(void **state)
{
    clf_test *t = *state;
    memory_source s;
    const clf_value image = { .name = "image", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 1, 6, 6)) };

    memory_source_fill(t, &s, rows);
    memory_refused(
        t, &s, JSON(", \"patch_size\": 4"), NULL, CLF_BAD_FILE,
        "fuyu: vision_embed_tokens.weight has 18 columns; want patch_size 4 times itself times num_channels 2");
    memory_refused(
        t, &s, "{\"model_type\": \"fuyu\", \"num_channels\": 0}", NULL, CLF_BAD_FILE,
        "fuyu: vision_embed_tokens.weight has 18 columns; want patch_size 30 times itself times num_channels 0");
    clf_connector *c = memory_connector(t, &s, "{\"model_type\": \"fuyu\", \"num_channels\": 1}", NULL);
    refuses(c, &image, 1, CLF_UNSUPPORTED,
            "fuyu: image is given; want vision: a patch of 18 values is no square of num_channels");
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(a_picture_gives_the_bits_of_its_patches),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(a_width_must_be_that_of_patches),
    };

    return CLF_TEST_MAIN(tests);
}
