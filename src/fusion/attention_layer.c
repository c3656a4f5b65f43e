/* Attention between its projections: y = r + g act(dense(out(softmax(scale q k^T) v))). */
#include "fusion/attention_layer.h"

#include <string.h>

#include <clfusion/add.h>

#include "core/alloc.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "fusion/gate.h"
#include "fusion/name.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "runtime/op.h"

/* ---- descriptions ---- */

static int64_t kv_heads(const clf_attention_layer_desc *d)
{
    return d->kv_heads != 0 ? d->kv_heads : d->heads;
}

int64_t clf_attention_layer_width(const clf_attention_layer_desc *d)
{
    return d->q.weight.dim[1];
}

int64_t clf_attention_layer_context_width(const clf_attention_layer_desc *d)
{
    return d->k.weight.dim[1];
}

int64_t clf_attention_layer_result_width(const clf_attention_layer_desc *d)
{
    if (clf_host_present(d->dense.weight))
        return d->dense.weight.dim[0];
    if (clf_host_present(d->out.weight))
        return d->out.weight.dim[0];
    return d->v.weight.dim[0] / kv_heads(d) * d->heads;
}

static clf_status check_heads(const char *name, const clf_attention_layer_desc *d, clf_error *err)
{
    const int64_t H = d->heads, Hk = kv_heads(d);

    if (H < 1 || Hk < 1 || H % Hk != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s has %" PRId64 " heads and %" PRId64 " for keys; want the first a multiple of the second",
                        name, H, Hk);
    if (d->q.weight.dim[0] % H != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.q.weight is %s; want a multiple of %" PRId64 " rows, the heads",
                        name, CLF_HOST_TEXT(d->q.weight), H);
    if (d->k.weight.dim[0] != d->q.weight.dim[0] / H * Hk)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s.k.weight is %s; want %" PRId64 " rows: %" PRId64 " heads of %" PRId64 ", as q has", name,
                        CLF_HOST_TEXT(d->k.weight), d->q.weight.dim[0] / H * Hk, Hk, d->q.weight.dim[0] / H);
    if (d->v.weight.dim[0] % Hk != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s.v.weight is %s; want a multiple of %" PRId64 " rows, the heads of keys", name,
                        CLF_HOST_TEXT(d->v.weight), Hk);
    if (d->q.weight.dim[0] / H > CLF_ATTENTION_MAX_WIDTH || d->v.weight.dim[0] / Hk > CLF_ATTENTION_MAX_WIDTH)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s has heads of %" PRId64 " and %" PRId64 "; want at most %d", name,
                        d->q.weight.dim[0] / H, d->v.weight.dim[0] / Hk, CLF_ATTENTION_MAX_WIDTH);
    if (!isfinite(d->scale))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s.scale is %g; want finite, 0 for D^-1/2", name, (double)d->scale);
    return CLF_OK;
}

/* out and dense follow the heads. */
static clf_status check_result(const char *name, const clf_attention_layer_desc *d, clf_error *err)
{
    const int64_t inner = d->v.weight.dim[0] / kv_heads(d) * d->heads;
    const bool out = clf_host_present(d->out.weight);

    if (out)
        CLF_TRY(clf_weight_check(CLF_PART(name, "out"), &d->out, inner, err));
    if (clf_host_present(d->dense.weight))
        CLF_TRY(clf_weight_check(CLF_PART(name, "dense"), &d->dense, out ? d->out.weight.dim[0] : inner, err));
    if (!out &&
        (clf_host_present(d->dense.weight) || clf_host_present(d->gate) || d->activation != CLF_ACTIVATION_NONE))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s has a dense layer, a gate or an activation and no out; want out before them", name);
    CLF_TRY(clf_gate_check(CLF_PART(name, "gate"), d->gate, clf_attention_layer_result_width(d), err));
    if (clf_gate_has_channels(d->gate) && d->activation != CLF_ACTIVATION_NONE)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s.gate is %s beside an activation; want [1]", name,
                        CLF_HOST_TEXT(d->gate));
    return CLF_OK;
}

