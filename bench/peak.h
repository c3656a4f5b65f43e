/* The device's own peaks, measured beside the cases: FMA rate, copy rate, read rate. */
#ifndef CLF_BENCH_PEAK_H
#define CLF_BENCH_PEAK_H

#include <clfusion/stream.h>

typedef enum clf_peak_kind { CLF_PEAK_FMA = 0, CLF_PEAK_COPY = 1, CLF_PEAK_READ = 2 } clf_peak_kind;
enum { CLF_PEAK_KINDS = 3 };

typedef struct clf_peak {
    clf_stream *stream;
    bool tile; /* the shape for GPUs: what the device can do does not depend on the kernels that are judged */
    uint64_t groups;
    uint64_t items; /* of a group */
    uint64_t width; /* floats of a vector */
    uint64_t chains;
    uint32_t rounds; /* of the FMA kernel, for a few milliseconds */
    uint64_t most;   /* floats of `in` and of `out`: 64 MiB */
    uint64_t count;  /* of these, what the memory kernels touch in a launch */
    clf_tensor in, out;
    double best[CLF_PEAK_KINDS]; /* flop or bytes a second, the best so far; memory at its full size */
} clf_peak;

/* Measures each kind a few times.  clf_peak_close also after an error. */
clf_status clf_peak_open(clf_stream *s, clf_peak *p, clf_error *err);
void clf_peak_close(clf_peak *p);

/* One more reading: *rate in flop or bytes a second.  `bytes` is what a launch of the memory kernels moves, so that a
 * case that fits into a cache is judged by the rate of that cache; 0: all. */
clf_status clf_peak_measure(clf_peak *p, clf_peak_kind kind, double bytes, double *rate, clf_error *err);

const char *clf_peak_name(clf_peak_kind kind); /* "fma", "copy", "read" */

#endif
