/* linear_each: y[i] = x[i] w[i]^T + bias[i].  x [count, .., K], y [count, .., N]. */
#include "ops/linear_each.h"

#include "ops/check.h"
#include "ops/linear_weight.h"
#include "ops/softmax.h"
#include "runtime/context.h"

#define CLF_OP "linear_each"

bool clf_linear_each_supported(const clf_context *ctx)
{
    return clf_gemm_of(ctx)->pack_rows != NULL && ctx->kernels == CLF_KERNELS_SIMD;
}

bool clf_linear_each_divides(const clf_context *ctx, int64_t N)
{
    return clf_gemm_of(ctx)->divides(ctx, N);
}

clf_status clf_linear_each_create_turned(clf_context *ctx, clf_host_tensor weight, int64_t count, clf_dtype storage,
                                         const clf_tensor_source *source, clf_gemm_weight *w, clf_error *err)
{
    const clf_linear_part part = { .layer.weight = weight };
    const clf_gemm_host host = { .parts = &part, .part_count = 1, .source = source, .rounded = storage };

    *w = (clf_gemm_weight){ .N = weight.dim[1], .K = weight.dim[0] / count, .count = count, .storage = storage };
    if (storage == CLF_DTYPE_NONE)
        w->storage = weight.dtype == CLF_F64 ? CLF_F32 : weight.dtype;
    return clf_gemm_of(ctx)->pack_turned(ctx, &host, w, err);
}

clf_gemm_weight clf_linear_each_of(const clf_linear_weight *w, int64_t count)
{
    clf_gemm_weight each = w->w;

    each.N /= count;
    each.count = count;
    return each;
}

/* ---- what a call packs ---- */

static clf_status check_packed(clf_tensor z, clf_error *err)
{
    CLF_REQUIRE_NUMBERS(err, z, "z");
    CLF_REQUIRE(err, z.rank == 3 && clf_is_dense(z) && z.dim[1] <= INT32_MAX && z.dim[2] <= INT32_MAX,
                CLF_INVALID_ARGUMENT, "z is %s; want [count, N, K], dense, N and K below 2^31", CLF_TEXT(z));
    return CLF_OK;
}

/* Without elements there is nothing to pack. */
static bool begins_to_pack(clf_stream *s, clf_tensor z)
{
    return clf_op_enter(s) && clf_op_passed(s, check_packed(z, clf_op_error(s))) && clf_element_count(z) > 0;
}

clf_gemm_weight clf_linear_each_rows(clf_stream *s, clf_tensor z)
{
    clf_gemm_weight w = { .N = z.dim[1], .K = z.dim[2], .storage = CLF_F32, .count = z.dim[0] };

    if (begins_to_pack(s, z))
        clf_gemm_of(clf_stream_context(s))->pack_rows(s, z, &w);
    return w;
}

clf_gemm_weight clf_linear_each_columns(clf_stream *s, clf_tensor z, clf_tensor mask)
{
    clf_gemm_weight w = { .N = z.dim[2], .K = z.dim[1], .storage = CLF_F32, .count = z.dim[0] };

    if (begins_to_pack(s, z) &&
        (!clf_present(mask) || clf_op_passed(s, clf_softmax_mask_check(mask, w.count, w.K, clf_op_error(s)))))
        clf_gemm_of(clf_stream_context(s))->pack_columns(s, z, mask, &w);
    return w;
}

/* ---- the product ---- */

/* The rows of t[0] lie as kernels can walk them; t[i] may be anywhere. */
static clf_status check_rows(const char *name, clf_tensor t, clf_error *err)
{
    clf_tensor first = t;
    clf_rows rows;

    CLF_REQUIRE(err, t.dtype == CLF_F32, CLF_UNSUPPORTED, "%s is %s; want f32", name, CLF_TEXT(t));
    CLF_REQUIRE(err, t.rank >= 3 && clf_shape_valid(t), CLF_INVALID_ARGUMENT, "%s is %s; want [count, .., width]", name,
                CLF_TEXT(t));
    first.dim[0] = 1;
    CLF_REQUIRE(err, clf_rows_of(first, &rows), CLF_UNSUPPORTED,
                "%s %s is a view with more than two strides above its rows; copy it to dense memory first", name,
                CLF_TEXT(t));
    return CLF_OK;
}

clf_status clf_linear_each_check(clf_tensor x, const clf_gemm_weight *w, clf_tensor bias, clf_tensor y, clf_error *err)
{
    CLF_TRY(check_rows("x", x, err));
    CLF_TRY(check_rows("y", y, err));
    CLF_REQUIRE(err, w->K >= 1, CLF_INVALID_ARGUMENT, "weights are [%" PRId64 ", 0]; want columns", w->N);
    CLF_REQUIRE(err, x.dim[0] == w->count && clf_dim(x, -1) == w->K, CLF_INVALID_ARGUMENT,
                "x is %s; want [%" PRId64 ", .., %" PRId64 "], a product for each weight", CLF_TEXT(x), w->count, w->K);
    CLF_REQUIRE(err, clf_same_rows(x, y) && clf_dim(y, -1) == w->N, CLF_INVALID_ARGUMENT,
                "y is %s; want the leading dimensions of x %s and [.., %" PRId64 "]", CLF_TEXT(y), CLF_TEXT(x), w->N);
    CLF_REQUIRE(err,
                !clf_present(bias) ||
                    (bias.dtype == CLF_F32 && clf_shape_is(bias, CLF_DIMS(w->count * w->N)) && clf_is_dense(bias)),
                CLF_INVALID_ARGUMENT, "bias is %s; want dense f32[%" PRId64 "]", CLF_TEXT(bias), w->count * w->N);
    CLF_REQUIRE(err, clf_elements_apart(y), CLF_INVALID_ARGUMENT,
                "y %s is a view whose rows meet; want each element in a place of its own", CLF_TEXT(y));
    CLF_REQUIRE_APART(err, y, "y", x, "x");
    return CLF_OK;
}

void clf_linear_each(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, clf_tensor bias, clf_tensor y)
{
    const clf_linear_options options = clf_linear_options_default();
    const clf_gemm_fusion fusion = { .options = &options, .bias = bias };

    if (!clf_op_enter(s) || !clf_op_passed(s, clf_linear_each_check(x, w, bias, y, clf_op_error(s))) ||
        clf_element_count(y) == 0)
        return;
    if (!clf_op_passed(s, clf_in_memory(s, CLF_OP, x, clf_op_error(s))) || /* the launch sees the first product's */
        !clf_op_passed(s, clf_in_memory(s, CLF_OP, y, clf_op_error(s))))
        return;
    clf_gemm_of(clf_stream_context(s))->run(s, x, w, &fusion, y);
}
