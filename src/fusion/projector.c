/* projector: tokens = Linear_n(act(... act(Linear_1(norm(merge(vision)))))).
 *
 * vision [..., N, Dv]; merge makes [..., N / r, r Dv] of it; tokens [..., N / r, Dt]. */
#include <clfusion/projector.h>

#include <clfusion/layer_norm.h>
#include <clfusion/linear.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/parameter.h"
#include "fusion/place.h"
#include "gemm/gemm.h"
#include "runtime/op.h"

#define CLF_OP "projector"

struct clf_projector {
    clf_context *ctx;
    int64_t compress_ratio;
    clf_tensor norm_weight; /* f32 [r Dv] or absent */
    clf_tensor norm_bias;
    float norm_eps;
    clf_activation activation;
    int32_t layer_count;
    clf_linear_weight *layers[CLF_PROJECTOR_MAX_LAYERS];
};

int64_t clf_projector_vision_width(const clf_projector *p)
{
    return clf_linear_weight_in(p->layers[0]) / p->compress_ratio;
}

int64_t clf_projector_text_width(const clf_projector *p)
{
    return clf_linear_weight_out(p->layers[p->layer_count - 1]);
}

static clf_status check_layers(const clf_projector_desc *d, clf_error *err)
{
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_host_tensor w = d->layers[i].weight, bias = d->layers[i].bias;

        CLF_REQUIRE(err, clf_host_present(w) && w.rank == 2 && w.dim[0] >= 1 && w.dim[1] >= 1, CLF_INVALID_ARGUMENT,
                    "layers[%d].weight is %s; want [out, in], both above 0", (int)i, CLF_HOST_TEXT(w));
        CLF_REQUIRE(err, !clf_host_present(bias) || (bias.rank == 1 && bias.dim[0] == w.dim[0]), CLF_INVALID_ARGUMENT,
                    "layers[%d].bias is %s; want [%" PRId64 "], the rows of its weight", (int)i, CLF_HOST_TEXT(bias),
                    w.dim[0]);
        CLF_REQUIRE(err, i == 0 || w.dim[1] == d->layers[i - 1].weight.dim[0], CLF_INVALID_ARGUMENT,
                    "layers[%d].weight is %s; want %" PRId64 " columns, the rows of layers[%d].weight", (int)i,
                    CLF_HOST_TEXT(w), d->layers[i - 1].weight.dim[0], (int)i - 1);
    }
    return CLF_OK;
}

static clf_status check_norm(const clf_projector_desc *d, clf_error *err)
{
    const clf_host_tensor w = d->norm_weight, b = d->norm_bias;
    const int64_t C = d->layers[0].weight.dim[1];

    CLF_REQUIRE(err, clf_host_present(w) || !clf_host_present(b), CLF_INVALID_ARGUMENT,
                "norm_bias is %s and norm_weight absent; want both or none", CLF_HOST_TEXT(b));
    if (!clf_host_present(w))
        return CLF_OK;
    CLF_REQUIRE(err, w.rank == 1 && w.dim[0] == C, CLF_INVALID_ARGUMENT,
                "norm_weight is %s; want [%" PRId64 "], the columns of layers[0].weight", CLF_HOST_TEXT(w), C);
    CLF_REQUIRE(err, !clf_host_present(b) || (b.rank == 1 && b.dim[0] == C), CLF_INVALID_ARGUMENT,
                "norm_bias is %s; want [%" PRId64 "], the columns of layers[0].weight", CLF_HOST_TEXT(b), C);
    CLF_REQUIRE(err, isfinite(d->norm_eps) && d->norm_eps > 0.0F, CLF_INVALID_ARGUMENT,
                "norm_eps is %g; want finite, above 0", (double)d->norm_eps);
    return CLF_OK;
}

static clf_status check_desc(const clf_projector_desc *d, clf_error *err)
{
    CLF_REQUIRE(err, d->layer_count >= 1 && d->layer_count <= CLF_PROJECTOR_MAX_LAYERS, CLF_INVALID_ARGUMENT,
                "layer_count is %d; want 1 to %d", (int)d->layer_count, CLF_PROJECTOR_MAX_LAYERS);
    CLF_TRY(check_layers(d, err));
    CLF_REQUIRE(err, d->compress_ratio >= 1 && d->layers[0].weight.dim[1] % d->compress_ratio == 0,
                CLF_INVALID_ARGUMENT,
                "compress_ratio is %" PRId64 "; want a divisor of %" PRId64 ", the columns of layers[0].weight",
                d->compress_ratio, d->layers[0].weight.dim[1]);
    return check_norm(d, err);
}

