/* merge_pairs against double precision, with pairs made by hand and at random. */
#include "ops/ops.h"
#include "ref/ref.h"

typedef struct results {
    clf_tensor y, sizes, source;
} results;

static results results_of(clf_test *t, int64_t B, int64_t N, int64_t r, int64_t C)
{
    return (results){ clf_test_empty(t, CLF_F32, CLF_DIMS(B, N - r, C)), clf_test_empty(t, CLF_F32, CLF_DIMS(B, N - r)),
                      clf_test_empty(t, CLF_I32, CLF_DIMS(B, N)) };
}

/* Adds every row to where it goes, then divides. */
static void compare(clf_test *t, clf_tensor x, const double *sizes, const int32_t *partner, const int32_t *merged,
                    int64_t r, results out)
{
    const int64_t B = x.dim[0], N = x.dim[1], C = x.dim[2], E = N - N / 2, M = N - r;
    const double *v = clf_test_given(t, x);
    const clf_expected y = clf_expected_new(t, out.y), count = clf_expected_new(t, out.sizes),
                       source = clf_expected_new(t, out.source);
    double *parts = clf_test_memory(t, (size_t)(B * M) * sizeof *parts);

    for (int64_t i = 0; i < B * N; i++) {
        const int64_t b = i / N, n = i % N;
        int64_t before = 0, place = E - r + n / 2;
        const double size = sizes != NULL ? sizes[i] : 1;

        for (int64_t j = 0; j < r; j++)
            before += merged[b * r + j] < n / 2;
        if (n % 2 == 0)
            place = before < r && merged[b * r + before] == n / 2 ? E - r + partner[b * E + n / 2] : n / 2 - before;
        source.value[i] = (double)place;
        count.value[b * M + place] += size;
        parts[b * M + place] += 1;
        for (int64_t c = 0; c < C; c++) {
            y.value[(b * M + place) * C + c] += size * v[i * C + c];
            y.bound[(b * M + place) * C + c] += size * fabs(v[i * C + c]);
        }
    }
    for (int64_t i = 0; i < B * M * C; i++) {
        y.value[i] /= count.value[i / C];
        y.bound[i] *= parts[i / C] > 1 ? (parts[i / C] + 6) * CLF_U / count.value[i / C] : 0;
    }
    clf_test_exact(t, out.source, source.value);
    clf_test_exact(t, out.sizes, count.value);
    clf_test_within(t, out.y, y.value, y.bound);
}

/* r different numbers below E, ascending, for each picture. */
static int32_t *choose(clf_test *t, int64_t B, int64_t E, int64_t r)
{
    int32_t *merged = clf_test_memory(t, (size_t)(B * r) * sizeof *merged);

    for (int64_t b = 0; b < B; b++)
        for (int64_t e = 0, taken = 0; e < E && taken < r; e++)
            if (clf_test_random(t) * (double)(E - e) < (double)(r - taken))
                merged[b * r + taken++] = (int32_t)e;
    return merged;
}

