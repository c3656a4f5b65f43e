/* f16 and bf16 on the host, against arithmetic on the bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/half.h"

static double exact(uint16_t bits, int fraction_bits, int bias)
{
    const int exponent_bits = 15 - fraction_bits, top = (1 << exponent_bits) - 1;
    const int exponent = (bits >> fraction_bits) & top, fraction = bits & ((1 << fraction_bits) - 1);
    const double sign = bits & 0x8000 ? -1.0 : 1.0;

    if (exponent == top)
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(1.0 + ldexp(fraction, -fraction_bits), exponent - bias);
}

static void every_pattern_has_its_value_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t b = 0; b <= 0xFFFF; b++) {
        const double f16 = exact((uint16_t)b, 10, 15), bf16 = exact((uint16_t)b, 7, 127);

        if (isnan(f16)) {
            assert_true(isnan(clf_f16_to_f32((uint16_t)b)));
            assert_true(isnan(clf_f16_to_f32(clf_f32_to_f16(clf_f16_to_f32((uint16_t)b)))));
        } else {
            assert_true((double)clf_f16_to_f32((uint16_t)b) == f16);
            assert_int_equal(clf_f32_to_f16((float)f16), b);
        }
        if (isnan(bf16)) {
            assert_true(isnan(clf_bf16_to_f32((uint16_t)b)));
            assert_true(isnan(clf_bf16_to_f32(clf_f32_to_bf16(clf_bf16_to_f32((uint16_t)b)))));
        } else {
            assert_true((double)clf_bf16_to_f32((uint16_t)b) == bf16);
            assert_int_equal(clf_f32_to_bf16((float)bf16), b);
        }
    }
}

/* The middle between two neighbours goes to the even one, a step to either side to that side. */
static void halves_round_to_even(void **state)
{
    (void)state;
    for (uint16_t b = 0; b < 0x7BFF; b++) {
        const float low = clf_f16_to_f32(b), high = clf_f16_to_f32((uint16_t)(b + 1)), middle = 0.5F * (low + high);

        assert_int_equal(clf_f32_to_f16(middle), b % 2 == 0 ? b : b + 1);
        assert_int_equal(clf_f32_to_f16(nextafterf(middle, 0.0F)), b);
        assert_int_equal(clf_f32_to_f16(nextafterf(middle, INFINITY)), b + 1);
    }
    assert_int_equal(clf_f32_to_f16(65519.996F), 0x7BFF);
    assert_int_equal(clf_f32_to_f16(65520.0F), 0x7C00);
    assert_int_equal(clf_f32_to_bf16(1.00390625F), 0x3F80); /* 1 + 2^-8: even below */
    assert_int_equal(clf_f32_to_bf16(1.01171875F), 0x3F82); /* 1 + 3·2^-8: even above */
    assert_int_equal(clf_f32_to_bf16(3.4e38F), 0x7F80);
}

static void values_of_all_types_are_read_from_odd_addresses(void **state)
{
    unsigned char bytes[64] = { 0 };
    static const clf_dtype types[] = { CLF_I8, CLF_U8, CLF_I16, CLF_U16, CLF_I32, CLF_U32, CLF_I64, CLF_U64, CLF_BOOL };

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const size_t item = clf_dtype_bytes(types[i]);

        bytes[1 + item] = 1; /* the second element, little-endian */
        assert_true(clf_host_value(bytes + 1, types[i], 1) == 1.0);
        assert_true(clf_host_value(bytes + 1, types[i], 0) == 0.0);
        bytes[1 + item] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_has_its_value_and_comes_back),
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(values_of_all_types_are_read_from_odd_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
