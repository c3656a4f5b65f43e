/* Writing: a temporary file beside the target, renamed on commit.  No fsync: after a power cut the file may be missing
 * or empty, as with any program that writes results. */
#define _DEFAULT_SOURCE 1
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/file_error.h"
#include "checkpoint/file_map.h"
#include "checkpoint/npy.h"
#include "checkpoint/npy_types.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

#define PREAMBLE_BYTES 10u
#define HEADER_STEP 64u  /* the elements begin at a multiple of it */
#define HEADER_MOST 256u /* 62 characters and six dimensions of at most 21 */
#define NAME_TRIES 1000  /* names of other writers of this process, or left by a killed one of the same number */
#define ELSEWHERE "another output path, in a folder with space that can be written"

struct clf_npy_writer {
    char *path, *temporary;
    bool made; /* the temporary file is there */
    int file;  /* descriptor + 1 while it is written */
};

void clf_npy_abandon(clf_npy_writer *w)
{
    if (w == NULL)
        return;
    if (w->file != 0)
        (void)close(w->file - 1);
    if (w->made)
        (void)unlink(w->temporary);
    clf_free(w->temporary);
    clf_free(w->path);
    clf_free(w);
}

/* Preamble and header, padded so that the elements begin at a multiple of 64. */
static size_t make_header(clf_host_tensor t, unsigned char header[HEADER_MOST])
{
    char *text = (char *)header + PREAMBLE_BYTES;
    const size_t room = HEADER_MOST - PREAMBLE_BYTES;
    size_t length, total;

    length = clf_format(text, room, "{'descr': '%s', 'fortran_order': False, 'shape': (", clf_npy_descr(t.dtype));
    for (int32_t i = 0; i < t.rank; i++)
        length += clf_format(text + length, room - length, "%s%" PRId64 "%s", i == 0 ? "" : ", ", t.dim[i],
                             t.rank == 1 ? "," : "");
    length += clf_format(text + length, room - length, "), }");
    total = (size_t)clf_div_up(PREAMBLE_BYTES + length + 1, HEADER_STEP) * HEADER_STEP;
    memset(text + length, ' ', total - PREAMBLE_BYTES - length);
    header[total - 1] = '\n';
    memcpy(header, CLF_NPY_MAGIC "\x01\x00", CLF_NPY_MAGIC_BYTES + 2);
    header[8] = (unsigned char)(total - PREAMBLE_BYTES);
    header[9] = 0; /* total is at most HEADER_MOST */
    return total;
}

static clf_status check_tensor(const char *path, clf_host_tensor t, uint64_t *bytes, clf_error *err)
{
    const char *name = clf_file_base(path);

    if (t.dtype == CLF_DTYPE_NONE || t.rank < 0 || t.rank > CLF_MAX_RANK)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor has type %s and rank %d; want one, and 0 to %d", name,
                        clf_dtype_name(t.dtype), (int)t.rank, CLF_MAX_RANK);
    for (int32_t i = 0; i < t.rank; i++)
        if (t.dim[i] < 0)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor is %s; want no negative dimension", name,
                            CLF_HOST_TEXT(t));
    if (!clf_host_bytes(t, bytes) || *bytes > SIZE_MAX)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor is %s; want a size that fits memory", name,
                        CLF_HOST_TEXT(t));
    if (t.data == NULL && *bytes > 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: tensor %s has data NULL; want memory", name, CLF_HOST_TEXT(t));
    if (clf_npy_descr(t.dtype) == NULL)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: tensor is %s; want a type that NumPy has, as f32 or f16", name,
                        CLF_HOST_TEXT(t));
    return CLF_OK;
}

/* rename would replace a device or FIFO by a file. */
static clf_status check_target(const char *path, clf_error *err)
{
    struct stat about;

    if (clf_file_base(path)[0] == '\0')
        return CLF_FAIL(err, CLF_IO, "%s: path ends without a name; want the name of a file", path);
    if (stat(path, &about) != 0 || S_ISREG(about.st_mode))
        return CLF_OK; /* what else is wrong with the path shows when the temporary file is made */
    return CLF_FAIL(err, CLF_IO, "%s: there is a %s; want a regular file or a new name", path,
                    S_ISDIR(about.st_mode) ? "folder" : "device, pipe or socket");
}

static clf_status make_temporary(clf_npy_writer *w, clf_error *err)
{
    const size_t folder = (size_t)(clf_file_base(w->path) - w->path), room = folder + 64;
    int file = -1;

    w->temporary = clf_alloc(room, 1);
    if (w->temporary == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to write it", w->path);
    memcpy(w->temporary, w->path, folder);
    for (int i = 0; file < 0 && i < NAME_TRIES; i++) {
        (void)clf_format(w->temporary + folder, room - folder, ".clfusion-%ld-%d.tmp", (long)getpid(), i);
        file = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST && errno != EINTR)
            break;
    }
    if (file < 0)
        return clf_file_error(err, w->path, "cannot write in its folder", errno, ELSEWHERE);
    w->made = true;
    w->file = file + 1;
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

static clf_status write_file(clf_npy_writer *w, clf_host_tensor t, uint64_t bytes, clf_error *err)
{
    unsigned char header[HEADER_MOST];
    const size_t header_bytes = make_header(t, header);
    const int file = w->file - 1;
    int code = write_all(file, header, header_bytes);

    if (code == 0)
        code = write_all(file, t.data, bytes);
    w->file = 0;
    if (close(file) != 0 && code == 0 && errno != EINTR)
        code = errno; /* some file systems run out of space here */
    if (code == 0)
        return CLF_OK;
    return CLF_FAIL(err, CLF_IO, "%s: cannot write %" PRIu64 " bytes: %s; nothing was kept; want %s", w->path,
                    bytes + header_bytes, clf_file_reason(code).text, ELSEWHERE);
}

clf_status clf_npy_write(const char *path, clf_host_tensor t, clf_npy_writer **w, clf_error *err)
{
    clf_npy_writer *made;
    uint64_t bytes = 0;
    clf_status status;

    *w = NULL;
    CLF_TRY(check_tensor(path, t, &bytes, err));
    CLF_TRY(check_target(path, err));
    made = clf_alloc(1, sizeof *made);
    if (made != NULL)
        made->path = clf_strdup(path);
    if (made == NULL || made->path == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to write it", path);
    else
        status = make_temporary(made, err);
    if (status == CLF_OK)
        status = write_file(made, t, bytes, err);
    if (status != CLF_OK) {
        clf_npy_abandon(made);
        return status;
    }
    *w = made;
    return CLF_OK;
}

clf_status clf_npy_commit(clf_npy_writer *w, clf_error *err)
{
    clf_status status = check_target(w->path, err);

    if (status == CLF_OK && rename(w->temporary, w->path) != 0)
        status = clf_file_error(err, w->path, "cannot rename the finished file to it", errno, ELSEWHERE);
    w->made = status != CLF_OK;
    clf_npy_abandon(w);
    return status;
}
