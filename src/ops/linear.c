/* linear: y = residual + scale · act(norm(x) · Wᵀ + b).  x [..., K], W [N, K], b [N], y and residual [..., N].
 *
 * Norms and casts before the product are operators.  The panel provider reads f32 rows where they lie and does all that
 * follows; CLBlast multiplies dense rows and nothing else, so bias, activation and residual are one kernel after it. */
#include <clfusion/linear.h>

#include <clfusion/cast.h>
#include <clfusion/copy.h>
#include <clfusion/layer_norm.h>
#include <clfusion/rms_norm.h>

#include "core/desc.h"
#include "ops/check.h"
#include "ops/linear_weight.h"

#define CLF_OP "linear"

/* Prepared rows of one block.  A bound for all; on CPU devices a quarter of the rows, unless these are few, so that what
 * lies beside a module's largest tensor is small.  2048 rows are 32 MB at in = 4096. */
#define LEAST_BLOCK_BYTES (512 << 10)
#define MOST_BLOCK_BYTES (32 << 20)

/* norm_weight or norm_bias. */
#define REQUIRE_NORM_VECTOR(err, v, name, in, y)                                                                       \
    do {                                                                                                               \
        CLF_REQUIRE(err, (v).dtype == CLF_F32 && clf_shape_is((v), CLF_DIMS(in)) && clf_is_dense(v),                   \
                    CLF_INVALID_ARGUMENT, name " is %s; want dense f32[%" PRId64 "]", CLF_TEXT(v), (in));              \
        CLF_REQUIRE_ALIGNED(err, v, name);                                                                             \
        CLF_REQUIRE_APART(err, v, name, y, "y");                                                                       \
    } while (0)

static clf_status options_check(const clf_linear_options *o, int64_t in, clf_tensor y, clf_error *err)
{
    const clf_tensor g = o->norm_weight, b = o->norm_bias, r = o->residual;
    const bool layer = o->prologue == CLF_PROLOGUE_LAYER_NORM;

    CLF_REQUIRE(err, (unsigned)o->prologue <= (unsigned)CLF_PROLOGUE_RMS_NORM, CLF_INVALID_ARGUMENT,
                "prologue is %d; want none, layer norm or RMS norm", (int)o->prologue);
    CLF_REQUIRE(err, clf_activation_known(o->activation), CLF_INVALID_ARGUMENT,
                "activation is %d; want a value of clf_activation", (int)o->activation);
    if (o->prologue != CLF_PROLOGUE_NONE) {
        CLF_REQUIRE(err, isfinite(o->norm_eps) && o->norm_eps > 0.0F, CLF_INVALID_ARGUMENT,
                    "norm_eps is %g; want finite, above 0", (double)o->norm_eps);
        CLF_REQUIRE(err, layer || !clf_present(b), CLF_INVALID_ARGUMENT, "norm_bias is %s; RMS norm takes none",
                    CLF_TEXT(b));
        CLF_REQUIRE(err, clf_present(g) || !clf_present(b), CLF_INVALID_ARGUMENT,
                    "norm_bias is %s without norm_weight; want both, or the weight alone", CLF_TEXT(b));
        if (clf_present(g))
            REQUIRE_NORM_VECTOR(err, g, "norm_weight", in, y);
        if (clf_present(b))
            REQUIRE_NORM_VECTOR(err, b, "norm_bias", in, y);
    }
    if (clf_present(r)) {
        CLF_REQUIRE_ALIKE(err, r, "residual", y, "y");
        CLF_REQUIRE_TENSOR(err, r, "residual");
        CLF_REQUIRE_SAME_OR_APART(err, r, "residual", y, "y");
    }
    return CLF_OK;
}

clf_status clf_linear_check(clf_tensor x, int64_t out, int64_t in, const clf_linear_options *options, clf_tensor y,
                            clf_error *err)
{
    clf_linear_options full = clf_linear_options_default();

    CLF_REQUIRE_NUMBERS(err, x, "x");
    CLF_REQUIRE_RESULT(err, y, "y");
    CLF_REQUIRE(err, clf_dim(x, -1) == in, CLF_INVALID_ARGUMENT,
                "x is %s; want [..., %" PRId64 "], the width of weight [%" PRId64 ", %" PRId64 "]", CLF_TEXT(x), in,
                out, in);
    CLF_REQUIRE(err, clf_same_rows(x, y) && clf_dim(y, -1) == out, CLF_INVALID_ARGUMENT,
                "y is %s; want the leading dimensions of x %s and [..., %" PRId64 "]", CLF_TEXT(y), CLF_TEXT(x), out);
    CLF_REQUIRE(err, y.dtype == CLF_F32 || y.dtype == x.dtype, CLF_UNSUPPORTED, "y is %s; want f32 or the type of x %s",
                CLF_TEXT(y), CLF_TEXT(x));
    CLF_REQUIRE_APART(err, x, "x", y, "y");
    CLF_DESC_READ(err, &full, options);
    return options_check(&full, in, y, err);
}

/* ---- x as the provider wants it ---- */

static bool ready(const clf_gemm_provider *provider, clf_tensor x, const clf_linear_options *o)
{
    return o->prologue == CLF_PROLOGUE_NONE && x.dtype == CLF_F32 && (provider->fuses || clf_is_dense(x));
}

