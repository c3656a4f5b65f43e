/* selftest: every kernel family on the picked device, against its known answer and the reference in double. */
#include <stdlib.h>

#include "bench.h"
#include "cli/report.h"
#include "cli/session.h"
#include "core/size.h"
#include "core/text.h"

static const clf_cli_column columns[] = { { "family", -12 }, { "result", -6 }, { "detail", 0 } };

/* Returns the number of families that failed; `names` receives them. */
static size_t test_all(clf_cli_report *r, clf_stream *s, clf_dtype storage, char *names, size_t bytes)
{
    size_t failed = 0, used = 0;

    clf_cli_table(r, "families", columns, CLF_COUNT(columns));
    for (size_t i = 0; i < clf_bench_count; i++) {
        clf_error err = { .status = CLF_OK };
        const clf_status status = clf_bench_selftest(clf_benches[i], s, storage, &err);
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

static int run_selftest(const clf_cli_options *options)
{
    clf_cli_session session = { .ctx = NULL };
    clf_error err = { .status = CLF_OK };
    char names[400] = "";

    if (clf_cli_session_device(&session, options, &err) != CLF_OK) {
        const int result = clf_cli_fail(&err, session.advice);
        clf_cli_session_close(&session);
        return result;
    }
    clf_cli_report r = clf_cli_report_open(options->json);
    clf_cli_text(&r, "device", clf_context_device(session.ctx)->name);
    clf_cli_text(&r, "driver", clf_context_device(session.ctx)->driver);
    clf_cli_text(&r, "gemm", clf_context_gemm(session.ctx));
    clf_cli_text(&r, "kernels", clf_context_kernels(session.ctx));
    const size_t failed = test_all(&r, session.stream, options->storage, names, sizeof names);
    int result = clf_cli_report_close(&r);
    clf_cli_session_close(&session);
    if (failed > 0)
        result =
            clf_cli_failf("selftest: %zu of %zu kernel families failed: %s; update the driver or try another --device",
                          failed, clf_bench_count, names);
    return result;
}

const clf_cli_command clf_cli_selftest = {
    .name = "selftest",
    .usage = "[OPTIONS]",
    .summary = "runs the known-answer tests of every kernel family on the picked device",
    .text = "One line for each family.  Exit status 1 when one fails.\n",
    .options = CLF_OPTION_DEVICE | CLF_OPTION_GEMM | CLF_OPTION_WEIGHTS | CLF_OPTION_JSON,
    .most_arguments = 0,
    .run = run_selftest,
};
