/* Weights of linear: checked, stacked, packed by the provider, with their bias. */
#include "ops/linear_weight.h"

#include "core/alloc.h"
#include "core/desc.h"
#include "core/half.h"
#include "ops/check.h"

#define CLF_OP "linear"

/* ---- rules ---- */

/* `of` is "" or "parts[2]." */
static clf_status numbers_check(clf_host_tensor t, const char *of, const char *name, clf_error *err)
{
    CLF_REQUIRE(err, clf_is_float(t.dtype) || t.dtype == CLF_F64, CLF_UNSUPPORTED,
                "%s%s is %s; want f32, f16, bf16 or f64", of, name, CLF_HOST_TEXT(t));
    CLF_REQUIRE(err, t.data != NULL, CLF_INVALID_ARGUMENT, "%s%s is %s without data; want host memory", of, name,
                CLF_HOST_TEXT(t));
    return CLF_OK;
}

/* One number for each row (axis 0) or column (axis 1) of the weight; may be absent. */
static clf_status vector_check(clf_host_tensor t, const char *of, const char *name, clf_host_tensor w, int axis,
                               clf_error *err)
{
    if (!clf_host_present(t))
        return CLF_OK;
    CLF_TRY(numbers_check(t, of, name, err));
    CLF_REQUIRE(err, t.rank == 1 && t.dim[0] == w.dim[axis], CLF_INVALID_ARGUMENT,
                "%s%s is %s; want [%" PRId64 "], the %s dimension of weight %s", of, name, CLF_HOST_TEXT(t),
                w.dim[axis], axis == 0 ? "first" : "last", CLF_HOST_TEXT(w));
    return CLF_OK;
}

static clf_status part_check(const clf_linear_part *p, const char *of, const char *layer, clf_error *err)
{
    const clf_host_tensor w = p->layer.weight;

    CLF_TRY(numbers_check(w, layer, "weight", err));
    CLF_REQUIRE(err, w.rank == 2 && w.dim[0] >= 1 && w.dim[1] >= 1, CLF_INVALID_ARGUMENT,
                "%sweight is %s; want [out, in], both at least 1", layer, CLF_HOST_TEXT(w));
    CLF_TRY(vector_check(p->layer.bias, layer, "bias", w, 0, err));
    CLF_TRY(vector_check(p->column_scale, of, "column_scale", w, 1, err));
    CLF_TRY(vector_check(p->column_shift, of, "column_shift", w, 1, err));
    return vector_check(p->row_scale, of, "row_scale", w, 0, err);
}

static clf_status parts_check(const clf_linear_part *parts, int32_t count, clf_error *err)
{
    const clf_host_tensor first = parts[0].layer.weight;
    uint64_t rows = 0;

    for (int32_t i = 0; i < count; i++) {
        const clf_host_tensor w = parts[i].layer.weight;
        clf_text of, layer;

        clf_format(of.text, sizeof of.text, "parts[%d].", (int)i);
        clf_format(layer.text, sizeof layer.text, "parts[%d].layer.", (int)i);
        CLF_TRY(part_check(&parts[i], of.text, layer.text, err));
        CLF_REQUIRE(err, w.dim[1] == first.dim[1], CLF_INVALID_ARGUMENT,
                    "parts[%d].layer.weight is %s; want [out, %" PRId64 "], as wide as parts[0].layer.weight %s",
                    (int)i, CLF_HOST_TEXT(w), first.dim[1], CLF_HOST_TEXT(first));
        rows += (uint64_t)w.dim[0]; /* both below 2^63 */
        CLF_REQUIRE(err, rows <= INT64_MAX, CLF_UNSUPPORTED,
                    "parts[0] to parts[%d] have %" PRIu64 " rows; want fewer than 2^63", (int)i, rows);
    }
    return CLF_OK;
}

static clf_status desc_check(const clf_linear_weight_desc *d, clf_error *err)
{
    const clf_linear_part one = { .layer = { .weight = d->weight, .bias = d->bias } };

    CLF_REQUIRE(err, d->storage == CLF_DTYPE_NONE || clf_is_float(d->storage), CLF_UNSUPPORTED,
                "storage is %s; want f32, f16 or bf16", clf_dtype_name(d->storage));
    if (d->parts == NULL && d->part_count == 0)
        return part_check(&one, "", "", err);
    CLF_REQUIRE(err, d->parts != NULL && d->part_count >= 1, CLF_INVALID_ARGUMENT,
                "part_count is %d and parts is %s; want at least one part, or none and a weight", (int)d->part_count,
                d->parts != NULL ? "set" : "NULL");
    CLF_REQUIRE(err, !clf_host_present(d->weight) && !clf_host_present(d->bias), CLF_INVALID_ARGUMENT,
                "%s is %s beside parts; want it in one of them", clf_host_present(d->weight) ? "weight" : "bias",
                CLF_HOST_TEXT(clf_host_present(d->weight) ? d->weight : d->bias));
    return parts_check(d->parts, d->part_count, err);
}

/* ---- from checked parts ---- */

static int64_t rows_of(const clf_gemm_host *h)
{
    int64_t rows = 0;

    for (int32_t i = 0; i < h->part_count; i++)
        rows += h->parts[i].layer.weight.dim[0];
    return rows;
}

