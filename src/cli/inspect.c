/* inspect: what a checkpoint's connector is, what it reads, takes and gives.
 *
 * The tensors are those that the connector asked for while it was made, so the list cannot differ from what `run`
 * reads.  Without --device none is used: everything that is told follows from shapes. */
#include "cli/report.h"
#include "cli/session.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/example.h"

#define CLF_OP "inspect"

/* Weights of products and tables in the type `dtype`; what stays f32 counts as such. */
static uint64_t bytes_as(const clf_connector_info *info, clf_dtype dtype)
{
    return (info->parameters - info->f32_parameters) * clf_dtype_bytes(dtype) +
           info->f32_parameters * clf_dtype_bytes(CLF_F32);
}

static void report_facts(clf_cli_report *r, const clf_cli_session *session, const clf_connector_info *info)
{
    clf_cli_text(r, "family", info->family);
    clf_cli_text(r, "module", info->module);
    clf_cli_integer(r, "parameters", info->parameters);
    clf_cli_integer(r, "bytes_as_f32", bytes_as(info, CLF_F32));
    clf_cli_integer(r, "bytes_as_f16", bytes_as(info, CLF_F16));
    clf_cli_integer(r, "bytes_as_bf16", bytes_as(info, CLF_BF16));
    clf_cli_integer(r, "bytes_in_file", session->recorder.bytes);
    clf_cli_integer(r, "bytes_on_device", info->weight_bytes);
}

static void report_inputs(clf_cli_report *r, const clf_connector_info *info)
{
    static const clf_cli_column columns[] = { { "name", -14 }, { "shape", -22 }, { "needed_by", -14 }, { "types", 0 } };

    clf_cli_table(r, "inputs", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < info->input_count; i++) {
        const clf_port *port = &info->inputs[i];
        char outputs[400]; /* those that take the input and do without it in parentheses */

        const size_t used = clf_format(outputs, sizeof outputs, "%s", port->needed_by);
        if (port->taken_by[0] != '\0')
            (void)clf_format(outputs + used, sizeof outputs - used, "%s(%s)", used > 0 ? " " : "", port->taken_by);
        clf_cli_text(r, NULL, port->name);
        clf_cli_text(r, NULL, port->shape);
        clf_cli_text(r, NULL, outputs);
        clf_cli_text(r, NULL, port->types);
    }
    clf_cli_table_end(r);
}

static void report_outputs(clf_cli_report *r, const clf_connector_info *info)
{
    static const clf_cli_column columns[] = { { "name", -14 }, { "shape", 0 } };

    clf_cli_table(r, "outputs", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < info->output_count; i++) {
        clf_cli_text(r, NULL, info->outputs[i].name);
        clf_cli_text(r, NULL, info->outputs[i].shape);
    }
    clf_cli_table_end(r);
}

/* An example call for each output; one that the family refuses says why, where its sizes would stand. */
static void report_flop(clf_cli_report *r, const clf_connector *c, const clf_connector_info *info)
{
    static const clf_cli_column columns[] = { { "output", -14 }, { "flop", 16 }, { "call", 0 } };

    clf_cli_table(r, "flop", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < info->output_count; i++) {
        clf_example example;
        clf_error why = { .status = CLF_OK };
        const clf_status status = clf_connector_example(c, i, &example, &why);

        clf_cli_text(r, NULL, info->outputs[i].name);
        clf_cli_integer(r, NULL, example.flop);
        clf_cli_text(r, NULL, status == CLF_OK ? example.sizes : why.message);
    }
    clf_cli_table_end(r);
}

static void report_tensors(clf_cli_report *r, const clf_cli_recorder *recorder)
{
    static const clf_cli_column columns[] = { { "dtype", -5 }, { "shape", -22 }, { "name", 0 } };

    clf_cli_table(r, "tensors", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < recorder->count; i++) {
        const clf_host_tensor t = recorder->reads[i].tensor;
        clf_cli_text(r, NULL, clf_dtype_name(t.dtype));
        clf_cli_shape(r, NULL, t.rank, t.dim);
        clf_cli_text(r, NULL, recorder->reads[i].name);
    }
    clf_cli_table_end(r);
}

static int report(const clf_cli_session *session, bool json)
{
    const clf_connector_info info = clf_connector_describe(session->connector);
    clf_cli_report r = clf_cli_report_open(json);

    report_facts(&r, session, &info);
    report_inputs(&r, &info);
    report_outputs(&r, &info);
    report_flop(&r, session->connector, &info);
    report_tensors(&r, &session->recorder);
    return clf_cli_report_close(&r);
}

static clf_status open_all(clf_cli_session *session, const clf_cli_options *options, clf_error *err)
{
    CLF_TRY(clf_cli_session_device(session, options, err));
    return clf_cli_session_connector(session, options, options->arguments[0], err);
}

static int run_inspect(const clf_cli_options *options)
{
    clf_cli_session session = { .ctx = NULL };
    clf_cli_options without = *options;
    clf_error err = { .status = CLF_OK };
    int result;

    if (options->argument_count == 0)
        return clf_cli_usage(&clf_cli_inspect, "no checkpoint is given; want a folder or a file");
    if (without.device == NULL)
        without.device = "none";
    if (open_all(&session, &without, &err) == CLF_OK)
        result = report(&session, options->json);
    else
        result = clf_cli_fail(&err, session.advice);
    clf_cli_session_close(&session);
    return result;
}

const clf_cli_command clf_cli_inspect = {
    .name = "inspect",
    .usage = "CHECKPOINT [OPTIONS]",
    .summary = "tells what a checkpoint's connector is: family, tensors, inputs, outputs, sizes",
    .text = "CHECKPOINT is a folder with config.json and model.safetensors (or its index and shards), or one\n"
            ".safetensors file.  The tensors are those that the connector reads.  bytes_on_device is with --weights\n"
            "as given.  Shapes are formulas: B batch, N visual tokens, T text tokens.  No device is needed; with\n"
            "--device the weights go there, as run would bring them.\n",
    .options = CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS | CLF_OPTION_FAMILY | CLF_OPTION_SET |
               CLF_OPTION_LAYER | CLF_OPTION_JSON,
    .most_arguments = 1,
    .run = run_inspect,
};
