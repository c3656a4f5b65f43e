/* Weights on the device: converted as the host's own conversions say, piece by piece. */
#include <string.h>

#include "fusion/parameter.h"
#include "harness.h"

static size_t done_bytes;

static void done(void *self, const void *data, size_t bytes)
{
    (void)self;
    (void)data;
    done_bytes += bytes;
}

static void stored_bits(clf_test *t, clf_tensor p, void *bits)
{
    clf_download(t->stream, p, bits);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

/* Longer than two pieces of a conversion, and not a multiple of one. */
enum { ROWS = 3, COLUMNS = 200001, COUNT = ROWS * COLUMNS };

static void large_tables_are_converted_in_pieces(void **state)
{
    clf_test *t = *state;
    double *values = clf_test_memory(t, COUNT * sizeof *values);
    uint16_t *half = clf_test_memory(t, COUNT * sizeof *half);
    float *single = clf_test_memory(t, COUNT * sizeof *single);
    const clf_host_tensor host = { values, CLF_F64, 2, { ROWS, COLUMNS } };
    const clf_tensor_source source = { .done = done };
    clf_error err = { 0 };
    clf_tensor p;

    for (size_t i = 0; i < COUNT; i++)
        values[i] = 2 * clf_test_random(t) - 1;
    done_bytes = 0;
    assert_int_equal(clf_parameter_create(t->ctx, "table", host, CLF_BF16, &source, &p, &err), CLF_OK);
    assert_int_equal(done_bytes, COUNT * sizeof *values);
    assert_true(clf_shape_is(p, CLF_DIMS(ROWS, COLUMNS)));
    stored_bits(t, p, half);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(half[i], clf_f32_to_bf16((float)values[i]));
    clf_tensor_free(t->ctx, &p);

    assert_int_equal(clf_parameter_create(t->ctx, "table", host, CLF_F32, NULL, &p, &err), CLF_OK);
    stored_bits(t, p, single);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(single[i] == (float)values[i]);
    clf_tensor_free(t->ctx, &p);
}

static void equal_types_are_copied_bit_for_bit(void **state)
{
    static const uint16_t bits[] = { 0x0000, 0x8000, 0x7C00, 0x7E01, 0x0001, 0x3C00 }; /* NaN payloads too */
    const clf_host_tensor host = { bits, CLF_F16, 1, { 6 } };
    clf_test *t = *state;
    clf_error err = { 0 };
    clf_tensor p;
    uint16_t got[6];

    assert_int_equal(clf_parameter_create(t->ctx, "norm", host, CLF_F16, NULL, &p, &err), CLF_OK);
    stored_bits(t, p, got);
    assert_memory_equal(got, bits, sizeof bits);
    clf_tensor_free(t->ctx, &p);
}

static void absent_gives_absent_and_integers_are_refused(void **state)
{
    static const int32_t integers[] = { 1, 2 };
    clf_test *t = *state;
    clf_error err = { 0 };
    clf_tensor p;

    assert_int_equal(clf_parameter_create(t->ctx, "norm", (clf_host_tensor){ 0 }, CLF_F32, NULL, &p, &err), CLF_OK);
    assert_false(clf_present(p));
    assert_int_equal(
        clf_parameter_create(t->ctx, "norm", (clf_host_tensor){ integers, CLF_I32, 1, { 2 } }, CLF_F32, NULL, &p, &err),
        CLF_UNSUPPORTED);
    assert_string_equal(err.message, "parameter: norm is i32[2]; want f32, f16, bf16 or f64");
    assert_false(clf_present(p));
}

static void a_shape_without_data_is_refused_unless_it_is_empty(void **state)
{
    clf_test *t = *state;
    clf_error err = { 0 };
    clf_tensor p;

    assert_int_equal(
        clf_parameter_create(t->ctx, "norm", (clf_host_tensor){ NULL, CLF_F16, 1, { 2 } }, CLF_F32, NULL, &p, &err),
        CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "parameter: norm is f16[2] without data; want host memory");
    assert_false(clf_present(p));
    assert_int_equal(
        clf_parameter_create(t->ctx, "norm", (clf_host_tensor){ NULL, CLF_F16, 1, { 0 } }, CLF_F32, NULL, &p, &err),
        CLF_OK);
    clf_tensor_free(t->ctx, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(large_tables_are_converted_in_pieces),
        CLF_TEST(equal_types_are_copied_bit_for_bit),
        CLF_TEST(absent_gives_absent_and_integers_are_refused),
        CLF_TEST(a_shape_without_data_is_refused_unless_it_is_empty),
    };

    return CLF_TEST_MAIN(tests);
}
