/* linear_each: weights of three makings against double, views, masks, and the bits of linear. */
#include "ops/linear_each.h"

#include <clfusion/attention.h>
#include <clfusion/linear.h>

#include "ops/ops.h"
#include "ref/ref.h"

static const clf_tensor none;

typedef struct sizes {
    int64_t count, rows, N, K;
} sizes;

static void need_packing(const clf_test *t)
{
    if (clf_gemm_of(t->ctx)->pack_rows == NULL)
        clf_test_skip("CLBlast takes weights of the host alone");
}

/* y[i, r, n] = sum of x[i, r, k] w[i, n, k] + bias[i, n], w through its strides. */
static void agree(clf_test *t, sizes z, const double *x, const double *w, int64_t n_step, int64_t k_step,
                  const double *bias, clf_tensor y)
{
    const clf_expected e = clf_expected_new(t, y);

    for (int64_t i = 0; i < z.count * z.rows * z.N; i++) {
        const int64_t g = i / z.N / z.rows, n = i % z.N;
        const double *row = x + i / z.N * z.K, *of = w + g * z.N * z.K + n * n_step;
        double size = bias != NULL ? fabs(bias[g * z.N + n]) : 0;

        e.value[i] = bias != NULL ? bias[g * z.N + n] : 0;
        for (int64_t k = 0; k < z.K; k++) {
            e.value[i] += row[k] * of[k * k_step];
            size += fabs(row[k] * of[k * k_step]);
        }
        e.bound[i] = ((double)z.K + 3) * CLF_U * size;
    }
    clf_test_within(t, y, e.value, e.bound);
}

/* The value as this type has it. */
static double rounded(clf_dtype dtype, double value)
{
    const float f = (float)value;

    if (dtype == CLF_F16)
        return (double)clf_f16_to_f32(clf_f32_to_f16(f));
    if (dtype == CLF_BF16)
        return (double)clf_bf16_to_f32(clf_f32_to_bf16(f));
    return dtype == CLF_F64 ? value : (double)f;
}

/* From `odd` bytes behind an aligned address on. */
static clf_host_tensor host_of(clf_test *t, const double *values, clf_dtype dtype, int64_t rows, int64_t columns,
                               size_t odd)
{
    const size_t count = (size_t)(rows * columns), item = clf_dtype_bytes(dtype);
    char *data = clf_test_memory(t, count * item + odd);

    data += odd;
    for (size_t i = 0; i < count; i++) {
        const float f = (float)values[i];
        const uint16_t half = dtype == CLF_F16 ? clf_f32_to_f16(f) : clf_f32_to_bf16(f);
        const void *value = dtype == CLF_F64 ? (const void *)&values[i] : dtype == CLF_F32 ? (const void *)&f : &half;

        memcpy(data + i * item, value, item);
    }
    return (clf_host_tensor){ .data = data, .dtype = dtype, .rank = 2, .dim = { rows, columns } };
}

/* Weights that a call packs, as rows and turned. */
static void one_size(clf_test *t, sizes z, clf_dtype dtype)
{
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(z.count, z.rows, z.K)),
                     rows = clf_test_normal(t, dtype, CLF_DIMS(z.count, z.N, z.K)),
                     columns = clf_test_normal(t, dtype, CLF_DIMS(z.count, z.K, z.N)),
                     bias = clf_test_normal(t, CLF_F32, CLF_DIMS(z.count * z.N)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(z.count, z.rows, z.N));
    const double *given = clf_test_given(t, x);
    const clf_scope scope = clf_scope_open(t->stream, NULL, -1);
    clf_gemm_weight w = clf_linear_each_rows(t->stream, rows);

    clf_linear_each(t->stream, x, &w, bias, y);
    agree(t, z, given, clf_test_given(t, rows), z.K, 1, clf_test_given(t, bias), y);
    w = clf_linear_each_columns(t->stream, columns, none);
    clf_linear_each(t->stream, x, &w, none, y);
    agree(t, z, given, clf_test_given(t, columns), 1, z.N, NULL, y);
    clf_scope_close(t->stream, scope);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

