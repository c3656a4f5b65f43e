/* bench: times the suite on the picked device, case by case.
 *
 * A round is one reading of the peak that bounds the case and one of the case itself, so that both see the same minutes
 * of a shared machine.  The share compares the best of both; milliseconds are the median. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/timing.h"
#include "cli/trace.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "peak.h"

#define CLF_OP "bench"

enum { DEFAULT_ROUNDS = 30, MOST_CALLS = 10000 };

static const double batch_seconds = 2e-3; /* calls of one reading: long against the wait at its end */

typedef struct bench_state {
    const clf_cli_options *options;
    clf_cli_session session;
    clf_cli_trace trace;
    clf_peak peak;
    clf_cli_report report;
    size_t rounds;
    double *ms;        /* [rounds] */
    double cpu_ms;     /* the least of the rounds: processor time of a call, all threads of the process together */
    uint64_t launches; /* kernels of one call of the case */
} bench_state;

static const clf_cli_column columns[] = {
    { "case", -24 },   { "ms", 10 },    { "spread_percent", 14 }, { "best_ms", 10 }, { "cpu_ms", 10 }, { "gflops", 9 },
    { "gbytes_s", 9 }, { "bound", -5 }, { "share_percent", 13 },  { "launches", 8 }, { "note", 0 },
};

/* "linear" takes all its cases, "linear.square" one. */
static bool named(const char *wanted, const clf_bench *b, const clf_bench_case *c)
{
    return strcmp(wanted, b->name) == 0 || strcmp(wanted, c->name) == 0;
}

static bool chosen(const clf_cli_options *o, const clf_bench *b, const clf_bench_case *c)
{
    for (size_t i = 0; i < o->argument_count; i++)
        if (named(o->arguments[i], b, c))
            return true;
    return o->argument_count == 0;
}

/* The first argument that names no case; NULL when all do. */
static const char *unknown_argument(const clf_cli_options *o)
{
    for (size_t i = 0; i < o->argument_count; i++) {
        bool known = false;
        for (size_t j = 0; j < clf_bench_count; j++)
            for (size_t k = 0; k < clf_benches[j]->case_count; k++)
                known = known || named(o->arguments[i], clf_benches[j], &clf_benches[j]->cases[k]);
        if (!known)
            return o->arguments[i];
    }
    return NULL;
}

static int print_list(const clf_cli_options *o)
{
    static const clf_cli_column list[] = { { "case", -24 }, { "note", -52 }, { "shapes", 0 } };
    clf_cli_report r = clf_cli_report_open(o->json);

    clf_cli_table(&r, "cases", list, CLF_COUNT(list));
    for (size_t i = 0; i < clf_bench_count; i++)
        for (size_t k = 0; k < clf_benches[i]->case_count; k++) {
            const clf_bench_case *c = &clf_benches[i]->cases[k];
            if (!chosen(o, clf_benches[i], c))
                continue;
            clf_cli_text(&r, NULL, c->name);
            clf_cli_text(&r, NULL, c->note);
            clf_cli_text(&r, NULL, c->shapes);
        }
    clf_cli_table_end(&r);
    return clf_cli_report_close(&r);
}

/* Of one call. */
typedef struct call_time {
    double seconds, processor_seconds;
} call_time;

static clf_status time_calls(const clf_bench *b, const clf_bench_work *w, size_t calls, call_time *time, clf_error *err)
{
    const double begin = clf_seconds(), processor_begin = clf_processor_seconds();

    for (size_t i = 0; i < calls; i++)
        b->run(w);
    CLF_TRY(clf_stream_finish(w->stream, err));
    time->seconds = (clf_seconds() - begin) / (double)calls;
    time->processor_seconds = (clf_processor_seconds() - processor_begin) / (double)calls;
    return CLF_OK;
}

/* So many calls that a reading takes batch_seconds. */
static clf_status choose_calls(const clf_bench *b, const clf_bench_work *w, size_t *calls, clf_error *err)
{
    call_time time = { 0 };

    *calls = 1;
    CLF_TRY(time_calls(b, w, 1, &time, err));
    while (time.seconds * (double)*calls < batch_seconds && *calls < MOST_CALLS) {
        *calls *= 2;
        CLF_TRY(time_calls(b, w, *calls, &time, err));
    }
    return CLF_OK;
}

/* The peak that the case meets first.  What is written little counts as reading.  The memory peaks stand for data that
 * come from memory; a small case that is repeated finds its operands in a cache, which is several times as fast. */
