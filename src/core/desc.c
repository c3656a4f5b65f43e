/* Descriptors of callers that may have been compiled against an older header. */
#include "core/desc.h"

#include <stdint.h>
#include <string.h>

bool clf_desc_read(void *full, size_t bytes, const void *desc)
{
    uint32_t size;

    memcpy(&size, desc, sizeof size);
    if (size < sizeof size || size > bytes)
        return false;
    memcpy(full, desc, size);
    return true;
}
