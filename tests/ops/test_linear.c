/* linear, with the provider that CLF_TEST_GEMM names. */
#include <math.h>
#include <string.h>

#include "ref/linear.h"

typedef struct shape {
    int64_t M, N, K;
} shape;

static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };

/* Runs one layer and compares with the reference. */
static void check(clf_test *t, clf_tensor x, const clf_ref_linear *w, const clf_linear_options *o, clf_tensor y)
{
    const size_t count = (size_t)clf_element_count(y);
    double *want = clf_test_memory(t, count * sizeof *want), *bound = clf_test_memory(t, count * sizeof *bound);

    clf_ref_linear_run(t, x, w, o, want, bound);
    clf_linear(t->stream, x, w->packed, o, y);
    clf_test_within(t, y, want, bound);
}

static void agrees_with_the_double_reference(void **state)
{
    static const shape shapes[] = { { 1, 1, 1 },    { 1, 7, 5 },     { 2, 33, 31 },  { 3, 64, 7 },     { 5, 65, 64 },
                                    { 7, 31, 257 }, { 12, 32, 100 }, { 13, 96, 33 }, { 25, 100, 129 }, { 64, 48, 65 },
                                    { 93, 37, 53 }, { 144, 33, 17 }, { 1, 300, 513 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(shapes) * CLF_COUNT(types); i++) {
        const shape s = shapes[i / CLF_COUNT(types)];
        const clf_dtype stored = types[i % CLF_COUNT(types)];
        clf_linear_options o = clf_linear_options_default();
        clf_ref_linear w = clf_ref_linear_create(t, t->ctx, stored, s.N, s.K, i % 2 == 0, 0);
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(s.M, s.K));

        check(t, x, &w, &o, clf_test_empty(t, CLF_F32, CLF_DIMS(s.M, s.N)));
        clf_linear_weight_destroy(w.packed);
    }
}

/* The last result is so large that CLBlast gets its rows in whole tiles, and what is left. */
static void whole_numbers_are_exact(void **state)
{
    static const shape shapes[] = { { 1, 1, 1 },    { 1, 33, 64 },  { 7, 93, 144 },  { 12, 31, 65 },
                                    { 93, 144, 7 }, { 97, 65, 63 }, { 257, 9000, 3 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(shapes) - (clf_test_small_only(t) ? 1 : 0); i++) {
        const shape s = shapes[i];
        clf_ref_linear w = clf_ref_linear_create(t, t->ctx, i % 2 ? CLF_F16 : CLF_F32, s.N, s.K, true, 30);
        const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(s.M, s.K), 60);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(s.M, s.N));
        double *want = clf_test_memory(t, (size_t)(s.M * s.N) * sizeof *want);
        double *bound = clf_test_memory(t, (size_t)(s.M * s.N) * sizeof *bound);
        const clf_linear_options o = clf_linear_options_default();

        clf_ref_linear_run(t, x, &w, &o, want, bound);
        clf_linear(t->stream, x, w.packed, NULL, y);
        clf_test_exact(t, y, want);
        clf_linear_weight_destroy(w.packed);
    }
}

static void every_activation_and_residual_agrees(void **state)
{
    clf_test *t = *state;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 70, 45, true, 0);
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 45));

    for (int a = CLF_ACTIVATION_NONE; a <= CLF_TANH; a++)
        for (int residual = 0; residual < 3; residual++) {
            clf_linear_options o = clf_linear_options_default();
            clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 9, 70));

            o.activation = (clf_activation)a;
            t->zero_limit = residual == 0 && a >= CLF_RELU ? 0.65 : 0.3;
            o.residual_scale = residual == 2 ? -0.375F : 1.0F;
            if (residual > 0)
                o.residual = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 70));
            check(t, x, &w, &o, y);
        }
    clf_linear_weight_destroy(w.packed);
}

