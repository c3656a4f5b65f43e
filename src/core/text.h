/* Bounded text: formatting that never overruns, and names from files made safe for messages. */
#ifndef CLF_CORE_TEXT_H
#define CLF_CORE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <clfusion/tensor.h>

/* A small buffer to be returned by value and printed: "%s", x.text. */
typedef struct clf_text {
    char text[160];
} clf_text;

/* snprintf that always terminates and cuts with "..." at the end; returns the length written. */
size_t clf_format(char *buffer, size_t bytes, const char *format, ...) CLF_PRINTF(3, 4);
size_t clf_format_list(char *buffer, size_t bytes, const char *format, va_list list) CLF_PRINTF(3, 0);

/* "f16[1, 64, 4096]". */
clf_text clf_text_tensor(clf_tensor t);
clf_text clf_text_host(clf_host_tensor t);
clf_text clf_text_shape(int32_t rank, const int64_t *dim); /* "[1, 64, 4096]" */

#define CLF_TEXT(t) (clf_text_tensor(t).text)
#define CLF_HOST_TEXT(t) (clf_text_host(t).text)

/* Text from a file, for a message: control and non-ASCII bytes escaped, cut at 120 characters. */
clf_text clf_text_quote(const char *bytes, size_t length);

/* Equal up to case and with '-' and '_' alike. */
bool clf_name_equal(const char *a, const char *b);

/* `part` stands in `text`, in any case. */
bool clf_text_contains(const char *text, const char *part);

#endif
