/* Reasons by name: strerror is neither safe with threads nor the same in every language. */
#include "checkpoint/file_error.h"

#include <errno.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define REASON(code, text)                                                                                             \
    {                                                                                                                  \
        code, text " (" #code ")"                                                                                      \
    }

static const struct {
    int code;
    const char *text;
} reasons[] = {
    REASON(ENOENT, "no such file or folder"),
    REASON(ENOTDIR, "part of the path is no folder"),
    REASON(EISDIR, "it is a folder"),
    REASON(EACCES, "permission denied"),
    REASON(EPERM, "not permitted"),
    REASON(EROFS, "the file system is read-only"),
    REASON(ELOOP, "too many symbolic links"),
    REASON(ENAMETOOLONG, "the name is too long"),
    REASON(EMFILE, "too many open files of this process"),
    REASON(ENFILE, "too many open files of this machine"),
    REASON(ENOMEM, "no memory"),
    REASON(EIO, "the device failed"),
    REASON(ENOSPC, "no space left"),
    REASON(EFBIG, "the limit of file sizes is reached"),
    REASON(EXDEV, "another file system"),
    REASON(EINVAL, "not possible for this kind of file"),
};

clf_reason clf_file_reason(int code)
{
    clf_reason r;

    for (size_t i = 0; i < CLF_COUNT(reasons); i++)
        if (reasons[i].code == code) {
            (void)clf_format(r.text, sizeof r.text, "%s", reasons[i].text);
            return r;
        }
    (void)clf_format(r.text, sizeof r.text, "error %d", code);
    return r;
}

clf_status clf_file_error(clf_error *err, const char *path, const char *what, int code, const char *rule)
{
    return CLF_FAIL(err, code == ENOMEM ? CLF_OUT_OF_MEMORY : CLF_IO, "%s: %s: %s; want %s", path, what,
                    clf_file_reason(code).text, rule);
}
