/* textures against the whole formula in double, under each kernel shape. */
#include "ref/ref.h"

#include "ops/ops.h"

static void agrees_with_the_double_reference(void **state)
{
    static const struct {
        int64_t B, H, W, g;
    } sizes[] = { { 1, 1, 1, 2 },   { 1, 45, 70, 3 },   { 3, 33, 29, 5 }, { 0, 4, 4, 2 },
                  { 1, 16, 16, 1 }, { 2, 300, 257, 2 }, { 1, 2, 9, 33 },  { 1, 80, 80, 5 } };
    clf_test *t = *state;

    t->zero_limit = 0.65; /* a picture of one pixel has no edges */
    for (size_t i = 0; i < CLF_COUNT(sizes) * CLF_COUNT(clf_ops_types); i++) {
        const clf_dtype dtype = clf_ops_types[i % 3];
        const int64_t B = sizes[i / 3].B, g = sizes[i / 3].g;
        const clf_tensor x = clf_test_uniform(t, dtype, CLF_DIMS(B, 3, sizes[i / 3].H, sizes[i / 3].W), 0, 1);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, 13, g, g));

        clf_textures(t->stream, x, y);
        const clf_expected want = clf_ref_textures(t, x, y);
        clf_test_within(t, y, want.value, want.bound);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* Black, white, and colours beyond both. */
static void extremes_are_colours_too(void **state)
{
    static const double colours[] = { 0, 1, -0.5, 2, 0.04045, 0.003 };
    clf_test *t = *state;
    double values[3 * 36];

    for (int i = 0; i < 3 * 36; i++)
        values[i] = colours[(i * 7 + i / 36) % 6];
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 3, 6, 6), values);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 13, 4, 4));

    clf_textures(t->stream, x, y);
    const clf_expected want = clf_ref_textures(t, x, y);
    for (int i = 0; i < 13 * 16; i++)
        want.bound[i] *= 4; /* the bounds are of colours up to 1 */
    clf_test_within(t, y, want.value, want.bound);
}

static void a_picture_alone_and_in_a_batch_give_the_same_bits(void **state)
{
    clf_test *t = *state;
    const clf_tensor whole = clf_test_uniform(t, CLF_F32, CLF_DIMS(3, 3, 40, 31), 0, 1);
    const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 13, 4, 4));
    const clf_tensor one = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 13, 4, 4));

    clf_textures(t->stream, whole, all);
    clf_textures(t->stream, clf_slice(t->stream, whole, 0, 1, 1), one);
    clf_test_same_bits(t, one, clf_slice(t->stream, all, 0, 1, 1));
}

/* Part of a larger picture, into channels 2 .. 14 of a wider array. */
static void views_are_read_and_written_in_place(void **state)
{
    clf_test *t = *state;
    const clf_tensor wide = clf_test_uniform(t, CLF_F32, CLF_DIMS(2, 3, 24, 33), 0, 1);
    const clf_tensor array = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 16, 9));
    const clf_tensor x = clf_slice(t->stream, wide, 3, 2, 30);
    clf_tensor y = clf_slice(t->stream, array, 1, 2, 13);

    y.rank = 4;
    y.dim[2] = y.dim[3] = y.stride[2] = 3;
    y.stride[3] = 1;
    const clf_tensor dense = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 13, 3, 3));

    clf_textures(t->stream, x, y);
    clf_textures(t->stream, x, dense);
    clf_test_same_bits(t, y, dense);
    const clf_expected want = clf_ref_textures(t, x, dense);
    clf_test_within(t, dense, want.value, want.bound);
    clf_ops_rest_untouched(t, array, 2, 13);
}

