/* Modules of compression: options that contradict, grids that do not match, sides that do not divide. */
#include "memory_source.h"

static const memory_row no_rows[] = { { NULL, 0, 0 } };
static const memory_row vocabulary_rows[] = { { "head.weight", 20, 6 }, { "table.weight", 20, 5 }, { NULL, 0, 0 } };
static const memory_row uneven_rows[] = { { "head.weight", 20, 6 }, { "table.weight", 19, 5 }, { NULL, 0, 0 } };

#define MODULE(name, options) "{\"model_type\": \"clfusion\", \"module\": \"" name "\"" options "}"

static void refuses(clf_test *t, const memory_row *rows, const char *json, clf_status status, const char *message)
{
    memory_source source;

    memory_source_fill(t, &source, rows);
    memory_refused(t, &source, json, NULL, status, message);
}

static void options_that_contradict_are_refused(void **state)
{
    clf_test *t = *state;

    refuses(t, no_rows, MODULE("adaptive_avg_pool", ""), CLF_BAD_FILE,
            "adaptive_avg_pool: target_tokens and target_grid are missing; want one of them");
    refuses(t, no_rows, MODULE("adaptive_avg_pool", ", \"target_tokens\": 10"), CLF_BAD_FILE,
            "adaptive_avg_pool: target_tokens is 10; want a square number up to 2^32, or target_grid");
    refuses(t, no_rows, MODULE("adaptive_avg_pool", ", \"target_tokens\": 10, \"target_grid\": [2, 3]"), CLF_BAD_FILE,
            "adaptive_avg_pool: target_tokens is 10; want 6, the product of target_grid");
    refuses(t, no_rows, MODULE("adaptive_avg_pool", ", \"target_grid\": [2, 0]"), CLF_BAD_FILE,
            "adaptive_avg_pool: target_grid is 2 x 0; want sides of 1 to 65536");
    refuses(t, no_rows, MODULE("pixel_shuffle", ""), CLF_BAD_FILE,
            "pixel_shuffle: factor is missing; want the side of a cell");
    refuses(t, no_rows, MODULE("unfold_merge", ", \"factor\": 0"), CLF_BAD_FILE,
            "unfold_merge: factor is 0; want 1 to 32768");
    refuses(t, vocabulary_rows, MODULE("visual_vocabulary", ""), CLF_BAD_FILE,
            "visual_vocabulary: mode is missing; want softmax or argmax");
    refuses(t, vocabulary_rows, MODULE("visual_vocabulary", ", \"mode\": \"gumbel\""), CLF_UNSUPPORTED,
            "visual_vocabulary: mode is gumbel; want softmax or argmax");
    refuses(t, vocabulary_rows, MODULE("visual_vocabulary", ", \"mode\": \"argmax\", \"vocab_size\": 21"), CLF_BAD_FILE,
            "visual_vocabulary: vocab_size is 21; want 20, the rows of head.weight");
    refuses(t, uneven_rows, MODULE("visual_vocabulary", ", \"mode\": \"softmax\""), CLF_BAD_FILE,
            "visual_vocabulary: table.weight is f32[19, 5]; want the rows of head.weight f32[20, 6]");
}

/* ---- calls ---- */

/* The message of a plan with `vision` [B, N, 4], and with the grids if there are any; "" when it is planned. */
static const char *plan(clf_test *t, const char *json, clf_dims vision, clf_dims grid_dims, const int64_t *grids,
                        clf_dims *tokens)
{
    static clf_error err;
    memory_source source;
    clf_value in[2] = { { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, vision) },
                        { .name = "grid", .tensor = clf_tensor_shape(CLF_I64, grid_dims) } };
    clf_value out = { .name = "tokens" };

    in[1].host = (void *)(uintptr_t)grids;
    memory_source_fill(t, &source, no_rows);
    clf_connector *c = memory_connector(t, &source, json, NULL);
    const clf_status status = clf_connector_plan(c, in, grids != NULL ? 2 : 1, &out, 1, &err);

    clf_connector_destroy(c);
    if (status != CLF_OK)
        return err.message;
    *tokens = (clf_dims){ .rank = out.tensor.rank };
    memcpy(tokens->dim, out.tensor.dim, sizeof tokens->dim);
    return "";
}

static const int64_t wide[] = { 2, 6 }, tall[] = { 6, 2 }, wrong[] = { 3, 5 }, none[] = { 0, 12 };
static const int64_t huge[] = { 4294967296, 4294967296 }, two[] = { 2, 6, 3, 4 }, second_wrong[] = { 2, 6, 3, 5 };

