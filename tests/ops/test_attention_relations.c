/* attention: relations that need no tolerance, memory, and what the check refuses. */
#include <string.h>

#include "ops/ops.h"
#include "ref/ref.h"
#include "runtime/context.h"
#include "runtime/stream.h"

enum { B = 2, Q = 37, K = 70, H = 4, HK = 2, D = 12, E = 11 }; /* below a MFLOP: fma may be emulated */

/* Tensors of one problem and host copies to change and upload anew. */
typedef struct problem {
    clf_tensor q, k, v;
    double *k_values, *v_values;
    clf_attention_options o;
} problem;

static problem some_problem(clf_test *t)
{
    problem p = { .q = clf_test_normal(t, CLF_F32, CLF_DIMS(B, Q, H, D)),
                  .k = clf_test_normal(t, CLF_F32, CLF_DIMS(B, K, HK, D)),
                  .v = clf_test_normal(t, CLF_F32, CLF_DIMS(B, K, HK, E)),
                  .o = clf_attention_options_default() };

    p.k_values = clf_test_memory(t, B * K * HK * D * sizeof(double));
    p.v_values = clf_test_memory(t, B * K * HK * E * sizeof(double));
    memcpy(p.k_values, clf_test_given(t, p.k), B * K * HK * D * sizeof(double));
    memcpy(p.v_values, clf_test_given(t, p.v), B * K * HK * E * sizeof(double));
    return p;
}

static clf_tensor empty(clf_test *t)
{
    return clf_test_empty(t, CLF_F32, CLF_DIMS(B, Q, H, E));
}

static clf_tensor result(clf_test *t, const problem *p)
{
    const clf_tensor y = empty(t);

    clf_attention(t->stream, p->q, p->k, p->v, &p->o, y);
    return y;
}

/* Key j of every batch and head becomes `value`, and so does its value. */
static void spoil(problem *p, int64_t j, double value)
{
    for (int b = 0; b < B; b++) {
        for (int i = 0; i < HK * D; i++)
            p->k_values[(b * K + j) * HK * D + i] = value;
        for (int i = 0; i < HK * E; i++)
            p->v_values[(b * K + j) * HK * E + i] = value;
    }
}

static void upload(clf_test *t, problem *p)
{
    p->k = clf_test_from(t, CLF_F32, CLF_DIMS(B, K, HK, D), p->k_values);
    p->v = clf_test_from(t, CLF_F32, CLF_DIMS(B, K, HK, E), p->v_values);
}

static void one_key_gives_its_value_bit_for_bit(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(clf_ops_types); i++) {
        const clf_tensor v = clf_test_normal(t, clf_ops_types[i], CLF_DIMS(2, 1, 2, 21));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 4, 21));
        double *want = clf_test_memory(t, 2 * 3 * 4 * 21 * sizeof *want);
        const double *given = clf_test_given(t, v);

        for (int n = 0; n < 2 * 3 * 4 * 21; n++)
            want[n] = given[(n / 252 * 2 + n / 21 % 4 / 2) * 21 + n % 21];
        clf_attention(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 4, 7)),
                      clf_test_normal(t, clf_ops_types[i], CLF_DIMS(2, 1, 2, 7)), v, NULL, y);
        clf_test_exact(t, y, want);
    }
}

/* Equal keys: weights of 2^-n, sums of whole numbers below 2^24. */
static void equal_keys_give_the_exact_mean(void **state)
{
    static const int64_t keys[] = { 2, 16, 64, 128 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(keys); i++) {
        const int64_t n = keys[i];
        const clf_tensor v = clf_test_integers(t, CLF_F32, CLF_DIMS(1, n, 1, 9), 1000);
        const clf_tensor one = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, 1, 8));
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 3, 2, 9));
        const double *given = clf_test_given(t, v);
        clf_tensor k = one;
        double want[3 * 2 * 9] = { 0 };

        k.dim[1] = n; /* the same key n times */
        k.stride[1] = 0;
        for (int64_t j = 0; j < n; j++)
            for (int64_t e = 0; e < 3 * 2 * 9; e++)
                want[e] += given[j * 9 + e % 9] / (double)n;
        clf_attention(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 3, 2, 8)), k, v, NULL, y);
        clf_test_exact(t, y, want);
    }
}

