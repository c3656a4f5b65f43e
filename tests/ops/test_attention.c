/* attention against its double reference, under each kernel shape; its relations are in test_attention_relations.c. */
#include "ops/ops.h"
#include "ref/ref.h"

static const clf_tensor none;

typedef struct shape {
    int64_t B, Q, K, H, Hk, D, E;
} shape;

static bool too_large(const clf_test *t, shape n)
{
    return clf_test_small_only(t) && n.B * n.H * n.Q * n.K * (n.D + n.E) > 250000;
}

/* Runs and compares the result, and the weights when there are any. */
static void check(clf_test *t, clf_tensor q, clf_tensor k, clf_tensor v, const clf_attention_options *o, clf_tensor y)
{
    clf_expected weights = { NULL, NULL };
    const bool stored = o != NULL && clf_present(o->weights);

    if (stored)
        weights = clf_expected_new(t, o->weights);
    const clf_expected want = clf_ref_attention(t, q, k, v, o, y, stored ? &weights : NULL);

    clf_attention(t->stream, q, k, v, o, y);
    clf_test_within(t, y, want.value, want.bound);
    if (stored)
        clf_test_within(t, o->weights, weights.value, weights.bound);
}

static void one_shape(clf_test *t, shape n)
{
    check(t, clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.Q, n.H, n.D)),
          clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.K, n.Hk, n.D)),
          clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.K, n.Hk, n.E)), NULL,
          clf_test_empty(t, CLF_F32, CLF_DIMS(n.B, n.Q, n.H, n.E)));
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_the_double_reference(void **state)
{
    static const int64_t widths[] = { 1, 5, 8, 32, 64, 72, 80, 88, 96, 128, 256 };
    static const int64_t queries[] = { 1, 2, 5, 31, 32, 33, 77 }, keys[] = { 1, 7, 8, 9, 64, 257 };
    static const int64_t heads[][2] = { { 1, 1 }, { 2, 1 }, { 4, 2 }, { 3, 3 }, { 6, 2 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(queries) * CLF_COUNT(keys); i++) {
        const int64_t *h = heads[i % CLF_COUNT(heads)];
        const shape n = { .B = 1 + (int64_t)i % 3,
                          .Q = queries[i % CLF_COUNT(queries)],
                          .K = keys[i / CLF_COUNT(queries)],
                          .H = h[0],
                          .Hk = h[1],
                          .D = widths[i % CLF_COUNT(widths)],
                          .E = widths[i * 5 / 3 % CLF_COUNT(widths)] };

        if (!too_large(t, n))
            one_shape(t, n);
    }
}

static void every_width_agrees(void **state)
{
    clf_test *t = *state;

    for (int64_t width = 1; width <= CLF_ATTENTION_MAX_WIDTH; width += width < 20 ? 1 : width % 2 ? 17 : 15) {
        const shape n = { .B = 1, .Q = 3, .K = 11, .H = 2, .Hk = 1, .D = width, .E = 257 - width };

        if (!too_large(t, n))
            one_shape(t, n);
    }
}

static void half_types_agree(void **state)
{
    clf_test *t = *state;

    /* A program for each, which takes seconds to compile: every type in every place, not every combination. */
    static const struct {
        clf_dtype q, k, y;
    } types[] = { { CLF_F16, CLF_F16, CLF_F16 }, { CLF_F32, CLF_BF16, CLF_F32 }, { CLF_BF16, CLF_F32, CLF_BF16 } };

    for (size_t i = 0; i < CLF_COUNT(types); i++) {
        const clf_dtype q_type = types[i].q, k_type = types[i].k, y_type = types[i].y;
        const int64_t Q = i % 2 == 0 ? 5 : 35;

        if (clf_test_small_only(t) && i != 0)
            continue;
        check(t, clf_test_normal(t, q_type, CLF_DIMS(2, Q, 2, 24)), clf_test_normal(t, k_type, CLF_DIMS(2, 41, 1, 24)),
              clf_test_normal(t, k_type, CLF_DIMS(2, 41, 1, 37)), NULL,
              clf_test_empty(t, y_type, CLF_DIMS(2, Q, 2, 37)));
    }
}

/* ---- rules ---- */

/* Row by row between hiding nothing, a little and everything; -FLT_MAX and -inf hide, other numbers count. */
static clf_tensor some_mask(clf_test *t, clf_dims dims)
{
    const size_t count = (size_t)clf_element_count(clf_tensor_shape(CLF_F32, dims)), columns = (size_t)dims.dim[3];
    double *values = clf_test_memory(t, count * sizeof *values);
    double hidden = 0;

    for (size_t i = 0; i < count; i++) {
        if (i % columns == 0)
            hidden = 1.4 * clf_test_random(t) - 0.2;
        values[i] = clf_test_random(t) >= hidden ? 4 * clf_test_random(t) - 2
                    : i % 2                      ? -3.4028234663852886e38
                                                 : -INFINITY;
    }
    return clf_test_from(t, CLF_F32, dims, values);
}

static clf_tensor some_i32(clf_test *t, clf_dims dims, int limit)
{
    const size_t count = (size_t)clf_element_count(clf_tensor_shape(CLF_F32, dims));
    int32_t *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (int32_t)(clf_test_random(t) * limit);
    return clf_test_i32(t, dims, values);
}

/* Rules by the bits of `which`: mask (2 bits), lengths, causal, groups (2 bits). */
static clf_attention_options some_rules(clf_test *t, shape n, unsigned which)
{
    clf_attention_options o = clf_attention_options_default();

    if (which % 4 == 1)
        o.mask = some_mask(t, CLF_DIMS(n.B, n.H, n.Q, n.K));
    if (which % 4 == 2)
        o.mask = some_mask(t, CLF_DIMS(n.B, 1, 1, n.K));
    if (which % 4 == 3) {
        o.mask_block = 7;
        o.mask = some_mask(t, CLF_DIMS(1, 1, n.Q, (n.K + 6) / 7));
    }
    if (which & 4)
        o.key_lengths = some_i32(t, CLF_DIMS(n.B), (int)n.K + 1);
    o.causal = (which & 8) != 0;
    o.causal_offset = n.K / 2 - n.Q / 2;
    if (which & 48) {
        o.group_rule = which / 16 % 4 == 1 ? CLF_GROUPS_EQUAL : CLF_GROUPS_AT_LEAST;
        o.query_groups = some_i32(t, CLF_DIMS(which % 3 == 0 ? 1 : n.B, n.Q), 4);
        o.key_groups = some_i32(t, CLF_DIMS(which % 5 == 0 ? 1 : n.B, n.K), 5);
        o.unseen = (clf_unseen)(which % 3);
    } else {
        o.unseen = (clf_unseen)(which % 2);
    }
    return o;
}

static void every_combination_of_rules_agrees(void **state)
{
    static const shape shapes[] = { { 2, 9, 21, 2, 1, 8, 8 },
                                    { 3, 37, 100, 4, 2, 20, 24 },
                                    { 1, 50, 130, 2, 2, 16, 9 } };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (unsigned i = 0; i < 48 * CLF_COUNT(shapes); i++) {
        const shape n = shapes[i % CLF_COUNT(shapes)];
        clf_attention_options o;

        if (too_large(t, n))
            continue;
        o = some_rules(t, n, i / (unsigned)CLF_COUNT(shapes));
        if (i % 4 < 2)
            o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(n.B, n.H, n.Q, n.K));
        check(t, clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.Q, n.H, n.D)),
              clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.K, n.Hk, n.D)),
              clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.K, n.Hk, n.E)), &o,
              clf_test_empty(t, CLF_F32, CLF_DIMS(n.B, n.Q, n.H, n.E)));
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* Windows of 24 tokens over 96, and sequences of several lengths packed: whole tiles are hidden. */
static void windows_and_segments_agree(void **state)
{
    enum { T = 96, D = 12 };
    clf_test *t = *state;
    int32_t windows[T], segments[T];

    for (int i = 0; i < T; i++) {
        windows[i] = i / 24;
        segments[i] = i < 7 ? 0 : i < 80 ? 1 : 2;
    }
    for (int i = 0; i < 2; i++) {
        const clf_tensor groups = clf_test_i32(t, CLF_DIMS(1, T), i == 0 ? windows : segments);
        clf_attention_options o = clf_attention_options_default();

        o.group_rule = CLF_GROUPS_EQUAL;
        o.query_groups = o.key_groups = groups;
        o.causal = i == 1;
        check(t, clf_test_normal(t, CLF_F32, CLF_DIMS(1, T, 2, D)), clf_test_normal(t, CLF_F32, CLF_DIMS(1, T, 1, D)),
              clf_test_normal(t, CLF_F32, CLF_DIMS(1, T, 1, D)), &o, clf_test_empty(t, CLF_F32, CLF_DIMS(1, T, 2, D)));
    }
}

