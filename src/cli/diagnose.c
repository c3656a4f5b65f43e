/* diagnose: does the connector look at the picture?
 *
 * gates -> with inputs: device -> layer by layer: attention weights, blind baseline -> report.  Everything is measured
 * before the first line is printed.  The gate report needs no device. */
#include <inttypes.h>
#include <string.h>

#include "cli/diagnosis.h"
#include "cli/entropy_map.h"
#include "cli/session.h"
#include "cli/values.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/connector.h"
#include "models/diagnose.h"

#define CLF_OP "diagnose"

typedef struct diagnose_state {
    const clf_cli_options *options;
    clf_checkpoint *checkpoint;
    const clf_family *family;
    clf_cli_diagnosis found;

    /* With inputs. */
    clf_cli_values inputs;
    clf_cli_session session;
    clf_cli_entropy_map entropy;
    size_t attention_capacity, blind_capacity;
} diagnose_state;

/* ---- what the checkpoint says ---- */

static clf_status choose_family(diagnose_state *d, clf_error *err)
{
    const clf_cli_options *o = d->options;
    clf_config *config = NULL;
    const char *text = NULL;
    size_t bytes = 0;

    clf_checkpoint_config_text(d->checkpoint, &text, &bytes);
    const clf_config_sets sets = { o->sets, o->set_count, o->sets_read };
    CLF_TRY(clf_config_create("config.json", text, bytes, &sets, &config, err));
    const clf_status status =
        clf_family_choose(config, clf_checkpoint_source(d->checkpoint), o->family, &d->family, err);
    clf_config_destroy(config);
    return status;
}

static clf_status read_gates(diagnose_state *d, clf_error *err)
{
    const clf_tensor_source *source = clf_checkpoint_source(d->checkpoint);

    CLF_TRY(clf_diagnose_gates(source, NULL, 0, &d->found.gate_count, err));
    d->found.gates = clf_alloc(d->found.gate_count, sizeof *d->found.gates);
    CLF_REQUIRE(err, d->found.gates != NULL, CLF_OUT_OF_MEMORY, "no memory for %zu gates", d->found.gate_count);
    return clf_diagnose_gates(source, d->found.gates, d->found.gate_count, &d->found.gate_count, err);
}

static clf_status read_checkpoint(diagnose_state *d, clf_error *err)
{
    d->session.advice = "check the path of the checkpoint, or download, convert or export it again";
    CLF_TRY(clf_checkpoint_open(d->options->arguments[0], &d->checkpoint, err));
    d->session.advice = "choose another checkpoint, or name its family with --family";
    CLF_TRY(choose_family(d, err));
    d->session.advice = "download, convert or export the checkpoint again";
    return read_gates(d, err);
}

/* ---- what the layers do with the inputs ---- */

static clf_status open_inputs(diagnose_state *d, clf_error *err)
{
    d->session.advice = "check --input";
    CLF_TRY(clf_cli_inputs_open(&d->inputs, d->options, err));
    for (size_t i = 0; i < d->inputs.count; i++)
        CLF_REQUIRE(err, clf_element_count(d->inputs.values[i].tensor) > 0, CLF_INVALID_ARGUMENT,
                    "%s is %s; want at least one element", d->inputs.values[i].name,
                    CLF_TEXT(d->inputs.values[i].tensor));
    return CLF_OK;
}

/* False when the connector cannot give this output from the inputs; *err says why. */
static bool gives(const diagnose_state *d, clf_value *output, clf_error *err)
{
    return clf_connector_plan(d->session.connector, d->inputs.values, d->inputs.count, output, 1, err) == CLF_OK &&
           clf_element_count(output->tensor) > 0;
}

static clf_status add_attention(diagnose_state *d, int32_t layer, const float *weights, clf_dims shape, clf_error *err)
{
    void *items = d->found.attention;

    CLF_TRY(clf_grow(&items, d->found.attention_count, &d->attention_capacity, sizeof *d->found.attention, err));
    d->found.attention = items;
    clf_cli_attention *row = &d->found.attention[d->found.attention_count++];
    *row = (clf_cli_attention){ .layer = layer };
    row->heads = clf_alloc((size_t)shape.dim[shape.rank - 3], sizeof *row->heads);
    CLF_REQUIRE(err, row->heads != NULL, CLF_OUT_OF_MEMORY, "no memory for %" PRId64 " heads",
                shape.dim[shape.rank - 3]);
    return clf_diagnose_attention(weights, shape, CLF_COLLAPSE_THRESHOLD, row->heads, &row->report, err);
}

