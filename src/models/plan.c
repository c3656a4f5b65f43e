/* The plan of a call: which inputs the outputs use, whether their shapes fit, what shapes come out. */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/connector.h"
#include "models/values.h"

#define NOT_FOUND SIZE_MAX

static const char *quoted(const char *name, clf_text *text)
{
    *text = clf_text_quote(name != NULL ? name : "", name != NULL ? strlen(name) : 0);
    return text->text;
}

/* "vision, text, text_ids": the ports of a list whose bit is set. */
static void list_ports(const clf_port *ports, size_t count, uint32_t bits, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if ((bits >> i & 1U) != 0)
            used += clf_format(text + used, bytes - used, "%s%s", used > 0 ? ", " : "", ports[i].name);
}

static size_t find_port(const clf_port *ports, size_t count, const char *name)
{
    for (size_t i = 0; i < count && name != NULL; i++)
        if (strcmp(ports[i].name, name) == 0)
            return i;
    return NOT_FOUND;
}

static clf_status unknown(const clf_connector *c, const char *what, const char *name, const clf_port *ports,
                          size_t count, clf_error *err)
{
    const clf_unbuilt_input *unbuilt = &c->family->unbuilt;
    char list[CLF_MESSAGE_BYTES];
    clf_text text;

    if (unbuilt->name != NULL && name != NULL && strcmp(unbuilt->name, name) == 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is given; want %s", c->family->id, name, unbuilt->instead);
    list_ports(ports, count, UINT32_MAX, list, sizeof list);
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s; want one of %s", c->family->id, what, quoted(name, &text),
                    list);
}

static clf_status find_inputs(const clf_connector *c, const clf_value *inputs, size_t count, clf_call *call,
                              clf_error *err)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t i = 0; i < count; i++) {
        const size_t port = find_port(c->inputs, k->input_count, inputs[i].name);

        if (port == NOT_FOUND)
            return unknown(c, "input", inputs[i].name, c->inputs, k->input_count, err);
        if (call->given[port] != NULL)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is given twice; want it once", c->family->id,
                            inputs[i].name);
        call->given[port] = &inputs[i];
    }
    return CLF_OK;
}

/* Sets call->wanted and the inputs that are used: the needed ones, and of the others those that are given. */
static clf_status find_outputs(const clf_connector *c, const clf_value *outputs, size_t count, clf_call *call,
                               uint32_t *used, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;

    if (count == 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: no output is asked for; want at least one", c->family->id);
    for (size_t i = 0; i < k->output_count; i++)
        call->wanted[i] = NOT_FOUND;
    for (size_t i = 0; i < count; i++) {
        const size_t port = find_port(c->outputs, k->output_count, outputs[i].name);

        if (port == NOT_FOUND)
            return unknown(c, "output", outputs[i].name, c->outputs, k->output_count, err);
        if (call->wanted[port] != NOT_FOUND)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is asked for twice; want it once", c->family->id,
                            outputs[i].name);
        call->wanted[port] = i;
        *used |= k->outputs[port].needs | k->outputs[port].may;
    }
    for (size_t i = 0; i < k->input_count; i++)
        if (call->given[i] == NULL)
            *used &= ~(1U << i); /* check_needs answers for those that are needed */
    return CLF_OK;
}

/* One of the inputs of which one is enough. */
static clf_status check_either(const clf_connector *c, size_t output, const clf_call *call, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;
    const uint32_t either = k->outputs[output].either;
    char list[CLF_MESSAGE_BYTES];
    size_t first = k->input_count;

    for (size_t i = k->input_count; i-- > 0;) {
        if ((either >> i & 1U) != 0 && call->given[i] != NULL)
            return CLF_OK;
        first = (either >> i & 1U) != 0 ? i : first;
    }
    if (first == k->input_count)
        return CLF_OK;
    list_ports(c->inputs, k->input_count, either, list, sizeof list);
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is missing; want one of %s for %s", c->family->id,
                    k->inputs[first].name, list, k->outputs[output].name);
}

