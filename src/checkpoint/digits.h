/* Numbers out of text: digits and nothing else, never through double, whatever the locale. */
#ifndef CLF_CHECKPOINT_DIGITS_H
#define CLF_CHECKPOINT_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Digits alone, without a leading zero, at most 2^64 - 1.  False, and *value as it was, for anything else. */
bool clf_digits_u64(const char *text, size_t length, uint64_t *value);

/* The same with an optional '-', from -2^63 to 2^63 - 1. */
bool clf_digits_i64(const char *text, size_t length, int64_t *value);

/* A terminated number that fits the grammar of JSON, rounded to nearest; false when it is too large for a double or
 * longer than 500 characters. */
bool clf_digits_double(const char *text, double *value);

#endif
