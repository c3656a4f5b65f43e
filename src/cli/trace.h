/* --profile: the kernels of a stream as a Chrome trace, for chrome://tracing or Perfetto.
 *
 * Without a path every function succeeds and does nothing. */
#ifndef CLF_CLI_TRACE_H
#define CLF_CLI_TRACE_H

#include <stdio.h>

#include <clfusion/stream.h>

#include "checkpoint/file_writer.h"

typedef struct clf_cli_trace {
    clf_file_writer *file; /* NULL: none is wanted */
    FILE *text;            /* on a copy of its descriptor, until clf_cli_trace_finish */
    uint64_t begin_ns;     /* when the first kernel was enqueued */
    size_t count;
} clf_cli_trace;

/* Opens the file; nothing shows at `path` before commit.  clf_cli_trace_abandon also after an error. */
clf_status clf_cli_trace_open(clf_cli_trace *t, const char *path, clf_error *err);

void clf_cli_trace_add(clf_cli_trace *t, clf_stream *s); /* what the stream has recorded since the last call */
clf_status clf_cli_trace_finish(clf_cli_trace *t, clf_error *err);
clf_status clf_cli_trace_commit(clf_cli_trace *t, clf_error *err);
void clf_cli_trace_abandon(clf_cli_trace *t); /* nothing appears, unless it has been committed */

#endif
