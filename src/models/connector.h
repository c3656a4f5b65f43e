/* The connector behind the public handle, and the plan of a call. */
#ifndef CLF_MODELS_CONNECTOR_H
#define CLF_MODELS_CONNECTOR_H

#include "models/family.h"

typedef struct clf_port_text {
    char shape[160];
    char needed_by[160];
    char taken_by[160];
} clf_port_text;

struct clf_connector {
    const clf_family *family;
    clf_model model;
    clf_port inputs[CLF_MAX_PORTS]; /* for clf_connector_describe */
    clf_port outputs[CLF_MAX_PORTS];
    clf_port_text input_texts[CLF_MAX_PORTS];
    clf_port_text output_texts[CLF_MAX_PORTS];
};

/* clf_connector_create; where `ends`, a stack of layers ends behind options->layer, so that its outputs are that
 * layer's. */
clf_status clf_connector_create_part(clf_context *ctx, const clf_tensor_source *source, const char *config_json,
                                     size_t config_bytes, const clf_connector_options *options, bool ends,
                                     clf_connector **c, clf_error *err);

/* Fills inputs and outputs from the model. */
void clf_connector_describe_ports(clf_connector *c);

/* Which values a call has, by port, with their shapes.  planned[i] receives type and shape of the caller's outputs[i]. */
typedef struct clf_plan {
    clf_call call;
    clf_dims in_dims[CLF_MAX_PORTS];   /* with the batch */
    clf_tensor planned[CLF_MAX_PORTS]; /* by output of the caller: what clf_connector_plan answers */
    int64_t *ids[CLF_MAX_PORTS];       /* behind call.ids */
} clf_plan;

/* The caller frees the plan, after an error too. */
clf_status clf_plan_make(const clf_connector *c, const clf_value *inputs, size_t input_count, const clf_value *outputs,
                         size_t output_count, clf_plan *plan, clf_error *err);
void clf_plan_free(clf_plan *plan);

/* Makes call->ids[port] of what the caller gave, unless it is there already. */
clf_status clf_plan_read_ids(clf_plan *plan, size_t port, clf_error *err);

/* An error unless the value has memory for its elements. */
clf_status clf_plan_check_memory(const char *family, const clf_value *value, int64_t elements, clf_error *err);

#endif
