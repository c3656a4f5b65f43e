/* clfusion's own modules by name, from options alone: their tensors, a connector with fresh weights, their cost.
 *
 * With a context of the device "none" (clfusion/context.h) a connector made here is described, planned and counted
 * (clf_connector_describe, _plan, _flop) without OpenCL. */
#ifndef CLFUSION_MODULE_H
#define CLFUSION_MODULE_H

#include <clfusion/connector.h>

CLF_BEGIN_DECLS

/** The modules: number, and name of one (NULL beyond it).  Static storage. */
CLF_API size_t clf_module_count(void);
CLF_API const char *clf_module_name(size_t index);

typedef struct clf_module_option {
    const char *key;  /* as in config.json */
    int64_t value;    /* the default; 0: none, the tensors that need the option are then left out */
    const char *like; /* the key whose value is the default; NULL: `value` */
    const char *word; /* the text that changes the tensors; NULL: not an option of text */
    bool on_off;      /* true or false; value 1 or 0 */
    bool required;    /* must be given */
} clf_module_option;

/** The options that decide the tensors of a module: number (0 for a name that is none), and one of them. */
CLF_API size_t clf_module_option_count(const char *module);
CLF_API clf_module_option clf_module_option_at(const char *module, size_t index);

/** The keys of the others, which change what is computed and no tensor: "k order"; "" for none. */
CLF_API const char *clf_module_further_options(const char *module);

typedef struct clf_module_desc {
    uint32_t struct_size;
    const char *module;      /* as clf_module_name; NULL: the configuration's "module" */
    const char *config_json; /* as config.json; NULL: none */
    size_t config_bytes;
    const char *const *sets; /* "key=VALUE" overrides */
    size_t set_count;
    uint64_t seed;     /* 0: all weights are 0 and take no memory.  Else matrices are uniform with variance 1 / columns,
                    * norms 1, biases and gates 0; equal seeds give equal weights */
    clf_dtype storage; /* as in clf_connector_options */
    int32_t layer;     /* the same */
    bool *sets_read;   /* the same */
} clf_module_desc;

/** All defaults. */
static inline clf_module_desc clf_module_desc_default(void)
{
    clf_module_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/** The tensors of a module in host memory, f32, made when they are asked for. */
typedef struct clf_module_source clf_module_source;

/**
 * The tensors that the module has with these options.
 *
 * source  receives it; NULL after an error.  The caller destroys it.
 *
 * Errors: CLF_INVALID_ARGUMENT, CLF_BAD_FILE (options), CLF_UNSUPPORTED (no module of that name, too large),
 * CLF_OUT_OF_MEMORY.  Threads: any; one at a time for a source.
 */
CLF_API CLF_MUST_USE clf_status clf_module_source_create(const clf_module_desc *desc, clf_module_source **source,
                                                         clf_error *err);

/** Its tensors, to be listed, written to a file or given to clf_connector_create; lives as long as the source. */
CLF_API const clf_tensor_source *clf_module_source_tensors(const clf_module_source *source);
CLF_API void clf_module_source_destroy(clf_module_source *source); /* takes NULL */

/**
 * The module with fresh weights.
 *
 * c  receives the connector; NULL after an error.  ctx must outlive it.
 *
 * Errors: those of clf_module_source_create and clf_connector_create.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_module_create(clf_context *ctx, const clf_module_desc *desc, clf_connector **c,
                                                  clf_error *err);

/** What one attention costs beside its projections. */
typedef struct clf_attention_cost {
    uint64_t flop;    /* 4 B H Q K D: scores and weighted sums, two for each multiply-add */
    uint64_t weights; /* B H Q K softmax weights */
    uint64_t bytes;   /* of keys and values in f32: 8 B H K D */
} clf_attention_cost;

/** B batches of H heads, Q rows that see K keys of D channels.  Numbers that do not fit are UINT64_MAX; none is
 * negative. */
CLF_API clf_attention_cost clf_module_attention_cost(int64_t B, int64_t H, int64_t Q, int64_t K, int64_t D);

CLF_END_DECLS

#endif
