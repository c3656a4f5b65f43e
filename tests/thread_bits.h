/* Bits that must not depend on the number of the driver's threads: a program computes them and runs itself once more
 * with one thread. */
#ifndef CLF_TESTS_THREAD_BITS_H
#define CLF_TESTS_THREAD_BITS_H

#include "harness.h"

typedef struct clf_thread_case {
    const char *name;
    /* Fills `result` from inputs that depend on nothing but the seed; asserts that all goes well. */
    void (*compute)(clf_test *t, float *result);
    size_t count; /* floats of the result */
} clf_thread_case;

/* The main function of such a program.  Its one test is skipped where the driver has one thread anyway. */
int clf_thread_bits_main(int argc, char **argv, const clf_thread_case *cases, size_t count);

#endif
