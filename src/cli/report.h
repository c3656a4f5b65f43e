/* Results on stdout: facts and tables, for people or as one JSON object.
 *
 *     clf_cli_report r = clf_cli_report_open(options->json);
 *     clf_cli_text(&r, "family", "llava");                      family         llava        {"family": "llava",
 *     clf_cli_table(&r, "tensors", columns, CLF_COUNT(columns));                             "tensors": [
 *     clf_cli_text(&r, NULL, name); clf_cli_integer(&r, NULL, n);  ... cell by cell          {"name": "a", "rows": 3}
 *     clf_cli_table_end(&r);                                                                 ]
 *     status = clf_cli_report_close(&r);                                                    }
 *
 * Rows appear as their last cell is given.  Text is escaped: names in files may hold anything. */
#ifndef CLF_CLI_REPORT_H
#define CLF_CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct clf_cli_column {
    const char *key;
    int width; /* as in printf: above 0 to the right, below 0 to the left; 0 for the last */
} clf_cli_column;

typedef struct clf_cli_report {
    FILE *file;
    bool json;
    bool empty;                    /* nothing stands in the innermost object or array yet */
    const clf_cli_column *columns; /* of the open table, or NULL */
    size_t column_count;
    size_t cell; /* the next of the row */
    bool blocks;
    bool after_table; /* an empty line is due before the next fact */
} clf_cli_report;

clf_cli_report clf_cli_report_open(bool json);

/* Facts outside a table; inside one, where the key is the column's, the next cell. */
void clf_cli_text(clf_cli_report *r, const char *key, const char *text);
void clf_cli_integer(clf_cli_report *r, const char *key, uint64_t value);
void clf_cli_real(clf_cli_report *r, const char *key, double value, int decimals); /* null in JSON unless finite */
void clf_cli_bool(clf_cli_report *r, const char *key, bool value);                 /* yes, no */
void clf_cli_shape(clf_cli_report *r, const char *key, int32_t rank, const int64_t *dim); /* "[1, 64]", also in JSON */

void clf_cli_table(clf_cli_report *r, const char *key, const clf_cli_column *columns, size_t count);
/* A table with long rows: people get a block of lines for each row. */
void clf_cli_blocks(clf_cli_report *r, const char *key, const clf_cli_column *columns, size_t count);
void clf_cli_table_end(clf_cli_report *r);

/* Returns an exit status: stdout may be full or closed. */
int clf_cli_report_close(clf_cli_report *r);

/* The text between JSON's quotation marks; bytes that are no UTF-8 become U+FFFD. */
void clf_cli_json_text(FILE *file, const char *text);

#endif
