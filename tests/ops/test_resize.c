/* resize: u8 as Pillow bit for bit, f32 within its bound, windows, views, layouts. */
#include "ops/ops.h"
#include "ref/ref.h"
#include "walk.h"

static clf_resize_options options(clf_resample filter)
{
    clf_resize_options o = clf_resize_options_default();

    o.filter = filter;
    return o;
}

static clf_tensor bytes(clf_test *t, clf_dims dims)
{
    return clf_test_uniform(t, CLF_U8, dims, 0.0, 255.999);
}

static void compare(clf_test *t, clf_tensor x, const clf_resize_options *o, clf_tensor y)
{
    const clf_expected e = clf_ref_resize(t, x, o, y);

    t->zero_limit = 1.0; /* black is a colour */
    clf_resize(t->stream, x, o, y);
    clf_test_within(t, y, e.value, e.bound);
    clf_test_check_guards(t);
}

static clf_tensor result(clf_test *t, const clf_resize_options *o, int64_t B, int64_t h, int64_t w, int64_t C)
{
    return clf_test_empty(t, CLF_F32, o->channels_first ? CLF_DIMS(B, C, h, w) : CLF_DIMS(B, h, w, C));
}

/* Old and new height and width: equal, 1 x 1, lines, up, down, both. */
static const int64_t sizes[][4] = {
    { 7, 5, 7, 5 },   { 1, 1, 1, 1 },     { 1, 1, 9, 4 },   { 13, 1, 4, 3 },  { 1, 29, 2, 6 },
    { 8, 8, 16, 16 }, { 31, 47, 12, 40 }, { 5, 60, 23, 9 }, { 64, 64, 7, 7 }, { 3, 200, 20, 21 },
};

static void each_size(clf_test *t, clf_dtype dtype, clf_resample filter, bool antialias)
{
    static const int64_t channels[] = { 1, 2, 3, 4, 7, 16, 35 };

    for (size_t i = 0; i < CLF_COUNT(sizes) * CLF_COUNT(channels); i++) {
        const int64_t *n = sizes[i % CLF_COUNT(sizes)], C = channels[i / CLF_COUNT(sizes)];
        clf_resize_options o = options(filter);
        const clf_dims dims = CLF_DIMS(2, n[0], n[1], C);
        const clf_tensor x = dtype == CLF_U8 ? bytes(t, dims) : clf_test_normal(t, dtype, dims);

        o.antialias = antialias;
        o.channels_first = i % 2 != 0;
        compare(t, x, &o, result(t, &o, 2, n[2], n[3], C));
        clf_test_release_all(t);
    }
}

static void u8_is_exact(void **state)
{
    each_size(*state, CLF_U8, CLF_RESAMPLE_BILINEAR, true);
    each_size(*state, CLF_U8, CLF_RESAMPLE_BICUBIC, true);
    each_size(*state, CLF_U8, CLF_RESAMPLE_LANCZOS, true);
    each_size(*state, CLF_U8, CLF_RESAMPLE_BILINEAR, false);
}

static void f32_is_within_its_bound(void **state)
{
    each_size(*state, CLF_F32, CLF_RESAMPLE_BILINEAR, true);
    each_size(*state, CLF_F32, CLF_RESAMPLE_BICUBIC, true);
    each_size(*state, CLF_F32, CLF_RESAMPLE_LANCZOS, true);
    each_size(*state, CLF_F32, CLF_RESAMPLE_BILINEAR, false);
}

/* Contrasts that leave 0 .. 255 between the passes: the cubic overshoots. */
static void bicubic_is_cut_at_black_and_white(void **state)
{
    clf_test *t = *state;
    clf_resize_options o = options(CLF_RESAMPLE_BICUBIC);
    double values[11 * 13 * 3];

    for (size_t i = 0; i < CLF_COUNT(values); i++)
        values[i] = clf_test_random(t) < 0.5 ? 0.0 : 255.0;
    const clf_tensor x = clf_test_from(t, CLF_U8, CLF_DIMS(1, 11, 13, 3), values);
    compare(t, x, &o, result(t, &o, 1, 40, 31, 3));
    compare(t, x, &o, result(t, &o, 1, 5, 6, 3));
}

