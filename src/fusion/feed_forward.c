/* Feed-forward: y = r + g down(act(up(norm(x)))), or with a gated unit down(act(gated(..)) up(..)). */
#include "fusion/feed_forward.h"

#include <string.h>

#include <clfusion/gated_unit.h>

#include "core/alloc.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/gate.h"
#include "fusion/name.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "runtime/op.h"

clf_status clf_feed_forward_check(const char *name, const clf_feed_forward_desc *d, clf_error *err)
{
    const int64_t C = d->up.weight.dim[1], F = d->up.weight.dim[0];

    CLF_TRY(clf_weight_check(CLF_PART(name, "up"), &d->up, 0, err));
    CLF_TRY(clf_weight_check(CLF_PART(name, "down"), &d->down, F, err));
    CLF_TRY(clf_norm_check(CLF_PART(name, "norm"), &d->norm, C, err));
    CLF_TRY(clf_gate_check(CLF_PART(name, "gate"), d->gate, d->down.weight.dim[0], err));
    if (!clf_host_present(d->gated.weight))
        return CLF_OK;
    CLF_TRY(clf_weight_check(CLF_PART(name, "gated"), &d->gated, C, err));
    if (d->gated.weight.dim[0] != F)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.gated.weight is %s; want the shape of %s.up.weight %s", name,
                        CLF_HOST_TEXT(d->gated.weight), name, CLF_HOST_TEXT(d->up.weight));
    return CLF_OK;
}

static clf_status create_down(clf_context *ctx, const char *name, const clf_feed_forward_desc *d, clf_dtype storage,
                              const clf_tensor_source *source, clf_feed_forward *ff, clf_error *err)
{
    clf_linear_part part = { .layer = d->down };
    float *channels;
    clf_status status = clf_gate_channels(name, d->gate, &channels, &part.row_scale, err);

    if (status == CLF_OK)
        status = clf_weight_stack(ctx, name, &part, 1, storage, source, &ff->down, err);
    clf_free(channels);
    return status;
}

static clf_status create(clf_context *ctx, const char *name, const clf_feed_forward_desc *d, clf_dtype storage,
                         const clf_tensor_source *source, clf_feed_forward *ff, clf_error *err)
{
    const clf_linear_part both[] = { { .layer = d->gated }, { .layer = d->up } };

    CLF_TRY(clf_norm_create(ctx, CLF_PART(name, "norm"), &d->norm, d->up.weight.dim[1], source, &ff->norm, err));
    CLF_TRY(clf_weight_stack(ctx, CLF_PART(name, "up"), ff->gated ? both : both + 1, ff->gated ? 2 : 1, storage, source,
                             &ff->up, err));
    return create_down(ctx, CLF_PART(name, "down"), d, storage, source, ff, err);
}

clf_status clf_feed_forward_create(clf_context *ctx, const char *name, const clf_feed_forward_desc *desc,
                                   clf_dtype storage, const clf_tensor_source *source, clf_feed_forward *ff,
                                   clf_error *err)
{
    clf_status status;

    memset(ff, 0, sizeof *ff);
    if (!clf_host_present(desc->up.weight))
        return CLF_OK;
    CLF_TRY(clf_feed_forward_check(name, desc, err));
    ff->activation = desc->activation;
    ff->gated = clf_host_present(desc->gated.weight);
    ff->gate = clf_gate_value(desc->gate);
    status = create(ctx, name, desc, storage, source, ff, err);
    if (status != CLF_OK)
        clf_feed_forward_destroy(ctx, ff);
    return status;
}

void clf_feed_forward_destroy(clf_context *ctx, clf_feed_forward *ff)
{
    clf_norm_destroy(ctx, &ff->norm);
    clf_linear_weight_destroy(ff->up);
    clf_linear_weight_destroy(ff->down);
    ff->up = ff->down = NULL;
}

/* h = act(up(norm(x))), or act(gated(norm(x))) up(norm(x)) in the first half of both. */
static clf_tensor inner(clf_stream *s, const clf_feed_forward *ff, clf_tensor x)
{
    const int64_t width = clf_linear_weight_out(ff->up), F = ff->gated ? width / 2 : width;
    const clf_tensor h = clf_scratch_rows(s, x, width);
    const clf_tensor gated = clf_slice(s, h, -1, 0, F), up = clf_slice(s, h, -1, width - F, F);
    clf_linear_options options = clf_linear_options_default();

    clf_norm_before(&ff->norm, &options);
    if (!ff->gated)
        options.activation = ff->activation;
    clf_linear(s, x, ff->up, &options, h);
    if (ff->gated)
        clf_gated_unit(s, gated, up, ff->activation, gated);
    return gated;
}

void clf_feed_forward_forward(clf_stream *s, const clf_feed_forward *ff, clf_tensor x, clf_tensor residual,
                              clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "feed_forward", -1);
    clf_linear_options options = clf_linear_options_default();

    options.residual = residual;
    options.residual_scale = ff->gate;
    clf_linear(s, inner(s, ff, x), ff->down, &options, y);
    clf_scope_close(s, scope);
}

uint64_t clf_feed_forward_products(const clf_feed_forward_desc *d)
{
    return clf_weight_products(&d->up) + clf_weight_products(&d->gated) + clf_weight_products(&d->down);
}
