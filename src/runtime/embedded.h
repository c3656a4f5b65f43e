/* The kernel sources, embedded at build time. */
#ifndef CLF_RUNTIME_EMBEDDED_H
#define CLF_RUNTIME_EMBEDDED_H

#include <stddef.h>

typedef struct clf_embedded {
    const char *name; /* "rms_norm.cl" */
    const unsigned char *text;
    size_t bytes;
} clf_embedded;

extern const clf_embedded clf_embedded_sources[];
extern const size_t clf_embedded_source_count;

#endif
