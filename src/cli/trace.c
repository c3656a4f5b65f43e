/* trace: "X" events of the Trace Event Format, times in microseconds from the first kernel's enqueueing. */
#include "cli/trace.h"

#include <errno.h>
#include <unistd.h>

#include "checkpoint/file_error.h"
#include "cli/report.h"
#include "core/error.h"

#define CLF_OP "--profile"

clf_status clf_cli_trace_open(clf_cli_trace *t, const char *path, clf_error *err)
{
    *t = (clf_cli_trace){ .file = NULL };
    if (path == NULL)
        return CLF_OK;
    CLF_TRY(clf_file_writer_open(path, &t->file, err));
    const int copy = dup(clf_file_writer_descriptor(t->file));
    t->text = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (t->text == NULL && copy >= 0)
        (void)close(copy);
    CLF_REQUIRE(err, t->text != NULL, CLF_IO, "cannot open a stream: %s; want memory and one file more",
                clf_file_reason(errno).text);
    (void)fputs("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [", t->text);
    return CLF_OK;
}

/* Differences first: a device's clock may need all bits of a double. */
static double microseconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns >= from_ns ? (double)(to_ns - from_ns) * 1e-3 : -(double)(from_ns - to_ns) * 1e-3;
}

static void write_event(clf_cli_trace *t, const clf_profile_entry *e)
{
    (void)fputs(t->count == 0 ? "\n{\"name\": \"" : ",\n{\"name\": \"", t->text);
    clf_cli_json_text(t->text, e->name);
    (void)fprintf(t->text,
                  "\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": %.3f, \"dur\": %.3f, "
                  "\"args\": {\"waited_us\": %.3f}}",
                  microseconds(t->begin_ns, e->start_ns), microseconds(e->start_ns, e->end_ns),
                  microseconds(e->queued_ns, e->start_ns));
    t->count++;
}

void clf_cli_trace_add(clf_cli_trace *t, clf_stream *s)
{
    const clf_profile_entry *entries = NULL;

    if (t->text == NULL)
        return;
    const size_t count = clf_stream_profile(s, &entries);
    if (t->count == 0 && count > 0)
        t->begin_ns = entries[0].queued_ns;
    for (size_t i = 0; i < count; i++)
        write_event(t, &entries[i]);
}

clf_status clf_cli_trace_finish(clf_cli_trace *t, clf_error *err)
{
    if (t->file == NULL)
        return CLF_OK;
    FILE *text = t->text;
    t->text = NULL;
    (void)fputs("\n]}\n", text);
    const bool written = ferror(text) == 0;
    errno = written ? 0 : ENOSPC; /* why an earlier write failed is forgotten; mostly this */
    const bool closed = fclose(text) == 0;
    CLF_REQUIRE(err, written && closed, CLF_IO, "cannot write %zu events: %s; want room for them", t->count,
                clf_file_reason(errno).text);
    return clf_file_writer_finish(t->file, err);
}

clf_status clf_cli_trace_commit(clf_cli_trace *t, clf_error *err)
{
    clf_file_writer *file = t->file;

    t->file = NULL; /* gone in any case */
    return file != NULL ? clf_file_writer_commit(file, err) : CLF_OK;
}

void clf_cli_trace_abandon(clf_cli_trace *t)
{
    if (t->text != NULL)
        (void)fclose(t->text);
    clf_file_writer_abandon(t->file);
    *t = (clf_cli_trace){ .file = NULL };
}
