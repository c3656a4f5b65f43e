/* copy: bit for bit, every type. */
#include "ops/ops.h"

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, C)), y = clf_test_empty(t, dtype, CLF_DIMS(R, C));

    clf_copy(t->stream, x, y);
    clf_test_same_bits(t, x, y);
}

static void gives_the_same_bits(void **state)
{
    clf_ops_each_size(*state, one_size);
}

/* Bytes in the memory of two u8 tensors, copied as elements of each type into a slice of the second. */
static void moves_every_type(void **state)
{
    static const clf_dtype types[] = {
#define TYPE_NAME(name, value, text, bytes) name,
        CLF_DTYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(types); d++) {
        const int64_t row = 67 * (int64_t)clf_dtype_bytes(types[d]);
        const clf_tensor from = clf_test_uniform(t, CLF_U8, CLF_DIMS(2, 5, row), 0, 256);
        const clf_tensor whole = clf_test_uniform(t, CLF_U8, CLF_DIMS(2, 11, row), 0, 256);
        const clf_tensor x = clf_tensor_at(from.mem, from.offset, types[d], CLF_DIMS(2, 5, 67));
        const clf_tensor y = clf_tensor_at(whole.mem, whole.offset, types[d], CLF_DIMS(2, 11, 67));

        clf_copy(t->stream, x, clf_slice(t->stream, y, 1, 4, 5));
        clf_test_same_bits(t, from, clf_slice(t->stream, whole, 1, 4, 5));
        clf_ops_rest_untouched(t, whole, 4, 5);
    }
}

/* Rows with two strides above them: batch and row. */
static void a_block_inside_a_tensor_leaves_the_rest(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 4, 21));
    const clf_tensor whole = clf_test_integers(t, CLF_F32, CLF_DIMS(3, 7, 40), 100);
    const clf_tensor y = clf_slice(t->stream, clf_slice(t->stream, whole, 1, 2, 4), 2, 5, 21);
    const double *was = clf_test_given(t, whole), *now;

    clf_copy(t->stream, x, y);
    clf_test_same_bits(t, x, y);
    now = clf_test_values(t, whole);
    for (int i = 0; i < 3 * 7 * 40; i++) {
        const int n = i / 40 % 7, c = i % 40;

        if (n < 2 || n >= 6 || c < 5 || c >= 26)
            assert_true(now[i] == was[i]);
    }
}

/* Signalling NaN, subnormals, minus zero: nothing may be computed. */
static void keeps_every_f16_pattern(void **state)
{
    clf_test *t = *state;
    uint16_t *bits = clf_test_memory(t, 65536 * sizeof *bits);
    const clf_tensor x = clf_test_empty(t, CLF_F16, CLF_DIMS(65536)), y = clf_test_empty(t, CLF_F16, CLF_DIMS(65536));
    const uint16_t *got;
    size_t bytes;

    for (uint32_t i = 0; i < 65536; i++)
        bits[i] = (uint16_t)i;
    clf_upload(t->stream, bits, x);
    clf_copy(t->stream, x, y);
    got = clf_test_bits(t, y, &bytes);
    assert_int_equal(bytes, 65536 * sizeof *bits);
    assert_memory_equal(got, bits, bytes);
}

static void two_slices_concatenate(void **state)
{
    clf_test *t = *state;
    const clf_tensor a = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 3, 130));
    const clf_tensor b = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 4, 130));
    const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(2, 7, 130));

    clf_copy(t->stream, a, clf_slice(t->stream, y, 1, 0, 3));
    clf_copy(t->stream, b, clf_slice(t->stream, y, 1, 3, 4));
    clf_test_same_bits(t, a, clf_slice(t->stream, y, 1, 0, 3));
    clf_test_same_bits(t, b, clf_slice(t->stream, y, 1, 3, 4));
}

static void narrow_rows_beyond_the_number_of_groups_are_reached(void **state)
{
    clf_test *t = *state;
    const int64_t R = 150001;
    const clf_tensor wide = clf_test_integers(t, CLF_F16, CLF_DIMS(R, 3), 100);
    const clf_tensor x = clf_slice(t->stream, wide, 1, 1, 1), y = clf_test_empty(t, CLF_F16, CLF_DIMS(R, 1));

    clf_copy(t->stream, x, y);
    clf_test_same_bits(t, x, y);
}

static void nothing_to_do_is_a_success(void **state)
{
    clf_test *t = *state;
    const clf_tensor none = clf_tensor_shape(CLF_I64, CLF_DIMS(1099511627776, 1099511627776, 0));

    clf_copy(t->stream, none, none);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 8));

    clf_copy(t->stream, x, x);
    clf_copy(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "copy: y overlaps x; want apart");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_U8, 3, 8);

    (void)state;
    CLF_OPS_ACCEPTS(clf_copy_check(x, x, &err));
    CLF_OPS_REFUSES(clf_copy_check((clf_tensor){ .rank = 1 }, x, &err), CLF_INVALID_ARGUMENT,
                    "copy: x is none; want 1 to 6 dimensions, none negative, with a product below 2^63");
    CLF_OPS_REFUSES(clf_copy_check(x, (clf_tensor){ .dtype = CLF_U8, .rank = 0 }, &err), CLF_INVALID_ARGUMENT,
                    "copy: y is u8[]; want 1 to 6 dimensions, none negative, with a product below 2^63");
    CLF_OPS_REFUSES(clf_copy_check(x, CLF_OPS_SHAPE(CLF_I8, 3, 8), &err), CLF_INVALID_ARGUMENT,
                    "copy: y is i8[3, 8]; want u8[3, 8], like x");
    CLF_OPS_REFUSES(clf_copy_check(x, CLF_OPS_SHAPE(CLF_U8, 3, 9), &err), CLF_INVALID_ARGUMENT,
                    "copy: y is u8[3, 9]; want u8[3, 8], like x");
    CLF_OPS_REFUSES(clf_copy_check(clf_ops_at(CLF_U8, 0, CLF_DIMS(9)), clf_ops_at(CLF_U8, 8, CLF_DIMS(9)), &err),
                    CLF_INVALID_ARGUMENT, "copy: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(gives_the_same_bits),
        CLF_TEST(moves_every_type),
        CLF_TEST(a_block_inside_a_tensor_leaves_the_rest),
        CLF_TEST(keeps_every_f16_pattern),
        CLF_TEST(two_slices_concatenate),
        CLF_TEST(narrow_rows_beyond_the_number_of_groups_are_reached),
        CLF_TEST(nothing_to_do_is_a_success),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
