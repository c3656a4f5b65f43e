/* Times and what is said of many of them. */
#ifndef CLF_CLI_TIMING_H
#define CLF_CLI_TIMING_H

#include <stddef.h>

double clf_seconds(void);           /* of a clock that never goes back */
double clf_processor_seconds(void); /* spent by all threads of the process */

void clf_times_sort(double *times, size_t count); /* ascending, in place */

/* Of ascending times, at least one. */
double clf_times_median(const double *times, size_t count);
double clf_times_spread(const double *times, size_t count); /* (90th - 10th percentile) / median */

#endif
