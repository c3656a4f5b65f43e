/* Zeros to read, of any length, that take no memory: for tensors whose values nobody needs. */
#ifndef CLF_CORE_ZEROS_H
#define CLF_CORE_ZEROS_H

#include <stddef.h>

/* Read-only pages of zeros, unmapped with the same length; NULL when there is no address space.  bytes 0 gives a page. */
const void *clf_zeros_map(size_t bytes);
void clf_zeros_unmap(const void *zeros, size_t bytes); /* takes NULL */

#endif