static void norms_before_the_product_agree(void **state)
{
    static const int64_t widths[] = { 1, 15, 16, 17, 65, 333 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(widths) * 6; i++) {
        const int64_t K = widths[i / 6];
        clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 33, K, true, 0);
        clf_linear_options o = clf_linear_options_default();

        o.norm_eps = 1e-6F;
        o.prologue = i % 6 < 3 ? CLF_PROLOGUE_LAYER_NORM : CLF_PROLOGUE_RMS_NORM;
        if (i % 6 != 2 && i % 6 != 5)
            o.norm_weight = clf_test_uniform(t, CLF_F32, CLF_DIMS(K), 0.5, 1.5);
        if (i % 6 == 1)
            o.norm_bias = clf_test_normal(t, CLF_F32, CLF_DIMS(K));
        o.norm_one_plus = i % 6 == 4;
        check(t, clf_test_uniform(t, CLF_F32, CLF_DIMS(14, K), 0.5, 2.0), &w, &o,
              clf_test_empty(t, CLF_F32, CLF_DIMS(14, 33)));
        clf_linear_weight_destroy(w.packed);
    }
}

static void half_types_of_x_and_y_agree(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < 9; i++) {
        const clf_dtype x_type = types[i / 3], y_type = i % 3 == 0 ? CLF_F32 : x_type;
        clf_ref_linear w = clf_ref_linear_create(t, t->ctx, types[i % 3], 50, 40, true, 0);
        clf_linear_options o = clf_linear_options_default();

        o.activation = CLF_GELU;
        o.residual = clf_test_normal(t, y_type, CLF_DIMS(13, 50));
        check(t, clf_test_normal(t, x_type, CLF_DIMS(13, 40)), &w, &o, clf_test_empty(t, y_type, CLF_DIMS(13, 50)));
        clf_linear_weight_destroy(w.packed);
    }
}

/* x and y are parts of longer sequences: their neighbours and the guards stay. */
static void views_leave_their_neighbours_alone(void **state)
{
    clf_test *t = *state;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 20, 24, true, 0);
    const clf_tensor long_x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 9, 24));
    const clf_tensor long_y = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 11, 20));
    const clf_tensor x = clf_slice(t->stream, long_x, 1, 2, 5), y = clf_slice(t->stream, long_y, 1, 4, 5);
    const clf_linear_options o = clf_linear_options_default();

    check(t, x, &w, &o, y);
    clf_test_exact(t, clf_slice(t->stream, long_y, 1, 0, 4), clf_test_given(t, clf_slice(t->stream, long_y, 1, 0, 4)));
    clf_test_exact(t, clf_slice(t->stream, long_y, 1, 9, 2), clf_test_given(t, clf_slice(t->stream, long_y, 1, 9, 2)));
    clf_linear_weight_destroy(w.packed);
}

static void a_residual_in_place_equals_one_apart_bit_for_bit(void **state)
{
    clf_test *t = *state;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 37, 41, true, 0);
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(15, 41)),
                     r = clf_test_normal(t, CLF_F32, CLF_DIMS(15, 37));
    const clf_tensor in_place = clf_test_empty(t, CLF_F32, CLF_DIMS(15, 37));
    const clf_tensor apart = clf_test_empty(t, CLF_F32, CLF_DIMS(15, 37));
    clf_linear_options o = clf_linear_options_default();

    o.residual = r;
    clf_linear(t->stream, x, w.packed, &o, apart);
    clf_copy(t->stream, r, in_place);
    o.residual = in_place;
    clf_linear(t->stream, x, w.packed, &o, in_place);
    clf_test_same_bits(t, in_place, apart);
    clf_linear_weight_destroy(w.packed);
}

/* So many columns that a work-item of the panel provider takes all rows, block by block in k; no multiple of a panel. */
static int64_t wide(const clf_test *t)
{
    return CLF_MIN(128 * (int64_t)clf_context_device(t->ctx)->compute_units, 4096) + 14;
}

