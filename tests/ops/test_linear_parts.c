/* Weights made of parts: stacked, and with scales and shifts folded in. */
#include <math.h>
#include <string.h>

#include "ref/linear.h"
#include "walk.h"

static const clf_dtype sources[] = { CLF_F32, CLF_F16, CLF_BF16, CLF_F64 };

static void store(void *data, clf_dtype dtype, size_t i, double value)
{
    const uint16_t half = dtype == CLF_F16 ? clf_f32_to_f16((float)value) : clf_f32_to_bf16((float)value);
    const float single = (float)value;

    if (dtype == CLF_F64)
        memcpy((char *)data + i * sizeof value, &value, sizeof value);
    else if (dtype == CLF_F32)
        memcpy((char *)data + i * sizeof single, &single, sizeof single);
    else
        memcpy((char *)data + i * sizeof half, &half, sizeof half);
}

/* Host numbers, normal or (limit above 0) whole; columns 0: a vector of `rows`. */
static clf_host_tensor host(clf_test *t, clf_dtype dtype, int64_t rows, int64_t columns, int limit)
{
    const size_t count = (size_t)(rows * (columns > 0 ? columns : 1));
    void *data = clf_test_memory(t, count * clf_dtype_bytes(dtype));

    for (size_t i = 0; i < count; i++) {
        const double r = 2 * clf_test_random(t) - 1;
        store(data, dtype, i, limit > 0 ? floor(r * (limit + 0.99)) : r);
    }
    return (clf_host_tensor){ .data = data, .dtype = dtype, .rank = columns > 0 ? 2 : 1, .dim = { rows, columns } };
}

static clf_linear_weight *pack(clf_test *t, const clf_linear_part *parts, int count, clf_dtype storage)
{
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;
    clf_error err = { 0 };

    d.parts = parts;
    d.part_count = count;
    d.storage = storage;
    if (clf_linear_weight_create(t->ctx, &d, &w, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return w;
}

/* Three parts that end inside a panel; the middle one has no bias. */
enum { PARTS = 3 };
static const int64_t outs[PARTS] = { 5, 70, 33 };

static void make_parts(clf_test *t, clf_linear_part *parts, const clf_dtype *types, int64_t K, int limit)
{
    memset(parts, 0, PARTS * sizeof *parts);
    for (int i = 0; i < PARTS; i++) {
        parts[i].layer.weight = host(t, types[i], outs[i], K, limit);
        if (i != 1)
            parts[i].layer.bias = host(t, types[i], outs[i], 0, limit);
    }
}

/* y of the stacked weight against y of each part's own weight. */
static void compare_with_separate(clf_test *t, const clf_linear_part *parts, clf_tensor x, clf_dtype storage)
{
    clf_linear_weight *stacked = pack(t, parts, PARTS, storage);
    const int64_t M = clf_dim(x, 0), N = clf_linear_weight_out(stacked);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(M, N));
    int64_t at = 0;

    assert_int_equal(N, outs[0] + outs[1] + outs[2]);
    assert_int_equal(clf_linear_weight_in(stacked), clf_dim(x, 1));
    clf_linear(t->stream, x, stacked, NULL, y);
    for (int i = 0; i < PARTS; at += outs[i++]) {
        clf_linear_weight *alone = pack(t, &parts[i], 1, storage);
        const clf_tensor own = clf_test_empty(t, CLF_F32, CLF_DIMS(M, outs[i]));

        clf_linear(t->stream, x, alone, NULL, own);
        clf_test_same_bits(t, clf_slice(t->stream, y, 1, at, outs[i]), own);
        clf_linear_weight_destroy(alone);
    }
    clf_linear_weight_destroy(stacked);
}

/* Whole numbers are exact in any order of additions, so this holds for CLBlast, too. */
static void stacked_parts_equal_separate_weights_bit_for_bit(void **state)
{
    clf_test *t = *state;
    const bool panel = strcmp(clf_context_gemm(t->ctx), "panel") == 0;

    for (size_t i = 0; i < CLF_COUNT(sources) * 2; i++) {
        const clf_dtype same = sources[i / 2], other = sources[(i / 2 + 1) % CLF_COUNT(sources)];
        const clf_dtype types[PARTS] = { same, i % 2 ? other : same, same };
        const clf_dtype storage = i % 2 ? CLF_F32 : CLF_DTYPE_NONE;
        clf_linear_part parts[PARTS];

        make_parts(t, parts, types, 45, panel ? 0 : 9);
        compare_with_separate(t, parts,
                              panel ? clf_test_normal(t, CLF_F32, CLF_DIMS(7, 45))
                                    : clf_test_integers(t, CLF_F32, CLF_DIMS(7, 45), 9),
                              storage);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* A plain weight and a single part are the same. */
static void a_single_part_equals_a_plain_weight(void **state)
{
    clf_test *t = *state;
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_part part;
    clf_linear_weight *w = NULL, *p;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 45)), a = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37));
    const clf_tensor b = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 37));

    memset(&part, 0, sizeof part);
    part.layer.weight = d.weight = host(t, CLF_F16, 37, 45, 0);
    part.layer.bias = d.bias = host(t, CLF_F32, 37, 0, 0);
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, NULL), CLF_OK);
    p = pack(t, &part, 1, CLF_DTYPE_NONE);
    clf_linear(t->stream, x, w, NULL, a);
    clf_linear(t->stream, x, p, NULL, b);
    clf_test_same_bits(t, a, b);
    clf_linear_weight_destroy(w);
    clf_linear_weight_destroy(p);
}

