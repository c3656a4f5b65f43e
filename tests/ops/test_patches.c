/* patches: every value of a picture in its place, bit for bit. */
#include <clfusion/patches.h>

#include "ops/ops.h"

/* The formula of patches.h. */
static const double *expected(clf_test *t, clf_tensor x, int64_t p)
{
    const int64_t B = x.dim[0], C = x.dim[1], H = x.dim[2], W = x.dim[3];
    const double *from = clf_test_given(t, x);
    double *want = clf_test_memory(t, (size_t)(B * C * H * W) * sizeof *want), *to = want;

    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < H / p; i++)
            for (int64_t j = 0; j < W / p; j++)
                for (int64_t c = 0; c < C; c++)
                    for (int64_t u = 0; u < p; u++)
                        for (int64_t v = 0; v < p; v++)
                            *to++ = from[((b * C + c) * H + i * p + u) * W + j * p + v];
    return want;
}

static void every_value_comes_to_its_patch(void **state)
{
    static const struct {
        int64_t B, C, h, w, p;
    } sizes[] = { { 1, 3, 1, 1, 1 }, { 1, 1, 5, 1, 3 }, { 3, 3, 2, 3, 14 }, { 2, 4, 3, 7, 16 }, { 1, 3, 24, 24, 14 } };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
            const int64_t B = sizes[i].B, C = sizes[i].C, h = sizes[i].h, w = sizes[i].w, p = sizes[i].p;
            const clf_tensor x = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(B, C, h * p, w * p));
            const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(B, h * w, C * p * p));

            clf_patches(t->stream, x, p, y);
            clf_test_exact(t, y, expected(t, x, p));
        }
}

static void views_leave_the_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor both = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 4, 6));
    const clf_tensor second = clf_slice(t->stream, both, 0, 1, 1);
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(1, 9, 12), 100);
    const clf_tensor y = clf_slice(t->stream, whole, 1, 2, 6);

    clf_patches(t->stream, second, 2, y);
    const double *want = expected(t, both, 2);
    clf_test_exact(t, y, want + 6 * 12);
    clf_ops_rest_untouched(t, whole, 2, 6);
}

static void no_pictures_are_a_success(void **state)
{
    clf_test *t = *state;

    clf_patches(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 3, 4, 4)), 2,
                clf_test_empty(t, CLF_F32, CLF_DIMS(0, 4, 12)));
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 4, 4));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 4));

    clf_patches(t->stream, x, 3, y);
    clf_patches(t->stream, x, 2, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "patches: x is f32[1, 1, 4, 4]; want height and width divisible by patch 3");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 3, 8, 12), y = CLF_OPS_SHAPE(CLF_F16, 2, 6, 48);

    (void)state;
    CLF_OPS_ACCEPTS(clf_patches_check(x, 4, y, &err));
    CLF_OPS_REFUSES(clf_patches_check(CLF_OPS_SHAPE(CLF_I32, 2, 3, 8, 12), 4, y, &err), CLF_UNSUPPORTED,
                    "patches: x is i32[2, 3, 8, 12]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_patches_check(CLF_OPS_SHAPE(CLF_F16, 3, 8, 12), 4, y, &err), CLF_INVALID_ARGUMENT,
                    "patches: x is f16[3, 8, 12]; want [B, C, H, W]");
    CLF_OPS_REFUSES(clf_patches_check(x, 0, y, &err), CLF_INVALID_ARGUMENT,
                    "patches: patch is 0; want 1 or more, below 2^31");
    CLF_OPS_REFUSES(clf_patches_check(x, 4, CLF_OPS_SHAPE(CLF_F32, 2, 6, 48), &err), CLF_INVALID_ARGUMENT,
                    "patches: y is f32[2, 6, 48]; want [2, 2 x 3, 3 x 4 x 4] of the type of x f16[2, 3, 8, 12]");
    CLF_OPS_REFUSES(clf_patches_check(x, 4, CLF_OPS_SHAPE(CLF_F16, 2, 3, 96), &err), CLF_INVALID_ARGUMENT,
                    "patches: y is f16[2, 3, 96]; want [2, 2 x 3, 3 x 4 x 4] of the type of x f16[2, 3, 8, 12]");
    CLF_OPS_REFUSES(clf_patches_check(clf_ops_at(CLF_F16, 0, CLF_DIMS(2, 3, 8, 12)), 4,
                                      clf_ops_at(CLF_F16, 8, CLF_DIMS(2, 6, 48)), &err),
                    CLF_INVALID_ARGUMENT, "patches: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(every_value_comes_to_its_patch),
        CLF_TEST(views_leave_the_neighbours_untouched),
        CLF_TEST(no_pictures_are_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