/* Weights of the host, `type` there and `storage` here. */
static void one_turned(clf_test *t, sizes z, clf_dtype type, clf_dtype storage, size_t odd)
{
    const clf_dtype stored = storage != CLF_DTYPE_NONE ? storage : type == CLF_F64 ? CLF_F32 : type;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(z.count, z.rows, z.K)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(z.count, z.rows, z.N));
    const size_t count = (size_t)(z.count * z.K * z.N);
    double *values = clf_test_memory(t, count * sizeof *values);
    clf_gemm_weight w;
    clf_error err = { 0 };

    for (size_t i = 0; i < count; i++)
        values[i] = 2 * clf_test_random(t) - 1;
    if (clf_linear_each_create_turned(t->ctx, host_of(t, values, type, z.count * z.K, z.N, odd), z.count, storage, NULL,
                                      &w, &err) != CLF_OK)
        fail_msg("%s", err.message);
    assert_int_equal(w.packed.dtype, stored);
    clf_linear_each(t->stream, x, &w, none, y);
    for (size_t i = 0; i < count; i++)
        values[i] = rounded(stored, rounded(type, values[i]));
    agree(t, z, clf_test_given(t, x), values, 1, z.N, NULL, y);
    clf_tensor_free(t->ctx, &w.packed);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_double_precision(void **state)
{
    static const sizes all[] = { { 1, 1, 1, 1 },   { 3, 1, 33, 5 },    { 2, 4, 32, 64 },  { 3, 5, 31, 70 },
                                 { 2, 33, 65, 7 }, { 4, 9, 100, 257 }, { 2, 50, 17, 300 } };
    clf_test *t = *state;

    need_packing(t);
    for (size_t i = 0; i < CLF_COUNT(all); i++)
        for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
            one_size(t, all[i], clf_ops_types[d]);
}

/* Sums over more than 1024 are made in blocks. */
static void long_rows_agree(void **state)
{
    clf_test *t = *state;

    need_packing(t);
    if (clf_test_small_only(t))
        clf_test_skip("too long for this device");
    one_size(t, (sizes){ 2, 100, 40, 1408 }, CLF_F32);
    one_turned(t, (sizes){ 2, 100, 40, 1408 }, CLF_F32, CLF_F32, 0);
}

/* A weight is what its storage makes of the host's values, read where they lie or, from odd addresses, copied first. */
static void turned_weights_are_rounded_to_their_storage(void **state)
{
    static const sizes all[] = { { 1, 1, 1, 1 }, { 3, 5, 31, 70 }, { 2, 33, 65, 7 }, { 3, 2, 100, 257 } };
    static const clf_dtype types[] = { CLF_F64, CLF_F32, CLF_F16, CLF_BF16 },
                           storages[] = { CLF_DTYPE_NONE, CLF_F32, CLF_F16, CLF_BF16 };
    clf_test *t = *state;

    need_packing(t);
    for (size_t i = 0; i < CLF_COUNT(all); i++)
        for (size_t k = 0; k < CLF_COUNT(types) * CLF_COUNT(storages); k++)
            one_turned(t, all[i], types[k / CLF_COUNT(storages)], storages[k % CLF_COUNT(storages)], i % 2);
}

/* What is copied or converted first goes weight by weight, where each has more than a megabyte. */
static void turned_weights_come_in_several_steps(void **state)
{
    clf_test *t = *state;

    need_packing(t);
    one_turned(t, (sizes){ 3, 1, 32800, 8 }, CLF_F64, CLF_BF16, 0);
    one_turned(t, (sizes){ 3, 1, 32800, 8 }, CLF_F16, CLF_DTYPE_NONE, 1);
}

/* Heads side by side in x and y; the bits of linear; a weight of all heads as weights of each. */
static void heads_have_the_bits_of_linear(void **state)
{
    enum { B = 2, M = 5, H = 3, D = 32, C = 41 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(B, H, M, C)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(B, M, H * D)),
                     want = clf_test_empty(t, CLF_F32, CLF_DIMS(B, 1, M, D)),
                     w = clf_test_normal(t, CLF_F32, CLF_DIMS(H * D, C)),
                     b = clf_test_normal(t, CLF_F32, CLF_DIMS(H * D));
    const clf_host_tensor weight = host_of(t, clf_test_given(t, w), CLF_F32, H * D, C, 0);
    clf_host_tensor bias = host_of(t, clf_test_given(t, b), CLF_F32, H * D, 1, 0);
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_weight *all = NULL, *one = NULL;
    clf_tensor by_head = x, columns = clf_heads(t->stream, y, H);
    clf_error err = { 0 };

    need_packing(t);
    assert_true(clf_linear_each_divides(t->ctx, D));
    assert_false(clf_linear_each_divides(t->ctx, D + 1));
    bias.rank = 1;
    desc.weight = weight;
    desc.bias = bias;
    assert_int_equal(clf_linear_weight_create(t->ctx, &desc, &all, &err), CLF_OK);
    const clf_gemm_weight each = clf_linear_each_of(all, H);
    by_head.dim[0] = columns.dim[0] = H;
    by_head.dim[1] = columns.dim[1] = B;
    columns.dim[2] = M;
    by_head.stride[0] = x.stride[1];
    by_head.stride[1] = x.stride[0];
    columns.stride[0] = D;
    columns.stride[1] = y.stride[0];
    columns.stride[2] = y.stride[1];
    clf_linear_each(t->stream, by_head, &each, b, columns);
    for (int h = 0; h < H; h++) {
        desc.weight.data = (const float *)weight.data + h * D * C;
        desc.bias.data = (const float *)bias.data + h * D;
        desc.weight.dim[0] = desc.bias.dim[0] = D;
        assert_int_equal(clf_linear_weight_create(t->ctx, &desc, &one, &err), CLF_OK);
        clf_linear(t->stream, clf_slice(t->stream, x, 1, h, 1), one, NULL, want);
        clf_test_same_bits(t, clf_slice(t->stream, y, 2, h * D, D), clf_reshape(t->stream, want, CLF_DIMS(B, M, D)));
        clf_linear_weight_destroy(one);
    }
    clf_linear_weight_destroy(all);
}

