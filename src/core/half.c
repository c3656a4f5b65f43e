/* f16 and bf16 on the host. */
#include "core/half.h"

#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

float clf_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000U) << 16, exponent = (h >> 10) & 0x1FU, fraction = h & 0x3FFU;

    if (exponent == 0) /* zero or subnormal: fraction · 2^-24, exact in f32 */
        return float_of(sign | bits_of((float)fraction * 0x1p-24F));
    if (exponent == 31)
        return float_of(sign | 0x7F800000U | (fraction << 13));
    return float_of(sign | ((exponent + 112U) << 23) | (fraction << 13));
}

/* value / 2^shift to nearest even, shift from 1 to 31. */
static uint32_t round_shift(uint32_t value, uint32_t shift)
{
    const uint32_t half = 1U << (shift - 1), rest = value & ((1U << shift) - 1), whole = value >> shift;

    return whole + (rest > half || (rest == half && (whole & 1U) != 0));
}

uint16_t clf_f32_to_f16(float value)
{
    const uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000U, magnitude = bits & 0x7FFFFFFFU;

    if (magnitude > 0x7F800000U) /* NaN stays quiet NaN */
        return (uint16_t)(sign | 0x7E00U | ((magnitude >> 13) & 0x3FFU));
    if (magnitude >= 0x477FF000U) /* 65520 and above rounds to infinity */
        return (uint16_t)(sign | 0x7C00U);
    if (magnitude >= 0x38800000U) /* a carry out of the fraction moves into the exponent, as it should */
        return (uint16_t)(sign | round_shift(magnitude - 0x38000000U, 13));
    if (magnitude < 0x33000000U) /* below half of the smallest subnormal */
        return (uint16_t)sign;
    return (uint16_t)(sign | round_shift((magnitude & 0x7FFFFFU) | 0x800000U, 126U - (magnitude >> 23)));
}

float clf_bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t clf_f32_to_bf16(float value)
{
    const uint32_t bits = bits_of(value);

    if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
        return (uint16_t)((bits >> 16) | 0x40U);
    return (uint16_t)round_shift(bits, 16);
}

#define CLF_READ(type, data, index)                                                                                    \
    type value;                                                                                                        \
    memcpy(&value, (const char *)(data) + (index) * sizeof value, sizeof value)

double clf_host_value(const void *data, clf_dtype dtype, size_t index)
{
    switch (dtype) {
    case CLF_F32: {
        CLF_READ(float, data, index);
        return (double)value;
    }
    case CLF_F64: {
        CLF_READ(double, data, index);
        return value;
    }
    case CLF_F16: {
        CLF_READ(uint16_t, data, index);
        return (double)clf_f16_to_f32(value);
    }
    case CLF_BF16: {
        CLF_READ(uint16_t, data, index);
        return (double)clf_bf16_to_f32(value);
    }
    case CLF_I8: {
        CLF_READ(int8_t, data, index);
        return (double)value;
    }
    case CLF_U8: {
        CLF_READ(uint8_t, data, index);
        return (double)value;
    }
    case CLF_BOOL: {
        CLF_READ(uint8_t, data, index);
        return value != 0 ? 1.0 : 0.0;
    }
    case CLF_I16: {
        CLF_READ(int16_t, data, index);
        return (double)value;
    }
    case CLF_U16: {
        CLF_READ(uint16_t, data, index);
        return (double)value;
    }
    case CLF_I32: {
        CLF_READ(int32_t, data, index);
        return (double)value;
    }
    case CLF_U32: {
        CLF_READ(uint32_t, data, index);
        return (double)value;
    }
    case CLF_I64: {
        CLF_READ(int64_t, data, index);
        return (double)value;
    }
    case CLF_U64: {
        CLF_READ(uint64_t, data, index);
        return (double)value;
    }
    case CLF_DTYPE_NONE:
        break;
    }
    return 0.0;
}

void clf_host_to_f32(const void *data, clf_dtype dtype, size_t count, float *out)
{
    if (dtype == CLF_F32) {
        memcpy(out, data, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = (float)clf_host_value(data, dtype, i);
}
