/* Host memory and the log, and what else a whole process shares.
 *
 * The allocator and the log callback are set before any other function of clfusion is called, by one thread; afterwards
 * they are only read.  Beside them the process shares: the OpenCL loader and CLBlast, each opened at its first use and
 * kept open; and CLBlast's cache of programs, which belongs to CLBlast.  Its first product in a context is alone under a
 * lock of clfusion, and destroying a context that used it clears that cache: a program that calls CLBlast itself then
 * compiles again at its next call. */
#ifndef CLFUSION_MEMORY_H
#define CLFUSION_MEMORY_H

#include <stddef.h>

#include <clfusion/export.h>

CLF_BEGIN_DECLS

/** Replaces malloc, realloc and free for everything that clfusion allocates; only as a set. */
typedef struct clf_allocator {
    void *user;
    void *(*allocate)(void *user, size_t bytes);                 /* NULL when there is no memory */
    void *(*reallocate)(void *user, void *memory, size_t bytes); /* memory may be NULL; on failure it stays valid */
    void (*release)(void *user, void *memory);                   /* memory may be NULL */
} clf_allocator;

/** Copies the table.  NULL brings the C library's functions back. */
CLF_API void clf_set_allocator(const clf_allocator *allocator);

/** Receives one line without a newline, for events that are no errors: a stream destroyed with an unread error, a
 * cache that cannot be used.  Called from any thread that uses clfusion. */
typedef void clf_log_callback(void *user, const char *line);

/** NULL, the default, discards the lines. */
CLF_API void clf_set_log(clf_log_callback *callback, void *user);

CLF_END_DECLS

#endif