static void weights_sum_to_one(void **state)
{
    clf_test *t = *state;
    clf_attention_options o = clf_attention_options_default();
    const double *w;

    o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 4, 3, 45));
    check(t, clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 4, 10)), clf_test_normal(t, CLF_F32, CLF_DIMS(2, 45, 2, 10)),
          clf_test_normal(t, CLF_F32, CLF_DIMS(2, 45, 2, 6)), &o, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 4, 6)));
    w = clf_test_values(t, o.weights);
    for (int row = 0; row < 2 * 4 * 3; row++) {
        double sum = 0;

        for (int j = 0; j < 45; j++)
            sum += w[row * 45 + j];
        assert_true(fabs(sum - 1) <= (2 * 45 + 16) * CLF_U); /* a total of 45, a quotient each */
    }
}

static void norms_of_q_and_k_agree(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < 8; i++) {
        /* Types that meet in the kernel as elsewhere in this file: a program for each takes seconds to compile. */
        const clf_dtype k_type = i < 4 ? CLF_F32 : i % 4 == 2 ? CLF_BF16 : CLF_F16;
        const clf_dtype q_type = i % 4 == 1 ? CLF_F32 : k_type;
        const clf_tensor w = clf_test_uniform(t, CLF_F32, CLF_DIMS(24), 0.5, 1.5);
        clf_attention_options o = clf_attention_options_default();

        if (clf_test_small_only(t) && i > 1)
            break;
        if (i % 4 != 1)
            o.q_norm = (clf_norm){ .kind = CLF_NORM_RMS, .weight = i % 4 == 0 ? none : w, .eps = 1e-5F };
        if (i % 4 != 2)
            o.k_norm = (clf_norm){ .kind = i < 4 ? CLF_NORM_LAYER : CLF_NORM_RMS, .weight = w, .eps = 1e-6F };
        if (i < 4 && i % 4 != 2)
            o.k_norm.bias = clf_test_normal(t, CLF_F32, CLF_DIMS(24));
        check(t, clf_test_normal(t, q_type, CLF_DIMS(2, 3, 4, 24)), clf_test_normal(t, k_type, CLF_DIMS(2, 19, 2, 24)),
              clf_test_normal(t, k_type, CLF_DIMS(2, 19, 2, 8)), &o, clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 4, 8)));
    }
}

