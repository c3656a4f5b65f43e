/* The projector: exact on whole numbers, and relations between calls that need no tolerance. */
#include <stdio.h>
#include <string.h>

#include "harness.h"

static clf_host_tensor integers(clf_test *t, clf_dims dims, int limit)
{
    clf_host_tensor h = { NULL, CLF_F32, dims.rank, { 0 } };
    size_t count = 1;

    for (int32_t i = 0; i < dims.rank; i++) {
        h.dim[i] = dims.dim[i];
        count *= (size_t)dims.dim[i];
    }
    float *values = clf_test_memory(t, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((int)(clf_test_random(t) * (2 * limit + 1)) - limit);
    h.data = values;
    return h;
}

/* Layers of the widths given, ended by 0; whole numbers of at most 2, so that every sum is exact. */
static clf_projector_desc describe(clf_test *t, const int64_t *widths)
{
    clf_projector_desc d = clf_projector_desc_default();

    d.activation = CLF_RELU;
    for (; widths[d.layer_count + 1] != 0; d.layer_count++) {
        const int64_t in = widths[d.layer_count], out = widths[d.layer_count + 1];

        d.layers[d.layer_count].weight = integers(t, CLF_DIMS(out, in), 2);
        d.layers[d.layer_count].bias = integers(t, CLF_DIMS(out), 2);
    }
    return d;
}

static clf_projector *create(clf_test *t, const clf_projector_desc *d)
{
    clf_projector *p = NULL;
    clf_error err = { 0 };

    if (clf_projector_create(t->ctx, d, &p, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return p;
}

/* relu between the layers; rows of the merged width. */
static const double *reference(clf_test *t, const clf_projector_desc *d, const double *x, int64_t rows)
{
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_host_tensor w = d->layers[i].weight;
        const float *W = w.data, *b = d->layers[i].bias.data;
        double *y = clf_test_memory(t, (size_t)(rows * w.dim[0]) * sizeof *y);

        for (int64_t r = 0; r < rows; r++)
            for (int64_t o = 0; o < w.dim[0]; o++) {
                double sum = b != NULL ? (double)b[o] : 0;
                for (int64_t k = 0; k < w.dim[1]; k++)
                    sum += x[r * w.dim[1] + k] * (double)W[o * w.dim[1] + k];
                y[r * w.dim[0] + o] = i + 1 < d->layer_count && sum < 0 ? 0 : sum;
            }
        x = y;
    }
    return x;
}

static void whole_numbers_are_exact_at_every_depth(void **state)
{
    static const int64_t chains[][5] = { { 7, 5, 0 }, { 40, 56, 33, 0 }, { 16, 12, 20, 9, 0 } };
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    static const int64_t rows[] = { 1, 5, 57 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(chains) * CLF_COUNT(types) * 2; i++) {
        clf_projector_desc d = describe(t, chains[i % CLF_COUNT(chains)]);
        const int64_t N = rows[i % CLF_COUNT(rows)], B = 1 + (int64_t)i % 2;

        if (i % 2 == 1) /* biases off */
            for (int32_t k = 0; k < d.layer_count; k++)
                d.layers[k].bias = (clf_host_tensor){ 0 };
        clf_projector *p = create(t, &d);
        const clf_tensor vision = clf_test_integers(t, types[i / CLF_COUNT(chains) % CLF_COUNT(types)],
                                                    CLF_DIMS(B, N, clf_projector_vision_width(p)), 2);
        const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, clf_projector_text_width(p)));

        clf_projector_forward(t->stream, p, vision, tokens);
        clf_test_exact(t, tokens, reference(t, &d, clf_test_given(t, vision), B * N));
        clf_projector_destroy(p);
    }
}

