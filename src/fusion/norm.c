/* Norms of a module. */
#include "fusion/norm.h"

#include <math.h>

#include "core/size.h"
#include "core/text.h"
#include "fusion/name.h"
#include "fusion/parameter.h"
#include "runtime/op.h"

static clf_status check_vector(const char *name, clf_host_tensor v, int64_t width, clf_error *err)
{
    if (!clf_host_present(v))
        return CLF_OK;
    if (v.rank != 1 || v.dim[0] != width)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s; want [%" PRId64 "]", name, CLF_HOST_TEXT(v), width);
    if (v.data == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s is %s without data; want host memory", name, CLF_HOST_TEXT(v));
    return CLF_OK;
}

clf_status clf_norm_check(const char *name, const clf_norm_desc *d, int64_t width, clf_error *err)
{
    if (d->kind == CLF_NORM_NONE)
        return CLF_OK;
    if (d->kind != CLF_NORM_LAYER && d->kind != CLF_NORM_RMS)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.kind is %d; want none, layer norm or RMS norm", name,
                        (int)d->kind);
    if (!isfinite(d->eps) || d->eps <= 0.0F)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.eps is %g; want finite, above 0", name, (double)d->eps);
    if (clf_host_present(d->bias) && (d->kind == CLF_NORM_RMS || !clf_host_present(d->weight)))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.bias is %s; want none for RMS norm or without a weight", name,
                        CLF_HOST_TEXT(d->bias));
    CLF_TRY(check_vector(CLF_PART(name, "weight"), d->weight, width, err));
    return check_vector(CLF_PART(name, "bias"), d->bias, width, err);
}

clf_status clf_norm_create(clf_context *ctx, const char *name, const clf_norm_desc *desc, int64_t width,
                           const clf_tensor_source *source, clf_norm *norm, clf_error *err)
{
    clf_status status;

    *norm = (clf_norm){ .kind = CLF_NORM_NONE };
    if (desc->kind == CLF_NORM_NONE)
        return CLF_OK;
    CLF_TRY(clf_norm_check(name, desc, width, err));
    *norm = clf_norm_bare(desc);
    status = clf_parameter_create(ctx, CLF_PART(name, "weight"), desc->weight, CLF_F32, source, &norm->weight, err);
    if (status == CLF_OK)
        status = clf_parameter_create(ctx, CLF_PART(name, "bias"), desc->bias, CLF_F32, source, &norm->bias, err);
    if (status != CLF_OK)
        clf_norm_destroy(ctx, norm);
    return status;
}

void clf_norm_destroy(clf_context *ctx, clf_norm *norm)
{
    clf_tensor_free(ctx, &norm->weight);
    clf_tensor_free(ctx, &norm->bias);
    norm->kind = CLF_NORM_NONE;
}

clf_norm clf_norm_bare(const clf_norm_desc *desc)
{
    return (clf_norm){ .kind = desc->kind, .eps = desc->eps };
}

void clf_norm_before(const clf_norm *norm, clf_linear_options *options)
{
    static const clf_prologue prologue[] = {
        [CLF_NORM_NONE] = CLF_PROLOGUE_NONE,
        [CLF_NORM_LAYER] = CLF_PROLOGUE_LAYER_NORM,
        [CLF_NORM_RMS] = CLF_PROLOGUE_RMS_NORM,
    };

    options->prologue = prologue[norm->kind];
    options->norm_weight = norm->weight;
    options->norm_bias = norm->bias;
    if (norm->kind != CLF_NORM_NONE)
        options->norm_eps = norm->eps;
}

clf_tensor clf_norm_rows(clf_stream *s, const clf_norm *norm, clf_tensor x)
{
    clf_tensor y;

    if (norm->kind == CLF_NORM_NONE)
        return x;
    y = clf_scratch(s, x.dtype, clf_tensor_dims(x));
    clf_normalise(s, norm, x, y);
    return y;
}