static clf_status fill(clf_projector *p, const clf_projector_desc *d, clf_error *err)
{
    CLF_TRY(clf_parameter_create(p->ctx, "norm_weight", d->norm_weight, CLF_F32, d->source, &p->norm_weight, err));
    CLF_TRY(clf_parameter_create(p->ctx, "norm_bias", d->norm_bias, CLF_F32, d->source, &p->norm_bias, err));
    for (int32_t i = 0; i < d->layer_count; i++) {
        clf_linear_weight_desc layer = clf_linear_weight_desc_default();

        layer.weight = d->layers[i].weight;
        layer.bias = d->layers[i].bias;
        layer.storage = d->storage;
        layer.source = d->source;
        CLF_TRY(clf_linear_weight_create(p->ctx, &layer, &p->layers[i], err));
    }
    return CLF_OK;
}

clf_status clf_projector_create(clf_context *ctx, const clf_projector_desc *desc, clf_projector **p, clf_error *err)
{
    clf_projector_desc full = clf_projector_desc_default();
    clf_status status;

    *p = NULL;
    CLF_DESC_READ(err, &full, desc);
    CLF_TRY(check_desc(&full, err));
    *p = clf_alloc(1, sizeof **p);
    CLF_REQUIRE(err, *p != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **p);
    (*p)->ctx = ctx;
    (*p)->compress_ratio = full.compress_ratio;
    (*p)->norm_eps = full.norm_eps;
    (*p)->activation = full.activation;
    (*p)->layer_count = full.layer_count;
    status = fill(*p, &full, err);
    if (status != CLF_OK) {
        clf_projector_destroy(*p);
        *p = NULL;
    }
    return status;
}

void clf_projector_destroy(clf_projector *p)
{
    if (p == NULL)
        return;
    for (int32_t i = 0; i < p->layer_count; i++)
        clf_linear_weight_destroy(p->layers[i]);
    clf_tensor_free(p->ctx, &p->norm_weight);
    clf_tensor_free(p->ctx, &p->norm_bias);
    clf_free(p);
}

/* The shape of x with N / r rows of width C in place of N rows of another. */
static clf_dims merged_dims(clf_tensor x, int64_t r, int64_t C)
{
    clf_dims dims = clf_tensor_dims(x);

    dims.dim[dims.rank - 2] /= r;
    dims.dim[dims.rank - 1] = C;
    return dims;
}

clf_status clf_projector_check(const clf_projector *p, clf_tensor vision, clf_tensor *tokens, clf_error *err)
{
    const int64_t Dv = clf_projector_vision_width(p), r = p->compress_ratio;

    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank >= 2 && clf_dim(vision, -1) == Dv, CLF_INVALID_ARGUMENT,
                "vision is %s; want [..., N, %" PRId64 "]", CLF_TEXT(vision), Dv);
    CLF_REQUIRE(err, clf_dim(vision, -2) % r == 0, CLF_INVALID_ARGUMENT,
                "vision is %s; want N a multiple of %" PRId64 ", the compress_ratio", CLF_TEXT(vision), r);
    *tokens = clf_tensor_shape(CLF_F32, merged_dims(vision, r, clf_projector_text_width(p)));
    return CLF_OK;
}

