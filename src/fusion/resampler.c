/* resampler: latents x [B, M, D] read the rows c [B, N, C] made of vision, layer by layer.
 *
 * The keys and values of all layers lie in one scratch kv [B, K, W], layer i's at columns `column` .. + Hk (D + E):
 *
 *     rows 0 .. N - 1         those of the vision rows, written by one product before the first layer
 *     rows N .. K - 1         those of the latents where they stand in the context, K = N + M, written layer by layer
 *
 * The latents' question, key and value are one product [q | k | v].  It is written into the latents' rows so that k and
 * v land in the columns of the layer; q lies left of them, over what earlier layers have left behind, or over columns
 * that are there for it.  Thus nothing is concatenated by copies, but for the constants of the first layer. */
#include "fusion/resampler_parts.h"

#include <clfusion/cast.h>
#include <clfusion/copy.h>

#include "core/desc.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "resampler"

/* ---- rules of a call ---- */

static clf_status check_weights(const clf_resampler *r, const clf_resampler_options *o, int64_t B, int64_t N,
                                clf_error *err)
{
    const int64_t M = r->latents.dim[1];
    const clf_resampler_part *l;
    clf_dims want;

    if (!clf_present(o->weights))
        return CLF_OK;
    CLF_REQUIRE(err, o->weights_of >= 0 && o->weights_of < r->layer_count, CLF_INVALID_ARGUMENT,
                "weights_of is %d; want 0 to %d, one of the layers", (int)o->weights_of, (int)r->layer_count - 1);
    l = &r->layers[o->weights_of];
    CLF_REQUIRE(err, !o->weights_of_self || l->self.q != NULL, CLF_INVALID_ARGUMENT,
                "weights_of_self is set; layers[%d] has no self-attention", (int)o->weights_of);
    want = o->weights_of_self ? CLF_DIMS(B, l->self.H, M, M)
                              : CLF_DIMS(B, l->cross.H, M, r->latents_in_context ? N + M : N);
    CLF_REQUIRE(err, o->weights.dtype == CLF_F32 && clf_shape_is(o->weights, want) && clf_is_dense(o->weights),
                CLF_INVALID_ARGUMENT, "weights is %s; want dense %s", CLF_TEXT(o->weights),
                CLF_TEXT(clf_tensor_shape(CLF_F32, want)));
    return CLF_OK;
}

static clf_status check_options(const clf_resampler *r, const clf_resampler_options *o, int64_t B, int64_t N,
                                clf_error *err)
{
    CLF_REQUIRE(err,
                !clf_present(o->mask) ||
                    (o->mask.dtype == CLF_F32 && clf_shape_is(o->mask, CLF_DIMS(B, 1, 1, N)) && clf_row_dense(o->mask)),
                CLF_INVALID_ARGUMENT, "mask is %s; want f32[%" PRId64 ", 1, 1, %" PRId64 "]", CLF_TEXT(o->mask), B, N);
    CLF_REQUIRE(err, !clf_present(o->key_lengths) || !r->latents_in_context, CLF_INVALID_ARGUMENT,
                "key_lengths is %s; want a mask where latents are keys too", CLF_TEXT(o->key_lengths));
    CLF_REQUIRE(err,
                !clf_present(o->key_lengths) ||
                    (o->key_lengths.dtype == CLF_I32 && clf_shape_is(o->key_lengths, CLF_DIMS(B))),
                CLF_INVALID_ARGUMENT, "key_lengths is %s; want i32[%" PRId64 "]", CLF_TEXT(o->key_lengths), B);
    CLF_REQUIRE(err, o->unseen == CLF_UNSEEN_ZERO || o->unseen == CLF_UNSEEN_UNIFORM, CLF_INVALID_ARGUMENT,
                "unseen is %d; want zero or uniform", (int)o->unseen);
    return check_weights(r, o, B, N, err);
}

clf_status clf_resampler_check(const clf_resampler *r, clf_tensor vision, const clf_resampler_options *options,
                               clf_tensor *tokens, clf_error *err)
{
    clf_resampler_options full = clf_resampler_options_default();
    clf_tensor want;

    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank == 3 && vision.dim[2] == r->vision_width, CLF_INVALID_ARGUMENT,
                "vision is %s; want [B, N, %" PRId64 "]", CLF_TEXT(vision), r->vision_width);
    CLF_REQUIRE(err, vision.dim[1] <= INT32_MAX, CLF_UNSUPPORTED, "vision is %s; want N below 2^31", CLF_TEXT(vision));
    CLF_DESC_READ(err, &full, options);
    CLF_TRY(check_options(r, &full, vision.dim[0], vision.dim[1], err));
    want = clf_tensor_shape(CLF_F32, CLF_DIMS(vision.dim[0], r->latents.dim[1], clf_resampler_token_width(r)));
    CLF_REQUIRE_SHAPE(err, want, "tokens"); /* without rows there may be any number of pictures */
    *tokens = want;
    return CLF_OK;
}

