/* What a call costs, for `inspect`: an example call without data, in sizes as real ones have them. */
#ifndef CLF_MODELS_EXAMPLE_H
#define CLF_MODELS_EXAMPLE_H

#include <clfusion/connector.h>

typedef struct clf_example {
    uint64_t flop;
    clf_tensor output; /* type and shape */
    char sizes[160];   /* of the inputs: "B = 1, N = 576, T = 32" */
} clf_example;

/* What is known of the call; the rest is made up. */
typedef struct clf_example_wish {
    const clf_value *inputs; /* names and shapes; values of sizes are made up */
    size_t input_count;
    int64_t visual_tokens; /* N; 0: made up */
    int64_t text_tokens;   /* T; 0: made up */
} clf_example_wish;

/* FLOP of a call for output `index` with the inputs that it needs.  An error means that the family's example does not
 * pass its own checks. */
clf_status clf_connector_example(const clf_connector *c, size_t index, clf_example *example, clf_error *err);

/* The same with what is wished.  An error when the wish contradicts itself or the connector. */
clf_status clf_connector_example_of(const clf_connector *c, size_t index, const clf_example_wish *wish,
                                    clf_example *example, clf_error *err);

#endif
