/* Cross-attention with absorbed weights: S = (q Wk) x^T, P = softmax(S), o = (P x) Wv^T + bv. */
#include "fusion/absorbed_attention.h"

#include "fusion/name.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "ops/linear_each.h"
#include "ops/linear_weight.h"
#include "ops/softmax.h"
#include "runtime/op.h"

/* ---- weights ---- */

bool clf_absorbed_pays(const clf_context *ctx, const clf_attention_layer_desc *d, int64_t M)
{
    const int64_t H = d->heads, D = d->q.weight.dim[0] / H, E = d->v.weight.dim[0] / H;
    const bool plain = d->q_norm.kind == CLF_NORM_NONE && d->k_norm.kind == CLF_NORM_NONE;

    return clf_linear_each_supported(ctx) && plain && (d->kv_heads == 0 || d->kv_heads == H) &&
           clf_host_present(d->out.weight) && 2 * M <= CLF_MIN(D, E) && clf_linear_each_divides(ctx, E);
}

clf_status clf_absorbed_create(clf_context *ctx, const char *name, const clf_attention_layer_desc *d, clf_dtype storage,
                               const clf_tensor_source *source, clf_absorbed_weights *w, clf_error *err)
{
    clf_status status = clf_linear_each_create_turned(ctx, d->k.weight, d->heads, storage, source, &w->k, err);

    if (status != CLF_OK)
        clf_error_prefix(err, CLF_PART(name, "k: "));
    else
        status = clf_weight_create(ctx, CLF_PART(name, "v"), &d->v, storage, source, &w->v, err);
    if (status != CLF_OK)
        clf_absorbed_destroy(ctx, w);
    return status;
}

void clf_absorbed_destroy(clf_context *ctx, clf_absorbed_weights *w)
{
    clf_tensor_free(ctx, &w->k.packed);
    clf_linear_weight_destroy(w->v);
    w->v = NULL;
}

/* ---- forward ---- */

clf_absorbed_context clf_absorbed_pack(clf_stream *s, clf_tensor x, clf_tensor mask)
{
    clf_absorbed_context context = { .mask = mask };

    if (clf_present(mask)) {
        context.mask.rank = 2;
        context.mask.dim[1] = mask.dim[3];
        context.mask.stride[1] = mask.stride[3];
    }
    x = clf_place_dense(s, x);
    context.rows = clf_linear_each_rows(s, x);
    context.columns = clf_linear_each_columns(s, x, context.mask);
    return context;
}

/* [H, B, M, d] of what has the M rows of a head, d wide, `step` elements behind those of the one before. */
static clf_tensor by_head(clf_tensor t, int64_t H, int64_t M, int64_t d, int64_t step)
{
    t.rank = 4;
    t.dim[3] = d;
    t.dim[2] = M;
    t.dim[1] = t.dim[0];
    t.dim[0] = H;
    t.stride[3] = 1;
    t.stride[2] = t.stride[1];
    t.stride[1] = t.stride[0];
    t.stride[0] = step;
    return t;
}

/* Columns of heads [B, M, H d] as [H, B, M, d]. */
static clf_tensor of_columns(clf_tensor t, int64_t H)
{
    return by_head(t, H, t.dim[1], t.dim[2] / H, t.dim[2] / H);
}

/* Blocks of heads [B, H M, C] as [H, B, M, C]. */
static clf_tensor of_blocks(clf_tensor t, int64_t H)
{
    return by_head(t, H, t.dim[1] / H, t.dim[2], t.dim[1] / H * t.stride[1]);
}

clf_tensor clf_absorbed_ask(clf_stream *s, const clf_attention_layer *l, const clf_absorbed_weights *w, clf_tensor x)
{
    const clf_tensor none = { 0 }, a = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], l->H * x.dim[1], w->k.N));
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor q = clf_attention_layer_ask(s, l, x);

    clf_linear_each(s, of_columns(q, l->H), &w->k, none, of_blocks(a, l->H));
    clf_scope_close(s, scope);
    return a;
}

/* o [B, M, H E] of a [B, H M, C]; room like a, may be a. */
static void attend(clf_stream *s, const clf_attention_layer *l, const clf_absorbed_weights *w, clf_tensor a,
                   const clf_absorbed_context *c, const clf_attention_options *rules, clf_tensor room, clf_tensor o)
{
    const clf_gemm_weight v = clf_linear_each_of(w->v, l->H);
    const clf_dims scores = CLF_DIMS(a.dim[0], a.dim[1], c->rows.N);
    const float scale = l->scale != 0.0F ? l->scale : (float)(1.0 / sqrt((double)l->D));
    const clf_tensor none = { 0 };
    const clf_tensor p =
        clf_present(rules->weights) ? clf_reshape(s, rules->weights, scores) : clf_scratch(s, CLF_F32, scores);

    clf_linear_each(s, a, &c->rows, none, p);
    clf_softmax(s, p, scale, c->mask, rules->unseen, p);
    clf_linear_each(s, p, &c->columns, none, room);
    clf_linear_each(s, of_blocks(room, l->H), &v, w->v->bias, of_columns(o, l->H));
    if (clf_present(c->mask) && rules->unseen == CLF_UNSEEN_ZERO)
        clf_softmax_clear(s, c->mask, o); /* not even the bias */
}

/* Without rows to look at the result is 0, as under a mask that hides all. */
static void see_nothing(clf_stream *s, clf_tensor o)
{
    clf_softmax_clear(s, clf_tensor_shape(CLF_F32, CLF_DIMS(1, 0)), o);
}

static void finish(clf_stream *s, const clf_attention_layer *l, const clf_absorbed_weights *w, clf_tensor a,
                   const clf_absorbed_context *c, const clf_attention_options *rules, clf_tensor room,
                   clf_tensor residual, clf_tensor y)
{
    const clf_tensor o = clf_scratch(s, CLF_F32, CLF_DIMS(a.dim[0], y.dim[1], l->H * l->E));

    if (c->rows.N > 0)
        attend(s, l, w, a, c, rules, room, o);
    else
        see_nothing(s, o);
    clf_attention_layer_project(s, l, o, residual, y);
}

void clf_absorbed_cross(clf_stream *s, const clf_attention_layer *l, const clf_absorbed_weights *w, clf_tensor x,
                        const clf_absorbed_context *context, const clf_attention_options *rules, clf_tensor residual,
                        clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "cross", -1);
    const clf_tensor a = clf_absorbed_ask(s, l, w, x);

    finish(s, l, w, a, context, rules, a, residual, y);
    clf_scope_close(s, scope);
}

void clf_absorbed_asked(clf_stream *s, const clf_attention_layer *l, const clf_absorbed_weights *w, clf_tensor a,
                        const clf_absorbed_context *context, const clf_attention_options *rules, clf_tensor residual,
                        clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "cross", -1);

    finish(s, l, w, a, context, rules, clf_scratch(s, CLF_F32, clf_tensor_dims(a)), residual, y);
    clf_scope_close(s, scope);
}