static double at(clf_host_tensor v, int64_t i, double absent)
{
    return clf_host_present(v) ? clf_host_value(v.data, v.dtype, (size_t)i) : absent;
}

static double rounded(clf_dtype storage, float v)
{
    return storage == CLF_F32   ? (double)v
           : storage == CLF_F16 ? (double)clf_f16_to_f32(clf_f32_to_f16(v))
                                : (double)clf_bf16_to_f32(clf_f32_to_bf16(v));
}

/* The part as the header says it is stored: rounded to `storage`, then scaled in f32; the bias in double, then rounded. */
static clf_ref_linear stored(clf_test *t, const clf_linear_part *p, clf_dtype storage)
{
    const clf_host_tensor m = p->layer.weight;
    const int64_t N = m.dim[0], K = m.dim[1];
    clf_ref_linear w = { .N = N, .K = K, .dtype = storage };

    w.weight = clf_test_memory(t, (size_t)(N * K) * sizeof *w.weight);
    w.bias = clf_test_memory(t, (size_t)N * sizeof *w.bias);
    for (int64_t n = 0; n < N; n++) {
        double b = at(p->layer.bias, n, 0.0);

        for (int64_t k = 0; k < K; k++) {
            float v = (float)rounded(storage, (float)at(m, n * K + k, 0.0));

            b += (double)v * (double)(float)at(p->column_shift, k, 0.0);
            v *= (float)at(p->column_scale, k, 1.0);
            v *= (float)at(p->row_scale, n, 1.0);
            w.weight[n * K + k] = (double)v;
        }
        w.bias[n] = (double)(float)(b * at(p->row_scale, n, 1.0));
    }
    return w;
}

/* Any of the three vectors present, every source type, every storage: the published bound holds. */
static void scales_and_shifts_are_folded_in(void **state)
{
    static const clf_dtype storages[] = { CLF_F32, CLF_F16, CLF_BF16 };
    const clf_linear_options o = clf_linear_options_default();
    clf_test *t = *state;

    for (size_t i = 0; i < 8 * CLF_COUNT(sources); i++) {
        const clf_dtype source = sources[i / 8], storage = storages[i % CLF_COUNT(storages)];
        const int64_t N = 37, K = 45;
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(9, K)),
                         y = clf_test_empty(t, CLF_F32, CLF_DIMS(9, N));
        double *want = clf_test_memory(t, 9 * 37 * sizeof *want), *bound = clf_test_memory(t, 9 * 37 * sizeof *bound);
        clf_linear_part part;
        clf_ref_linear w;

        memset(&part, 0, sizeof part);
        part.layer.weight = host(t, source, N, K, 0);
        if (i % 3 != 0)
            part.layer.bias = host(t, source, N, 0, 0);
        if (i & 1)
            part.column_scale = host(t, source, K, 0, 0);
        if (i & 2)
            part.column_shift = host(t, sources[i % 4], K, 0, 0);
        if (i & 4)
            part.row_scale = host(t, CLF_F32, N, 0, 0);
        w = stored(t, &part, storage);
        w.packed = pack(t, &part, 1, storage);
        clf_ref_linear_run(t, x, &w, &o, want, bound);
        clf_linear(t->stream, x, w.packed, NULL, y);
        clf_test_within(t, y, want, bound);
        clf_linear_weight_destroy(w.packed);
        clf_test_release_all(t);
    }
}

