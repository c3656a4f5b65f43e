/* Weights on their way to the device. */
#include "gemm/stage.h"

#include <inttypes.h>

#include "core/alloc.h"
#include "core/half.h"
#include "core/size.h"
#include "runtime/context.h"
#include "runtime/op.h"

#define STAGE_BYTES (2U << 20)     /* large enough to keep two threads busy, small beside what a call takes */
#define IN_PLACE_BYTES (32U << 20) /* the same where no memory is wanted for them */

/* Rows that are so many bytes as f32, in whole groups; at least one group. */
static int64_t rows_of_bytes(uint32_t bytes, int64_t K, int64_t group)
{
    return CLF_MAX(1, (int64_t)bytes / (K * (int64_t)sizeof(float)) / group) * group;
}

/* Rows of one part among those that are staged together: `row` .. `row + count` of the part, `at` .. of the staged. */
typedef struct piece {
    const clf_linear_part *part;
    int64_t row, at, count;
    int32_t next;  /* part behind this one */
    int64_t begin; /* its first row in the whole weight */
} piece;

/* The next part with rows among first .. first + rows of the whole, from a piece that was all zeros on; false when there
 * is none. */
static bool next_piece(const clf_gemm_host *h, int64_t first, int64_t rows, piece *p)
{
    while (p->next < h->part_count) {
        const int64_t begin = p->begin, low = CLF_MAX(begin, first);

        p->part = &h->parts[p->next++];
        p->begin += p->part->layer.weight.dim[0];
        p->row = low - begin;
        p->at = low - first;
        p->count = CLF_MIN(p->begin, first + rows) - low;
        if (p->count > 0)
            return true;
    }
    return false;
}

static const char *data_of(const piece *p, int64_t K)
{
    const clf_host_tensor t = p->part->layer.weight;

    return (const char *)t.data + (size_t)(p->row * K) * clf_dtype_bytes(t.dtype);
}

static bool is_folded(const clf_linear_part *p)
{
    return clf_host_present(p->column_scale) || clf_host_present(p->column_shift) || clf_host_present(p->row_scale);
}

/* The type in which these rows can go to the device as they are; CLF_DTYPE_NONE when they have to be made f32 first. */
static clf_dtype common_type(const clf_gemm_host *h, int64_t first, int64_t rows)
{
    clf_dtype common = CLF_DTYPE_NONE;

    for (piece p = { .next = 0 }; next_piece(h, first, rows, &p);) {
        const clf_dtype dtype = p.part->layer.weight.dtype;

        if (dtype == CLF_F64 || is_folded(p.part) || (common != CLF_DTYPE_NONE && dtype != common))
            return CLF_DTYPE_NONE;
        common = dtype;
    }
    return common;
}

/* sum of w[k] shift[k], in double; four sums hide the latency of the addition. */
static double dot(const float *w, const float *shift, int64_t K)
{
    double sum[4] = { 0.0 };
    int64_t k = 0;

    for (; k + 4 <= K; k += 4)
        for (int i = 0; i < 4; i++)
            sum[i] += (double)w[k + i] * (double)shift[k + i];
    for (; k < K; k++)
        sum[0] += (double)w[k] * (double)shift[k];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Values as a storage type has them. */
static void round_to(clf_dtype dtype, int64_t count, float *values)
{
    for (int64_t i = 0; i < count && dtype == CLF_F16; i++)
        values[i] = clf_f16_to_f32(clf_f32_to_f16(values[i]));
    for (int64_t i = 0; i < count && dtype == CLF_BF16; i++)
        values[i] = clf_bf16_to_f32(clf_f32_to_bf16(values[i]));
}

/* The rows of a piece as f32, w column_scale row_scale; shift[r] = w[r] column_shift, of the rows as they were.
 * columns: room for 2 K floats. */
static void fold(const piece *p, clf_dtype rounded, int64_t K, float *columns, float *out, double *shift)
{
    const clf_linear_part *part = p->part;
    float *const scale = columns, *const shifts = columns + K;

    clf_host_to_f32(data_of(p, K), part->layer.weight.dtype, (size_t)(p->count * K), out);
    round_to(rounded, p->count * K, out);
    if (clf_host_present(part->column_scale))
        clf_host_to_f32(part->column_scale.data, part->column_scale.dtype, (size_t)K, scale);
    if (clf_host_present(part->column_shift))
        clf_host_to_f32(part->column_shift.data, part->column_shift.dtype, (size_t)K, shifts);
    for (int64_t r = 0; r < p->count; r++, out += K) {
        if (clf_host_present(part->column_shift))
            shift[r] = dot(out, shifts, K);
        if (clf_host_present(part->column_scale))
            for (int64_t k = 0; k < K; k++)
                out[k] *= scale[k];
        if (clf_host_present(part->row_scale)) {
            const clf_host_tensor t = part->row_scale;
            const float factor = (float)clf_host_value(t.data, t.dtype, (size_t)(p->row + r));

            for (int64_t k = 0; k < K; k++)
                out[k] *= factor;
        }
    }
}

/* Rows first .. as f32, for the caller to free; NULL, and the stream failed, without memory. */
static float *folded(clf_stream *s, const clf_gemm_host *h, int64_t first, int64_t rows, int64_t K)
{
    const size_t elements = (size_t)(rows * K);
    float *out = clf_alloc(elements, sizeof *out), *columns = clf_alloc(2 * (size_t)K, sizeof *columns);

    if (out != NULL && columns != NULL) {
        for (piece p = { .next = 0 }; next_piece(h, first, rows, &p);)
            fold(&p, h->rounded, K, columns, out + p.at * K, h->shift != NULL ? h->shift + first + p.at : NULL);
        clf_free(columns);
        return out;
    }
    clf_free(out);
    clf_free(columns);
    CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "no memory for %zu floats", elements);
    return NULL;
}