/* Hides keys 3, 33 and 60 .. 69 of every row by one rule after another; then makes them NaN and infinite. */
static void hide_some(clf_test *t, problem *p, int by)
{
    int32_t keys[K], queries[Q];
    double mask[K];

    for (int j = 0; j < K; j++) {
        const bool hidden = j == 3 || j == 33 || j >= 60;

        mask[j] = hidden ? (j % 2 ? -INFINITY : -3.4028234663852886e38) : j * 0.01;
        keys[j] = hidden ? 9 : 1;
    }
    for (int i = 0; i < Q; i++)
        queries[i] = 1;
    p->o = clf_attention_options_default();
    if (by == 0) {
        p->o.mask = clf_test_from(t, CLF_F32, CLF_DIMS(1, 1, 1, K), mask);
    } else {
        p->o.group_rule = by == 1 ? CLF_GROUPS_EQUAL : CLF_GROUPS_AT_LEAST;
        p->o.key_groups = clf_test_i32(t, CLF_DIMS(1, K), keys);
        p->o.query_groups = clf_test_i32(t, CLF_DIMS(1, Q), queries);
    }
}

static void hidden_keys_and_values_change_no_bits(void **state)
{
    static const double values[] = { 0, -1e30, (double)INFINITY, (double)NAN };
    clf_test *t = *state;

    for (int by = 0; by < 3; by++) {
        problem p = some_problem(t);
        clf_tensor first, first_weights;

        hide_some(t, &p, by);
        p.o.weights = first_weights = clf_test_empty(t, CLF_F32, CLF_DIMS(B, H, Q, K));
        first = result(t, &p);
        for (size_t i = 0; i < CLF_COUNT(values); i++) {
            for (int64_t j = 0; j < K; j++)
                if (j == 3 || j == 33 || j >= 60)
                    spoil(&p, j, values[i]);
            upload(t, &p);
            p.o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(B, H, Q, K));
            clf_test_same_bits(t, result(t, &p), first);
            clf_test_same_bits(t, p.o.weights, first_weights);
        }
        clf_test_release_all(t);
    }
}

/* Lengths and causality: what is hidden differs from row to row, and a NaN reaches the rows that see it alone. */
static void a_nan_reaches_exactly_the_rows_that_see_it(void **state)
{
    enum { BAD = 41 };
    clf_test *t = *state;
    problem p = some_problem(t);
    const int32_t lengths[B] = { K, BAD };

    p.o.causal = true;
    p.o.causal_offset = 20; /* queries 21 .. 36 of the first batch see key 41 */
    p.o.key_lengths = clf_test_i32(t, CLF_DIMS(B), lengths);
    const clf_tensor clean = result(t, &p);
    const double *was = clf_test_values(t, clean);

    for (int part = 0; part < 3; part++) { /* key, value, both */
        problem bad = p;
        const double *now;

        spoil(&bad, BAD, (double)NAN);
        if (part != 1)
            bad.k = clf_test_from(t, CLF_F32, CLF_DIMS(B, K, HK, D), bad.k_values);
        if (part != 0)
            bad.v = clf_test_from(t, CLF_F32, CLF_DIMS(B, K, HK, E), bad.v_values);
        now = clf_test_values(t, result(t, &bad));
        for (int n = 0; n < B * Q * H * E; n++) {
            const bool sees = n / (Q * H * E) == 0 && n / (H * E) % Q + 20 >= BAD;

            if (sees ? !isnan(now[n]) : now[n] != was[n])
                fail_msg("query %d of batch %d: %g, was %g", n / (H * E) % Q, n / (Q * H * E), now[n], was[n]);
        }
    }
}

/* A NaN in a query stays in its row. */
static void a_nan_in_q_stays_in_its_row(void **state)
{
    clf_test *t = *state;
    double values[2 * 35 * 8];
    const double *got;

    for (int i = 0; i < 2 * 35 * 8; i++)
        values[i] = clf_test_random(t);
    values[(1 * 35 + 33) * 8 + 5] = NAN;
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 35, 1, 3));
    clf_attention(t->stream, clf_test_from(t, CLF_F32, CLF_DIMS(2, 35, 1, 8), values),
                  clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 1, 8)), clf_test_normal(t, CLF_F32, CLF_DIMS(2, 9, 1, 3)),
                  NULL, y);
    got = clf_test_values(t, y);
    for (int n = 0; n < 2 * 35 * 3; n++)
        assert_true(isnan(got[n]) == (n / 3 == 68));
}