#define CACHE_ADVANTAGE 4.0
static clf_peak_kind bound_of(const bench_state *s, const clf_bench *b, const clf_bench_work *w)
{
    const double written = (double)clf_element_count(w->y) * (double)clf_dtype_bytes(w->y.dtype);
    const double bytes = clf_bench_bytes(b, w);
    const clf_peak_kind memory = written * 8 < bytes ? CLF_PEAK_READ : CLF_PEAK_COPY;
    const bool arithmetic =
        clf_bench_flop(b, w) / s->peak.best[CLF_PEAK_FMA] > bytes / (CACHE_ADVANTAGE * s->peak.best[memory]);

    return arithmetic ? CLF_PEAK_FMA : memory;
}

static void report_case(bench_state *s, const clf_bench *b, const clf_bench_work *w, clf_peak_kind bound, double peak)
{
    const double flop = clf_bench_flop(b, w), bytes = clf_bench_bytes(b, w);
    const double median = clf_times_median(s->ms, s->rounds) * 1e-3, best = s->ms[0] * 1e-3;
    const double work = bound == CLF_PEAK_FMA ? flop : bytes;

    clf_cli_text(&s->report, NULL, w->bench_case->name);
    clf_cli_real(&s->report, NULL, median * 1e3, 4);
    clf_cli_real(&s->report, NULL, clf_times_spread(s->ms, s->rounds) * 100, 1);
    clf_cli_real(&s->report, NULL, best * 1e3, 4);
    clf_cli_real(&s->report, NULL, s->cpu_ms, 4);
    clf_cli_real(&s->report, NULL, flop > 0 ? flop / median * 1e-9 : NAN, 1);
    clf_cli_real(&s->report, NULL, bytes / median * 1e-9, 2);
    clf_cli_text(&s->report, NULL, clf_peak_name(bound));
    clf_cli_real(&s->report, NULL, work / best / peak * 100, 1);
    clf_cli_integer(&s->report, NULL, s->launches);
    clf_cli_text(&s->report, NULL, w->bench_case->note);
    (void)fflush(stdout);
}

/* Kernels of one call.  Its end is waited for with the calls that are timed first. */
static void count_launches(bench_state *s, const clf_bench *b, const clf_bench_work *w)
{
    const uint64_t before = clf_stream_launches(w->stream, NULL);

    b->run(w);
    s->launches = clf_stream_launches(w->stream, NULL) - before;
}

static clf_status time_case(bench_state *s, const clf_bench *b, const clf_bench_work *w, clf_error *err)
{
    size_t calls = 0;
    double peak = 0.0, rate = 0.0;
    call_time time = { 0 };

    CLF_TRY(clf_bench_check(b, w, err)); /* no time before the result is right */
    count_launches(s, b, w);
    CLF_TRY(choose_calls(b, w, &calls, err));
    const clf_peak_kind bound = bound_of(s, b, w);
    s->cpu_ms = INFINITY;
    for (size_t i = 0; i < s->rounds; i++) {
        CLF_TRY(clf_peak_measure(&s->peak, bound, clf_bench_bytes(b, w), &rate, err));
        peak = CLF_MAX(peak, rate);
        CLF_TRY(time_calls(b, w, calls, &time, err));
        s->ms[i] = time.seconds * 1e3;
        s->cpu_ms = CLF_MIN(s->cpu_ms, time.processor_seconds * 1e3);
    }
    clf_times_sort(s->ms, s->rounds);
    report_case(s, b, w, bound, peak);
    return CLF_OK;
}

static clf_status run_case(bench_state *s, const clf_bench *b, const clf_bench_case *c, clf_error *err)
{
    clf_bench_work w;
    clf_status status = clf_bench_open(b, c, s->session.stream, s->options->storage, NULL, &w, err);

    if (status == CLF_OK)
        status = time_case(s, b, &w, err);
    /* Case by case: the driver keeps an event for each kernel until it is read. */
    clf_cli_trace_add(&s->trace, s->session.stream);
    clf_bench_close(b, &w);
    return status;
}

static clf_status run_cases(bench_state *s, clf_error *err)
{
    for (size_t i = 0; i < clf_bench_count; i++)
        for (size_t k = 0; k < clf_benches[i]->case_count; k++)
            if (chosen(s->options, clf_benches[i], &clf_benches[i]->cases[k]))
                CLF_TRY(run_case(s, clf_benches[i], &clf_benches[i]->cases[k], err));
    return CLF_OK;
}

