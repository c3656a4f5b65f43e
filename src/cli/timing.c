/* timing: a monotonic clock and order statistics. */
#include "cli/timing.h"

#include <stdlib.h>
#include <time.h>

double clf_seconds(void)
{
    struct timespec t = { 0 };

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double clf_processor_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void clf_times_sort(double *times, size_t count)
{
    qsort(times, count, sizeof *times, compare);
}

double clf_times_median(const double *times, size_t count)
{
    return (times[(count - 1) / 2] + times[count / 2]) / 2;
}

double clf_times_spread(const double *times, size_t count)
{
    return (times[(count - 1) * 9 / 10] - times[(count - 1) / 10]) / clf_times_median(times, count);
}
