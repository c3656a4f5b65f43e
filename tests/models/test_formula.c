/* Shape formulas: printing, binding, evaluating.  No device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <string.h>

#include "core/shape.h"
#include "models/formula.h"

static clf_letters widths(void)
{
    clf_letters l = { 0 };

    clf_letters_set(&l, "Dv", 40);
    clf_letters_set(&l, "r", 1);
    clf_letters_set(&l, "s", 4);
    return l;
}

static clf_status bind(const char *port, const char *formula, clf_dims dims, clf_letters *l, clf_dims *whole,
                       clf_error *err)
{
    return clf_formula_bind("family", port, formula, CLF_F32, dims, l, whole, err);
}

static void printing_puts_numbers_for_letters_and_drops_factors_of_one(void **state)
{
    static const char *const rows[][2] = {
        { "[B, N, Dv]", "[B, N, 40]" },
        { "[B', T]", "[B, T]" },
        { "[B, N/r + T, Dv]", "[B, N + T, 40]" },
        { "[N/s, s*N, 3]", "[N/4, 4*N, 3]" },
    };
    const clf_letters l = widths();
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clf_formula_text(rows[i][0], &l, text, sizeof text);
        assert_string_equal(text, rows[i][1]);
    }
    assert_true(clf_formula_text_unbatched("[B, N, Dv]", &l, text, sizeof text));
    assert_string_equal(text, "[N, 40]");
    assert_false(clf_formula_text_unbatched("[S, Dv]", &l, text, sizeof text));
    clf_formula_text("[B, N, Dv]", &l, text, 8); /* cut, never overrun */
    assert_string_equal(text, "[B, N, ");
}

