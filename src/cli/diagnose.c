/* diagnose: does the connector look at the picture?
 *
 * gates -> with inputs: device -> layer by layer: attention weights, blind baseline -> report.  Everything is measured
 * before the first line is printed.  The gate report needs no device. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "cli/report.h"
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

typedef struct attention_row {
    int32_t layer;
    clf_attention_report report;
    clf_head_report *heads;
} attention_row;

typedef struct blind_row {
    int32_t layer;
    char output[40];
    double difference;
} blind_row;

typedef struct diagnose_state {
    const clf_cli_options *options;
    clf_checkpoint *checkpoint;
    const clf_family *family;
    clf_gate_report *gates;
    size_t gate_count;

    /* With inputs. */
    clf_cli_values inputs;
    clf_cli_session session;
    attention_row *attention;
    size_t attention_count, attention_capacity;
    blind_row *blind;
    size_t blind_count, blind_capacity;
} diagnose_state;

/* ---- what the checkpoint says ---- */

static clf_status choose_family(diagnose_state *d, clf_error *err)
{
    const clf_cli_options *o = d->options;
    clf_config *config = NULL;
    const char *text = NULL;
    size_t bytes = 0;

    clf_checkpoint_config_text(d->checkpoint, &text, &bytes);
    CLF_TRY(clf_config_create("config.json", text, bytes, o->sets, o->set_count, &config, err));
    const clf_status status =
        clf_family_choose(config, clf_checkpoint_source(d->checkpoint), o->family, &d->family, err);
    clf_config_destroy(config);
    return status;
}

static clf_status read_gates(diagnose_state *d, clf_error *err)
{
    const clf_tensor_source *source = clf_checkpoint_source(d->checkpoint);

    CLF_TRY(clf_diagnose_gates(source, NULL, 0, &d->gate_count, err));
    d->gates = clf_alloc(d->gate_count, sizeof *d->gates);
    CLF_REQUIRE(err, d->gates != NULL, CLF_OUT_OF_MEMORY, "no memory for %zu gates", d->gate_count);
    return clf_diagnose_gates(source, d->gates, d->gate_count, &d->gate_count, err);
}

static clf_status read_checkpoint(diagnose_state *d, clf_error *err)
{
    d->session.advice = "check the path of the checkpoint, or download or convert it again";
    CLF_TRY(clf_checkpoint_open(d->options->arguments[0], &d->checkpoint, err));
    d->session.advice = "choose another checkpoint, or name its family with --family";
    CLF_TRY(choose_family(d, err));
    d->session.advice = "download or convert the checkpoint again";
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
    void *items = d->attention;

    CLF_TRY(clf_grow(&items, d->attention_count, &d->attention_capacity, sizeof *d->attention, err));
    d->attention = items;
    attention_row *row = &d->attention[d->attention_count++];
    *row = (attention_row){ .layer = layer };
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
    clf_free(attention.host);
    return status;
}

static clf_status add_blind(diagnose_state *d, int32_t layer, const char *output, clf_error *err)
{
    void *items = d->blind;

    CLF_TRY(clf_grow(&items, d->blind_count, &d->blind_capacity, sizeof *d->blind, err));
    d->blind = items;
    blind_row *row = &d->blind[d->blind_count];
    *row = (blind_row){ .layer = layer };
    (void)clf_format(row->output, sizeof row->output, "%s", output);
    CLF_TRY(clf_diagnose_blind(d->session.stream, d->session.connector, d->inputs.values, d->inputs.count, output,
                               &row->difference, err));
    d->blind_count++;
    return CLF_OK;
}

/* Everything that the inputs allow.  When they allow nothing, the first output says what is missing. */
static clf_status measure_layer(diagnose_state *d, int32_t layer, clf_error *err)
{
    const clf_connector_info info = clf_connector_describe(d->session.connector);
    clf_error first = { .status = CLF_OK };
    bool any = false;

    for (size_t i = 0; i < info.output_count; i++) {
        clf_value output = { .name = info.outputs[i].name };
        clf_error why = { .status = CLF_OK };

        if (!gives(d, &output, &why)) {
            if (i == 0)
                first = why;
        } else if (strcmp(output.name, "attention") == 0) {
            CLF_TRY(look(d, layer, output, err));
            any = true;
        } else if (output.tensor.dtype == CLF_F32 &&
                   clf_diagnose_sees(d->session.connector, d->inputs.values, d->inputs.count, output.name)) {
            CLF_TRY(add_blind(d, layer, output.name, err));
            any = true;
        }
    }
    if (!any && first.status != CLF_OK) {
        *err = first;
        return first.status;
    }
    CLF_REQUIRE(err, any, CLF_INVALID_ARGUMENT, "no visual input is given; want vision, media or deepstack.K");
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
    const clf_status status = clf_connector_create(d->session.ctx, clf_checkpoint_source(d->checkpoint), text, bytes,
                                                   &wanted, &d->session.connector, err);
    *more = status == CLF_OK;
    return status == CLF_INVALID_ARGUMENT && strstr(err->message, ": layer is ") != NULL ? CLF_OK : status;
}

