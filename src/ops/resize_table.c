/* Tables as Pillow computes them: in double, normalised, then rounded. */
#include "ops/resize_table.h"

#include <math.h>
#include <string.h>

#include "clf_shared.h"
#include "core/alloc.h"
#include "core/size.h"

#define PI 3.14159265358979323846

typedef struct filter {
    double support;
    double (*weight)(double t);
} filter;

static double bilinear(double t)
{
    return fabs(t) < 1.0 ? 1.0 - fabs(t) : 0.0;
}

static double bicubic(double t)
{
    const double a = -0.5;

    t = fabs(t);
    if (t < 1.0)
        return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    return t < 2.0 ? (((t - 5.0) * t + 8.0) * t - 4.0) * a : 0.0;
}

static double sinc(double t)
{
    return t == 0.0 ? 1.0 : sin(t * PI) / (t * PI);
}

static double lanczos(double t)
{
    return -3.0 <= t && t < 3.0 ? sinc(t) * sinc(t / 3.0) : 0.0;
}

static filter filter_of(clf_resample which)
{
    switch (which) {
    case CLF_RESAMPLE_BICUBIC:
        return (filter){ 2.0, bicubic };
    case CLF_RESAMPLE_LANCZOS:
        return (filter){ 3.0, lanczos };
    default:
        return (filter){ 1.0, bilinear };
    }
}

/* How much wider than its support the filter is. */
static double widening(const clf_resize_axis *a)
{
    const double scale = (double)a->in / (double)a->out;

    return a->antialias && scale > 1.0 ? scale : 1.0;
}

double clf_resize_width(const clf_resize_axis *a)
{
    return CLF_MIN(2.0 * ceil(filter_of(a->filter).support * widening(a)) + 1.0, (double)a->in);
}

/* Weights of the entry `i` in weight[0 ..]; *begin .. *end - 1 are their old indices. */
static void weigh(const clf_resize_axis *a, int64_t i, double *weight, int64_t *begin, int64_t *end)
{
    const filter f = filter_of(a->filter);
    const double wide = widening(a), support = f.support * wide, step = 1.0 / wide;
    const double middle = ((double)i + 0.5) * ((double)a->in / (double)a->out);
    double sum = 0.0;

    *begin = CLF_MAX((int64_t)(middle - support + 0.5), 0);
    *end = CLF_MIN((int64_t)(middle + support + 0.5), a->in);
    for (int64_t j = *begin; j < *end; j++) {
        weight[j - *begin] = f.weight(((double)j - middle + 0.5) * step);
        sum += weight[j - *begin];
    }
    for (int64_t j = 0; sum != 0.0 && j < *end - *begin; j++)
        weight[j] /= sum;
}

static int32_t stored(double weight, bool fixed)
{
    const float f = (float)weight + 0.0F; /* -0 becomes 0 */
    int32_t bits;

    if (fixed)
        return (int32_t)(weight * (double)(1 << CLF_RESIZE_BITS) + (weight < 0.0 ? -0.5 : 0.5));
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Zeros at both ends go, so that a NaN beside what an entry stands for does not reach it. */
static void put_row(const clf_resize_axis *a, int64_t i, double *weight, int32_t *row)
{
    int64_t begin, end, first = 0;

    weigh(a, i, weight, &begin, &end);
    while (first < end - begin && stored(weight[first], a->fixed) == 0)
        first++;
    while (end - begin > first && stored(weight[end - begin - 1], a->fixed) == 0)
        end--;
    row[0] = (int32_t)(begin + first);
    row[1] = (int32_t)(end - begin - first);
    for (int64_t j = first; j < end - begin; j++)
        row[2 + j - first] = stored(weight[j], a->fixed);
}

bool clf_resize_table_make(const clf_resize_axis *a, clf_resize_table *table)
{
    const size_t width = (size_t)clf_resize_width(a);
    double *weight = clf_alloc(width + 2, sizeof *weight); /* the bounds are rounded apart from the width */

    *table = (clf_resize_table){ .step = (int64_t)width + 4 };
    table->row = clf_alloc((size_t)(a->count * table->step), sizeof *table->row);
    if (weight == NULL || table->row == NULL) {
        clf_free(weight);
        return false;
    }
    for (int64_t i = 0; i < a->count; i++) {
        int32_t *row = table->row + i * table->step;

        if (a->first + i < 0 || a->first + i >= a->out)
            continue;
        put_row(a, a->first + i, weight, row);
        if (row[1] == 0)
            continue;
        table->low = table->high == 0 ? row[0] : CLF_MIN(table->low, row[0]);
        table->high = CLF_MAX(table->high, row[0] + row[1]);
    }
    clf_free(weight);
    return true;
}

void clf_resize_table_free(clf_resize_table *table)
{
    clf_free(table->row);
    table->row = NULL;
}