/* By hand: a picture of two pixels, 0 and 100, to four: 0, 25, 75, 100; mean and std after that. */
static void mean_and_std_come_last(void **state)
{
    static const double mean[] = { 0.25 }, std[] = { 0.5 };
    clf_test *t = *state;
    clf_resize_options o = options(CLF_RESAMPLE_BILINEAR);
    const clf_tensor x = clf_test_from(t, CLF_U8, CLF_DIMS(1, 2, 1), (const double[]){ 0, 100 });
    const clf_tensor plain = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 1));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 1));

    clf_resize(t->stream, x, &o, plain);
    clf_test_exact(t, plain, (const double[]){ 0, 25, 75, 100 });
    o.rescale = 0.01;
    o.mean = mean;
    o.std = std;
    clf_resize(t->stream, x, &o, y);
    clf_test_close(t, y, (const double[]){ -0.5, 0.0, 1.0, 1.5 }, 0.0, 1e-6);
}

static void channels_have_their_own_mean_and_std(void **state)
{
    static const double mean[] = { 0.48, 0.45, 0.40 }, std[] = { 0.26, 0.27, 0.28 };
    clf_test *t = *state;

    for (int i = 0; i < 4; i++) {
        clf_resize_options o = options(CLF_RESAMPLE_BICUBIC);
        const clf_tensor x =
            i % 2 != 0 ? bytes(t, CLF_DIMS(3, 20, 31, 3)) : clf_test_normal(t, CLF_F32, CLF_DIMS(3, 20, 31, 3));

        o.channels_first = i >= 2;
        o.rescale = 1.0 / 255.0;
        o.mean = mean;
        o.std = std;
        compare(t, x, &o, result(t, &o, 3, 14, 19, 3));
    }
}

/* Inside, and over every edge: outside the picture is 0. */
static void a_window_is_part_of_the_whole(void **state)
{
    static const int64_t windows[][4] = {
        { 3, 4, 8, 7 }, { -2, -3, 30, 40 }, { 18, 2, 5, 5 }, { -9, 0, 4, 4 }, { 40, 40, 3, 3 }
    };
    clf_test *t = *state;

    for (size_t i = 0; i < 4 * CLF_COUNT(windows); i++) {
        const int64_t *n = windows[i / 4], C = i % 4 < 2 ? 3 : 20;
        clf_resize_options o = options(CLF_RESAMPLE_BICUBIC);
        const clf_dims dims = CLF_DIMS(2, 31, 17, C);
        const clf_tensor x = i % 2 != 0 ? bytes(t, dims) : clf_test_normal(t, CLF_F32, dims);

        o.top = n[0];
        o.left = n[1];
        o.height = 20;
        o.width = 33;
        compare(t, x, &o, result(t, &o, 2, n[2], n[3], C));
    }
}

/* Rows with gaps, a batch with gaps, a result inside a larger tensor. */
static void views_on_both_sides_leave_the_neighbours_untouched(void **state)
{
    clf_test *t = *state;

    for (int i = 0; i < 4; i++) {
        const int64_t C = i % 2 != 0 ? 3 : 18;
        clf_resize_options o = options(CLF_RESAMPLE_BILINEAR);
        const clf_dims dims = CLF_DIMS(2, 9, 14, C);
        const clf_tensor wide = i >= 2 ? bytes(t, dims) : clf_test_normal(t, CLF_F32, dims);
        const clf_tensor x = clf_slice(t->stream, clf_slice(t->stream, wide, 2, 3, 8), 1, 2, 6);
        const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 7, 5 * C), 100);
        clf_tensor y = clf_slice(t->stream, whole, 1, 2, 4); /* rows of 5 pixels */

        y.rank = 4;
        y.dim[2] = 5;
        y.dim[3] = y.stride[2] = C;
        y.stride[3] = 1;
        compare(t, x, &o, y);
        clf_ops_rest_untouched(t, whole, 2, 4);
    }
}