/* Neighbouring parts keep their own factors, and rows of several stages theirs: 8 MiB hold 512 rows of 4096. */
static void every_part_has_its_own_factors(void **state)
{
    clf_test *t = *state;
    const bool small = clf_test_small_only(t);
    const int64_t K = small ? 64 : 4096, N[PARTS] = { small ? 5 : 300, small ? 70 : 850, 33 };
    const clf_tensor x = clf_test_integers(t, CLF_F32, CLF_DIMS(2, K), 3);
    const clf_linear_options o = clf_linear_options_default();
    clf_linear_part parts[PARTS];
    clf_linear_weight *w;
    clf_tensor y;
    int64_t begin = 0;

    memset(parts, 0, sizeof parts);
    for (int i = 0; i < PARTS; i++) {
        parts[i].layer.weight = host(t, i == 1 ? CLF_F16 : CLF_F32, N[i], K, 3);
        if (i != 1)
            parts[i].column_scale = host(t, CLF_F32, K, 0, 2 + i);
        if (i != 0)
            parts[i].column_shift = host(t, CLF_BF16, K, 0, 2 + i);
        if (i != 2)
            parts[i].row_scale = host(t, CLF_F16, N[i], 0, 2 + i);
        if (i == 2)
            parts[i].layer.bias = host(t, CLF_F64, N[i], 0, 9);
    }
    w = pack(t, parts, PARTS, CLF_DTYPE_NONE);
    y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, clf_linear_weight_out(w)));
    clf_linear(t->stream, x, w, NULL, y);
    for (int i = 0; i < PARTS; begin += N[i++]) {
        const clf_ref_linear ref = stored(t, &parts[i], CLF_F32);
        double *want = clf_test_memory(t, (size_t)(2 * N[i]) * sizeof *want);
        double *bound = clf_test_memory(t, (size_t)(2 * N[i]) * sizeof *bound);

        t->zero_limit = 0.5; /* factors of 0 make rows of 0 */
        clf_ref_linear_run(t, x, &ref, &o, want, bound);
        clf_test_exact(t, clf_slice(t->stream, y, 1, begin, N[i]), want);
    }
    clf_linear_weight_destroy(w);
}

/* norm(x) W^T + b with the norm's gain and bias in the weight, against the same with them in the prologue.  Both lie
 * within their bounds of the exact result: the folded one rounds each weight twice more, (in + 5) u for (in + 3) u. */
static void a_folded_norm_equals_the_norm_and_the_product(void **state)
{
    clf_test *t = *state;
    const int64_t M = 14, N = 33, K = 333;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(M, K), 0.5, 2.0);
    const size_t count = (size_t)(M * N) * sizeof(double);
    double *want = clf_test_memory(t, count), *bound = clf_test_memory(t, count), *exact = clf_test_memory(t, count);
    double *gain = clf_test_memory(t, (size_t)K * sizeof *gain), *shift = clf_test_memory(t, (size_t)K * sizeof *shift);
    clf_linear_options bare = clf_linear_options_default(), full;
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(M, N)), z = clf_test_empty(t, CLF_F32, CLF_DIMS(M, N));
    clf_linear_part part;
    clf_ref_linear ref;
    clf_linear_weight *plain;

    memset(&part, 0, sizeof part);
    part.layer.weight = host(t, CLF_F32, N, K, 0);
    part.layer.bias = host(t, CLF_F32, N, 0, 0);
    plain = pack(t, &part, 1, CLF_F32);
    ref = stored(t, &part, CLF_F32);
    part.column_scale = host(t, CLF_F32, K, 0, 0);
    part.column_shift = host(t, CLF_F32, K, 0, 0);
    for (int64_t k = 0; k < K; k++) {
        gain[k] = at(part.column_scale, k, 1.0);
        shift[k] = at(part.column_shift, k, 0.0);
    }
    bare.prologue = CLF_PROLOGUE_LAYER_NORM;
    full = bare;
    full.norm_weight = clf_test_from(t, CLF_F32, CLF_DIMS(K), gain);
    full.norm_bias = clf_test_from(t, CLF_F32, CLF_DIMS(K), shift);
    clf_ref_linear_run(t, x, &ref, &full, exact, bound);
    clf_linear(t->stream, x, plain, &full, y);
    clf_test_within(t, y, exact, bound);

    ref = stored(t, &part, CLF_F32);
    ref.packed = pack(t, &part, 1, CLF_F32);
    clf_ref_linear_run(t, x, &ref, &bare, want, bound);
    for (int64_t i = 0; i < M * N; i++)
        bound[i] *= (double)(K + 5) / (double)(K + 3);
    clf_linear(t->stream, x, ref.packed, &bare, z);
    clf_test_within(t, z, exact, bound);
    clf_linear_weight_destroy(plain);
    clf_linear_weight_destroy(ref.packed);
}

/* ---- the source ---- */

