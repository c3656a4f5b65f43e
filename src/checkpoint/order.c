/* Merge sort from below: runs of 1, 2, 4, ... indices are merged through a second array. */
#include "checkpoint/order.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"

int clf_order_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const int order = memcmp(a, b, CLF_MIN(a_bytes, b_bytes));

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* Merges [begin, middle) and [middle, end); `spare` has room for the first run. */
static void merge(uint32_t *indices, size_t begin, size_t middle, size_t end, uint32_t *spare,
                  clf_order_compare *compare, const void *context)
{
    const size_t first = middle - begin;
    size_t left = 0, right = middle, out = begin;

    if (compare(context, indices[middle - 1], indices[middle]) <= 0)
        return;
    memcpy(spare, indices + begin, first * sizeof *spare);
    while (left < first && right < end)
        indices[out++] = compare(context, spare[left], indices[right]) <= 0 ? spare[left++] : indices[right++];
    while (left < first)
        indices[out++] = spare[left++];
}

clf_status clf_order(uint32_t *indices, size_t count, clf_order_compare *compare, const void *context, clf_error *err)
{
    uint32_t *spare;

    if (count < 2)
        return CLF_OK;
    spare = clf_alloc(count, sizeof *spare);
    if (spare == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "order: no memory for %zu indices", count);
    /* width stays below 2 * count, and count * sizeof *spare fitted: no sum here can wrap */
    for (size_t width = 1; width < count; width *= 2)
        for (size_t begin = 0; count - begin > width; begin += CLF_MIN(2 * width, count - begin))
            merge(indices, begin, begin + width, begin + CLF_MIN(2 * width, count - begin), spare, compare, context);
    clf_free(spare);
    return CLF_OK;
}
