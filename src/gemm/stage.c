/* Weights on their way to the device. */
#include "gemm/stage.h"

#include <inttypes.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/size.h"
#include "runtime/op.h"

#define STAGE_BYTES (8U << 20) /* large enough to keep two threads busy, small beside any budget */

/* Uploads rows first .. first + rows of the weight and packs them; returns when that is done. */
static clf_status stage_rows(clf_stream *s, const clf_linear_weight_desc *desc, int64_t first, int64_t rows,
                             clf_stage_pack *pack, const clf_gemm_weight *w, clf_error *err)
{
    const clf_dtype from = desc->weight.dtype, dtype = from == CLF_F64 ? CLF_F32 : from;
    const size_t elements = (size_t)(rows * w->K), bytes = elements * clf_dtype_bytes(from);
    const char *data = (const char *)desc->weight.data + (size_t)(first * w->K) * clf_dtype_bytes(from);
    const clf_scope scope = clf_scope_open(s, "weight", -1);
    clf_tensor staged = clf_scratch(s, dtype, CLF_DIMS(rows, w->K));
    float *converted = NULL;
    clf_status status;

    if (from == CLF_F64) {
        converted = clf_alloc(elements, sizeof *converted);
        if (converted == NULL)
            CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "no memory for %zu floats", elements);
        else
            clf_host_to_f32(data, from, elements, converted);
    }
    clf_upload(s, converted != NULL ? (const void *)converted : data, staged);
    pack(s, staged, first, w);
    status = clf_stream_finish(s, err);
    clf_scope_close(s, scope);
    clf_free(converted);
    if (status == CLF_OK && desc->source != NULL && desc->source->done != NULL)
        desc->source->done(desc->source->self, data, bytes);
    return status;
}

clf_status clf_stage_weight(clf_context *ctx, const clf_linear_weight_desc *desc, int64_t group,
                            int64_t packed_elements, clf_stage_pack *pack, clf_gemm_weight *w, clf_error *err)
{
    const int64_t row_bytes = w->K * (int64_t)clf_dtype_bytes(desc->weight.dtype);
    const int64_t step = CLF_MAX(1, (int64_t)STAGE_BYTES / row_bytes / group) * group;
    clf_stream *s = NULL;
    clf_status status;

    CLF_TRY(clf_tensor_create(ctx, w->storage, CLF_DIMS(packed_elements), &w->packed, err));
    status = clf_stream_create(ctx, NULL, &s, err);
    for (int64_t first = 0; first < w->N && status == CLF_OK; first += step)
        status = stage_rows(s, desc, first, CLF_MIN(step, w->N - first), pack, w, err);
    clf_stream_destroy(s);
    if (status != CLF_OK)
        clf_tensor_free(ctx, &w->packed);
    return status;
}
