/* run: the connector of a checkpoint on npy files.
 *
 * inputs -> device -> connector -> plan -> compute -> files without a name -> report -> renames.  A step that fails ends
 * the run with its line; files appear only after everything else has succeeded. */
#include <string.h>

#include "cli/heatmap.h"
#include "cli/image.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/timing.h"
#include "cli/trace.h"
#include "cli/values.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "run"

typedef struct run_state {
    const clf_cli_options *options;
    clf_cli_session session;
    clf_cli_values inputs;
    clf_cli_values outputs;
    clf_cli_trace trace;
    clf_cli_heatmap heatmap;
    uint64_t flop;
    double load_ms;
    double first_ms;                  /* the first call, programs built and loaded in it */
    double *call_ms;                  /* [repeat], ascending once measured */
    uint64_t launches, operand_bytes; /* of the last call */
    char advice[300];
} run_state;

/* Every target before the first rename, and before the work. */
static clf_status check_targets(run_state *r, clf_error *err)
{
    const clf_cli_options *o = r->options;

    r->session.advice = "nothing was kept; choose another --output, --profile or --heatmap";
    for (size_t i = 0; i < o->output_count; i++)
        if (o->outputs[i].path != NULL)
            CLF_TRY(clf_file_target_check(o->outputs[i].path, err));
    if (o->heatmap.file.name != NULL)
        CLF_TRY(clf_file_target_check(o->heatmap.file.path, err));
    return o->profile != NULL ? clf_file_target_check(o->profile, err) : CLF_OK;
}

static clf_status open_all(run_state *r, clf_error *err)
{
    CLF_TRY(check_targets(r, err));
    r->session.advice = "check --input";
    CLF_TRY(clf_cli_inputs_open(&r->inputs, r->options, err));
    CLF_TRY(clf_cli_outputs_open(&r->outputs, r->options, err));
    r->session.advice = "give --heatmap another picture";
    CLF_TRY(clf_cli_heatmap_open(&r->heatmap, &r->options->heatmap, err));
    CLF_TRY(clf_cli_session_device(&r->session, r->options, err));
    const double begin = clf_seconds();
    CLF_TRY(clf_cli_session_connector(&r->session, r->options, r->options->arguments[0], err));
    r->load_ms = (clf_seconds() - begin) * 1e3;
    r->session.advice = "check --image";
    return r->options->image == NULL ? CLF_OK
                                     : clf_cli_image_load(&r->inputs, r->options->image, r->options->arguments[0],
                                                          r->session.connector, r->session.stream, err);
}

/* Shapes are checked and known before any memory is taken for them. */
static clf_status plan(run_state *r, clf_error *err)
{
    const clf_connector *c = r->session.connector;

    r->session.advice = "clfusion inspect lists inputs, outputs and shapes";
    CLF_TRY(clf_connector_plan(c, r->inputs.values, r->inputs.count, r->outputs.values, r->outputs.count, err));
    r->flop = clf_connector_flop(c, r->inputs.values, r->inputs.count, r->outputs.values, r->outputs.count);
    CLF_TRY(clf_cli_inputs_upload(&r->inputs, &r->outputs, c, r->session.stream, err));
    CLF_TRY(clf_cli_outputs_allocate(&r->outputs, r->session.stream, err));
    return clf_stream_finish(r->session.stream, err);
}

static clf_status call_once(run_state *r, double *ms, clf_error *err)
{
    uint64_t bytes_before, bytes;
    const uint64_t before = clf_stream_launches(r->session.stream, &bytes_before);
    const double begin = clf_seconds();

    clf_connector_enqueue(r->session.stream, r->session.connector, r->inputs.values, r->inputs.count, r->outputs.values,
                          r->outputs.count);
    CLF_TRY(clf_stream_finish(r->session.stream, err));
    *ms = (clf_seconds() - begin) * 1e3;
    r->launches = clf_stream_launches(r->session.stream, &bytes) - before;
    r->operand_bytes = bytes - bytes_before;
    return CLF_OK;
}

static clf_status compute(run_state *r, clf_error *err)
{
    const size_t repeat = (size_t)r->options->repeat;

    r->call_ms = clf_alloc(repeat, sizeof *r->call_ms);
    CLF_REQUIRE(err, r->call_ms != NULL, CLF_OUT_OF_MEMORY, "no memory for %zu times", repeat);
    CLF_TRY(call_once(r, &r->first_ms, err));
    for (size_t i = 0; i < repeat; i++)
        CLF_TRY(call_once(r, &r->call_ms[i], err));
    clf_times_sort(r->call_ms, repeat);
    clf_cli_outputs_download(&r->outputs, r->session.stream);
    CLF_TRY(clf_stream_finish(r->session.stream, err));
    r->session.advice = "clfusion inspect tells the shape of attention";
    return clf_cli_heatmap_draw(&r->heatmap, &r->outputs, r->session.stream, err);
}