static void scale_is_what_is_asked_for(void **state)
{
    static const float scales[] = { 1.0F, 0.05F, -0.3F };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(scales); i++) {
        clf_attention_options o = clf_attention_options_default();

        o.scale = scales[i];
        check(t, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3, 2, 16)), clf_test_normal(t, CLF_F32, CLF_DIMS(1, 9, 2, 16)),
              clf_test_normal(t, CLF_F32, CLF_DIMS(1, 9, 2, 16)), &o,
              clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, 2, 16)));
    }
}

/* Scores of -400 .. 400: without the maximum taken off, exp overflows and underflows. */
static void large_scores_do_not_overflow(void **state)
{
    clf_test *t = *state;
    clf_attention_options o = clf_attention_options_default();

    o.scale = 1;
    check(t, clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 7, 2, 4), -10, 10),
          clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 70, 2, 4), -10, 10),
          clf_test_normal(t, CLF_F32, CLF_DIMS(1, 70, 2, 4)), &o, clf_test_empty(t, CLF_F32, CLF_DIMS(1, 7, 2, 4)));
}

/* ---- views ---- */

/* q, k and v are parts of one product of a longer sequence, y a part of another. */
static void parts_of_one_product_agree(void **state)
{
    enum { B = 2, T = 9, H = 4, HK = 2, D = 12 };
    clf_test *t = *state;

    for (int d = 0; d < 2; d++) { /* of 4 and of 2 bytes */
        const clf_tensor all = clf_test_normal(t, clf_ops_types[d], CLF_DIMS(B, T + 4, (H + 2 * HK) * D + 5));
        const clf_tensor part = clf_slice(t->stream, all, 1, 2, T);
        const clf_tensor q = clf_heads(t->stream, clf_slice(t->stream, part, -1, 1, H * D), H);
        const clf_tensor k = clf_heads(t->stream, clf_slice(t->stream, part, -1, 1 + H * D, HK * D), HK);
        const clf_tensor v = clf_heads(t->stream, clf_slice(t->stream, part, -1, 1 + (H + HK) * D, HK * D), HK);
        const clf_tensor whole = clf_test_integers(t, clf_ops_types[d], CLF_DIMS(B, T + 3, H * D), 100);
        const clf_tensor y = clf_heads(t->stream, clf_slice(t->stream, whole, 1, 2, T), H);
        const clf_tensor wide = clf_test_integers(t, CLF_F32, CLF_DIMS(B, T + 3, H * D), 100);
        clf_attention_options o = clf_attention_options_default();

        check(t, q, k, v, NULL, y);
        clf_ops_rest_untouched(t, whole, 2, T);
        if (clf_test_small_only(t) && d > 0) /* clf_cast asks rusticl 22.3 for 64 items, which allows 32 (2026-11) */
            continue;
        o.q_norm = o.k_norm = (clf_norm){ .kind = CLF_NORM_LAYER, .eps = 1e-5F };
        /* three strides above rows of the norm */
        check(t, q, k, v, &o, clf_heads(t->stream, clf_slice(t->stream, wide, 1, 2, T), H));
        clf_ops_rest_untouched(t, wide, 2, T);
    }
}

