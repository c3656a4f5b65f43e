/* qformer: x = norm([queries; words + positions]); each layer x = norm(x + self(x)), then for the queries' rows
 * norm(. + cross(., vision)) and norm(. + ff_q(.)), for the text's rows norm(. + ff_t(.)).
 *
 * vision [B, N, Dv], text_ids [B, T], x [B, M + T, D] in place in hidden. */
#include "fusion/qformer.h"

#include <clfusion/add.h>
#include <clfusion/copy.h>
#include <clfusion/norm.h>

#include "core/desc.h"
#include "fusion/look_up.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "qformer"

int64_t clf_qformer_vision_width(const clf_qformer *q)
{
    return q->Dv;
}

int64_t clf_qformer_width(const clf_qformer *q)
{
    return q->D;
}

int64_t clf_qformer_queries(const clf_qformer *q)
{
    return q->M;
}

int32_t clf_qformer_layers(const clf_qformer *q)
{
    return q->layer_count;
}

/* Pairs of rows in self-attention that see each other. */
static uint64_t seen_pairs(uint64_t M, uint64_t T, clf_qformer_objective objective)
{
    if (objective == CLF_QFORMER_ITC)
        return M * M + T * T;
    if (objective == CLF_QFORMER_ITG)
        return M * M + T * M + T * (T + 1) / 2;
    return (M + T) * (M + T);
}

uint64_t clf_qformer_flop(const clf_qformer *q, int64_t B, int64_t N, int64_t T, clf_qformer_objective objective)
{
    const uint64_t M = N > 0 ? (uint64_t)q->M : 0, D = (uint64_t)q->D;
    const uint64_t rows = (uint64_t)N * q->products.vision + M * q->products.query + (uint64_t)T * q->products.text;
    const uint64_t self = (uint64_t)q->layer_count * seen_pairs(M, (uint64_t)T, objective) * D;
    const uint64_t cross = M * (uint64_t)N * q->products.pair;

    return 2 * (uint64_t)B * (rows + 2 * self + cross); /* q k^T and p v of self-attention: D each for a pair of rows */
}

/* ---- rules ---- */

static clf_status check_mask(const char *name, clf_tensor mask, int64_t B, int64_t keys, clf_error *err)
{
    CLF_REQUIRE(
        err,
        !clf_present(mask) || (mask.dtype == CLF_F32 && mask.rank == 4 && (mask.dim[0] == B || mask.dim[0] == 1) &&
                               mask.dim[1] == 1 && mask.dim[2] == 1 && mask.dim[3] == keys),
        CLF_INVALID_ARGUMENT, "%s is %s; want f32[%" PRId64 " or 1, 1, 1, %" PRId64 "]", name, CLF_TEXT(mask), B, keys);
    return CLF_OK;
}

/* R rows of hidden, N of vision. */
static clf_status check_weights(const clf_qformer *q, const clf_qformer_options *o, bool vision, int64_t B, int64_t R,
                                int64_t N, clf_error *err)
{
    const clf_qformer_layer *l;
    clf_dims want;

    if (!clf_present(o->weights))
        return CLF_OK;
    CLF_REQUIRE(err, o->weights_of >= 0 && o->weights_of < q->layer_count, CLF_INVALID_ARGUMENT,
                "weights_of is %d; want 0 to %d", (int)o->weights_of, (int)q->layer_count - 1);
    l = &q->layers[o->weights_of];
    CLF_REQUIRE(err, o->weights_of_self || (vision && l->cross.q != NULL), CLF_INVALID_ARGUMENT,
                "weights of layer %d's cross-attention are asked for, which %s", (int)o->weights_of,
                vision ? "has none; want a layer that has" : "meets no vision; want vision");
    want = o->weights_of_self ? CLF_DIMS(B, l->self.H, R, R) : CLF_DIMS(B, l->cross.H, q->M, N);
    CLF_REQUIRE(err, o->weights.dtype == CLF_F32 && clf_shape_is(o->weights, want) && clf_is_dense(o->weights),
                CLF_INVALID_ARGUMENT, "weights is %s; want dense %s", CLF_TEXT(o->weights),
                CLF_TEXT(clf_tensor_shape(CLF_F32, want)));
    return CLF_OK;
}

