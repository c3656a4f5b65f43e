/* attention_pool: tokens = output(output_norm(a + feed_forward(a))), a = attention(queries, keys c + positions, values c),
 * c = input_norm(input(vision)).
 *
 * vision [B, N, Dv], c [B, N, C], a [B, M, R], tokens [B, M, Dt].  The queries were projected when the module was made:
 * q [1, M, H D] for all pictures.  Keys and values lie side by side in kv [B, N, Hk (D + E)]. */
#include "fusion/attention_pool_parts.h"

#include <clfusion/add.h>
#include <clfusion/cast.h>
#include <clfusion/copy.h>

#include "core/desc.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "attention_pool"

int64_t clf_attention_pool_vision_width(const clf_attention_pool *p)
{
    return p->Dv;
}

int64_t clf_attention_pool_token_width(const clf_attention_pool *p)
{
    return p->Dt;
}

int64_t clf_attention_pool_tokens(const clf_attention_pool *p)
{
    return p->M;
}

int64_t clf_attention_pool_heads(const clf_attention_pool *p)
{
    return p->attention.H;
}

/* ---- a call ---- */

/* The positions that a call has: its own, the module's, or none. */
static clf_tensor positions_of(const clf_attention_pool *p, const clf_attention_pool_options *o)
{
    return clf_present(o->positions) ? o->positions : p->positions;
}

static clf_status check_positions(const clf_attention_pool *p, int64_t B, int64_t N,
                                  const clf_attention_pool_options *o, clf_error *err)
{
    const clf_tensor t = positions_of(p, o);
    const int64_t rows = p->mean ? N + 1 : N;

    CLF_REQUIRE(err, p->positions_of_call || !clf_present(o->positions), CLF_INVALID_ARGUMENT,
                "positions is %s; want none for a module without positions_of_call", CLF_TEXT(o->positions));
    if (!p->positions_of_call && !clf_present(t))
        return CLF_OK;
    CLF_REQUIRE(err,
                t.dtype == CLF_F32 &&
                    (clf_shape_is(t, CLF_DIMS(1, rows, p->C)) || clf_shape_is(t, CLF_DIMS(B, rows, p->C))),
                CLF_INVALID_ARGUMENT, "positions is %s; want f32[1 or %" PRId64 ", %" PRId64 ", %" PRId64 "]",
                CLF_TEXT(t), B, rows, p->C);
    return CLF_OK;
}

/* What the attention operator is told. */
static clf_attention_options rules_of(const clf_attention_pool_options *o)
{
    clf_attention_options rules = clf_attention_options_default();

    rules.mask = o->mask;
    rules.key_lengths = o->key_lengths;
    rules.unseen = o->unseen;
    rules.weights = o->weights;
    return rules;
}

static clf_status check_attention(const clf_attention_pool *p, int64_t B, int64_t M, int64_t K,
                                  const clf_attention_pool_options *o, clf_error *err)
{
    const clf_attention_layer *l = &p->attention;
    const clf_attention_options rules = rules_of(o);
    const clf_status status = clf_attention_check(clf_tensor_shape(CLF_F32, CLF_DIMS(B, M, l->H, l->D)),
                                                  clf_tensor_shape(CLF_F32, CLF_DIMS(B, K, l->Hk, l->D)),
                                                  clf_tensor_shape(CLF_F32, CLF_DIMS(B, K, l->Hk, l->E)), &rules,
                                                  clf_tensor_shape(CLF_F32, CLF_DIMS(B, M, l->H, l->E)), err);

    if (status != CLF_OK)
        clf_error_prefix(err, CLF_OP "/");
    return status;
}