static clf_status check_needs(const clf_connector *c, const clf_value *outputs, const clf_call *call, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t o = 0; o < k->output_count; o++) {
        const uint32_t needs = k->outputs[o].needs;

        if (call->wanted[o] != NOT_FOUND)
            CLF_TRY(check_either(c, o, call, err));
        for (size_t i = 0; call->wanted[o] != NOT_FOUND && i < k->input_count; i++) {
            char list[CLF_MESSAGE_BYTES];
            if ((needs >> i & 1U) == 0 || call->given[i] != NULL)
                continue;
            list_ports(c->inputs, k->input_count, needs, list, sizeof list);
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is missing; want %s for %s", c->family->id,
                            k->inputs[i].name, list, outputs[call->wanted[o]].name);
        }
    }
    return CLF_OK;
}

static clf_status check_type(const clf_connector *c, const clf_input_port *port, const clf_value *value, clf_error *err)
{
    const clf_dtype dtype = value->tensor.dtype;
    const bool device = value->tensor.mem != NULL;

    if (port->kind != CLF_PORT_VALUES) {
        if (!clf_is_integer(dtype))
            return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is %s; want an integer type or bool", c->family->id,
                            port->name, CLF_TEXT(value->tensor));
        if (device)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s lies on the device; want host memory", c->family->id,
                            port->name);
        return CLF_OK;
    }
    if (!clf_is_float(dtype) && (device || dtype != CLF_F64))
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is %s; want f32, f16 or bf16%s", c->family->id, port->name,
                        CLF_TEXT(value->tensor), device ? "" : ", or f64 in host memory");
    return CLF_OK;
}

static clf_dims given_dims(clf_tensor t)
{
    clf_dims dims = { .rank = t.rank };

    for (int32_t i = 0; i < t.rank && i < CLF_MAX_RANK; i++)
        dims.dim[i] = t.dim[i];
    return dims;
}

clf_status clf_plan_check_memory(const char *family, const clf_value *value, int64_t elements, clf_error *err)
{
    if (elements > 0 && value->tensor.mem == NULL && value->host == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s has no memory; want tensor.mem or host", family,
                        value->name);
    return CLF_OK;
}

clf_status clf_plan_read_ids(clf_plan *plan, size_t port, clf_error *err)
{
    const clf_value *value = plan->call.given[port];
    const size_t count = (size_t)clf_element_count(plan->call.in[port]);

    if (plan->ids[port] != NULL)
        return CLF_OK;
    CLF_TRY(clf_plan_check_memory(plan->call.family, value, (int64_t)count, err));
    plan->ids[port] = clf_alloc(count, sizeof *plan->ids[port]);
    if (plan->ids[port] == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: %s is %s; want host memory for them as i64", plan->call.family,
                        value->name, CLF_TEXT(value->tensor));
    clf_values_to_int64(value->host, value->tensor.dtype, count, plan->ids[port]);
    plan->call.ids[port] = plan->ids[port];
    return CLF_OK;
}

static clf_status bind_input(const clf_connector *c, size_t i, uint32_t used, clf_plan *plan, clf_error *err)
{
    const clf_input_port *port = &c->model.model_class->inputs[i];
    const clf_tensor t = plan->call.given[i]->tensor;
    const bool first = (used & port->first_with) == port->first_with;

    CLF_TRY(check_type(c, port, plan->call.given[i], err));
    if (t.rank < 0 || t.rank > CLF_MAX_RANK)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s has rank %d; want at most %d", c->family->id, port->name,
                        (int)t.rank, CLF_MAX_RANK);
    CLF_TRY(clf_formula_bind(c->family->id, port->name, first ? port->shape : clf_formula_next(port->shape), t.dtype,
                             given_dims(t), &plan->call.letters, &plan->in_dims[i], err));
    plan->call.in[i] = clf_tensor_shape(t.dtype, plan->in_dims[i]);
    if (!clf_shape_valid(plan->call.in[i]))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s; want a product below 2^63", c->family->id, port->name,
                        CLF_TEXT(t));
    return port->kind == CLF_PORT_SIZES ? clf_plan_read_ids(plan, i, err) : CLF_OK;
}

