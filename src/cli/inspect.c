/* inspect: what a checkpoint's connector is, what it reads, takes and gives.
 *
 * The tensors are those that the connector asked for while it was made, so the list cannot differ from what `run`
 * reads.  Making it needs a device, because weights are packed for one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/session.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "inspect"

/* Sizes of the call that FLOP is given for: one picture, and the tokens of a 336-pixel tower with patches of 14. */
static const struct {
    const char *letter;
    int64_t size;
} example[] = { { "B", 1 }, { "I", 1 }, { "N", 576 }, { "S", 576 }, { "T", 32 }, { "M", 64 } };

/* One dimension of a formula: a number or a letter of the example; a batch of its own ("B'") counts as B. */
static bool dimension(const char *text, size_t length, int64_t *size)
{
    char *end = NULL;

    *size = strtoll(text, &end, 10);
    if (end != text)
        return end == text + length && *size > 0;
    if (length == 2 && text[1] == '\'')
        length = 1;
    for (size_t i = 0; i < CLF_COUNT(example); i++)
        if (strlen(example[i].letter) == length && memcmp(example[i].letter, text, length) == 0) {
            *size = example[i].size;
            return true;
        }
    return false;
}

/* "[B, N, 1024]" with the sizes of the example; false when it holds something else. */
static bool example_dims(const char *formula, clf_dims *dims)
{
    *dims = (clf_dims){ .rank = 0 };
    if (*formula != '[')
        return false;
    for (const char *c = formula + 1; *c != ']';) {
        const size_t length = strcspn(c, ",]");
        if (c[length] == '\0' || dims->rank == CLF_MAX_RANK || !dimension(c, length, &dims->dim[dims->rank]))
            return false;
        dims->rank++;
        c += length;
        c += strspn(c, ", ");
    }
    return dims->rank > 0;
}

/* A call without data: every input that the connector knows, in the sizes of the example. */
typedef struct example_call {
    const clf_connector *c;
    clf_connector_info info;
    clf_value *inputs;
    bool made; /* every shape could be made up */
} example_call;

static example_call make_example(const clf_connector *c)
{
    example_call e = { .c = c, .info = clf_connector_describe(c) };

    e.inputs = clf_alloc(e.info.input_count, sizeof *e.inputs);
    e.made = e.inputs != NULL;
    for (size_t i = 0; e.made && i < e.info.input_count; i++) {
        const bool floats = strstr(e.info.inputs[i].types, "f32") != NULL;
        clf_dims dims;
        e.made = example_dims(e.info.inputs[i].shape, &dims);
        e.inputs[i].name = e.info.inputs[i].name;
        e.inputs[i].tensor = clf_tensor_shape(floats ? CLF_F32 : CLF_I64, dims);
    }
    return e;
}

/* Does the library accept the call for this output?  Inputs that an output does not need do no harm. */
static bool accepted(const example_call *e, size_t input_count, const char *output)
{
    clf_value result = { .name = output };

    return e->made && clf_connector_plan(e->c, e->inputs, input_count, &result, 1, NULL) == CLF_OK;
}

/* The same with the input left out; the order of inputs is free. */
static bool needs(const example_call *e, size_t input, const char *output)
{
    const size_t last = e->info.input_count - 1;
    const clf_value left_out = e->inputs[input];

    e->inputs[input] = e->inputs[last];
    const bool without = accepted(e, last, output);
    e->inputs[input] = left_out;
    return !without && accepted(e, last + 1, output);
}

static void report_facts(clf_cli_report *r, const clf_cli_session *session, const clf_connector_info *info)
{
    clf_cli_text(r, "family", info->family);
    clf_cli_text(r, "module", info->module);
    clf_cli_integer(r, "parameters", info->parameters);
    clf_cli_integer(r, "bytes_as_f32", info->parameters * clf_dtype_bytes(CLF_F32));
    clf_cli_integer(r, "bytes_as_f16", info->parameters * clf_dtype_bytes(CLF_F16));
    clf_cli_integer(r, "bytes_as_bf16", info->parameters * clf_dtype_bytes(CLF_BF16));
    clf_cli_integer(r, "bytes_in_file", session->recorder.bytes);
    clf_cli_integer(r, "bytes_on_device", info->weight_bytes);
}

static void report_inputs(clf_cli_report *r, const example_call *e)
{
    static const clf_cli_column columns[] = { { "name", -14 }, { "shape", -22 }, { "needed_by", -14 }, { "types", 0 } };

    clf_cli_table(r, "inputs", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < e->info.input_count; i++) {
        char outputs[200] = "";
        size_t used = 0;
        for (size_t k = 0; k < e->info.output_count; k++)
            if (needs(e, i, e->info.outputs[k].name))
                used += clf_format(outputs + used, sizeof outputs - used, "%s%s", used > 0 ? " " : "",
                                   e->info.outputs[k].name);
        clf_cli_text(r, NULL, e->info.inputs[i].name);
        clf_cli_text(r, NULL, e->info.inputs[i].shape);
        clf_cli_text(r, NULL, outputs);
        clf_cli_text(r, NULL, e->info.inputs[i].types);
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

static void report_flop(clf_cli_report *r, const example_call *e)
{
    static const clf_cli_column columns[] = { { "output", -14 }, { "flop", 16 }, { "call", 0 } };
    char call[200];

    (void)clf_format(call, sizeof call, "B = %" PRId64 ", N = %" PRId64 ", T = %" PRId64, example[0].size,
                     example[2].size, example[4].size);
    clf_cli_table(r, "flop", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < e->info.output_count; i++) {
        clf_value output = { .name = e->info.outputs[i].name };
        if (!e->made || clf_connector_plan(e->c, e->inputs, e->info.input_count, &output, 1, NULL) != CLF_OK)
            continue;
        clf_cli_text(r, NULL, output.name);
        clf_cli_integer(r, NULL, clf_connector_flop(e->c, e->inputs, e->info.input_count, &output, 1));
        clf_cli_text(r, NULL, call);
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
    const example_call e = make_example(session->connector);
    clf_cli_report r = clf_cli_report_open(json);

    report_facts(&r, session, &e.info);
    report_inputs(&r, &e);
    report_outputs(&r, &e.info);
    report_flop(&r, &e);
    report_tensors(&r, &session->recorder);
    clf_free(e.inputs);
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
    clf_error err = { .status = CLF_OK };
    int result;

    if (options->argument_count == 0)
        return clf_cli_usage(&clf_cli_inspect, "no checkpoint is given; want a folder or a file");
    if (open_all(&session, options, &err) == CLF_OK)
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
            "as given.  Shapes are formulas: B batch, N visual tokens, T text tokens.\n",
    .options =
        CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS | CLF_OPTION_FAMILY | CLF_OPTION_SET | CLF_OPTION_JSON,
    .most_arguments = 1,
    .run = run_inspect,
};
