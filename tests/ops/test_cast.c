/* cast: exact, over every 16-bit pattern and every tie between two of them. */
#include <string.h>

#include "ops/ops.h"

static float from_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* What a 16-bit pattern means, by the definition of its format: NAN for every NaN. */
static float meaning(clf_dtype dtype, uint16_t bits)
{
    const float sign = bits & 0x8000 ? -1 : 1;
    const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;

    if (dtype == CLF_BF16)
        return from_bits((uint32_t)bits << 16);
    if (exponent == 31)
        return fraction != 0 ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(1024 + fraction), exponent - 25));
}

static clf_tensor uploaded(clf_test *t, clf_dtype dtype, int64_t n, const void *bits)
{
    const clf_tensor x = clf_test_empty(t, dtype, CLF_DIMS(n));

    clf_upload(t->stream, bits, x);
    return x;
}

static void every_pattern_survives_the_way_to_f32_and_back(void **state)
{
    static const clf_dtype types[] = { CLF_F16, CLF_BF16 };
    clf_test *t = *state;
    uint16_t *bits = clf_test_memory(t, 65536 * sizeof *bits);
    size_t bytes;

    for (uint32_t i = 0; i < 65536; i++)
        bits[i] = (uint16_t)i;
    for (size_t d = 0; d < CLF_COUNT(types); d++) {
        const clf_tensor x = uploaded(t, types[d], 65536, bits), y = clf_test_empty(t, CLF_F32, CLF_DIMS(65536));
        const clf_tensor z = clf_test_empty(t, types[d], CLF_DIMS(65536));
        const float *wide;
        const uint16_t *back;

        clf_cast(t->stream, x, y);
        clf_cast(t->stream, y, z);
        wide = clf_test_bits(t, y, &bytes);
        back = clf_test_bits(t, z, &bytes);
        for (uint32_t i = 0; i < 65536; i++) {
            const float want = meaning(types[d], (uint16_t)i);

            if (isnan(want)) {
                assert_true(isnan(wide[i]));
                assert_true(isnan(meaning(types[d], back[i])));
                continue;
            }
            assert_int_equal(to_bits(wide[i]), to_bits(want));
            assert_int_equal(back[i], i);
        }
    }
}

/* Between two neighbours a < b of the type: the middle goes to the even one, everything nearer to one to that one. */
static void rounds_to_nearest_even(void **state)
{
    static const struct {
        clf_dtype dtype;
        uint16_t top; /* the largest finite one */
    } types[] = { { CLF_F16, 0x7bff }, { CLF_BF16, 0x7f7f } };
    clf_test *t = *state;

    for (size_t d = 0; d < CLF_COUNT(types); d++) {
        const uint32_t n = types[d].top;
        float *values = clf_test_memory(t, 6 * (size_t)n * sizeof *values);
        uint16_t *want = clf_test_memory(t, 6 * (size_t)n * sizeof *want);
        const uint16_t *got;
        clf_tensor y;
        size_t bytes;

        for (uint32_t i = 0; i < n; i++) {
            const float a = meaning(types[d].dtype, (uint16_t)i), b = meaning(types[d].dtype, (uint16_t)(i + 1));
            const float middle = a + (b - a) / 2;
            const uint16_t even = (uint16_t)(i + (i & 1));
            const float three[] = { nextafterf(middle, 0), middle, nextafterf(middle, INFINITY) };
            const uint16_t code[] = { (uint16_t)i, even, (uint16_t)(i + 1) };

            for (uint32_t k = 0; k < 3; k++) {
                values[6 * i + k] = three[k];
                values[6 * i + 3 + k] = -three[k];
                want[6 * i + k] = code[k];
                want[6 * i + 3 + k] = (uint16_t)(code[k] | 0x8000);
            }
        }
        y = clf_test_empty(t, types[d].dtype, CLF_DIMS(6 * (int64_t)n));
        clf_cast(t->stream, uploaded(t, CLF_F32, 6 * (int64_t)n, values), y);
        got = clf_test_bits(t, y, &bytes);
        for (uint32_t i = 0; i < 6 * n; i++)
            if (got[i] != want[i])
                fail_msg("%.9g became 0x%04x, not 0x%04x", (double)values[i], (unsigned)got[i], (unsigned)want[i]);
    }
}

