/* Filling the caller's error record, stating rules, forwarding. */
#ifndef CLF_CORE_ERROR_H
#define CLF_CORE_ERROR_H

#include <clfusion/status.h>

/* Fills *err (NULL: nothing) and returns `status`.  Text that came from a file goes through clf_text_quote first. */
clf_status clf_error_set(clf_error *err, const char *file, int line, clf_status status, const char *format, ...)
    CLF_PRINTF(5, 6);

/* Puts `prefix` before the message of *err. */
void clf_error_prefix(clf_error *err, const char *prefix);

#define CLF_FAIL(err, status, ...) clf_error_set((err), __FILE__, __LINE__, (status), __VA_ARGS__)

/* States a rule: leaves the function with the status when it does not hold. */
#define CLF_REQUIRE(err, rule, status, ...)                                                                            \
    do {                                                                                                               \
        if (!(rule))                                                                                                   \
            return CLF_FAIL((err), (status), CLF_OP ": " __VA_ARGS__);                                                 \
    } while (0)

/* Leaves the function with the status of `call` unless it is CLF_OK. */
#define CLF_TRY(call)                                                                                                  \
    do {                                                                                                               \
        const clf_status clf_try_status = (call);                                                                      \
        if (clf_try_status != CLF_OK)                                                                                  \
            return clf_try_status;                                                                                     \
    } while (0)

#endif