static void merging_puts_consecutive_tokens_side_by_side(void **state)
{
    static const int64_t widths[] = { 12, 8, 0 };
    clf_test *t = *state;
    clf_projector_desc d = describe(t, widths);

    d.compress_ratio = 3; /* [2, 6, 4] read as [2, 2, 12]: the same elements in the same order */
    clf_projector *p = create(t, &d);
    const clf_tensor vision = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 6, 4), 2);
    const clf_tensor longer = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 9, 4), 2);
    const clf_tensor view = clf_slice(t->stream, longer, 1, 2, 6);
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 2, 8));

    assert_int_equal(clf_projector_vision_width(p), 4);
    clf_projector_forward(t->stream, p, vision, tokens);
    clf_test_exact(t, tokens, reference(t, &d, clf_test_given(t, vision), 4));
    clf_projector_forward(t->stream, p, view, tokens); /* a view is copied first */
    clf_test_exact(t, tokens, reference(t, &d, clf_test_given(t, view), 4));
    clf_projector_destroy(p);
}

static void a_batch_of_two_equals_two_of_one_bit_for_bit(void **state)
{
    static const int64_t widths[] = { 37, 53, 29, 0 };
    clf_test *t = *state;

    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast routes by the sizes and promises no order of additions");

    clf_projector_desc d = describe(t, widths);
    d.activation = CLF_GELU;
    clf_projector *p = create(t, &d);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 21, 37));
    const clf_tensor both = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 21, 29));
    const clf_tensor each = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 21, 29));

    clf_projector_forward(t->stream, p, vision, both);
    for (int64_t b = 0; b < 2; b++)
        clf_projector_forward(t->stream, p, clf_slice(t->stream, vision, 0, b, 1), clf_slice(t->stream, each, 0, b, 1));
    clf_test_same_bits(t, both, each);
    clf_projector_destroy(p);
}

static void a_view_of_a_longer_sequence_is_written_alone(void **state)
{
    static const int64_t widths[] = { 12, 20, 16, 0 };
    clf_test *t = *state;
    clf_projector_desc d = describe(t, widths);
    clf_projector *p = create(t, &d);
    const clf_tensor vision = clf_test_integers(t, CLF_F16, CLF_DIMS(2, 5, 12), 2);
    const clf_tensor fused = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 11, 16), 3);
    const clf_tensor before = clf_slice(t->stream, fused, 1, 0, 3), after = clf_slice(t->stream, fused, 1, 8, 3);
    const clf_tensor middle = clf_slice(t->stream, fused, 1, 3, 5);

    clf_projector_forward(t->stream, p, vision, middle);
    clf_test_exact(t, middle, reference(t, &d, clf_test_given(t, vision), 10));
    clf_test_exact(t, before, clf_test_given(t, before));
    clf_test_exact(t, after, clf_test_given(t, after));
    clf_projector_destroy(p);
}

static void tokens_may_have_the_type_of_vision(void **state)
{
    static const int64_t chains[][4] = { { 12, 16, 0 }, { 12, 20, 16, 0 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(chains); i++) {
        clf_projector_desc d = describe(t, chains[i]);
        clf_projector *p = create(t, &d);
        const clf_tensor vision = clf_test_integers(t, CLF_F16, CLF_DIMS(5, 12), 2); /* rank 2 is enough */
        const clf_tensor tokens = clf_test_empty(t, CLF_F16, CLF_DIMS(5, 16));

        clf_projector_forward(t->stream, p, vision, tokens);
        clf_test_exact(t, tokens, reference(t, &d, clf_test_given(t, vision), 5));
        clf_projector_destroy(p);
    }
}

/* A projector with a norm, the same without it, and the norm's parameters on the device. */
typedef struct normed {
    clf_projector *whole, *plain;
    clf_tensor weight, bias;
    float eps;
} normed;

static normed create_normed(clf_test *t, const int64_t *widths)
{
    clf_projector_desc d = describe(t, widths);
    normed n = { .plain = create(t, &d), .eps = 0.01F };
    clf_error err = { 0 };

    d.norm_weight = integers(t, CLF_DIMS(widths[0]), 3);
    d.norm_bias = integers(t, CLF_DIMS(widths[0]), 3);
    d.norm_eps = n.eps;
    n.whole = create(t, &d);
    assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(widths[0]), &n.weight, &err), CLF_OK);
    assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(widths[0]), &n.bias, &err), CLF_OK);
    clf_upload(t->stream, d.norm_weight.data, n.weight);
    clf_upload(t->stream, d.norm_bias.data, n.bias);
    return n;
}

