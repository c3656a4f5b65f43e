/* Cross-attention layers: text that looks at pictures.
 *
 * plain      y = attention(norm(x), media)
 * residual   y = x + g attention(norm(x), media);    y = y + g' feed_forward(norm'(y))
 * post-norm  y = norm(x + g attention(x, media));    y = norm'(y + g' feed_forward(y))
 *
 * x, y [B, T, Dt], media [B, K, Dm]; g = tanh(alpha), or 1.  Rows inside are f32, whatever text and hidden are. */
#include "fusion/cross_attention.h"

#include <clfusion/gather.h>

#include "core/desc.h"
#include "fusion/place.h"
#include "runtime/op.h"

#define CLF_OP "cross_attention"

/* ---- rules ---- */

clf_status clf_cross_attention_check_media(const clf_cross_attention *c, int64_t B, clf_tensor media, clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, media, "media");
    CLF_REQUIRE_SHAPE(err, media, "media");
    CLF_REQUIRE(err, media.rank == 3 && media.dim[0] == B && media.dim[2] == c->media_width, CLF_INVALID_ARGUMENT,
                "media is %s; want [%" PRId64 ", K, %" PRId64 "]", CLF_TEXT(media), B, c->media_width);
    return CLF_OK;
}

static clf_status check_text(const clf_cross_attention *c, clf_tensor text, clf_tensor hidden, clf_error *err)
{
    CLF_REQUIRE_FLOAT(err, text, "text");
    CLF_REQUIRE_SHAPE(err, text, "text");
    CLF_REQUIRE(err, text.rank == 3 && text.dim[2] == c->text_width, CLF_INVALID_ARGUMENT,
                "text is %s; want [B, T, %" PRId64 "]", CLF_TEXT(text), c->text_width);
    CLF_REQUIRE(err, clf_same_shape(hidden, text) && (hidden.dtype == CLF_F32 || hidden.dtype == text.dtype),
                CLF_INVALID_ARGUMENT, "hidden is %s; want the shape of text %s, and f32 or its type", CLF_TEXT(hidden),
                CLF_TEXT(text));
    CLF_REQUIRE(err, clf_same_memory(hidden, text) || !clf_may_overlap(hidden, text), CLF_INVALID_ARGUMENT,
                "hidden overlaps text in part; want the same elements, or apart");
    return CLF_OK;
}

static bool any_feed_forward(const clf_cross_attention *c)
{
    for (int32_t i = 0; i < c->layer_count; i++)
        if (c->layers[i].feed_forward.up != NULL)
            return true;
    return false;
}

static clf_status check_rows(const clf_cross_attention *c, clf_tensor rows, clf_tensor text, clf_error *err)
{
    if (!clf_present(rows))
        return CLF_OK;
    CLF_REQUIRE(err, any_feed_forward(c), CLF_INVALID_ARGUMENT,
                "feed_forward_rows is %s and the module has no feed-forward; want none", CLF_TEXT(rows));
    CLF_REQUIRE(err,
                rows.dtype == CLF_I32 && clf_shape_is(rows, CLF_DIMS(text.dim[0], text.dim[1])) && clf_is_dense(rows),
                CLF_INVALID_ARGUMENT, "feed_forward_rows is %s; want dense i32[%" PRId64 ", %" PRId64 "]",
                CLF_TEXT(rows), text.dim[0], text.dim[1]);
    return CLF_OK;
}

/* K keys for every row of text. */
static clf_status check_call(const clf_cross_attention *c, clf_tensor text, int64_t K, const clf_cross_options *o,
                             clf_tensor hidden, clf_error *err)
{
    const clf_attention_options *a = &o->attention;
    const clf_attention_layer *l = &c->layers[0].attention;
    const int64_t B = text.dim[0], T = text.dim[1];

    CLF_TRY(check_text(c, text, hidden, err));
    CLF_REQUIRE(err,
                a->scale == 0.0F && a->q_norm.kind == CLF_NORM_NONE && a->k_norm.kind == CLF_NORM_NONE && !a->causal,
                CLF_INVALID_ARGUMENT, "attention has a scale, a norm or causal; want their defaults");
    CLF_TRY(check_rows(c, o->feed_forward_rows, text, err));
    return clf_attention_check(clf_tensor_shape(CLF_F32, CLF_DIMS(B, T, l->H, l->D)),
                               clf_tensor_shape(CLF_F32, CLF_DIMS(B, K, l->Hk, l->D)),
                               clf_tensor_shape(CLF_F32, CLF_DIMS(B, K, l->Hk, l->E)), a,
                               clf_tensor_shape(CLF_F32, CLF_DIMS(B, T, l->H, l->E)), err);
}

