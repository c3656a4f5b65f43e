/* add_positions: exact, since one sum is rounded once; and a walk of failures over it and over rotary. */
#include <string.h>

#include "ops/ops.h"
#include "ref/ref.h"
#include "walk.h"

/* x + table[ids], rounded to f32 and then to the type of y (by clf_test_exact). */
static double *added(clf_test *t, clf_tensor x, clf_tensor table, const int64_t *ids, int64_t first)
{
    const int64_t N = clf_dim(x, 1), C = clf_dim(x, 2);
    const double *a = clf_test_given(t, x), *rows = clf_test_given(t, table);
    double *y = clf_expected_new(t, x).value;

    for (int64_t i = 0; i < clf_element_count(x); i++) {
        const int64_t row = ids != NULL ? ids[i / C] : first + i / C % N;

        y[i] = (double)(float)(a[i] + rows[row * C + i % C]);
    }
    return y;
}

static void one_size(clf_test *t, clf_dtype dtype, clf_dtype stored, int64_t B, int64_t N, int64_t C)
{
    enum { V = 23 };
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(B, N, C));
    const clf_tensor table = clf_test_normal(t, stored, CLF_DIMS(V, C));
    const clf_tensor y = clf_test_empty(t, dtype, CLF_DIMS(B, N, C));
    const clf_tensor wide = clf_test_empty(t, CLF_F32, CLF_DIMS(B, N, C));
    int64_t *ids = clf_test_memory(t, (size_t)(B * N) * sizeof *ids);

    for (int64_t i = 0; i < B * N; i++)
        ids[i] = (int64_t)(clf_test_random(t) * V);
    clf_add_positions(t->stream, x, table, NULL, V - N, y);
    clf_test_exact(t, y, added(t, x, table, NULL, V - N));
    clf_add_positions(t->stream, x, table, ids, 0, wide);
    clf_test_exact(t, wide, added(t, x, table, ids, 0));
    clf_add_positions(t->stream, x, table, ids, 0, x);
    clf_test_exact(t, x, added(t, x, table, ids, 0));
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void rows_are_added_by_place_and_by_id(void **state)
{
    for (size_t i = 0; i < 9; i++) {
        const clf_dtype x = clf_ops_types[i / 3], table = clf_ops_types[i % 3];

        one_size(*state, x, table, 1, 5, 37);
        one_size(*state, x, table, 3, 7, 64);
        one_size(*state, x, table, 3, 23, 1);
        one_size(*state, x, table, 0, 4, 8);
        one_size(*state, x, table, 2, 0, 8);
    }
}

static void views_leave_the_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(2, 9, 12), 100);
    const clf_tensor x = clf_slice(t->stream, whole, 1, 4, 3), more = clf_test_normal(t, CLF_F32, CLF_DIMS(6, 20));
    const clf_tensor table = clf_slice(t->stream, more, 1, 3, 12);
    const double *want = added(t, x, table, NULL, 2);

    clf_add_positions(t->stream, x, table, NULL, 2, x);
    clf_test_exact(t, x, want);
    clf_ops_rest_untouched(t, whole, 4, 3);
}

static void a_batch_gives_the_bits_of_its_parts(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(3, 5, 40)),
                     y = clf_test_empty(t, CLF_F16, CLF_DIMS(3, 5, 40));
    const clf_tensor table = clf_test_normal(t, CLF_F32, CLF_DIMS(5, 40)),
                     one = clf_test_empty(t, CLF_F16, CLF_DIMS(1, 5, 40));

    clf_add_positions(t->stream, x, table, NULL, 0, y);
    for (int64_t b = 0; b < 3; b++) {
        clf_add_positions(t->stream, clf_slice(t->stream, x, 0, b, 1), table, NULL, 0, one);
        clf_test_same_bits(t, one, clf_slice(t->stream, y, 0, b, 1));
    }
}

static void what_lies_outside_the_table_is_named(void **state)
{
    static const int64_t ids[] = { 0, 3, 1, 4, -1, 2 };
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, 8)),
                     y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, 8));
    const clf_tensor table = clf_test_normal(t, CLF_F32, CLF_DIMS(4, 8));

    clf_add_positions(t->stream, x, table, ids, 0, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "add_positions: ids[1, 0] is 4; want 0 to 3, the rows of table f32[4, 8]");
    clf_add_positions(t->stream, x, table, NULL, 2, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "add_positions: x is f32[2, 3, 8] and first 2, rows to 5; want at most 4, the rows of table "
                          "f32[4, 8]");
    clf_add_positions(t->stream, x, table, NULL, -1, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "add_positions: first is -1; want 0 or more, and 0 beside ids");
    clf_add_positions(t->stream, x, table, NULL, INT64_MAX, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "want at most 4, the rows of table f32[4, 8]");
    clf_add_positions(t->stream, x, table, ids, 1, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "add_positions: first is 1; want 0 or more, and 0 beside ids");
    clf_ops_untouched(t, y);
}

