/* Weights of one axis of a resampling, on the host. */
#ifndef CLF_OPS_RESIZE_TABLE_H
#define CLF_OPS_RESIZE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <clfusion/resize.h>

/* Weights of an axis, at most. */
#define CLF_RESIZE_WEIGHTS (INT64_C(1) << 24)

typedef struct clf_resize_axis {
    clf_resample filter;
    bool antialias;
    bool fixed;    /* 22-bit integers for u8; else f32 */
    int64_t in;    /* old size */
    int64_t out;   /* new size, of the whole picture */
    int64_t first; /* the entries wanted: first .. first + count - 1 */
    int64_t count; /* those outside 0 .. out - 1 have no weights */
} clf_resize_axis;

/* Row i, of `step` integers: first old index, number of weights, then the weights (bits of f32, or fixed point). */
typedef struct clf_resize_table {
    int32_t *row; /* [count, step] */
    int64_t step;
    int64_t low, high; /* old indices low .. high - 1 are used */
} clf_resize_table;

/* Weights of one entry, at most; in floating point, because it may be beyond any integer. */
double clf_resize_width(const clf_resize_axis *a);

/* False without memory.  clf_resize_width times count is at most CLF_RESIZE_WEIGHTS. */
bool clf_resize_table_make(const clf_resize_axis *a, clf_resize_table *table);
void clf_resize_table_free(clf_resize_table *table); /* takes one that was never made */

#endif