static clf_status read_options(const clf_cross_options *options, clf_cross_options *full, clf_error *err)
{
    *full = clf_cross_options_default();
    CLF_DESC_READ(err, full, options);
    return CLF_OK;
}

clf_status clf_cross_attention_check(const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                                     const clf_cross_options *options, clf_tensor hidden, clf_error *err)
{
    clf_cross_options full;

    CLF_TRY(read_options(options, &full, err));
    CLF_TRY(check_text(c, text, hidden, err));
    CLF_TRY(clf_cross_attention_check_media(c, text.dim[0], media, err));
    CLF_REQUIRE_APART(err, hidden, "hidden", media, "media");
    return check_call(c, text, media.dim[1], &full, hidden, err);
}

static clf_status check_forward(const clf_cross_attention *c, int32_t layer, clf_tensor text,
                                const clf_visual_memory *memory, const clf_cross_options *options, clf_tensor hidden,
                                clf_cross_options *full, clf_error *err)
{
    CLF_REQUIRE(err, layer >= 0 && layer < c->layer_count, CLF_INVALID_ARGUMENT, "layer is %d; want 0 to %d",
                (int)layer, (int)c->layer_count - 1);
    CLF_TRY(read_options(options, full, err));
    CLF_TRY(check_text(c, text, hidden, err));
    CLF_REQUIRE(err, memory != NULL && memory->c == c, CLF_INVALID_ARGUMENT, "memory is %s; want one of this module",
                memory == NULL ? "NULL" : "of another module");
    CLF_REQUIRE(err, memory->kv.dim[0] == text.dim[0], CLF_INVALID_ARGUMENT,
                "memory has %" PRId64 " rows; want %" PRId64 ", as text %s", memory->kv.dim[0], text.dim[0],
                CLF_TEXT(text));
    return check_call(c, text, memory->keys, full, hidden, err);
}

/* ---- forward ---- */

void clf_cross_attention_keys(clf_stream *s, const clf_cross_attention *c, clf_tensor media, clf_tensor kv)
{
    const int64_t width = clf_attention_layer_kv_width(&c->layers[0].attention);
    const clf_scope scope = clf_scope_open(s, "media", -1);

    if (c->media_projection != NULL) {
        const clf_tensor projected =
            clf_scratch(s, CLF_F32, CLF_DIMS(media.dim[0], media.dim[1], clf_linear_weight_out(c->media_projection)));

        clf_linear(s, media, c->media_projection, NULL, projected);
        media = projected;
    }
    clf_linear(s, media, c->kv, NULL, kv);
    for (int32_t i = 0; i < c->layer_count; i++)
        clf_attention_layer_norm_keys(s, &c->layers[i].attention, clf_slice(s, kv, -1, i * width, width));
    clf_scope_close(s, scope);
}

/* y = y + g' feed_forward(y), then its norm; rows that are left out keep y. */
static void feed_forward(clf_stream *s, const clf_cross_layer *l, clf_tensor rows, clf_tensor y)
{
    const clf_tensor z = clf_present(rows) ? clf_scratch(s, CLF_F32, clf_tensor_dims(y)) : y;

    clf_feed_forward_forward(s, &l->feed_forward, y, y, z);
    if (clf_present(rows))
        clf_gather(s, z, rows, y);
    if (l->feed_forward_norm.kind != CLF_NORM_NONE)
        clf_normalise(s, &l->feed_forward_norm, y, y);
}

