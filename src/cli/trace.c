/* trace: "X" events of the Trace Event Format, times in microseconds from the first kernel's enqueueing. */
#include "cli/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

#define CLF_OP "--profile"

/* Differences first: a device's clock may need all bits of a double. */
static double microseconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns >= from_ns ? (double)(to_ns - from_ns) * 1e-3 : -(double)(from_ns - to_ns) * 1e-3;
}

static void write_events(FILE *file, const clf_profile_entry *entries, size_t count)
{
    (void)fputs("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [", file);
    for (size_t i = 0; i < count; i++) {
        const clf_profile_entry *e = &entries[i];
        (void)fputs(i == 0 ? "\n{\"name\": \"" : ",\n{\"name\": \"", file);
        clf_cli_json_text(file, e->name);
        (void)fprintf(file,
                      "\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": %.3f, \"dur\": %.3f, "
                      "\"args\": {\"waited_us\": %.3f}}",
                      microseconds(entries[0].queued_ns, e->start_ns), microseconds(e->start_ns, e->end_ns),
                      microseconds(e->queued_ns, e->start_ns));
    }
    (void)fputs("\n]}\n", file);
}

/* Beside the target, so that the rename stays within one file system. */
static FILE *open_temporary(clf_cli_trace *trace)
{
    const size_t bytes = strlen(trace->path) + 64;

    trace->temporary = clf_alloc(bytes, 1);
    if (trace->temporary == NULL)
        return NULL;
    (void)clf_format(trace->temporary, bytes, "%s.clfusion-%ld.tmp", trace->path, (long)getpid());
    const int descriptor = open(trace->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        clf_free(trace->temporary);
        trace->temporary = NULL; /* nothing of ours to remove */
        return NULL;
    }
    FILE *file = fdopen(descriptor, "w");
    if (file == NULL)
        (void)close(descriptor);
    return file;
}

clf_status clf_cli_trace_write(clf_cli_trace *trace, const char *path, clf_stream *s, clf_error *err)
{
    const clf_profile_entry *entries = NULL;
    const size_t count = clf_stream_profile(s, &entries);

    trace->path = path;
    errno = 0;
    FILE *file = open_temporary(trace);
    CLF_REQUIRE(err, file != NULL, CLF_IO, "%s: %s; want a folder that can be written", path, strerror(errno));
    write_events(file, entries, count);
    const bool written = ferror(file) == 0;
    const bool closed = fclose(file) == 0;
    CLF_REQUIRE(err, written && closed, CLF_IO, "%s: %s; want room for %zu events", path, strerror(errno), count);
    return CLF_OK;
}

clf_status clf_cli_trace_commit(clf_cli_trace *trace, clf_error *err)
{
    if (trace->temporary == NULL)
        return CLF_OK;
    CLF_REQUIRE(err, rename(trace->temporary, trace->path) == 0, CLF_IO, "%s: %s; want a file that can be replaced",
                trace->path, strerror(errno));
    clf_free(trace->temporary);
    trace->temporary = NULL;
    return CLF_OK;
}

void clf_cli_trace_abandon(clf_cli_trace *trace)
{
    if (trace->temporary == NULL)
        return;
    (void)unlink(trace->temporary);
    clf_free(trace->temporary);
    trace->temporary = NULL;
}