static void compare_batches(clf_test *t, clf_tensor all, const clf_linear_weight *w, const clf_linear_options *o,
                            int64_t N)
{
    static const int64_t batches[] = { 1, 2, 4, 5, 8, 9, 13, 32, 33, 95, 97, 109 };
    const int64_t M = all.dim[0];
    const clf_tensor y_all = clf_test_empty(t, CLF_F32, CLF_DIMS(M, N));

    clf_linear(t->stream, all, w, o, y_all);
    for (size_t i = 0; i < CLF_COUNT(batches) && batches[i] <= M; i++) {
        const int64_t rows = batches[i], at = M - rows;
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(rows, N));

        clf_linear(t->stream, clf_slice(t->stream, all, 0, at, rows), w, o, y);
        clf_test_same_bits(t, y, clf_slice(t->stream, y_all, 0, at, rows));
    }
}

/* With all that can stand before and behind the product, and with little, which goes another way to y. */
static void compare_ways(clf_test *t, clf_dtype stored, int64_t N, int64_t K)
{
    const int64_t M = clf_test_small_only(t) ? 13 : 150; /* more than an item takes */
    const clf_tensor all = clf_test_normal(t, CLF_F32, CLF_DIMS(M, K));
    clf_ref_linear biased = clf_ref_linear_create(t, t->ctx, stored, N, K, true, 0);
    clf_ref_linear plain = clf_ref_linear_create(t, t->ctx, stored, N, K, false, 0);
    clf_linear_options o = clf_linear_options_default();

    o.prologue = CLF_PROLOGUE_LAYER_NORM;
    o.norm_weight = clf_test_uniform(t, CLF_F32, CLF_DIMS(K), 0.5, 1.5);
    o.activation = CLF_GELU;
    compare_batches(t, all, biased.packed, &o, N);
    compare_batches(t, all, biased.packed, NULL, N);
    compare_batches(t, all, plain.packed, NULL, N);
    clf_linear_weight_destroy(biased.packed);
    clf_linear_weight_destroy(plain.packed);
}

/* Products that underflow to -0: a bias of 0 where there is none would give 0. */
static void compare_minus_zero(clf_test *t)
{
    double values[13];
    float weight[64];
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;

    for (size_t i = 0; i < CLF_COUNT(values); i++)
        values[i] = -1e-30;
    for (size_t i = 0; i < CLF_COUNT(weight); i++)
        weight[i] = 1e-30F;
    d.weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { CLF_COUNT(weight), 1 } };
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, NULL), CLF_OK);
    compare_batches(t, clf_test_from(t, CLF_F32, CLF_DIMS(13, 1), values), w, NULL, CLF_COUNT(weight));
    clf_linear_weight_destroy(w);
}

/* Whole tiles, a last one of rows and of columns, rows that begin at cache lines and between them. */
static void past_the_caches_go_the_same_bits(void **state)
{
    static const int64_t columns[] = { 0, 16, 3 };
    clf_test *t = *state;
    clf_device_info *device = (clf_device_info *)(uintptr_t)clf_context_device(t->ctx);
    const uint64_t was = device->cache_bytes;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 109, 45, true, 0);
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(29, 45));

    for (size_t i = 0; i < 4 * CLF_COUNT(columns); i++) {
        clf_linear_options o = clf_linear_options_default();
        const clf_tensor all = clf_test_integers(t, CLF_F32, CLF_DIMS(29, 128), 100);
        const clf_tensor y = clf_slice(t->stream, all, 1, columns[i / 4], 109);
        const clf_tensor plain = clf_test_empty(t, CLF_F32, CLF_DIMS(29, 109));

        o.activation = i % 2 ? CLF_GELU : CLF_ACTIVATION_NONE;
        if (i / 2 % 2)
            o.residual = clf_test_normal(t, CLF_F32, CLF_DIMS(29, 109));
        device->cache_bytes = UINT64_MAX;
        clf_linear(t->stream, x, w.packed, &o, plain);
        device->cache_bytes = 1;
        check(t, x, &w, &o, y);
        device->cache_bytes = was;
        clf_test_same_bits(t, plain, y);
        clf_test_check_guards(t);
    }
    clf_linear_weight_destroy(w.packed);
}