/* What a row gives that sees nothing, by length, mask or group; weights follow. */
static void rows_that_see_nothing_follow_the_rule(void **state)
{
    clf_test *t = *state;

    for (int rule = CLF_UNSEEN_ZERO; rule <= CLF_UNSEEN_UNIFORM_BUT_GROUP_0; rule++) {
        const int32_t queries[4] = { 0, 1, 2, 0 }, keys[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
        const clf_tensor v = clf_test_integers(t, CLF_F32, CLF_DIMS(1, 8, 1, 5), 100);
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 4, 2, 5));
        const double *given = clf_test_given(t, v), *got, *w;
        clf_attention_options o = clf_attention_options_default();

        o.group_rule = CLF_GROUPS_EQUAL;
        o.query_groups = clf_test_i32(t, CLF_DIMS(1, 4), queries);
        o.key_groups = clf_test_i32(t, CLF_DIMS(1, 8), keys);
        o.unseen = (clf_unseen)rule;
        o.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 2, 4, 8));
        clf_attention(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 2, 6)),
                      clf_test_normal(t, CLF_F32, CLF_DIMS(1, 8, 1, 6)), v, &o, y);
        got = clf_test_values(t, y);
        w = clf_test_values(t, o.weights);
        for (int i = 0; i < 4; i++) {
            const bool mean = rule == CLF_UNSEEN_UNIFORM || (rule == CLF_UNSEEN_UNIFORM_BUT_GROUP_0 && i == 2);

            for (int n = 0; n < 10 && i != 1; n++) {
                double sum = 0;

                for (int j = 0; j < 8; j++)
                    sum += given[j * 5 + n % 5];
                assert_true(got[i * 10 + n] == (mean ? sum / 8 : 0));
            }
            for (int j = 0; j < 8 && i != 1; j++)
                assert_true(w[i * 8 + j] == (mean ? 0.125 : 0) && w[(4 + i) * 8 + j] == (mean ? 0.125 : 0));
        }
    }
}

/* No keys at all: nobody sees one, and there is nothing to take the mean of. */
static void without_keys_rows_are_zero(void **state)
{
    clf_test *t = *state;

    for (int rule = CLF_UNSEEN_ZERO; rule <= CLF_UNSEEN_UNIFORM; rule++) {
        const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 2, 5)),
                         keys = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 0, 1, 5));
        clf_attention_options o = clf_attention_options_default();
        const double *got;

        o.unseen = (clf_unseen)rule;
        clf_attention(t->stream, clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 2, 5)), keys, keys, &o, y);
        got = clf_test_values(t, y);
        for (int n = 0; n < 2 * 3 * 2 * 5; n++)
            assert_true(got[n] == 0);
    }
}

static void without_queries_nothing_happens(void **state)
{
    clf_test *t = *state;
    const clf_tensor k = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 1, 5));
    const clf_tensor none_asks = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 0, 2, 5));
    const clf_tensor no_batch = clf_test_empty(t, CLF_F32, CLF_DIMS(0, 4, 2, 5));

    clf_attention(t->stream, none_asks, k, k, NULL, none_asks);
    clf_attention(t->stream, no_batch, clf_slice(t->stream, k, 0, 0, 0), clf_slice(t->stream, k, 0, 0, 0), NULL,
                  no_batch);
    assert_int_equal(clf_stream_status(t->stream), CLF_OK);
}

static clf_attention_options all_rules(clf_test *t)
{
    clf_attention_options o = clf_attention_options_default();
    int32_t lengths[B] = { K - 3, K / 2 }, queries[B * Q], keys[B * K];

    for (int n = 0; n < B * Q; n++)
        queries[n] = n % Q / 10;
    for (int n = 0; n < B * K; n++)
        keys[n] = n % K / 20;
    o.mask = clf_test_normal(t, CLF_F32, CLF_DIMS(B, H, Q, K));
    o.key_lengths = clf_test_i32(t, CLF_DIMS(B), lengths);
    o.causal = true;
    o.causal_offset = 25;
    o.group_rule = CLF_GROUPS_AT_LEAST;
    o.query_groups = clf_test_i32(t, CLF_DIMS(B, Q), queries);
    o.key_groups = clf_test_i32(t, CLF_DIMS(B, K), keys);
    o.unseen = CLF_UNSEEN_UNIFORM;
    return o;
}

/* The part of a problem that belongs to some batches and queries. */
static void run_part(clf_test *t, const problem *p, int64_t b0, int64_t batches, int64_t first, int64_t count,
                     clf_tensor y)
{
    clf_stream *s = t->stream;
    clf_attention_options o = p->o;

    if (clf_present(o.mask)) {
        o.mask = clf_slice(s, clf_slice(s, o.mask, 0, b0, batches), 2, first, count);
        o.key_lengths = clf_slice(s, o.key_lengths, 0, b0, batches);
        o.query_groups = clf_slice(s, clf_slice(s, o.query_groups, 0, b0, batches), 1, first, count);
        o.key_groups = clf_slice(s, o.key_groups, 0, b0, batches);
        o.causal_offset += first;
    }
    clf_attention(s, clf_slice(s, clf_slice(s, p->q, 0, b0, batches), 1, first, count),
                  clf_slice(s, p->k, 0, b0, batches), clf_slice(s, p->v, 0, b0, batches), &o,
                  clf_slice(s, clf_slice(s, y, 0, b0, batches), 1, first, count));
}

