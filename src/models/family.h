/* What connector.c knows of a family: its ports, how it is built, how it runs.
 *
 * A new family is one file in this folder (a table of tensor names and a builder) and one line in registry.c. */
#ifndef CLF_MODELS_FAMILY_H
#define CLF_MODELS_FAMILY_H

#include <clfusion/connector.h>

#include "models/builder.h"
#include "models/formula.h"

#define CLF_MAX_PORTS 16

typedef enum clf_port_kind {
    CLF_PORT_VALUES, /* f32, f16, bf16; from the host f64 too: a tensor on the device */
    CLF_PORT_IDS     /* any integer or bool, host memory: int64_t on the host */
} clf_port_kind;

typedef struct clf_input_port {
    const char *name;
    const char *shape; /* models/formula.h */
    clf_port_kind kind;
} clf_input_port;

typedef struct clf_output_port {
    const char *name;
    const char *shape;
    uint32_t needs; /* bit i: input i */
} clf_output_port;

/* One call, checked.  Shapes have their batch, left out by the caller or not. */
typedef struct clf_call {
    clf_letters letters;
    clf_tensor in[CLF_MAX_PORTS];          /* by input port; absent unless an output that was asked for needs it */
    const int64_t *ids[CLF_MAX_PORTS];     /* the same for CLF_PORT_IDS; NULL while planning */
    clf_tensor out[CLF_MAX_PORTS];         /* by output port; absent unless asked for; f32 or the type of in[0] */
    const clf_value *given[CLF_MAX_PORTS]; /* what the caller gave for in[] */
    size_t wanted[CLF_MAX_PORTS];          /* which of the caller's outputs out[] is */
} clf_call;

/* What is done with a module: shared by the families that have the same inputs and outputs. */
typedef struct clf_model_class {
    const char *module; /* the fusion module behind it, as in clf_connector_info */
    clf_input_port inputs[CLF_MAX_PORTS];
    size_t input_count;
    clf_output_port outputs[CLF_MAX_PORTS]; /* the first is the family's main output */
    size_t output_count;
    void (*forward)(clf_stream *s, const void *module, const clf_call *call);
    uint64_t (*flop)(const void *module, const clf_call *call);
    void (*destroy)(void *module); /* takes NULL */
} clf_model_class;

/* What a builder makes.  After an error `module` may be half made; connector.c destroys it. */
struct clf_model {
    const clf_model_class *model_class;
    void *module;
    clf_letters widths;
    uint64_t parameters;
    uint64_t weight_bytes;
};

/* An input of the reference that is not built: it is refused with this text instead of taken for a misspelling. */
typedef struct clf_unbuilt_input {
    const char *name;
    const char *instead; /* stands after "NAME is given; want " */
} clf_unbuilt_input;

struct clf_family {
    const char *id;
    const char *spellings[6]; /* other names that hub files have, ended by NULL */
    bool module;              /* found by "module" of {"model_type": "clfusion"} */
    clf_unbuilt_input unbuilt;
    clf_status (*build)(const clf_builder *b, clf_model *m, clf_error *err);
};

/* The family behind an id or a hub spelling; '-' and '_' alike.  NULL: none. */
const clf_family *clf_family_find(const char *name);

/* The family of a checkpoint: `name` (NULL: none), else model_type of the configuration; llava with mm_projector
 * tensors is llava_original. */
clf_status clf_family_choose(const clf_config *config, const clf_tensor_source *source, const char *name,
                             const clf_family **family, clf_error *err);

#endif
