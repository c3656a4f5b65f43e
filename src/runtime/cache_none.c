/* The program cache of a build without libmd: always the source. */
#include "runtime/cache.h"

cl_program clf_cache_load(clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                          const size_t bytes[CLF_PROGRAM_PARTS], const char *options)
{
    (void)ctx;
    (void)texts;
    (void)bytes;
    (void)options;
    return NULL;
}

void clf_cache_store(clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                     const size_t bytes[CLF_PROGRAM_PARTS], const char *options, cl_program program)
{
    (void)ctx;
    (void)texts;
    (void)bytes;
    (void)options;
    (void)program;
}