static void pieces_of_queries_and_batches_have_the_same_bits(void **state)
{
    static const int64_t pieces[] = { 1, 4, 8, 9, 15 }; /* narrow and wide blocks, each row in another lane */
    clf_test *t = *state;

    for (int rules = 0; rules < 2; rules++) {
        problem p = some_problem(t);
        clf_tensor whole, parts = empty(t);

        if (rules)
            p.o = all_rules(t);
        whole = result(t, &p);
        for (int64_t b = 0; b < B; b++)
            run_part(t, &p, b, 1, 0, Q, parts);
        clf_test_same_bits(t, parts, whole);
        for (size_t i = 0; i < CLF_COUNT(pieces); i++) {
            parts = empty(t);
            for (int64_t first = 0; first < Q; first += pieces[i])
                run_part(t, &p, 0, B, first, CLF_MIN(pieces[i], Q - first), parts);
            clf_test_same_bits(t, parts, whole);
        }
        clf_test_release_all(t);
    }
}

static void equal_queries_have_equal_bits(void **state)
{
    clf_test *t = *state;
    problem p = some_problem(t);
    size_t bytes;
    const char *bits;

    p.q.stride[1] = 0; /* query 0 for all */
    bits = clf_test_bits(t, result(t, &p), &bytes);
    for (int b = 0; b < B; b++)
        for (int i = 1; i < Q; i++)
            assert_memory_equal(bits + (size_t)(b * Q + i) * H * E * 4, bits + (size_t)b * Q * H * E * 4, H * E * 4);
}

static void run_twice_has_the_same_bits(void **state)
{
    clf_test *t = *state;
    problem p = some_problem(t);

    p.o = all_rules(t);
    clf_test_same_bits(t, result(t, &p), result(t, &p));
}

/* The same numbers as a view, NaN all around them. */
static clf_tensor amid_nan(clf_test *t, clf_tensor x)
{
    const clf_dims room = CLF_DIMS(x.dim[0] + 2, x.dim[1] + 3, x.dim[2] + 1, x.dim[3] + 5);
    const int64_t count = clf_element_count(clf_tensor_shape(CLF_F32, room));
    double *values = clf_test_memory(t, (size_t)count * sizeof *values);
    const double *given = clf_test_given(t, x);
    clf_tensor y;

    for (int64_t n = 0; n < count; n++) {
        int64_t rest = n, from = 0, step = 1;
        bool inside = true;

        for (int axis = 3; axis >= 0; axis--) {
            const int64_t at = rest % room.dim[axis] - 1;

            inside = inside && at >= 0 && at < x.dim[axis];
            from += at * step;
            step *= x.dim[axis];
            rest /= room.dim[axis];
        }
        values[n] = inside ? given[from] : (double)NAN;
    }
    y = clf_test_from(t, CLF_F32, room, values);
    for (int axis = 0; axis < 4; axis++)
        y = clf_slice(t->stream, y, axis, 1, x.dim[axis]);
    return y;
}

static void memory_outside_the_views_does_not_matter(void **state)
{
    clf_test *t = *state;
    problem p = some_problem(t), padded = p;
    clf_tensor *const from[] = { &p.q, &p.k, &p.v }, *const to[] = { &padded.q, &padded.k, &padded.v };

    for (size_t i = 0; i < CLF_COUNT(from); i++)
        *to[i] = amid_nan(t, *from[i]);
    clf_test_same_bits(t, result(t, &padded), result(t, &p));
}

/* softmax(s + c) = softmax(s), within what the larger scores allow. */
static void a_constant_added_to_all_scores_cancels(void **state)
{
    clf_test *t = *state;
    problem p = some_problem(t);
    double c[K];

    const clf_expected want = clf_ref_attention(t, p.q, p.k, p.v, &p.o, empty(t), NULL);

    for (int j = 0; j < K; j++)
        c[j] = 100;
    p.o.mask = clf_test_from(t, CLF_F32, CLF_DIMS(1, 1, 1, K), c);
    const clf_tensor y = result(t, &p);
    const clf_expected moved = clf_ref_attention(t, p.q, p.k, p.v, &p.o, y, NULL);

    clf_test_within(t, y, want.value, moved.bound);
}

