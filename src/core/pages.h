/* Memory in pages of its own, large ones where the system has them. */
#ifndef CLF_CORE_PAGES_H
#define CLF_CORE_PAGES_H

#include <stddef.h>

#define CLF_LARGE_PAGE ((size_t)2 << 20) /* of x86-64, and of AArch64 with small pages of 4 KB */

/* Zeros from a multiple of CLF_LARGE_PAGE, unmapped with the same length; NULL when there is no address space. */
void *clf_pages_map(size_t bytes);
void clf_pages_unmap(void *pages, size_t bytes); /* takes NULL */

#endif
