/* Programs: embedded source, built on first use, once per context. */
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "core/size.h"
#include "core/text.h"
#include "runtime/cache.h"
#include "runtime/context.h"
#include "runtime/embedded.h"

struct clf_program {
    clf_program *next;
    char name[40];
    char options[240];
    pthread_mutex_t building; /* held while one thread builds; others that want this program wait here */
    cl_program cl;            /* NULL: not built yet */
};

static const clf_embedded *embedded(const char *name)
{
    for (size_t i = 0; i < clf_embedded_source_count; i++)
        if (strcmp(clf_embedded_sources[i].name, name) == 0)
            return &clf_embedded_sources[i];
    return NULL;
}

static clf_status gather_sources(const char *name, const char *texts[CLF_PROGRAM_PARTS],
                                 size_t bytes[CLF_PROGRAM_PARTS], clf_error *err)
{
    char file[64];
    const char *const names[CLF_PROGRAM_PARTS] = { "clf_shared.h", "clf_math.h", file };

    clf_format(file, sizeof file, "%s.cl", name);
    for (size_t i = 0; i < CLF_PROGRAM_PARTS; i++) {
        const clf_embedded *part = embedded(names[i]);

        if (part == NULL)
            return CLF_FAIL(err, CLF_INTERNAL, "program: %s is not embedded", names[i]);
        texts[i] = (const char *)part->text;
        bytes[i] = part->bytes;
    }
    return CLF_OK;
}

/* The first lines of the compiler's log, on one line. */
static void build_log(const clf_context *ctx, cl_program program, char *line, size_t bytes)
{
    size_t need = 0;
    char *log;

    line[0] = '\0';
    if (clf_cl()->GetProgramBuildInfo(program, ctx->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &need) != CL_SUCCESS ||
        need == 0 || need > 1U << 24 || (log = clf_alloc(need + 1, 1)) == NULL)
        return;
    if (clf_cl()->GetProgramBuildInfo(program, ctx->device, CL_PROGRAM_BUILD_LOG, need, log, NULL) == CL_SUCCESS)
        clf_format(line, bytes, "%s", clf_text_quote(log, strlen(log)).text);
    clf_free(log);
}

static clf_status build(clf_context *ctx, clf_program *p, clf_error *err)
{
    const char *texts[CLF_PROGRAM_PARTS];
    size_t bytes[CLF_PROGRAM_PARTS];
    char options[360], log[200];
    cl_program program;
    cl_int code;

    CLF_TRY(gather_sources(p->name, texts, bytes, err));
    clf_format(options, sizeof options, "%s %s", ctx->options, p->options);
    if (ctx->cache_dir != NULL && (program = clf_cache_load(ctx, texts, bytes, options)) != NULL) {
        p->cl = program;
        return CLF_OK;
    }
    program = clf_cl()->CreateProgramWithSource(ctx->cl, CLF_PROGRAM_PARTS, texts, bytes, &code);
    CLF_CL(ctx, err, code, "program %s: clCreateProgramWithSource", p->name);
    code = clf_cl()->BuildProgram(program, 1, &ctx->device, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        build_log(ctx, program, log, sizeof log);
        clf_cl()->ReleaseProgram(program);
        return clf_cl_fail(ctx, err, __FILE__, __LINE__, code, "program %s: clBuildProgram with %s%s%s", p->name,
                           options, log[0] != '\0' ? ": " : "", log);
    }
    if (ctx->cache_dir != NULL)
        clf_cache_store(ctx, texts, bytes, options, program);
    p->cl = program;
    return CLF_OK;
}

/* The entry of the list for this key, new if need be. */
static clf_status find_entry(clf_context *ctx, const char *name, const char *options, clf_program **entry,
                             clf_error *err)
{
    clf_program *p;

    for (p = ctx->programs; p != NULL; p = p->next)
        if (strcmp(p->name, name) == 0 && strcmp(p->options, options) == 0) {
            *entry = p;
            return CLF_OK;
        }
    if (strlen(name) >= sizeof p->name || strlen(options) >= sizeof p->options)
        return CLF_FAIL(err, CLF_INTERNAL, "program %s: name or options too long: %s", name, options);
    p = clf_alloc(1, sizeof *p);
    if (p == NULL || pthread_mutex_init(&p->building, NULL) != 0) {
        clf_free(p);
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "program %s: no memory for %zu bytes", name, sizeof *p);
    }
    clf_format(p->name, sizeof p->name, "%s", name);
    clf_format(p->options, sizeof p->options, "%s", options);
    p->next = ctx->programs;
    ctx->programs = p;
    *entry = p;
    return CLF_OK;
}

clf_status clf_program_get(clf_context *ctx, const char *name, const char *options, cl_program *program, clf_error *err)
{
    clf_program *p = NULL;
    clf_status status;

    pthread_mutex_lock(&ctx->lock);
    status = find_entry(ctx, name, options, &p, err);
    pthread_mutex_unlock(&ctx->lock);
    if (status != CLF_OK)
        return status;
    pthread_mutex_lock(&p->building);
    if (p->cl == NULL)
        status = build(ctx, p, err);
    *program = p->cl;
    pthread_mutex_unlock(&p->building);
    return status;
}

void clf_program_release_all(clf_context *ctx)
{
    while (ctx->programs != NULL) {
        clf_program *p = ctx->programs;

        ctx->programs = p->next;
        if (p->cl != NULL)
            clf_cl()->ReleaseProgram(p->cl);
        pthread_mutex_destroy(&p->building);
        clf_free(p);
    }
}
