/* pages: a mapping at a multiple of a large page, with the advice to use such pages. */
#define _DEFAULT_SOURCE 1 /* madvise */
#include "core/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#define SMALL_PAGE ((size_t)64 << 10) /* a multiple of those of x86-64 and AArch64: 4, 16 or 64 KB */

/* Not of a large page: what is behind the last whole one stays in small ones. */
static size_t length_of(size_t bytes)
{
    return (bytes + SMALL_PAGE - 1) / SMALL_PAGE * SMALL_PAGE;
}

void *clf_pages_map(size_t bytes)
{
    char *all, *pages;
    size_t length, before;

    if (bytes > SIZE_MAX - 2 * CLF_LARGE_PAGE)
        return NULL;
    length = length_of(bytes);
    all = mmap(NULL, length + CLF_LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return NULL;
    before = (CLF_LARGE_PAGE - (uintptr_t)all % CLF_LARGE_PAGE) % CLF_LARGE_PAGE;
    pages = all + before;
    if (before > 0)
        (void)munmap(all, before);
    (void)munmap(pages + length, CLF_LARGE_PAGE - before);
#ifdef MADV_HUGEPAGE
    (void)madvise(pages, length, MADV_HUGEPAGE); /* advice: a system without such pages refuses */
#endif
    return pages;
}

void clf_pages_unmap(void *pages, size_t bytes)
{
    if (pages != NULL)
        (void)munmap(pages, length_of(bytes));
}