static void a_batch_is_its_pictures_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (int i = 0; i < 3; i++) {
        clf_resize_options o = options(CLF_RESAMPLE_BICUBIC);
        const int64_t C = i == 0 ? 3 : 19;
        const clf_tensor x =
            i == 2 ? bytes(t, CLF_DIMS(3, 12, 9, C)) : clf_test_normal(t, CLF_F32, CLF_DIMS(3, 12, 9, C));
        const clf_tensor y = result(t, &o, 3, 7, 20, C), one = result(t, &o, 1, 7, 20, C);

        clf_resize(t->stream, x, &o, y);
        clf_resize(t->stream, clf_slice(t->stream, x, 0, 1, 1), &o, one);
        clf_test_same_bits(t, clf_slice(t->stream, y, 0, 1, 1), one);
    }
}

static void a_nan_reaches_only_what_weighs_it(void **state)
{
    clf_test *t = *state;
    clf_resize_options o = options(CLF_RESAMPLE_BICUBIC);

    for (int64_t C = 1; C <= 17; C += 16) {
        double *values = clf_test_memory(t, (size_t)(36 * C) * sizeof *values);

        for (int64_t i = 0; i < 36 * C; i++)
            values[i] = i / C == 14 ? (double)NAN : i / C == 35 ? (double)INFINITY : (double)i;
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 6, 6, C), values);
        const clf_tensor y = result(t, &o, 1, 6, 6, C);

        clf_resize(t->stream, x, &o, y);
        clf_test_exact(t, y, values); /* the same size: every pixel is itself alone */
        o.filter = CLF_RESAMPLE_BILINEAR;
        compare(t, x, &o, result(t, &o, 1, 4, 9, C));
    }
}

static void nothing_in_nothing_out(void **state)
{
    clf_test *t = *state;

    clf_resize(t->stream, bytes(t, CLF_DIMS(0, 4, 4, 3)), NULL, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 2, 2, 3)));
    clf_resize(t->stream, bytes(t, CLF_DIMS(4, 4, 3)), NULL, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 0, 3)));
    clf_resize(t->stream, bytes(t, CLF_DIMS(4, 4, 0)), NULL, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 2, 0)));
    (void)clf_test_values(t, bytes(t, CLF_DIMS(1))); /* the stream has not failed */
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = bytes(t, CLF_DIMS(4, 4, 3)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 2, 3));

    clf_resize(t->stream, x, NULL, clf_slice(t->stream, y, 2, 0, 2));
    clf_resize(t->stream, x, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "resize: y is f32[2, 2, 2]; want height, width, channels for x u8[4, 4, 3]");
    clf_ops_untouched(t, y);
}

typedef struct job {
    clf_tensor x, y;
    clf_resize_options options;
    float *result;
} job;

static clf_status work(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const job *j = user;

    (void)t;
    clf_resize(s, j->x, &j->options, j->y);
    clf_download(s, j->y, j->result);
    return clf_stream_finish(s, err);
}

