/* rotary_table: the product rounded to f32, then cosine and sine of it. */
#include "ops/ops.h"
#include "ref/ref.h"

enum { P = 21, A = 3 };

/* Frequencies of a real model, and one that takes the angle far beyond 2 pi. */
static void fill(float *frequency, int32_t *axis)
{
    for (int p = 0; p < P; p++) {
        frequency[p] = p == 20 ? 3.7F : (float)pow(10000, -p / 20.0);
        axis[p] = p * 2 % A;
    }
}

static int32_t position(clf_test *t, int64_t i)
{
    return i % 7 == 0 ? -(int32_t)i : (int32_t)(clf_test_random(t) * (i % 3 == 0 ? 1e6 : 3000));
}

static void one_size(clf_test *t, clf_dims dims)
{
    int64_t R = 1;
    float frequency[P];
    int32_t axis[P], *positions;

    for (int32_t i = 1; i < dims.rank; i++)
        R *= dims.dim[i];
    positions = clf_test_memory(t, (size_t)(A * R) * sizeof *positions);
    for (int64_t i = 0; i < A * R; i++)
        positions[i] = position(t, i);
    fill(frequency, axis);

    const clf_rotary_columns columns = { P, frequency, axis };
    const clf_tensor c = clf_test_empty(t, CLF_F32, CLF_DIMS(R, P)), s = clf_test_empty(t, CLF_F32, CLF_DIMS(R, P));
    const clf_expected want_c = clf_expected_new(t, c), want_s = clf_expected_new(t, s);
    float *host = clf_test_memory(t, (size_t)(2 * R * P) * sizeof *host);
    clf_error err;

    for (int64_t i = 0; i < R * P; i++) {
        const float angle = (float)positions[axis[i % P] * R + i / P] * frequency[i % P];

        want_c.value[i] = cos((double)angle);
        want_s.value[i] = sin((double)angle);
        want_c.bound[i] = 8 * CLF_U * fabs(want_c.value[i]) + CLF_TINY; /* 4 ulp, 1 ulp is at most 2 u */
        want_s.bound[i] = 8 * CLF_U * fabs(want_s.value[i]) + CLF_TINY;
    }
    clf_rotary_table(t->stream, clf_test_i32(t, dims, positions), &columns, c, s);
    clf_test_within(t, c, want_c.value, want_c.bound);
    clf_test_within(t, s, want_s.value, want_s.bound);
    assert_int_equal(clf_rotary_table_host(positions, A, R, &columns, host, host + R * P, &err), CLF_OK);
    for (int64_t i = 0; i < R * P; i++) {
        assert_true(host[i] == (float)want_c.value[i]);
        assert_true(host[R * P + i] == (float)want_s.value[i]);
    }
}

static void agrees_with_cosine_and_sine_of_the_rounded_angle(void **state)
{
    clf_test *t = *state;

    one_size(t, CLF_DIMS(A, 1));
    one_size(t, CLF_DIMS(A, 37));
    one_size(t, CLF_DIMS(A, 3, 5));
    one_size(t, CLF_DIMS(A, 0));
}

static void position_0_turns_nothing(void **state)
{
    static const int32_t zeros[A * 2] = { 0 };
    clf_test *t = *state;
    float frequency[P];
    int32_t axis[P];
    const clf_rotary_columns columns = { P, frequency, axis };
    const clf_tensor c = clf_test_empty(t, CLF_F32, CLF_DIMS(2, P)), s = clf_test_empty(t, CLF_F32, CLF_DIMS(2, P));

    fill(frequency, axis);
    clf_rotary_table(t->stream, clf_test_i32(t, CLF_DIMS(A, 2), zeros), &columns, c, s);
    for (int i = 0; i < 2 * P; i++) {
        assert_true(clf_test_values(t, c)[i] == 1);
        assert_true(clf_test_values(t, s)[i] == 0);
    }
}

