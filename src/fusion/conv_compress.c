/* conv_compress: tokens = Linear(conv2(conv1(vision))), 3 x 3 convolutions with stride 2 and padding 1.
 *
 * A convolution is a product of its windows side by side with the weight [out, (dy, dx, c)]: vision [B, H W, Dv] to
 * windows [B, h w, 9 Dv] to [B, h w, C1]. */
#include <clfusion/conv_compress.h>

#include <clfusion/unfold.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "conv_compress"

#define SIDE 3
#define WINDOW (SIDE * SIDE)

/* Tokens behind the first convolution that are computed in one go: enough to keep a product busy, in scratch that stays
 * small. */
#define TOKENS_AT_ONCE 4096

struct clf_conv_compress {
    clf_context *ctx;
    clf_linear_weight *conv[2], *proj;
};

/* ---- creation ---- */

static clf_status check_conv(const char *name, clf_host_tensor w, int64_t in, clf_error *err)
{
    uint64_t bytes;

    CLF_REQUIRE(err,
                clf_host_present(w) && w.rank == 4 && w.dim[0] >= 1 && w.dim[1] >= 1 && w.dim[2] == SIDE &&
                    w.dim[3] == SIDE && clf_host_bytes(w, &bytes),
                CLF_INVALID_ARGUMENT, "%s is %s; want [out, in, 3, 3]", name, CLF_HOST_TEXT(w));
    CLF_REQUIRE(err, in == 0 || w.dim[1] == in, CLF_INVALID_ARGUMENT,
                "%s is %s; want %" PRId64 " input channels, the outputs of conv1", name, CLF_HOST_TEXT(w), in);
    CLF_REQUIRE(err, w.data != NULL, CLF_INVALID_ARGUMENT, "%s is %s without data; want host memory", name,
                CLF_HOST_TEXT(w));
    return CLF_OK;
}

static clf_status check_desc(const clf_conv_compress_desc *d, clf_error *err)
{
    CLF_TRY(check_conv("conv1", d->conv1, 0, err));
    CLF_TRY(check_conv("conv2", d->conv2, d->conv1.dim[0], err));
    CLF_TRY(clf_weight_check("proj", &d->proj, 0, err));
    CLF_REQUIRE(err, d->proj.weight.dim[1] == d->conv2.dim[0], CLF_INVALID_ARGUMENT,
                "proj.weight is %s; want %" PRId64 " columns, the outputs of conv2", CLF_HOST_TEXT(d->proj.weight),
                d->conv2.dim[0]);
    return CLF_OK;
}

/* [out, in, 3, 3] to [out, (3, 3, in)]. */
static void turn(clf_host_tensor w, char *to)
{
    const size_t out = (size_t)w.dim[0], in = (size_t)w.dim[1], bytes = clf_dtype_bytes(w.dtype);
    const char *from = w.data;

    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t q = 0; q < WINDOW; q++, from += bytes)
                memcpy(to + ((o * WINDOW + q) * in + i) * bytes, from, bytes);
}

static clf_status create_conv(clf_conv_compress *m, int i, const char *name, clf_host_tensor w,
                              const clf_conv_compress_desc *d, clf_error *err)
{
    clf_linear_layer layer = { .weight = { NULL, w.dtype, 2, { w.dim[0], WINDOW * w.dim[1] } } };
    uint64_t bytes = 0;
    clf_status status;

    (void)clf_host_bytes(w, &bytes); /* it has passed check_conv */
    char *turned = clf_alloc((size_t)bytes, 1);
    CLF_REQUIRE(err, turned != NULL, CLF_OUT_OF_MEMORY, "%s is %s; want host memory for it in another order", name,
                CLF_HOST_TEXT(w));
    turn(w, turned);
    if (d->source != NULL && d->source->done != NULL)
        d->source->done(d->source->self, w.data, (size_t)bytes);
    layer.weight.data = turned;
    status = clf_weight_create(m->ctx, name, &layer, d->storage, NULL, &m->conv[i], err);
    clf_free(turned);
    return status;
}

static clf_status fill(clf_conv_compress *m, const clf_conv_compress_desc *d, clf_error *err)
{
    CLF_TRY(create_conv(m, 0, "conv1", d->conv1, d, err));
    CLF_TRY(create_conv(m, 1, "conv2", d->conv2, d, err));
    return clf_weight_create(m->ctx, "proj", &d->proj, d->storage, d->source, &m->proj, err);
}