static clf_status check_forward(const clf_projector *p, clf_tensor vision, clf_tensor tokens, clf_error *err)
{
    clf_tensor want;

    CLF_TRY(clf_projector_check(p, vision, &want, err));
    CLF_REQUIRE(err, clf_same_shape(tokens, want) && (tokens.dtype == CLF_F32 || tokens.dtype == vision.dtype),
                CLF_INVALID_ARGUMENT, "tokens is %s; want %s or the type of vision %s", CLF_TEXT(tokens),
                CLF_TEXT(want), CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    return CLF_OK;
}

/* r consecutive tokens become one: a view where vision is dense. */
static clf_tensor merge(clf_stream *s, const clf_projector *p, clf_tensor vision)
{
    const int64_t r = p->compress_ratio;

    if (r == 1)
        return vision;
    return clf_reshape(s, clf_place_dense(s, vision), merged_dims(vision, r, r * clf_dim(vision, -1)));
}

/* Rows of x that fit, normed, into the memory of tokens, which nobody needs before the last layer writes there; 0 where
 * that is not dense f32, or too small to be worth it: then clf_linear norms into scratch.  CLBlast wants few products. */
static int64_t rows_in_tokens(const clf_stream *s, const clf_projector *p, clf_tensor x, clf_tensor tokens)
{
    const bool normed = clf_present(p->norm_weight) && p->layer_count > 1;
    const bool usable = tokens.dtype == CLF_F32 && clf_is_dense(tokens) && clf_is_dense(x);
    const int64_t rows = clf_row_count(x), fit = clf_element_count(tokens) / clf_dim(x, -1);
    const int64_t least = clf_gemm_of(clf_stream_context(s))->fuses ? (rows + 3) / 4 : rows;

    return normed && usable && rows > 0 && fit >= least ? CLF_MIN(fit, rows) : 0;
}

/* y = act(Linear_1(norm(x))), in as few equal parts as rows fit into the memory of tokens. */
static void norm_in_tokens(clf_stream *s, const clf_projector *p, clf_tensor x, int64_t fit, clf_tensor tokens,
                           const clf_linear_options *options, clf_tensor y)
{
    const int64_t C = clf_dim(x, -1), R = clf_row_count(x), parts = (R + fit - 1) / fit, most = (R + parts - 1) / parts;
    const clf_tensor room = clf_reshape(s, tokens, CLF_DIMS(clf_element_count(tokens)));

    x = clf_reshape(s, x, CLF_DIMS(R, C));
    y = clf_reshape(s, y, CLF_DIMS(R, clf_dim(y, -1)));
    for (int64_t first = 0; first < R; first += most) {
        const int64_t rows = CLF_MIN(most, R - first);
        const clf_tensor normed = clf_reshape(s, clf_slice(s, room, 0, 0, rows * C), CLF_DIMS(rows, C));

        clf_layer_norm(s, clf_slice(s, x, 0, first, rows), p->norm_weight, p->norm_bias, p->norm_eps, normed);
        clf_linear(s, normed, p->layers[0], options, clf_slice(s, y, 0, first, rows));
    }
}

/* The first layer, with the norm before it. */
static void first_layer(clf_stream *s, const clf_projector *p, clf_tensor x, clf_tensor tokens,
                        clf_linear_options *options, clf_tensor y)
{
    const int64_t fit = rows_in_tokens(s, p, x, tokens);

    if (fit > 0) {
        norm_in_tokens(s, p, x, fit, tokens, options, y);
        return;
    }
    if (clf_present(p->norm_weight)) {
        options->prologue = CLF_PROLOGUE_LAYER_NORM;
        options->norm_weight = p->norm_weight;
        options->norm_bias = p->norm_bias;
        options->norm_eps = p->norm_eps;
    }
    clf_linear(s, x, p->layers[0], options, y);
}

void clf_projector_forward(clf_stream *s, const clf_projector *p, clf_tensor vision, clf_tensor tokens)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(p, vision, tokens, clf_op_error(s))))
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const int32_t last = p->layer_count - 1;
    clf_tensor x = merge(s, p, vision);

    for (int32_t i = 0; i <= last; i++) {
        clf_linear_options options = clf_linear_options_default();
        clf_tensor y = tokens;

        if (i < last)
            options.activation = p->activation;
        /* f32 between the layers; the last writes tokens itself unless clf_linear cannot give that type from f32. */
        if (i < last || (tokens.dtype != CLF_F32 && tokens.dtype != x.dtype))
            y = clf_scratch(s, CLF_F32, merged_dims(x, 1, clf_linear_weight_out(p->layers[i])));
        if (i == 0)
            first_layer(s, p, x, tokens, &options, y);
        else
            clf_linear(s, x, p->layers[i], &options, y);
        x = y;
    }
    if (x.dtype != tokens.dtype)
        clf_place(s, x, tokens);
    clf_scope_close(s, scope);
}
