/* plan MODULE: parameters, shapes and FLOP from options alone; plan CHECKPOINT: the same of a file.  No device. */
#include <inttypes.h>
#include <string.h>

#include "checkpoint/config.h"
#include "cli/plan.h"
#include "cli/report.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/example.h"

#define CLF_OP "plan"

/* Edifice's builders count on a picture of 14 x 14 patches. */
#define EDIFICE_VISUAL_TOKENS 196

typedef struct plan_state {
    const clf_cli_options *options;
    clf_context *ctx;
    clf_module_source *source; /* NULL: a checkpoint */
    clf_connector *connector;
    clf_example_wish wish;
} plan_state;

/* Values of --shape must be inputs. */
static clf_status check_shapes(const plan_state *s, clf_error *err)
{
    const clf_connector_info info = clf_connector_describe(s->connector);

    for (size_t i = 0; i < s->wish.input_count; i++) {
        const char *name = s->wish.inputs[i].name;
        bool known = false;

        for (size_t k = 0; k < info.input_count; k++)
            known = known || strcmp(info.inputs[k].name, name) == 0;
        CLF_REQUIRE(err, known, CLF_INVALID_ARGUMENT, "--shape of %s; want an input of %s", name, info.family);
    }
    return CLF_OK;
}

/* num_visual_tokens and text_seq_len, as Edifice's builders name them. */
static clf_status read_lengths(plan_state *s, clf_error *err)
{
    const clf_cli_options *o = s->options;
    clf_config *config = NULL;
    clf_status status;

    const clf_config_sets sets = { o->sets, o->set_count, o->sets_read };
    CLF_TRY(clf_config_create("configuration", NULL, 0, &sets, &config, err));
    s->wish.visual_tokens = s->source != NULL ? EDIFICE_VISUAL_TOKENS : 0;
    status = clf_config_int(config, "num_visual_tokens", &s->wish.visual_tokens, err);
    if (status == CLF_OK)
        status = clf_config_int(config, "text_seq_len", &s->wish.text_tokens, err);
    clf_config_destroy(config);
    CLF_TRY(status);
    CLF_REQUIRE(err, s->wish.visual_tokens >= 0 && s->wish.text_tokens >= 0, CLF_INVALID_ARGUMENT,
                "num_visual_tokens is %" PRId64 " and text_seq_len %" PRId64 "; want none below 0",
                s->wish.visual_tokens, s->wish.text_tokens);
    return CLF_OK;
}

static clf_status open_module(plan_state *s, clf_error *err)
{
    const clf_cli_options *o = s->options;
    clf_module_desc desc = clf_module_desc_default();

    desc.module = o->arguments[0];
    desc.sets = o->sets;
    desc.set_count = o->set_count;
    desc.sets_read = o->sets_read;
    desc.storage = o->storage;
    CLF_TRY(clf_module_source_create(&desc, &s->source, err));
    return clf_module_create(s->ctx, &desc, &s->connector, err);
}

static clf_status open_checkpoint(plan_state *s, clf_error *err)
{
    const clf_cli_options *o = s->options;
    clf_connector_options wanted = clf_connector_options_default();

    wanted.family = o->family;
    wanted.storage = o->storage;
    wanted.sets = o->sets;
    wanted.set_count = o->set_count;
    wanted.sets_read = o->sets_read;
    return clf_connector_open(s->ctx, o->arguments[0], &wanted, &s->connector, err);
}

static clf_status open_all(plan_state *s, clf_error *err)
{
    clf_context_desc desc = clf_context_desc_default();

    desc.device = "none";
    CLF_TRY(clf_context_create(&desc, &s->ctx, err));
    if (clf_cli_plan_is_path(s->options->arguments[0]))
        CLF_TRY(open_checkpoint(s, err));
    else
        CLF_TRY(open_module(s, err));
    s->wish.inputs = s->options->shapes;
    s->wish.input_count = s->options->shape_count;
    CLF_TRY(check_shapes(s, err));
    return read_lengths(s, err);
}

/* ---- report ---- */

static void report_inputs(clf_cli_report *r, const clf_connector_info *info)
{
    static const clf_cli_column columns[] = { { "input", -14 }, { "shape", -22 }, { "needed_by", 0 } };

    clf_cli_table(r, "inputs", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < info->input_count; i++) {
        clf_cli_text(r, NULL, info->inputs[i].name);
        clf_cli_text(r, NULL, info->inputs[i].shape);
        clf_cli_text(r, NULL, info->inputs[i].needed_by);
    }
    clf_cli_table_end(r);
}