/* Neither scores nor weights are kept: the arena stays empty, and with norms it holds q and k alone. */
static void memory_does_not_grow_with_queries_times_keys(void **state)
{
    clf_test *t = *state;
    const bool fast = strcmp(clf_context_kernels(t->ctx), "simd") == 0 && !clf_test_small_only(t);
    const int64_t n = fast ? 8192 : 64; /* the host code is the same for all kernels */
    const clf_tensor q = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, n, 1, 64), -1, 1);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(1, n, 1, 64));
    clf_attention_options o = clf_attention_options_default();
    uint64_t before, peak;

    clf_stream_reset(t->stream); /* an empty arena */
    before = clf_context_memory(t->ctx, NULL);
    clf_attention(t->stream, q, q, q, NULL, y);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    assert_int_equal(clf_context_memory(t->ctx, NULL), before);
    const clf_tensor last = clf_slice(t->stream, q, 1, n - 3, 3), y_last = clf_slice(t->stream, y, 1, n - 3, 3);
    const clf_expected want = clf_ref_attention(t, last, q, q, NULL, y_last, NULL);
    clf_test_within(t, y_last, want.value, want.bound);
    o.q_norm = o.k_norm = (clf_norm){ .kind = CLF_NORM_RMS, .eps = 1e-6F };
    atomic_store(&t->ctx->peak_memory, before);
    clf_attention(t->stream, q, q, q, &o, y);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    (void)clf_context_memory(t->ctx, &peak);
    assert_true(peak - before <= (uint64_t)(4 * n * 64 * 4) + (2U << 20)); /* q and k, and what blocks round up to */
}

/* ---- the check ---- */

typedef struct arguments {
    clf_tensor q, k, v, y;
    clf_attention_options o;
} arguments;

static arguments sound(void)
{
    return (arguments){ .q = CLF_OPS_SHAPE(CLF_F16, 2, 5, 4, 8),
                        .k = CLF_OPS_SHAPE(CLF_BF16, 2, 9, 2, 8),
                        .v = CLF_OPS_SHAPE(CLF_BF16, 2, 9, 2, 6),
                        .y = CLF_OPS_SHAPE(CLF_F16, 2, 5, 4, 6),
                        .o = clf_attention_options_default() };
}

#define REFUSES(a, status, text)                                                                                       \
    CLF_OPS_REFUSES(clf_attention_check((a).q, (a).k, (a).v, &(a).o, (a).y, &err), status, "attention: " text)
#define ACCEPTS(a) CLF_OPS_ACCEPTS(clf_attention_check((a).q, (a).k, (a).v, &(a).o, (a).y, &err))

static void the_check_accepts_what_the_header_allows(void **state)
{
    arguments a = sound();

    (void)state;
    ACCEPTS(a);
    CLF_OPS_ACCEPTS(clf_attention_check(a.q, a.k, a.v, NULL, a.y, &err));
    a.y.dtype = CLF_F32;
    ACCEPTS(a);
    a.k.stride[0] = a.v.stride[0] = a.q.stride[0] = 0;
    ACCEPTS(a);
    a = sound();
    a.q.dim[1] = a.y.dim[1] = 0;
    ACCEPTS(a);
    a = sound();
    a.k.dim[1] = a.v.dim[1] = 0;
    ACCEPTS(a);
    a.q.dim[0] = a.k.dim[0] = a.v.dim[0] = a.y.dim[0] = 0;
    ACCEPTS(a);
    a = sound();
    a.o.mask = CLF_OPS_SHAPE(CLF_F32, 1, 4, 1, 3);
    a.o.mask_block = 4;
    a.o.key_lengths = CLF_OPS_SHAPE(CLF_I32, 2);
    a.o.group_rule = CLF_GROUPS_AT_LEAST;
    a.o.query_groups = CLF_OPS_SHAPE(CLF_I32, 1, 5);
    a.o.key_groups = CLF_OPS_SHAPE(CLF_I32, 2, 9);
    a.o.unseen = CLF_UNSEEN_UNIFORM_BUT_GROUP_0;
    a.o.weights = CLF_OPS_SHAPE(CLF_F32, 2, 4, 5, 9);
    ACCEPTS(a);
}