static void one_size(clf_test *t, clf_dtype dtype, int64_t B, int64_t N, int64_t r, int64_t C, bool sized)
{
    const int64_t O = N / 2, E = N - O;
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(B, N, C)), none = { .dtype = CLF_DTYPE_NONE };
    const int32_t *merged = choose(t, B, E, r);
    int32_t *partner = clf_test_memory(t, (size_t)(B * E) * sizeof *partner);
    double *sizes = clf_test_memory(t, (size_t)(B * N) * sizeof *sizes);
    const results out = results_of(t, B, N, r, C);

    for (int64_t i = 0; i < B * E; i++)
        partner[i] = (int32_t)(clf_test_random(t) * (double)O);
    for (int64_t i = 0; i < B * N; i++)
        sizes[i] = floor(1 + 4 * clf_test_random(t));
    clf_merge_pairs(t->stream, x, sized ? clf_test_from(t, CLF_F32, CLF_DIMS(B, N), sizes) : none,
                    clf_test_i32(t, CLF_DIMS(B, E), partner), r > 0 ? clf_test_i32(t, CLF_DIMS(B, r), merged) : none,
                    out.y, out.sizes, out.source);
    compare(t, x, sized ? sizes : NULL, partner, merged, r, out);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_double_precision(void **state)
{
    static const int64_t rows[] = { 1, 2, 3, 17, 130 }, widths[] = { 1, 15, 16, 17, 100 };
    clf_test *t = *state;

    t->zero_limit = 1;
    for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(widths); i++) {
        const int64_t N = rows[i % CLF_COUNT(rows)], C = widths[i / CLF_COUNT(rows)], some[] = { 0, 1, N / 4, N / 2 };

        for (size_t j = 0; j < CLF_COUNT(some); j++)
            if (some[j] <= N / 2)
                one_size(t, clf_ops_types[(i + j) % 3], j % 2 == 0 ? 1 : 3, N, some[j], C, i % 2 == 0);
    }
}

/* All even rows go into the last odd one: a row of N/2 + 1 parts. */
static void many_rows_may_come_to_one(void **state)
{
    enum { N = 40, O = N / 2, C = 19 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, N, C)), none = { .dtype = CLF_DTYPE_NONE };
    const results out = results_of(t, 1, N, O, C);
    int32_t partner[O], merged[O];

    t->zero_limit = 1;
    for (int32_t e = 0; e < O; e++) {
        partner[e] = O - 1;
        merged[e] = e;
    }
    clf_merge_pairs(t->stream, x, none, clf_test_i32(t, CLF_DIMS(1, O), partner),
                    clf_test_i32(t, CLF_DIMS(1, O), merged), out.y, out.sizes, out.source);
    compare(t, x, NULL, partner, merged, O, out);
}

/* Entries that break the rules must not lead out of memory; guard zones stand round every tensor. */
static void entries_outside_merge_into_nothing(void **state)
{
    static const int32_t partner[] = { -7, 900000, 1 }, merged[] = { -5, 70000 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 6, 4)), none = { .dtype = CLF_DTYPE_NONE };
    const results out = results_of(t, 1, 6, 2, 4);
    const double *v = clf_test_given(t, x), *y;

    clf_merge_pairs(t->stream, x, none, clf_test_i32(t, CLF_DIMS(1, 3), partner),
                    clf_test_i32(t, CLF_DIMS(1, 2), merged), out.y, out.sizes, out.source);
    y = clf_test_values(t, out.y);
    for (int i = 0; i < 3 * 4; i++) /* the odd rows as they were */
        assert_true(y[4 + i] == v[(2 * (i / 4) + 1) * 4 + i % 4]);
}

static void views_are_read_and_written_in_place(void **state)
{
    static const int32_t partner[] = { 1, 0, 1, 1, 1, 0 }, merged[] = { 0, 1 };
    clf_test *t = *state;
    const clf_tensor long_x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 9, 8)), none = { .dtype = CLF_DTYPE_NONE };
    const clf_tensor x = clf_slice(t->stream, clf_slice(t->stream, long_x, 1, 2, 5), 2, 1, 6);
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 8, 6), 9);
    results out = results_of(t, 2, 5, 1, 6);

    t->zero_limit = 1;
    out.y = clf_slice(t->stream, whole, 1, 3, 4);
    clf_merge_pairs(t->stream, x, none, clf_test_i32(t, CLF_DIMS(2, 3), partner),
                    clf_test_i32(t, CLF_DIMS(2, 1), merged), out.y, out.sizes, out.source);
    compare(t, x, NULL, partner, merged, 1, out);
    clf_ops_rest_untouched(t, whole, 3, 4);
}