static clf_status bind_inputs(const clf_connector *c, uint32_t used, clf_plan *plan, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t i = 0; i < k->input_count; i++)
        if ((used >> i & 1U) != 0)
            CLF_TRY(bind_input(c, i, used, plan, err));
    return k->shape != NULL ? k->shape(c->model.module, &plan->call, err) : CLF_OK;
}

/* The type of an output: the caller's, or the default of its kind. */
static clf_status output_type(const clf_connector *c, const clf_output_port *port, clf_dtype wanted, clf_dtype *dtype,
                              clf_error *err)
{
    const bool values = port->kind == CLF_PORT_VALUES;

    *dtype = wanted != CLF_DTYPE_NONE ? wanted : values ? CLF_F32 : CLF_I64;
    if (values ? clf_is_float(*dtype) : *dtype == CLF_I64)
        return CLF_OK;
    return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: %s is wanted as %s; want %s", c->family->id, port->name,
                    clf_dtype_name(*dtype), values ? "f32, f16 or bf16" : "i64");
}

/* Type and shape of an output; a view of the caller keeps its strides when it has the shape. */
static clf_status plan_output(const clf_connector *c, size_t port, const clf_value *output, clf_plan *plan,
                              clf_error *err)
{
    const clf_output_port *o = &c->model.model_class->outputs[port];
    clf_dtype dtype;
    clf_dims whole, dims;
    clf_tensor t;

    CLF_TRY(output_type(c, o, output->tensor.dtype, &dtype, err));
    CLF_TRY(clf_formula_shape(c->family->id, o->name, o->shape, &plan->call.letters, &whole, &dims, err));
    t = clf_tensor_shape(dtype, dims);
    if (!clf_shape_valid(t))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is %s; want a product below 2^63", c->family->id, o->name,
                        CLF_TEXT(t));
    if (clf_shape_is(output->tensor, dims))
        t = output->tensor;
    t.dtype = dtype;
    t.mem = output->tensor.mem;
    t.offset = output->tensor.offset;
    plan->planned[plan->call.wanted[port]] = t;
    plan->call.out[port] = clf_tensor_shape(dtype, whole);
    return CLF_OK;
}

clf_status clf_plan_make(const clf_connector *c, const clf_value *inputs, size_t input_count, const clf_value *outputs,
                         size_t output_count, clf_plan *plan, clf_error *err)
{
    uint32_t used = 0;

    *plan = (clf_plan){ .call = { .family = c->family->id, .letters = c->model.widths } };
    CLF_TRY(find_inputs(c, inputs, input_count, &plan->call, err));
    CLF_TRY(find_outputs(c, outputs, output_count, &plan->call, &used, err));
    CLF_TRY(check_needs(c, outputs, &plan->call, err));
    CLF_TRY(bind_inputs(c, used, plan, err));
    for (size_t port = 0; port < c->model.model_class->output_count; port++)
        if (plan->call.wanted[port] != NOT_FOUND)
            CLF_TRY(plan_output(c, port, &outputs[plan->call.wanted[port]], plan, err));
    return CLF_OK;
}

void clf_plan_free(clf_plan *plan)
{
    for (size_t i = 0; i < CLF_MAX_PORTS; i++)
        clf_free(plan->ids[i]);
    clf_free(plan->call.found);
}

clf_status clf_connector_plan(const clf_connector *c, const clf_value *inputs, size_t input_count, clf_value *outputs,
                              size_t output_count, clf_error *err)
{
    clf_plan plan;
    const clf_status status = clf_plan_make(c, inputs, input_count, outputs, output_count, &plan, err);

    for (size_t i = 0; status == CLF_OK && i < output_count; i++)
        outputs[i].tensor = plan.planned[i];
    clf_plan_free(&plan);
    return status;
}

uint64_t clf_connector_flop(const clf_connector *c, const clf_value *inputs, size_t input_count,
                            const clf_value *outputs, size_t output_count)
{
    clf_plan plan;
    uint64_t flop = 0;

    if (clf_plan_make(c, inputs, input_count, outputs, output_count, &plan, NULL) == CLF_OK)
        flop = c->model.model_class->flop(c->model.module, &plan.call);
    clf_plan_free(&plan);
    return flop;
}
