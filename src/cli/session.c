/* session: opens in order, closes in reverse. */
#include "cli/session.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "models/connector.h"

static size_t recorder_count(void *self)
{
    const clf_tensor_source *inner = ((clf_cli_recorder *)self)->inner;

    return inner->count(inner->self);
}

static const char *recorder_name(void *self, size_t index)
{
    const clf_tensor_source *inner = ((clf_cli_recorder *)self)->inner;

    return inner->name(inner->self, index);
}

static clf_status record(clf_cli_recorder *r, const char *name, clf_host_tensor t, clf_error *err)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->reads[i].name, name) == 0)
            return CLF_OK;
    void *items = r->reads;
    CLF_TRY(clf_grow(&items, r->count, &r->capacity, sizeof *r->reads, err));
    r->reads = items;
    char *copy = clf_strdup(name);
    if (copy == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "checkpoint: no memory for the name of a tensor");
    r->reads[r->count++] = (clf_cli_read){ .name = copy, .tensor = t };
    if (clf_host_bytes(t, &bytes))
        r->bytes += bytes;
    clf_cli_progress_step(&r->progress, r->count, r->bytes);
    return CLF_OK;
}

static clf_status recorder_find(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    clf_cli_recorder *r = self;

    CLF_TRY(r->inner->find(r->inner->self, name, t, err));
    return clf_host_present(*t) ? record(r, name, *t, err) : CLF_OK;
}

static void recorder_done(void *self, const void *data, size_t bytes)
{
    clf_cli_recorder *r = self;

    if (r->inner->done != NULL)
        r->inner->done(r->inner->self, data, bytes);
    clf_cli_progress_step(&r->progress, r->count, r->bytes);
}

clf_status clf_cli_session_device(clf_cli_session *session, const clf_cli_options *options, clf_error *err)
{
    clf_context_desc context = clf_context_desc_default();
    clf_stream_desc stream = clf_stream_desc_default();

    context.device = options->device;
    context.gemm = options->gemm;
    stream.profiling = options->profile != NULL;
    session->advice = "clfusion devices lists what there is and what is refused";
    CLF_TRY(clf_context_create(&context, &session->ctx, err));
    return clf_stream_create(session->ctx, &stream, &session->stream, err);
}

/* True when the message speaks of a key that --set gave; nested keys may stand there without their parents. */
static bool names_set_key(const clf_cli_options *options, const char *message)
{
    for (size_t i = 0; i < options->set_count; i++) {
        const char *key = options->sets[i], *end = strchr(key, '=');
        for (const char *c = key; c < end; c++)
            if (*c == '.')
                key = c + 1;
        char *name = clf_strndup(key, (size_t)(end - key));
        const bool found = name != NULL && name[0] != '\0' && strstr(message, name) != NULL;
        clf_free(name);
        if (found)
            return true;
    }
    return false;
}

static const char *load_advice(const clf_cli_options *options, clf_status status, const char *message)
{
    if (names_set_key(options, message))
        return "give --set another value, or leave it out";
    if (options->layer > 0 && strstr(message, ": layer is ") != NULL)
        return "give --layer another value, or leave it out";
    switch (status) {
    case CLF_IO:
        return "check the path of the checkpoint";
    case CLF_BAD_FILE:
        return options->family != NULL ? "leave out --family, or download, convert or export the checkpoint again"
                                       : "download, convert or export the checkpoint again";
    case CLF_UNSUPPORTED:
        return options->family != NULL ? "give --family another name, or choose another checkpoint"
                                       : "choose another checkpoint, or name its family with --family";
    default:
        return "check the checkpoint, --family and --set";
    }
}

clf_status clf_cli_session_connector(clf_cli_session *session, const clf_cli_options *options, const char *path,
                                     clf_error *err)
{
    clf_connector_options wanted = clf_connector_options_default();
    const char *text = NULL;
    size_t bytes = 0;
    clf_status status = clf_checkpoint_open(path, &session->checkpoint, err);

    if (status == CLF_OK) {
        clf_cli_recorder *recorder = &session->recorder;
        recorder->inner = clf_checkpoint_source(session->checkpoint);
        recorder->progress = clf_cli_progress_begin();
        session->source = (clf_tensor_source){ .self = recorder,
                                               .label = recorder->inner->label,
                                               .count = recorder_count,
                                               .name = recorder_name,
                                               .find = recorder_find,
                                               .done = recorder_done };
        clf_checkpoint_config_text(session->checkpoint, &text, &bytes);
        wanted.family = options->family;
        wanted.storage = options->storage;
        wanted.layer = (int32_t)options->layer;
        wanted.sets = options->sets;
        wanted.set_count = options->set_count;
        wanted.sets_read = options->sets_read;
        status = clf_connector_create_part(session->ctx, &session->source, text, bytes, &wanted, session->ends,
                                           &session->connector, err);
        clf_cli_progress_end(&recorder->progress);
    }
    session->advice = load_advice(options, status, status != CLF_OK ? err->message : "");
    return status;
}

void clf_cli_session_close(clf_cli_session *session)
{
    clf_connector_destroy(session->connector);
    for (size_t i = 0; i < session->recorder.count; i++)
        clf_free(session->recorder.reads[i].name);
    clf_free(session->recorder.reads);
    clf_checkpoint_close(session->checkpoint);
    clf_stream_destroy(session->stream);
    clf_context_destroy(session->ctx);
    *session = (clf_cli_session){ .advice = NULL };
}
