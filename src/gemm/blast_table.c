/* Opening CLBlast. */
#include "gemm/blast_table.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "core/size.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static clf_blast_table real;
static const clf_blast_table *current;
static const char *missing;

#ifdef CLF_NO_CLBLAST
static void load(void)
{
    missing = "this build leaves it out (CLFUSION_CLBLAST)";
}
#else
static void find(void *library, const char *name, void *field)
{
    void *symbol = dlsym(library, name);

    if (symbol == NULL)
        missing = "the installed library is too old (1.5 or later is wanted)";
    memcpy(field, &symbol, sizeof symbol);
}

static void load(void)
{
    void *library = dlopen("libclblast.so.1", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        missing = "libclblast.so.1 is not installed";
        return;
    }
    find(library, "CLBlastSgemmWithTempBuffer", &real.SgemmWithTempBuffer);
    find(library, "CLBlastSGemmTempBufferSize", &real.SGemmTempBufferSize);
    find(library, "CLBlastOverrideParameters", &real.OverrideParameters);
    find(library, "CLBlastClearCache", &real.ClearCache);
    if (missing == NULL && current == NULL)
        current = &real;
}
#endif

clf_status clf_blast_load(clf_error *err)
{
    pthread_once(&once, load);
    if (current == NULL)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "no CLBlast: %s; install it or use the panel provider", missing);
    return CLF_OK;
}

const clf_blast_table *clf_blast(void)
{
    return current;
}

const clf_blast_table *clf_blast_replace(const clf_blast_table *table)
{
    pthread_once(&once, load);
    current = table != NULL ? table : missing == NULL ? &real : NULL;
    return missing == NULL ? &real : NULL;
}

const char *clf_blast_code_name(int code)
{
    static const struct {
        int code;
        const char *name;
    } own[] = {
        { -2039, "unexpected exception inside CLBlast" },
        { -2040, "unknown error inside CLBlast" },
        { -2046, "device lacks local memory" },
        { -2047, "tuning parameter missing" },
        { -2048, "unknown kernel in an override" },
        { -2050, "temporary buffer too small" },
        { -1009, "buffer of A too small" },
        { -1008, "buffer of B too small" },
        { -1007, "buffer of C too small" },
    };

    for (size_t i = 0; i < CLF_COUNT(own); i++)
        if (own[i].code == code)
            return own[i].name;
    return clf_cl_code_name(code);
}
