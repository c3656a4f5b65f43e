/* rotary: exact, since the kernel rounds where the reference does. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_rotary_pairs all_pairs[] = { CLF_ROTARY_HALVES, CLF_ROTARY_ADJACENT, CLF_ROTARY_QUARTERS };

/* A table of cosines and sines of random angles; they need not belong to each other for the formula to hold. */
static clf_tensor table(clf_test *t, clf_dims dims)
{
    return clf_test_uniform(t, CLF_F32, dims, -1, 1);
}

static void one_case(clf_test *t, clf_dtype dtype, clf_dims dims, int64_t R, bool wide, bool shared)
{
    const int64_t B = dims.dim[0], T = dims.dim[1], P = wide ? R : R / 2;
    const clf_dims rows = shared ? CLF_DIMS(T, P) : CLF_DIMS(B, T, P);

    for (size_t i = 0; i < CLF_COUNT(all_pairs); i++) {
        if (all_pairs[i] == CLF_ROTARY_QUARTERS && R % 4 != 0)
            continue;
        const clf_tensor x = clf_test_normal(t, dtype, dims), y = clf_test_empty(t, dtype, dims);
        const clf_tensor c = table(t, rows), s = table(t, rows);
        const int64_t width = R == dims.dim[3] && shared ? 0 : R;

        clf_rotary(t->stream, x, c, s, all_pairs[i], width, y);
        clf_test_exact(t, y, clf_ref_rotary(t, x, c, s, all_pairs[i], width));
    }
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void turns_as_the_reference_for_every_size(void **state)
{
    static const struct {
        int64_t B, T, H, D, R;
    } sizes[] = { { 1, 5, 2, 64, 64 },   { 3, 7, 3, 80, 80 }, { 2, 3, 1, 2, 2 },    { 1, 2, 5, 34, 34 },
                  { 2, 4, 2, 36, 36 },   { 3, 5, 2, 96, 24 }, { 1, 3, 4, 256, 64 }, { 2, 2, 3, 37, 30 },
                  { 1, 1, 1, 7, 4 },     { 0, 3, 2, 8, 8 },   { 2, 0, 2, 8, 8 },    { 2, 3, 0, 8, 8 },
                  { 3, 131, 1, 16, 16 }, { 2, 9, 40, 72, 72 } };

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(sizes); i++)
            for (int k = 0; k < 4; k++)
                one_case(*state, clf_ops_types[d], CLF_DIMS(sizes[i].B, sizes[i].T, sizes[i].H, sizes[i].D), sizes[i].R,
                         k % 2 == 1, k / 2 == 1);
}

/* A quarter turn: (a, b) becomes (-b, a), so every layout shows which features are a pair. */
static void a_quarter_turn_shows_the_pairs(void **state)
{
    static const double x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, cosines[4] = { 0, 0, 0, 0 }, sines[4] = { 1, 1, 1, 1 };
    static const double want[3][8] = { { -5, -6, -7, -8, 1, 2, 3, 4 },
                                       { -2, 1, -4, 3, -6, 5, -8, 7 },
                                       { -3, -4, 1, 2, -7, -8, 5, 6 } };
    clf_test *t = *state;
    const clf_tensor c = clf_test_from(t, CLF_F32, CLF_DIMS(1, 4), cosines);
    const clf_tensor s = clf_test_from(t, CLF_F32, CLF_DIMS(1, 4), sines);

    for (size_t i = 0; i < CLF_COUNT(all_pairs); i++) {
        const clf_tensor given = clf_test_from(t, CLF_F32, CLF_DIMS(1, 1, 1, 8), x);

        clf_rotary(t->stream, given, c, s, all_pairs[i], 0, given);
        clf_test_close(t, given, want[i], 0, 0);
    }
}

static void in_place_equals_out_of_place_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(all_pairs); i++) {
            const clf_dims dims = CLF_DIMS(2, 5, 3, 84);
            const clf_tensor x = clf_test_normal(t, clf_ops_types[d], dims), y = clf_test_empty(t, x.dtype, dims);
            const clf_tensor c = table(t, CLF_DIMS(5, 34)), s = table(t, CLF_DIMS(5, 34));

            clf_rotary(t->stream, x, c, s, all_pairs[i], 68, y);
            clf_rotary(t->stream, x, c, s, all_pairs[i], 68, x);
            clf_test_same_bits(t, x, y);
        }
}

