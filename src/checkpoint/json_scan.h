/* The check that stands before jsmn: the grammar of RFC 8259, byte by byte. */
#ifndef CLF_CHECKPOINT_JSON_SCAN_H
#define CLF_CHECKPOINT_JSON_SCAN_H

#include "checkpoint/json.h"

/* Checks text[0 .. bytes), with text[bytes] == 0, and counts values and keys, which is the number of jsmn's tokens.
 * It comes first because jsmn takes quadratic time on deep nesting and lets much through. */
clf_status clf_json_scan(const char *label, const char *text, size_t bytes, const clf_json_limits *limits,
                         uint32_t *values, clf_error *err);

/* Decodes the escapes of a string that passed the check, in place; returns the new length.  Never longer. */
size_t clf_json_decode(char *text, size_t length);

#endif
