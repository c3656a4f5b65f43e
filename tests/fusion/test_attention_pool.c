/* Attention pools against a plain double computation of their formula, and relations that need no tolerance. */
#include "pool.h"

/* ---- tests of the formula ---- */

static void every_kind_agrees_with_its_formula(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    clf_test *t = *state;

    for (int i = 0; i < KINDS * 6; i++) {
        const int kind = i % KINDS;
        const int64_t B = i < KINDS * 3 ? 1 : 3, N = 4 + i % 7;
        const clf_attention_pool_desc d = describe(t, kind, N);
        clf_attention_pool *p = create(t, &d);
        const int64_t M = clf_attention_pool_tokens(p), Dt = clf_attention_pool_token_width(p), H = d.attention.heads;
        const int64_t K = kind == MEAN ? N + 1 : N;
        const clf_tensor vision =
            clf_test_normal(t, types[i / KINDS % 3], CLF_DIMS(B, N, clf_attention_pool_vision_width(p)));
        const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, M, Dt));
        clf_attention_pool_options o = clf_attention_pool_options_default();
        double *weights = clf_test_memory(t, (size_t)(B * H * M * K) * sizeof *weights);

        o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(B, H, M, K));
        clf_attention_pool_forward(t->stream, p, vision, &o, tokens);
        agrees(t, tokens, references(t, &d, vision, M, Dt, NULL, weights));
        agrees(t, o.weights, weights);
        clf_attention_pool_destroy(p);
    }
}

static void masks_and_lengths_hide_rows(void **state)
{
    static const int kinds[] = { RESAMPLER, PROJECTIONS, HEAD, WIDE };
    clf_test *t = *state;
    const int64_t B = 3, N = 7;
    const float hidden = -INFINITY;

    for (size_t i = 0; i < CLF_COUNT(kinds); i++) {
        const clf_attention_pool_desc d = describe(t, kinds[i], N);
        clf_attention_pool *p = create(t, &d);
        const int64_t M = clf_attention_pool_tokens(p), Dt = clf_attention_pool_token_width(p);
        const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(B, N, clf_attention_pool_vision_width(p)));
        const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(B, M, Dt));
        clf_attention_pool_options o = clf_attention_pool_options_default();
        bool seen[3 * 7];
        double mask[3 * 7];
        const int32_t lengths[3] = { 7, 5, 0 };

        for (int64_t j = 0; j < B * N; j++) {
            seen[j] = j / N != 1 && (j * 5 % 7) < 4; /* the second picture is not seen at all */
            mask[j] = seen[j] ? 0 : (double)hidden;
        }
        o.unseen = CLF_UNSEEN_UNIFORM;
        o.mask = clf_test_from(t, CLF_F32, CLF_DIMS(B, 1, 1, N), mask);
        clf_attention_pool_forward(t->stream, p, vision, &o, tokens);
        agrees(t, tokens, references(t, &d, vision, M, Dt, seen, NULL));
        for (int64_t j = 0; j < B * N; j++)
            seen[j] = j % N < lengths[j / N];
        o.mask = (clf_tensor){ 0 };
        o.key_lengths = clf_test_i32(t, CLF_DIMS(B), lengths);
        clf_attention_pool_forward(t->stream, p, vision, &o, tokens);
        agrees(t, tokens, references(t, &d, vision, M, Dt, seen, NULL));
        clf_attention_pool_destroy(p);
    }
}

/* Aria: the first queries alone, with the results that they have among all. */
static void fewer_queries_are_the_first_of_all(void **state)
{
    clf_test *t = *state;
    const clf_attention_pool_desc d = describe(t, PROJECTIONS, 6);
    clf_attention_pool *p = create(t, &d);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 6, 24));
    const clf_tensor all = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 32)),
                     some = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 2, 32));
    clf_attention_pool_options o = clf_attention_pool_options_default();

    o.queries = 2;
    clf_attention_pool_forward(t->stream, p, vision, NULL, all);
    clf_attention_pool_forward(t->stream, p, vision, &o, some);
    agrees(t, some, clf_test_values(t, clf_slice(t->stream, all, 1, 0, 2)));
    if (strcmp(clf_context_gemm(t->ctx), "panel") == 0)
        clf_test_same_bits(t, some, clf_slice(t->stream, all, 1, 0, 2));
    clf_attention_pool_destroy(p);
}

/* ---- relations ---- */

static void require_panel(const clf_test *t)
{
    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast routes by the sizes and promises no order of additions");
}

