/* attention of a few rows: the kernel for them gives the bits that the rows have among many. */
#include "ops/ops.h"
#include "ref/ref.h"
#include "runtime/op.h"

enum { B = 2, Q = 12, K = 76 }; /* a tile of keys and a part of one; loops short enough for llvmpipe */

typedef struct shape {
    int64_t H, Hk, D, E;
} shape;

/* One to eight heads a head of k and v; widths of whole vectors, of one and a part, and less than a vector; more heads of k
 * than an item takes side by side, and a number that these do not divide. */
static const shape shapes[] = { { 4, 2, 20, 24 }, { 3, 1, 72, 40 }, { 8, 1, 17, 64 }, { 1, 1, 256, 128 },
                                { 2, 1, 9, 32 },  { 8, 4, 20, 24 }, { 7, 7, 33, 17 } };

enum { NONE, LENGTHS, CAUSAL, MASK, BLOCKS, EQUAL, AT_LEAST, RULES };

/* Numbers with some hidden columns; key 70 is hidden in every other row. */
static clf_tensor some_mask(clf_test *t, clf_dims dims)
{
    const int64_t columns = dims.dim[3], count = dims.dim[0] * dims.dim[1] * dims.dim[2] * columns;
    double *values = clf_test_memory(t, (size_t)count * sizeof *values);

    for (int64_t i = 0; i < count; i++)
        values[i] = clf_test_random(t) < 0.2 || (i / columns + i % columns) % 2 ? -INFINITY : clf_test_random(t);
    return clf_test_from(t, CLF_F32, dims, values);
}

static clf_tensor some_groups(clf_test *t, int64_t count, int most)
{
    int32_t values[B * K];

    for (int64_t i = 0; i < B * count; i++)
        values[i] = (int32_t)(clf_test_random(t) * most);
    return clf_test_i32(t, CLF_DIMS(B, count), values);
}

static clf_attention_options some_rule(clf_test *t, shape n, int rule)
{
    static const int32_t lengths[B] = { 71, 3 };
    clf_attention_options o = clf_attention_options_default();

    switch (rule) {
    case LENGTHS:
        o.key_lengths = clf_test_i32(t, CLF_DIMS(B), lengths);
        break;
    case CAUSAL:
        o.causal = true;
        o.causal_offset = 62;
        break;
    case MASK:
        o.mask = some_mask(t, CLF_DIMS(B, n.H, Q, K));
        break;
    case BLOCKS:
        o.mask_block = 7;
        o.mask = some_mask(t, CLF_DIMS(1, n.H, Q, (K + 6) / 7));
        break;
    case EQUAL:
    case AT_LEAST:
        o.group_rule = rule == EQUAL ? CLF_GROUPS_EQUAL : CLF_GROUPS_AT_LEAST;
        o.query_groups = some_groups(t, Q, 3);
        o.key_groups = some_groups(t, K, 4);
        break;
    default:
        break;
    }
    return o;
}

/* Values that are infinite where some rows do not see them. */
static clf_tensor some_values(clf_test *t, clf_dtype type, shape n, bool infinite)
{
    const int64_t row = n.Hk * n.E;
    double *values = clf_test_memory(t, (size_t)(B * K * row) * sizeof *values);

    for (int64_t i = 0; i < B * K * row; i++)
        values[i] = infinite && i / row % K == 70 ? (double)INFINITY : 2 * clf_test_random(t) - 1;
    return clf_test_from(t, type, CLF_DIMS(B, K, n.Hk, n.E), values);
}

static void run_part(clf_test *t, clf_tensor q, clf_tensor k, clf_tensor v, clf_attention_options o, int64_t first,
                     int64_t count, clf_tensor y)
{
    clf_stream *s = t->stream;

    if (clf_present(o.mask))
        o.mask = clf_slice(s, o.mask, 2, first, count);
    if (clf_present(o.query_groups))
        o.query_groups = clf_slice(s, o.query_groups, 1, first, count);
    o.causal_offset += first;
    clf_attention(s, clf_slice(s, q, 1, first, count), k, v, &o, clf_slice(s, y, 1, first, count));
}

static void same_bits(clf_test *t, shape n, clf_dtype type, int rule)
{
    const clf_attention_options o = some_rule(t, n, rule);
    const clf_tensor q = clf_test_normal(t, type, CLF_DIMS(B, Q, n.H, n.D));
    const clf_tensor k = clf_test_normal(t, type, CLF_DIMS(B, K, n.Hk, n.D));
    const clf_tensor v = some_values(t, type, n, rule != NONE);
    const clf_tensor whole = clf_test_empty(t, type, CLF_DIMS(B, Q, n.H, n.E));

    clf_attention(t->stream, q, k, v, &o, whole);
    for (int64_t piece = 1; piece * n.H / n.Hk <= 8; piece = piece * 2 + 1) {
        const clf_tensor parts = clf_test_empty(t, type, CLF_DIMS(B, Q, n.H, n.E));

        for (int64_t first = 0; first < Q; first += piece)
            run_part(t, q, k, v, o, first, CLF_MIN(piece, Q - first), parts);
        clf_test_same_bits(t, parts, whole);
    }
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void a_few_rows_have_the_bits_they_have_among_many(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(shapes) * RULES; i++)
        if (!clf_test_small_only(t) || i % 9 == 0)
            same_bits(t, shapes[i / RULES], clf_ops_types[i / RULES % CLF_COUNT(clf_ops_types)], (int)(i % RULES));
}

/* The first `count` heads of a tensor that has more of them. */
static clf_tensor first_heads(clf_test *t, clf_tensor x, int64_t count)
{
    return clf_slice(t->stream, x, 2, 0, count);
}

/* One row against the double reference: what both kernels share could be wrong in both.  Heads behind the last are there,
 * and nobody's. */
static void one_row_agrees_with_the_double_reference(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(shapes); i++) {
        const shape n = shapes[i];
        const int64_t H = n.H + n.H / n.Hk, Hk = n.Hk + 1;
        const clf_dtype type = clf_ops_types[i % CLF_COUNT(clf_ops_types)];
        const clf_tensor q = first_heads(t, clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, H, n.D)), n.H);
        const clf_tensor k = first_heads(t, clf_test_normal(t, type, CLF_DIMS(1, K, Hk, n.D)), n.Hk);
        const clf_tensor v = first_heads(t, clf_test_normal(t, type, CLF_DIMS(1, K, Hk, n.E)), n.Hk);
        const clf_tensor all = clf_test_integers(t, CLF_F32, CLF_DIMS(1, 1, H, n.E), 3);
        const clf_tensor y = first_heads(t, all, n.H), behind = clf_slice(t->stream, all, 2, n.H, H - n.H);
        const clf_expected want = clf_ref_attention(t, q, k, v, NULL, y, NULL);

        clf_attention(t->stream, q, k, v, NULL, y);
        clf_test_within(t, y, want.value, want.bound);
        clf_test_exact(t, behind, clf_test_given(t, behind));
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(a_few_rows_have_the_bits_they_have_among_many),
        CLF_TEST(one_row_agrees_with_the_double_reference),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