/* y may stand in the rows that q, k and v come from, beside them. */
static void y_may_be_beside_q_in_the_same_rows(void **state)
{
    enum { T = 11, H = 2, D = 32 };
    clf_test *t = *state;
    const clf_tensor all = clf_test_normal(t, CLF_F32, CLF_DIMS(1, T, 4 * H * D));
    clf_tensor part[4];

    for (int i = 0; i < 4; i++)
        part[i] = clf_heads(t->stream, clf_slice(t->stream, all, -1, i * H * D, H * D), H);
    check(t, part[0], part[1], part[2], NULL, part[3]);
    clf_test_exact(t, clf_slice(t->stream, all, -1, 0, 3 * H * D),
                   clf_test_given(t, clf_slice(t->stream, all, -1, 0, 3 * H * D)));
}

/* Heads that stand apart, as [B, H, T, D] in memory. */
static void heads_may_be_the_outer_dimension(void **state)
{
    clf_test *t = *state;
    clf_tensor q = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 5, 8)),
               k = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 7, 8));
    clf_tensor v = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 7, 8)),
               y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 5, 8));
    clf_tensor *const all[] = { &q, &k, &v, &y };

    for (size_t i = 0; i < CLF_COUNT(all); i++) {
        const clf_tensor was = *all[i];

        all[i]->dim[1] = was.dim[2];
        all[i]->stride[1] = was.stride[2];
        all[i]->dim[2] = was.dim[1];
        all[i]->stride[2] = was.stride[1];
    }
    check(t, q, k, v, NULL, y);
}

static clf_tensor shared(clf_tensor t, int64_t batches)
{
    t.dim[0] = batches;
    t.stride[0] = 0;
    return t;
}