/* Queries and keys in one product [B, T, 3 H D], as towers have them: the values stay. */
static void parts_of_one_product_turn_in_place(void **state)
{
    enum { B = 2, T = 5, H = 3, D = 40 };
    clf_test *t = *state;
    const clf_tensor whole = clf_test_normal(t, CLF_F16, CLF_DIMS(B, T, 3 * H * D));
    const clf_tensor heads = clf_heads(t->stream, whole, 3 * H);
    const clf_tensor c = table(t, CLF_DIMS(B, T, D / 2)), s = table(t, CLF_DIMS(B, T, D / 2));
    const double *was = clf_test_given(t, whole), *now;

    for (int part = 0; part < 2; part++) {
        const clf_tensor x = clf_slice(t->stream, heads, 2, part * H, H);
        const double *want = clf_ref_rotary(t, x, c, s, CLF_ROTARY_HALVES, 0);

        clf_rotary(t->stream, x, c, s, CLF_ROTARY_HALVES, 0, x);
        clf_test_exact(t, x, want);
    }
    now = clf_test_values(t, whole);
    for (int64_t i = 0; i < B * T * 3 * H * D; i++)
        if (i % (3 * H * D) >= 2 * H * D)
            assert_true(now[i] == was[i]);
}

/* [B, H, T, D] seen as [B, T, H, D], into a view of a longer sequence. */
static void any_strides_will_do(void **state)
{
    enum { B = 3, T = 4, H = 2, D = 36 };
    clf_test *t = *state;
    clf_tensor x = clf_test_normal(t, CLF_BF16, CLF_DIMS(B, H, T, D));
    const clf_tensor whole = clf_test_integers(t, CLF_BF16, CLF_DIMS(B, 9, H * D), 100);
    const clf_tensor part = clf_slice(t->stream, whole, 1, 3, T), y = clf_heads(t->stream, part, H);
    const clf_tensor wide = table(t, CLF_DIMS(T, D + 5)), s = table(t, CLF_DIMS(T, D));
    const clf_tensor c = clf_slice(t->stream, wide, 1, 2, D);

    x.dim[1] = T;
    x.dim[2] = H;
    x.stride[1] = D;
    x.stride[2] = T * D;
    clf_rotary(t->stream, x, c, s, CLF_ROTARY_ADJACENT, 0, y);
    clf_test_exact(t, y, clf_ref_rotary(t, x, c, s, CLF_ROTARY_ADJACENT, 0));
    clf_ops_rest_untouched(t, whole, 3, T);
}

static void a_batch_gives_the_bits_of_its_parts(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(all_pairs); i++) {
        const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(3, 17, 2, 72));
        const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(3, 17, 2, 72));
        const clf_tensor alone = clf_test_empty(t, CLF_F16, CLF_DIMS(1, 17, 2, 72));
        const clf_tensor c = table(t, CLF_DIMS(3, 17, 36)), s = table(t, CLF_DIMS(3, 17, 36));

        clf_rotary(t->stream, x, c, s, all_pairs[i], 0, y);
        for (int64_t b = 0; b < 3; b++) {
            clf_rotary(t->stream, clf_slice(t->stream, x, 0, b, 1), clf_slice(t->stream, c, 0, b, 1),
                       clf_slice(t->stream, s, 0, b, 1), all_pairs[i], 0, alone);
            clf_test_same_bits(t, alone, clf_slice(t->stream, y, 0, b, 1));
        }
    }
}

static void nan_and_inf_stay_in_their_pair(void **state)
{
    static const double x[8] = { NAN, 1, 2, INFINITY, 3, 4, 5, 6 }, c[4] = { 0.5, 1, 1, 0.5 },
                        s[4] = { 0.25, 2, 3, 0.5 };
    static const double want[8] = { NAN, -7, -13, INFINITY, NAN, 6, 11, INFINITY };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor given = clf_test_from(t, clf_ops_types[d], CLF_DIMS(1, 1, 1, 8), x);

        clf_rotary(t->stream, given, clf_test_from(t, CLF_F32, CLF_DIMS(1, 4), c),
                   clf_test_from(t, CLF_F32, CLF_DIMS(1, 4), s), CLF_ROTARY_HALVES, 0, given);
        clf_test_close(t, given, want, 0, 0);
    }
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 2, 8));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 2, 8)), c = table(t, CLF_DIMS(3, 4));

    clf_rotary(t->stream, x, c, table(t, CLF_DIMS(2, 4)), CLF_ROTARY_HALVES, 0, y);
    clf_rotary(t->stream, x, c, c, CLF_ROTARY_HALVES, 0, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "rotary: sines is f32[2, 4]; want [3, P] or [2, 3, P] with P 4 or 8, for x f32[2, 3, 2, 8]");
    clf_ops_untouched(t, y);
}

