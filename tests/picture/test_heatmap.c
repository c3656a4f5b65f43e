/* Heat maps: the row that is asked for, in the right place, in the right colour. */
#include "checkpoint/files.h"

#include <math.h>

#include "core/alloc.h"
#include "picture/heatmap.h"

static clf_status fit(clf_heatmap *m, int64_t H, int64_t Q, int64_t K, clf_error *err)
{
    return clf_heatmap_fit(m, "run", H, Q, K, err);
}

static void the_grid_follows_from_the_keys(void **state)
{
    clf_error err = { .status = CLF_OK };
    clf_heatmap m = { .head = -1 };

    (void)state;
    assert_int_equal(fit(&m, 2, 3, 16, &err), CLF_OK);
    assert_true(m.height == 4 && m.width == 4 && m.skip == 0);
    m = (clf_heatmap){ .head = -1 };
    assert_int_equal(fit(&m, 2, 3, 17, &err), CLF_OK); /* CLS */
    assert_true(m.height == 4 && m.width == 4 && m.skip == 1);
    m = (clf_heatmap){ .head = -1, .height = 2, .width = 5 };
    assert_int_equal(fit(&m, 2, 3, 11, &err), CLF_OK);
    assert_true(m.height == 2 && m.width == 5 && m.skip == 1);
    m = (clf_heatmap){ .head = -1 };
    assert_int_equal(fit(&m, 1, 1, 1, &err), CLF_OK); /* one cell, no CLS alone */
    assert_true(m.height == 1 && m.skip == 0);
}

static void what_does_not_fit_is_named(void **state)
{
    clf_error err = { .status = CLF_OK };
    clf_heatmap m = { .head = -1 };

    (void)state;
    expect_error(fit(&m, 2, 3, 15, &err), CLF_INVALID_ARGUMENT, &err,
                 "run: attention has 15 keys, no square with or without a CLS token; want --grid HxW");
    m = (clf_heatmap){ .head = -1, .height = 3, .width = 4 };
    expect_error(fit(&m, 2, 3, 14, &err), CLF_INVALID_ARGUMENT, &err,
                 "run: --grid is 3x4, 12 cells; want 14 keys of attention, or one less");
    m = (clf_heatmap){ .head = 2 };
    expect_error(fit(&m, 2, 3, 16, &err), CLF_INVALID_ARGUMENT, &err, "run: --head is 2; want 0 to 1");
    m = (clf_heatmap){ .head = -1, .position = 3 };
    expect_error(fit(&m, 2, 3, 16, &err), CLF_INVALID_ARGUMENT, &err,
                 "run: --position is 3; want 0 to 2, a row of attention");
}

/* weights[h][q][k] = 100 h + 10 q + k. */
static void the_row_is_the_one_asked_for(void **state)
{
    float weights[2 * 3 * 5], map[4];
    clf_heatmap m = { .height = 2, .width = 2, .position = 1, .head = 1, .skip = 1 };

    (void)state;
    for (int i = 0; i < 30; i++)
        weights[i] = (float)(100 * (i / 15) + 10 * (i / 5 % 3) + i % 5);
    clf_heatmap_row(&m, weights, 2, 3, 5, map);
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(map[i] - (111.0F + (float)i) / 114.0F) < 1e-6F);
    m.head = -1;
    clf_heatmap_row(&m, weights, 2, 3, 5, map);
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(map[i] - (122.0F + 2.0F * (float)i) / 128.0F) < 1e-6F);
}

static void odd_weights_stay_in_range(void **state)
{
    const float weights[] = { NAN, 1.0F, INFINITY, 2.0F }, zeros[4] = { 0 };
    const clf_heatmap m = { .height = 2, .width = 2 };
    float map[4];

    (void)state;
    clf_heatmap_row(&m, weights, 1, 1, 4, map);
    assert_true(map[0] == 0.0F && map[1] == 0.0F && map[2] == 1.0F && map[3] == 0.0F);
    clf_heatmap_row(&m, zeros, 1, 1, 4, map);
    assert_true(map[0] == 0.0F && map[3] == 0.0F);
}

/* Warm is bright, cold is the picture, dimmed. */
static void warm_places_shine(void **state)
{
    static uint8_t rgb[] = { 100, 200, 40, 100, 200, 40, 100, 200, 40, 100, 200, 40 };
    const clf_picture picture = { 1, 4, rgb };
    clf_picture drawn;
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(clf_heatmap_draw(&picture, (const float[]){ 0.0F, 1.0F, -3.0F, NAN }, &drawn, &err), CLF_OK);
    assert_memory_equal(drawn.rgb, ((const uint8_t[]){ 65, 130, 27, 229, 247, 145, 65, 130, 27, 65, 130, 27 }), 12);
    clf_picture_free(&drawn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grid_follows_from_the_keys),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(the_row_is_the_one_asked_for),
        cmocka_unit_test(odd_weights_stay_in_range),
        cmocka_unit_test(warm_places_shine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
