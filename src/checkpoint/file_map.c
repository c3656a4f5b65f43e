/* mmap and read. */
#define _DEFAULT_SOURCE 1 /* madvise */
#define _FILE_OFFSET_BITS 64

#include "checkpoint/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/file_error.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

/* Opens a regular file and takes its length.  *file is -1 after an error. */
static clf_status open_regular(const char *path, int *file, uint64_t *size, clf_error *err)
{
    struct stat about;
    int code;

    do
        *file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer must not block */
    while (*file < 0 && errno == EINTR);
    if (*file < 0)
        return clf_file_error(err, path, "cannot open", errno, "a file that can be read");
    code = fstat(*file, &about) != 0 ? errno : S_ISDIR(about.st_mode) ? EISDIR : !S_ISREG(about.st_mode) ? EINVAL : 0;
    if (code == 0) {
        *size = (uint64_t)about.st_size;
        return CLF_OK;
    }
    (void)close(*file);
    *file = -1;
    return clf_file_error(err, path, "cannot read", code, "a regular file");
}

clf_status clf_file_map_open(const char *path, clf_file_map *m, clf_error *err)
{
    uint64_t size;
    void *bytes;
    int file, code;

    *m = (clf_file_map){ .bytes = NULL };
    CLF_TRY(open_regular(path, &file, &size, err));
    if (size > SIZE_MAX / 2) {
        (void)close(file);
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: file is %" PRIu64 " bytes; want at most %zu on this machine", path,
                        size, SIZE_MAX / 2);
    }
    if (size == 0) { /* cannot be mapped, and need not be */
        *m = (clf_file_map){ .bytes = (const unsigned char *)"", .size = 0, .file = file + 1 };
        return CLF_OK;
    }
    bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED) {
        code = errno;
        (void)close(file);
        return clf_file_error(err, path, "cannot map", code, "a file that can be mapped");
    }
    *m = (clf_file_map){ .bytes = bytes, .size = (size_t)size, .file = file + 1 };
    return CLF_OK;
}

void clf_file_map_close(clf_file_map *m)
{
    if (m->file == 0)
        return;
    if (m->size > 0)
        (void)munmap((void *)(uintptr_t)m->bytes, m->size);
    (void)close(m->file - 1);
    *m = (clf_file_map){ .bytes = NULL };
}

clf_status clf_file_map_check(const clf_file_map *m, const char *label, clf_error *err)
{
    struct stat about;

    if (fstat(m->file - 1, &about) != 0)
        return clf_file_error(err, label, "cannot look at the file again", errno, "its length");
    if ((uint64_t)about.st_size != m->size)
        return CLF_FAIL(err, CLF_IO, "%s: file is now %" PRIu64 " bytes; want %zu, as when it was opened", label,
                        (uint64_t)about.st_size, m->size);
    return CLF_OK;
}

void clf_file_map_done(const clf_file_map *m, const void *data, size_t bytes)
{
    const uintptr_t begin = (uintptr_t)m->bytes, first = (uintptr_t)data;
    const long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t from, to;

    if (m->size == 0 || page_bytes <= 0 || first < begin || first - begin > m->size ||
        bytes > m->size - (first - begin))
        return;
    if (!clf_size_round_up(first, (uint64_t)page_bytes, &from))
        return;
    to = (uint64_t)first + bytes; /* inside the mapping */
    to -= to % (uint64_t)page_bytes;
    if (from < to)
        (void)madvise((void *)(uintptr_t)from, (size_t)(to - from), MADV_DONTNEED); /* advice: may be refused */
}

/* Fills `text` from the file; *got is what there was, at most `bytes`. */
static int read_all(int file, char *text, size_t bytes, size_t *got)
{
    *got = 0;
    while (*got < bytes) {
        const ssize_t n = read(file, text + *got, CLF_MIN(bytes - *got, (size_t)1 << 30));

        if (n == 0)
            return 0;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

clf_status clf_file_read(const char *path, uint64_t most, char **text, size_t *bytes, clf_error *err)
{
    uint64_t size;
    size_t got = 0;
    char *memory = NULL;
    int file, code = 0;

    *text = NULL;
    CLF_TRY(open_regular(path, &file, &size, err));
    if (size <= most && size < SIZE_MAX)
        memory = clf_alloc((size_t)size + 1, 1);
    if (memory != NULL)
        code = read_all(file, memory, (size_t)size, &got);
    (void)close(file);
    if (size > most)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: file is %" PRIu64 " bytes; want at most %" PRIu64, path, size, most);
    if (memory == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory for %" PRIu64 " bytes", path, size);
    if (code != 0) {
        clf_free(memory);
        return clf_file_error(err, path, "cannot read", code, "a file that can be read");
    }
    *text = memory;
    *bytes = got;
    return CLF_OK;
}

bool clf_file_there(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool clf_file_is_folder(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

char *clf_file_join(const char *folder, const char *name)
{
    const size_t folder_bytes = strlen(folder), name_bytes = strlen(name);
    char *path = clf_alloc(folder_bytes + name_bytes + 2, 1);

    if (path != NULL)
        (void)clf_format(path, folder_bytes + name_bytes + 2, "%s%s%s", folder,
                         folder_bytes > 0 && folder[folder_bytes - 1] == '/' ? "" : "/", name);
    return path;
}

const char *clf_file_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}