static void the_check_names_widths_and_tables(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_BF16, 2, 3, 4, 20), c = CLF_OPS_SHAPE(CLF_F32, 3, 10);
    const clf_tensor b = CLF_OPS_SHAPE(CLF_F32, 2, 3, 10);
    const clf_rotary_pairs halves = CLF_ROTARY_HALVES;

    (void)state;
    CLF_OPS_ACCEPTS(clf_rotary_check(x, c, c, halves, 0, x, &err));
    CLF_OPS_ACCEPTS(clf_rotary_check(x, b, b, CLF_ROTARY_QUARTERS, 20, x, &err));
    CLF_OPS_ACCEPTS(clf_rotary_check(x, c, c, CLF_ROTARY_ADJACENT, 10, x, &err));
    CLF_OPS_REFUSES(clf_rotary_check(x, b, c, halves, 0, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: sines is f32[3, 10]; want f32[2, 3, 10], like cosines");
    CLF_OPS_REFUSES(clf_rotary_check(CLF_OPS_SHAPE(CLF_F64, 2, 3, 4, 20), c, c, halves, 0, x, &err), CLF_UNSUPPORTED,
                    "rotary: x is f64[2, 3, 4, 20]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_rotary_check(CLF_OPS_SHAPE(CLF_F32, 3, 4, 20), c, c, halves, 0, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: x is f32[3, 4, 20]; want [B, T, H, D]");
    CLF_OPS_REFUSES(clf_rotary_check(x, c, c, (clf_rotary_pairs)7, 0, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: pairs is 7; want CLF_ROTARY_HALVES, _ADJACENT or _QUARTERS");
    CLF_OPS_REFUSES(clf_rotary_check(x, c, c, halves, 22, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: width is 22; want 2 to 20, the width of a head of x bf16[2, 3, 4, 20]");
    CLF_OPS_REFUSES(clf_rotary_check(x, c, c, halves, 13, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: width is 13; want a multiple of 2 for these pairs");
    CLF_OPS_REFUSES(clf_rotary_check(x, c, c, CLF_ROTARY_QUARTERS, 18, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: width is 18; want a multiple of 4 for these pairs");
    CLF_OPS_REFUSES(clf_rotary_check(x, CLF_OPS_SHAPE(CLF_F16, 3, 10), c, halves, 0, x, &err), CLF_UNSUPPORTED,
                    "rotary: cosines is f16[3, 10]; want f32");
    CLF_OPS_REFUSES(clf_rotary_check(x, CLF_OPS_SHAPE(CLF_F32, 3, 9), c, halves, 0, x, &err), CLF_INVALID_ARGUMENT,
                    "rotary: cosines is f32[3, 9]; want [3, P] or [2, 3, P] with P 10 or 20, for x bf16[2, 3, 4, 20]");
}

static void the_check_names_views_and_overlaps(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 3, 4, 20), c = CLF_OPS_SHAPE(CLF_F32, 3, 10);
    const clf_tensor at = clf_ops_at(CLF_F32, 0, CLF_DIMS(2, 3, 4, 20));
    clf_tensor view = x;

    (void)state;
    view.stride[3] = 2;
    CLF_OPS_REFUSES(clf_rotary_check(view, c, c, CLF_ROTARY_HALVES, 0, x, &err), CLF_UNSUPPORTED,
                    "rotary: x is a view with stride 2 in its last dimension; want 1");
    view = x;
    view.stride[1] = 0;
    CLF_OPS_REFUSES(clf_rotary_check(x, c, c, CLF_ROTARY_HALVES, 0, view, &err), CLF_INVALID_ARGUMENT,
                    "rotary: y f32[2, 3, 4, 20] is a view whose rows meet; want each element in a place of its own");
    CLF_OPS_REFUSES(clf_rotary_check(x, c, c, CLF_ROTARY_HALVES, 0, CLF_OPS_SHAPE(CLF_F16, 2, 3, 4, 20), &err),
                    CLF_INVALID_ARGUMENT, "rotary: y is f16[2, 3, 4, 20]; want f32[2, 3, 4, 20], like x");
    CLF_OPS_REFUSES(
        clf_rotary_check(clf_ops_at(CLF_F32, 2, CLF_DIMS(2, 3, 4, 20)), c, c, CLF_ROTARY_HALVES, 0, x, &err),
        CLF_INVALID_ARGUMENT, "rotary: x begins at byte 2; want a multiple of 4 for f32");
    CLF_OPS_REFUSES(
        clf_rotary_check(at, c, c, CLF_ROTARY_HALVES, 0, clf_ops_at(CLF_F32, 4, CLF_DIMS(2, 3, 4, 20)), &err),
        CLF_INVALID_ARGUMENT, "rotary: y overlaps x in part; want the same elements, or apart");
    CLF_OPS_REFUSES(clf_rotary_check(x, clf_ops_at(CLF_F32, 8, CLF_DIMS(3, 10)), c, CLF_ROTARY_HALVES, 0, at, &err),
                    CLF_INVALID_ARGUMENT, "rotary: y overlaps cosines; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(turns_as_the_reference_for_every_size),
        CLF_TEST(a_quarter_turn_shows_the_pairs),
        CLF_TEST(in_place_equals_out_of_place_bit_for_bit),
        CLF_TEST(parts_of_one_product_turn_in_place),
        CLF_TEST(any_strides_will_do),
        CLF_TEST(a_batch_gives_the_bits_of_its_parts),
        CLF_TEST(nan_and_inf_stay_in_their_pair),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(the_check_names_widths_and_tables),
        CLF_TEST(the_check_names_views_and_overlaps),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