static clf_status measure(diagnose_state *d, clf_error *err)
{
    bool more = true;

    CLF_TRY(open_inputs(d, err));
    CLF_TRY(clf_cli_session_device(&d->session, d->options, err));
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

/* ---- report ---- */

/* People get few digits; programs get what f32 has. */
static void put_real(clf_cli_report *r, double value)
{
    clf_cli_real(r, NULL, value, r->json ? 9 : 4);
}

static void report_gates(clf_cli_report *r, const diagnose_state *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 },  { "branch", -12 },   { "values", 6 },
                                              { "alpha", 10 }, { "alpha_min", 10 }, { "alpha_max", 10 },
                                              { "tanh", 9 },   { "tanh_min", 9 },   { "tanh_max", 9 },
                                              { "tensor", 0 } };

    clf_cli_integer(r, "gated_layers", d->gate_count == 0 ? 0 : (uint64_t)d->gates[d->gate_count - 1].layer + 1);
    if (d->gate_count == 0 && !r->json)
        return; /* people need no empty table */
    clf_cli_table(r, "gates", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->gate_count; i++) {
        const clf_gate_report *g = &d->gates[i];

        clf_cli_integer(r, NULL, (uint64_t)g->layer);
        clf_cli_text(r, NULL, g->branch == CLF_GATE_ATTENTION ? "attention" : "feed_forward");
        clf_cli_integer(r, NULL, (uint64_t)g->elements);
        put_real(r, g->alpha_mean);
        put_real(r, g->alpha_min);
        put_real(r, g->alpha_max);
        put_real(r, g->tanh_mean);
        put_real(r, g->tanh_min);
        put_real(r, g->tanh_max);
        clf_cli_text(r, NULL, g->name);
    }
    clf_cli_table_end(r);
}

static void report_attention(clf_cli_report *r, const diagnose_state *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 },
                                              { "heads", 5 },
                                              { "collapsed_heads", 15 },
                                              { "tokens", 8 },
                                              { "collapsed_tokens", 16 },
                                              { "entropy", 8 },
                                              { "relative_entropy", 16 },
                                              { "largest", 8 },
                                              { "unseeing_rows", 0 } };

    clf_cli_real(r, "collapse_threshold", CLF_COLLAPSE_THRESHOLD, 3);
    clf_cli_table(r, "attention", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->attention_count; i++) {
        const clf_attention_report *a = &d->attention[i].report;

        clf_cli_integer(r, NULL, (uint64_t)d->attention[i].layer);
        clf_cli_integer(r, NULL, (uint64_t)a->heads);
        put_real(r, (double)a->collapsed_heads / (double)a->heads);
        clf_cli_integer(r, NULL, (uint64_t)a->tokens);
        put_real(r, (double)a->collapsed_tokens / (double)a->tokens);
        put_real(r, a->entropy);
        put_real(r, a->relative_entropy);
        put_real(r, a->largest);
        clf_cli_integer(r, NULL, (uint64_t)a->unseeing_rows);
    }
    clf_cli_table_end(r);
}

static void report_heads(clf_cli_report *r, const diagnose_state *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 },   { "head", 4 },
                                              { "entropy", 8 }, { "relative_entropy", 16 },
                                              { "largest", 8 }, { "collapsed", 0 } };

    clf_cli_table(r, "heads", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->attention_count; i++)
        for (int64_t h = 0; h < d->attention[i].report.heads; h++) {
            const clf_head_report *head = &d->attention[i].heads[h];

            clf_cli_integer(r, NULL, (uint64_t)d->attention[i].layer);
            clf_cli_integer(r, NULL, (uint64_t)h);
            put_real(r, head->entropy);
            put_real(r, head->relative_entropy);
            put_real(r, head->largest);
            clf_cli_bool(r, NULL, head->collapsed);
        }
    clf_cli_table_end(r);
}

static void report_blind(clf_cli_report *r, const diagnose_state *d)
{
    static const clf_cli_column columns[] = { { "layer", 5 }, { "output", -14 }, { "difference", 10 }, { "blind", 0 } };

    clf_cli_real(r, "blind_threshold", CLF_BLIND_THRESHOLD, 3);
    clf_cli_table(r, "blind_baseline", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < d->blind_count; i++) {
        clf_cli_integer(r, NULL, (uint64_t)d->blind[i].layer);
        clf_cli_text(r, NULL, d->blind[i].output);
        put_real(r, d->blind[i].difference);
        clf_cli_bool(r, NULL, d->blind[i].difference < CLF_BLIND_THRESHOLD);
    }
    clf_cli_table_end(r);
}

