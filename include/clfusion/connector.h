/* Connectors: the fusion layers of a checkpoint, opened by path, run by the names of their inputs and outputs. */
#ifndef CLFUSION_CONNECTOR_H
#define CLFUSION_CONNECTOR_H

#include <string.h>

#include <clfusion/context.h>
#include <clfusion/cross_attention.h>
#include <clfusion/source.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Immutable weights on the device and what the family's configuration says.  Shared by threads; one stream each. */
typedef struct clf_connector clf_connector;

#define CLF_ALL_LAYERS (-1)

typedef struct clf_connector_options {
    uint32_t struct_size;
    const char *family;      /* id or the hub's model_type; '-' and '_' alike; NULL: from config.json */
    clf_dtype storage;       /* of weights on the device: CLF_F32, CLF_F16, CLF_BF16; CLF_DTYPE_NONE: as stored */
    int32_t layer;           /* which of several equal layers, from 0 in the order of the model; default 0.
                              * CLF_ALL_LAYERS: all, for clf_connector_cross_attention */
    const char *const *sets; /* "key.path=VALUE" overrides of configuration keys, as `clfusion run --set` */
    size_t set_count;
    /* NULL, or set_count flags, false before the call: sets_read[i] becomes true when the key of sets[i] is read, in this
     * call alone, also when it fails.  One that nothing reads changes nothing: it may be misspelt, or stand again later in
     * the list.  Calls that run at once want flags of their own. */
    bool *sets_read;
} clf_connector_options;

/** All defaults. */
static inline clf_connector_options clf_connector_options_default(void)
{
    clf_connector_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/**
 * Opens the connector of a checkpoint and packs its weights.  Only the connector's own tensors are read.
 *
 * path  a folder with config.json and model.safetensors (or model.safetensors.index.json and its shards), or one
 *       .safetensors file (options->family, or clfusion metadata in it).
 * c     receives the connector; NULL after an error.  ctx must outlive it.
 *
 * Errors: CLF_IO, CLF_BAD_FILE, CLF_UNSUPPORTED (family, type, size), CLF_INVALID_ARGUMENT, CLF_OUT_OF_MEMORY,
 * CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_connector_open(clf_context *ctx, const char *path,
                                                   const clf_connector_options *options, clf_connector **c,
                                                   clf_error *err);

/** The same from tensors and configuration text (JSON, as config.json; NULL: none) in memory. */
CLF_API CLF_MUST_USE clf_status clf_connector_create(clf_context *ctx, const clf_tensor_source *source,
                                                     const char *config_json, size_t config_bytes,
                                                     const clf_connector_options *options, clf_connector **c,
                                                     clf_error *err);
CLF_API void clf_connector_destroy(clf_connector *c); /* takes NULL */

/**
 * An input or output by name.  Device memory when tensor.mem is set, else dense host memory at `host`.  Where shapes depend on
 * an input's values (importance_prune) it may have both: `host` is then what the device memory holds.
 */
typedef struct clf_value {
    const char *name;  /* "vision", "text", "text_ids", "tokens", "fused", ... */
    clf_tensor tensor; /* type and shape; memory when on the device */
    void *host;        /* only read for inputs */
} clf_value;

/**
 * Checks the inputs and fills in the type (f32 where it is CLF_DTYPE_NONE) and shape of each output.
 * An output asked for decides which inputs are needed.  Values for ids and sizes are host memory; ids may be without
 * memory here, but not sizes (grid, image_sizes): the shapes of the outputs depend on their values.
 * Runs nothing, with one exception: how many rows dense_tokens of relevance has depends on budgets, which are computed on
 * a queue of its own and waited for.  What the device memory of its inputs holds must have arrived by then, in
 * clf_connector_enqueue too; without memory the most rows there can be are planned.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY; with that exception those of clf_connector_run.
 * Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_connector_plan(const clf_connector *c, const clf_value *inputs, size_t input_count,
                                                   clf_value *outputs, size_t output_count, clf_error *err);

/**
 * Enqueues the computation.  Outputs as clf_connector_plan filled them, with memory of their shape: host memory is
 * written by the time clf_stream_finish has returned CLF_OK, and host inputs stay valid until then; ids are read
 * before the call returns.  Errors are kept by the stream.
 */
CLF_API void clf_connector_enqueue(clf_stream *s, const clf_connector *c, const clf_value *inputs, size_t input_count,
                                   const clf_value *outputs, size_t output_count);

/**
 * Plan, enqueue and finish in one call.  An output of rank 0 takes whatever comes out, and its memory has room for it;
 * an output with a shape must have the planned one (CLF_INVALID_ARGUMENT).  Errors: those of clf_connector_plan and of
 * the stream, which keeps them; outputs are then undefined.  One thread at a time uses a stream.
 */
CLF_API CLF_MUST_USE clf_status clf_connector_run(clf_stream *s, const clf_connector *c, const clf_value *inputs,
                                                  size_t input_count, const clf_value *outputs, size_t output_count,
                                                  clf_error *err);

/**
 * The cross-attention layers of a connector whose family has them (mllama, idefics, openflamingo and the modules), for
 * programs that keep a visual memory and decode token by token; NULL: it has none.  Layer 0 is the one that
 * options->layer has picked, or with CLF_ALL_LAYERS the first of all; an output of one layer is then layer 0's.
 * It lives as long as c.  Threads: any.
 */
CLF_API const clf_cross_attention *clf_connector_cross_attention(const clf_connector *c);

/* What a connector is: for `inspect` and for programs that choose at run time.  Everything lives as long as c. */

typedef struct clf_port {
    const char *name;
    const char *shape; /* formula, as "[B, N, 1024]" */
    const char *types; /* as "f32 f16 bf16" */

    /* Of inputs.  Names of outputs, as "tokens fused"; "" where there is none. */
    const char *needed_by; /* of inputs of which one is enough, the first */
    const char *taken_by;  /* they use it when it is given and do without it */
    bool optional;         /* the first output does without it */
} clf_port;

typedef struct clf_connector_info {
    const char *family; /* "llava" */
    const char *module; /* the fusion module behind it: "projector" */
    const clf_port *inputs;
    size_t input_count;
    const clf_port *outputs;
    size_t output_count;
    uint64_t parameters;
    uint64_t f32_parameters; /* of them, those that stay f32 whatever options->storage says: biases, norms */
    uint64_t weight_bytes;   /* on the device */
} clf_connector_info;

/** The description of a connector.  Threads: any. */
CLF_API clf_connector_info clf_connector_describe(const clf_connector *c);

/** Floating-point operations of one call: two for each multiply-add of its matrix products; 0 for a call that
 * clf_connector_plan refuses.  Threads: any. */
CLF_API uint64_t clf_connector_flop(const clf_connector *c, const clf_value *inputs, size_t input_count,
                                    const clf_value *outputs, size_t output_count);

/** The families and modules that clf_connector_open knows: number, and id of one (NULL beyond it).  Static storage. */
CLF_API size_t clf_family_count(void);
CLF_API const char *clf_family_name(size_t index);

CLF_END_DECLS

#endif
