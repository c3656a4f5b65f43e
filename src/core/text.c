/* Bounded text. */
#include "core/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/size.h"

size_t clf_format_list(char *buffer, size_t bytes, const char *format, va_list list)
{
    const int length = vsnprintf(buffer, bytes, format, list);

    if (length < 0) {
        buffer[0] = '\0';
        return 0;
    }
    if ((size_t)length < bytes)
        return (size_t)length;
    if (bytes > 4)
        memcpy(buffer + bytes - 4, "...", 4);
    return bytes - 1;
}

size_t clf_format(char *buffer, size_t bytes, const char *format, ...)
{
    va_list list;
    size_t length;

    va_start(list, format);
    length = clf_format_list(buffer, bytes, format, list);
    va_end(list);
    return length;
}

static void append_shape(clf_text *t, size_t at, int32_t rank, const int64_t *dim)
{
    at += clf_format(t->text + at, sizeof t->text - at, "[");
    for (int32_t i = 0; i < rank && i < 8; i++)
        at += clf_format(t->text + at, sizeof t->text - at, "%s%" PRId64, i == 0 ? "" : ", ", dim[i]);
    clf_format(t->text + at, sizeof t->text - at, "]");
}

clf_text clf_text_shape(int32_t rank, const int64_t *dim)
{
    clf_text t;

    append_shape(&t, 0, rank, dim);
    return t;
}

clf_text clf_text_tensor(clf_tensor x)
{
    clf_text t;
    const size_t at = clf_format(t.text, sizeof t.text, "%s", clf_dtype_name(x.dtype));

    if (x.dtype != CLF_DTYPE_NONE)
        append_shape(&t, at, CLF_MIN(x.rank, CLF_MAX_RANK), x.dim);
    return t;
}

clf_text clf_text_host(clf_host_tensor x)
{
    clf_text t;
    const size_t at = clf_format(t.text, sizeof t.text, "%s", clf_dtype_name(x.dtype));

    if (x.dtype != CLF_DTYPE_NONE)
        append_shape(&t, at, CLF_MIN(x.rank, CLF_MAX_RANK), x.dim);
    return t;
}

clf_text clf_text_quote(const char *bytes, size_t length)
{
    clf_text t;
    size_t at = 0;

    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)bytes[i];

        if (at > 120) {
            clf_format(t.text + at, sizeof t.text - at, "...");
            return t;
        }
        if (c >= 0x20 && c < 0x7F && c != '\\')
            t.text[at++] = (char)c;
        else
            at += clf_format(t.text + at, sizeof t.text - at, "\\x%02X", c);
    }
    t.text[at] = '\0';
    return t;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool clf_name_equal(const char *a, const char *b)
{
    size_t i = 0;

    for (; a[i] != '\0' && b[i] != '\0'; i++) {
        const char x = a[i] == '-' ? '_' : lower(a[i]), y = b[i] == '-' ? '_' : lower(b[i]);

        if (x != y)
            return false;
    }
    return a[i] == b[i];
}

bool clf_text_contains(const char *text, const char *part)
{
    const size_t length = strlen(part);

    for (size_t start = 0; length <= strlen(text + start); start++) {
        size_t i = 0;

        while (i < length && lower(text[start + i]) == lower(part[i]))
            i++;
        if (i == length)
            return true;
        if (text[start] == '\0')
            break;
    }
    return false;
}
