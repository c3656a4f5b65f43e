/* Weights that are no matrix of a product: converted on the host piece by piece, copied to the device. */
#include "fusion/parameter.h"

#include <clfusion/stream.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "runtime/op.h"

#define CLF_OP "parameter"
#define PIECE 262144 /* elements converted at a time: 1 MiB of f32, so a large table never stands twice on the host */

static void convert(const void *data, clf_dtype from, size_t begin, size_t count, clf_dtype to, void *out)
{
    const char *at = (const char *)data + begin * clf_dtype_bytes(from);
    uint16_t *half = out;

    if (to == CLF_F32) {
        clf_host_to_f32(at, from, count, out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const float value = (float)clf_host_value(at, from, i);
        half[i] = to == CLF_F16 ? clf_f32_to_f16(value) : clf_f32_to_bf16(value);
    }
}

static clf_status upload_converted(clf_stream *s, clf_host_tensor host, clf_tensor flat, clf_error *err)
{
    const int64_t total = flat.dim[0];
    void *piece = clf_alloc(CLF_MIN((size_t)total, PIECE), clf_dtype_bytes(flat.dtype));
    clf_status status = CLF_OK;

    if (piece == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory to convert %s", CLF_HOST_TEXT(host));
    for (int64_t begin = 0; begin < total && status == CLF_OK; begin += PIECE) {
        const int64_t count = CLF_MIN(total - begin, PIECE);

        convert(host.data, host.dtype, (size_t)begin, (size_t)count, flat.dtype, piece);
        clf_upload(s, piece, clf_slice(s, flat, 0, begin, count));
        status = clf_stream_finish(s, err); /* the piece is used again */
    }
    clf_free(piece);
    return status;
}

static clf_status upload(clf_context *ctx, clf_host_tensor host, clf_tensor t, clf_error *err)
{
    clf_stream *s = NULL;
    clf_status status = clf_stream_create(ctx, NULL, &s, err);

    if (status != CLF_OK)
        return status;
    if (host.dtype == t.dtype) {
        clf_upload(s, host.data, t);
        status = clf_stream_finish(s, err);
    } else {
        status = upload_converted(s, host, clf_reshape(s, t, CLF_DIMS(clf_element_count(t))), err);
    }
    clf_stream_destroy(s);
    return status;
}

clf_status clf_parameter_create(clf_context *ctx, const char *name, clf_host_tensor host, clf_dtype dtype,
                                const clf_tensor_source *source, clf_tensor *t, clf_error *err)
{
    clf_dims dims = { .rank = host.rank };
    uint64_t bytes = 0;
    clf_status status;

    *t = (clf_tensor){ 0 };
    if (!clf_host_present(host))
        return CLF_OK;
    CLF_REQUIRE(err, clf_is_float(host.dtype) || host.dtype == CLF_F64, CLF_UNSUPPORTED,
                "%s is %s; want f32, f16, bf16 or f64", name, CLF_HOST_TEXT(host));
    CLF_REQUIRE(err, host.rank >= 1 && host.rank <= CLF_MAX_RANK && clf_host_bytes(host, &bytes), CLF_INVALID_ARGUMENT,
                "%s is %s; want 1 to %d dimensions", name, CLF_HOST_TEXT(host), CLF_MAX_RANK);
    CLF_REQUIRE(err, host.data != NULL || bytes == 0, CLF_INVALID_ARGUMENT, "%s is %s without data; want host memory",
                name, CLF_HOST_TEXT(host));
    for (int32_t i = 0; i < host.rank; i++)
        dims.dim[i] = host.dim[i];
    CLF_TRY(clf_tensor_create(ctx, dtype, dims, t, err));
    status = clf_element_count(*t) > 0 && clf_context_has_device(ctx) ? upload(ctx, host, *t, err) : CLF_OK;
    if (status != CLF_OK)
        clf_tensor_free(ctx, t);
    else if (source != NULL && source->done != NULL)
        source->done(source->self, host.data, (size_t)bytes);
    return status;
}

clf_status clf_parameter_zeros(clf_context *ctx, clf_dims dims, clf_tensor *t, clf_error *err)
{
    const int64_t count = clf_element_count(clf_tensor_shape(CLF_F32, dims));
    float *zeros = count >= 0 ? clf_alloc((size_t)count, sizeof *zeros) : NULL; /* zeroed */
    clf_host_tensor host = { .data = zeros, .dtype = CLF_F32, .rank = dims.rank };
    clf_status status;

    *t = (clf_tensor){ 0 };
    if (zeros == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for zeros %s",
                        CLF_TEXT(clf_tensor_shape(CLF_F32, dims)));
    for (int32_t i = 0; i < dims.rank; i++)
        host.dim[i] = dims.dim[i];
    status = clf_parameter_create(ctx, "zeros", host, CLF_F32, NULL, t, err);
    clf_free(zeros);
    return status;
}

bool clf_parameter_table(clf_host_tensor t, clf_host_tensor *table)
{
    if (!clf_host_present(t) || t.rank < 2 || t.rank > CLF_MAX_RANK)
        return false;
    for (int32_t i = 0; i < t.rank - 2; i++)
        if (t.dim[i] != 1)
            return false;
    *table = (clf_host_tensor){ t.data, t.dtype, 3, { 1, t.dim[t.rank - 2], t.dim[t.rank - 1] } };
    return table->dim[1] >= 1 && table->dim[2] >= 1;
}
