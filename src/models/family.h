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
    CLF_PORT_IDS,    /* ids and masks.  Input: any integer or bool, host memory; int64_t on the host.  Output: i64 */
    CLF_PORT_SIZES   /* input: as ids, and there while planning already, because shapes depend on the values */
} clf_port_kind;

typedef struct clf_input_port {
    const char *name;
    const char *shape; /* models/formula.h; several forms: the one that the input has is taken */
    clf_port_kind kind;
    uint32_t first_with; /* the first form is for calls that use all these inputs (bit i: input i); 0: for any */
    int64_t example;     /* sizes: each value of the example call; 0: 24, patches of a side */
} clf_input_port;

typedef struct clf_output_port {
    const char *name;
    const char *shape; /* several forms: the first whose letters all have values */
    uint32_t needs;    /* bit i: input i */
    uint32_t may;      /* inputs that are checked and used when they are given */
    uint32_t either;   /* some of `may`: at least one must be given.  Examples give the first */
    clf_port_kind kind;
    size_t like;      /* values: f32, or the type of this input */
    bool dense_f32;   /* values: always f32 without gaps for the model, whatever the caller wants */
    bool of_no_layer; /* the same whatever builder.layer is */
} clf_output_port;

/* One call, checked.  Shapes have their batch, left out by the caller or not. */
typedef struct clf_call {
    const char *family; /* stands before messages */
    clf_letters letters;
    clf_tensor in[CLF_MAX_PORTS];          /* by input port; absent unless an output that was asked for uses it */
    const int64_t *ids[CLF_MAX_PORTS];     /* the same for CLF_PORT_IDS and _SIZES; ids are NULL while planning */
    clf_tensor out[CLF_MAX_PORTS];         /* by output port; absent unless asked for */
    const clf_value *given[CLF_MAX_PORTS]; /* what the caller gave for in[] */
    size_t wanted[CLF_MAX_PORTS];          /* which of the caller's outputs out[] is */
    void *found;                           /* what `shape` keeps for `forward`, of clf_alloc; freed with the plan */
} clf_call;

/* What is done with a module: shared by the families that have the same inputs and outputs. */
typedef struct clf_model_class {
    const char *module; /* the fusion module behind it, as in clf_connector_info */
    clf_input_port inputs[CLF_MAX_PORTS];
    size_t input_count;
    clf_output_port outputs[CLF_MAX_PORTS]; /* the first is the family's main output */
    size_t output_count;

    /* May be NULL.  Inputs are bound: refuses what no formula says (a square N) and gives letters that follow from
     * sizes their values, with clf_letters_bind.  Called for every plan. */
    clf_status (*shape)(const void *module, clf_call *call, clf_error *err);

    void (*forward)(clf_stream *s, const void *module, const clf_call *call);
    uint64_t (*flop)(const void *module, const clf_call *call);

    /* May be NULL.  The size of a letter in the example call that `inspect` gives FLOP for; 0: models/example.c's. */
    int64_t (*example)(const void *module, const char *letter);

    void (*destroy)(void *module); /* takes NULL */
} clf_model_class;

/* What a builder makes.  After an error `module` may be half made; connector.c destroys it. */
struct clf_model {
    const clf_model_class *model_class;
    void *module;
    clf_letters widths;
    const clf_cross_attention *cross; /* of `module`, for clf_connector_cross_attention; NULL: none */
    uint64_t parameters;              /* the three are counted by clf_build_count and _count_f32 */
    uint64_t f32_parameters;
    uint64_t weight_bytes;
};

/* An input of the reference that is not built: it is refused with this text instead of taken for a misspelling. */
typedef struct clf_unbuilt_input {
    const char *name;
    const char *instead; /* stands after "NAME is given; want " */
} clf_unbuilt_input;

struct clf_family {
    const char *id;
    const char *spellings[8]; /* other names that hub files have, ended by NULL */
    bool module;              /* found by "module" of {"model_type": "clfusion"} */
    bool layered;             /* builder.layer means something; otherwise it must be 0 */
    bool all_layers;          /* it may be CLF_ALL_LAYERS: the model's `cross` has every layer then */

    /* May be NULL.  Whether a checkpoint is of this family when several have the name: LLaVA comes with two sets of
     * tensor names and one model_type. */
    clf_status (*matches)(const clf_tensor_source *source, const clf_config *config, bool *match, clf_error *err);

    clf_unbuilt_input unbuilt;
    clf_status (*build)(const clf_builder *b, clf_model *m, clf_error *err);
};

/* A list of families, for tests that have their own; the registry's has all. */
typedef struct clf_family_list {
    const clf_family *const *items;
    size_t count;
} clf_family_list;

/* The family with this id or spelling ('-' and '_' alike): of several the first that says it matches, else the first
 * that does not ask.  NULL: none. */
clf_status clf_family_pick(clf_family_list list, const char *name, const clf_tensor_source *source,
                           const clf_config *config, const clf_family **family, clf_error *err);

/* Entry of the registry, clf_family_name's; NULL beyond it. */
const clf_family *clf_family_at(size_t index);

/* The family of a checkpoint: `name` (NULL: none), else model_type of the configuration. */
clf_status clf_family_choose(const clf_config *config, const clf_tensor_source *source, const char *name,
                             const clf_family **family, clf_error *err);

#endif