static void what_is_too_large_becomes_infinite_and_nan_stays(void **state)
{
    clf_test *t = *state;
    const uint32_t bits[] = { to_bits(65519.996F), to_bits(65520), to_bits(-1e30F), 0x7f7fffff,
                              0xff800000,          0x7f800001, /* a NaN whose upper half alone would be infinite */
                              0xffffffff,          0x7fc00000 };
    const clf_tensor x = uploaded(t, CLF_F32, 8, bits);
    const clf_tensor y = clf_test_empty(t, CLF_F16, CLF_DIMS(8)), z = clf_test_empty(t, CLF_BF16, CLF_DIMS(8));

    clf_cast(t->stream, x, y);
    clf_test_exact(t, y, (const double[]){ 65504, INFINITY, -INFINITY, INFINITY, -INFINITY, NAN, NAN, NAN });
    clf_cast(t->stream, x, z);
    clf_test_exact(t, z, (const double[]){ 65536, 65536, (double)-1e30F, INFINITY, -INFINITY, NAN, NAN, NAN });
}

static void one_size(clf_test *t, clf_dtype dtype, int64_t R, int64_t C)
{
    const clf_tensor x = clf_test_normal(t, dtype, CLF_DIMS(R, C));

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++) {
        const clf_tensor y = clf_test_empty(t, clf_ops_types[d], CLF_DIMS(R, C));

        clf_cast(t->stream, x, y);
        clf_test_exact(t, y, clf_test_given(t, x));
    }
}

static void every_pair_of_types_at_every_size(void **state)
{
    clf_ops_each_size(*state, one_size);
}

static void views_leave_their_neighbours_untouched(void **state)
{
    clf_test *t = *state;
    const clf_tensor wide = clf_test_normal(t, CLF_F16, CLF_DIMS(2, 5, 100));
    const clf_tensor whole = clf_test_integers(t, CLF_BF16, CLF_DIMS(2, 11, 67), 100);
    const clf_tensor x = clf_slice(t->stream, wide, 2, 33, 67), y = clf_slice(t->stream, whole, 1, 4, 5);

    clf_cast(t->stream, x, y);
    clf_test_exact(t, y, clf_test_given(t, x));
    clf_ops_rest_untouched(t, whole, 4, 5);
}

static void a_failed_stream_stays_silent(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(3, 8)), y = clf_test_empty(t, CLF_F16, CLF_DIMS(3, 8));

    clf_cast(t->stream, x, CLF_OPS_SHAPE(CLF_F16, 24));
    clf_cast(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "cast: y is f16[24]; want the shape of x f32[3, 8]");
    clf_ops_untouched(t, y);
}

static void the_check_names_what_is_wrong(void **state)
{
    const clf_tensor x = CLF_OPS_SHAPE(CLF_F16, 3, 8);

    (void)state;
    CLF_OPS_ACCEPTS(clf_cast_check(x, CLF_OPS_SHAPE(CLF_F32, 3, 8), &err));
    CLF_OPS_ACCEPTS(clf_cast_check(x, x, &err));
    CLF_OPS_REFUSES(clf_cast_check(CLF_OPS_SHAPE(CLF_I16, 3, 8), x, &err), CLF_UNSUPPORTED,
                    "cast: x is i16[3, 8]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_cast_check(x, CLF_OPS_SHAPE(CLF_F64, 3, 8), &err), CLF_UNSUPPORTED,
                    "cast: y is f64[3, 8]; want f32, f16 or bf16");
    CLF_OPS_REFUSES(clf_cast_check(x, CLF_OPS_SHAPE(CLF_F32, 8, 3), &err), CLF_INVALID_ARGUMENT,
                    "cast: y is f32[8, 3]; want the shape of x f16[3, 8]");
    CLF_OPS_REFUSES(clf_cast_check(clf_ops_at(CLF_F16, 0, CLF_DIMS(8)), clf_ops_at(CLF_F32, 0, CLF_DIMS(8)), &err),
                    CLF_INVALID_ARGUMENT, "cast: y overlaps x; want apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(every_pattern_survives_the_way_to_f32_and_back),
        CLF_TEST(rounds_to_nearest_even),
        CLF_TEST(what_is_too_large_becomes_infinite_and_nan_stays),
        CLF_TEST(every_pair_of_types_at_every_size),
        CLF_TEST(views_leave_their_neighbours_untouched),
        CLF_TEST(a_failed_stream_stays_silent),
        cmocka_unit_test(the_check_names_what_is_wrong),
    };

    return CLF_TEST_MAIN(tests);
}