static void a_batch_of_two_equals_two_of_one_bit_for_bit(void **state)
{
    clf_test *t = *state;

    require_panel(t);
    for (int kind = 0; kind < KINDS; kind++) {
        const clf_attention_pool_desc d = describe(t, kind, 9);
        clf_attention_pool *p = create(t, &d);
        const int64_t M = clf_attention_pool_tokens(p), Dt = clf_attention_pool_token_width(p);
        const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, clf_attention_pool_vision_width(p)));
        const clf_tensor both = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M, Dt)),
                         each = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M, Dt));

        clf_attention_pool_forward(t->stream, p, vision, NULL, both);
        for (int64_t b = 0; b < 2; b++)
            clf_attention_pool_forward(t->stream, p, clf_slice(t->stream, vision, 0, b, 1), NULL,
                                       clf_slice(t->stream, each, 0, b, 1));
        clf_test_same_bits(t, both, each);
        clf_attention_pool_destroy(p);
    }
}

/* Hidden rows may be NaN: they are selected away, in f16 input too. */
static void hidden_rows_do_not_change_bits(void **state)
{
    static const int kinds[] = { RESAMPLER, PROJECTIONS, HEAD, WIDE };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(kinds); i++) {
        const clf_attention_pool_desc d = describe(t, kinds[i], 6);
        clf_attention_pool *p = create(t, &d);
        const int64_t M = clf_attention_pool_tokens(p), Dt = clf_attention_pool_token_width(p);
        const int64_t Dv = clf_attention_pool_vision_width(p);
        const clf_tensor vision = clf_test_normal(t, i % 2 == 0 ? CLF_F32 : CLF_F16, CLF_DIMS(1, 6, Dv));
        const clf_tensor plain = clf_test_empty(t, CLF_F32, CLF_DIMS(1, M, Dt)),
                         with_nan = clf_test_empty(t, CLF_F32, CLF_DIMS(1, M, Dt));
        const int32_t length = 4;
        double *values = clf_test_memory(t, (size_t)(6 * Dv) * sizeof *values);
        clf_attention_pool_options o = clf_attention_pool_options_default();

        memcpy(values, clf_test_given(t, vision), (size_t)(4 * Dv) * sizeof *values);
        for (int64_t j = 4 * Dv; j < 6 * Dv; j++)
            values[j] = (double)NAN;
        o.key_lengths = clf_test_i32(t, CLF_DIMS(1), &length);
        clf_attention_pool_forward(t->stream, p, vision, &o, plain);
        clf_attention_pool_forward(t->stream, p, clf_test_from(t, vision.dtype, CLF_DIMS(1, 6, Dv), values), &o,
                                   with_nan);
        clf_test_same_bits(t, plain, with_nan);
        clf_attention_pool_destroy(p);
    }
}

/* Positions reach keys alone: with one row its weight is 1 whatever its key is. */
static void positions_do_not_reach_values(void **state)
{
    clf_test *t = *state;
    const clf_attention_pool_desc d = describe(t, RESAMPLER, 1);
    clf_attention_pool *p = create(t, &d);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 1, 20));
    const clf_tensor a = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 28)),
                     b = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 28));
    clf_attention_pool_options o = clf_attention_pool_options_default();

    clf_attention_pool_forward(t->stream, p, vision, NULL, a);
    o.positions = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 1, 24));
    clf_attention_pool_forward(t->stream, p, vision, &o, b);
    clf_test_same_bits(t, a, b);
    clf_attention_pool_destroy(p);
}

/* The call's own go before the module's; one table for all pictures, or one each. */
static void positions_of_a_call_replace_those_of_the_module(void **state)
{
    clf_test *t = *state;
    const clf_attention_pool_desc d = describe(t, RESAMPLER, 6);
    clf_attention_pool_desc without = d;
    without.positions = (clf_host_tensor){ 0 };
    clf_attention_pool *p = create(t, &d), *q = create(t, &without);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 6, 20));
    const clf_tensor want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 28)),
                     got = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 28));
    clf_attention_pool_options o = clf_attention_pool_options_default();
    double own[2 * 6 * 24];

    for (size_t i = 0; i < CLF_COUNT(own); i++)
        own[i] = (double)((const float *)d.positions.data)[i % (6 * 24)];
    clf_attention_pool_forward(t->stream, p, vision, NULL, want);
    for (int64_t B = 1; B <= 2; B++) {
        o.positions = clf_test_from(t, CLF_F32, CLF_DIMS(B, 6, 24), own);
        clf_attention_pool_forward(t->stream, q, vision, &o, got);
        clf_test_same_bits(t, want, got);
    }
    clf_attention_pool_forward(t->stream, q, vision, NULL, got);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "attention_pool: positions is none; want f32[1 or 2, 6, 24]");
    o.positions = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 5, 24));
    clf_attention_pool_forward(t->stream, p, vision, &o, got);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "attention_pool: positions is f32[1, 5, 24]; want f32[1 or 2, 6, 24]");
    clf_attention_pool_destroy(p);
    clf_attention_pool_destroy(q);
}