/* Both passes apart with mean and std, and both at once. */
static void a_failure_at_any_call_is_reported(void **state)
{
    clf_test *t = *state;

    for (int64_t C = 3; C <= 20; C += 17) {
        job j = { .options = options(CLF_RESAMPLE_BICUBIC), .x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 9, 8, C)) };
        const clf_walk walk = { .name = "resize",
                                .work = work,
                                .user = &j,
                                .result = clf_test_memory(t, (size_t)(30 * C) * sizeof(float)),
                                .bytes = (size_t)(30 * C) * sizeof(float) };

        j.y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 5, 6, C));
        j.options.rescale = C == 3 ? 0.5 : 1.0;
        j.result = walk.result;
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK); /* the walk has streams of its own */
        assert_true(clf_walk_calls(t, &walk) > (clf_test_small_only(t) ? 0 : 5));
        assert_true(clf_walk_allocations(t, &walk) >= (clf_test_small_only(t) ? 0 : 4));
    }
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_U8, 8, 6, 3), y = CLF_OPS_SHAPE(CLF_F32, 4, 4, 3);
    clf_resize_options o = clf_resize_options_default();
    clf_tensor gaps = x;

    (void)state;
    CLF_OPS_ACCEPTS(clf_resize_check(x, NULL, y, &err));
    CLF_OPS_REFUSES(clf_resize_check(CLF_OPS_SHAPE(CLF_F16, 8, 6, 3), NULL, y, &err), CLF_UNSUPPORTED,
                    "resize: x is f16[8, 6, 3]; want u8 or f32");
    CLF_OPS_REFUSES(clf_resize_check(CLF_OPS_SHAPE(CLF_U8, 8, 6), NULL, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: x is u8[8, 6]; want [H, W, C] or [B, H, W, C] with a pixel");
    CLF_OPS_REFUSES(clf_resize_check(CLF_OPS_SHAPE(CLF_U8, 8, 0, 3), NULL, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: x is u8[8, 0, 3]; want [H, W, C] or [B, H, W, C] with a pixel");
    gaps.stride[1] = 4;
    gaps.stride[0] = 24;
    CLF_OPS_REFUSES(clf_resize_check(gaps, NULL, y, &err), CLF_UNSUPPORTED,
                    "resize: x is a view with gaps between pixels; want a row without");
    CLF_OPS_REFUSES(clf_resize_check(x, NULL, CLF_OPS_SHAPE(CLF_U8, 4, 4, 3), &err), CLF_UNSUPPORTED,
                    "resize: y is u8[4, 4, 3]; want f32");
    CLF_OPS_REFUSES(clf_resize_check(x, NULL, CLF_OPS_SHAPE(CLF_F32, 1, 4, 4, 3), &err), CLF_INVALID_ARGUMENT,
                    "resize: y is f32[1, 4, 4, 3]; want height, width, channels for x u8[8, 6, 3]");
    CLF_OPS_REFUSES(
        clf_resize_check(CLF_OPS_SHAPE(CLF_F32, 2, 8, 6, 3), NULL, CLF_OPS_SHAPE(CLF_F32, 3, 4, 4, 3), &err),
        CLF_INVALID_ARGUMENT, "resize: y is f32[3, 4, 4, 3]; want height, width, channels for x f32[2, 8, 6, 3]");
    o.channels_first = true;
    CLF_OPS_REFUSES(clf_resize_check(x, &o, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: y is f32[4, 4, 3]; want channels, height, width for x u8[8, 6, 3]");
    o = clf_resize_options_default();
    o.filter = (clf_resample)3;
    CLF_OPS_REFUSES(clf_resize_check(x, &o, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: filter is 3; want bilinear, bicubic or lanczos");
    o.filter = CLF_RESAMPLE_BICUBIC;
    o.antialias = false;
    CLF_OPS_REFUSES(clf_resize_check(x, &o, y, &err), CLF_UNSUPPORTED,
                    "resize: antialias is false for bicubic; want true, or bilinear");
    o = clf_resize_options_default();
    o.height = -1;
    CLF_OPS_REFUSES(clf_resize_check(x, &o, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: height is -1 and width 0; want at least 1, or 0 for that of y");
    o.height = INT64_C(1) << 31;
    CLF_OPS_REFUSES(clf_resize_check(x, &o, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: height goes from 8 to 2147483648; want 1 to 2^31 - 1");
    o = clf_resize_options_default();
    o.left = INT64_MIN;
    CLF_OPS_REFUSES(clf_resize_check(x, &o, y, &err), CLF_INVALID_ARGUMENT,
                    "resize: width begins at -9223372036854775808; want at most 2^31 - 1 from the picture");
    CLF_OPS_REFUSES(clf_resize_check(CLF_OPS_SHAPE(CLF_U8, 8, 100000000, 3), NULL, y, &err), CLF_UNSUPPORTED,
                    "resize: width goes from 100000000 to 4, 50000001 weights for each of 4; want at most 2^24");
    CLF_OPS_REFUSES(clf_resize_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(8, 6, 3)), NULL,
                                     clf_ops_at(CLF_F32, 16, CLF_DIMS(4, 4, 3)), &err),
                    CLF_INVALID_ARGUMENT, "resize: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(u8_is_exact),
        CLF_TEST(f32_is_within_its_bound),
        CLF_TEST(bicubic_is_cut_at_black_and_white),
        CLF_TEST(mean_and_std_come_last),
        CLF_TEST(channels_have_their_own_mean_and_std),
        CLF_TEST(a_window_is_part_of_the_whole),
        CLF_TEST(views_on_both_sides_leave_the_neighbours_untouched),
        CLF_TEST(a_batch_is_its_pictures_bit_for_bit),
        CLF_TEST(a_nan_reaches_only_what_weighs_it),
        CLF_TEST(nothing_in_nothing_out),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(a_failure_at_any_call_is_reported),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
