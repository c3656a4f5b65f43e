/* Host memory through the table of clf_set_allocator. */
#include "core/alloc.h"

#include <stdlib.h>
#include <string.h>

#include <clfusion/memory.h>

#include "core/error.h"
#include "core/size.h"

static void *default_allocate(void *user, size_t bytes)
{
    (void)user;
    return malloc(bytes);
}

static void *default_reallocate(void *user, void *memory, size_t bytes)
{
    (void)user;
    return realloc(memory, bytes);
}

static void default_release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static const clf_allocator defaults = { NULL, default_allocate, default_reallocate, default_release };
static clf_allocator table = { NULL, default_allocate, default_reallocate, default_release };

void clf_set_allocator(const clf_allocator *allocator)
{
    table = allocator != NULL ? *allocator : defaults;
}

static bool product(size_t count, size_t item_bytes, size_t *bytes)
{
    uint64_t size;

    if (!clf_size_mul(count, item_bytes, &size) || size > SIZE_MAX / 2)
        return false;
    *bytes = size == 0 ? 1 : (size_t)size;
    return true;
}

void *clf_alloc(size_t count, size_t item_bytes)
{
    size_t bytes;
    void *memory;

    if (!product(count == 0 ? 1 : count, item_bytes, &bytes))
        return NULL;
    memory = table.allocate(table.user, bytes);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

void *clf_realloc(void *memory, size_t count, size_t item_bytes)
{
    size_t bytes;

    return product(count, item_bytes, &bytes) ? table.reallocate(table.user, memory, bytes) : NULL;
}

void clf_free(void *memory)
{
    if (memory != NULL)
        table.release(table.user, memory);
}

char *clf_strndup(const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? clf_alloc(length + 1, 1) : NULL;

    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

char *clf_strdup(const char *text)
{
    return clf_strndup(text, strlen(text));
}

clf_status clf_grow(void **items, size_t count, size_t *capacity, size_t item_bytes, clf_error *err)
{
    const size_t larger = *capacity < 8 ? 8 : *capacity + *capacity / 2;
    void *memory;

    if (count < *capacity)
        return CLF_OK;
    memory = clf_realloc(*items, larger, item_bytes);
    if (memory == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no memory for %zu items of %zu bytes", larger, item_bytes);
    *items = memory;
    *capacity = larger;
    return CLF_OK;
}
