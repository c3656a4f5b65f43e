/* unfold: bit for bit, whatever reaches outside the grid. */
#include "ops/ops.h"
#include "ref/ref.h"

typedef struct unfold_case {
    clf_grid from, to;
    int64_t kernel, stride, padding;
} unfold_case;

/* Cells of 2 and 3, of odd sides with zeros to the right and below; convolutions of 3 with stride 1 and 2; single
 * tokens; windows with gaps between them; one that lies outside as a whole. */
static const unfold_case cases[] = {
    { { 4, 6 }, { 2, 3 }, 2, 2, 0 }, { { 6, 3 }, { 2, 1 }, 3, 3, 0 }, { { 5, 7 }, { 3, 4 }, 2, 2, 0 },
    { { 4, 4 }, { 2, 2 }, 3, 2, 1 }, { { 5, 7 }, { 3, 4 }, 3, 2, 1 }, { { 1, 1 }, { 1, 1 }, 3, 2, 1 },
    { { 3, 5 }, { 3, 5 }, 3, 1, 1 }, { { 3, 5 }, { 3, 5 }, 1, 1, 0 }, { { 7, 7 }, { 3, 3 }, 1, 3, 0 },
    { { 2, 2 }, { 2, 3 }, 2, 5, 4 },
};

static clf_unfold_options options_of(const unfold_case *u, clf_unfold_order order)
{
    clf_unfold_options o = clf_unfold_options_default();

    o.kernel = u->kernel;
    o.stride = u->stride;
    o.padding = u->padding;
    o.order = order;
    return o;
}

static void one(clf_test *t, const unfold_case *u, clf_unfold_order order, clf_dtype dtype, int64_t B, int64_t C)
{
    const clf_unfold_options o = options_of(u, order);
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(B, u->from.rows * u->from.columns, C));
    const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(B, u->to.rows * u->to.columns, u->kernel * u->kernel * C));

    clf_unfold(t->stream, x, u->from, &o, u->to, y);
    t->zero_limit = 1.0; /* windows outside are zeros */
    clf_test_exact(t, y, clf_ref_unfold(t, x, u->from, &o, u->to, y));
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void moves_windows_as_the_formula_says(void **state)
{
    static const int64_t widths[] = { 1, 15, 16, 17, 100 };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(cases); i++)
            for (size_t c = 0; c < CLF_COUNT(widths); c++) {
                one(t, &cases[i], CLF_UNFOLD_BLOCK_MAJOR, clf_ops_types[d], 1 + (int64_t)(i % 3), widths[c]);
                one(t, &cases[i], CLF_UNFOLD_CHANNEL_MAJOR, clf_ops_types[d], 3 - (int64_t)(i % 3), widths[c]);
            }
}

/* Several groups of columns, a last one that is not full. */
static void wide_tokens_are_cut_without_gaps(void **state)
{
    static const unfold_case u = { { 4, 2 }, { 2, 1 }, 2, 2, 0 };
    clf_test *t = *state;

    for (size_t i = 0; i < 2; i++) {
        one(t, &u, (clf_unfold_order)i, CLF_F32, 2, clf_test_small_only(t) ? 200 : 5003);
        one(t, &u, (clf_unfold_order)i, CLF_BF16, 1, clf_test_small_only(t) ? 100 : 4099);
    }
}

/* A 2 x 2 grid of two channels: 1 2 and 3 4 with tens for the second channel. */
static void the_two_orders_differ_as_the_families_do(void **state)
{
    static const double x[] = { 1, 10, 2, 20, 3, 30, 4, 40 };
    static const double channels[] = { 1, 2, 3, 4, 10, 20, 30, 40 };
    clf_test *t = *state;
    const clf_tensor in = clf_test_from(t, CLF_F32, CLF_DIMS(1, 4, 2), x);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, 8));
    clf_unfold_options o = clf_unfold_options_default();

    clf_unfold(t->stream, in, (clf_grid){ 2, 2 }, NULL, (clf_grid){ 1, 1 }, y);
    clf_test_exact(t, y, x);
    o.order = CLF_UNFOLD_CHANNEL_MAJOR;
    clf_unfold(t->stream, in, (clf_grid){ 2, 2 }, &o, (clf_grid){ 1, 1 }, y);
    clf_test_exact(t, y, channels);
}

