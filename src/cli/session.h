/* What `run`, `inspect`, `bench` and `selftest` open: a device with a stream, and a checkpoint's connector. */
#ifndef CLF_CLI_SESSION_H
#define CLF_CLI_SESSION_H

#include <clfusion/clfusion.h>

#include "checkpoint/checkpoint.h"
#include "cli/cli.h"
#include "cli/progress.h"

/* A tensor that the connector asked for and got. */
typedef struct clf_cli_read {
    char *name;
    clf_host_tensor tensor;
} clf_cli_read;

/* Stands between connector and checkpoint, writes down what is read and shows the progress. */
typedef struct clf_cli_recorder {
    const clf_tensor_source *inner;
    clf_cli_read *reads; /* in order, each name once */
    size_t count;
    size_t capacity;
    uint64_t bytes;
    clf_cli_progress progress;
} clf_cli_recorder;

typedef struct clf_cli_session {
    clf_context *ctx;
    clf_stream *stream;
    clf_checkpoint *checkpoint;
    clf_cli_recorder recorder;
    clf_tensor_source source; /* the recorder's; lives as long as the connector is made */
    clf_connector *connector;
    bool ends;          /* as in clf_connector_create_part */
    const char *advice; /* what to do about the failure of the last step; lives as long as the session */
} clf_cli_session;

/* Fills in ctx and stream.  clf_cli_session_close also after an error. */
clf_status clf_cli_session_device(clf_cli_session *session, const clf_cli_options *options, clf_error *err);

/* Fills in the rest from the checkpoint at `path`; the device is there already. */
clf_status clf_cli_session_connector(clf_cli_session *session, const clf_cli_options *options, const char *path,
                                     clf_error *err);

void clf_cli_session_close(clf_cli_session *session);

#endif
