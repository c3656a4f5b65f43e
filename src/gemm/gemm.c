/* Which provider a context uses.  clf_context_create stands here because a context is complete only with one. */
#include "gemm/gemm.h"

#include "core/desc.h"
#include "runtime/context.h"

#define CLF_OP "context"

const clf_gemm_provider *clf_gemm_of(const clf_context *ctx)
{
    return ctx->gemm;
}

const char *clf_context_gemm(const clf_context *ctx)
{
    return clf_gemm_of(ctx)->name;
}

static void use(clf_context *ctx, const clf_gemm_provider *provider)
{
    ctx->gemm = provider;
    ctx->before_release = provider->before_release;
}

/* CLBlast on everything but CPU devices, where it reaches 1 to 8 % of what the machine can do.  Where it is not
 * installed or not built in, the panels stand in: slow on a GPU, but right. */
static clf_status choose(clf_context *ctx, clf_gemm_choice wanted, clf_error *err)
{
    use(ctx, &clf_gemm_panel);
    switch (wanted) {
    case CLF_GEMM_PANEL:
        return CLF_OK;
    case CLF_GEMM_CLBLAST:
        CLF_TRY(clf_gemm_clblast.supports(ctx, err));
        use(ctx, &clf_gemm_clblast);
        return CLF_OK;
    case CLF_GEMM_AUTO:
        if (ctx->info.kind != CLF_DEVICE_CPU && clf_gemm_clblast.supports(ctx, NULL) == CLF_OK)
            use(ctx, &clf_gemm_clblast);
        return CLF_OK;
    }
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "context: gemm is %d; want CLF_GEMM_AUTO, _PANEL or _CLBLAST",
                    (int)wanted);
}

clf_status clf_context_create(const clf_context_desc *given, clf_context **out, clf_error *err)
{
    clf_context_desc desc = clf_context_desc_default();
    clf_status status;

    *out = NULL;
    CLF_DESC_READ(err, &desc, given);
    CLF_TRY(clf_context_open(&desc, out, err));
    status = choose(*out, desc.gemm, err);
    if (status != CLF_OK) {
        clf_context_destroy(*out);
        *out = NULL;
    }
    return status;
}
