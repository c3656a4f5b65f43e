/* report: one writer for tables and JSON. */
#include "cli/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "checkpoint/utf8.h"
#include "cli/cli.h"
#include "core/text.h"

void clf_cli_json_text(FILE *file, const char *text)
{
    for (const char *c = text; *c != '\0';) {
        const size_t length = clf_utf8_length(c);

        if (length == 0)
            (void)fputs("\\ufffd", file);
        else if (*c == '"' || *c == '\\')
            (void)fprintf(file, "\\%c", *c);
        else if (length == 1 && ((unsigned char)*c < 0x20 || *c == 0x7f))
            (void)fprintf(file, "\\u%04x", (unsigned)*c);
        else
            (void)fwrite(c, 1, length, file);
        c += length == 0 ? 1 : length;
    }
}

/* Text for a terminal, padded to the width; control bytes must not reach it. */
static void put_plain(clf_cli_report *r, const char *text, int width)
{
    const int length = (int)strlen(text), pad = (width < 0 ? -width : width) - length;

    if (pad > 0 && width > 0)
        (void)fprintf(r->file, "%*s", pad, "");
    for (const char *c = text; *c != '\0'; c++)
        (void)fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, r->file);
    if (pad > 0 && width < 0)
        (void)fprintf(r->file, "%*s", pad, "");
}

static void put_json(clf_cli_report *r, const char *key, const char *text, bool quoted)
{
    const char *mark = quoted ? "\"" : "";

    if (r->columns != NULL)
        (void)fputs(r->cell > 0 ? ", " : r->empty ? "\n  {" : ",\n  {", r->file);
    else
        (void)fputs(r->empty ? "" : ",\n", r->file);
    (void)fprintf(r->file, "\"%s\": %s", key, mark);
    clf_cli_json_text(r->file, text);
    (void)fputs(mark, r->file);
    if (r->columns != NULL && r->cell + 1 == r->column_count)
        (void)fputc('}', r->file);
}

static void put_line(clf_cli_report *r, const char *key, const char *text)
{
    if (r->after_table)
        (void)fputc('\n', r->file);
    r->after_table = false;
    put_plain(r, key, -18);
    (void)fputs("  ", r->file);
    put_plain(r, text, 0);
    (void)fputc('\n', r->file);
}

static void put(clf_cli_report *r, const char *key, const char *text, bool quoted)
{
    if (r->columns != NULL)
        key = r->columns[r->cell].key;
    if (r->json) {
        put_json(r, key, text, quoted);
    } else if (r->columns == NULL || r->blocks) {
        if (r->blocks && r->cell == 0 && !r->empty)
            (void)fputc('\n', r->file);
        put_line(r, key, text);
    } else {
        put_plain(r, text, r->columns[r->cell].width);
        (void)fputs(r->cell + 1 == r->column_count ? "\n" : "  ", r->file);
    }
    if (r->columns == NULL || r->cell + 1 == r->column_count)
        r->empty = false;
    if (r->columns != NULL)
        r->cell = (r->cell + 1) % r->column_count;
}

clf_cli_report clf_cli_report_open(bool json)
{
    if (json)
        (void)fputc('{', stdout);
    return (clf_cli_report){ .file = stdout, .json = json, .empty = true };
}

void clf_cli_text(clf_cli_report *r, const char *key, const char *text)
{
    put(r, key, text, true);
}

void clf_cli_integer(clf_cli_report *r, const char *key, uint64_t value)
{
    char text[24];

    (void)clf_format(text, sizeof text, "%" PRIu64, value);
    put(r, key, text, false);
}

void clf_cli_real(clf_cli_report *r, const char *key, double value, int decimals)
{
    char text[64];

    (void)clf_format(text, sizeof text, "%.*f", decimals, value);
    put(r, key, isfinite(value) ? text : r->json ? "null" : "-", false);
}

void clf_cli_bool(clf_cli_report *r, const char *key, bool value)
{
    const char *text = r->json ? (value ? "true" : "false") : (value ? "yes" : "no");

    put(r, key, text, false);
}

void clf_cli_shape(clf_cli_report *r, const char *key, int32_t rank, const int64_t *dim)
{
    put(r, key, clf_text_shape(rank, dim).text, false);
}

static void begin_rows(clf_cli_report *r, const char *key, const clf_cli_column *columns, size_t count)
{
    if (r->json)
        (void)fprintf(r->file, "%s\"%s\": [", r->empty ? "" : ",\n", key);
    else if (!r->empty)
        (void)fputc('\n', r->file);
    r->after_table = false;
    r->columns = columns;
    r->column_count = count;
    r->cell = 0;
    r->empty = true;
}

void clf_cli_table(clf_cli_report *r, const char *key, const clf_cli_column *columns, size_t count)
{
    begin_rows(r, key, columns, count);
    for (size_t i = 0; i < count && !r->json; i++) {
        put_plain(r, columns[i].key, columns[i].width);
        (void)fputs(i + 1 == count ? "\n" : "  ", r->file);
    }
}

void clf_cli_blocks(clf_cli_report *r, const char *key, const clf_cli_column *columns, size_t count)
{
    begin_rows(r, key, columns, count);
    r->blocks = true;
}

void clf_cli_table_end(clf_cli_report *r)
{
    if (r->json)
        (void)fputs(r->empty ? "]" : "\n ]", r->file);
    r->columns = NULL;
    r->blocks = false;
    r->empty = false;
    r->after_table = true;
}

int clf_cli_report_close(clf_cli_report *r)
{
    if (r->json)
        (void)fputs("}\n", r->file);
    if (fflush(r->file) != 0 || ferror(r->file) != 0)
        return clf_cli_failf("stdout: cannot be written; want a place for the result; check the disk or the pipe");
    return CLF_EXIT_DONE;
}