static void a_failed_stream_stays_silent(void **state)
{
    static const int32_t zeros[A] = { 0 };
    clf_test *t = *state;
    float frequency[P];
    int32_t axis[P];
    const clf_rotary_columns columns = { P, frequency, axis };
    const clf_tensor positions = clf_test_i32(t, CLF_DIMS(A, 1), zeros);
    const clf_tensor c = clf_test_empty(t, CLF_F32, CLF_DIMS(1, P)), s = clf_test_empty(t, CLF_F32, CLF_DIMS(1, P));

    fill(frequency, axis);
    axis[4] = 3;
    clf_rotary_table(t->stream, positions, &columns, c, s);
    axis[4] = 0;
    clf_rotary_table(t->stream, positions, &columns, c, s);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "rotary_table: axis[4] is 3; want 0 to 2, the axes of positions");
    clf_ops_untouched(t, c);
    clf_ops_untouched(t, s);
}

static void the_check_names_what_is_wrong(void **state)
{
    float frequency[P];
    int32_t axis[P];
    const clf_rotary_columns columns = { P, frequency, axis };
    const clf_tensor p = CLF_OPS_SHAPE(CLF_I32, A, 2, 5), c = CLF_OPS_SHAPE(CLF_F32, 2, 5, P);
    clf_tensor gaps = p;

    (void)state;
    fill(frequency, axis);
    gaps.stride[0] = 11;
    CLF_OPS_ACCEPTS(clf_rotary_table_check(p, &columns, c, c, &err));
    CLF_OPS_REFUSES(clf_rotary_table_check(CLF_OPS_SHAPE(CLF_I64, A, 10), &columns, c, c, &err), CLF_UNSUPPORTED,
                    "rotary_table: positions is i64[3, 10]; want i32");
    CLF_OPS_REFUSES(clf_rotary_table_check(gaps, &columns, c, c, &err), CLF_UNSUPPORTED,
                    "rotary_table: positions is a view with gaps; want a dense tensor");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, NULL, c, c, &err), CLF_INVALID_ARGUMENT,
                    "rotary_table: columns is NULL; want frequencies and axes");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, &(clf_rotary_columns){ 0, frequency, axis }, c, c, &err),
                    CLF_INVALID_ARGUMENT, "rotary_table: columns has 0; want 1 or more, below 2^31");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, &(clf_rotary_columns){ P, frequency, NULL }, c, c, &err),
                    CLF_INVALID_ARGUMENT, "rotary_table: columns has no frequency or no axis; want 21 of each");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, &columns, CLF_OPS_SHAPE(CLF_F16, 10, P), c, &err), CLF_UNSUPPORTED,
                    "rotary_table: cosines and sines are f16[10, 21] and f32[2, 5, 21]; want f32");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, &columns, CLF_OPS_SHAPE(CLF_F32, 9, P), c, &err), CLF_INVALID_ARGUMENT,
                    "rotary_table: cosines is f32[9, 21]; want 10 rows of 21, for positions i32[3, 2, 5]");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, &columns, c, CLF_OPS_SHAPE(CLF_F32, 10, P), &err), CLF_INVALID_ARGUMENT,
                    "rotary_table: sines is f32[10, 21]; want f32[2, 5, 21], like cosines");
    CLF_OPS_REFUSES(clf_rotary_table_check(p, &columns, clf_ops_at(CLF_F32, 0, CLF_DIMS(10, P)),
                                           clf_ops_at(CLF_F32, 8, CLF_DIMS(10, P)), &err),
                    CLF_INVALID_ARGUMENT, "rotary_table: sines overlaps cosines; want apart");
    CLF_OPS_REFUSES(clf_rotary_table_host(NULL, 0, 4, &columns, NULL, NULL, &err), CLF_INVALID_ARGUMENT,
                    "rotary_table: A and R are 0 and 4; want at least 1 and 0");
    axis[20] = -1;
    CLF_OPS_REFUSES(clf_rotary_table_host(NULL, 3, 4, &columns, NULL, NULL, &err), CLF_INVALID_ARGUMENT,
                    "rotary_table: axis[20] is -1; want 0 to 2, the axes of positions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_cosine_and_sine_of_the_rounded_angle),
        CLF_TEST(position_0_turns_nothing),
        CLF_TEST(a_failed_stream_stays_silent),
        CLF_TEST(the_check_names_what_is_wrong),
    };

    return CLF_OPS_MAIN_EACH_SHAPE(tests);
}