/* What scaling would make large: rounding must not draw edges on a plain surface. */
static void a_plain_surface_has_no_edges_at_all(void **state)
{
    clf_test *t = *state;
    double values[3 * 23 * 17];

    for (int k = 0; k < 20; k++) {
        double colour[3] = { clf_test_random(t), clf_test_random(t), clf_test_random(t) };

        for (int i = 0; i < 3 * 23 * 17; i++)
            values[i] = colour[i / (23 * 17)];
        const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 3, 23, 17), values);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 13, 5, 5));

        clf_textures(t->stream, x, y);
        const double *got = clf_test_values(t, y);
        for (int i = 0; i < 25; i++) {
            assert_true(got[5 * 25 + i] == 0.0 && got[6 * 25 + i] == 0.0);
            assert_true(got[7 * 25 + i] == got[7 * 25] && got[i] == got[0] && got[3 * 25 + i] == got[3 * 25]);
        }
        clf_test_release_all(t);
    }
}

static void nan_stays_in_the_cells_that_see_it(void **state)
{
    clf_test *t = *state;
    double values[3 * 64 * 64];

    for (int i = 0; i < 3 * 64 * 64; i++)
        values[i] = i % 11 / 11.0;
    values[64 * 64 + 7 * 64 + 24] = NAN; /* green of a middle pixel of cell (0, 1) */
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(1, 3, 64, 64), values);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 13, 4, 4));

    clf_textures(t->stream, x, y);
    const double *got = clf_test_values(t, y);
    for (int i = 0; i < 13 * 16; i++) {
        const int c = i / 16;

        assert_int_equal(isnan(got[i]) != 0, i % 16 == 1 && c != 0 && c != 2 && (c < 8 || c > 10));
    }
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 3, 5, 5), 0, 1);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 13, 2, 2));

    clf_textures(t->stream, x, clf_slice(t->stream, y, 1, 0, 12));
    clf_textures(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "textures: y is f32[1, 12, 2, 2]; want f32[1, 13, g, g], for x");
    clf_ops_untouched(t, y);
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 5, 7), y = CLF_OPS_SHAPE(CLF_F32, 2, 13, 4, 4);

    (void)state;
    CLF_OPS_ACCEPTS(clf_textures_check(x, y, &err));
    CLF_OPS_REFUSES(clf_textures_check(CLF_OPS_SHAPE(CLF_F32, 2, 4, 5, 7), y, &err), CLF_INVALID_ARGUMENT,
                    "textures: x is f32[2, 4, 5, 7]; want [B, 3, H, W]");
    CLF_OPS_REFUSES(clf_textures_check(CLF_OPS_SHAPE(CLF_U8, 2, 3, 5, 7), y, &err), CLF_UNSUPPORTED,
                    "textures: x is u8[2, 3, 5, 7]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_textures_check(CLF_OPS_SHAPE(CLF_F32, 2, 3, 5, 0), y, &err), CLF_INVALID_ARGUMENT,
                    "textures: x is f32[2, 3, 5, 0]; want height and width from 1 to 2^31 - 1");
    CLF_OPS_REFUSES(clf_textures_check(x, CLF_OPS_SHAPE(CLF_F32, 1, 13, 4, 4), &err), CLF_INVALID_ARGUMENT,
                    "textures: y is f32[1, 13, 4, 4]; want f32[2, 13, g, g], for x f16[2, 3, 5, 7]");
    CLF_OPS_REFUSES(clf_textures_check(x, CLF_OPS_SHAPE(CLF_F32, 2, 13, 4, 5), &err), CLF_INVALID_ARGUMENT,
                    "textures: y is f32[2, 13, 4, 5]; want f32[2, 13, g, g], for x f16[2, 3, 5, 7]");
    CLF_OPS_REFUSES(clf_textures_check(x, CLF_OPS_SHAPE(CLF_F32, 2, 13, 4097, 4097), &err), CLF_INVALID_ARGUMENT,
                    "textures: g is 4097; want 1 to 4096");
    CLF_OPS_REFUSES(clf_textures_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 3, 9, 9)),
                                       clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 13, 2, 2)), &err),
                    CLF_INVALID_ARGUMENT, "textures: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(extremes_are_colours_too),
        CLF_TEST(a_picture_alone_and_in_a_batch_give_the_same_bits),
        CLF_TEST(views_are_read_and_written_in_place),
        CLF_TEST(a_plain_surface_has_no_edges_at_all),
        CLF_TEST(nan_stays_in_the_cells_that_see_it),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
