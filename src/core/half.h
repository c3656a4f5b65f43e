/* Conversions between storage types on the host, rounding to nearest even. */
#ifndef CLF_CORE_HALF_H
#define CLF_CORE_HALF_H

#include <stddef.h>
#include <stdint.h>

#include <clfusion/tensor.h>

float clf_f16_to_f32(uint16_t bits);
uint16_t clf_f32_to_f16(float value);
float clf_bf16_to_f32(uint16_t bits);
uint16_t clf_f32_to_bf16(float value);

/* Element `index` of dense, possibly unaligned memory, as double; integers and bool too.  0 for CLF_DTYPE_NONE. */
double clf_host_value(const void *data, clf_dtype dtype, size_t index);

/* `count` elements to f32, into aligned memory. */
void clf_host_to_f32(const void *data, clf_dtype dtype, size_t count, float *out);

#endif