static void the_check_names_a_wrong_shape(void **state)
{
    arguments a = sound();

    (void)state;
    a.q = CLF_OPS_SHAPE(CLF_F64, 2, 5, 4, 8);
    REFUSES(a, CLF_UNSUPPORTED, "q is f64[2, 5, 4, 8]; want f32, f16 or bf16");
    a.q = CLF_OPS_SHAPE(CLF_F32, 2, 5, 32);
    REFUSES(a, CLF_INVALID_ARGUMENT, "q is f32[2, 5, 32]; want [B, Q, H, D]");
    a.q = CLF_OPS_SHAPE(CLF_F32, 2, 5, 0, 8);
    REFUSES(a, CLF_INVALID_ARGUMENT, "q is f32[2, 5, 0, 8]; want at least one head");
    a.q = CLF_OPS_SHAPE(CLF_F32, 2, 5, 1, 257);
    REFUSES(a, CLF_UNSUPPORTED, "q is f32[2, 5, 1, 257]; want heads of width 1 to 256");
    a.q = CLF_OPS_SHAPE(CLF_F32, 2, 5, 1, 0);
    REFUSES(a, CLF_UNSUPPORTED, "q is f32[2, 5, 1, 0]; want heads of width 1 to 256");
    a.q = CLF_OPS_SHAPE(CLF_F32, 2, 1LL << 31, 4, 8);
    REFUSES(a, CLF_UNSUPPORTED, "q is f32[2, 2147483648, 4, 8]; want dimensions below 2^31");
    a.q = sound().q;
    a.q.stride[3] = 2;
    REFUSES(a, CLF_UNSUPPORTED, "q is a view with stride 2 in its last dimension; want 1");
    a.q = clf_ops_at(CLF_F16, 3, CLF_DIMS(2, 5, 4, 8));
    REFUSES(a, CLF_INVALID_ARGUMENT, "q begins at byte 3; want a multiple of 2 for f16");
    a = sound();
    a.k = CLF_OPS_SHAPE(CLF_BF16, 3, 9, 2, 8);
    REFUSES(a, CLF_INVALID_ARGUMENT, "k is bf16[3, 9, 2, 8]; want [2, K, Hk, 8], like q f16[2, 5, 4, 8]");
    a.k = CLF_OPS_SHAPE(CLF_BF16, 2, 9, 2, 7);
    REFUSES(a, CLF_INVALID_ARGUMENT, "k is bf16[2, 9, 2, 7]; want [2, K, Hk, 8], like q f16[2, 5, 4, 8]");
    a.k = CLF_OPS_SHAPE(CLF_BF16, 2, 9, 3, 8);
    REFUSES(a, CLF_INVALID_ARGUMENT,
            "q is f16[2, 5, 4, 8], 4 heads; want a multiple of 3, the heads of k bf16[2, 9, 3, 8]");
    a.k = CLF_OPS_SHAPE(CLF_BF16, 2, 9, 1, 8);
    a.q = CLF_OPS_SHAPE(CLF_F16, 2, 1 << 29, 4, 8);
    REFUSES(a, CLF_UNSUPPORTED,
            "q is f16[2, 536870912, 4, 8], k bf16[2, 9, 1, 8]; want less than 2^31 rows of q for a head of k");
    a = sound();
    a.v = CLF_OPS_SHAPE(CLF_BF16, 2, 8, 2, 6);
    REFUSES(a, CLF_INVALID_ARGUMENT, "v is bf16[2, 8, 2, 6]; want [2, 9, 2, E], like k bf16[2, 9, 2, 8]");
    a.v = CLF_OPS_SHAPE(CLF_F16, 2, 9, 2, 6);
    REFUSES(a, CLF_UNSUPPORTED, "v is f16[2, 9, 2, 6]; want the type of k bf16[2, 9, 2, 8]");
    a = sound();
    a.y.dtype = CLF_BF16;
    REFUSES(a, CLF_UNSUPPORTED, "y is bf16[2, 5, 4, 6]; want f32 or the type of q f16[2, 5, 4, 8]");
    a.y = CLF_OPS_SHAPE(CLF_F16, 2, 5, 4, 8);
    REFUSES(a, CLF_INVALID_ARGUMENT,
            "y is f16[2, 5, 4, 8]; want [2, 5, 4, 6], rows of q f16[2, 5, 4, 8] and width of v bf16[2, 9, 2, 6]");
    a = sound();
    a.y.stride[0] = 0;
    REFUSES(a, CLF_INVALID_ARGUMENT,
            "y f16[2, 5, 4, 6] is a view whose rows meet; want each element in a place of its own");
    a.y = sound().y;
    a.y.stride[2] = 5;
    REFUSES(a, CLF_INVALID_ARGUMENT,
            "y f16[2, 5, 4, 6] is a view whose rows meet; want each element in a place of its own");
}