static void destroy_normed(clf_test *t, normed *n)
{
    clf_tensor_free(t->ctx, &n->weight);
    clf_tensor_free(t->ctx, &n->bias);
    clf_projector_destroy(n->whole);
    clf_projector_destroy(n->plain);
}

static void the_norm_stands_before_the_first_linear(void **state)
{
    static const int64_t widths[] = { 24, 16, 0 };
    clf_test *t = *state;
    normed p = create_normed(t, widths);
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 5, 24)),
                     n = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 24));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 16)),
                     want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 16));

    clf_layer_norm(t->stream, x, p.weight, p.bias, p.eps, n);
    clf_projector_forward(t->stream, p.plain, n, want);
    clf_projector_forward(t->stream, p.whole, x, y);
    /* The norm may be fused: two f32 norms differ by a few u of values up to 12, times 24 weights of at most 2. */
    clf_test_close(t, y, clf_test_values(t, want), 1e-6, 24 * 2 * 12 * 8 * 0x1p-24);
    destroy_normed(t, &p);
}

/* Normed rows lie in the memory of dense tokens: all of them, in two parts, or none because too few fit.  Tokens that are
 * a view, and a vision that is one, take scratch. */
static void the_norm_gives_the_same_wherever_its_rows_lie(void **state)
{
    static const int64_t chains[][5] = { { 24, 20, 40, 0 }, { 40, 24, 28, 0 }, { 72, 24, 20, 9, 0 } };
    static const clf_dtype types[] = { CLF_F32, CLF_F16 };
    clf_test *t = *state;
    const bool panel = strcmp(clf_context_gemm(t->ctx), "panel") == 0;

    for (size_t i = 0; i < CLF_COUNT(chains) * CLF_COUNT(types); i++) {
        normed p = create_normed(t, chains[i / CLF_COUNT(types)]);
        const int64_t B = 3, N = 7, in = clf_projector_vision_width(p.whole), out = clf_projector_text_width(p.whole);
        const clf_tensor longer = clf_test_normal(t, types[i % CLF_COUNT(types)], CLF_DIMS(B, N + 4, in));
        const clf_tensor view = clf_slice(t->stream, longer, 1, 2, N);
        const clf_tensor dense = clf_test_empty(t, view.dtype, CLF_DIMS(B, N, in));
        const clf_tensor normal = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, in));
        const clf_tensor want = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, out)),
                         got = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, out)),
                         from_view = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, out)),
                         fused = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N + 4, out));
        const clf_tensor results[] = { got, from_view, clf_slice(t->stream, fused, 1, 3, N) };

        clf_copy(t->stream, view, dense);
        clf_layer_norm(t->stream, dense, p.weight, p.bias, p.eps, normal);
        clf_projector_forward(t->stream, p.plain, normal, want);
        clf_projector_forward(t->stream, p.whole, dense, results[0]);
        clf_projector_forward(t->stream, p.whole, view, results[1]);
        clf_projector_forward(t->stream, p.whole, dense, results[2]);
        for (size_t k = 0; k < CLF_COUNT(results); k++)
            if (panel)
                clf_test_same_bits(t, results[k], want);
            else /* CLBlast routes by the sizes: sums of values up to 1e6 in another order */
                clf_test_close(t, results[k], clf_test_values(t, want), 1e-5, 1e6 * 16 * 0x1p-24);
        destroy_normed(t, &p);
    }
}