/* The table of warnings appears with the first; programs find it always. */
typedef struct warnings {
    clf_cli_report *report;
    bool open;
} warnings;

static void open_warnings(warnings *w)
{
    static const clf_cli_column columns[] = { { "warning", 0 } };

    if (!w->open)
        clf_cli_table(w->report, "warnings", columns, CLF_COUNT(columns));
    w->open = true;
}

static void warn(warnings *w, const char *format, ...) CLF_PRINTF(2, 3);

static void warn(warnings *w, const char *format, ...)
{
    char text[300];
    va_list list;

    va_start(list, format);
    (void)clf_format_list(text, sizeof text, format, list);
    va_end(list);
    open_warnings(w);
    clf_cli_text(w->report, NULL, text);
}

static void warn_of_gates(warnings *w, const diagnose_state *d)
{
    for (size_t i = 0; i < d->gate_count; i++)
        if (d->gates[i].tanh_min == 0.0 && d->gates[i].tanh_max == 0.0)
            warn(w, "%s is 0: the branch adds nothing", d->gates[i].name);
}

static void warn_of_layers(warnings *w, const diagnose_state *d)
{
    for (size_t i = 0; i < d->attention_count; i++) {
        const clf_attention_report *a = &d->attention[i].report;

        if (a->collapsed_heads > 0)
            warn(w,
                 "layer %" PRId32 ": %" PRId64 " of %" PRId64 " heads and %" PRId64 " of %" PRId64
                 " tokens have a weight above %g: attention may have collapsed",
                 d->attention[i].layer, a->collapsed_heads, a->heads, a->collapsed_tokens, a->tokens,
                 CLF_COLLAPSE_THRESHOLD);
    }
    for (size_t i = 0; i < d->blind_count; i++)
        if (d->blind[i].difference < CLF_BLIND_THRESHOLD)
            warn(w, "layer %" PRId32 ": %s changes by %.3g of itself without the picture: it may be ignored",
                 d->blind[i].layer, d->blind[i].output, d->blind[i].difference);
}

static int report(const diagnose_state *d)
{
    clf_cli_report r = clf_cli_report_open(d->options->json);
    warnings w = { .report = &r };

    clf_cli_text(&r, "family", d->family->id);
    report_gates(&r, d);
    if (d->attention_count > 0 || (r.json && d->options->input_count > 0)) {
        report_attention(&r, d);
        report_heads(&r, d);
    }
    if (d->blind_count > 0 || (r.json && d->options->input_count > 0))
        report_blind(&r, d);
    if (r.json)
        open_warnings(&w);
    warn_of_gates(&w, d);
    warn_of_layers(&w, d);
    if (w.open)
        clf_cli_table_end(&r);
    return clf_cli_report_close(&r);
}

static clf_status diagnose_all(diagnose_state *d, clf_error *err)
{
    CLF_TRY(read_checkpoint(d, err));
    return d->options->input_count > 0 ? measure(d, err) : CLF_OK;
}

static void close_all(diagnose_state *d)
{
    if (d->session.stream != NULL)
        clf_stream_reset(d->session.stream); /* copies in flight read the inputs; the error has been told */
    clf_cli_values_close(&d->inputs, d->session.ctx);
    clf_cli_session_close(&d->session);
    for (size_t i = 0; i < d->attention_count; i++)
        clf_free(d->attention[i].heads);
    clf_free(d->attention);
    clf_free(d->blind);
    clf_free(d->gates);
    clf_checkpoint_close(d->checkpoint);
}

static int run_diagnose(const clf_cli_options *options)
{
    diagnose_state d = { .options = options };
    clf_error err = { .status = CLF_OK };

    if (options->argument_count == 0)
        return clf_cli_usage(&clf_cli_diagnose, "no checkpoint is given; want a folder or a file");
    const int result = diagnose_all(&d, &err) == CLF_OK ? report(&d) : clf_cli_fail(&err, d.session.advice);
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
        "tokens with a weight above 0.9; and how much each output changes, relative to its norm, when vision, media\n"
        "and deepstack.K are zeros.  --set attention_of=self|cross chooses where a layer has both.\n",
    .options = CLF_OPTION_INPUT | CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS | CLF_OPTION_FAMILY |
               CLF_OPTION_SET | CLF_OPTION_JSON,
    .most_arguments = 1,
    .run = run_diagnose,
};
