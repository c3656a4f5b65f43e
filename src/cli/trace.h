/* --profile: the kernels of a stream as a Chrome trace, for chrome://tracing or Perfetto. */
#ifndef CLF_CLI_TRACE_H
#define CLF_CLI_TRACE_H

#include <clfusion/stream.h>

/* A file under a temporary name beside its target. */
typedef struct clf_cli_trace {
    const char *path;
    char *temporary;
} clf_cli_trace;

/* Writes what the stream has recorded; nothing shows at `path` before clf_cli_trace_commit. */
clf_status clf_cli_trace_write(clf_cli_trace *trace, const char *path, clf_stream *s, clf_error *err);
clf_status clf_cli_trace_commit(clf_cli_trace *trace, clf_error *err);
void clf_cli_trace_abandon(clf_cli_trace *trace); /* removes the temporary file, if there is one */

#endif
