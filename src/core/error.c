/* The caller's error record. */
#include "core/error.h"

#include <stdarg.h>
#include <string.h>

#include "core/text.h"

clf_status clf_error_set(clf_error *err, const char *file, int line, clf_status status, const char *format, ...)
{
    va_list list;

    if (err == NULL)
        return status;
    err->status = status;
    err->file = file;
    err->line = line;
    va_start(list, format);
    clf_format_list(err->message, sizeof err->message, format, list);
    va_end(list);
    return status;
}

void clf_error_prefix(clf_error *err, const char *prefix)
{
    char message[sizeof err->message];

    if (err == NULL || prefix[0] == '\0')
        return;
    memcpy(message, err->message, sizeof message);
    clf_format(err->message, sizeof err->message, "%s%s", prefix, message);
}
