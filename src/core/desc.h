/* Descriptors of callers that may have been compiled against an older header. */
#ifndef CLF_CORE_DESC_H
#define CLF_CORE_DESC_H

#include <stdbool.h>
#include <stddef.h>

/* The _default() functions are inline in the public headers, so that each fills the descriptor that its caller knows.
 *
 * Lays the caller's descriptor, as long as its struct_size (the first field) says, over `full`, which holds the
 * defaults of all fields.  False when struct_size is below 4 or above `bytes`, the size this library knows. */
bool clf_desc_read(void *full, size_t bytes, const void *desc);

/* clf_desc_read for a named type: leaves the function with an error unless it works.  desc NULL: the defaults. */
#define CLF_DESC_READ(err, full, desc)                                                                                 \
    do {                                                                                                               \
        if ((desc) != NULL && !clf_desc_read((full), sizeof *(full), (desc)))                                          \
            return CLF_FAIL((err), CLF_INVALID_ARGUMENT,                                                               \
                            CLF_OP ": struct_size is %u; want %zu: start from the _default() function",                \
                            (desc)->struct_size, sizeof *(full));                                                      \
    } while (0)

#endif