static void letters_are_bound_once_and_compared_after(void **state)
{
    clf_letters l = widths();
    clf_dims whole, dims;
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(bind("vision", "[B, N, Dv]", CLF_DIMS(2, 8, 40), &l, &whole, &err), CLF_OK);
    assert_int_equal(bind("mask", "[B, N]", CLF_DIMS(2, 8), &l, &whole, &err), CLF_OK);
    assert_int_equal(bind("mask", "[B, N]", CLF_DIMS(2, 9), &l, &whole, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: mask is f32[2, 9]; want N of 8, as vision has");
    assert_int_equal(bind("text", "[B', T]", CLF_DIMS(3, 9), &l, &whole, &err), CLF_OK); /* a batch of its own */
    assert_int_equal(bind("grid", "[I, 2]", CLF_DIMS(3, 3), &l, &whole, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: grid is f32[3, 3]; want [I, 2]");
    assert_int_equal(clf_formula_shape("family", "y", "[B, N/s + T, 3*Dv]", &l, &whole, &dims, &err), CLF_OK);
    assert_true(clf_shape_is(clf_tensor_shape(CLF_F32, dims), CLF_DIMS(2, 11, 120)));
}

static void a_batch_may_be_left_out_where_the_formula_has_one(void **state)
{
    clf_letters l = widths();
    clf_dims whole, dims;
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(bind("vision", "[B, N, Dv]", CLF_DIMS(8, 40), &l, &whole, &err), CLF_OK);
    assert_true(clf_shape_is(clf_tensor_shape(CLF_F32, whole), CLF_DIMS(1, 8, 40)));
    assert_int_equal(clf_formula_shape("family", "y", "[B, N, 5]", &l, &whole, &dims, &err), CLF_OK);
    assert_true(clf_shape_is(clf_tensor_shape(CLF_F32, whole), CLF_DIMS(1, 8, 5)));
    assert_true(clf_shape_is(clf_tensor_shape(CLF_F32, dims), CLF_DIMS(8, 5)));
    assert_int_equal(bind("text", "[B, T]", CLF_DIMS(1, 3), &l, &whole, &err), CLF_OK);
    assert_int_equal(clf_formula_shape("family", "y", "[B, N, 5]", &l, &whole, &dims, &err), CLF_OK);
    assert_int_equal(dims.rank, 3);
    assert_int_equal(bind("rows", "[S, Dv]", CLF_DIMS(40), &l, &whole, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: rows is f32[40]; want [S, 40]");
    assert_int_equal(bind("rows", "[S, Dv]", CLF_DIMS(-1, 40), &l, &whole, &err), CLF_INVALID_ARGUMENT);
}

static void what_cannot_be_evaluated_says_why(void **state)
{
    clf_letters l = widths();
    clf_dims whole, dims;
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(bind("vision", "[N, T]", CLF_DIMS(7, INT64_MAX), &l, &whole, &err), CLF_OK);
    assert_int_equal(clf_formula_shape("family", "y", "[N/s]", &l, &whole, &dims, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: N of vision is 7; want a multiple of 4 for y");
    assert_int_equal(clf_formula_shape("family", "y", "[T + N]", &l, &whole, &dims, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: y has a dimension above 2^63 - 1; want it below");
    assert_int_equal(clf_formula_shape("family", "y", "[s*T]", &l, &whole, &dims, &err), CLF_INVALID_ARGUMENT);
}

static void no_letter_overwrites_another_when_there_is_no_room(void **state)
{
    clf_letters l = { 0 };
    clf_dims whole, dims;
    clf_error err = { 0 };

    (void)state;
    for (int i = 0; i < CLF_MAX_LETTERS; i++) {
        const char name[] = { (char)('A' + i / 26), (char)('a' + i % 26), '\0' };
        assert_non_null(clf_letters_set(&l, name, i));
    }
    assert_null(clf_letters_set(&l, "Z", 7));
    assert_int_equal(bind("vision", "[Z]", CLF_DIMS(7), &l, &whole, &err), CLF_INTERNAL);
    assert_string_equal(err.message, "family: Z is one letter more than 32; want a larger CLF_MAX_LETTERS");
    assert_int_equal(l.item[CLF_MAX_LETTERS - 1].value, CLF_MAX_LETTERS - 1);
    assert_null(l.item[CLF_MAX_LETTERS - 1].bound_by);
    assert_int_equal(clf_formula_shape("family", "y", "[Aa, Z]", &l, &whole, &dims, &err), CLF_INTERNAL);
    assert_string_equal(err.message, "family: y is [Aa, Z]; want a value for each letter");
}

static void a_letter_that_follows_from_another_input_is_compared(void **state)
{
    clf_letters l = widths();
    clf_error err = { 0 };

    (void)state;
    assert_int_equal(clf_letters_bind(&l, "family", "M", 9, "grid", &err), CLF_OK);
    assert_int_equal(clf_letters_bind(&l, "family", "M", 9, "image_sizes", &err), CLF_OK);
    assert_int_equal(clf_letters_bind(&l, "family", "M", 8, "image_sizes", &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: M of grid is 9; want 8, as image_sizes says");
    assert_int_equal(clf_letters_bind(&l, "family", "Dv", 8, "grid", &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "family: Dv of the checkpoint is 40; want 8, as grid says");
}

static void forms_are_taken_in_their_order_but_whole_before_without_batch(void **state)
{
    clf_letters l = widths(), m = widths();
    clf_dims whole, dims;
    clf_error err = { 0 };
    char text[64];

    (void)state;
    assert_int_equal(bind("media", "[B, I, M, Dv] | [B, M, Dv]", CLF_DIMS(2, 3, 40), &l, &whole, &err), CLF_OK);
    assert_int_equal(whole.rank, 3);
    assert_null(clf_letters_find(&l, "I"));
    assert_int_equal(clf_formula_shape("family", "y", "[I*M] | [M + 1]", &l, &whole, &dims, &err), CLF_OK);
    assert_int_equal(dims.dim[0], 4);
    assert_int_equal(bind("media", "[B, I, M, Dv] | [B, M, Dv]", CLF_DIMS(7, 40), &m, &whole, &err), CLF_OK);
    assert_true(clf_shape_is(clf_tensor_shape(CLF_F32, whole), CLF_DIMS(1, 7, 40)));
    assert_int_equal(bind("media", "[B', I, M, Dv] | [B, M, Dv]", CLF_DIMS(5, 2, 3, 40), &l, &whole, &err), CLF_OK);
    assert_int_equal(clf_formula_shape("family", "y", "[I*M] | [M + 1]", &l, &whole, &dims, &err), CLF_OK);
    assert_int_equal(dims.dim[0], 6);
    clf_formula_text("[I*M, s] | [M]", &l, text, sizeof text);
    assert_string_equal(text, "[I*M, 4] or [M]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printing_puts_numbers_for_letters_and_drops_factors_of_one),
        cmocka_unit_test(letters_are_bound_once_and_compared_after),
        cmocka_unit_test(a_batch_may_be_left_out_where_the_formula_has_one),
        cmocka_unit_test(what_cannot_be_evaluated_says_why),
        cmocka_unit_test(no_letter_overwrites_another_when_there_is_no_room),
        cmocka_unit_test(a_letter_that_follows_from_another_input_is_compared),
        cmocka_unit_test(forms_are_taken_in_their_order_but_whole_before_without_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