typedef struct told {
    const char *data[16];
    size_t bytes[16], count;
} told;

static void done(void *self, const void *data, size_t bytes)
{
    told *d = self;

    assert_true(d->count < CLF_COUNT(d->data));
    d->data[d->count] = data;
    d->bytes[d->count++] = bytes;
}

/* How often each byte of a tensor was told: once for all of them, or -1. */
static int times_told(const told *d, clf_host_tensor h)
{
    uint64_t bytes = 0, told_bytes = 0;

    clf_host_bytes(h, &bytes);
    for (size_t i = 0; i < d->count; i++)
        if (d->data[i] >= (const char *)h.data && d->data[i] < (const char *)h.data + bytes)
            told_bytes += d->bytes[i];
    return told_bytes % bytes != 0 ? -1 : (int)(told_bytes / bytes);
}

/* Scales are often shared by several weights, so nobody is told that they have been read. */
static void the_source_is_told_once_of_weights_and_biases(void **state)
{
    static const clf_dtype types[PARTS] = { CLF_F32, CLF_F16, CLF_F32 };
    clf_test *t = *state;
    told d = { .count = 0 };
    const clf_tensor_source source = { .self = &d, .done = done };
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_part parts[PARTS];
    clf_linear_weight *w = NULL;

    make_parts(t, parts, types, 45, 0);
    parts[1].column_scale = parts[2].column_scale = host(t, CLF_F32, 45, 0, 0);
    parts[1].column_shift = host(t, CLF_F32, 45, 0, 0);
    desc.parts = parts;
    desc.part_count = PARTS;
    desc.source = &source;
    assert_int_equal(clf_linear_weight_create(t->ctx, &desc, &w, NULL), CLF_OK);
    for (int i = 0; i < PARTS; i++) {
        assert_int_equal(times_told(&d, parts[i].layer.weight), 1);
        if (i != 1)
            assert_int_equal(times_told(&d, parts[i].layer.bias), 1);
    }
    assert_int_equal(times_told(&d, parts[1].column_scale), 0);
    assert_int_equal(times_told(&d, parts[1].column_shift), 0);
    clf_linear_weight_destroy(w);
}

/* ---- failures ---- */

static clf_linear_weight_desc desc_for_faults(clf_test *t, clf_linear_part *parts)
{
    static const clf_dtype types[PARTS] = { CLF_F32, CLF_F16, CLF_F64 };
    clf_linear_weight_desc d = clf_linear_weight_desc_default();

    make_parts(t, parts, types, 45, 0);
    parts[2].column_scale = host(t, CLF_F32, 45, 0, 0);
    parts[2].column_shift = host(t, CLF_F32, 45, 0, 0);
    d.parts = parts;
    d.part_count = PARTS;
    return d;
}

static clf_status create_alone(clf_test *t, void *desc, clf_stream *s, clf_error *err)
{
    clf_linear_weight *w = NULL;
    const clf_status status = clf_linear_weight_create(t->ctx, desc, &w, err);

    (void)s;
    assert_int_equal(w == NULL, status != CLF_OK);
    clf_linear_weight_destroy(w);
    return status;
}

static void a_failure_of_any_call_leaves_nothing_allocated(void **state)
{
    clf_test *t = *state;
    clf_linear_part parts[PARTS];
    clf_linear_weight_desc d = desc_for_faults(t, parts);
    const clf_walk w = { .name = "parts", .work = create_alone, .user = &d, .beside = true };

    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

static void a_failure_of_any_allocation_leaves_nothing_allocated(void **state)
{
    clf_test *t = *state;
    clf_linear_part parts[PARTS];
    clf_linear_weight_desc d = desc_for_faults(t, parts);
    const clf_walk w = { .name = "parts", .work = create_alone, .user = &d, .beside = true };

    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 0 : 5));
}