static clf_status check_options(const clf_qformer *q, clf_tensor vision, int64_t B, int64_t T,
                                const clf_qformer_options *o, clf_error *err)
{
    const bool seen = clf_present(vision);
    const int64_t M = seen ? q->M : 0, N = seen ? vision.dim[1] : 0;

    CLF_REQUIRE(err, (uint32_t)o->objective <= CLF_QFORMER_ITG, CLF_INVALID_ARGUMENT,
                "objective is %d; want ITM, ITC or ITG", (int)o->objective);
    CLF_REQUIRE(err,
                !clf_present(o->queries) ||
                    (seen && clf_is_float(o->queries.dtype) && clf_shape_is(o->queries, CLF_DIMS(B, q->M, q->D))),
                CLF_INVALID_ARGUMENT,
                "queries is %s; want f32, f16 or bf16 [%" PRId64 ", %" PRId64 ", %" PRId64 "], and vision",
                CLF_TEXT(o->queries), B, q->M, q->D);
    CLF_REQUIRE(err, seen || !clf_present(o->vision_mask), CLF_INVALID_ARGUMENT,
                "vision_mask is %s without vision; want both or none", CLF_TEXT(o->vision_mask));
    CLF_TRY(check_mask(CLF_OP ": vision_mask", o->vision_mask, B, N, err));
    CLF_TRY(check_mask(CLF_OP ": text_mask", o->text_mask, B, T, err));
    return check_weights(q, o, seen, B, M + T, N, err);
}

static clf_status check_text(const clf_qformer *q, bool vision, int64_t T, clf_error *err)
{
    CLF_REQUIRE(err, T >= 0 && (T == 0 || clf_present(q->words)), CLF_INVALID_ARGUMENT,
                "T is %" PRId64 "; want 0: the module takes no text", T);
    CLF_REQUIRE(err, T == 0 || T <= q->positions.dim[0], CLF_INVALID_ARGUMENT,
                "T is %" PRId64 "; want at most %" PRId64 ", the rows of position_embeddings", T, q->positions.dim[0]);
    CLF_REQUIRE(err, vision || T > 0, CLF_INVALID_ARGUMENT, "vision is absent and T is 0; want vision, text or both");
    return CLF_OK;
}

clf_status clf_qformer_check(const clf_qformer *q, clf_tensor vision, int64_t B, int64_t T,
                             const clf_qformer_options *options, clf_tensor *hidden, clf_error *err)
{
    const bool seen = clf_present(vision);
    clf_qformer_options full = clf_qformer_options_default();

    CLF_DESC_READ(err, &full, options);
    if (seen) {
        CLF_REQUIRE_FLOAT(err, vision, "vision");
        CLF_REQUIRE_SHAPE(err, vision, "vision");
        CLF_REQUIRE(err, vision.rank == 3 && vision.dim[0] == B && vision.dim[2] == clf_qformer_vision_width(q),
                    CLF_INVALID_ARGUMENT, "vision is %s; want [%" PRId64 ", N, %" PRId64 "]", CLF_TEXT(vision), B,
                    clf_qformer_vision_width(q));
    }
    CLF_REQUIRE(err, B >= 0, CLF_INVALID_ARGUMENT, "B is %" PRId64 "; want 0 or more", B);
    CLF_TRY(check_text(q, seen, T, err));
    const clf_tensor want = clf_tensor_shape(CLF_F32, CLF_DIMS(B, (seen ? q->M : 0) + T, q->D));

    CLF_REQUIRE_SHAPE(err, want, "hidden");
    CLF_TRY(check_options(q, vision, B, T, &full, err));
    *hidden = want;
    return CLF_OK;
}

static clf_status check_forward(const clf_qformer *q, clf_tensor vision, const int64_t *text_ids, int64_t T,
                                const clf_qformer_options *options, clf_tensor hidden, clf_error *err)
{
    clf_tensor want;

    CLF_TRY(clf_qformer_check(q, vision, hidden.rank == 3 ? hidden.dim[0] : 0, T, options, &want, err));
    CLF_REQUIRE(err, clf_alike(hidden, want), CLF_INVALID_ARGUMENT, "hidden is %s; want %s", CLF_TEXT(hidden),
                CLF_TEXT(want));
    CLF_REQUIRE(err, text_ids != NULL || T == 0 || hidden.dim[0] == 0, CLF_INVALID_ARGUMENT,
                "text_ids is NULL; want %" PRId64 " times %" PRId64 " ids", hidden.dim[0], T);
    CLF_REQUIRE_APART(err, hidden, "hidden", vision, "vision");
    return CLF_OK;
}

/* ---- forward ---- */