static clf_status open_all(bench_state *s, clf_error *err)
{
    s->session.advice = "nothing was kept; choose another --profile";
    CLF_TRY(clf_cli_trace_open(&s->trace, s->options->profile, err)); /* known to be possible before minutes of work */
    CLF_TRY(clf_cli_session_device(&s->session, s->options, err));
    s->session.advice = "please report this line with the output of clfusion devices";
    s->ms = clf_alloc(s->rounds, sizeof *s->ms);
    CLF_REQUIRE(err, s->ms != NULL, CLF_OUT_OF_MEMORY, "no memory for %zu times", s->rounds);
    return clf_peak_open(s->session.stream, &s->peak, err);
}

static void report_device(bench_state *s)
{
    const clf_device_info *device = clf_context_device(s->session.ctx);

    clf_cli_text(&s->report, "device", device->name);
    clf_cli_text(&s->report, "driver", device->driver);
    clf_cli_text(&s->report, "gemm", clf_context_gemm(s->session.ctx));
    clf_cli_text(&s->report, "kernels", clf_context_kernels(s->session.ctx));
    clf_cli_text(&s->report, "weights",
                 s->options->storage == CLF_DTYPE_NONE ? "stored" : clf_dtype_name(s->options->storage));
    clf_cli_text(&s->report, "arithmetic", "f32");
    clf_cli_integer(&s->report, "rounds", s->rounds);
}

static void report_peaks(bench_state *s)
{
    clf_cli_real(&s->report, "peak_fma_gflops", s->peak.best[CLF_PEAK_FMA] * 1e-9, 1);
    clf_cli_real(&s->report, "peak_copy_gbytes_s", s->peak.best[CLF_PEAK_COPY] * 1e-9, 2);
    clf_cli_real(&s->report, "peak_read_gbytes_s", s->peak.best[CLF_PEAK_READ] * 1e-9, 2);
}

static clf_status bench_all(bench_state *s, clf_error *err)
{
    CLF_TRY(open_all(s, err));
    s->report = clf_cli_report_open(s->options->json);
    report_device(s);
    clf_cli_table(&s->report, "cases", columns, CLF_COUNT(columns));
    const clf_status status = run_cases(s, err);
    clf_cli_table_end(&s->report);
    report_peaks(s);
    if (status != CLF_OK)
        return status;
    s->session.advice = "nothing was kept; choose another --profile";
    return clf_cli_trace_finish(&s->trace, err);
}

/* The report comes before the rename: a full or closed stdout must not leave a file behind. */
static int bench_and_report(bench_state *s)
{
    clf_error err = { .status = CLF_OK };
    clf_status status = bench_all(s, &err);

    if (s->report.file != NULL && clf_cli_report_close(&s->report) != CLF_EXIT_DONE)
        return CLF_EXIT_FAILED;
    if (status == CLF_OK)
        status = clf_cli_trace_commit(&s->trace, &err);
    return status == CLF_OK ? CLF_EXIT_DONE : clf_cli_fail(&err, s->session.advice);
}

static int run_bench(const clf_cli_options *options)
{
    bench_state s = { .options = options };

    if (unknown_argument(options) != NULL)
        return clf_cli_failf("bench: case is %s; want a name of clfusion bench --list", unknown_argument(options));
    if (options->list)
        return print_list(options);
    s.rounds = options->repeat > 0 ? (size_t)options->repeat : DEFAULT_ROUNDS;
    const int result = bench_and_report(&s);
    clf_cli_trace_abandon(&s.trace);
    clf_peak_close(&s.peak);
    clf_free(s.ms);
    clf_cli_session_close(&s.session);
    return result;
}

const clf_cli_command clf_cli_bench = {
    .name = "bench",
    .usage = "[CASE ...] [OPTIONS]",
    .summary = "times the suite on the picked device, against the peaks measured beside it",
    .text = "CASE is a name of --list, or what stands before its dot; all cases without one.  ms is the median of\n"
            "--repeat rounds (30), the spread goes from the 10th to the 90th percentile, best_ms is the best round,\n"
            "cpu_ms the least processor time of a call, all threads together.  The share is the best round against\n"
            "the best reading beside this case of the peak that bounds it: fma, copy or read.  A case whose result\n"
            "fails its check ends the run.  Arithmetic is f32.  The cases belong to no checkpoint: --family and\n"
            "--set change nothing.\n",
    .options = CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS | CLF_OPTION_FAMILY | CLF_OPTION_SET |
               CLF_OPTION_REPEAT | CLF_OPTION_PROFILE | CLF_OPTION_LIST | CLF_OPTION_JSON,
    .most_arguments = SIZE_MAX,
    .no_checkpoint = true,
    .run = run_bench,
};