static clf_status look(diagnose_state *d, int32_t layer, clf_value attention, clf_error *err)
{
    clf_status status;

    attention.host = clf_alloc((size_t)clf_element_count(attention.tensor), sizeof(float));
    CLF_REQUIRE(err, attention.host != NULL, CLF_OUT_OF_MEMORY, "no memory for attention %s",
                CLF_TEXT(attention.tensor));
    status = clf_connector_run(d->session.stream, d->session.connector, d->inputs.values, d->inputs.count, &attention,
                               1, err);
    if (status == CLF_OK)
        status = add_attention(d, layer, attention.host, clf_tensor_dims(attention.tensor), err);
    if (status == CLF_OK)
        status = clf_cli_entropy_map_add(&d->entropy, attention.host, clf_tensor_dims(attention.tensor), err);
    clf_free(attention.host);
    return status;
}

static clf_status add_blind(diagnose_state *d, int32_t layer, const char *output, clf_error *err)
{
    void *items = d->found.blind;

    CLF_TRY(clf_grow(&items, d->found.blind_count, &d->blind_capacity, sizeof *d->found.blind, err));
    d->found.blind = items;
    clf_cli_blind *row = &d->found.blind[d->found.blind_count];
    *row = (clf_cli_blind){ .layer = layer };
    (void)clf_format(row->output, sizeof row->output, "%s", output);
    CLF_TRY(clf_diagnose_blind(d->session.stream, d->session.connector, d->inputs.values, d->inputs.count, output,
                               &row->difference, err));
    d->found.blind_count++;
    return CLF_OK;
}

/* One output that the inputs allow by their shapes; *done is false when their values do not: *why says so. */
static clf_status measure_output(diagnose_state *d, int32_t layer, clf_value output, bool *done, clf_error *why)
{
    const clf_status status =
        strcmp(output.name, "attention") == 0 ? look(d, layer, output, why) : add_blind(d, layer, output.name, why);

    *done = status == CLF_OK;
    if (status != CLF_INVALID_ARGUMENT)
        return status;
    clf_stream_reset(d->session.stream);
    return CLF_OK;
}

/* Whether an output tells of the picture: attention, or values that a visual input goes into. */
static bool tells(const diagnose_state *d, clf_value output)
{
    return strcmp(output.name, "attention") == 0 ||
           (output.tensor.dtype == CLF_F32 &&
            clf_diagnose_sees(d->session.connector, d->inputs.values, d->inputs.count, output.name));
}

/* Everything that the inputs allow; what belongs to no layer, with the first.  When they allow nothing, the first
 * output says what is missing. */
static clf_status measure_layer(diagnose_state *d, int32_t layer, clf_error *err)
{
    const clf_connector_info info = clf_connector_describe(d->session.connector);
    const clf_output_port *ports = d->session.connector->model.model_class->outputs;
    clf_error first = { .status = CLF_OK };
    bool any = false;

    for (size_t i = 0; i < info.output_count; i++) {
        clf_value output = { .name = info.outputs[i].name };
        clf_error why = { .status = CLF_OK };
        bool done = gives(d, &output, &why);

        if (done && !tells(d, output))
            continue;
        if (done && (layer == 0 || !ports[i].of_no_layer)) {
            const clf_status status = measure_output(d, layer, output, &done, &why);

            if (status != CLF_OK) {
                *err = why;
                return status;
            }
        }
        any = any || done;
        if (!done && first.status == CLF_OK)
            first = why;
    }
    if (!any && first.status != CLF_OK) {
        *err = first;
        return first.status;
    }
    CLF_REQUIRE(err, any, CLF_INVALID_ARGUMENT, "no visual input is given; want image, vision, media or deepstack.K");
    return CLF_OK;
}

/* The next layer in place of the last; *more is false behind the last one. */
static clf_status open_layer(diagnose_state *d, int32_t layer, bool *more, clf_error *err)
{
    const clf_cli_options *o = d->options;
    clf_connector_options wanted = clf_connector_options_default();
    const char *text = NULL;
    size_t bytes = 0;

    clf_connector_destroy(d->session.connector);
    d->session.connector = NULL;
    clf_checkpoint_config_text(d->checkpoint, &text, &bytes);
    wanted.family = o->family;
    wanted.storage = o->storage;
    wanted.layer = layer;
    wanted.sets = o->sets;
    wanted.set_count = o->set_count;
    const clf_status status = clf_connector_create_part(d->session.ctx, clf_checkpoint_source(d->checkpoint), text,
                                                        bytes, &wanted, d->session.ends, &d->session.connector, err);
    *more = status == CLF_OK;
    return status == CLF_INVALID_ARGUMENT && strstr(err->message, ": layer is ") != NULL ? CLF_OK : status;
}

