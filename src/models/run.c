/* Running a connector: inputs to the device, the model, outputs to where the caller wants them. */
#include <string.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "models/connector.h"
#include "models/values.h"
#include "runtime/op.h"

static clf_status check_memory(const clf_connector *c, const char *name, const clf_value *value, int64_t elements,
                               clf_error *err)
{
    if (elements > 0 && value->tensor.mem == NULL && value->host == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s has no memory; want tensor.mem or host", c->family->id,
                        name);
    return CLF_OK;
}

/* Memory of the inputs that are used and of the outputs, whose shapes are as planned. */
static clf_status check_values(const clf_connector *c, const clf_plan *plan, const clf_value *outputs,
                               size_t output_count, clf_error *err)
{
    for (size_t i = 0; i < c->model.model_class->input_count; i++)
        if (clf_present(plan->call.in[i]))
            CLF_TRY(check_memory(c, plan->call.given[i]->name, plan->call.given[i], clf_element_count(plan->call.in[i]),
                                 err));
    for (size_t i = 0; i < output_count; i++) {
        const clf_tensor want = plan->planned[i];

        if (!clf_shape_is(outputs[i].tensor, clf_tensor_dims(want)))
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s; want %s, as planned", c->family->id,
                            outputs[i].name, CLF_TEXT(outputs[i].tensor), CLF_TEXT(want));
        CLF_TRY(check_memory(c, outputs[i].name, &outputs[i], clf_element_count(want), err));
    }
    return CLF_OK;
}

static void place_ids(clf_stream *s, size_t port, clf_call *call)
{
    const clf_value *value = call->given[port];
    const size_t count = (size_t)clf_element_count(call->in[port]);
    int64_t *ids = clf_alloc(count, sizeof *ids);

    if (ids == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for %zu ids", value->name, count);
        return;
    }
    clf_values_to_int64(value->host, value->tensor.dtype, count, ids);
    call->ids[port] = ids;
}

/* call->in and call->ids from what the caller gave. */
static void place_inputs(clf_stream *s, const clf_connector *c, clf_plan *plan)
{
    for (size_t i = 0; i < c->model.model_class->input_count; i++) {
        if (!clf_present(plan->call.in[i]))
            continue;
        if (c->model.model_class->inputs[i].kind == CLF_PORT_IDS)
            place_ids(s, i, &plan->call);
        else
            plan->call.in[i] = clf_values_on_device(s, plan->call.given[i], plan->in_dims[i]);
    }
}

/* Where the model writes an output: the caller's memory, or scratch when it lies on the host or has a type that models
 * do not write. */
static clf_tensor result_tensor(clf_stream *s, clf_tensor planned, clf_tensor whole, clf_dtype input_type)
{
    const bool direct = whole.dtype == CLF_F32 || whole.dtype == input_type;

    if (planned.mem == NULL || !direct)
        return clf_scratch(s, direct ? whole.dtype : CLF_F32, clf_tensor_dims(whole));
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
            plan->call.out[o] = result_tensor(s, plan->planned[plan->call.wanted[o]], whole[o], plan->call.in[0].dtype);
    }
    if (clf_op_enter(s))
        k->forward(s, c->model.module, &plan->call);
    for (size_t o = 0; o < k->output_count; o++) {
        const size_t i = plan->call.wanted[o];

        if (clf_present(whole[o]))
            deliver(s, &outputs[i], plan->planned[i], whole[o], plan->call.out[o]);
    }
    for (size_t i = 0; i < k->input_count; i++)
        clf_free((void *)(uintptr_t)plan->call.ids[i]);
}

void clf_connector_enqueue(clf_stream *s, const clf_connector *c, const clf_value *inputs, size_t input_count,
                           const clf_value *outputs, size_t output_count)
{
    clf_plan plan;

    if (!clf_op_enter(s) ||
        !clf_op_passed(s, clf_plan_make(c, inputs, input_count, outputs, output_count, &plan, clf_op_error(s))) ||
        !clf_op_passed(s, check_values(c, &plan, outputs, output_count, clf_op_error(s))))
        return;
    const clf_scope scope = clf_scope_open(s, c->family->id, -1);

    enqueue(s, c, &plan, outputs);
    clf_scope_close(s, scope);
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
        CLF_TRY(clf_connector_plan(c, inputs, input_count, planned, output_count, err));
    clf_connector_enqueue(s, c, inputs, input_count, planned, output_count);
    return clf_stream_finish(s, err);
}
