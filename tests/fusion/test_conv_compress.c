/* conv_compress: grids of any sides, many pictures, refusals; tests/data has what the oracle says. */
#include <clfusion/conv_compress.h>

#include <math.h>

#include "parts.h"
#include "walk.h"

enum { DV = 3, MID = 5, DIM = 4, DT = 7 };

static clf_conv_compress_desc describe(clf_test *t)
{
    clf_conv_compress_desc d = clf_conv_compress_desc_default();

    d.conv1 = part_numbers(t, CLF_DIMS(MID, DV, 3, 3), 0, 0.4);
    d.conv2 = part_numbers(t, CLF_DIMS(DIM, MID, 3, 3), 0, 0.3);
    d.proj = part_linear(t, DT, DIM);
    return d;
}

static clf_conv_compress *create(clf_test *t, const clf_conv_compress_desc *d)
{
    clf_conv_compress *m = NULL;
    clf_error err = { 0 };

    if (clf_conv_compress_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

/* ---- the formula in double, with clf_linear's bound for each step: (in + 3) u sum|x w|, and what x strays ---- */

typedef struct map {
    clf_grid grid;
    int64_t C;
    double *value, *stray; /* [rows, columns, C] */
} map;

static map map_of(clf_test *t, clf_grid grid, int64_t C)
{
    const size_t bytes = (size_t)(grid.rows * grid.columns * C) * sizeof(double);

    return (map){ grid, C, clf_test_memory(t, bytes), clf_test_memory(t, bytes) };
}

/* Adds the product with the weight of input channel c, and its part of the bound. */
static void add_term(const map *x, int64_t at, double w, double *sum, double *size, double *stray)
{
    *sum += x->value[at] * w;
    *size += fabs(x->value[at] * w);
    *stray += x->stray[at] * fabs(w);
}

static map convolve(clf_test *t, map x, clf_host_tensor w)
{
    const clf_grid to = { (x.grid.rows + 1) / 2, (x.grid.columns + 1) / 2 };
    const float *weight = w.data;
    map y = map_of(t, to, w.dim[0]);

    for (int64_t i = 0; i < to.rows * to.columns * y.C; i++) {
        const int64_t o = i % y.C, row = i / y.C / to.columns, column = i / y.C % to.columns;
        double size = 0;

        y.value[i] = y.stray[i] = 0;
        for (int64_t q = 0; q < 9 * x.C; q++) {
            const int64_t c = q / 9, m = 2 * row - 1 + q % 9 / 3, n = 2 * column - 1 + q % 3;

            if (m >= 0 && m < x.grid.rows && n >= 0 && n < x.grid.columns)
                add_term(&x, (m * x.grid.columns + n) * x.C + c, (double)weight[o * 9 * x.C + q], &y.value[i], &size,
                         &y.stray[i]);
        }
        y.stray[i] += (double)(9 * x.C + 3) * 0x1p-24 * size;
    }
    return y;
}

static map project(clf_test *t, map x, const clf_linear_layer *proj)
{
    const float *weight = proj->weight.data, *bias = proj->bias.data;
    map y = map_of(t, x.grid, proj->weight.dim[0]);

    for (int64_t i = 0; i < y.grid.rows * y.grid.columns * y.C; i++) {
        const int64_t o = i % y.C;
        double size = fabs((double)bias[o]);

        y.value[i] = (double)bias[o];
        y.stray[i] = 0;
        for (int64_t c = 0; c < x.C; c++)
            add_term(&x, i / y.C * x.C + c, (double)weight[o * x.C + c], &y.value[i], &size, &y.stray[i]);
        y.stray[i] += (double)(x.C + 3) * 0x1p-24 * size;
    }
    return y;
}

static void check_grid(clf_test *t, clf_dtype dtype, int64_t B, clf_grid grid)
{
    const clf_conv_compress_desc d = describe(t);
    const int64_t N = grid.rows * grid.columns;
    const clf_grid to = clf_conv_compress_grid(grid);
    const int64_t count = to.rows * to.columns * DT;
    const clf_tensor vision = clf_test_normal(t, dtype, CLF_DIMS(B, N, DV));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, to.rows * to.columns, DT));
    double *want = clf_test_memory(t, (size_t)(B * count) * sizeof *want);
    double *bound = clf_test_memory(t, (size_t)(B * count) * sizeof *bound);
    clf_conv_compress *m = create(t, &d);

    clf_conv_compress_forward(t->stream, m, vision, grid, tokens);
    for (int64_t b = 0; b < B; b++) {
        map x = map_of(t, grid, DV);

        memcpy(x.value, clf_test_given(t, vision) + b * N * DV, (size_t)(N * DV) * sizeof *x.value);
        memset(x.stray, 0, (size_t)(N * DV) * sizeof *x.stray);
        x = project(t, convolve(t, convolve(t, x, d.conv1), d.conv2), &d.proj);
        memcpy(want + b * count, x.value, (size_t)count * sizeof *want);
        memcpy(bound + b * count, x.stray, (size_t)count * sizeof *bound);
    }
    clf_test_within(t, tokens, want, bound);
    clf_conv_compress_destroy(m);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void grids_of_any_sides_are_convolved(void **state)
{
    static const clf_grid grids[] = { { 1, 1 }, { 1, 2 }, { 2, 2 }, { 3, 3 }, { 4, 4 }, { 5, 7 }, { 8, 6 }, { 9, 1 } };

    for (size_t i = 0; i < CLF_COUNT(grids); i++) {
        check_grid(*state, CLF_F32, 1, grids[i]);
        check_grid(*state, i % 2 == 0 ? CLF_F16 : CLF_BF16, 3, grids[i]);
    }
}

/* 400 tokens behind the first convolution: ten pictures at once, then two. */
static void pictures_of_any_number_are_computed(void **state)
{
    clf_test *t = *state;

    if (!clf_test_small_only(t))
        check_grid(t, CLF_F32, 12, (clf_grid){ 40, 40 });
    check_grid(t, CLF_F32, 5, (clf_grid){ 4, 3 });
}

static void no_pictures_are_a_success(void **state)
{
    clf_test *t = *state;
    const clf_conv_compress_desc d = describe(t);
    clf_conv_compress *m = create(t, &d);
    clf_error err;

    clf_conv_compress_forward(t->stream, m, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 16, DV)), (clf_grid){ 4, 4 },
                              clf_test_empty(t, CLF_F32, CLF_DIMS(0, 1, DT)));
    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_OK);
    clf_conv_compress_destroy(m);
}