/* x after the prologue, as dense f32 in scratch. */
static clf_tensor prepared(clf_stream *s, clf_tensor x, const clf_linear_options *o)
{
    const clf_tensor f32 = clf_scratch(s, CLF_F32, clf_tensor_dims(x));
    clf_rms_gain gain = CLF_RMS_PLAIN;

    switch (o->prologue) {
    case CLF_PROLOGUE_NONE:
        if (x.dtype == CLF_F32)
            clf_copy(s, x, f32);
        else
            clf_cast(s, x, f32);
        break;
    case CLF_PROLOGUE_LAYER_NORM:
        clf_layer_norm(s, x, o->norm_weight, o->norm_bias, o->norm_eps, f32);
        break;
    case CLF_PROLOGUE_RMS_NORM:
        if (clf_present(o->norm_weight))
            gain = o->norm_one_plus ? CLF_RMS_ONE_PLUS : CLF_RMS_WEIGHT;
        clf_rms_norm(s, x, o->norm_weight, gain, o->norm_eps, f32);
        break;
    }
    return f32;
}

/* ---- what follows a provider that only multiplies ---- */

/* y = residual + scale · act(p + bias), p dense f32 [R, N]; p may be y. */
static void epilogue(clf_stream *s, clf_tensor p, clf_tensor bias, const clf_linear_options *o, clf_tensor y)
{
    const uint64_t N = (uint64_t)clf_dim(y, -1);
    const clf_options options = clf_options_types("CLF_Y", y.dtype, NULL);
    const clf_kernel kernel = {
        .program = CLF_OP,
        .entry = "clf_linear_epilogue",
        .options = options.text,
        .groups = { (uint64_t)clf_row_count(y), clf_div_up(N, CLF_LINEAR_COLUMNS) },
        .items = clf_op_kernels(s) == CLF_KERNELS_TILE ? CLF_NORM_WG : 1,
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(p), clf_arg_u32((uint32_t)N), clf_arg_memory(bias),
               clf_arg_u32(clf_present(bias)), clf_arg_u32((uint32_t)o->activation),
               clf_arg_u32(clf_present(o->residual)), clf_arg_f32(o->residual_scale), clf_arg_rows(o->residual),
               clf_arg_rows(y));
}

static void multiply_apart(clf_stream *s, clf_tensor x, const clf_linear_weight *w, const clf_linear_options *o,
                           clf_tensor y)
{
    const clf_gemm_fusion nothing = { .options = o };
    const bool bare = !clf_present(w->bias) && o->activation == CLF_ACTIVATION_NONE && !clf_present(o->residual);
    const bool direct =
        y.dtype == CLF_F32 && clf_is_dense(y) && !(clf_present(o->residual) && clf_same_memory(o->residual, y));
    const clf_tensor p = direct ? y : clf_scratch(s, CLF_F32, clf_tensor_dims(y));

    w->provider->run(s, x, &w->w, &nothing, p);
    if (!bare || !direct)
        epilogue(s, p, w->bias, o, y);
}

static void multiply(clf_stream *s, clf_tensor x, const clf_linear_weight *w, const clf_linear_options *o, clf_tensor y)
{
    const clf_gemm_fusion fusion = { .options = o, .bias = w->bias };
    const clf_scope scope = clf_scope_open(s, NULL, -1);

    if (!ready(w->provider, x, o))
        x = prepared(s, x, o);
    if (w->provider->fuses)
        w->provider->run(s, x, &w->w, &fusion, y);
    else
        multiply_apart(s, x, w, o, y);
    clf_scope_close(s, scope);
}

/* A provider that does not fuse wants few and large products. */
static int64_t elements_of_block(const clf_gemm_provider *provider, clf_tensor x)
{
    const int64_t f = (int64_t)sizeof(float), quarter = (clf_element_count(x) + 3) / 4;

    return provider->fuses ? CLF_MIN(CLF_MAX(quarter, LEAST_BLOCK_BYTES / f), MOST_BLOCK_BYTES / f)
                           : MOST_BLOCK_BYTES / f;
}

/* Rows that must be prepared go in halves until one fits into a block, so that any number takes bounded scratch. */
static void multiply_blocks(clf_stream *s, clf_tensor x, const clf_linear_weight *w, const clf_linear_options *o,
                            int64_t block, clf_tensor y)
{
    int axis = 0;

    while (axis < x.rank - 1 && x.dim[axis] == 1)
        axis++;
    if (ready(w->provider, x, o) || axis == x.rank - 1 || clf_element_count(x) <= block) {
        multiply(s, x, w, o, y);
        return;
    }
    const int64_t half[2] = { x.dim[axis] / 2, x.dim[axis] - x.dim[axis] / 2 };
    for (int i = 0; i < 2; i++) {
        const int64_t first = i * half[0];
        clf_linear_options part = *o;

        if (clf_present(o->residual))
            part.residual = clf_slice(s, o->residual, axis, first, half[i]);
        multiply_blocks(s, clf_slice(s, x, axis, first, half[i]), w, &part, block,
                        clf_slice(s, y, axis, first, half[i]));
    }
}

void clf_linear(clf_stream *s, clf_tensor x, const clf_linear_weight *w, const clf_linear_options *options,
                clf_tensor y)
{
    clf_linear_options full = clf_linear_options_default();

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_linear_check(x, w->w.N, w->w.K, options, y, clf_op_error(s))))
        return;
    if (options != NULL)
        (void)clf_desc_read(&full, sizeof full, options); /* the check has found it readable */
    if (w->ctx != clf_stream_context(s)) {
        CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT, CLF_OP ": weight belongs to another context than the stream");
        return;
    }
    if (clf_element_count(y) == 0)
        return;
    multiply_blocks(s, x, w, &full, elements_of_block(w->provider, x), y);
}