static void parts_that_cannot_be_are_refused(void **state)
{
    clf_test *t = *state;
    clf_linear_part good[2], bad[2];
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;
    clf_error err = { 0 };

#define REFUSED(wanted, text)                                                                                          \
    do {                                                                                                               \
        assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, &err), (wanted));                                    \
        assert_string_equal(err.message, "linear: " text);                                                             \
        assert_null(w);                                                                                                \
        memcpy(bad, good, sizeof bad);                                                                                 \
        d = clf_linear_weight_desc_default();                                                                          \
        d.parts = bad;                                                                                                 \
        d.part_count = 2;                                                                                              \
    } while (0)
    memset(good, 0, sizeof good);
    good[0].layer.weight = host(t, CLF_F32, 2, 3, 0);
    good[1].layer.weight = host(t, CLF_F16, 4, 3, 0);
    memcpy(bad, good, sizeof bad);
    d.parts = bad;
    REFUSED(CLF_INVALID_ARGUMENT, "part_count is 0 and parts is set; want at least one part, or none and a weight");
    d.part_count = -1;
    REFUSED(CLF_INVALID_ARGUMENT, "part_count is -1 and parts is set; want at least one part, or none and a weight");
    d.parts = NULL;
    REFUSED(CLF_INVALID_ARGUMENT, "part_count is 2 and parts is NULL; want at least one part, or none and a weight");
    d.weight = good[0].layer.weight;
    REFUSED(CLF_INVALID_ARGUMENT, "weight is f32[2, 3] beside parts; want it in one of them");
    d.bias = host(t, CLF_F32, 6, 0, 0);
    REFUSED(CLF_INVALID_ARGUMENT, "bias is f32[6] beside parts; want it in one of them");
    d.storage = CLF_I8;
    REFUSED(CLF_UNSUPPORTED, "storage is i8; want f32, f16 or bf16");
    bad[1].layer.weight.dtype = CLF_DTYPE_NONE;
    REFUSED(CLF_UNSUPPORTED, "parts[1].layer.weight is none; want f32, f16, bf16 or f64");
    bad[1].layer.weight.dtype = CLF_I8;
    REFUSED(CLF_UNSUPPORTED, "parts[1].layer.weight is i8[4, 3]; want f32, f16, bf16 or f64");
    bad[1].layer.weight.data = NULL;
    REFUSED(CLF_INVALID_ARGUMENT, "parts[1].layer.weight is f16[4, 3] without data; want host memory");
    bad[0].layer.weight.dim[0] = 0;
    REFUSED(CLF_INVALID_ARGUMENT, "parts[0].layer.weight is f32[0, 3]; want [out, in], both at least 1");
    bad[1].layer.weight.dim[1] = 2;
    REFUSED(CLF_INVALID_ARGUMENT,
            "parts[1].layer.weight is f16[4, 2]; want [out, 3], as wide as parts[0].layer.weight f32[2, 3]");
    bad[0].layer.weight.dim[0] = bad[1].layer.weight.dim[0] = INT64_MAX;
    REFUSED(CLF_UNSUPPORTED, "parts[0] to parts[1] have 18446744073709551614 rows; want fewer than 2^63");
    bad[1].layer.bias = host(t, CLF_F32, 3, 0, 0);
    REFUSED(CLF_INVALID_ARGUMENT, "parts[1].layer.bias is f32[3]; want [4], the first dimension of weight f16[4, 3]");
    bad[1].column_scale = host(t, CLF_F32, 4, 0, 0);
    REFUSED(CLF_INVALID_ARGUMENT, "parts[1].column_scale is f32[4]; want [3], the last dimension of weight f16[4, 3]");
    bad[0].column_shift = host(t, CLF_F32, 3, 1, 0);
    REFUSED(CLF_INVALID_ARGUMENT,
            "parts[0].column_shift is f32[3, 1]; want [3], the last dimension of weight f32[2, 3]");
    bad[1].row_scale = host(t, CLF_F32, 3, 0, 0);
    REFUSED(CLF_INVALID_ARGUMENT, "parts[1].row_scale is f32[3]; want [4], the first dimension of weight f16[4, 3]");
    bad[1].row_scale = host(t, CLF_F32, 4, 0, 0);
    bad[1].row_scale.dtype = CLF_I32;
    REFUSED(CLF_UNSUPPORTED, "parts[1].row_scale is i32[4]; want f32, f16, bf16 or f64");
    bad[1].column_shift = host(t, CLF_F32, 3, 0, 0);
    bad[1].column_shift.data = NULL;
    REFUSED(CLF_INVALID_ARGUMENT, "parts[1].column_shift is f32[3] without data; want host memory");
#undef REFUSED
    assert_int_equal(clf_linear_weight_create(t->ctx, &d, &w, &err), CLF_OK);
    clf_linear_weight_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(stacked_parts_equal_separate_weights_bit_for_bit),
        CLF_TEST(a_single_part_equals_a_plain_weight),
        CLF_TEST(scales_and_shifts_are_folded_in),
        CLF_TEST(every_part_has_its_own_factors),
        CLF_TEST(a_folded_norm_equals_the_norm_and_the_product),
        CLF_TEST(the_source_is_told_once_of_weights_and_biases),
        CLF_TEST(a_failure_of_any_call_leaves_nothing_allocated),
        CLF_TEST(a_failure_of_any_allocation_leaves_nothing_allocated),
        CLF_TEST(parts_that_cannot_be_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
