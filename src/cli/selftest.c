/* selftest: every kernel family on the picked device, against its known answer and the reference in double. */
#include "bench.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/trace.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

static const clf_cli_column columns[] = { { "family", -12 }, { "result", -6 }, { "detail", 0 } };

/* Returns the number of families that failed; `names` receives them. */
static size_t test_all(clf_cli_report *r, clf_stream *s, const clf_cli_options *options, char *names, size_t bytes)
{
    size_t failed = 0, used = 0;

    clf_cli_table(r, "families", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < clf_bench_count; i++) {
        clf_error err = { .status = CLF_OK };
        clf_status status = clf_bench_selftest(clf_benches[i], s, options->storage, &err);
        for (int64_t n = 1; n < options->repeat && status == CLF_OK; n++)
            status = clf_bench_selftest(clf_benches[i], s, options->storage, &err);
        clf_cli_text(r, NULL, clf_benches[i]->name);
        clf_cli_text(r, NULL, status == CLF_OK ? "passed" : "failed");
        clf_cli_text(r, NULL, status == CLF_OK ? "known answer and reference met" : err.message);
        if (status == CLF_OK)
            continue;
        used += clf_format(names + used, bytes - used, "%s%s", failed > 0 ? ", " : "", clf_benches[i]->name);
        failed++;
    }
    clf_cli_table_end(r);
    return failed;
}

typedef struct selftest_state {
    const clf_cli_options *options;
    clf_cli_session session;
    clf_cli_trace trace;
} selftest_state;

static clf_status open_all(selftest_state *t, clf_error *err)
{
    t->session.advice = "nothing was kept; choose another --profile";
    CLF_TRY(clf_cli_trace_open(&t->trace, t->options->profile, err));
    return clf_cli_session_device(&t->session, t->options, err);
}

/* The rename comes last: a failing run leaves no file. */
static clf_status keep_trace(selftest_state *t, clf_error *err)
{
    t->session.advice = "nothing was kept; choose another --profile";
    clf_cli_trace_add(&t->trace, t->session.stream);
    CLF_TRY(clf_cli_trace_finish(&t->trace, err));
    return clf_cli_trace_commit(&t->trace, err);
}

static int test_and_report(selftest_state *t)
{
    const clf_context *ctx = t->session.ctx;
    clf_error err = { .status = CLF_OK };
    char names[400] = "";
    clf_cli_report r = clf_cli_report_open(t->options->json);

    clf_cli_text(&r, "device", clf_context_device(ctx)->name);
    clf_cli_text(&r, "driver", clf_context_device(ctx)->driver);
    clf_cli_text(&r, "gemm", clf_context_gemm(ctx));
    clf_cli_text(&r, "kernels", clf_context_kernels(ctx));
    const size_t failed = test_all(&r, t->session.stream, t->options, names, sizeof names);
    const int result = clf_cli_report_close(&r);
    if (result != CLF_EXIT_DONE)
        return result;
    if (failed > 0)
        return clf_cli_failf("selftest: %zu of %zu kernel families failed: %s; update the driver or try another "
                             "--device",
                             failed, clf_bench_count, names);
    return keep_trace(t, &err) == CLF_OK ? CLF_EXIT_DONE : clf_cli_fail(&err, t->session.advice);
}

static int run_selftest(const clf_cli_options *options)
{
    selftest_state t = { .options = options };
    clf_error err = { .status = CLF_OK };
    const clf_status status = open_all(&t, &err);
    const int result = status == CLF_OK ? test_and_report(&t) : clf_cli_fail(&err, t.session.advice);

    clf_cli_trace_abandon(&t.trace);
    clf_cli_session_close(&t.session);
    return result;
}

const clf_cli_command clf_cli_selftest = {
    .name = "selftest",
    .usage = "[OPTIONS]",
    .summary = "runs the known-answer tests of every kernel family on the picked device",
    .text =
        "One line for each family.  Exit status 1 when one fails.  --repeat N tests each N times.  The tests belong\n"
        "to no checkpoint: --family and --set change nothing.\n",
    .options = CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS | CLF_OPTION_FAMILY | CLF_OPTION_SET |
               CLF_OPTION_REPEAT | CLF_OPTION_PROFILE | CLF_OPTION_JSON,
    .most_arguments = 0,
    .no_checkpoint = true,
    .run = run_selftest,
};