static clf_status measure(diagnose_state *d, clf_error *err)
{
    bool more = true;

    CLF_TRY(open_inputs(d, err));
    CLF_TRY(clf_cli_session_device(&d->session, d->options, err));
    d->session.ends = true; /* behind each layer in turn: what a stack gives is told apart by layers */
    CLF_TRY(clf_cli_session_connector(&d->session, d->options, d->options->arguments[0], err));
    for (int32_t layer = 0; more; layer++) {
        d->session.advice = "clfusion inspect lists inputs, outputs and shapes";
        CLF_TRY(measure_layer(d, layer, err));
        d->session.advice = "check the checkpoint, --family and --set";
        more = d->family->layered;
        if (more)
            CLF_TRY(open_layer(d, layer + 1, &more, err));
    }
    return CLF_OK;
}

static clf_status diagnose_all(diagnose_state *d, clf_error *err)
{
    CLF_TRY(read_checkpoint(d, err));
    d->found.family = d->family->id;
    d->found.measured = d->options->input_count > 0;
    if (d->found.measured)
        CLF_TRY(measure(d, err));
    d->session.advice = "check --input and --entropy";
    return clf_cli_entropy_map_write(&d->entropy, err);
}

static void close_all(diagnose_state *d)
{
    if (d->session.stream != NULL)
        clf_stream_reset(d->session.stream); /* copies in flight read the inputs; the error has been told */
    clf_cli_values_close(&d->inputs, d->session.ctx);
    clf_cli_session_close(&d->session);
    clf_cli_entropy_map_close(&d->entropy);
    for (size_t i = 0; i < d->found.attention_count; i++)
        clf_free(d->found.attention[i].heads);
    clf_free(d->found.attention);
    clf_free(d->found.blind);
    clf_free(d->found.gates);
    clf_checkpoint_close(d->checkpoint);
}

static int run_diagnose(const clf_cli_options *options)
{
    diagnose_state d = { .options = options, .entropy = { .path = options->entropy } };
    clf_error err = { .status = CLF_OK };
    int result;

    if (options->argument_count == 0)
        return clf_cli_usage(&clf_cli_diagnose, "no checkpoint is given; want a folder or a file");
    if (options->entropy != NULL && options->input_count == 0)
        return clf_cli_usage(&clf_cli_diagnose, "--entropy is given without inputs; want --input NAME=FILE.npy");
    if (diagnose_all(&d, &err) != CLF_OK)
        result = clf_cli_fail(&err, d.session.advice);
    else
        result = clf_cli_diagnosis_report(&d.found, options->json);
    if (result == CLF_EXIT_DONE && clf_cli_entropy_map_commit(&d.entropy, &err) != CLF_OK)
        result = clf_cli_fail(&err, "check the path of --entropy");
    close_all(&d);
    return result;
}

const clf_cli_command clf_cli_diagnose = {
    .name = "diagnose",
    .usage = "CHECKPOINT [--input NAME=FILE.npy ...] [OPTIONS]",
    .summary = "tells whether a connector looks at the picture: gates, attention, blind baseline",
    .text =
        "Without inputs: the gates of all layers, tanh(alpha) of each; needs no device.  With inputs, layer by layer:\n"
        "entropy of the attention in nats and relative to that of equal weights; shares of heads and of visual\n"
        "tokens with a weight above 0.9; and how much each output changes, relative to its norm, when image, vision,\n"
        "media and deepstack.K are zeros; of a stack, what it gives when it ends behind the layer.  --set "
        "attention_of=self|cross chooses where a layer has both.  --entropy writes the map behind the means: one "
        "value\n"
        "for each layer, head and position.\n",
    .options = CLF_OPTION_INPUT | CLF_OPTION_ENTROPY | CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS |
               CLF_OPTION_FAMILY | CLF_OPTION_SET | CLF_OPTION_JSON,
    .most_arguments = 1,
    .run = run_diagnose,
};