clf_status clf_attention_pool_check(const clf_attention_pool *p, clf_tensor vision,
                                    const clf_attention_pool_options *options, clf_tensor *tokens, clf_error *err)
{
    clf_attention_pool_options o = clf_attention_pool_options_default();

    *tokens = (clf_tensor){ 0 };
    CLF_DESC_READ(err, &o, options);
    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank == 3 && vision.dim[2] == p->Dv && vision.dim[1] < INT64_MAX, CLF_INVALID_ARGUMENT,
                "vision is %s; want [B, N, %" PRId64 "]", CLF_TEXT(vision), p->Dv);
    CLF_REQUIRE(err, o.queries >= 0 && o.queries <= p->M, CLF_INVALID_ARGUMENT,
                "queries is %" PRId64 "; want 0 to %" PRId64, o.queries, p->M);
    CLF_REQUIRE(err, !p->mean || (!clf_present(o.mask) && !clf_present(o.key_lengths)), CLF_INVALID_ARGUMENT,
                "%s; want none where the mean of all rows asks",
                clf_present(o.mask) ? "mask is given" : "key_lengths is given");
    const int64_t B = vision.dim[0], N = vision.dim[1], M = o.queries != 0 ? o.queries : p->M;

    CLF_TRY(check_positions(p, B, N, &o, err));
    CLF_TRY(check_attention(p, B, M, p->mean ? N + 1 : N, &o, err));
    *tokens = clf_tensor_shape(CLF_F32, CLF_DIMS(B, M, p->Dt));
    return CLF_OK;
}

