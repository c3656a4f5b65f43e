/* table_resize: result[i, j] = sum over old rows and columns of their weights times table[y, x]. */
#include "fusion/table_resize.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "core/desc.h"
#include "core/error.h"
#include "core/size.h"

#define CLF_OP "table_resize"

/* Channels whose sums are kept at a time. */
#define CHANNELS 128

/* The filter's weight at distance d >= 0: a hat, or Keys' cubic convolution with constant a. */
static double weight_at(clf_table_filter filter, double d, double a)
{
    if (filter == CLF_TABLE_BILINEAR)
        return d < 1 ? 1 - d : 0;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* The old places first .. first + count - 1 that a new one is made of; beyond the borders the border stands. */
typedef struct taps {
    int64_t first, count;
    double middle, scale; /* where the new place lies among the old; how far the filter is widened */
    double sum;           /* of the weights, when they are to be divided by it */
} taps;

static double tap_weight(const clf_axis *axis, const taps *t, int64_t k)
{
    const double a = axis->antialias ? -0.5 : -0.75;

    return weight_at(axis->filter, fabs(t->middle - (double)(t->first + k)) / t->scale, a) / t->sum;
}

/* Antialiased: every old place within reach of the widened filter, none beyond the borders, weights divided by their
 * sum.  Else the 2 or 4 places around, whose weights add up to 1. */
static taps taps_of(const clf_axis *axis, int64_t i)
{
    const double side = (double)axis->side, to = (double)axis->to, reach = axis->filter == CLF_TABLE_BICUBIC ? 2 : 1;
    taps t = { .scale = 1, .sum = 1 };

    if (axis->align_corners)
        t.middle = axis->to > 1 ? (double)i * (side - 1) / (to - 1) : 0;
    else
        t.middle = ((double)i + 0.5) * side / to - 0.5;
    if (!axis->antialias) {
        t.first = (int64_t)floor(t.middle) + 1 - (int64_t)reach;
        t.count = 2 * (int64_t)reach;
        return t;
    }
    t.scale = CLF_MAX(side / to, 1.0);
    t.first = CLF_MAX((int64_t)ceil(t.middle - reach * t.scale), 0);
    t.count = CLF_MIN((int64_t)floor(t.middle + reach * t.scale), axis->side - 1) - t.first + 1;
    double sum = 0;

    for (int64_t k = 0; k < t.count; k++)
        sum += tap_weight(axis, &t, k);
    t.sum = sum;
    return t;
}

static int64_t tap_place(const clf_axis *axis, const taps *t, int64_t k)
{
    return CLF_MIN(CLF_MAX(t->first + k, 0), axis->side - 1);
}

/* `count` channels of one new place from those of the old ones; pitch C. */
static void blend(const float *table, int64_t C, const clf_axis *down, const taps *rows, const clf_axis *across,
                  const taps *columns, int64_t count, float *y)
{
    double sum[CHANNELS] = { 0 };

    for (int64_t i = 0; i < rows->count; i++) {
        const float *row = table + tap_place(down, rows, i) * across->side * C;
        const double share = tap_weight(down, rows, i);

        for (int64_t j = 0; j < columns->count; j++) {
            const float *x = row + tap_place(across, columns, j) * C;
            const double weight = share * tap_weight(across, columns, j);

            if (weight != 0)
                for (int64_t c = 0; c < count; c++)
                    sum[c] += weight * (double)x[c];
        }
    }
    for (int64_t c = 0; c < count; c++)
        y[c] = (float)sum[c];
}

void clf_blend_grid(const float *table, int64_t C, const clf_axis *down, const clf_axis *across, int64_t merge,
                    float *result)
{
    for (int64_t y = 0; y < down->to; y++) {
        const taps rows = taps_of(down, y);

        for (int64_t x = 0; x < across->to; x++) {
            const taps columns = taps_of(across, x);
            const int64_t block = y / merge * (across->to / merge) + x / merge;
            float *to = result + (block * merge * merge + y % merge * merge + x % merge) * C;

            for (int64_t c = 0; c < C; c += CHANNELS)
                blend(table + c, C, down, &rows, across, &columns, CLF_MIN(C - c, CHANNELS), to + c);
        }
    }
}

static clf_status check_size(const char *name, int64_t rows, int64_t columns, int64_t C, clf_error *err)
{
    uint64_t count = 0;

    CLF_REQUIRE(err,
                rows >= 1 && columns >= 1 && C >= 1 && clf_size_mul((uint64_t)rows, (uint64_t)columns, &count) &&
                    clf_size_mul(count, (uint64_t)C, &count) && count <= PTRDIFF_MAX / sizeof(float),
                CLF_INVALID_ARGUMENT,
                "%s is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; want sizes of at least 1 that fit into memory", name,
                rows, columns, C);
    return CLF_OK;
}

clf_status clf_table_resize(const float *table, int64_t rows, int64_t columns, int64_t C,
                            const clf_table_resize_options *options, int64_t to_rows, int64_t to_columns, float *result,
                            clf_error *err)
{
    clf_table_resize_options o = clf_table_resize_options_default();

    CLF_DESC_READ(err, &o, options);
    CLF_TRY(check_size("table", rows, columns, C, err));
    CLF_TRY(check_size("result", to_rows, to_columns, C, err));
    CLF_REQUIRE(err, o.filter == CLF_TABLE_BILINEAR || o.filter == CLF_TABLE_BICUBIC, CLF_INVALID_ARGUMENT,
                "filter is %d; want CLF_TABLE_BILINEAR or CLF_TABLE_BICUBIC", (int)o.filter);
    CLF_REQUIRE(err, !(o.align_corners && o.antialias), CLF_UNSUPPORTED,
                "antialias is set with align_corners; want one of them");
    CLF_REQUIRE(err, o.merge >= 1 && to_rows % o.merge == 0 && to_columns % o.merge == 0, CLF_INVALID_ARGUMENT,
                "merge is %" PRId64 "; want a divisor of both sides of the result, %" PRId64 " and %" PRId64, o.merge,
                to_rows, to_columns);
    const clf_axis down = { rows, to_rows, o.filter, o.align_corners, o.antialias };
    const clf_axis across = { columns, to_columns, o.filter, o.align_corners, o.antialias };

    clf_blend_grid(table, C, &down, &across, o.merge, result);
    return CLF_OK;
}