static clf_status check_forward(const clf_resampler *r, clf_tensor vision, const clf_resampler_options *options,
                                clf_tensor tokens, clf_error *err)
{
    clf_tensor want;

    CLF_TRY(clf_resampler_check(r, vision, options, &want, err));
    CLF_REQUIRE(err, clf_same_shape(tokens, want) && (tokens.dtype == CLF_F32 || tokens.dtype == vision.dtype),
                CLF_INVALID_ARGUMENT, "tokens is %s; want %s or the type of vision %s", CLF_TEXT(tokens),
                CLF_TEXT(want), CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    return CLF_OK;
}

/* ---- forward ---- */

/* What a forward call has beside the module. */
typedef struct resampler_call {
    clf_resampler_options options;
    clf_tensor mask; /* of all keys; absent: none */
    clf_tensor kv;   /* [B, K, W] */
    int64_t B, N, M;
} resampler_call;

/* c = input_norm(input_feed_forward(input(vision))), the norm left to the product where none stands behind it. */
static clf_tensor context_rows(clf_stream *s, const clf_resampler *r, clf_tensor vision, bool norm)
{
    const clf_tensor absent = { .dtype = CLF_DTYPE_NONE };
    clf_tensor c = vision;

    if (r->input != NULL) {
        c = clf_scratch_rows(s, vision, clf_linear_weight_out(r->input));
        clf_linear(s, vision, r->input, NULL, c);
    }
    if (r->input_feed_forward.up != NULL) {
        const clf_tensor y = clf_scratch_rows(s, vision, clf_linear_weight_out(r->input_feed_forward.down));

        clf_feed_forward_forward(s, &r->input_feed_forward, c, absent, y);
        c = y;
    }
    return norm ? clf_norm_rows(s, &r->input_norm, clf_place_as(s, c, CLF_F32)) : c;
}

/* Whether a norm of a layer stands behind input_norm. */
static bool has_two_norms(const clf_resampler *r)
{
    bool norm = false;

    for (int32_t i = 0; i < r->context_count; i++)
        norm = norm || r->context[i].norm.kind != CLF_NORM_NONE;
    return norm && r->input_norm.kind != CLF_NORM_NONE;
}

/* kv of the vision rows, all layers. */
static void read_vision(clf_stream *s, const clf_resampler *r, clf_tensor vision, const resampler_call *call)
{
    const clf_scope scope = clf_scope_open(s, "context", -1);
    const bool two_norms = has_two_norms(r);
    const clf_tensor c = context_rows(s, r, vision, two_norms);
    const clf_tensor rows = clf_slice(s, call->kv, 1, 0, call->N);
    int64_t column = r->layers[0].column;

    for (int32_t i = 0; i < r->context_count; i++) {
        const clf_resampler_context *p = &r->context[i];
        clf_linear_options options = clf_linear_options_default();

        clf_norm_before(p->norm.kind == CLF_NORM_NONE && !two_norms ? &r->input_norm : &p->norm, &options);
        clf_linear(s, c, p->weight, &options, clf_slice(s, rows, 2, column, clf_linear_weight_out(p->weight)));
        column += clf_linear_weight_out(p->weight);
    }
    clf_scope_close(s, scope);
}

/* The mask of all keys: what the caller says of the vision rows, 0 for latents. */
static clf_tensor whole_mask(clf_stream *s, const clf_resampler *r, clf_tensor mask)
{
    const int64_t B = mask.dim[0], N = mask.dim[3], M = r->latents.dim[1];
    clf_tensor all;

    if (!clf_present(mask) || !r->latents_in_context)
        return mask;
    all = clf_scratch(s, CLF_F32, CLF_DIMS(B, 1, 1, N + M));
    clf_copy(s, mask, clf_slice(s, all, 3, 0, N));
    clf_copy(s, clf_place_batch(r->open, B), clf_slice(s, all, 3, N, M));
    return all;
}

static clf_tensor residual_of(const clf_resampler *r, clf_tensor x)
{
    return r->residual ? x : (clf_tensor){ .dtype = CLF_DTYPE_NONE };
}

/* x + self(norm x), written to y where x has its shape: latents that no picture has changed are one for the batch. */
static clf_tensor look_at_latents(clf_stream *s, const clf_resampler *r, int32_t i, const resampler_call *call,
                                  clf_tensor x, clf_tensor y)
{
    clf_attention_options rules = clf_attention_options_default();

    if (call->options.weights_of_self && call->options.weights_of == i) {
        rules.weights = call->options.weights;
        if (clf_present(rules.weights))
            x = clf_place_batch(x, call->B);
    }
    if (x.dim[0] != y.dim[0])
        y = clf_scratch(s, CLF_F32, clf_tensor_dims(x));
    clf_attention_layer_self(s, &r->layers[i].self, x, &rules, residual_of(r, x), y);
    return y;
}

/* Wq norm(x), one for the batch where x is; with latents in the context their k and v go to kv. */
static clf_tensor ask(clf_stream *s, const clf_resampler *r, int32_t i, const resampler_call *call, clf_tensor x)
{
    const clf_attention_layer *l = &r->layers[i].cross;
    const int64_t Q = l->H * l->D, column = r->layers[i].column, width = clf_attention_layer_kv_width(l);
    const clf_tensor rows = r->latents_in_context ? clf_slice(s, call->kv, 1, call->N, call->M) : call->kv;
    const bool known = i == 0 && clf_present(r->asked);
    clf_linear_options options = clf_linear_options_default();
    clf_tensor q;

    if (known && r->latents_in_context)
        clf_copy(s, clf_place_batch(clf_slice(s, r->asked, 2, Q, width), call->B),
                 clf_slice(s, rows, 2, column, width));
    if (known)
        return clf_slice(s, r->asked, 2, 0, Q);
    if (!r->latents_in_context)
        return clf_attention_layer_ask(s, l, x);
    q = clf_slice(s, rows, 2, column - Q, Q);
    clf_norm_before(&l->norm, &options);
    clf_linear(s, clf_place_batch(x, call->B), l->q, &options, clf_slice(s, rows, 2, column - Q, Q + width));
    return q;
}

/* y = x + cross(norm x, [context_norm c; norm x]). */
static void look_at_vision(clf_stream *s, const clf_resampler *r, int32_t i, const resampler_call *call, clf_tensor x,
                           clf_tensor y)
{
    const clf_attention_layer *l = &r->layers[i].cross;
    const clf_tensor kv = clf_slice(s, call->kv, 2, r->layers[i].column, clf_attention_layer_kv_width(l));
    const clf_tensor q = ask(s, r, i, call, x);
    clf_attention_options rules = clf_attention_options_default();

    rules.mask = call->mask;
    rules.key_lengths = call->options.key_lengths;
    rules.unseen = call->options.unseen;
    if (!call->options.weights_of_self && call->options.weights_of == i)
        rules.weights = call->options.weights;
    clf_attention_layer_norm_keys(s, l, kv);
    clf_attention_layer_asked(s, l, clf_place_batch(q, call->B), kv, &rules,
                              residual_of(r, clf_place_batch(x, call->B)), y);
}

/* x becomes y; x may be y. */
static void forward_layer(clf_stream *s, const clf_resampler *r, int32_t i, const resampler_call *call, clf_tensor x,
                          clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "layers", i);
    const clf_resampler_part *l = &r->layers[i];

    if (l->self.q != NULL)
        x = look_at_latents(s, r, i, call, x, y);
    look_at_vision(s, r, i, call, x, y);
    if (l->feed_forward.up != NULL)
        clf_feed_forward_forward(s, &l->feed_forward, y, residual_of(r, y), y);
    clf_scope_close(s, scope);
}