/* Formula, shape in the call, FLOP of the call; an output that these inputs do not give says why. */
static void report_outputs(clf_cli_report *r, const plan_state *s, const clf_connector_info *info)
{
    static const clf_cli_column columns[] = { { "output", -14 },  { "formula", -22 }, { "shape", -18 },
                                              { "elements", 12 }, { "flop", 16 },     { "call", 0 } };

    clf_cli_table(r, "outputs", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < info->output_count; i++) {
        clf_example example;
        clf_error why = { .status = CLF_OK };
        const clf_status status = clf_connector_example_of(s->connector, i, &s->wish, &example, &why);
        const bool done = status == CLF_OK;

        clf_cli_text(r, NULL, info->outputs[i].name);
        clf_cli_text(r, NULL, info->outputs[i].shape);
        clf_cli_shape(r, NULL, done ? example.output.rank : 0, example.output.dim);
        clf_cli_integer(r, NULL, done ? (uint64_t)clf_element_count(example.output) : 0);
        clf_cli_integer(r, NULL, example.flop);
        clf_cli_text(r, NULL, done ? example.sizes : why.message);
    }
    clf_cli_table_end(r);
}

static clf_status report_tensors(clf_cli_report *r, const plan_state *s, clf_error *err)
{
    static const clf_cli_column columns[] = { { "shape", -22 }, { "name", 0 } };
    const clf_tensor_source *source = clf_module_source_tensors(s->source);

    clf_cli_table(r, "tensors", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < source->count(source->self); i++) {
        clf_host_tensor t;

        CLF_TRY(source->find(source->self, source->name(source->self, i), &t, err));
        clf_cli_shape(r, NULL, t.rank, t.dim);
        clf_cli_text(r, NULL, source->name(source->self, i));
    }
    clf_cli_table_end(r);
    return CLF_OK;
}

/* Keys that change no tensor: their defaults are the module's own. */
static void report_further_options(clf_cli_report *r, const char *keys)
{
    while (*keys != '\0') {
        const size_t length = strcspn(keys, " ");
        char key[80];

        clf_format(key, sizeof key, "%.*s", (int)length, keys);
        clf_cli_text(r, NULL, key);
        clf_cli_text(r, NULL, "changes no tensor");
        keys += length + (keys[length] == ' ' ? 1 : 0);
    }
}

static void report_options(clf_cli_report *r, const char *module)
{
    static const clf_cli_column columns[] = { { "option", -16 }, { "default", 0 } };

    clf_cli_table(r, "options", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < clf_module_option_count(module); i++) {
        const clf_module_option o = clf_module_option_at(module, i);
        char text[80] = "none";

        if (o.on_off)
            clf_format(text, sizeof text, "%s", o.value != 0 ? "true" : "false");
        else if (o.word != NULL)
            clf_format(text, sizeof text, "not %s", o.word);
        else if (o.like != NULL)
            clf_format(text, sizeof text, "as %s", o.like);
        else if (o.required)
            clf_format(text, sizeof text, "required");
        else if (o.value != 0)
            clf_format(text, sizeof text, "%" PRId64, o.value);
        clf_cli_text(r, NULL, o.key);
        clf_cli_text(r, NULL, text);
    }
    report_further_options(r, clf_module_further_options(module));
    clf_cli_table_end(r);
}

static uint64_t bytes_as(const clf_connector_info *info, clf_dtype dtype)
{
    return (info->parameters - info->f32_parameters) * clf_dtype_bytes(dtype) +
           info->f32_parameters * clf_dtype_bytes(CLF_F32);
}

static int report(const plan_state *s)
{
    const clf_connector_info info = clf_connector_describe(s->connector);
    clf_cli_report r = clf_cli_report_open(s->options->json);
    clf_error err = { .status = CLF_OK };

    clf_cli_text(&r, "family", info.family);
    clf_cli_text(&r, "module", info.module);
    clf_cli_integer(&r, "parameters", info.parameters);
    clf_cli_integer(&r, "bytes_as_f32", bytes_as(&info, CLF_F32));
    clf_cli_integer(&r, "bytes_as_f16", bytes_as(&info, CLF_F16));
    report_inputs(&r, &info);
    report_outputs(&r, s, &info);
    if (s->source != NULL) {
        report_options(&r, info.family);
        if (report_tensors(&r, s, &err) != CLF_OK)
            return clf_cli_fail(&err, "free some memory");
    }
    return clf_cli_report_close(&r);
}

static const char *advice_for(clf_status status)
{
    switch (status) {
    case CLF_IO:
        return "check the path of the checkpoint";
    case CLF_UNSUPPORTED:
        return "choose another name, or give --size to a family";
    case CLF_BAD_FILE:
        return "give the option with --set, or another value";
    default:
        return "check --set and --shape";
    }
}

int clf_cli_plan_module(const clf_cli_options *options)
{
    plan_state s = { .options = options };
    clf_error err = { .status = CLF_OK };
    const clf_status status = open_all(&s, &err);
    const int result = status == CLF_OK ? report(&s) : clf_cli_fail(&err, advice_for(status));

    clf_connector_destroy(s.connector);
    clf_module_source_destroy(s.source);
    clf_context_destroy(s.ctx);
    return result;
}