static clf_status check_forward(const clf_attention_pool *p, clf_tensor vision,
                                const clf_attention_pool_options *options, clf_tensor tokens, clf_error *err)
{
    clf_tensor want;

    CLF_TRY(clf_attention_pool_check(p, vision, options, &want, err));
    CLF_REQUIRE(err, clf_same_shape(tokens, want) && (tokens.dtype == CLF_F32 || tokens.dtype == vision.dtype),
                CLF_INVALID_ARGUMENT, "tokens is %s; want %s or the type of vision %s", CLF_TEXT(tokens),
                CLF_TEXT(want), CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    return CLF_OK;
}

static clf_tensor project(clf_stream *s, const clf_linear_weight *w, clf_tensor x)
{
    clf_tensor y;

    if (w == NULL)
        return x;
    y = clf_scratch_rows(s, x, clf_linear_weight_out(w));
    clf_linear(s, x, w, NULL, y);
    return y;
}

/* Keys and values of the rows x, which the input norm has not seen yet. */
static void make_keys(clf_stream *s, const clf_attention_pool *p, clf_tensor x, clf_tensor positions, clf_tensor kv)
{
    const clf_attention_layer *l = &p->attention;
    clf_linear_options options = clf_linear_options_default();

    if (l->kv != NULL) {
        clf_norm_before(&p->input_norm, &options);
        clf_linear(s, x, l->kv, &options, kv);
    } else {
        const clf_tensor c = clf_norm_rows(s, &p->input_norm, clf_place_as(s, x, CLF_F32));
        clf_tensor keys = c;

        if (clf_present(positions)) {
            keys = clf_scratch(s, CLF_F32, clf_tensor_dims(c));
            clf_add(s, c, clf_place_batch(positions, c.dim[0]), 1.0F, keys);
        }
        clf_linear(s, keys, p->k, NULL, clf_slice(s, kv, -1, 0, l->Hk * l->D));
        clf_linear(s, c, p->v, NULL, clf_slice(s, kv, -1, l->Hk * l->D, l->Hk * l->E));
    }
    clf_attention_layer_norm_keys(s, l, kv);
}

/* y [B, 1, C] = the mean of the rows of x: attention whose scores are all 0, in as many heads as its width needs. */
static void mean_of(clf_stream *s, const clf_attention_pool *p, clf_tensor x, clf_tensor y)
{
    clf_tensor q = clf_reshape(s, p->zero, CLF_DIMS(1, 1, 1, 1)), k;
    int64_t heads = (p->C + CLF_ATTENTION_MAX_WIDTH - 1) / CLF_ATTENTION_MAX_WIDTH;

    while (p->C % heads != 0)
        heads++;
    q.dim[0] = x.dim[0];
    q.dim[2] = heads;
    q.stride[0] = q.stride[1] = q.stride[2] = 0;
    k = q;
    k.dim[1] = x.dim[1];
    clf_attention(s, q, k, clf_heads(s, x, heads), NULL, clf_heads(s, y, heads));
}

/* [mean(x); x] + positions, with the input norm. */
static clf_tensor rows_with_mean(clf_stream *s, const clf_attention_pool *p, clf_tensor x)
{
    const int64_t B = x.dim[0], N = x.dim[1];
    const clf_tensor all = clf_scratch(s, CLF_F32, CLF_DIMS(B, N + 1, p->C)), rows = clf_slice(s, all, 1, 1, N);
    const clf_tensor mean = clf_scratch(s, CLF_F32, CLF_DIMS(B, 1, p->C));

    clf_normalise(s, &p->input_norm, clf_place_as(s, x, CLF_F32), rows);
    mean_of(s, p, rows, mean);
    clf_copy(s, mean, clf_slice(s, all, 1, 0, 1));
    if (clf_present(p->positions))
        clf_add(s, all, clf_place_batch(p->positions, B), 1.0F, all);
    return all;
}

/* What follows the attention's heads: y = output(output_norm(a + feed_forward(a))), y f32. */
static void answer(clf_stream *s, const clf_attention_pool *p, clf_tensor q, clf_tensor kv,
                   const clf_attention_options *rules, clf_tensor y)
{
    const bool more = p->output != NULL || p->output_norm.kind != CLF_NORM_NONE;
    clf_linear_options options = clf_linear_options_default();
    clf_tensor a = more || p->feed_forward.up != NULL ? clf_scratch_rows(s, q, p->R) : y;

    clf_attention_layer_asked(s, &p->attention, q, kv, rules, (clf_tensor){ 0 }, a);
    if (p->feed_forward.up != NULL) {
        const clf_tensor f = more ? clf_scratch_rows(s, q, clf_linear_weight_out(p->feed_forward.down)) : y;

        clf_feed_forward_forward(s, &p->feed_forward, a, p->feed_forward_residual ? a : (clf_tensor){ 0 }, f);
        a = f;
    }
    clf_norm_before(&p->output_norm, &options);
    if (p->output != NULL)
        clf_linear(s, a, p->output, &options, y);
    else if (more)
        clf_normalise(s, &p->output_norm, a, y);
}

void clf_attention_pool_forward(clf_stream *s, const clf_attention_pool *p, clf_tensor vision,
                                const clf_attention_pool_options *options, clf_tensor tokens)
{
    clf_attention_pool_options o = clf_attention_pool_options_default();

    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(p, vision, options, tokens, clf_op_error(s))))
        return;
    if (options != NULL)
        (void)clf_desc_read(&o, sizeof o, options);
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_attention_options rules = rules_of(&o);
    const int64_t B = vision.dim[0], M = tokens.dim[1];
    const clf_tensor x = project(s, p->input, vision);
    const clf_tensor y = tokens.dtype == CLF_F32 ? tokens : clf_scratch(s, CLF_F32, clf_tensor_dims(tokens));

    if (p->mean) {
        const clf_tensor all = rows_with_mean(s, p, x);
        const clf_tensor kv = clf_scratch_rows(s, all, clf_attention_layer_kv_width(&p->attention));
        const clf_tensor q = clf_attention_layer_ask(s, &p->attention, clf_slice(s, all, 1, 0, 1));

        clf_attention_layer_keys(s, &p->attention, all, kv);
        answer(s, p, q, kv, &rules, y);
    } else {
        const clf_tensor kv = clf_scratch_rows(s, x, clf_attention_layer_kv_width(&p->attention));

        make_keys(s, p, x, positions_of(p, &o), kv);
        answer(s, p, clf_place_batch(clf_slice(s, p->queries, 1, 0, M), B), kv, &rules, y);
    }
    if (tokens.dtype != CLF_F32)
        clf_cast(s, y, tokens);
    clf_scope_close(s, scope);
}