static void no_tokens_are_a_success(void **state)
{
    static const int64_t widths[] = { 12, 20, 16, 0 };
    clf_test *t = *state;
    clf_projector_desc d = describe(t, widths);
    clf_projector *p = create(t, &d);

    clf_projector_forward(t->stream, p, clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 12)),
                          clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 16)));
    clf_projector_forward(t->stream, p, clf_tensor_shape(CLF_F32, CLF_DIMS(0, 3, 12)),
                          clf_tensor_shape(CLF_F32, CLF_DIMS(0, 3, 16)));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_projector_destroy(p);
}

static void refused_desc(clf_test *t, const clf_projector_desc *d, const char *message)
{
    clf_projector *p = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_projector_create(t->ctx, d, &p, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(p);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    static const int64_t widths[] = { 12, 20, 16, 0 };
    clf_test *t = *state;
    const clf_projector_desc good = describe(t, widths);
    clf_projector_desc d = good;

    d.layers[1].weight = integers(t, CLF_DIMS(16, 19), 2);
    refused_desc(t, &d, "projector: layers[1].weight is f32[16, 19]; want 20 columns, the rows of layers[0].weight");
    d = good;
    d.layers[0].bias = integers(t, CLF_DIMS(19), 2);
    refused_desc(t, &d, "projector: layers[0].bias is f32[19]; want [20], the rows of its weight");
    d = good;
    d.compress_ratio = 5;
    refused_desc(t, &d, "projector: compress_ratio is 5; want a divisor of 12, the columns of layers[0].weight");
    d = good;
    d.norm_weight = integers(t, CLF_DIMS(13), 2);
    refused_desc(t, &d, "projector: norm_weight is f32[13]; want [12], the columns of layers[0].weight");
    d = good;
    d.layer_count = 0;
    refused_desc(t, &d, "projector: layer_count is 0; want 1 to 16");
}

/* Fields behind struct_size, of a caller that was compiled before they existed, have their defaults. */
static void a_shorter_description_has_defaults_for_the_rest(void **state)
{
    static const int64_t widths[] = { 6, 4, 0 };
    clf_test *t = *state;
    clf_projector_desc d = describe(t, widths);
    char message[120];

    d.storage = CLF_I8; /* no type of weights */
    d.struct_size = offsetof(clf_projector_desc, storage);
    clf_projector_destroy(create(t, &d));
    d.struct_size = sizeof d + 8;
    snprintf(message, sizeof message, "projector: struct_size is %zu; want %zu: start from the _default() function",
             sizeof d + 8, sizeof d);
    refused_desc(t, &d, message);
}

static void calls_with_wrong_shapes_are_refused(void **state)
{
    static const int64_t widths[] = { 12, 16, 0 };
    clf_test *t = *state;
    clf_projector_desc d = describe(t, widths);

    d.compress_ratio = 2;
    clf_projector *p = create(t, &d);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 6)),
                     odd = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 5, 6));
    const clf_tensor wide = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 7)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 16));

    clf_projector_forward(t->stream, p, wide, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "projector: vision is f32[1, 4, 7]; want [..., N, 6]");
    clf_projector_forward(t->stream, p, odd, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "projector: vision is f32[1, 5, 6]; want N a multiple of 2, the compress_ratio");
    clf_projector_forward(t->stream, p, vision, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "projector: tokens is f32[1, 4, 16]; want f32[1, 2, 16] or the type of vision f32[1, 4, 6]");
    clf_projector_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(whole_numbers_are_exact_at_every_depth),
        CLF_TEST(merging_puts_consecutive_tokens_side_by_side),
        CLF_TEST(a_batch_of_two_equals_two_of_one_bit_for_bit),
        CLF_TEST(a_view_of_a_longer_sequence_is_written_alone),
        CLF_TEST(tokens_may_have_the_type_of_vision),
        CLF_TEST(the_norm_stands_before_the_first_linear),
        CLF_TEST(the_norm_gives_the_same_wherever_its_rows_lie),
        CLF_TEST(no_tokens_are_a_success),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(a_shorter_description_has_defaults_for_the_rest),
        CLF_TEST(calls_with_wrong_shapes_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