static void views_on_both_sides_leave_the_neighbours_untouched(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < 2; i++) {
        const clf_unfold_options o = options_of(&cases[0], (clf_unfold_order)i);
        const clf_tensor rows = clf_slice(t->stream, clf_test_normal(t, CLF_F16, CLF_DIMS(2, 27, 40)), 1, 2, 24);
        const clf_tensor x = clf_slice(t->stream, rows, 2, 3, 33);
        const clf_tensor whole = clf_test_integers(t, CLF_F16, CLF_DIMS(2, 9, 132), 100);
        const clf_tensor y = clf_slice(t->stream, whole, 1, 1, 6);

        clf_unfold(t->stream, x, cases[0].from, &o, cases[0].to, y);
        clf_test_exact(t, y, clf_ref_unfold(t, x, cases[0].from, &o, cases[0].to, y));
        clf_ops_rest_untouched(t, whole, 1, 6);
    }
}

static void nothing_to_do_is_a_success(void **state)
{
    clf_test *t = *state;
    clf_error err;

    clf_unfold(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 4, 8)), (clf_grid){ 2, 2 }, NULL, (clf_grid){ 1, 1 },
               clf_test_empty(t, CLF_F32, CLF_DIMS(0, 1, 32)));
    clf_unfold(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 0)), (clf_grid){ 2, 2 }, NULL, (clf_grid){ 1, 1 },
               clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, 0)));
    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 12, 8));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, 32));

    clf_unfold(t->stream, x, (clf_grid){ 3, 3 }, NULL, (clf_grid){ 1, 2 }, y);
    clf_unfold(t->stream, x, (clf_grid){ 3, 4 }, NULL, (clf_grid){ 1, 2 }, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "unfold: x is f32[1, 12, 8], 12 tokens; want 9, a grid of 3 x 3");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 12, 8), y = CLF_OPS_SHAPE(CLF_F16, 2, 2, 32);
    const clf_grid from = { 3, 4 }, to = { 1, 2 };
    clf_unfold_options o = clf_unfold_options_default();

    (void)state;
    CLF_OPS_ACCEPTS(clf_unfold_check(x, from, NULL, to, y, &err));
    CLF_OPS_REFUSES(clf_unfold_check(CLF_OPS_SHAPE(CLF_F64, 2, 12, 8), from, NULL, to, y, &err), CLF_UNSUPPORTED,
                    "unfold: x is f64[2, 12, 8]; want a type of 2 or 4 bytes");
    CLF_OPS_REFUSES(clf_unfold_check(CLF_OPS_SHAPE(CLF_F16, 12, 8), from, NULL, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: x is f16[12, 8]; want [B, N, C]");
    CLF_OPS_REFUSES(clf_unfold_check(x, (clf_grid){ 12, 0 }, NULL, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: from is 12 x 0; want sides of 1 to 2^31 - 1");
    CLF_OPS_REFUSES(clf_unfold_check(x, (clf_grid){ 4, 4 }, NULL, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: x is f16[2, 12, 8], 12 tokens; want 16, a grid of 4 x 4");
    CLF_OPS_REFUSES(clf_unfold_check(x, from, NULL, (clf_grid){ 2, 2 }, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: y is f16[2, 2, 32]; want f16[2, 4, 32], a grid of 2 x 2 windows of 2 x 2");
    CLF_OPS_REFUSES(clf_unfold_check(x, from, NULL, to, CLF_OPS_SHAPE(CLF_F32, 2, 2, 32), &err), CLF_INVALID_ARGUMENT,
                    "unfold: y is f32[2, 2, 32]; want f16[2, 2, 32], a grid of 1 x 2 windows of 2 x 2");
    CLF_OPS_REFUSES(clf_unfold_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 4, 8)), (clf_grid){ 2, 2 }, NULL,
                                     (clf_grid){ 1, 1 }, clf_ops_at(CLF_F32, 64, CLF_DIMS(1, 1, 32)), &err),
                    CLF_INVALID_ARGUMENT, "unfold: y overlaps x; want apart");
    o.kernel = 0;
    CLF_OPS_REFUSES(clf_unfold_check(x, from, &o, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: kernel is 0; want 1 to 32768");
    o.kernel = 2;
    o.stride = 32769;
    CLF_OPS_REFUSES(clf_unfold_check(x, from, &o, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: stride is 32769; want 1 to 32768");
    o.stride = 2;
    o.padding = -1;
    CLF_OPS_REFUSES(clf_unfold_check(x, from, &o, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: padding is -1; want 0 to 32768");
    o.padding = 0;
    o.order = (clf_unfold_order)7;
    CLF_OPS_REFUSES(clf_unfold_check(x, from, &o, to, y, &err), CLF_INVALID_ARGUMENT,
                    "unfold: order is 7; want block-major 0 or channel-major 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(moves_windows_as_the_formula_says),
        CLF_TEST(wide_tokens_are_cut_without_gaps),
        CLF_TEST(the_two_orders_differ_as_the_families_do),
        CLF_TEST(views_on_both_sides_leave_the_neighbours_untouched),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
