/* Running a connector: inputs to the device, the model, outputs to where the caller wants them. */
#include <string.h>

#include "fusion/place.h"
#include "models/connector.h"
#include "models/values.h"
#include "runtime/op.h"

static clf_status check_planned(const clf_connector *c, const clf_value *output, clf_tensor want, clf_error *err)
{
    if (!clf_shape_is(output->tensor, clf_tensor_dims(want)))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s; want %s, as planned", c->family->id, output->name,
                        CLF_TEXT(output->tensor), CLF_TEXT(want));
    return CLF_OK;
}

/* Memory of the inputs that are used and of the outputs, whose shapes are as planned; ids. */
static clf_status check_values(const clf_connector *c, clf_plan *plan, const clf_value *outputs, size_t output_count,
                               clf_error *err)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t i = 0; i < k->input_count; i++)
        if (clf_present(plan->call.in[i]))
            CLF_TRY(
                clf_plan_check_memory(c->family->id, plan->call.given[i], clf_element_count(plan->call.in[i]), err));
    for (size_t i = 0; i < output_count; i++) {
        CLF_TRY(check_planned(c, &outputs[i], plan->planned[i], err));
        CLF_TRY(clf_plan_check_memory(c->family->id, &outputs[i], clf_element_count(plan->planned[i]), err));
    }
    for (size_t i = 0; i < k->input_count; i++)
        if (clf_present(plan->call.in[i]) && k->inputs[i].kind != CLF_PORT_VALUES)
            CLF_TRY(clf_plan_read_ids(plan, i, err));
    return CLF_OK;
}

static void place_inputs(clf_stream *s, const clf_connector *c, clf_plan *plan)
{
    for (size_t i = 0; i < c->model.model_class->input_count; i++)
        if (clf_present(plan->call.in[i]) && c->model.model_class->inputs[i].kind == CLF_PORT_VALUES)
            plan->call.in[i] = clf_values_on_device(s, plan->call.given[i], plan->in_dims[i]);
}

/* Where the model writes an output: the caller's memory, or scratch when it lies on the host or is not what the model
 * writes. */
static clf_tensor result_tensor(clf_stream *s, const clf_output_port *port, clf_tensor planned, clf_tensor whole,
                                clf_dtype input_type)
{
    const bool typed =
        !clf_is_float(whole.dtype) || whole.dtype == CLF_F32 || (whole.dtype == input_type && !port->dense_f32);
    const bool direct = typed && (!port->dense_f32 || clf_is_dense(planned));

    if (planned.mem == NULL || !direct)
        return clf_scratch(s, typed ? whole.dtype : CLF_F32, clf_tensor_dims(whole));
    return clf_values_on_device(s, &(clf_value){ .tensor = planned }, clf_tensor_dims(whole));
}

/* Scratch to the caller's memory. */
static void deliver(clf_stream *s, const clf_value *output, clf_tensor planned, clf_tensor whole, clf_tensor result)
{
    clf_tensor typed = clf_place_as(s, result, whole.dtype);

    if (planned.mem == NULL) {
        if (clf_element_count(typed) > 0)
            clf_download(s, typed, output->host);
    } else if (planned.mem != result.mem) {
        clf_place(s, result, clf_values_on_device(s, &(clf_value){ .tensor = planned }, clf_tensor_dims(whole)));
    }
}

static void enqueue(clf_stream *s, const clf_connector *c, clf_plan *plan, const clf_value *outputs)
{
    const clf_model_class *k = c->model.model_class;
    clf_tensor whole[CLF_MAX_PORTS];

    place_inputs(s, c, plan);
    for (size_t o = 0; o < k->output_count; o++) {
        whole[o] = plan->call.out[o];
        if (clf_present(whole[o]))
            plan->call.out[o] = result_tensor(s, &k->outputs[o], plan->planned[plan->call.wanted[o]], whole[o],
                                              plan->call.in[k->outputs[o].like].dtype);
    }
    if (clf_op_enter(s))
        k->forward(s, c->model.module, &plan->call);
    for (size_t o = 0; o < k->output_count; o++) {
        const size_t i = plan->call.wanted[o];

        if (clf_present(whole[o]))
            deliver(s, &outputs[i], plan->planned[i], whole[o], plan->call.out[o]);
    }
}

void clf_connector_enqueue(clf_stream *s, const clf_connector *c, const clf_value *inputs, size_t input_count,
                           const clf_value *outputs, size_t output_count)
{
    clf_plan plan;

    if (clf_stream_status(s) == CLF_OK && !clf_context_has_device(clf_stream_context(s)))
        CLF_OP_FAIL(s, CLF_UNSUPPORTED, "%s: the context has no device; want one to compute anything", c->family->id);
    if (!clf_op_enter(s))
        return;
    if (clf_op_passed(s, clf_plan_make(c, inputs, input_count, outputs, output_count, &plan, clf_op_error(s))) &&
        clf_op_passed(s, check_values(c, &plan, outputs, output_count, clf_op_error(s)))) {
        const clf_scope scope = clf_scope_open(s, c->family->id, -1);

        enqueue(s, c, &plan, outputs);
        clf_scope_close(s, scope);
    }
    clf_plan_free(&plan);
}

/* planned[i] receives what comes out; a shape that the caller has stated must be that one: the memory has its size. */
static clf_status plan_outputs(const clf_connector *c, const clf_value *inputs, size_t input_count,
                               const clf_value *outputs, size_t output_count, clf_value *planned, clf_error *err)
{
    CLF_TRY(clf_connector_plan(c, inputs, input_count, planned, output_count, err));
    for (size_t i = 0; i < output_count; i++)
        if (outputs[i].tensor.rank != 0)
            CLF_TRY(check_planned(c, &outputs[i], planned[i].tensor, err));
    return CLF_OK;
}

clf_status clf_connector_run(clf_stream *s, const clf_connector *c, const clf_value *inputs, size_t input_count,
                             const clf_value *outputs, size_t output_count, clf_error *err)
{
    clf_value planned[CLF_MAX_PORTS];

    if (output_count > CLF_MAX_PORTS)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %zu outputs are asked for; want at most %d", c->family->id,
                        output_count, CLF_MAX_PORTS);
    if (output_count > 0)
        memcpy(planned, outputs, output_count * sizeof *planned);
    if (clf_stream_status(s) == CLF_OK)
        CLF_TRY(plan_outputs(c, inputs, input_count, outputs, output_count, planned, err));
    clf_connector_enqueue(s, c, inputs, input_count, planned, output_count);
    return clf_stream_finish(s, err);
}