clf_status clf_attention_layer_check(const char *name, const clf_attention_layer_desc *d, clf_error *err)
{
    CLF_TRY(clf_weight_check(CLF_PART(name, "q"), &d->q, 0, err));
    CLF_TRY(clf_weight_check(CLF_PART(name, "k"), &d->k, 0, err));
    CLF_TRY(clf_weight_check(CLF_PART(name, "v"), &d->v, d->k.weight.dim[1], err));
    CLF_TRY(check_heads(name, d, err));
    CLF_TRY(check_result(name, d, err));
    CLF_TRY(clf_norm_check(CLF_PART(name, "norm"), &d->norm, d->q.weight.dim[1], err));
    CLF_TRY(clf_norm_check(CLF_PART(name, "q_norm"), &d->q_norm, d->q.weight.dim[0] / d->heads, err));
    return clf_norm_check(CLF_PART(name, "k_norm"), &d->k_norm, d->q.weight.dim[0] / d->heads, err);
}

uint64_t clf_attention_layer_products(const clf_attention_layer_desc *d)
{
    return clf_weight_products(&d->q) + clf_weight_products(&d->out) + clf_weight_products(&d->dense);
}

uint64_t clf_attention_layer_context_products(const clf_attention_layer_desc *d)
{
    return clf_weight_products(&d->k) + clf_weight_products(&d->v);
}

/* ---- weights ---- */

static clf_status create_norms(clf_context *ctx, const char *name, const clf_attention_layer_desc *d,
                               const clf_tensor_source *source, clf_attention_layer *l, clf_error *err)
{
    CLF_TRY(clf_norm_create(ctx, CLF_PART(name, "norm"), &d->norm, d->q.weight.dim[1], source, &l->norm, err));
    CLF_TRY(clf_norm_create(ctx, CLF_PART(name, "q_norm"), &d->q_norm, l->D, source, &l->q_norm, err));
    return clf_norm_create(ctx, CLF_PART(name, "k_norm"), &d->k_norm, l->D, source, &l->k_norm, err);
}

/* q, and what of k and v belongs to the layer itself. */
static clf_status create_inputs(clf_context *ctx, const char *name, const clf_attention_layer_desc *d,
                                clf_attention_kind kind, clf_dtype storage, const clf_tensor_source *source,
                                clf_attention_layer *l, clf_error *err)
{
    const clf_linear_part qkv[] = { { .layer = d->q }, { .layer = d->k }, { .layer = d->v } };

    if (kind == CLF_SELF_ATTENTION)
        return clf_weight_stack(ctx, CLF_PART(name, "qkv"), qkv, 3, storage, source, &l->q, err);
    CLF_TRY(clf_weight_stack(ctx, CLF_PART(name, "q"), qkv, 1, storage, source, &l->q, err));
    if (kind != CLF_SHARED_ATTENTION)
        CLF_TRY(clf_weight_stack(ctx, CLF_PART(name, "kv"), qkv + 1, 2, storage, source, &l->kv, err));
    return CLF_OK;
}

/* out and dense; a gate for each channel goes into the last of them. */
static clf_status create_outputs(clf_context *ctx, const char *name, const clf_attention_layer_desc *d,
                                 clf_dtype storage, const clf_tensor_source *source, clf_attention_layer *l,
                                 clf_error *err)
{
    const bool dense = clf_host_present(d->dense.weight);
    clf_linear_part last = { .layer = dense ? d->dense : d->out };
    float *channels;
    clf_status status;

    if (!clf_host_present(d->out.weight))
        return CLF_OK;
    if (dense)
        CLF_TRY(clf_weight_create(ctx, CLF_PART(name, "out"), &d->out, storage, source, &l->out, err));
    status = clf_gate_channels(name, d->gate, &channels, &last.row_scale, err);
    if (status == CLF_OK)
        status = clf_weight_stack(ctx, CLF_PART(name, dense ? "dense" : "out"), &last, 1, storage, source,
                                  dense ? &l->dense : &l->out, err);
    clf_free(channels);
    return status;
}

clf_status clf_attention_layer_create(clf_context *ctx, const char *name, const clf_attention_layer_desc *d,
                                      clf_attention_kind kind, clf_dtype storage, const clf_tensor_source *source,
                                      clf_attention_layer *l, clf_error *err)
{
    clf_status status;

    memset(l, 0, sizeof *l);
    CLF_TRY(clf_attention_layer_check(name, d, err));
    l->activation = d->activation;
    l->H = d->heads;
    l->Hk = kv_heads(d);
    l->D = d->q.weight.dim[0] / l->H;
    l->E = d->v.weight.dim[0] / l->Hk;
    l->scale = d->scale;
    l->gate = clf_gate_value(d->gate);
    status = create_norms(ctx, name, d, source, l, err);
    if (status == CLF_OK)
        status = create_inputs(ctx, name, d, kind, storage, source, l, err);
    if (status == CLF_OK)
        status = create_outputs(ctx, name, d, storage, source, l, err);
    if (status != CLF_OK)
        clf_attention_layer_destroy(ctx, l);
    return status;
}

