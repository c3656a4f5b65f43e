/* Host memory: every allocation of clfusion goes through the table of clf_set_allocator. */
#ifndef CLF_CORE_ALLOC_H
#define CLF_CORE_ALLOC_H

#include <stddef.h>

#include <clfusion/status.h>

/* Zeroed memory for `count` items; NULL when there is none or the product overflows.  count 0 gives one item. */
void *clf_alloc(size_t count, size_t item_bytes);

/* Grows or shrinks; NULL leaves `memory` as it was.  New bytes are not zeroed. */
void *clf_realloc(void *memory, size_t count, size_t item_bytes);

void clf_free(void *memory); /* takes NULL */

/* A copy of the text, or of its first `length` bytes with a terminator. */
char *clf_strdup(const char *text);
char *clf_strndup(const char *text, size_t length);

/* Makes room for one more item in a growing array: *items points to `count` items with room for *capacity. */
clf_status clf_grow(void **items, size_t count, size_t *capacity, size_t item_bytes, clf_error *err);

#endif