/* As the weights are, when they agree; else f32. */
static clf_dtype storage_of(const clf_gemm_host *h)
{
    const clf_dtype first = h->parts[0].layer.weight.dtype;

    for (int32_t i = 1; i < h->part_count; i++)
        if (h->parts[i].layer.weight.dtype != first)
            return CLF_F32;
    return first == CLF_F64 ? CLF_F32 : first;
}

/* Weights that are scaled on the way lie in f32: rounded to a half type once more they would no longer be what the
 * checkpoint says. */
static bool is_scaled(const clf_gemm_host *h)
{
    for (int32_t i = 0; i < h->part_count; i++)
        if (clf_host_present(h->parts[i].column_scale) || clf_host_present(h->parts[i].row_scale))
            return true;
    return false;
}

static bool has_shift(const clf_gemm_host *h)
{
    for (int32_t i = 0; i < h->part_count; i++)
        if (clf_host_present(h->parts[i].column_shift))
            return true;
    return false;
}

static bool has_bias(const clf_gemm_host *h)
{
    for (int32_t i = 0; i < h->part_count; i++)
        if (clf_host_present(h->parts[i].layer.bias))
            return true;
    return has_shift(h);
}

/* bias[n] = row_scale[n] (b[n] + shift[n]), in double. */
static void gather_bias(const clf_gemm_host *h, float *bias)
{
    size_t n = 0;

    for (int32_t i = 0; i < h->part_count; i++) {
        const clf_host_tensor b = h->parts[i].layer.bias, scale = h->parts[i].row_scale;
        const size_t rows = (size_t)h->parts[i].layer.weight.dim[0];

        for (size_t r = 0; r < rows; r++, n++) {
            double v = clf_host_value(b.data, b.dtype, r); /* 0 when absent */

            if (clf_host_present(h->parts[i].column_shift))
                v += h->shift[n];
            if (clf_host_present(scale))
                v *= clf_host_value(scale.data, scale.dtype, r);
            bias[n] = (float)v;
        }
        if (clf_host_present(b) && h->source != NULL && h->source->done != NULL)
            h->source->done(h->source->self, b.data, rows * clf_dtype_bytes(b.dtype));
    }
}

static clf_status upload_bias(clf_linear_weight *w, const clf_gemm_host *h, clf_error *err)
{
    float *values = clf_alloc((size_t)w->w.N, sizeof *values);
    clf_stream *s = NULL;
    clf_status status;

    if (values == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no memory for %" PRId64 " floats", w->w.N);
    gather_bias(h, values);
    status = clf_tensor_create(w->ctx, CLF_F32, CLF_DIMS(w->w.N), &w->bias, err);
    if (status == CLF_OK)
        status = clf_stream_create(w->ctx, NULL, &s, err);
    if (status == CLF_OK) {
        clf_upload(s, values, w->bias);
        status = clf_stream_finish(s, err);
    }
    clf_stream_destroy(s);
    clf_free(values);
    return status;
}

static clf_status pack(clf_linear_weight *w, clf_gemm_host *h, clf_error *err)
{
    clf_status status;

    if (has_shift(h)) {
        h->shift = clf_alloc((size_t)w->w.N, sizeof *h->shift);
        if (h->shift == NULL)
            return CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no memory for %" PRId64 " numbers", w->w.N);
    }
    status = w->provider->pack(w->ctx, h, &w->w, err);
    if (status == CLF_OK && has_bias(h))
        status = upload_bias(w, h, err);
    clf_free(h->shift);
    return status;
}

clf_status clf_linear_weight_create(clf_context *ctx, const clf_linear_weight_desc *given, clf_linear_weight **out,
                                    clf_error *err)
{
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_weight *w;

    *out = NULL;
    CLF_DESC_READ(err, &desc, given);
    CLF_TRY(desc_check(&desc, err));
    w = clf_alloc(1, sizeof *w);
    if (w == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no memory for %zu bytes", sizeof *w);

    const clf_linear_part one = { .layer = { .weight = desc.weight, .bias = desc.bias } };
    clf_gemm_host host = { .parts = desc.part_count > 0 ? desc.parts : &one,
                           .part_count = CLF_MAX(desc.part_count, 1),
                           .source = desc.source,
                           .rounded = desc.storage };

    w->ctx = ctx;
    w->provider = clf_gemm_of(ctx);
    w->w = (clf_gemm_weight){ .N = rows_of(&host),
                              .K = host.parts[0].layer.weight.dim[1],
                              .storage = is_scaled(&host)                 ? CLF_F32
                                         : desc.storage != CLF_DTYPE_NONE ? desc.storage
                                                                          : storage_of(&host) };
    const clf_status status = pack(w, &host, err);
    if (status != CLF_OK)
        clf_linear_weight_destroy(w);
    else
        *out = w;
    return status;
}

void clf_linear_weight_destroy(clf_linear_weight *w)
{
    if (w == NULL)
        return;
    clf_tensor_free(w->ctx, &w->w.packed);
    clf_tensor_free(w->ctx, &w->bias);
    clf_free(w);
}

int64_t clf_linear_weight_out(const clf_linear_weight *w)
{
    return w->w.N;
}

int64_t clf_linear_weight_in(const clf_linear_weight *w)
{
    return w->w.K;
}