/* Behind a CLS token on one side, before text on the other; f16 rounds the f32 result once. */
static void views_on_both_sides_give_the_same_tokens(void **state)
{
    clf_test *t = *state;
    const clf_conv_compress_desc d = describe(t);
    clf_conv_compress *m = create(t, &d);
    const clf_grid grid = { 6, 5 };
    const clf_tensor vision = clf_slice(t->stream, clf_test_normal(t, CLF_F16, CLF_DIMS(2, 31, DV)), 1, 1, 30);
    const clf_tensor dense = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 30, DV));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 4, DT));
    const clf_tensor part = clf_slice(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 9, DT)), 1, 5, 4);
    const clf_tensor half = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 4, DT));

    clf_copy(t->stream, vision, dense);
    clf_conv_compress_forward(t->stream, m, dense, grid, tokens);
    clf_conv_compress_forward(t->stream, m, vision, grid, part);
    clf_conv_compress_forward(t->stream, m, vision, grid, half);
    clf_test_same_bits(t, part, tokens);
    clf_test_exact(t, half, clf_test_values(t, tokens));
    clf_conv_compress_destroy(m);
}

static void refused(clf_test *t, const clf_conv_compress_desc *d, const char *message)
{
    clf_conv_compress *m = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_conv_compress_create(t->ctx, d, &m, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(m);
}

static void descriptors_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_conv_compress_desc good = describe(t);
    clf_conv_compress_desc d = good;

    d.conv1.dim[3] = 1;
    refused(t, &d, "conv_compress: conv1 is f32[5, 3, 3, 1]; want [out, in, 3, 3]");
    d = good;
    d.conv2.dim[1] = 3;
    refused(t, &d, "conv_compress: conv2 is f32[4, 3, 3, 3]; want 5 input channels, the outputs of conv1");
    d = good;
    d.conv2.data = NULL;
    refused(t, &d, "conv_compress: conv2 is f32[4, 5, 3, 3] without data; want host memory");
    d = good;
    d.proj.weight.dim[1] = 3;
    refused(t, &d, "conv_compress: proj.weight is f32[7, 3]; want 4 columns, the outputs of conv2");
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_conv_compress_desc d = describe(t);
    clf_conv_compress *m = create(t, &d);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 12, DV));
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, DT));

    clf_conv_compress_forward(t->stream, m, vision, (clf_grid){ 4, 4 }, tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "conv_compress: vision is f32[1, 12, 3], 12 tokens; want 16, a grid of 4 x 4");
    clf_conv_compress_forward(t->stream, m, vision, (clf_grid){ 12, 0 }, tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "conv_compress: grid is 12 x 0; want sides of 1 to 2^31 - 1");
    clf_conv_compress_forward(t->stream, m, vision, (clf_grid){ 2, 6 }, tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "conv_compress: tokens is f32[1, 1, 7]; want f32[1, 2, 7] or the type of vision");
    clf_conv_compress_forward(t->stream, m, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 12, 4)), (clf_grid){ 3, 4 },
                              tokens);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "conv_compress: vision is f32[1, 12, 4]; want [B, N, 3]");
    clf_conv_compress_destroy(m);
    clf_conv_compress_destroy(NULL);
}

/* ---- a failing call ---- */

typedef struct work {
    const clf_conv_compress_desc *desc;
    clf_tensor vision, tokens;
    float result[2 * DT];
} work;

static clf_status create_and_run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    work *w = user;
    clf_conv_compress *m = NULL;
    clf_status status = clf_conv_compress_create(t->ctx, w->desc, &m, err);

    if (status == CLF_OK) {
        clf_conv_compress_forward(s, m, w->vision, (clf_grid){ 3, 7 }, w->tokens);
        clf_download(s, w->tokens, w->result);
        status = clf_stream_finish(s, err);
    }
    clf_conv_compress_destroy(m);
    return status;
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    const clf_conv_compress_desc d = describe(t);
    work user = { .desc = &d,
                  .vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 21, DV)),
                  .tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, DT)) };
    const clf_walk w = { .name = "conv_compress",
                         .work = create_and_run,
                         .user = &user,
                         .result = user.result,
                         .bytes = sizeof user.result,
                         .beside = true,
                         .arguments = 30 };

    assert_true(clf_walk_calls(t, &w) > 0);
    assert_true(clf_walk_allocations(t, &w) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(grids_of_any_sides_are_convolved),
        CLF_TEST(pictures_of_any_number_are_computed),
        CLF_TEST(no_pictures_are_a_success),
        CLF_TEST(views_on_both_sides_give_the_same_tokens),
        CLF_TEST(descriptors_that_contradict_themselves_are_refused),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(an_error_at_any_call_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
