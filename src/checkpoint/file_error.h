/* Messages for calls of the operating system that failed. */
#ifndef CLF_CHECKPOINT_FILE_ERROR_H
#define CLF_CHECKPOINT_FILE_ERROR_H

#include <clfusion/status.h>

/* "no such file or folder (ENOENT)" for an errno; "error 95" for rare ones.  Returned by value: no shared storage. */
typedef struct clf_reason {
    char text[64];
} clf_reason;
clf_reason clf_file_reason(int code);

/* CLF_IO with "path: cannot open: no such file or folder (ENOENT); want <rule>"; CLF_OUT_OF_MEMORY for ENOMEM. */
clf_status clf_file_error(clf_error *err, const char *path, const char *what, int code, const char *rule);

#endif