static void grids_that_do_not_match_are_refused(void **state)
{
    static const char pool[] = MODULE("adaptive_avg_pool", ", \"target_tokens\": 4");
    static const char shuffle[] = MODULE("pixel_shuffle", ", \"factor\": 2");
    clf_test *t = *state;
    clf_dims y;

    assert_string_equal(
        plan(t, pool, CLF_DIMS(1, 12, 4), CLF_DIMS(2), NULL, &y),
        "adaptive_avg_pool: vision is f32[1, 12, 4], 12 tokens; want a square number, or the input grid");
    assert_string_equal(plan(t, pool, CLF_DIMS(1, 12, 4), CLF_DIMS(2), wrong, &y),
                        "adaptive_avg_pool: grid of picture 0 is 3 x 5, 15 tokens; want 12, the rows of vision "
                        "f32[1, 12, 4]");
    assert_string_equal(plan(t, pool, CLF_DIMS(1, 12, 4), CLF_DIMS(2), none, &y),
                        "adaptive_avg_pool: grid of picture 0 is 0 x 12; want sides of 1 to 65536");
    assert_string_equal(plan(t, pool, CLF_DIMS(1, 12, 4), CLF_DIMS(2), huge, &y),
                        "adaptive_avg_pool: grid of picture 0 is 4294967296 x 4294967296; want sides of 1 to 65536");
    assert_string_equal(plan(t, pool, CLF_DIMS(2, 12, 4), CLF_DIMS(2, 2), second_wrong, &y),
                        "adaptive_avg_pool: grid of picture 1 is 3 x 5, 15 tokens; want 12, the rows of vision "
                        "f32[2, 12, 4]");
    assert_string_equal(plan(t, pool, CLF_DIMS(3, 12, 4), CLF_DIMS(2, 2), two, &y),
                        "adaptive_avg_pool: grid is i64[2, 2]; want B of 3, as vision has");
    assert_string_equal(plan(t, shuffle, CLF_DIMS(1, 9, 4), CLF_DIMS(2), NULL, &y),
                        "pixel_shuffle: grid of picture 0 is 3 x 3; want sides divisible by factor 2");
    assert_string_equal(plan(t, shuffle, CLF_DIMS(2, 12, 4), CLF_DIMS(2, 2), two, &y),
                        "pixel_shuffle: grid of picture 1 is 3 x 4; want sides divisible by factor 2");
}

static void shapes_follow_from_the_options(void **state)
{
    clf_test *t = *state;
    clf_dims y;

    assert_string_equal(
        plan(t, MODULE("adaptive_avg_pool", ", \"target_grid\": [5, 3]"), CLF_DIMS(2, 12, 4), CLF_DIMS(2, 2), two, &y),
        "");
    assert_true(y.rank == 3 && y.dim[0] == 2 && y.dim[1] == 15 && y.dim[2] == 4);
    assert_string_equal(plan(t, MODULE("pixel_shuffle", ", \"factor\": 2"), CLF_DIMS(12, 4), CLF_DIMS(2), tall, &y),
                        "");
    assert_true(y.rank == 2 && y.dim[0] == 3 && y.dim[1] == 16);
    assert_string_equal(plan(t, MODULE("unfold_merge", ", \"factor\": 2"), CLF_DIMS(3, 12, 4), CLF_DIMS(2), wide, &y),
                        "");
    assert_true(y.rank == 3 && y.dim[0] == 3 && y.dim[1] == 3 && y.dim[2] == 16);
}

/* ---- conv_compress, whose weights have four dimensions ---- */

static clf_status open_convolutions(clf_test *t, const char *set, clf_connector **c, clf_error *err)
{
    clf_connector_options options = clf_connector_options_default();

    options.sets = &set;
    options.set_count = set != NULL;
    return clf_connector_open(t->ctx, CLF_TEST_DATA "/conv_compress_square", &options, c, err);
}

static void widths_of_convolutions_are_compared(void **state)
{
    static const char *const rows[][2] = {
        { "vision_dim=8", "conv_compress: vision_dim is 8; want 7, the input channels of conv1.weight" },
        { "mid_dim=11", "conv_compress: mid_dim is 11; want 12, the rows of conv1.weight" },
        { "dim=21", "conv_compress: dim is 21; want 20, the rows of conv2.weight" },
        { "output_dim=10", "conv_compress: output_dim is 10; want 9, the rows of proj.weight" },
    };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        clf_connector *c = NULL;
        clf_error err = { 0 };

        assert_int_equal(open_convolutions(t, rows[i][0], &c, &err), CLF_BAD_FILE);
        assert_string_equal(err.message, rows[i][1]);
    }
}

/* 1 x 16 gives 1 x 4 tokens, 4 x 4 gives one. */
static void pictures_that_give_other_counts_are_refused(void **state)
{
    static const int64_t grids[] = { 1, 16, 4, 4 };
    clf_test *t = *state;
    clf_connector *c = NULL;
    clf_error err = { 0 };
    clf_value in[] = { { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 16, 7)) },
                       { .name = "grid", .tensor = clf_tensor_shape(CLF_I64, CLF_DIMS(2, 2)) } };
    clf_value out = { .name = "tokens" };

    in[1].host = (void *)(uintptr_t)grids;
    assert_int_equal(open_convolutions(t, NULL, &c, &err), CLF_OK);
    assert_int_equal(clf_connector_plan(c, in, 2, &out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "conv_compress: grid of picture 1 gives 1 tokens; want 4, as picture 0 gives");
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(options_that_contradict_are_refused),
        CLF_TEST(grids_that_do_not_match_are_refused),
        CLF_TEST(shapes_follow_from_the_options),
        CLF_TEST(widths_of_convolutions_are_compared),
        CLF_TEST(pictures_that_give_other_counts_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
