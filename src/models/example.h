/* What a call costs, for `inspect`: an example call without data, in sizes as real ones have them. */
#ifndef CLF_MODELS_EXAMPLE_H
#define CLF_MODELS_EXAMPLE_H

#include <clfusion/connector.h>

typedef struct clf_example {
    uint64_t flop;
    char sizes[160]; /* of the inputs: "B = 1, N = 576, T = 32" */
} clf_example;

/* FLOP of a call for output `index` with the inputs that it needs.  An error means that the family's example does not
 * pass its own checks. */
clf_status clf_connector_example(const clf_connector *c, size_t index, clf_example *example, clf_error *err);

#endif