static void embed_queries(clf_stream *s, const clf_qformer *q, clf_tensor given, bool started, clf_tensor x)
{
    const clf_scope scope = clf_scope_open(s, NULL, -1);

    if (clf_present(given))
        clf_normalise(s, &q->embedding_norm, clf_place_as(s, given, CLF_F32), x);
    else
        clf_copy(s, clf_place_batch(started ? q->started : q->queries, x.dim[0]), x);
    clf_scope_close(s, scope);
}

/* x = norm(words + positions); queries before the text do not count. */
static void embed_text(clf_stream *s, const clf_qformer *q, const int64_t *text_ids, clf_tensor x)
{
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const int64_t T = x.dim[1];
    clf_tensor positions = clf_slice(s, q->positions, 0, 0, T);

    clf_look_up(s, CLF_OP, q->words, text_ids, x);
    positions = clf_place_as(s, positions, CLF_F32);
    clf_add(s, x, clf_place_batch(clf_reshape(s, positions, CLF_DIMS(1, T, q->D)), x.dim[0]), 1.0F, x);
    clf_normalise(s, &q->embedding_norm, x, x);
    clf_scope_close(s, scope);
}

/* What a row sees among the M + T rows. */
static clf_attention_options self_rules(clf_stream *s, const clf_qformer *q, const clf_qformer_options *o, int64_t M,
                                        int64_t T)
{
    clf_attention_options rules = clf_attention_options_default();

    rules.unseen = o->unseen;
    if (T == 0)
        return rules;
    if (clf_present(o->text_mask)) {
        const int64_t B = o->text_mask.dim[0];

        rules.mask = clf_scratch(s, CLF_F32, CLF_DIMS(B, 1, 1, M + T));
        clf_copy(s, clf_place_batch(clf_slice(s, q->open, 3, 0, M), B), clf_slice(s, rules.mask, 3, 0, M));
        clf_copy(s, o->text_mask, clf_slice(s, rules.mask, 3, M, T));
    }
    if (o->objective != CLF_QFORMER_ITM) {
        const bool itc = o->objective == CLF_QFORMER_ITC;

        rules.group_rule = itc ? CLF_GROUPS_EQUAL : CLF_GROUPS_AT_LEAST;
        rules.query_groups = clf_slice(s, itc ? q->apart : q->past, 1, q->M - M, M + T);
        rules.key_groups = rules.query_groups;
    }
    return rules;
}

static clf_attention_options cross_rules(const clf_qformer_options *o)
{
    clf_attention_options rules = clf_attention_options_default();

    rules.mask = o->vision_mask;
    rules.unseen = o->unseen;
    return rules;
}

/* What is the same for all layers of a call. */
typedef struct clf_qformer_call {
    clf_absorbed_context vision; /* in an absorbed module */
    clf_tensor kv;               /* in others: [B, N, all layers] */
    clf_attention_options self, cross;
    clf_tensor weights; /* absent: not wanted */
    int32_t weights_of;
    bool weights_of_self;
    bool started; /* the first self-attention has been done when the module was made */
} clf_qformer_call;

/* The weights' tensor goes to the one attention they are asked of. */
static clf_attention_options rules_of(const clf_qformer_call *call, int32_t layer, bool self)
{
    clf_attention_options rules = self ? call->self : call->cross;

    if (clf_present(call->weights) && call->weights_of == layer && call->weights_of_self == self)
        rules.weights = call->weights;
    return rules;
}

static void self_attention(clf_stream *s, const clf_qformer_layer *l, int32_t i, const clf_qformer_call *call,
                           clf_tensor x)
{
    const clf_attention_options rules = rules_of(call, i, true);

    clf_attention_layer_self(s, &l->self, x, &rules, x, x);
    clf_normalise(s, &l->self_norm, x, x);
}

/* asked: what the layer asks, where that is known. */
static void look_at_keys(clf_stream *s, const clf_qformer_layer *l, clf_tensor asked, const clf_qformer_call *call,
                         const clf_attention_options *rules, clf_tensor x)
{
    const clf_tensor kv = clf_slice(s, call->kv, 2, l->kv_at, clf_attention_layer_kv_width(&l->cross));

    if (clf_present(asked))
        clf_attention_layer_asked(s, &l->cross, asked, kv, rules, x, x);
    else
        clf_attention_layer_cross(s, &l->cross, x, kv, rules, x, x);
}

