/* Writing: a file without a name (O_TMPFILE) or a temporary one beside the target, renamed on commit.  No fsync: after a
 * power cut the file may be missing or empty, as with any program that writes results. */
#define _GNU_SOURCE 1 /* O_TMPFILE */
#define _FILE_OFFSET_BITS 64

#include "checkpoint/file_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/file_error.h"
#include "checkpoint/file_map.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define NAME_TRIES 1000 /* names of other writers of this process, or left by a killed one of the same number */
#define NAME_BYTES 64   /* of a temporary name behind the folder */
#define ELSEWHERE "another output path, in a folder with space that can be written"

struct clf_file_writer {
    char *path, *temporary;
    bool named;     /* the temporary name is there */
    int file;       /* descriptor + 1 while it is open */
    int code;       /* errno of the first write that failed */
    uint64_t bytes; /* all that were to be written */
};

/* rename would replace a device or FIFO by a file. */
clf_status clf_file_target_check(const char *path, clf_error *err)
{
    struct stat about;

    if (clf_file_base(path)[0] == '\0')
        return CLF_FAIL(err, CLF_IO, "%s: path ends without a name; want the name of a file", path);
    if (stat(path, &about) != 0) {
        if (errno == ENAMETOOLONG)
            return clf_file_error(err, path, "cannot be written", errno, "a shorter one");
        return CLF_OK; /* what else is wrong with the path shows when the temporary file is made */
    }
    if (S_ISREG(about.st_mode))
        return CLF_OK;
    return CLF_FAIL(err, CLF_IO, "%s: there is a %s; want a regular file or a new name", path,
                    S_ISDIR(about.st_mode) ? "folder" : "device, pipe or socket");
}

/* The folder of a path, for clf_free; NULL without memory. */
static char *folder_of(const char *path)
{
    const size_t length = (size_t)(clf_file_base(path) - path);

    return length > 0 ? clf_strndup(path, length) : clf_strdup(".");
}

bool clf_file_target_same(const char *a, const char *b)
{
    char *folder_a = folder_of(a), *folder_b = folder_of(b);
    struct stat in_a, in_b;
    bool same = strcmp(a, b) == 0;

    if (!same && folder_a != NULL && folder_b != NULL && strcmp(clf_file_base(a), clf_file_base(b)) == 0)
        same = stat(folder_a, &in_a) == 0 && stat(folder_b, &in_b) == 0 && in_a.st_dev == in_b.st_dev &&
               in_a.st_ino == in_b.st_ino;
    clf_free(folder_a);
    clf_free(folder_b);
    return same;
}

/* Where the system shows an open file: the way to give it a name. */
static void proc_path(int file, char *text, size_t bytes)
{
    (void)clf_format(text, bytes, "/proc/self/fd/%d", file);
}

/* A descriptor without a name; -1 where file system or kernel cannot, or where there is no /proc to name it by. */
static int open_nameless(const char *folder)
{
#ifdef O_TMPFILE
    const int file = open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    char proc[NAME_BYTES];

    if (file < 0)
        return -1;
    proc_path(file, proc, sizeof proc);
    if (access(proc, F_OK) == 0)
        return file;
    (void)close(file);
#else
    (void)folder;
#endif
    return -1;
}

/* Tries temporary names until one is free: of the open file, or of a new one where `linked` is -1.  Returns the
 * descriptor, or -1 and errno. */
static int take_name(clf_file_writer *w, int linked)
{
    const size_t folder = (size_t)(clf_file_base(w->path) - w->path);
    char proc[NAME_BYTES];
    int file = -1;

    memcpy(w->temporary, w->path, folder);
    proc_path(linked, proc, sizeof proc);
    for (int i = 0; file < 0 && i < NAME_TRIES; i++) {
        (void)clf_format(w->temporary + folder, NAME_BYTES, ".clfusion-%ld-%d.tmp", (long)getpid(), i);
        if (linked < 0)
            file = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        else if (linkat(AT_FDCWD, proc, AT_FDCWD, w->temporary, AT_SYMLINK_FOLLOW) == 0)
            file = linked;
        if (file < 0 && errno != EEXIST && errno != EINTR)
            break;
    }
    w->named = file >= 0;
    return file;
}

static clf_status open_file(clf_file_writer *w, const char *path, clf_error *err)
{
    char *folder = folder_of(path);
    int file;

    w->path = clf_strdup(path);
    w->temporary = clf_alloc((size_t)(clf_file_base(path) - path) + NAME_BYTES, 1);
    if (folder == NULL || w->path == NULL || w->temporary == NULL) {
        clf_free(folder);
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to write it", path);
    }
    file = open_nameless(folder);
    clf_free(folder);
    if (file < 0)
        file = take_name(w, -1);
    if (file < 0)
        return clf_file_error(err, path, "cannot write in its folder", errno, ELSEWHERE);
    w->file = file + 1;
    return CLF_OK;
}

clf_status clf_file_writer_open(const char *path, clf_file_writer **w, clf_error *err)
{
    clf_file_writer *made;
    clf_status status;

    *w = NULL;
    CLF_TRY(clf_file_target_check(path, err));
    made = clf_alloc(1, sizeof *made);
    if (made == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to write it", path);
    status = open_file(made, path, err);
    if (status != CLF_OK) {
        clf_file_writer_abandon(made);
        return status;
    }
    *w = made;
    return CLF_OK;
}

/* 0, or why not all of it was written. */
static int write_all(int file, const void *data, uint64_t bytes)
{
    const unsigned char *at = data;

    while (bytes > 0) {
        const ssize_t n = write(file, at, (size_t)CLF_MIN(bytes, UINT64_C(1) << 30));

        if (n == 0)
            return ENOSPC;
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0) {
            at += n;
            bytes -= (uint64_t)n;
        }
    }
    return 0;
}

void clf_file_writer_put(clf_file_writer *w, const void *data, uint64_t bytes)
{
    w->bytes += bytes;
    if (w->code == 0)
        w->code = write_all(w->file - 1, data, bytes);
}

int clf_file_writer_descriptor(const clf_file_writer *w)
{
    return w->file - 1;
}

clf_status clf_file_writer_finish(clf_file_writer *w, clf_error *err)
{
    if (w->named) {
        const int file = w->file - 1;

        w->file = 0;
        if (close(file) != 0 && w->code == 0 && errno != EINTR)
            w->code = errno; /* some file systems run out of space here; those have no files without a name */
    }
    if (w->code == 0)
        return CLF_OK;
    return CLF_FAIL(err, CLF_IO, "%s: cannot write %" PRIu64 " bytes: %s; nothing was kept; want %s", w->path, w->bytes,
                    clf_file_reason(w->code).text, ELSEWHERE);
}

clf_status clf_file_writer_commit(clf_file_writer *w, clf_error *err)
{
    clf_status status = clf_file_target_check(w->path, err);

    /* linkat replaces nothing, so the file gets a temporary name for the moment between the two calls. */
    if (status == CLF_OK && ((!w->named && take_name(w, w->file - 1) < 0) || rename(w->temporary, w->path) != 0))
        status = clf_file_error(err, w->path, "cannot rename the finished file to it", errno, ELSEWHERE);
    w->named = w->named && status != CLF_OK;
    clf_file_writer_abandon(w);
    return status;
}

void clf_file_writer_abandon(clf_file_writer *w)
{
    if (w == NULL)
        return;
    if (w->file != 0)
        (void)close(w->file - 1);
    if (w->named)
        (void)unlink(w->temporary);
    clf_free(w->temporary);
    clf_free(w->path);
    clf_free(w);
}