/* Everything but the names. */
static clf_status write_files(run_state *r, clf_error *err)
{
    const clf_cli_options *o = r->options;

    CLF_TRY(check_targets(r, err));
    CLF_TRY(clf_cli_outputs_write(&r->outputs, o->output_type, err));
    CLF_TRY(clf_cli_heatmap_write(&r->heatmap, err));
    CLF_TRY(clf_cli_trace_open(&r->trace, o->profile, err));
    clf_cli_trace_add(&r->trace, r->session.stream);
    return clf_cli_trace_finish(&r->trace, err);
}

/* The renames.  One that fails cannot undo those before it, whose old files are gone: the line names them. */
static clf_status commit(run_state *r, clf_error *err)
{
    size_t used = 0;

    for (size_t i = 0; i < r->outputs.count; i++) {
        CLF_TRY(clf_cli_output_commit(&r->outputs, i, err));
        if (r->outputs.files[i].path == NULL)
            continue;
        used += clf_format(r->advice + used, sizeof r->advice - used, "%s%s", used == 0 ? "only written: " : ", ",
                           r->outputs.files[i].name);
        r->session.advice = r->advice;
    }
    CLF_TRY(clf_cli_heatmap_commit(&r->heatmap, err));
    return clf_cli_trace_commit(&r->trace, err);
}

static void report_times(const run_state *r, clf_cli_report *out)
{
    const size_t repeat = (size_t)r->options->repeat;
    const double median = clf_times_median(r->call_ms, repeat);
    uint64_t peak = 0;

    (void)clf_context_memory(r->session.ctx, &peak);
    clf_cli_text(out, "device", clf_context_device(r->session.ctx)->name);
    clf_cli_text(out, "gemm", clf_context_gemm(r->session.ctx));
    clf_cli_text(out, "kernels", clf_context_kernels(r->session.ctx));
    clf_cli_integer(out, "repeat", repeat);
    clf_cli_real(out, "load_ms", r->load_ms, 3);
    clf_cli_real(out, "first_call_ms", r->first_ms, 3);
    clf_cli_real(out, "minimum_ms", r->call_ms[0], 3);
    clf_cli_real(out, "median_ms", median, 3);
    clf_cli_integer(out, "flop", r->flop);
    clf_cli_real(out, "gflops", (double)r->flop / median * 1e-6, 3);
    clf_cli_integer(out, "launches", r->launches);
    clf_cli_integer(out, "operand_bytes", r->operand_bytes);
    clf_cli_integer(out, "peak_device_bytes", peak);
}

static void report_heatmap(const run_state *r, clf_cli_report *out)
{
    const clf_picture *drawn = &r->heatmap.drawn;

    if (drawn->rgb == NULL)
        return;
    clf_cli_text(out, NULL, "heatmap");
    clf_cli_text(out, NULL, "u8");
    clf_cli_shape(out, NULL, 3, (const int64_t[]){ drawn->height, drawn->width, 3 });
    clf_cli_text(out, NULL, r->options->heatmap.file.path);
}

static int report_run(const run_state *r)
{
    static const clf_cli_column columns[] = { { "name", -12 }, { "type", -5 }, { "shape", -20 }, { "file", 0 } };
    clf_cli_report out = clf_cli_report_open(r->options->json);

    clf_cli_text(&out, "family", clf_connector_describe(r->session.connector).family);
    if (r->options->repeat > 0)
        report_times(r, &out);
    clf_cli_table(&out, "outputs", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < r->outputs.count; i++) {
        const clf_host_tensor t = r->outputs.own[i].written;
        if (r->outputs.files[i].path == NULL)
            continue;
        clf_cli_text(&out, NULL, r->outputs.files[i].name);
        clf_cli_text(&out, NULL, clf_dtype_name(t.dtype));
        clf_cli_shape(&out, NULL, t.rank, t.dim);
        clf_cli_text(&out, NULL, r->outputs.files[i].path);
    }
    report_heatmap(r, &out);
    clf_cli_table_end(&out);
    return clf_cli_report_close(&out);
}

static clf_status run_all(run_state *r, clf_error *err)
{
    CLF_TRY(open_all(r, err));
    CLF_TRY(plan(r, err));
    CLF_TRY(compute(r, err));
    return write_files(r, err);
}