static void equal_rows_give_equal_bits_in_any_batch(void **state)
{
    clf_test *t = *state;

    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast routes by the sizes and promises no order of additions");
    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        compare_ways(t, types[i], 70, 130);
        if (!clf_test_small_only(t))
            compare_ways(t, types[i], wide(t), 300);
    }
    compare_minus_zero(t);
}

/* x so much longer than a weight of few columns that items take k as a whole and fetch x, dense or not. */
static void long_x_has_the_bits_of_few_rows(void **state)
{
    enum { M = 700, N = 20, K = 1100, APART = K + 7 };
    clf_test *t = *state;

    if (clf_test_small_only(t) || strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("short loops, or CLBlast");
    const clf_tensor apart = clf_test_normal(t, CLF_F32, CLF_DIMS(M, APART)),
                     dense = clf_test_normal(t, CLF_F32, CLF_DIMS(M, K));

    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        clf_ref_linear w = clf_ref_linear_create(t, t->ctx, types[i], N, K, false, 0);

        compare_batches(t, dense, w.packed, NULL, N);
        compare_batches(t, clf_slice(t->stream, apart, 1, 3, K), w.packed, NULL, N);
        clf_linear_weight_destroy(w.packed);
    }
}

/* Tiles one below the other, whose sums wait while k goes on in blocks: the last shape has several. */
static void few_rows_of_wide_weights_agree(void **state)
{
    static const shape shapes[] = { { 1, 0, 300 },  { 3, 0, 129 },  { 5, 0, 128 },   { 32, 0, 257 }, { 33, 0, 300 },
                                    { 95, 0, 131 }, { 97, 0, 260 }, { 145, 0, 140 }, { 97, 0, 1100 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(shapes) * CLF_COUNT(types) && !clf_test_small_only(t); i++) {
        const shape s = shapes[i / CLF_COUNT(types)];
        clf_ref_linear w = clf_ref_linear_create(t, t->ctx, types[i % CLF_COUNT(types)], wide(t), s.K, true, 0);
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(s.M, s.K));
        clf_linear_options o = clf_linear_options_default();

        check(t, x, &w, &o, clf_test_empty(t, CLF_F32, CLF_DIMS(s.M, wide(t))));
        o.activation = CLF_GELU;
        check(t, x, &w, &o, clf_test_empty(t, CLF_F32, CLF_DIMS(s.M, wide(t))));
        clf_linear_weight_destroy(w.packed);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

static void a_run_repeats_its_bits(void **state)
{
    clf_test *t = *state;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 65, 64, true, 0);
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(29, 64));
    const clf_tensor a = clf_test_empty(t, CLF_F32, CLF_DIMS(29, 65)), b = clf_test_empty(t, CLF_F32, CLF_DIMS(29, 65));

    clf_linear(t->stream, x, w.packed, NULL, a);
    clf_linear(t->stream, x, w.packed, NULL, b);
    clf_test_same_bits(t, a, b);
    clf_linear_weight_destroy(w.packed);
}

static void a_nan_stays_in_its_row(void **state)
{
    clf_test *t = *state;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 19, 23, true, 0);
    double values[13 * 23];
    const double *got;
    clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(13, 19));

    for (size_t i = 0; i < CLF_COUNT(values); i++)
        values[i] = i == 5 * 23 + 7 ? (double)NAN : 1.0;
    clf_linear(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(13, 23), values), w.packed, NULL, y);
    got = clf_test_values(t, y);
    for (size_t i = 0; i < 13 * 19; i++)
        assert_int_equal(i / 19 == 5, isnan(got[i]) != 0);
    clf_linear_weight_destroy(w.packed);
}