/* Rows of z that a mask hides count as 0, also NaN, unless it hides all. */
static void hidden_rows_count_as_zero(void **state)
{
    enum { K = 300, N = 40 };
    clf_test *t = *state;
    double values[2 * K * N], masks[2 * K], zeroed[2 * K * N];

    need_packing(t);
    for (int i = 0; i < 2 * K * N; i++) {
        const bool shut = i < K * N && i / N % 3 == 1;

        values[i] = shut ? (double)NAN : i % 11 - 5;
        zeroed[i] = shut ? 0 : values[i];
        masks[i / N] = shut || i >= K * N ? -INFINITY : 0;
    }
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, K)),
                     z = clf_test_from(t, CLF_F32, CLF_DIMS(2, K, N), values),
                     clean = clf_test_from(t, CLF_F32, CLF_DIMS(2, K, N), zeroed),
                     mask = clf_test_from(t, CLF_F32, CLF_DIMS(2, K), masks),
                     got = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, N)),
                     want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, N));
    const clf_scope scope = clf_scope_open(t->stream, NULL, -1);
    const clf_gemm_weight w = clf_linear_each_columns(t->stream, z, mask),
                          v = clf_linear_each_columns(t->stream, clean, none);

    clf_linear_each(t->stream, x, &w, none, got);
    clf_linear_each(t->stream, x, &v, none, want);
    clf_scope_close(t->stream, scope);
    clf_test_same_bits(t, got, want);
}

static void a_product_past_its_memory_is_refused(void **state)
{
    enum { N = 500 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(4, 3, 5)),
                     z = clf_test_normal(t, CLF_F32, CLF_DIMS(4, N, 5));
    clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, N));

    need_packing(t);
    y.dim[0] = 4;
    const clf_scope scope = clf_scope_open(t->stream, NULL, -1);
    const clf_gemm_weight w = clf_linear_each_rows(t->stream, z);

    clf_linear_each(t->stream, x, &w, none, y);
    clf_scope_close(t->stream, scope);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "linear_each: f32[4, 3, 500] ends at byte");
}

static void names_what_does_not_fit(void **state)
{
    const clf_gemm_weight w = { .N = 7, .K = 5, .count = 2 };
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F32, 2, 3, 5), y = CLF_OPS_SHAPE(CLF_F32, 2, 3, 7);

    (void)state;
    CLF_OPS_ACCEPTS(clf_linear_each_check(x, &w, CLF_OPS_SHAPE(CLF_F32, 14), y, &err));
    CLF_OPS_REFUSES(clf_linear_each_check(CLF_OPS_SHAPE(CLF_F16, 2, 3, 5), &w, none, y, &err), CLF_UNSUPPORTED,
                    "linear_each: x is f16[2, 3, 5]; want f32");
    CLF_OPS_REFUSES(clf_linear_each_check(CLF_OPS_SHAPE(CLF_F32, 3, 3, 5), &w, none, y, &err), CLF_INVALID_ARGUMENT,
                    "linear_each: x is f32[3, 3, 5]; want [2, .., 5], a product for each weight");
    CLF_OPS_REFUSES(clf_linear_each_check(x, &w, none, x, &err), CLF_INVALID_ARGUMENT,
                    "linear_each: y is f32[2, 3, 5]; want the leading dimensions of x f32[2, 3, 5] and [.., 7]");
    CLF_OPS_REFUSES(clf_linear_each_check(x, &w, CLF_OPS_SHAPE(CLF_F32, 7), y, &err), CLF_INVALID_ARGUMENT,
                    "linear_each: bias is f32[7]; want dense f32[14]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_double_precision),
        CLF_TEST(long_rows_agree),
        CLF_TEST(turned_weights_are_rounded_to_their_storage),
        CLF_TEST(turned_weights_come_in_several_steps),
        CLF_TEST(heads_have_the_bits_of_linear),
        CLF_TEST(hidden_rows_count_as_zero),
        CLF_TEST(names_what_does_not_fit),
        CLF_TEST(a_product_past_its_memory_is_refused),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