static void the_check_names_a_wrong_rule(void **state)
{
    arguments a = sound();

    (void)state;
    a.o.struct_size = 2;
    clf_error short_one = { .status = CLF_OK };
    assert_int_equal(clf_attention_check(a.q, a.k, a.v, &a.o, a.y, &short_one), CLF_INVALID_ARGUMENT);
    assert_non_null(strstr(short_one.message, "attention: struct_size is 2; want "));
    a = sound();
    a.o.scale = NAN;
    REFUSES(a, CLF_INVALID_ARGUMENT, "scale is nan; want finite, 0 for D^-1/2");
    a = sound();
    a.o.mask = CLF_OPS_SHAPE(CLF_F16, 2, 4, 5, 9);
    REFUSES(a, CLF_UNSUPPORTED, "mask is f16[2, 4, 5, 9]; want f32");
    a.o.mask = CLF_OPS_SHAPE(CLF_F32, 2, 5, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT, "mask is f32[2, 5, 9]; want [B or 1, H or 1, Q or 1, ceil(K / mask_block)]");
    a.o.mask = CLF_OPS_SHAPE(CLF_F32, 2, 2, 5, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT,
            "mask is f32[2, 2, 5, 9]; want [2 or 1, 4 or 1, 5 or 1, 9], B, H, Q and a column for each 1 of 9 keys");
    a.o.mask_block = 0;
    REFUSES(a, CLF_INVALID_ARGUMENT, "mask_block is 0; want 1 to 2^31 - 1");
    a = sound();
    a.o.key_lengths = CLF_OPS_SHAPE(CLF_I64, 2);
    REFUSES(a, CLF_UNSUPPORTED, "key_lengths is i64[2]; want i32");
    a.o.key_lengths = CLF_OPS_SHAPE(CLF_I32, 1);
    REFUSES(a, CLF_INVALID_ARGUMENT, "key_lengths is i32[1]; want [2], B");
    a = sound();
    a.o.weights = CLF_OPS_SHAPE(CLF_F16, 2, 4, 5, 9);
    REFUSES(a, CLF_UNSUPPORTED, "weights is f16[2, 4, 5, 9]; want f32");
    a.o.weights = CLF_OPS_SHAPE(CLF_F32, 2, 5, 4, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT, "weights is f32[2, 5, 4, 9]; want [2, 4, 5, 9], B, H, Q and K");
    a.o.weights = CLF_OPS_SHAPE(CLF_F32, 2, 4, 5, 9);
    a.o.weights.stride[2] = 10;
    REFUSES(a, CLF_UNSUPPORTED, "weights is a view with gaps; want a dense tensor");
}

static void the_check_names_a_wrong_group(void **state)
{
    arguments a = sound();

    (void)state;
    a.o.group_rule = (clf_group_rule)3;
    REFUSES(a, CLF_INVALID_ARGUMENT, "group_rule is 3; want CLF_GROUPS_NONE, CLF_GROUPS_EQUAL or CLF_GROUPS_AT_LEAST");
    a = sound();
    a.o.unseen = (clf_unseen)3;
    REFUSES(a, CLF_INVALID_ARGUMENT,
            "unseen is 3; want CLF_UNSEEN_ZERO, CLF_UNSEEN_UNIFORM or CLF_UNSEEN_UNIFORM_BUT_GROUP_0");
    a.o.unseen = CLF_UNSEEN_UNIFORM_BUT_GROUP_0;
    REFUSES(a, CLF_INVALID_ARGUMENT, "unseen is CLF_UNSEEN_UNIFORM_BUT_GROUP_0; want a group_rule with it");
    a = sound();
    a.o.query_groups = CLF_OPS_SHAPE(CLF_I32, 2, 5);
    REFUSES(a, CLF_INVALID_ARGUMENT, "query_groups is i32[2, 5]; want a group_rule with it");
    a = sound();
    a.o.key_groups = CLF_OPS_SHAPE(CLF_I32, 2, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT, "key_groups is i32[2, 9]; want a group_rule with it");
    a.o.group_rule = CLF_GROUPS_EQUAL;
    REFUSES(a, CLF_UNSUPPORTED, "query_groups is none; want i32");
    a.o.query_groups = CLF_OPS_SHAPE(CLF_I32, 2, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT, "query_groups is i32[2, 9]; want [2 or 1, 5]: B, Q");
    a.o.query_groups = CLF_OPS_SHAPE(CLF_I32, 2, 5);
    a.o.key_groups = CLF_OPS_SHAPE(CLF_I32, 3, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT, "key_groups is i32[3, 9]; want [2 or 1, 9]: B, K");
    a.o.key_groups = CLF_OPS_SHAPE(CLF_I32, 9);
    REFUSES(a, CLF_INVALID_ARGUMENT, "key_groups is i32[9]; want [B or 1, K]");
}