static void look_at_rows(clf_stream *s, const clf_qformer_layer *l, clf_tensor asked, const clf_qformer_call *call,
                         const clf_attention_options *rules, clf_tensor x)
{
    if (clf_present(asked))
        clf_absorbed_asked(s, &l->cross, &l->absorbed, asked, &call->vision, rules, x, x);
    else
        clf_absorbed_cross(s, &l->cross, &l->absorbed, x, &call->vision, rules, x, x);
}

static void cross_attention(clf_stream *s, const clf_qformer *q, int32_t i, const clf_qformer_call *call, clf_tensor x)
{
    const clf_qformer_layer *l = &q->layers[i];
    const clf_attention_options rules = rules_of(call, i, false);
    clf_tensor asked = { 0 };

    if (i == 0 && call->started)
        asked = clf_place_batch(q->asked, x.dim[0]);
    if (q->absorbed)
        look_at_rows(s, l, asked, call, &rules, x);
    else
        look_at_keys(s, l, asked, call, &rules, x);
    clf_normalise(s, &l->cross_norm, x, x);
}

static void run_layer(clf_stream *s, const clf_qformer *q, int32_t i, const clf_qformer_call *call, int64_t M,
                      clf_tensor x)
{
    const clf_qformer_layer *l = &q->layers[i];
    const clf_scope scope = clf_scope_open(s, "layers", i);
    const clf_tensor queries = clf_slice(s, x, 1, 0, M), text = clf_slice(s, x, 1, M, x.dim[1] - M);

    if (i > 0 || !call->started)
        self_attention(s, l, i, call, x);
    if (M > 0) {
        if (l->cross.q != NULL)
            cross_attention(s, q, i, call, queries);
        clf_feed_forward_forward(s, &l->query_feed_forward, queries, queries, queries);
        clf_normalise(s, &l->query_norm, queries, queries);
    }
    if (text.dim[1] > 0) {
        clf_feed_forward_forward(s, &l->text_feed_forward, text, text, text);
        clf_normalise(s, &l->text_norm, text, text);
    }
    clf_scope_close(s, scope);
}

/* Keys of cross-attention in layers with norms of their own. */
static clf_tensor vision_keys(clf_stream *s, const clf_qformer *q, clf_tensor vision)
{
    const clf_tensor kv = clf_scratch_rows(s, vision, clf_linear_weight_out(q->kv));

    clf_linear(s, vision, q->kv, NULL, kv);
    for (int32_t i = 0; i < q->layer_count; i++)
        if (q->layers[i].cross.q != NULL)
            clf_attention_layer_norm_keys(
                s, &q->layers[i].cross,
                clf_slice(s, kv, 2, q->layers[i].kv_at, clf_attention_layer_kv_width(&q->layers[i].cross)));
    return kv;
}

static void run(clf_stream *s, const clf_qformer *q, clf_tensor vision, const int64_t *text_ids, int64_t T,
                const clf_qformer_options *o, clf_tensor x)
{
    const int64_t M = x.dim[1] - T;
    clf_qformer_call call = { .weights = o->weights, .weights_of = o->weights_of, .cross = cross_rules(o) };

    call.weights_of_self = o->weights_of_self;
    call.started =
        T == 0 && !clf_present(o->queries) && !(clf_present(o->weights) && o->weights_of_self && o->weights_of == 0);
    if (M > 0) {
        embed_queries(s, q, o->queries, call.started, clf_slice(s, x, 1, 0, M));
        if (q->absorbed)
            call.vision = clf_absorbed_pack(s, vision, o->vision_mask);
        else
            call.kv = vision_keys(s, q, vision);
    }
    if (T > 0)
        embed_text(s, q, text_ids, clf_slice(s, x, 1, M, T));
    call.self = self_rules(s, q, o, M, T);
    for (int32_t i = 0; i < q->layer_count; i++)
        run_layer(s, q, i, &call, M, x);
}

void clf_qformer_forward(clf_stream *s, const clf_qformer *q, clf_tensor vision, const int64_t *text_ids, int64_t T,
                         const clf_qformer_options *options, clf_tensor hidden)
{
    clf_qformer_options full = clf_qformer_options_default();

    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(q, vision, text_ids, T, options, hidden, clf_op_error(s))))
        return;
    if (options != NULL)
        clf_desc_read(&full, sizeof full, options);
    if (hidden.dim[0] == 0)
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);

    run(s, q, vision, text_ids, T, &full, hidden);
    clf_scope_close(s, scope);
}