static void tensors_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 3, 8)),
                     table = clf_test_normal(t, CLF_F16, CLF_DIMS(6, 8));
    const clf_tensor flat = clf_test_normal(t, CLF_F16, CLF_DIMS(6, 8));

    clf_add_positions(t->stream, flat, table, NULL, 0, flat);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "add_positions: x is f16[6, 8]; want [B, N, C]");
    clf_add_positions(t->stream, x, clf_slice(t->stream, table, 1, 0, 7), NULL, 0, x);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "add_positions: table is f16[6, 7]; want [V, 8], the width of x f16[2, 3, 8]");
    clf_add_positions(t->stream, x, table, NULL, 0, clf_tensor_shape(CLF_BF16, CLF_DIMS(2, 3, 8)));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "add_positions: y is bf16[2, 3, 8]; want f16[2, 3, 8], like x, or f32");
    clf_add_positions(t->stream, x, clf_tensor_shape(CLF_I32, CLF_DIMS(6, 8)), NULL, 0, x);
    clf_test_expect_error(t, CLF_UNSUPPORTED, "add_positions: table is i32[6, 8]; want f32, f16 or bf16");
    clf_add_positions(t->stream, x, table, NULL, 0, clf_tensor_at(table.mem, table.offset, CLF_F16, CLF_DIMS(2, 3, 8)));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "add_positions: y overlaps table; want apart");
}

/* ---- failures ---- */

typedef struct work {
    clf_tensor x, table, positions;
    float result[2 * 3 * 8];
} work;

/* Learned rows, then a rotation, of two texts of three tokens. */
static clf_status run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    static const int64_t ids[] = { 0, 3, 1, 2, 2, 0 };
    static const float frequency[4] = { 1, 0.5F, 0.25F, 0.125F };
    static const int32_t axis[4] = { 0, 1, 2, 0 };
    const clf_rotary_columns columns = { 4, frequency, axis };
    work *w = user;
    const clf_scope scope = clf_scope_open(s, "work", -1);
    const clf_tensor y = clf_scratch(s, CLF_F32, CLF_DIMS(2, 3, 8));
    const clf_tensor c = clf_scratch(s, CLF_F32, CLF_DIMS(2, 3, 4)), n = clf_scratch(s, CLF_F32, CLF_DIMS(2, 3, 4));
    const clf_tensor heads = clf_heads(s, y, 1);
    clf_status status;

    (void)t;
    clf_add_positions(s, w->x, w->table, ids, 0, y);
    clf_rotary_table(s, w->positions, &columns, c, n);
    clf_rotary(s, heads, c, n, CLF_ROTARY_HALVES, 0, heads);
    clf_download(s, y, w->result);
    status = clf_stream_finish(s, err);
    clf_scope_close(s, scope);
    return status;
}

static void every_failure_is_reported_once(void **state)
{
    static const int32_t positions[18] = { 0, 1, 2, 3, 4, 5, 0, 0, 1, 1, 2, 2, 7, 7, 7, 8, 8, 8 };
    clf_test *t = *state;
    work w = { .x = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 3, 8)),
               .table = clf_test_normal(t, CLF_BF16, CLF_DIMS(4, 8)),
               .positions = clf_test_i32(t, CLF_DIMS(3, 2, 3), positions) };
    const clf_walk walk = {
        .name = "positions", .work = run, .user = &w, .result = w.result, .bytes = sizeof w.result
    };

    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK); /* other streams read what was uploaded here */
    assert_true(clf_walk_calls(t, &walk) > (clf_test_small_only(t) ? 0 : 5));
    assert_true(clf_walk_allocations(t, &walk) > (clf_test_small_only(t) ? 0 : 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(rows_are_added_by_place_and_by_id),   CLF_TEST(views_leave_the_neighbours_untouched),
        CLF_TEST(a_batch_gives_the_bits_of_its_parts), CLF_TEST(what_lies_outside_the_table_is_named),
        CLF_TEST(tensors_that_do_not_fit_are_refused), CLF_TEST(every_failure_is_reported_once),
    };

    return CLF_TEST_MAIN(tests);
}
