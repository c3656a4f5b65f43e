/* Program binaries on disk, in a folder that the caller gives.  Any doubt about a file means the source. */
#ifndef CLF_RUNTIME_CACHE_H
#define CLF_RUNTIME_CACHE_H

#include "runtime/context.h"

#define CLF_PROGRAM_PARTS 3 /* clf_shared.h, clf_math.h, <program>.cl */

/* A built program, or NULL: not there, not ours, not whole, refused by the driver. */
cl_program clf_cache_load(clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                          const size_t bytes[CLF_PROGRAM_PARTS], const char *options);

/* Writes beside the target and renames; failures go to the log alone. */
void clf_cache_store(clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                     const size_t bytes[CLF_PROGRAM_PARTS], const char *options, cl_program program);

#endif