static void tell_done(const clf_gemm_host *h, int64_t first, int64_t rows, int64_t K)
{
    if (h->source == NULL || h->source->done == NULL)
        return;
    for (piece p = { .next = 0 }; next_piece(h, first, rows, &p);)
        h->source->done(h->source->self, data_of(&p, K),
                        (size_t)(p.count * K) * clf_dtype_bytes(p.part->layer.weight.dtype));
}

/* Uploads rows first .. first + rows of the weight and packs them; returns when that is done. */
static clf_status stage_rows(clf_stream *s, const clf_gemm_host *h, int64_t first, int64_t rows, clf_stage_pack *pack,
                             const clf_gemm_weight *w, clf_error *err)
{
    const clf_dtype as_is = common_type(h, first, rows);
    const clf_scope scope = clf_scope_open(s, "weight", -1);
    clf_tensor staged = clf_scratch(s, as_is == CLF_DTYPE_NONE ? CLF_F32 : as_is, CLF_DIMS(rows, w->K));
    float *converted = NULL;
    clf_status status;

    if (as_is == CLF_DTYPE_NONE) {
        converted = folded(s, h, first, rows, w->K);
        clf_upload(s, converted, staged);
    } else {
        for (piece p = { .next = 0 }; next_piece(h, first, rows, &p);)
            clf_upload(s, data_of(&p, w->K), clf_slice(s, staged, 0, p.at, p.count));
    }
    pack(s, staged, first, w);
    status = clf_stream_finish(s, err);
    clf_scope_close(s, scope);
    clf_free(converted);
    if (status == CLF_OK)
        tell_done(h, first, rows, w->K);
    return status;
}

/* Rows from `first` on that the device can pack where they lie: of one part, nothing to fold into them, and in whole
 * groups, except at the end of the weight.  0: none. */
static int64_t rows_in_place(const clf_context *ctx, const clf_gemm_host *h, const clf_gemm_weight *w, int64_t first,
                             int64_t group, piece *p)
{
    const int64_t rows = CLF_MIN(rows_of_bytes(IN_PLACE_BYTES, w->K, group), w->N - first);

    *p = (piece){ .next = 0 };
    if (!next_piece(h, first, rows, p) || common_type(h, first, p->count) == CLF_DTYPE_NONE ||
        !clf_buffer_in_place(ctx, data_of(p, w->K), p->part->layer.weight.dtype))
        return 0;
    return first + p->count == w->N ? p->count : p->count / group * group;
}

/* Packs the first `rows` rows of a piece, row `first` on of the whole, from host memory; returns when that is done. */
static clf_status pack_in_place(clf_stream *s, const clf_gemm_host *h, const piece *p, int64_t first, int64_t rows,
                                clf_stage_pack *pack, const clf_gemm_weight *w, clf_error *err)
{
    clf_tensor t = clf_tensor_shape(p->part->layer.weight.dtype, CLF_DIMS(rows, w->K));
    clf_status status;

    CLF_TRY(clf_buffer_wrap(clf_stream_context(s), data_of(p, w->K), &t, err));
    pack(s, t, first, w);
    status = clf_stream_finish(s, err);
    clf_buffer_unwrap(t.mem);
    if (status == CLF_OK)
        tell_done(h, first, rows, w->K);
    return status;
}

static clf_status stage_all(clf_stream *s, const clf_gemm_host *h, int64_t group, clf_stage_pack *pack,
                            const clf_gemm_weight *w, clf_error *err)
{
    const int64_t step = rows_of_bytes(STAGE_BYTES, w->K, group);
    int64_t rows;
    piece p;

    for (int64_t first = 0; first < w->N; first += rows) {
        rows = rows_in_place(clf_stream_context(s), h, w, first, group, &p);
        if (rows > 0) {
            CLF_TRY(pack_in_place(s, h, &p, first, rows, pack, w, err));
        } else {
            rows = CLF_MIN(step, w->N - first);
            CLF_TRY(stage_rows(s, h, first, rows, pack, w, err));
        }
    }
    return CLF_OK;
}

clf_status clf_stage_weight(clf_context *ctx, const clf_gemm_host *host, int64_t group, int64_t packed_elements,
                            clf_stage_pack *pack, clf_gemm_weight *w, clf_error *err)
{
    clf_stream *s = NULL;
    clf_status status;

    CLF_TRY(clf_tensor_create(ctx, w->storage, CLF_DIMS(packed_elements), &w->packed, err));
    if (!clf_context_has_device(ctx))
        return CLF_OK;
    status = clf_stream_create(ctx, NULL, &s, err);
    if (status == CLF_OK)
        status = stage_all(s, host, group, pack, w, err);
    clf_stream_destroy(s);
    if (status != CLF_OK)
        clf_tensor_free(ctx, &w->packed);
    return status;
}