void clf_attention_layer_destroy(clf_context *ctx, clf_attention_layer *l)
{
    clf_norm_destroy(ctx, &l->norm);
    clf_norm_destroy(ctx, &l->q_norm);
    clf_norm_destroy(ctx, &l->k_norm);
    clf_linear_weight_destroy(l->q);
    clf_linear_weight_destroy(l->kv);
    clf_linear_weight_destroy(l->out);
    clf_linear_weight_destroy(l->dense);
    l->q = l->kv = l->out = l->dense = NULL;
}

static clf_status check_shared(const clf_attention_layer_desc *const *layers, const clf_norm_desc *norms, int32_t count,
                               clf_error *err)
{
    const int64_t C = layers[0]->k.weight.dim[1];

    for (int32_t i = 0; i < count; i++) {
        CLF_TRY(clf_norm_check(CLF_LAYER(i, "context_norm"), &norms[i], C, err));
        if (norms[i].kind != norms[0].kind || (norms[i].kind != CLF_NORM_NONE && !(norms[i].eps == norms[0].eps)))
            return CLF_FAIL(err, CLF_UNSUPPORTED,
                            "layers[%d].context_norm has another kind or eps than that of layers[0]; want one for all",
                            (int)i);
        if (layers[i]->k.weight.dim[1] != C)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "layers[%d] reads rows of %" PRId64 "; want %" PRId64 ", as layers[0] does", (int)i,
                            layers[i]->k.weight.dim[1], C);
    }
    return CLF_OK;
}

clf_status clf_kv_weight_create(clf_context *ctx, const clf_attention_layer_desc *const *layers,
                                const clf_norm_desc *norms, int32_t count, clf_dtype storage,
                                const clf_tensor_source *source, clf_linear_weight **kv, clf_error *err)
{
    clf_linear_part *parts;
    clf_status status;

    *kv = NULL;
    CLF_TRY(check_shared(layers, norms, count, err));
    parts = clf_alloc(2 * (size_t)count, sizeof *parts);
    if (parts == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %d parts of a weight", 2 * (int)count);
    for (int32_t i = 0; i < count; i++) {
        const clf_linear_part folded = { .column_scale = norms[i].weight, .column_shift = norms[i].bias };

        parts[2 * i] = parts[2 * i + 1] = folded;
        parts[2 * i].layer = layers[i]->k;
        parts[2 * i + 1].layer = layers[i]->v;
    }
    status = clf_weight_stack(ctx, "keys and values", parts, 2 * count, storage, source, kv, err);
    clf_free(parts);
    return status;
}

/* ---- forward ---- */

int64_t clf_attention_layer_kv_width(const clf_attention_layer *l)
{
    return l->Hk * (l->D + l->E);
}

static clf_tensor keys_of(clf_stream *s, const clf_attention_layer *l, clf_tensor kv)
{
    return clf_heads(s, clf_slice(s, kv, -1, 0, l->Hk * l->D), l->Hk);
}

static clf_tensor values_of(clf_stream *s, const clf_attention_layer *l, clf_tensor kv)
{
    return clf_heads(s, clf_slice(s, kv, -1, l->Hk * l->D, l->Hk * l->E), l->Hk);
}

void clf_attention_layer_norm_keys(clf_stream *s, const clf_attention_layer *l, clf_tensor kv)
{
    const clf_tensor k = keys_of(s, l, kv);

    if (l->k_norm.kind != CLF_NORM_NONE)
        clf_normalise(s, &l->k_norm, k, k);
}

void clf_attention_layer_keys(clf_stream *s, const clf_attention_layer *l, clf_tensor context, clf_tensor kv)
{
    clf_linear(s, context, l->kv, NULL, kv);
    clf_attention_layer_norm_keys(s, l, kv);
}

void clf_attention_layer_project(clf_stream *s, const clf_attention_layer *l, clf_tensor a, clf_tensor residual,
                                 clf_tensor y)
{
    clf_linear_options options = clf_linear_options_default();

    if (l->dense != NULL) {
        const clf_tensor h = clf_scratch_rows(s, a, clf_linear_weight_out(l->out));

        clf_linear(s, a, l->out, NULL, h);
        a = h;
    }
    options.activation = l->activation;
    options.residual = residual;
    options.residual_scale = l->gate;
    clf_linear(s, a, l->dense != NULL ? l->dense : l->out, &options, y);
}

/* y = residual + the attention of q to k and v, projected; a layer without out writes its heads to y. */
static void attend(clf_stream *s, const clf_attention_layer *l, clf_tensor q, clf_tensor k, clf_tensor v,
                   const clf_attention_options *rules, clf_tensor residual, clf_tensor y)
{
    const bool direct = l->out == NULL && !clf_present(residual);
    clf_attention_options options = *rules;
    clf_tensor a = y;

    options.scale = l->scale;
    options.q_norm = l->q_norm;
    if (!direct)
        a = clf_scratch_rows(s, q, l->H * l->E);
    clf_attention(s, clf_heads(s, q, l->H), k, v, &options, clf_heads(s, a, l->H));
    if (l->out != NULL)
        clf_attention_layer_project(s, l, a, residual, y);
    else if (!direct)
        clf_add(s, residual, a, 1.0F, y);
}

void clf_attention_layer_asked(clf_stream *s, const clf_attention_layer *l, clf_tensor q, clf_tensor kv,
                               const clf_attention_options *rules, clf_tensor residual, clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "attention", -1);

    attend(s, l, q, keys_of(s, l, kv), values_of(s, l, kv), rules, residual, y);
    clf_scope_close(s, scope);
}

