/* Opening a connector: the family, its configuration, its tensors; and what it is. */
#include "models/connector.h"

#include "checkpoint/checkpoint.h"
#include "core/alloc.h"
#include "core/error.h"

#define CLF_OP "connector"

clf_connector_options clf_connector_options_default(void)
{
    return (clf_connector_options){ .struct_size = sizeof(clf_connector_options) };
}

void clf_connector_destroy(clf_connector *c)
{
    if (c == NULL)
        return;
    if (c->model.model_class != NULL)
        c->model.model_class->destroy(c->model.module);
    clf_free(c);
}

/* What clf_connector_describe shows: formulas with the checkpoint's widths.  Inputs that the first output can do
 * without are optional. */
static void describe_ports(clf_connector *c)
{
    const clf_model_class *k = c->model.model_class;

    for (size_t i = 0; i < k->input_count; i++) {
        char *text = c->input_texts[i].shape;

        clf_formula_text(k->inputs[i].shape, &c->model.widths, text, sizeof c->input_texts[i].shape);
        c->inputs[i] = (clf_port){
            .name = k->inputs[i].name,
            .shape = text,
            .types = k->inputs[i].kind == CLF_PORT_IDS ? "i64 i32 and other integers" : "f32 f16 bf16 f64",
            .optional = (k->outputs[0].needs >> i & 1U) == 0,
        };
    }
    for (size_t i = 0; i < k->output_count; i++) {
        char *text = c->output_texts[i].shape;

        clf_formula_text(k->outputs[i].shape, &c->model.widths, text, sizeof c->output_texts[i].shape);
        c->outputs[i] = (clf_port){ .name = k->outputs[i].name, .shape = text, .types = "f32 f16 bf16" };
    }
}

static clf_status build(clf_context *ctx, const clf_tensor_source *source, const clf_config *config,
                        const clf_connector_options *options, clf_connector *c, clf_error *err)
{
    CLF_TRY(clf_family_choose(config, source, options->family, &c->family, err));
    const clf_builder builder = {
        .ctx = ctx,
        .source = source,
        .config = config,
        .family = c->family->id,
        .storage = options->storage,
    };

    CLF_TRY(c->family->build(&builder, &c->model, err));
    describe_ports(c);
    return CLF_OK;
}

static clf_status check_options(const clf_connector_options *options, clf_error *err)
{
    const clf_dtype storage = options->storage;

    CLF_REQUIRE(err, options->struct_size == sizeof *options, CLF_INVALID_ARGUMENT,
                "struct_size is %u; want %zu, from clf_connector_options_default", (unsigned)options->struct_size,
                sizeof *options);
    CLF_REQUIRE(err, storage == CLF_DTYPE_NONE || storage == CLF_F32 || storage == CLF_F16 || storage == CLF_BF16,
                CLF_UNSUPPORTED, "storage is %s; want f32, f16, bf16 or none", clf_dtype_name(storage));
    return CLF_OK;
}

static clf_status create(clf_context *ctx, const clf_tensor_source *source, const char *label, const char *json,
                         size_t bytes, const clf_connector_options *options, clf_connector **c, clf_error *err)
{
    const clf_connector_options defaults = clf_connector_options_default();
    clf_config *config = NULL;
    clf_status status;

    *c = NULL;
    if (options == NULL)
        options = &defaults;
    CLF_TRY(check_options(options, err));
    CLF_TRY(clf_config_create(label, json, bytes, options->sets, options->set_count, &config, err));
    *c = clf_alloc(1, sizeof **c);
    status = *c != NULL ? build(ctx, source, config, options, *c, err)
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
    return create(ctx, source, "configuration", config_json, config_bytes, options, c, err);
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
    status = create(ctx, clf_checkpoint_source(checkpoint), "config.json", json, bytes, options, c, err);
    clf_checkpoint_close(checkpoint);
    return status;
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
        .weight_bytes = c->model.weight_bytes,
    };
}
