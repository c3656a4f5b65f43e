/* Picture processors: equal to transformers' with the Pillow backend, and their configuration's rules. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/file_map.h"
#include "checkpoint/npy.h"
#include "core/alloc.h"
#include "harness.h"
#include "ops/ops.h"

#define PICTURES CLF_TEST_DATA "/../pictures"

static const char *path_of(const char *format, const char *a, const char *b)
{
    static char path[512];

    snprintf(path, sizeof path, format, a, b);
    return path;
}

static clf_picture load(const char *path)
{
    clf_picture p;
    clf_error err = { 0 };

    if (clf_picture_load(path, &p, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return p;
}

static clf_picture_processor parse(const char *family, const char *text, clf_status want, const char *message)
{
    clf_picture_processor p;
    clf_error err = { .status = CLF_OK };
    const clf_status status = clf_picture_processor_parse(text, strlen(text), family, &p, &err);

    if (status != want || (want != CLF_OK && strcmp(err.message, message) != 0))
        fail_msg("%s: '%s'; want '%s'", text, err.message, message);
    return p;
}

static clf_tensor process(clf_test *t, const clf_picture *picture, const clf_picture_processor *p)
{
    int64_t h, w;

    clf_picture_processed_size(p, picture->height, picture->width, &h, &w);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, h, w));
    clf_picture_process(t->stream, picture, p, y);
    return y;
}

/* Every `step`-th row and column of y against the file.  The resampled bytes are equal; mean and std cost three
 * roundings of values below 255 / std. */
static void compare(clf_test *t, clf_tensor y, const clf_picture_processor *p, const char *path, int64_t step)
{
    clf_npy *npy;
    clf_error err = { 0 };
    const double *got = clf_test_values(t, y);

    assert_int_equal(clf_npy_open(path, &npy, &err), CLF_OK);
    const clf_host_tensor want = clf_npy_tensor(npy);
    const float *values = want.data;
    const int64_t h = (y.dim[2] + step - 1) / step, w = (y.dim[3] + step - 1) / step;

    if (want.rank != 4 || want.dim[2] != h || want.dim[3] != w)
        fail_msg("%s: %d x %d is not the oracle's size", path, (int)h, (int)w);
    for (int64_t i = 0; i < 3 * h * w; i++) {
        const int64_t c = i / (h * w), row = i / w % h * step, column = i % w * step;
        const double v = got[(c * y.dim[2] + row) * y.dim[3] + column];
        const double bound = 0x1p-22 * (255 * p->rescale + fabs(p->mean[c])) / p->std[c];

        if (!(fabs(v - (double)values[i]) <= bound))
            fail_msg("%s: colour %d, row %d, column %d is %g; want %g within %g", path, (int)c, (int)row, (int)column,
                     v, (double)values[i], bound);
    }
    clf_npy_close(npy);
}

static void pictures_equal_transformers(void **state)
{
    static const char *const names[] = { "clip",   "clip_odd",        "clip_lanczos", "clip_plain",
                                         "siglip", "siglip_bilinear", "fuyu" };
    static const char *const sources[] = { "down", "up", "one", "wide", "tall", "same" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(names) * CLF_COUNT(sources); i++) {
        const char *name = names[i / CLF_COUNT(sources)], *source = sources[i % CLF_COUNT(sources)];
        char *text;
        size_t bytes;
        clf_error err = { 0 };

        assert_int_equal(clf_file_read(path_of(PICTURES "/processor_%s.json%s", name, ""), 10000, &text, &bytes, &err),
                         CLF_OK);
        const char *family = name[0] == 'c' ? "clip" : name[0] == 's' ? "siglip" : "fuyu";
        const clf_picture_processor p = parse(family, text, CLF_OK, "");
        clf_picture picture = load(path_of(PICTURES "/source_%s.png%s", source, ""));

        compare(t, process(t, &picture, &p), &p, path_of(PICTURES "/processed_%s_%s.npy", name, source), 1);
        clf_picture_free(&picture);
        clf_free(text);
        clf_test_release_all(t);
    }
}

static void a_photograph_equals_transformers_by_default(void **state)
{
    static const char *const families[] = { "clip", "siglip", "fuyu" };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(families); i++) {
        clf_picture_processor p;
        clf_error err = { 0 };
        clf_picture picture = load(PICTURES "/source_large.jpg");

        assert_int_equal(clf_picture_processor_open(NULL, families[i], &p, &err), CLF_OK);
        compare(t, process(t, &picture, &p), &p, path_of(PICTURES "/sampled_%s.npy%s", families[i], ""), 7);
        clf_picture_free(&picture);
    }
}

