/* The one line that a failing run prints, and notes of one that succeeds. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/text.h"

enum { LINE_BYTES = CLF_MESSAGE_BYTES + 300 };

/* A message may quote what the user typed: whatever it holds, it stays one line. */
static void print_line(char *line)
{
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    (void)fprintf(stderr, "clfusion: %s\n", line);
}

/* What helps whatever was being done; NULL when that decides. */
static const char *advice_for(clf_status status)
{
    switch (status) {
    case CLF_OUT_OF_MEMORY:
        return "free some memory or take smaller inputs";
    case CLF_OUT_OF_DEVICE_MEMORY:
        return "try --weights f16, smaller inputs or another --device";
    case CLF_DEVICE_LOST:
        return "run again; if it stays, try another --device or update the driver";
    case CLF_DEVICE_ERROR:
        return "update the driver or try another --device";
    case CLF_INTERNAL:
        return "please report this line";
    case CLF_OK:
    case CLF_INVALID_ARGUMENT:
    case CLF_UNSUPPORTED:
    case CLF_BAD_FILE:
    case CLF_IO:
        break;
    }
    return NULL;
}

int clf_cli_fail(const clf_error *err, const char *advice)
{
    char line[LINE_BYTES];
    const char *general = advice_for(err->status);

    if (strstr(err->message, "; install ") != NULL) /* it says already what to do */
        (void)clf_format(line, sizeof line, "%s", err->message);
    else
        (void)clf_format(line, sizeof line, "%s; %s", err->message, general != NULL ? general : advice);
    print_line(line);
    return CLF_EXIT_FAILED;
}

int clf_cli_failf(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list list;

    va_start(list, format);
    (void)clf_format_list(line, sizeof line, format, list);
    va_end(list);
    print_line(line);
    return CLF_EXIT_FAILED;
}

void clf_cli_note_sets(const clf_cli_options *options)
{
    for (size_t i = 0; i < options->set_count; i++) {
        char line[LINE_BYTES];

        if (options->sets_read[i])
            continue;
        (void)clf_format(line, sizeof line, "note: nothing here reads --set %s; check the key, or leave it out",
                         clf_text_quote(options->sets[i], strlen(options->sets[i])).text);
        print_line(line);
    }
}

int clf_cli_usage(const clf_cli_command *command, const char *format, ...)
{
    char text[LINE_BYTES], line[LINE_BYTES];
    va_list list;

    va_start(list, format);
    (void)clf_format_list(text, sizeof text, format, list);
    va_end(list);
    if (command != NULL)
        (void)clf_format(line, sizeof line, "%s: %s; see clfusion %s --help", command->name, text, command->name);
    else
        (void)clf_format(line, sizeof line, "%s; see clfusion --help", text);
    print_line(line);
    return CLF_EXIT_USAGE;
}