static void no_rows_is_a_success_that_does_nothing(void **state)
{
    clf_test *t = *state;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 19, 23, true, 0);

    clf_linear(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(0, 23)), w.packed, NULL,
               clf_test_empty(t, CLF_F32, CLF_DIMS(0, 19)));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_linear_weight_destroy(w.packed);
}

static void many_rows_are_worked_off_in_blocks(void **state)
{
    clf_test *t = *state;
    const int64_t M = clf_test_small_only(t) ? 300 : 100000;
    clf_ref_linear w = clf_ref_linear_create(t, t->ctx, CLF_F32, 3, 100, true, 7);
    const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(M, 100), 9);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(M, 3));
    double *want = clf_test_memory(t, (size_t)M * 3 * sizeof *want),
           *bound = clf_test_memory(t, (size_t)M * 3 * sizeof *bound);
    const clf_linear_options o = clf_linear_options_default();

    clf_ref_linear_run(t, x, &w, &o, want, bound);
    clf_linear(t->stream, x, w.packed, NULL, y);
    clf_test_exact(t, y, want);
    clf_linear_weight_destroy(w.packed);
}

static void storage_other_than_the_source_rounds_once(void **state)
{
    clf_test *t = *state;
    float weight[17 * 40];
    double rounded[17 * 40];
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(6, 40)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(6, 17));
    double *want = clf_test_memory(t, sizeof(double) * 6 * 17), *bound = clf_test_memory(t, sizeof(double) * 6 * 17);
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    const clf_linear_options o = clf_linear_options_default();
    clf_ref_linear w = { .N = 17, .K = 40, .dtype = CLF_F16, .weight = rounded };
    clf_error err = { 0 };

    for (size_t i = 0; i < CLF_COUNT(weight); i++) {
        weight[i] = (float)(clf_test_random(t) - 0.5);
        rounded[i] = (double)clf_f16_to_f32(clf_f32_to_f16(weight[i]));
    }
    d.weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { 17, 40 } };
    d.storage = CLF_F16;
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w.packed, &err), CLF_OK);
    clf_ref_linear_run(t, x, &w, &o, want, bound);
    clf_linear(t->stream, x, w.packed, NULL, y);
    clf_test_within(t, y, want, bound);
    clf_linear_weight_destroy(w.packed);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 8)), y = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 4));
    const clf_tensor g = clf_tensor_shape(CLF_F32, CLF_DIMS(8));
    clf_tensor odd = g, shared = g, shared_y = y;
    clf_linear_options o = clf_linear_options_default();
    clf_error err = { 0 };

    (void)state;
