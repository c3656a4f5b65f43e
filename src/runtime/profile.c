/* What a profiling stream records, and waiting after every command when debugging. */
#include "core/alloc.h"
#include "runtime/stream.h"

cl_event *clf_stream_event_slot(clf_stream *s, cl_event *event)
{
    return s->profiling ? event : NULL;
}

void clf_stream_enqueued(clf_stream *s, const char *name, cl_event event)
{
    s->pending = true;
    if (event != NULL) {
        if (clf_grow((void **)&s->events, s->event_count, &s->event_capacity, sizeof *s->events, NULL) == CLF_OK)
            s->events[s->event_count++] = (clf_stream_event){ .name = name, .event = event };
        else
            clf_cl()->ReleaseEvent(event); /* a profile with a gap, not a failed computation */
    }
    if (s->finish_each) {
        const cl_int code = clf_cl()->Finish(s->queue);

        if (code != CL_SUCCESS)
            clf_stream_cl_fail(s, __FILE__, __LINE__, code, name);
    }
}

static uint64_t time_of(cl_event event, cl_profiling_info what)
{
    cl_ulong time = 0;

    return clf_cl()->GetEventProfilingInfo(event, what, sizeof time, &time, NULL) == CL_SUCCESS ? time : 0;
}

size_t clf_stream_profile(clf_stream *s, const clf_profile_entry **entries)
{
    const size_t count = s->event_count;

    *entries = NULL;
    if (count == 0)
        return 0;
    clf_stream_wait(s);
    if (count > s->profile_capacity) {
        clf_profile_entry *larger = clf_realloc(s->profile, count, sizeof *larger);

        if (larger == NULL)
            return 0;
        s->profile = larger;
        s->profile_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        const cl_event event = s->events[i].event;

        s->profile[i] = (clf_profile_entry){ .name = s->events[i].name,
                                             .queued_ns = time_of(event, CL_PROFILING_COMMAND_QUEUED),
                                             .start_ns = time_of(event, CL_PROFILING_COMMAND_START),
                                             .end_ns = time_of(event, CL_PROFILING_COMMAND_END) };
        clf_cl()->ReleaseEvent(event);
    }
    s->event_count = 0;
    *entries = s->profile;
    return count;
}
