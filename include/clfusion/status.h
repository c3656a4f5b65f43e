/* Status codes and the error record.
 *
 * A function that can fail returns a clf_status and fills a clf_error that the caller owns (NULL: not wanted).  The
 * library never prints, exits or aborts.  Messages are one line, "where: argument is value; want rule". */
#ifndef CLFUSION_STATUS_H
#define CLFUSION_STATUS_H

#include <clfusion/export.h>

CLF_BEGIN_DECLS

/* Name, value, sentence.  Values stay for ever. */
#define CLF_STATUS_LIST(X)                                                                                             \
    X(CLF_OK, 0, "done")                                                                                               \
    X(CLF_INVALID_ARGUMENT, 1, "the caller broke a rule of the function")                                              \
    X(CLF_UNSUPPORTED, 2, "sound, but not built or not possible on this device or machine")                            \
    X(CLF_OUT_OF_MEMORY, 3, "the host has no memory left")                                                             \
    X(CLF_OUT_OF_DEVICE_MEMORY, 4, "the device has no memory left")                                                    \
    X(CLF_DEVICE_ERROR, 5, "an OpenCL call failed")                                                                    \
    X(CLF_DEVICE_LOST, 6, "the device ended abnormally; the context can only be destroyed")                            \
    X(CLF_BAD_FILE, 7, "a file breaks the rules of its format")                                                        \
    X(CLF_IO, 8, "a file could not be opened, read or written")                                                        \
    X(CLF_INTERNAL, 9, "a defect of clfusion")

typedef enum clf_status {
#define CLF_STATUS_ENTRY(name, value, sentence) name = value,
    CLF_STATUS_LIST(CLF_STATUS_ENTRY)
#undef CLF_STATUS_ENTRY
} clf_status;

/** Room for the longest message: the list of all families. */
#define CLF_MESSAGE_BYTES 1500

/** What failed.  Filled completely when the error arises; a success leaves it as it was. */
typedef struct clf_error {
    clf_status status;
    int line;         /* where clfusion found it, for reports */
    const char *file; /* static storage, or NULL */
    char message[CLF_MESSAGE_BYTES];
} clf_error;

/** The name of a status, as "CLF_BAD_FILE"; "unknown status" for other values.  Static storage. */
CLF_API const char *clf_status_name(clf_status status);

/** The sentence that explains a status.  Static storage. */
CLF_API const char *clf_status_sentence(clf_status status);

CLF_END_DECLS

#endif