/* One layer: x of any type, y f32, which may be x. */
static void layer_forward(clf_stream *s, const clf_cross_attention *c, int32_t i, clf_tensor x, clf_tensor kv,
                          const clf_attention_options *rules, clf_tensor feed_forward_rows, clf_tensor y)
{
    const clf_scope scope = clf_scope_open(s, "layers", i);
    const clf_cross_layer *l = &c->layers[i];
    clf_tensor residual = { .dtype = CLF_DTYPE_NONE };

    if (c->form != CLF_CROSS_PLAIN)
        x = residual = clf_place_as(s, x, CLF_F32);
    clf_attention_layer_cross(s, &l->attention, x, kv, rules, residual, y);
    if (l->norm.kind != CLF_NORM_NONE)
        clf_normalise(s, &l->norm, y, y);
    if (l->feed_forward.up != NULL)
        feed_forward(s, l, feed_forward_rows, y);
    clf_scope_close(s, scope);
}

/* Where layers write: hidden itself, or f32 scratch before a conversion. */
static clf_tensor result_of(clf_stream *s, clf_tensor hidden)
{
    return hidden.dtype == CLF_F32 ? hidden : clf_scratch(s, CLF_F32, clf_tensor_dims(hidden));
}

void clf_cross_attention_forward(clf_stream *s, const clf_cross_attention *c, int32_t layer, clf_tensor text,
                                 const clf_visual_memory *memory, const clf_cross_options *options, clf_tensor hidden)
{
    clf_cross_options full;

    if (!clf_op_enter(s) ||
        !clf_op_passed(s, check_forward(c, layer, text, memory, options, hidden, &full, clf_op_error(s))))
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const int64_t width = clf_attention_layer_kv_width(&c->layers[layer].attention);
    const clf_tensor kv = clf_slice(s, clf_slice(s, memory->kv, 1, 0, memory->keys), 2, layer * width, width);
    const clf_tensor y = result_of(s, hidden);

    layer_forward(s, c, layer, text, kv, &full.attention, full.feed_forward_rows, y);
    if (hidden.dtype != CLF_F32)
        clf_place(s, y, hidden);
    clf_scope_close(s, scope);
}

/* The first `count` layers, on keys and values in scratch. */
static void run_layers(clf_stream *s, const clf_cross_attention *c, int32_t count, clf_tensor text, clf_tensor media,
                       const clf_cross_options *o, int32_t weights_of, clf_tensor hidden)
{
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const int64_t width = clf_attention_layer_kv_width(&c->layers[0].attention);
    const clf_tensor kv = clf_scratch(s, CLF_F32, CLF_DIMS(media.dim[0], media.dim[1], clf_linear_weight_out(c->kv)));
    const clf_tensor y = result_of(s, hidden);
    clf_attention_options unwatched = o->attention;

    unwatched.weights = (clf_tensor){ .dtype = CLF_DTYPE_NONE };
    clf_cross_attention_keys(s, c, media, kv);
    for (int32_t i = 0; i < count; i++)
        layer_forward(s, c, i, i == 0 ? text : y, clf_slice(s, kv, 2, i * width, width),
                      i == weights_of ? &o->attention : &unwatched, o->feed_forward_rows, y);
    if (hidden.dtype != CLF_F32)
        clf_place(s, y, hidden);
    clf_scope_close(s, scope);
}

static clf_status check_stack(const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                              const clf_cross_options *options, int32_t weights_of, clf_tensor hidden,
                              clf_cross_options *full, clf_error *err)
{
    CLF_TRY(clf_cross_attention_check(c, text, media, options, hidden, err));
    CLF_TRY(read_options(options, full, err));
    CLF_REQUIRE(err, !clf_present(full->attention.weights) || (weights_of >= 0 && weights_of < c->layer_count),
                CLF_INVALID_ARGUMENT, "weights_of is %d; want 0 to %d", (int)weights_of, (int)c->layer_count - 1);
    return CLF_OK;
}

void clf_cross_attention_stack(clf_stream *s, const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                               const clf_cross_options *options, int32_t weights_of, clf_tensor hidden)
{
    clf_cross_options full;

    if (clf_op_enter(s) &&
        clf_op_passed(s, check_stack(c, text, media, options, weights_of, hidden, &full, clf_op_error(s))))
        run_layers(s, c, c->layer_count, text, media, &full, weights_of, hidden);
}

void clf_cross_attention_first(clf_stream *s, const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                               const clf_cross_options *options, clf_tensor hidden)
{
    clf_cross_options full;

    if (clf_op_enter(s) && clf_op_passed(s, check_stack(c, text, media, options, 0, hidden, &full, clf_op_error(s))))
        run_layers(s, c, 1, text, media, &full, 0, hidden);
}
