/* The connector behind the public handle, and the plan of a call. */
#ifndef CLF_MODELS_CONNECTOR_H
#define CLF_MODELS_CONNECTOR_H

#include "models/family.h"

typedef struct clf_port_text {
    char shape[96];
} clf_port_text;

struct clf_connector {
    const clf_family *family;
    clf_model model;
    clf_port inputs[CLF_MAX_PORTS]; /* for clf_connector_describe */
    clf_port outputs[CLF_MAX_PORTS];
    clf_port_text input_texts[CLF_MAX_PORTS];
    clf_port_text output_texts[CLF_MAX_PORTS];
};

/* Which values a call has, by port, with their shapes; `outputs` as the caller has them.  planned[i] receives type and
 * shape of outputs[i]. */
typedef struct clf_plan {
    clf_call call;
    clf_dims in_dims[CLF_MAX_PORTS];   /* with the batch */
    clf_tensor planned[CLF_MAX_PORTS]; /* by output of the caller: what clf_connector_plan answers */
} clf_plan;

clf_status clf_plan_make(const clf_connector *c, const clf_value *inputs, size_t input_count, const clf_value *outputs,
                         size_t output_count, clf_plan *plan, clf_error *err);

#endif