static void ask(clf_stream *s, const clf_attention_layer *l, clf_tensor x, clf_tensor q)
{
    clf_linear_options options = clf_linear_options_default();

    clf_norm_before(&l->norm, &options);
    clf_linear(s, x, l->q, &options, q);
}

clf_tensor clf_attention_layer_ask(clf_stream *s, const clf_attention_layer *l, clf_tensor x)
{
    const clf_tensor q = clf_scratch_rows(s, x, clf_linear_weight_out(l->q));

    ask(s, l, x, q);
    return q;
}

/* Room for q: the memory of y, which is written only when q is no longer needed, where it fits and nothing else of the
 * layer lies there; else scratch. */
static clf_tensor room_for_q(clf_stream *s, const clf_attention_layer *l, clf_tensor x, clf_tensor kv,
                             const clf_attention_options *rules, clf_tensor residual, clf_tensor y)
{
    const clf_tensor others[] = {
        x, kv, residual, rules->mask, rules->key_lengths, rules->query_groups, rules->key_groups, rules->weights,
    };
    bool apart = true;

    const bool fits =
        y.dtype == CLF_F32 && clf_is_dense(y) && clf_same_rows(x, y) && clf_dim(y, -1) == clf_linear_weight_out(l->q);

    for (size_t i = 0; i < CLF_COUNT(others); i++)
        apart = apart && !(clf_present(others[i]) && clf_may_overlap(y, others[i]));
    return l->out != NULL && fits && apart ? y : clf_scratch_rows(s, x, clf_linear_weight_out(l->q));
}

void clf_attention_layer_cross(clf_stream *s, const clf_attention_layer *l, clf_tensor x, clf_tensor kv,
                               const clf_attention_options *rules, clf_tensor residual, clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "cross", -1);
    const clf_tensor q = room_for_q(s, l, x, kv, rules, residual, y), heads = clf_heads(s, q, l->H);
    clf_attention_layer asked = *l; /* without the norm of q, which is done here in place */

    ask(s, l, x, q);
    if (l->q_norm.kind != CLF_NORM_NONE)
        clf_normalise(s, &l->q_norm, heads, heads);
    asked.q_norm.kind = CLF_NORM_NONE;
    attend(s, &asked, q, keys_of(s, l, kv), values_of(s, l, kv), rules, residual, y);
    clf_scope_close(s, scope);
}

void clf_attention_layer_self(clf_stream *s, const clf_attention_layer *l, clf_tensor x,
                              const clf_attention_options *rules, clf_tensor residual, clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "self", -1);
    const clf_tensor qkv = clf_attention_layer_ask(s, l, x);
    const clf_tensor q = clf_slice(s, qkv, -1, 0, l->H * l->D);
    const clf_tensor kv = clf_slice(s, qkv, -1, l->H * l->D, clf_attention_layer_kv_width(l));

    clf_attention_layer_norm_keys(s, l, kv);
    attend(s, l, q, keys_of(s, l, kv), values_of(s, l, kv), rules, residual, y);
    clf_scope_close(s, scope);
}
