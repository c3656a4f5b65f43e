/* progress: "loading 12 tensors, 340 MiB". */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/timing.h"

static const double first_seconds = 1.0, step_seconds = 0.1;

clf_cli_progress clf_cli_progress_begin(void)
{
    const double now = clf_seconds();

    return (clf_cli_progress){ .terminal = isatty(STDERR_FILENO) != 0, .begin = now, .last = now };
}

void clf_cli_progress_step(clf_cli_progress *p, uint64_t tensors, uint64_t bytes)
{
    const double now = clf_seconds();

    if (!p->terminal || now - p->begin < first_seconds || now - p->last < step_seconds)
        return;
    (void)fprintf(stderr, "\rclfusion: loading %" PRIu64 " tensors, %" PRIu64 " MiB", tensors, bytes >> 20);
    (void)fflush(stderr);
    p->last = now;
    p->shown = true;
}

void clf_cli_progress_end(clf_cli_progress *p)
{
    if (p->shown)
        (void)fprintf(stderr, "\r\033[K");
    p->shown = false;
    p->terminal = false;
}
