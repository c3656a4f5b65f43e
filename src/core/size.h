/* Checked arithmetic on sizes: false, and *result untouched, when the value does not fit. */
#ifndef CLF_CORE_SIZE_H
#define CLF_CORE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

static inline bool clf_size_mul(uint64_t a, uint64_t b, uint64_t *result)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *result = a * b;
    return true;
}

static inline bool clf_size_add(uint64_t a, uint64_t b, uint64_t *result)
{
    if (a > UINT64_MAX - b)
        return false;
    *result = a + b;
    return true;
}

/* The smallest multiple of `step` that is not below a; step above 0. */
static inline bool clf_size_round_up(uint64_t a, uint64_t step, uint64_t *result)
{
    const uint64_t rest = a % step;

    return rest == 0 ? clf_size_add(a, 0, result) : clf_size_add(a, step - rest, result);
}

/* The same for values known to be small: sizes of tiles and grids. */
static inline uint64_t clf_div_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

#define CLF_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLF_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CLF_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