/* Beside the checkpoint, or the family's own. */
static void a_checkpoint_may_say_how(void **state)
{
    clf_picture_processor p;
    clf_error err = { .status = CLF_OK };

    (void)state;
    assert_int_equal(clf_picture_processor_open(CLF_TEST_DATA "/llava_basic", "clip", &p, &err), CLF_OK);
    assert_int_equal(p.shortest_edge, 224);
    assert_int_equal(clf_picture_processor_open(CLF_TEST_DATA "/llava_basic/model.safetensors", "siglip", &p, &err),
                     CLF_OK);
    assert_int_equal(p.height, 224);
    assert_int_equal(clf_picture_processor_open(NULL, "early_fusion", &p, &err), CLF_OK);
    assert_true(p.shortest_edge == 0 && p.height == 0 && p.rescale == 1.0 / 255.0 && p.mean[0] == 0.0);
    assert_int_equal(clf_picture_processor_open(CLF_TEST_DATA "/llava_basic", "llava", &p, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "picture_process: how llava wants its pictures is not known; want "
                                     "preprocessor_config.json beside the checkpoint");
}

static void keys_are_read_as_transformers_does(void **state)
{
    clf_picture_processor p = parse("clip", "{\"size\": 30, \"crop_size\": 28}", CLF_OK, "");

    (void)state;
    assert_true(p.shortest_edge == 30 && p.crop_height == 28 && p.crop_width == 28 && p.height == 0);
    p = parse("clip",
              "{\"do_resize\": false, \"do_center_crop\": false, \"do_rescale\": false, \"do_normalize\": false}",
              CLF_OK, "");
    assert_true(p.shortest_edge == 0 && p.crop_height == 0 && p.rescale == 1.0 && p.mean[1] == 0.0 && p.std[2] == 1.0);
    p = parse("siglip", "{\"size\": {\"height\": 384, \"width\": 380}, \"image_mean\": 0.25, \"resample\": 2}", CLF_OK,
              "");
    assert_true(p.height == 384 && p.width == 380 && p.mean[2] == 0.25 && p.filter == CLF_RESAMPLE_BILINEAR);
    assert_true(p.std[0] == 0.5 && p.rescale == 1.0 / 255.0);
    p = parse("fuyu", "{\"size\": {\"height\": 90, \"width\": 60}, \"patch_size\": 15, \"do_pad\": true}", CLF_OK, "");
    assert_true(p.fit_height == 90 && p.fit_width == 60 && p.patch == 15 && p.patch_colour == 1 && p.mean[1] == 0.5);
    p = parse("fuyu", "{\"do_pad\": false}", CLF_OK, "");
    assert_true(p.fit_height == 1080 && p.fit_width == 1920 && p.patch == 0);
    p = parse("other", "{\"size\": {\"height\": 8, \"width\": 9}}", CLF_OK, "");
    assert_true(p.height == 8 && p.rescale == 1.0 / 255.0 && p.std[0] == 1.0);
}

static void a_broken_configuration_is_named(void **state)
{
    (void)state;
    (void)parse("clip", "{\"size\": 0}", CLF_BAD_FILE, "preprocessor_config.json: size is 0; want 1 to 32768");
    (void)parse("clip", "{\"size\": {\"height\": 9}}", CLF_BAD_FILE,
                "preprocessor_config.json: size is neither {shortest_edge} nor {height, width}; want one of these");
    (void)parse("clip", "{\"size\": {\"longest_edge\": 9}}", CLF_UNSUPPORTED,
                "preprocessor_config.json: size has longest_edge; want shortest_edge, or height and width");
    (void)parse("siglip", "{\"do_center_crop\": true}", CLF_BAD_FILE,
                "preprocessor_config.json: do_center_crop is true without crop_size; want its height and width");
    (void)parse("clip", "{\"resample\": 0}", CLF_UNSUPPORTED,
                "preprocessor_config.json: resample is 0; want 1 (lanczos), 2 (bilinear) or 3 (bicubic)");
    (void)parse("clip", "{\"image_mean\": [1, 2]}", CLF_BAD_FILE,
                "preprocessor_config.json: image_mean has 2 numbers; want 3, or 1 for all colours");
    (void)parse("clip", "{\"image_std\": [1, 0, 1]}", CLF_BAD_FILE,
                "preprocessor_config.json: image_std[1] is 0; want above 0");
    (void)parse("fuyu", "{\"do_resize\": false}", CLF_UNSUPPORTED,
                "preprocessor_config.json: do_resize is false; want true, so that size holds");
    (void)parse("fuyu", "{\"patch_size\": {\"height\": 3, \"width\": 4}}", CLF_UNSUPPORTED,
                "preprocessor_config.json: patch_size is 3 x 4; want a square");
    (void)parse("fuyu", "{\"padding_mode\": \"reflect\"}", CLF_UNSUPPORTED,
                "preprocessor_config.json: padding_mode is reflect and padding_value 1; want constant, and a whole "
                "number from 0 to 255");
    (void)parse("fuyu", "{\"padding_value\": 0.5}", CLF_UNSUPPORTED,
                "preprocessor_config.json: padding_mode is constant and padding_value 0.5; want constant, and a whole "
                "number from 0 to 255");
}

static void a_wrong_result_is_named(void **state)
{
    static uint8_t rgb[3 * 4 * 3];
    clf_test *t = *state;
    clf_picture_processor p;
    clf_error err = { 0 };
    const clf_picture picture = { 3, 4, rgb };
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, 3, 4));

    assert_int_equal(clf_picture_processor_open(NULL, "clip", &p, &err), CLF_OK);
    clf_picture_process(t->stream, &picture, &p, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "picture_process: y is f32[1, 3, 3, 4]; want f32[1, 3, 224, 224] for a picture of 3 x 4");
    clf_picture_process(t->stream, &(clf_picture){ 0, 4, rgb }, &p, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "picture_process: picture is 0 x 4; want at least 1 x 1");
    assert_int_equal(clf_picture_processor_open(NULL, "fuyu", &p, &err), CLF_OK);
    clf_picture_process(t->stream, &(clf_picture){ 1, 4000, rgb }, &p, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "picture_process: picture is 1 x 4000; want one pixel of each side left in 1080 x 1920");
    p.patch_colour = 256;
    clf_picture_process(t->stream, &picture, &p, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "picture_process: patch_colour is 256; want 0 to 255");
    clf_ops_untouched(t, y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(pictures_equal_transformers),
        CLF_TEST(a_photograph_equals_transformers_by_default),
        cmocka_unit_test(a_checkpoint_may_say_how),
        cmocka_unit_test(keys_are_read_as_transformers_does),
        cmocka_unit_test(a_broken_configuration_is_named),
        CLF_TEST(a_wrong_result_is_named),
    };

    return CLF_TEST_MAIN(tests);
}
