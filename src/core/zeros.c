/* zeros: an anonymous mapping that is only read stays the system's one page of zeros. */
#include "core/zeros.h"

#include <stdint.h>
#include <sys/mman.h>

static size_t length_of(size_t bytes)
{
    return bytes > 0 ? bytes : 1;
}

const void *clf_zeros_map(size_t bytes)
{
    void *zeros = mmap(NULL, length_of(bytes), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return zeros != MAP_FAILED ? zeros : NULL;
}

void clf_zeros_unmap(const void *zeros, size_t bytes)
{
    if (zeros != NULL)
        (void)munmap((void *)(uintptr_t)zeros, length_of(bytes));
}