static void a_failed_stream_stays_silent(void **state)
{
    static const int32_t partner[] = { 0, 0 }, merged[] = { 0, 1 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 4, 3)), none = { .dtype = CLF_DTYPE_NONE };
    const clf_tensor p = clf_test_i32(t, CLF_DIMS(1, 2), partner), m = clf_test_i32(t, CLF_DIMS(1, 2), merged);
    const results out = results_of(t, 1, 4, 2, 3);

    clf_merge_pairs(t->stream, x, none, m, clf_reshape(t->stream, m, CLF_DIMS(2, 1)), out.y, out.sizes, out.source);
    clf_merge_pairs(t->stream, x, none, p, m, out.y, out.sizes, out.source);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "merge_pairs: merged is i32[2, 1]; want i32[1, 1], for x f32[1, 4, 3]");
    clf_ops_untouched(t, out.y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 2, 7, 8), none = { .dtype = CLF_DTYPE_NONE },
                     partner = CLF_OPS_SHAPE(CLF_I32, 2, 4), merged = CLF_OPS_SHAPE(CLF_I32, 2, 3),
                     y = CLF_OPS_SHAPE(CLF_F32, 2, 4, 8), sizes = CLF_OPS_SHAPE(CLF_F32, 2, 4),
                     source = CLF_OPS_SHAPE(CLF_I32, 2, 7);

    (void)state;
    CLF_OPS_ACCEPTS(clf_merge_pairs_check(x, none, partner, merged, y, sizes, source, &err));
    CLF_OPS_REFUSES(clf_merge_pairs_check(x, none, partner, CLF_OPS_SHAPE(CLF_I32, 2, 4), y, sizes, source, &err),
                    CLF_INVALID_ARGUMENT,
                    "merge_pairs: r is 4, the last dimension of merged; want 0 to 3, half the rows of x f16[2, 7, 8]");
    CLF_OPS_REFUSES(clf_merge_pairs_check(x, sizes, partner, merged, y, sizes, source, &err), CLF_INVALID_ARGUMENT,
                    "merge_pairs: sizes is f32[2, 4]; want f32[2, 7], for x f16[2, 7, 8]");
    CLF_OPS_REFUSES(clf_merge_pairs_check(x, none, merged, merged, y, sizes, source, &err), CLF_INVALID_ARGUMENT,
                    "merge_pairs: partner is i32[2, 3]; want i32[2, 4], for x f16[2, 7, 8]");
    CLF_OPS_REFUSES(
        clf_merge_pairs_check(x, none, partner, merged, CLF_OPS_SHAPE(CLF_F32, 2, 5, 8), sizes, source, &err),
        CLF_INVALID_ARGUMENT, "merge_pairs: y is f32[2, 5, 8]; want f32[2, 4, 8], for x f16[2, 7, 8] and r 3");
    CLF_OPS_REFUSES(clf_merge_pairs_check(x, none, partner, merged, y, sizes, CLF_OPS_SHAPE(CLF_I64, 2, 7), &err),
                    CLF_INVALID_ARGUMENT, "merge_pairs: source is i64[2, 7]; want i32[2, 7], for x f16[2, 7, 8]");
    CLF_OPS_REFUSES(clf_merge_pairs_check(clf_ops_at(CLF_F32, 0, CLF_DIMS(1, 2, 4)), none, CLF_OPS_SHAPE(CLF_I32, 1, 1),
                                          none, clf_ops_at(CLF_F32, 16, CLF_DIMS(1, 2, 4)),
                                          CLF_OPS_SHAPE(CLF_F32, 1, 2), CLF_OPS_SHAPE(CLF_I32, 1, 2), &err),
                    CLF_INVALID_ARGUMENT, "merge_pairs: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_double_precision),       CLF_TEST(many_rows_may_come_to_one),
        CLF_TEST(entries_outside_merge_into_nothing), CLF_TEST(views_are_read_and_written_in_place),
        CLF_TEST(a_failed_stream_stays_silent),       cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