/* tokens = output(final_norm x); x may be tokens. */
static void finish(clf_stream *s, const clf_resampler *r, clf_tensor x, clf_tensor tokens)
{
    clf_linear_options options = clf_linear_options_default();
    clf_tensor y = tokens;

    if (r->output != NULL) {
        clf_norm_before(&r->final_norm, &options);
        if (tokens.dtype != CLF_F32)
            y = clf_scratch(s, CLF_F32, clf_tensor_dims(tokens));
        clf_linear(s, x, r->output, &options, y);
    } else {
        y = x;
        if (r->final_norm.kind != CLF_NORM_NONE)
            clf_normalise(s, &r->final_norm, x, x);
    }
    if (y.dtype != tokens.dtype)
        clf_cast(s, y, tokens);
}

void clf_resampler_forward(clf_stream *s, const clf_resampler *r, clf_tensor vision,
                           const clf_resampler_options *options, clf_tensor tokens)
{
    resampler_call call = { .options = clf_resampler_options_default(), .M = r->latents.dim[1] };
    clf_tensor x = r->latents, y = tokens;

    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(r, vision, options, tokens, clf_op_error(s))))
        return;
    if (options != NULL)
        (void)clf_desc_read(&call.options, sizeof call.options, options); /* the check has found it readable */
    call.B = vision.dim[0];
    call.N = vision.dim[1];
    if (call.B == 0)
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);

    call.kv = clf_scratch(s, CLF_F32, CLF_DIMS(call.B, call.N + (r->latents_in_context ? call.M : 0), r->columns));
    call.mask = whole_mask(s, r, call.options.mask);
    read_vision(s, r, vision, &call);
    if (tokens.dtype != CLF_F32 || r->output != NULL) /* else the latents live in tokens */
        y = clf_scratch(s, CLF_F32, CLF_DIMS(call.B, call.M, r->latents.dim[2]));
    for (int32_t i = 0; i < r->layer_count; i++) {
        forward_layer(s, r, i, &call, x, y);
        x = y;
    }
    finish(s, r, x, tokens);
    clf_scope_close(s, scope);
}