/* One set of queries for all pictures; one set of keys for all texts; norms before both. */
static void a_batch_stride_of_0_shares(void **state)
{
    clf_test *t = *state;
    const clf_tensor q = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 2, 8));
    const clf_tensor k = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 6, 2, 8)),
                     v = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 6, 2, 8));
    const clf_tensor many = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 4, 2, 8));
    const clf_tensor one_k = clf_slice(t->stream, k, 0, 1, 1), one_v = clf_slice(t->stream, v, 0, 1, 1);
    clf_attention_options o = clf_attention_options_default();

    for (int norms = 0; norms < 2; norms++) {
        check(t, shared(q, 3), k, v, &o, clf_test_empty(t, CLF_F32, CLF_DIMS(3, 4, 2, 8)));
        check(t, many, shared(one_k, 3), shared(one_v, 3), &o, clf_test_empty(t, CLF_F32, CLF_DIMS(3, 4, 2, 8)));
        o.q_norm = o.k_norm = (clf_norm){ .kind = CLF_NORM_RMS, .eps = 1e-6F };
    }
}

/* mask, lengths and groups begin inside their memory, the mask with rows apart. */
static void rules_may_be_views(void **state)
{
    clf_test *t = *state;
    const shape n = { 2, 5, 40, 2, 1, 8, 8 };
    clf_attention_options o = some_rules(t, (shape){ 3, 9, 50, 4, 1, 8, 8 }, 1 + 4 + 16 + 8);
    clf_tensor *const groups[] = { &o.query_groups, &o.key_groups };

    t->zero_limit = 1;
    for (int axis = 0; axis < 4; axis++) {
        const int64_t dims[] = { n.B, n.H, n.Q, n.K };
        o.mask = clf_slice(t->stream, o.mask, axis, 1, dims[axis]);
    }
    o.key_lengths = clf_slice(t->stream, o.key_lengths, 0, 1, n.B);
    for (int i = 0; i < 2; i++) {
        *groups[i] = clf_slice(t->stream, *groups[i], 0, clf_dim(*groups[i], 0) - 1, 1);
        *groups[i] = clf_slice(t->stream, *groups[i], 1, 3, i == 0 ? n.Q : n.K);
    }
    o.causal_offset = 30;
    check(t, clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.Q, n.H, n.D)),
          clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.K, n.Hk, n.D)),
          clf_test_normal(t, CLF_F32, CLF_DIMS(n.B, n.K, n.Hk, n.E)), &o,
          clf_test_empty(t, CLF_F32, CLF_DIMS(n.B, n.Q, n.H, n.E)));
}

static void heads_must_divide(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 12));
    const clf_tensor four = clf_heads(t->stream, x, 4);

    assert_true(clf_shape_is(four, CLF_DIMS(2, 3, 4, 3)));
    assert_int_equal(four.stride[2], 3);
    assert_int_equal(clf_stream_status(t->stream), CLF_OK);
    clf_heads(t->stream, x, 5);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "heads: 5 of f32[2, 3, 12]; want a divisor of the last dimension, at most 5 dimensions");
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor q = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3, 2, 8)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, 2, 8));
    clf_tensor beyond = q;

    clf_attention(t->stream, q, q, clf_slice(t->stream, q, 1, 0, 2), NULL, y);
    clf_attention(t->stream, q, q, q, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "attention: v is f32[1, 2, 2, 8]; want [1, 3, 2, E], like k f32[1, 3, 2, 8]");
    clf_ops_untouched(t, y);
    beyond.stride[1] = 1 << 20;
    clf_attention(t->stream, q, beyond, q, NULL, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "f32[1, 3, 2, 8] ends at byte 8389696; its memory has 2240");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_double_reference),
        CLF_TEST(every_width_agrees),
        CLF_TEST(half_types_agree),
        CLF_TEST(every_combination_of_rules_agrees),
        CLF_TEST(windows_and_segments_agree),
        CLF_TEST(weights_sum_to_one),
        CLF_TEST(norms_of_q_and_k_agree),
        CLF_TEST(scale_is_what_is_asked_for),
        CLF_TEST(large_scores_do_not_overflow),
        CLF_TEST(parts_of_one_product_agree),
        CLF_TEST(y_may_be_beside_q_in_the_same_rows),
        CLF_TEST(heads_may_be_the_outer_dimension),
        CLF_TEST(a_batch_stride_of_0_shares),
        CLF_TEST(rules_may_be_views),
        CLF_TEST(heads_must_divide),
        CLF_TEST(a_failed_stream_stays_silent),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