clf_status clf_conv_compress_create(clf_context *ctx, const clf_conv_compress_desc *desc, clf_conv_compress **m,
                                    clf_error *err)
{
    clf_conv_compress_desc full = clf_conv_compress_desc_default();
    clf_status status;

    *m = NULL;
    CLF_DESC_READ(err, &full, desc);
    CLF_TRY(check_desc(&full, err));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    status = fill(*m, &full, err);
    if (status != CLF_OK) {
        clf_conv_compress_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_conv_compress_destroy(clf_conv_compress *m)
{
    if (m == NULL)
        return;
    clf_linear_weight_destroy(m->conv[0]);
    clf_linear_weight_destroy(m->conv[1]);
    clf_linear_weight_destroy(m->proj);
    clf_free(m);
}

/* ---- shapes ---- */

int64_t clf_conv_compress_vision_width(const clf_conv_compress *m)
{
    return clf_linear_weight_in(m->conv[0]) / WINDOW;
}

int64_t clf_conv_compress_text_width(const clf_conv_compress *m)
{
    return clf_linear_weight_out(m->proj);
}

/* Windows of one convolution. */
static clf_grid halved(clf_grid grid)
{
    return (clf_grid){ (grid.rows + 1) / 2, (grid.columns + 1) / 2 };
}

clf_grid clf_conv_compress_grid(clf_grid grid)
{
    return halved(halved(grid));
}

clf_status clf_conv_compress_check(const clf_conv_compress *m, clf_tensor vision, clf_grid grid, clf_tensor *tokens,
                                   clf_error *err)
{
    const int64_t Dv = clf_conv_compress_vision_width(m);
    const clf_grid to = clf_conv_compress_grid(grid);

    *tokens = (clf_tensor){ .mem = NULL };
    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, vision.rank == 3 && vision.dim[2] == Dv, CLF_INVALID_ARGUMENT,
                "vision is %s; want [B, N, %" PRId64 "]", CLF_TEXT(vision), Dv);
    CLF_REQUIRE(err, grid.rows >= 1 && grid.columns >= 1 && grid.rows <= INT32_MAX && grid.columns <= INT32_MAX,
                CLF_INVALID_ARGUMENT, "grid is %" PRId64 " x %" PRId64 "; want sides of 1 to 2^31 - 1", grid.rows,
                grid.columns);
    CLF_REQUIRE(err, vision.dim[1] == grid.rows * grid.columns, CLF_INVALID_ARGUMENT,
                "vision is %s, %" PRId64 " tokens; want %" PRId64 ", a grid of %" PRId64 " x %" PRId64,
                CLF_TEXT(vision), vision.dim[1], grid.rows * grid.columns, grid.rows, grid.columns);
    *tokens = clf_tensor_shape(CLF_F32, CLF_DIMS(vision.dim[0], to.rows * to.columns, clf_conv_compress_text_width(m)));
    return CLF_OK;
}

static clf_status check_forward(const clf_conv_compress *m, clf_tensor vision, clf_grid grid, clf_tensor tokens,
                                clf_error *err)
{
    clf_tensor want;

    CLF_TRY(clf_conv_compress_check(m, vision, grid, &want, err));
    CLF_REQUIRE(err, clf_same_shape(tokens, want) && (tokens.dtype == CLF_F32 || tokens.dtype == vision.dtype),
                CLF_INVALID_ARGUMENT, "tokens is %s; want %s or the type of vision %s", CLF_TEXT(tokens),
                CLF_TEXT(want), CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    return CLF_OK;
}

/* ---- forward ---- */

/* y = conv(x), f32; *grid becomes that of y. */
static clf_tensor convolve(clf_stream *s, const clf_linear_weight *w, clf_tensor x, clf_grid *grid)
{
    const clf_grid to = halved(*grid);
    const clf_tensor y = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], to.rows * to.columns, clf_linear_weight_out(w)));
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor windows = clf_scratch(s, x.dtype, CLF_DIMS(y.dim[0], y.dim[1], clf_linear_weight_in(w)));
    clf_unfold_options o = clf_unfold_options_default();

    o.kernel = SIDE;
    o.padding = 1;
    clf_unfold(s, x, *grid, &o, to, windows);
    clf_linear(s, windows, w, NULL, y);
    clf_scope_close(s, scope);
    *grid = to;
    return y;
}

/* Some pictures. */
static void compress(clf_stream *s, const clf_conv_compress *m, clf_tensor vision, clf_grid grid, clf_tensor tokens)
{
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor x = convolve(s, m->conv[0], vision, &grid);
    const clf_tensor z = convolve(s, m->conv[1], x, &grid);
    clf_tensor y = tokens;

    if (tokens.dtype != CLF_F32)
        y = clf_scratch(s, CLF_F32, clf_tensor_dims(tokens));
    clf_linear(s, z, m->proj, NULL, y);
    if (tokens.dtype != CLF_F32)
        clf_place(s, y, tokens);
    clf_scope_close(s, scope);
}

void clf_conv_compress_forward(clf_stream *s, const clf_conv_compress *m, clf_tensor vision, clf_grid grid,
                               clf_tensor tokens)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(m, vision, grid, tokens, clf_op_error(s))))
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_grid first = halved(grid);
    const int64_t B = vision.dim[0], at_once = CLF_MAX(TOKENS_AT_ONCE / (first.rows * first.columns), 1);

    for (int64_t b = 0; b < B; b += at_once) {
        const int64_t count = CLF_MIN(at_once, B - b);

        compress(s, m, clf_slice(s, vision, 0, b, count), grid, clf_slice(s, tokens, 0, b, count));
    }
    clf_scope_close(s, scope);
}