/* The path of result i: the outputs, the profile, the heat map; NULL: none. */
static const char *target(const clf_cli_options *o, size_t i)
{
    if (i < o->output_count)
        return o->outputs[i].path;
    return i == o->output_count ? o->profile : o->heatmap.file.path;
}

/* Two results in one file would leave only the last.  The line of the first pair, or CLF_EXIT_DONE. */
static int check_distinct(const clf_cli_options *o)
{
    for (size_t i = 0; i < o->output_count + 2; i++)
        for (size_t j = 0; j < i; j++) {
            const char *a = target(o, i), *b = target(o, j);
            if (a != NULL && b != NULL && clf_file_target_same(a, b))
                return clf_cli_usage(&clf_cli_run, "%s and %s are the same file; want one for each result", b, a);
        }
    return CLF_EXIT_DONE;
}

/* The report comes before the renames: a full or closed stdout must not leave files behind. */
static int run_and_report(run_state *r)
{
    clf_error err = { .status = CLF_OK };
    clf_status status = run_all(r, &err);

    if (status == CLF_OK) {
        const int reported = report_run(r);
        if (reported != CLF_EXIT_DONE)
            return reported;
        status = commit(r, &err);
    }
    return status == CLF_OK ? CLF_EXIT_DONE : clf_cli_fail(&err, r->session.advice);
}

static bool has(const clf_cli_file *files, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].name, name) == 0)
            return true;
    return false;
}

/* The input that --image fills in and the output that --heatmap draws, without files.  There is room: each list is as
 * long as the command line. */
static void add_own_values(clf_cli_options *o)
{
    static char image[] = "image", attention[] = "attention", relevance[] = "relevance";
    char *drawn = o->heatmap.position >= 0 ? attention : relevance;

    if (o->image != NULL)
        o->inputs[o->input_count++] = (clf_cli_file){ .name = image };
    if (o->heatmap.file.name != NULL && !has(o->outputs, o->output_count, drawn))
        o->outputs[o->output_count++] = (clf_cli_file){ .name = drawn };
}

/* What the words of the command line must have together; CLF_EXIT_DONE or the exit status, with its line. */
static int check_usage(const clf_cli_options *o)
{
    if (o->argument_count == 0)
        return clf_cli_usage(&clf_cli_run, "no checkpoint is given; want a folder or a file");
    if (clf_cli_heatmap_check(&clf_cli_run, &o->heatmap) != CLF_EXIT_DONE)
        return CLF_EXIT_USAGE;
    if (o->output_count == 0 && o->heatmap.file.name == NULL)
        return clf_cli_usage(&clf_cli_run, "no output is given; want --output NAME=FILE.npy");
    if (o->image != NULL && has(o->inputs, o->input_count, "image"))
        return clf_cli_usage(&clf_cli_run, "--image and --input image are given; want one of them");
    return check_distinct(o);
}

static int run_run(const clf_cli_options *given)
{
    clf_cli_options options = *given;
    run_state r = { .options = &options };

    if (check_usage(&options) != CLF_EXIT_DONE)
        return CLF_EXIT_USAGE;
    add_own_values(&options);

    const int result = run_and_report(&r);
    if (r.session.stream != NULL)
        clf_stream_reset(r.session.stream); /* copies in flight read the inputs; the error has been told */
    clf_cli_trace_abandon(&r.trace);
    clf_cli_heatmap_close(&r.heatmap);
    clf_cli_values_close(&r.inputs, r.session.ctx);
    clf_cli_values_close(&r.outputs, r.session.ctx);
    clf_free(r.call_ms);
    clf_cli_session_close(&r.session);
    return result;
}

const clf_cli_command clf_cli_run = {
    .name = "run",
    .usage = "CHECKPOINT --input NAME=FILE.npy ... --output NAME=FILE.npy ... [OPTIONS]",
    .summary = "runs the connector of a checkpoint",
    .text = "CHECKPOINT is a folder with config.json and model.safetensors (or its index and shards), or one\n"
            ".safetensors file.  Values are f32, f16 or f64, ids and masks i32, i64, u8 or bool; a leading batch\n"
            "dimension may be missing.  Only what the outputs need is computed.  Files appear when everything has\n"
            "succeeded.  clfusion inspect CHECKPOINT lists inputs and outputs.\n",
    .options = CLF_OPTION_INPUT | CLF_OPTION_OUTPUT | CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS |
               CLF_OPTION_FAMILY | CLF_OPTION_SET | CLF_OPTION_LAYER | CLF_OPTION_REPEAT | CLF_OPTION_PROFILE |
               CLF_OPTION_IMAGE | CLF_OPTION_HEATMAP | CLF_OPTION_JSON,
    .most_arguments = 1,
    .run = run_run,
};
