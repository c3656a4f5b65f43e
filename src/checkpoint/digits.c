/* Checked conversion of digits. */
#include "checkpoint/digits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "core/text.h"

bool clf_digits_u64(const char *text, size_t length, uint64_t *value)
{
    uint64_t sum = 0;

    if (length == 0 || (length > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        if (!clf_size_mul(sum, 10, &sum) || !clf_size_add(sum, (uint64_t)(text[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool clf_digits_i64(const char *text, size_t length, int64_t *value)
{
    const bool negative = length > 0 && text[0] == '-';
    uint64_t size;

    if (!clf_digits_u64(text + negative, length - negative, &size) || size > (uint64_t)INT64_MAX + negative)
        return false;
    /* -size without passing INT64_MAX on the way */
    *value = !negative ? (int64_t)size : size == 0 ? 0 : -(int64_t)(size - 1) - 1;
    return true;
}

/* strtod reads the decimal point of the locale, which printf shows; JSON always has '.'. */
bool clf_digits_double(const char *text, double *value)
{
    char sample[16], local[520];
    const char *point = strchr(text, '.');
    double result;

    if (strlen(text) > 500)
        return false;
    (void)clf_format(sample, sizeof sample, "%.1f", 0.5);
    if (point == NULL || strcmp(sample, "0.5") == 0 || strlen(sample) < 3) {
        result = strtod(text, NULL);
    } else {
        sample[strlen(sample) - 1] = '\0'; /* "0,5" becomes "0,", and the point follows the first digit */
        (void)clf_format(local, sizeof local, "%.*s%s%s", (int)(point - text), text, sample + 1, point + 1);
        result = strtod(local, NULL);
    }
    if (!isfinite(result))
        return false;
    *value = result;
    return true;
}