static void tokens_may_be_a_view_and_have_the_type_of_vision(void **state)
{
    clf_test *t = *state;

    for (int kind = 0; kind < KINDS; kind++) {
        const clf_attention_pool_desc d = describe(t, kind, 5);
        clf_attention_pool *p = create(t, &d);
        const int64_t M = clf_attention_pool_tokens(p), Dt = clf_attention_pool_token_width(p);
        const clf_tensor vision = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 5, clf_attention_pool_vision_width(p)));
        const clf_tensor plain = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M, Dt)),
                         longer = clf_test_normal(t, CLF_F16, CLF_DIMS(2, M + 4, Dt));
        const clf_tensor middle = clf_slice(t->stream, longer, 1, 3, M), rest = clf_slice(t->stream, longer, 1, 0, 3);

        clf_attention_pool_forward(t->stream, p, vision, NULL, plain);
        clf_attention_pool_forward(t->stream, p, vision, NULL, middle);
        clf_test_exact(t, middle, clf_test_values(t, plain));
        clf_test_exact(t, rest, clf_test_given(t, rest));
        clf_attention_pool_destroy(p);
    }
}

static void nothing_to_read_is_the_documented_result(void **state)
{
    clf_test *t = *state;
    clf_attention_pool_desc d = describe(t, WIDE, 5);
    clf_attention_pool *p = create(t, &d);
    const clf_tensor tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 5, 24));
    const clf_tensor none = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, 20));
    const rows unseen = new_rows(t, 5, 24);
    double want[2 * 5 * 24];

    clf_attention_pool_forward(t->stream, p, none, NULL, tokens); /* attention gives 0; its output layer the bias */
    const rows y = ref_output(t, &d, ref_linear(t, &d.attention.out, unseen));
    memcpy(want, y.at, sizeof want / 2);
    memcpy(want + 5 * 24, y.at, sizeof want / 2);
    agrees(t, tokens, want);
    clf_attention_pool_forward(t->stream, p, clf_tensor_shape(CLF_F32, CLF_DIMS(0, 5, 20)), NULL,
                               clf_tensor_shape(CLF_F32, CLF_DIMS(0, 5, 24)));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_attention_pool_destroy(p);
}

/* A mean over more channels than a head of attention has. */
static void the_mean_of_wide_rows_is_their_mean(void **state)
{
    clf_test *t = *state;
    const int64_t C = 520, N = 3;
    clf_attention_pool_desc d = clf_attention_pool_desc_default();

    if (clf_test_small_only(t))
        clf_test_skip("a width above 256 is too much for emulated fma");
    d.attention = attention(t, C, C, 8);
    d.attention.out = layer(t, 16, C, true);
    d.positions = normal(t, CLF_DIMS(N + 1, C), 1, 0);
    clf_attention_pool *p = create(t, &d);
    const clf_tensor vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, C)),
                     tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 1, 16));

    clf_attention_pool_forward(t->stream, p, vision, NULL, tokens);
    agrees(t, tokens, references(t, &d, vision, 1, 16, NULL, NULL));
    clf_attention_pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(every_kind_agrees_with_its_formula),
        CLF_TEST(masks_and_lengths_hide_rows),
        CLF_TEST(fewer_queries_are_the_first_of_all),
        CLF_TEST(a_batch_of_two_equals_two_of_one_bit_for_bit),
        CLF_TEST(hidden_rows_do_not_change_bits),
        CLF_TEST(positions_do_not_reach_values),
        CLF_TEST(positions_of_a_call_replace_those_of_the_module),
        CLF_TEST(tokens_may_be_a_view_and_have_the_type_of_vision),
        CLF_TEST(nothing_to_read_is_the_documented_result),
        CLF_TEST(the_mean_of_wide_rows_is_their_mean),
    };

    return CLF_TEST_MAIN(tests);
}
