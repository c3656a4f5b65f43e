/* Example calls: a size for each letter of the inputs' formulas. */
#include "models/example.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/connector.h"

#define MAX_VALUES 12 /* of sizes: four pictures of frames, rows, columns */

typedef struct clf_example_call {
    clf_value inputs[CLF_MAX_PORTS];
    size_t input_count;
    int64_t values[CLF_MAX_PORTS][MAX_VALUES];
    clf_letters letters;
} clf_example_call;

/* One picture: the tokens of a 336-pixel tower with patches of 14; a multiple of r where tokens are merged. */
static int64_t default_size(const clf_letters *widths, const char *letter)
{
    static const struct {
        const char *letter;
        int64_t size;
    } sizes[] = { { "N", 576 }, { "S", 576 }, { "T", 32 }, { "M", 64 } };
    const clf_letter *r = clf_letters_find(widths, "r");
    int64_t size = 1;

    for (size_t i = 0; i < CLF_COUNT(sizes); i++)
        if (strncmp(letter, sizes[i].letter, 1) == 0 && (letter[1] == '\0' || letter[1] == '\''))
            size = sizes[i].size;
    if (r != NULL && size == 576)
        size = size > r->value ? size - size % r->value : r->value;
    return size;
}

/* All letters of a form get sizes. */
static clf_status give_sizes(const clf_connector *c, const char *form, clf_letters *letters, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;
    clf_letter missing;

    while (clf_formula_missing(form, letters, &missing)) {
        int64_t size = k->example != NULL ? k->example(c->model.module, missing.name) : 0;

        if (size == 0)
            size = default_size(&c->model.widths, missing.name);
        if (clf_letters_set(letters, missing.name, size) == NULL)
            return CLF_FAIL(err, CLF_INTERNAL, "%s: the example has more than %d letters; want fewer", c->family->id,
                            CLF_MAX_LETTERS);
    }
    return CLF_OK;
}

static const char *form_of(const clf_input_port *input, uint32_t needs)
{
    return (needs & input->first_with) == input->first_with ? input->shape : clf_formula_next(input->shape);
}

/* The shape that is wished for a port, or NULL. */
static const clf_value *wished(const clf_example_wish *wish, const char *name)
{
    for (size_t i = 0; i < wish->input_count; i++)
        if (strcmp(wish->inputs[i].name, name) == 0)
            return &wish->inputs[i];
    return NULL;
}

/* Letters that wished shapes say, before others are made up. */
static clf_status bind_wishes(const clf_connector *c, uint32_t needs, const clf_example_wish *wish,
                              clf_letters *letters, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t i = 0; i < k->input_count; i++) {
        const clf_value *value = wished(wish, k->inputs[i].name);
        clf_dims whole;

        if (value != NULL && (needs >> i & 1U) != 0)
            CLF_TRY(clf_formula_bind(c->family->id, value->name, form_of(&k->inputs[i], needs), value->tensor.dtype,
                                     clf_tensor_dims(value->tensor), letters, &whole, err));
    }
    if (wish->visual_tokens > 0 && clf_letters_find(letters, "N") == NULL)
        (void)clf_letters_set(letters, "N", wish->visual_tokens);
    if (wish->text_tokens > 0 && clf_letters_find(letters, "T") == NULL)
        (void)clf_letters_set(letters, "T", wish->text_tokens);
    return CLF_OK;
}

static clf_status add_input(const clf_connector *c, size_t port, uint32_t needs, const clf_example_wish *wish,
                            clf_example_call *e, clf_error *err)
{
    const clf_input_port *input = &c->model.model_class->inputs[port];
    const clf_value *wanted = wished(wish, input->name);
    const char *form = form_of(input, needs);
    clf_value *value = &e->inputs[e->input_count];
    int64_t *values = e->values[e->input_count++];
    clf_dims whole, dims;

    CLF_TRY(give_sizes(c, form, &e->letters, err));
    CLF_TRY(clf_formula_shape(c->family->id, input->name, form, &e->letters, &whole, &dims, err));
    *value = (clf_value){ .name = input->name };
    value->tensor = clf_tensor_shape(input->kind == CLF_PORT_VALUES ? CLF_F32 : CLF_I64, whole);
    if (wanted != NULL)
        value->tensor =
            clf_tensor_shape(value->tensor.dtype, clf_tensor_dims(wanted->tensor)); /* its batch may be left out */
    if (input->kind != CLF_PORT_SIZES)
        return CLF_OK;
    if (clf_element_count(value->tensor) > MAX_VALUES)
        return CLF_FAIL(err, CLF_INTERNAL, "%s: %s is %s in the example; want at most %d values", c->family->id,
                        input->name, CLF_TEXT(value->tensor), MAX_VALUES);
    for (size_t i = 0; i < MAX_VALUES; i++)
        values[i] = input->example != 0 ? input->example : 24;
    value->host = values;
    return CLF_OK;
}

/* "B = 1, N = 576": the letters that inputs have; "B'" counts as B. */
static void list_sizes(const clf_letters *letters, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < letters->count; i++) {
        const clf_letter *letter = &letters->item[i];

        if (letter->bound_by != NULL && strchr(letter->name, '\'') == NULL)
            used += clf_format(text + used, bytes - used, "%s%s = %" PRId64, used > 0 ? ", " : "", letter->name,
                               letter->value);
    }
}

clf_status clf_connector_example(const clf_connector *c, size_t index, clf_example *example, clf_error *err)
{
    return clf_connector_example_of(c, index, &(clf_example_wish){ .inputs = NULL }, example, err);
}

clf_status clf_connector_example_of(const clf_connector *c, size_t index, const clf_example_wish *wish,
                                    clf_example *example, clf_error *err)
{
    const clf_model_class *k = c->model.model_class;
    const clf_value output = { .name = k->outputs[index].name };
    uint32_t needs = k->outputs[index].needs;
    clf_example_call e = { .letters = c->model.widths };
    clf_plan plan;
    clf_status status;

    *example = (clf_example){ .flop = 0 };
    for (size_t i = 0; i < k->input_count; i++)
        if ((k->outputs[index].may >> i & 1U) != 0 && wished(wish, k->inputs[i].name) != NULL)
            needs |= 1U << i;
    if ((k->outputs[index].either & needs) == 0)
        needs |= k->outputs[index].either & (~k->outputs[index].either + 1U); /* the first of them */
    CLF_TRY(bind_wishes(c, needs, wish, &e.letters, err));
    for (size_t i = 0; i < k->input_count; i++)
        if ((needs >> i & 1U) != 0)
            CLF_TRY(add_input(c, i, needs, wish, &e, err));
    status = clf_plan_make(c, e.inputs, e.input_count, &output, 1, &plan, err);
    if (status == CLF_OK) {
        example->flop = k->flop(c->model.module, &plan.call);
        example->output = plan.planned[0];
        list_sizes(&plan.call.letters, example->sizes, sizeof example->sizes);
    }
    clf_plan_free(&plan);
    return status;
}
