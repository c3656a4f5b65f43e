/* row_products: against double, views, and the bits of linear. */
#include "ops/row_products.h"

#include <string.h>

#include <clfusion/linear.h>

#include "ops/ops.h"
#include "ref/ref.h"

static const int64_t widths[] = { 1, 3, 15, 16, 17, 64, 100, 513 };
static const int64_t row_counts[] = { 1, 7, 16, 33, 150 };

/* (D + 2) u sum|x z| */
static void close_to_double(clf_test *t, clf_tensor x, clf_tensor z, clf_tensor y)
{
    const int64_t R = x.dim[0], D = x.dim[1];
    const double *a = clf_test_given(t, x), *b = clf_test_given(t, z);
    const clf_expected e = clf_expected_new(t, y);

    for (int64_t i = 0; i < clf_element_count(y); i++) {
        const double *row = a + i % R * D, *of = b + i / R * D;
        double size = 0;

        e.value[i] = 0;
        for (int64_t d = 0; d < D; d++) {
            e.value[i] += row[d] * of[d];
            size += fabs(row[d] * of[d]);
        }
        e.bound[i] = ((double)D + 2) * CLF_U * size;
    }
    clf_test_within(t, y, e.value, e.bound);
}

static void agrees_with_the_double_reference(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(clf_ops_types) * CLF_COUNT(widths) * CLF_COUNT(row_counts); i++) {
        const clf_dtype dtype = clf_ops_types[i % 3];
        const int64_t D = widths[i / 3 % CLF_COUNT(widths)], R = row_counts[i / 3 / CLF_COUNT(widths)];
        const int64_t Q = 1 + (int64_t)(i % CLF_ROW_PRODUCTS_MAX);
        const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, D)), z = clf_test_normal(t, CLF_F32, CLF_DIMS(Q, D)),
                         y = clf_test_empty(t, CLF_F32, CLF_DIMS(Q, R));

        clf_row_products(t->stream, x, z, y);
        close_to_double(t, x, z, y);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* The documented chain: the bits of the panel provider, and those of a row wherever it stands. */
static void has_the_bits_of_linear(void **state)
{
    enum { R = 45, Q = 3, D = 100 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(R, D)), z = clf_test_normal(t, CLF_F32, CLF_DIMS(Q, D)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(Q, R)), p = clf_test_empty(t, CLF_F32, CLF_DIMS(R, Q));
    const double *given = clf_test_given(t, z);
    float weights[Q * D];
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;
    clf_error err = { 0 };

    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast promises no order of additions");
    for (int i = 0; i < Q * D; i++)
        weights[i] = (float)given[i];
    desc.weight = (clf_host_tensor){ weights, CLF_F32, 2, { Q, D } };
    assert_int_equal(clf_linear_weight_create(t->ctx, &desc, &w, &err), CLF_OK);
    clf_linear(t->stream, x, w, NULL, p);
    clf_row_products(t->stream, x, z, y);
    const double *mine = clf_test_values(t, y), *theirs = clf_test_values(t, p);
    for (int q = 0; q < Q; q++)
        for (int r = 0; r < R; r++)
            if (mine[q * R + r] != theirs[r * Q + q])
                fail_msg("query %d, row %d: %.9g; linear has %.9g", q, r, mine[q * R + r], theirs[r * Q + q]);
    clf_linear_weight_destroy(w);
}

static void rows_of_a_view_are_read(void **state)
{
    clf_test *t = *state;
    const clf_tensor whole = clf_test_normal(t, CLF_F16, CLF_DIMS(37, 50)),
                     z = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 19)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 21)),
                     dense = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 21));
    const clf_tensor x = clf_slice(t->stream, clf_slice(t->stream, whole, 0, 5, 21), 1, 7, 19);
    const double *given = clf_test_given(t, whole);
    double part[21 * 19];

    for (int i = 0; i < 21 * 19; i++)
        part[i] = given[(5 + i / 19) * 50 + 7 + i % 19];
    clf_row_products(t->stream, x, z, y);
    clf_row_products(t->stream, clf_test_from(t, CLF_F16, CLF_DIMS(21, 19), part), z, dense);
    const double *a = clf_test_values(t, y), *b = clf_test_values(t, dense);
    for (int i = 0; i < 2 * 21; i++)
        assert_true(a[i] == b[i]);
}

/* A NaN stays in its row. */
static void nan_and_infinity_reach_their_row_alone(void **state)
{
    enum { R = 20, D = 33 };
    clf_test *t = *state;
    double values[R * D];

    for (int i = 0; i < R * D; i++)
        values[i] = i % 5;
    values[3 * D + 32] = NAN;
    values[7 * D] = INFINITY;
    const clf_tensor x = clf_test_from(t, CLF_F32, CLF_DIMS(R, D), values),
                     z = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, D), 1, 2),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, R));

    clf_row_products(t->stream, x, z, y);
    const double *v = clf_test_values(t, y);
    for (int r = 0; r < R; r++)
        assert_true(r == 3 ? isnan(v[r]) : r == 7 ? v[r] == INFINITY : isfinite(v[r]));
}

static void names_what_does_not_fit(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 9, 5), z = CLF_OPS_SHAPE(CLF_F32, 2, 5),
                     y = CLF_OPS_SHAPE(CLF_F32, 2, 9);

    (void)state;
    CLF_OPS_ACCEPTS(clf_row_products_check(x, z, y, &err));
    CLF_OPS_REFUSES(clf_row_products_check(CLF_OPS_SHAPE(CLF_I32, 9, 5), z, y, &err), CLF_UNSUPPORTED,
                    "row_products: x is i32[9, 5]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_row_products_check(x, CLF_OPS_SHAPE(CLF_F32, 5, 5), y, &err), CLF_INVALID_ARGUMENT,
                    "row_products: z is f32[5, 5]; want [Q, D], Q of 1 to 4");
    CLF_OPS_REFUSES(clf_row_products_check(x, CLF_OPS_SHAPE(CLF_F32, 2, 6), y, &err), CLF_INVALID_ARGUMENT,
                    "row_products: z is f32[2, 6]; want f32[2, 5], dense");
    CLF_OPS_REFUSES(clf_row_products_check(x, z, CLF_OPS_SHAPE(CLF_F32, 9, 2), &err), CLF_INVALID_ARGUMENT,
                    "row_products: y is f32[9, 2]; want f32[2, 9], dense");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference), CLF_TEST(has_the_bits_of_linear),
        CLF_TEST(rows_of_a_view_are_read),          CLF_TEST(nan_and_infinity_reach_their_row_alone),
        CLF_TEST(names_what_does_not_fit),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
