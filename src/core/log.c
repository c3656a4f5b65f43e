/* The log callback. */
#include "core/log.h"

#include <stdarg.h>

#include <clfusion/memory.h>

#include "core/text.h"

static clf_log_callback *callback;
static void *callback_user;

void clf_set_log(clf_log_callback *log, void *user)
{
    callback = log;
    callback_user = user;
}

void clf_log(const char *format, ...)
{
    char line[700];
    va_list list;

    if (callback == NULL)
        return;
    va_start(list, format);
    clf_format_list(line, sizeof line, format, list);
    va_end(list);
    callback(callback_user, line);
}
