/* Diagnostics: does a model look at its pictures?  Sums over host arrays and calls of connectors, no new arithmetic. */
#ifndef CLFUSION_DIAGNOSE_H
#define CLFUSION_DIAGNOSE_H

#include <clfusion/connector.h>

CLF_BEGIN_DECLS

/** An attention weight above this says that a row looks at one key alone. */
#define CLF_COLLAPSE_THRESHOLD 0.9

/** A relative difference below this says that a result hardly depends on the picture. */
#define CLF_BLIND_THRESHOLD 0.01

/** One head, over all rows of all batches. */
typedef struct clf_head_report {
    double entropy;          /* -sum p ln p in nats, the mean of the rows that see a key; NaN when none does */
    double relative_entropy; /* entropy / ln K: 1 for equal weights, 0 for one key; 0 when K is 1 */
    double largest;          /* weight */
    bool collapsed;          /* largest > threshold */
} clf_head_report;

/** All heads. */
typedef struct clf_attention_report {
    double entropy; /* means over the heads */
    double relative_entropy;
    double largest;
    int64_t heads; /* H */
    int64_t collapsed_heads;
    int64_t tokens;           /* B K: the keys of all batches */
    int64_t collapsed_tokens; /* those whose largest weight, of any head and row, is above the threshold */
    int64_t unseeing_rows;    /* of B H Q: rows whose weights are all 0; in no entropy */
} clf_attention_report;

/**
 * Entropy and collapse of attention weights, as the output `attention` of a connector or the option `weights` of
 * clf_attention gives them.
 *
 * weights    [B, H, Q, K] or, without a batch, [H, Q, K], in host memory, dense; each row a softmax, or zeros.  More
 *            dimensions before H, as pictures of a text are, count as batches.
 * shape      its dimensions, above 0
 * threshold  0 to 1; CLF_COLLAPSE_THRESHOLD where nothing speaks for another
 * heads      [H], or NULL
 *
 * Errors: CLF_INVALID_ARGUMENT, CLF_OUT_OF_MEMORY (K floats).  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_diagnose_attention(const float *weights, clf_dims shape, double threshold,
                                                       clf_head_report *heads, clf_attention_report *report,
                                                       clf_error *err);

/**
 * Map of the same entropies, row by row: entropy[b, h, q] = -sum over k of p ln p in nats, NaN where the row sees no key.
 * A head's entropy above is the mean of its rows that see one.
 *
 * weights  as above
 * shape    of the weights
 * entropy  [B, H, Q], or [H, Q] without a batch; dense host memory
 *
 * Errors: CLF_INVALID_ARGUMENT.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_diagnose_entropy(const float *weights, clf_dims shape, float *entropy,
                                                     clf_error *err);

/** Which branch of a layer a gate scales. */
typedef enum clf_gate_branch { CLF_GATE_ATTENTION = 0, CLF_GATE_FEED_FORWARD = 1 } clf_gate_branch;

/** One gate.  alpha is what the checkpoint has, tanh(alpha) what its branch is multiplied by: 0 shuts the picture out. */
typedef struct clf_gate_report {
    char name[160]; /* of the tensor; a longer one is cut */
    int32_t layer;  /* from 0, in the order of the model */
    clf_gate_branch branch;
    int64_t elements; /* 1, or one for each channel */
    double alpha_min, alpha_mean, alpha_max;
    double tanh_min, tanh_mean, tanh_max;
} clf_gate_report;

/**
 * The gates of every gated layer of a checkpoint, found by the names that openflamingo, flamingo-mini, idefics, mllama
 * and clfusion's modules give them; layers in the order of the model.  No device, no configuration.
 *
 * gates     receives the first `capacity`; NULL with capacity 0
 * count     receives how many there are; 0 for a model without gates
 *
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED (the type of a gate), CLF_OUT_OF_MEMORY, those of source->find.
 * Threads: one at a time for a source.
 */
CLF_API CLF_MUST_USE clf_status clf_diagnose_gates(const clf_tensor_source *source, clf_gate_report *gates,
                                                   size_t capacity, size_t *count, clf_error *err);

/** The same for a checkpoint at `path`, as clf_connector_open takes it.  Also CLF_IO, CLF_BAD_FILE. */
CLF_API CLF_MUST_USE clf_status clf_diagnose_gates_open(const char *path, clf_gate_report *gates, size_t capacity,
                                                        size_t *count, clf_error *err);

/**
 * Blind baseline: *difference = |real - blank| / |real|, Euclidean norms of the output with the inputs as given, and
 * with zeros in place of image, textures, vision, media and deepstack.K.  0 when both are 0, infinite when only `real`
 * is; 1 where zeros give an output of another shape, as pruning does.
 *
 * c       for layers one by one: a connector opened with options.layer for each.  A stack gives what its last layer
 *         gives, whatever the layer; `clfusion diagnose` ends it behind each in turn
 * inputs  as for clf_connector_run
 * output  one with floating-point values that at least one of the given visual inputs goes into
 *
 * Runs the connector twice.  Errors: those of clf_connector_run, which the stream keeps.  One thread at a time uses a
 * stream.
 */
CLF_API CLF_MUST_USE clf_status clf_diagnose_blind(clf_stream *s, const clf_connector *c, const clf_value *inputs,
                                                   size_t input_count, const char *output, double *difference,
                                                   clf_error *err);

CLF_END_DECLS

#endif