#define REFUSED(call, text)                                                                                            \
    do {                                                                                                               \
        assert_int_not_equal(call, CLF_OK);                                                                            \
        assert_string_equal(err.message, text);                                                                        \
    } while (0)
    assert_int_equal(clf_linear_check(x, 4, 8, NULL, y, &err), CLF_OK);
    REFUSED(clf_linear_check(x, 4, 9, NULL, y, &err),
            "linear: x is f32[2, 8]; want [..., 9], the width of weight [4, 9]");
    REFUSED(clf_linear_check(x, 5, 8, NULL, y, &err),
            "linear: y is f32[2, 4]; want the leading dimensions of x f32[2, 8] and [..., 5]");
    REFUSED(clf_linear_check(clf_tensor_shape(CLF_I32, CLF_DIMS(2, 8)), 4, 8, NULL, y, &err),
            "linear: x is i32[2, 8]; want f32, f16 or bf16");
    REFUSED(clf_linear_check(x, 4, 8, NULL, clf_tensor_shape(CLF_F16, CLF_DIMS(2, 4)), &err),
            "linear: y is f16[2, 4]; want f32 or the type of x f32[2, 8]");
    o.struct_size = sizeof o + 4;
    assert_int_equal(clf_linear_check(x, 4, 8, &o, y, &err), CLF_INVALID_ARGUMENT);
    o = clf_linear_options_default();
    o.activation = (clf_activation)40;
    REFUSED(clf_linear_check(x, 4, 8, &o, y, &err), "linear: activation is 40; want a value of clf_activation");
    o = clf_linear_options_default();
    o.prologue = CLF_PROLOGUE_LAYER_NORM;
    o.norm_bias = g;
    REFUSED(clf_linear_check(x, 4, 8, &o, y, &err),
            "linear: norm_bias is f32[8] without norm_weight; want both, or the weight alone");
    o.norm_bias = (clf_tensor){ .dtype = CLF_DTYPE_NONE };
    assert_int_equal(clf_linear_check(x, 4, 8, &o, y, &err), CLF_OK);
    o.norm_weight = clf_tensor_shape(CLF_F32, CLF_DIMS(7));
    REFUSED(clf_linear_check(x, 4, 8, &o, y, &err), "linear: norm_weight is f32[7]; want dense f32[8]");
    odd.offset = 6;
    o.norm_weight = odd;
    REFUSED(clf_linear_check(x, 4, 8, &o, y, &err),
            "linear: norm_weight begins at byte 6; want a multiple of 4 for f32");
    shared.mem = shared_y.mem = (struct _cl_mem *)(uintptr_t)64;
    o.norm_weight = shared;
    REFUSED(clf_linear_check(x, 4, 8, &o, shared_y, &err), "linear: norm_weight overlaps y; want apart");
    o.norm_weight = g;
    o.norm_eps = 0.0F;
    REFUSED(clf_linear_check(x, 4, 8, &o, y, &err), "linear: norm_eps is 0; want finite, above 0");
    o = clf_linear_options_default();
    o.residual = clf_tensor_shape(CLF_F32, CLF_DIMS(4, 2));
    REFUSED(clf_linear_check(x, 4, 8, &o, y, &err), "linear: residual is f32[4, 2]; want f32[2, 4], like y");
#undef REFUSED
}

static void a_weight_that_cannot_be_is_refused(void **state)
{
    clf_test *t = *state;
    static const float data[6];
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "linear: weight is none; want f32, f16, bf16 or f64");
    d.weight = (clf_host_tensor){ .data = data, .dtype = CLF_F32, .rank = 1, .dim = { 6 } };
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "linear: weight is f32[6]; want [out, in], both at least 1");
    d.weight = (clf_host_tensor){ .data = NULL, .dtype = CLF_F32, .rank = 2, .dim = { 2, 3 } };
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "linear: weight is f32[2, 3] without data; want host memory");
    d.weight.data = data;
    d.bias = (clf_host_tensor){ .data = data, .dtype = CLF_F32, .rank = 1, .dim = { 3 } };
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "linear: bias is f32[3]; want [2], the first dimension of weight f32[2, 3]");
    assert_null(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(whole_numbers_are_exact),
        CLF_TEST(every_activation_and_residual_agrees),
        CLF_TEST(norms_before_the_product_agree),
        CLF_TEST(half_types_of_x_and_y_agree),
        CLF_TEST(views_leave_their_neighbours_alone),
        CLF_TEST(a_residual_in_place_equals_one_apart_bit_for_bit),
        CLF_TEST(past_the_caches_go_the_same_bits),
        CLF_TEST(equal_rows_give_equal_bits_in_any_batch),
        CLF_TEST(long_x_has_the_bits_of_few_rows),
        CLF_TEST(few_rows_of_wide_weights_agree),
        CLF_TEST(a_run_repeats_its_bits),
        CLF_TEST(a_nan_stays_in_its_row),
        CLF_TEST(no_rows_is_a_success_that_does_nothing),
        CLF_TEST(many_rows_are_worked_off_in_blocks),
        CLF_TEST(the_check_names_what_is_wrong),
        CLF_TEST(a_weight_that_cannot_be_is_refused),
        CLF_TEST(storage_other_than_the_source_rounds_once),
    };
    return CLF_TEST_MAIN(tests);
}
