/* Opening a connector: the family, its configuration, its tensors; and what it is. */
#include "models/connector.h"

#include "checkpoint/checkpoint.h"
#include "core/alloc.h"
#include "core/desc.h"
#include "core/error.h"
#include "core/text.h"

#define CLF_OP "connector"

void clf_connector_destroy(clf_connector *c)
{
    if (c == NULL)
        return;
    if (c->model.model_class != NULL)
        c->model.model_class->destroy(c->model.module);
    clf_free(c);
}

/* What an output needs; of inputs of which one is enough, the first. */
static uint32_t needs_of(const clf_output_port *output)
{
    return output->needs | (output->either & (~output->either + 1U));
}

/* "tokens fused": the outputs that need the input, or those that may take it. */
static void list_outputs(const clf_model_class *k, size_t input, bool needs, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t o = 0; o < k->output_count; o++)
        if (((needs ? needs_of(&k->outputs[o]) : k->outputs[o].may & ~needs_of(&k->outputs[o])) >> input & 1U) != 0)
            used += clf_format(text + used, bytes - used, "%s%s", used > 0 ? " " : "", k->outputs[o].name);
}

static void describe_input(const clf_model *m, size_t i, clf_port_text *text, clf_port *port)
{
    const clf_input_port *input = &m->model_class->inputs[i];

    clf_formula_text(input->shape, &m->widths, text->shape, sizeof text->shape);
    list_outputs(m->model_class, i, true, text->needed_by, sizeof text->needed_by);
    list_outputs(m->model_class, i, false, text->taken_by, sizeof text->taken_by);
    *port = (clf_port){
        .name = input->name,
        .shape = text->shape,
        .types = input->kind == CLF_PORT_VALUES ? "f32 f16 bf16 f64" : "i64 i32 and other integers",
        .needed_by = text->needed_by,
        .taken_by = text->taken_by,
        .optional = (needs_of(&m->model_class->outputs[0]) >> i & 1U) == 0,
    };
}

void clf_connector_describe_ports(clf_connector *c)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t i = 0; i < k->input_count; i++)
        describe_input(&c->model, i, &c->input_texts[i], &c->inputs[i]);
    for (size_t i = 0; i < k->output_count; i++) {
        char *text = c->output_texts[i].shape;

        clf_formula_text(k->outputs[i].shape, &c->model.widths, text, sizeof c->output_texts[i].shape);
        c->outputs[i] = (clf_port){
            .name = k->outputs[i].name,
            .shape = text,
            .types = k->outputs[i].kind == CLF_PORT_VALUES ? "f32 f16 bf16" : "i64",
            .needed_by = "",
            .taken_by = "",
        };
    }
}

static clf_status build(clf_context *ctx, const clf_tensor_source *source, const clf_config *config,
                        const clf_connector_options *options, bool ends, clf_connector *c, clf_error *err)
{
    CLF_TRY(clf_family_choose(config, source, options->family, &c->family, err));
    const clf_builder builder = {
        .ctx = ctx,
        .source = source,
        .config = config,
        .family = c->family->id,
        .storage = options->storage,
        .layer = options->layer,
        .ends = ends,
    };

    if (!c->family->layered)
        CLF_TRY(clf_build_layer(&builder, 1, err));
    if (options->layer == CLF_ALL_LAYERS && !c->family->all_layers)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: layer is CLF_ALL_LAYERS; want one: it has no cross-attention layers",
                        c->family->id);
    CLF_TRY(c->family->build(&builder, &c->model, err));
    clf_connector_describe_ports(c);
    return CLF_OK;
}

static clf_status check_options(const clf_connector_options *options, clf_error *err)
{
    const clf_dtype storage = options->storage;

    CLF_REQUIRE(err, storage == CLF_DTYPE_NONE || storage == CLF_F32 || storage == CLF_F16 || storage == CLF_BF16,
                CLF_UNSUPPORTED, "storage is %s; want f32, f16, bf16 or none", clf_dtype_name(storage));
    CLF_REQUIRE(err, options->layer >= CLF_ALL_LAYERS, CLF_INVALID_ARGUMENT,
                "layer is %d; want 0 or more, or CLF_ALL_LAYERS", (int)options->layer);
    return CLF_OK;
}

static clf_status create(clf_context *ctx, const clf_tensor_source *source, const char *label, const char *json,
                         size_t bytes, const clf_connector_options *options, bool ends, clf_connector **c,
                         clf_error *err)
{
    clf_connector_options full = clf_connector_options_default();
    clf_config *config = NULL;
    clf_status status;

    *c = NULL;
    CLF_DESC_READ(err, &full, options);
    CLF_TRY(check_options(&full, err));
    const clf_config_sets sets = { full.sets, full.set_count, full.sets_read };
    CLF_TRY(clf_config_create(label, json, bytes, &sets, &config, err));
    *c = clf_alloc(1, sizeof **c);
    status = *c != NULL ? build(ctx, source, config, &full, ends, *c, err)
                        : CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %zu bytes", sizeof **c);
    clf_config_destroy(config);
    if (status != CLF_OK) {
        clf_connector_destroy(*c);
        *c = NULL;
    }
    return status;
}

clf_status clf_connector_create(clf_context *ctx, const clf_tensor_source *source, const char *config_json,
                                size_t config_bytes, const clf_connector_options *options, clf_connector **c,
                                clf_error *err)
{
    return create(ctx, source, "configuration", config_json, config_bytes, options, false, c, err);
}

clf_status clf_connector_create_part(clf_context *ctx, const clf_tensor_source *source, const char *config_json,
                                     size_t config_bytes, const clf_connector_options *options, bool ends,
                                     clf_connector **c, clf_error *err)
{
    return create(ctx, source, "configuration", config_json, config_bytes, options, ends, c, err);
}

clf_status clf_connector_open(clf_context *ctx, const char *path, const clf_connector_options *options,
                              clf_connector **c, clf_error *err)
{
    clf_checkpoint *checkpoint = NULL;
    const char *json = NULL;
    size_t bytes = 0;
    clf_status status;

    *c = NULL;
    CLF_TRY(clf_checkpoint_open(path, &checkpoint, err));
    clf_checkpoint_config_text(checkpoint, &json, &bytes);
    status = create(ctx, clf_checkpoint_source(checkpoint), "config.json", json, bytes, options, false, c, err);
    clf_checkpoint_close(checkpoint);
    return status;
}

const clf_cross_attention *clf_connector_cross_attention(const clf_connector *c)
{
    return c->model.cross;
}

clf_connector_info clf_connector_describe(const clf_connector *c)
{
    return (clf_connector_info){
        .family = c->family->id,
        .module = c->model.model_class->module,
        .inputs = c->inputs,
        .input_count = c->model.model_class->input_count,
        .outputs = c->outputs,
        .output_count = c->model.model_class->output_count,
        .parameters = c->model.parameters,
        .f32_parameters = c->model.f32_parameters,
        .weight_bytes = c->model.weight_bytes,
    };
}