static void the_check_names_a_wrong_norm(void **state)
{
    arguments a = sound();

    (void)state;
    a.o.q_norm.kind = (clf_norm_kind)5;
    REFUSES(a, CLF_INVALID_ARGUMENT, "q_norm.kind is 5; want CLF_NORM_NONE, CLF_NORM_LAYER or CLF_NORM_RMS");
    a.o.q_norm = (clf_norm){ .kind = CLF_NORM_RMS };
    REFUSES(a, CLF_INVALID_ARGUMENT, "q_norm.eps is 0; want finite, above 0");
    a = sound();
    a.o.k_norm = (clf_norm){ .kind = CLF_NORM_LAYER, .weight = CLF_OPS_SHAPE(CLF_F32, 9), .eps = 1 };
    REFUSES(a, CLF_INVALID_ARGUMENT, "k_norm.weight is f32[9]; want f32[8], one for each entry of a head");
    a.o.k_norm.weight = CLF_OPS_SHAPE(CLF_F32, 8);
    a.o.k_norm.bias = CLF_OPS_SHAPE(CLF_F16, 8);
    REFUSES(a, CLF_INVALID_ARGUMENT, "k_norm.bias is f16[8]; want f32[8], one for each entry of a head");
    a.o.k_norm.kind = CLF_NORM_RMS;
    REFUSES(a, CLF_INVALID_ARGUMENT, "k_norm.bias is f16[8]; want none without CLF_NORM_LAYER and a weight");
}

/* Outputs at byte 0 of memory in which each input begins at byte 64 in turn. */
static void the_check_refuses_overlaps(void **state)
{
    const clf_dims q = CLF_DIMS(1, 4, 1, 8), k = CLF_DIMS(1, 4, 1, 8);
    arguments a = { .q = clf_tensor_shape(CLF_F32, q),
                    .k = clf_tensor_shape(CLF_F32, k),
                    .v = clf_tensor_shape(CLF_F32, k),
                    .y = clf_ops_at(CLF_F32, 0, q),
                    .o = clf_attention_options_default() };
    const arguments good = a;

    (void)state;
    ACCEPTS(a);
    a.q = clf_ops_at(CLF_F32, 64, q);
    REFUSES(a, CLF_INVALID_ARGUMENT, "y overlaps q; want apart");
    a.q = clf_ops_at(CLF_F32, 128, q);
    ACCEPTS(a);
    a = good;
    a.k = clf_ops_at(CLF_F32, 64, k);
    REFUSES(a, CLF_INVALID_ARGUMENT, "y overlaps k; want apart");
    a = good;
    a.v = clf_ops_at(CLF_F32, 64, k);
    REFUSES(a, CLF_INVALID_ARGUMENT, "y overlaps v; want apart");
    a = good;
    a.o.mask = clf_ops_at(CLF_F32, 64, CLF_DIMS(1, 1, 4, 4));
    REFUSES(a, CLF_INVALID_ARGUMENT, "y overlaps mask; want apart");
    a = good;
    a.o.weights = clf_ops_at(CLF_F32, 64, CLF_DIMS(1, 1, 4, 4));
    REFUSES(a, CLF_INVALID_ARGUMENT, "weights overlaps y; want apart");
    a.y = good.q;
    a.v = clf_ops_at(CLF_F32, 64, k);
    REFUSES(a, CLF_INVALID_ARGUMENT, "weights overlaps v; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(one_key_gives_its_value_bit_for_bit),
        CLF_TEST(equal_keys_give_the_exact_mean),
        CLF_TEST(hidden_keys_and_values_change_no_bits),
        CLF_TEST(a_nan_reaches_exactly_the_rows_that_see_it),
        CLF_TEST(a_nan_in_q_stays_in_its_row),
        CLF_TEST(rows_that_see_nothing_follow_the_rule),
        CLF_TEST(without_keys_rows_are_zero),
        CLF_TEST(without_queries_nothing_happens),
        CLF_TEST(pieces_of_queries_and_batches_have_the_same_bits),
        CLF_TEST(equal_queries_have_equal_bits),
        CLF_TEST(run_twice_has_the_same_bits),
        CLF_TEST(memory_outside_the_views_does_not_matter),
        CLF_TEST(a_constant_added_to_all_scores_cancels),
        CLF_TEST(memory_does_not_grow_with_queries_times_keys),
    };
    const struct CMUnitTest checks[] = {
        cmocka_unit_test(the_check_accepts_what_the_header_allows),
        cmocka_unit_test(the_check_names_a_wrong_shape),
        cmocka_unit_test(the_check_names_a_wrong_rule),
        cmocka_unit_test(the_check_names_a_wrong_group),
        cmocka_unit_test(the_check_names_a_wrong_norm),
        cmocka_unit_test(the_check_refuses_overlaps),
    };

    return cmocka_run_group_tests_name("check", checks, NULL, NULL) + CLF_OPS_MAIN_EACH_SHAPE(tests);
}
