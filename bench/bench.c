/* bench: the list of benches, and operands made from a line of shapes. */
#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "bench"

const clf_bench *const clf_benches[] = {
    &clf_bench_linear,  &clf_bench_attention, &clf_bench_projector,  &clf_bench_layer_norm, &clf_bench_rms_norm,
    &clf_bench_l2_norm, &clf_bench_activate,  &clf_bench_gated_unit, &clf_bench_similarity, &clf_bench_add,
    &clf_bench_scale,   &clf_bench_copy,      &clf_bench_cast,       &clf_bench_gather,     &clf_bench_resize,
    &clf_bench_pool,    &clf_bench_unfold,    &clf_bench_top_k,
};
const size_t clf_bench_count = CLF_COUNT(clf_benches);

/* Reads "f16[1,64,4096]" and returns what follows; NULL when it is none. */
static const char *read_shape(const char *c, clf_dtype *dtype, clf_dims *dims)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16, CLF_I32 };
    char *end = NULL;
    const size_t length = strcspn(c, "[");

    *dtype = CLF_DTYPE_NONE;
    *dims = (clf_dims){ .rank = 0 };
    for (size_t i = 0; i < CLF_COUNT(types); i++)
        if (strlen(clf_dtype_name(types[i])) == length && memcmp(clf_dtype_name(types[i]), c, length) == 0)
            *dtype = types[i];
    if (*dtype == CLF_DTYPE_NONE || c[length] != '[')
        return NULL;
    for (c += length + 1; dims->rank < CLF_MAX_RANK; c = end + 1) {
        dims->dim[dims->rank++] = strtoll(c, &end, 10);
        if (end == c || (*end != ',' && *end != ']'))
            return NULL;
        if (*end == ']')
            return end + 1 + strspn(end + 1, " ");
    }
    return NULL;
}

static clf_host_tensor host_of(clf_dtype dtype, clf_dims dims)
{
    clf_host_tensor t = { .dtype = dtype, .rank = dims.rank };

    memcpy(t.dim, dims.dim, sizeof t.dim);
    return t;
}

static clf_dims dims_of(clf_host_tensor t)
{
    clf_dims dims = { .rank = t.rank };

    memcpy(dims.dim, t.dim, sizeof dims.dim);
    return dims;
}

int64_t clf_bench_width(clf_host_tensor t)
{
    return t.dim[t.rank - 1];
}

int64_t clf_bench_rows(clf_host_tensor t)
{
    int64_t rows = 1;

    for (int32_t i = 0; i + 1 < t.rank; i++)
        rows *= t.dim[i];
    return rows;
}

static clf_status read_case(clf_bench_work *w, clf_error *err)
{
    clf_dtype dtype;
    clf_dims dims;
    const char *c = w->bench_case->shapes;

    while (c != NULL && *c != '-') {
        c = w->operand_count < CLF_BENCH_OPERANDS ? read_shape(c, &dtype, &dims) : NULL;
        if (c != NULL)
            w->host[w->operand_count++] = host_of(dtype, dims);
    }
    if (c != NULL && strncmp(c, "-> ", 3) == 0)
        c = read_shape(c + 3, &dtype, &dims);
    CLF_REQUIRE(err, c != NULL && *c == '\0', CLF_INTERNAL, "%s is %s; want operands -> result", w->bench_case->name,
                w->bench_case->shapes);
    w->y = clf_tensor_shape(dtype, dims);
    return CLF_OK;
}

/* xorshift64*, Vigna 2016, arXiv:1402.6246: equal values on every machine. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dU;
}

static void store(clf_dtype dtype, void *data, size_t index, double value)
{
    if (dtype == CLF_F32)
        ((float *)data)[index] = (float)value;
    else if (dtype == CLF_F16)
        ((uint16_t *)data)[index] = clf_f32_to_f16((float)value);
    else if (dtype == CLF_BF16)
        ((uint16_t *)data)[index] = clf_f32_to_bf16((float)value);
    else
        ((int32_t *)data)[index] = (int32_t)value;
}

/* Known values, or uniform ones in [-1, 1); row numbers of the first operand where whole numbers are wanted. */
static clf_status fill(clf_bench_work *w, size_t i, const double **known, uint64_t *state, clf_error *err)
{
    clf_host_tensor *t = &w->host[i];
    const size_t count = (size_t)(clf_bench_rows(*t) * clf_bench_width(*t));
    void *data = clf_alloc(count, clf_dtype_bytes(t->dtype));

    CLF_REQUIRE(err, data != NULL, CLF_OUT_OF_MEMORY, "no memory for operand %zu of %s, %s", i, w->bench_case->name,
                CLF_HOST_TEXT(*t));
    t->data = data;
    for (size_t k = 0; k < count; k++) {
        const double random = (double)(next_random(state) >> 11) * 0x1p-53; /* [0, 1) */
        const double value = t->dtype == CLF_I32 ? floor(random * (double)clf_bench_rows(w->host[0])) : 2 * random - 1;
        store(t->dtype, data, k, *known != NULL ? (*known)[k] : value);
    }
    if (*known != NULL)
        *known += count;
    return CLF_OK;
}

/* y starts as NaN: an element that is not written shows. */
static clf_status open_result(clf_bench_work *w, clf_error *err)
{
    const size_t bytes = (size_t)clf_element_count(w->y) * clf_dtype_bytes(w->y.dtype);
    void *poison = clf_alloc(bytes, 1);
    clf_status status;

    CLF_REQUIRE(err, poison != NULL, CLF_OUT_OF_MEMORY, "no memory for the result of %s, %s", w->bench_case->name,
                CLF_TEXT(w->y));
    memset(poison, 0xff, bytes);
    status = clf_tensor_create(clf_stream_context(w->stream), w->y.dtype, clf_tensor_dims(w->y), &w->y, err);
    if (status == CLF_OK) {
        clf_upload(w->stream, poison, w->y);
        status = clf_stream_finish(w->stream, err);
    }
    clf_free(poison);
    return status;
}

clf_status clf_bench_open(const clf_bench *b, const clf_bench_case *c, clf_stream *s, clf_dtype storage,
                          const double *known, clf_bench_work *w, clf_error *err)
{
    uint64_t state = 0x9e3779b97f4a7c15U; /* any but 0 */

    *w = (clf_bench_work){ .stream = s, .bench_case = c };
    CLF_TRY(read_case(w, err));
    for (size_t i = 0; i < w->operand_count; i++) {
        const bool on_device = i < b->device_operands;
        if (!on_device && storage != CLF_DTYPE_NONE && w->host[i].rank == 2)
            w->host[i].dtype = storage;
        CLF_TRY(fill(w, i, &known, &state, err));
        if (!on_device)
            continue;
        CLF_TRY(clf_tensor_create(clf_stream_context(s), w->host[i].dtype, dims_of(w->host[i]), &w->in[i], err));
        clf_upload(s, w->host[i].data, w->in[i]);
    }
    CLF_TRY(open_result(w, err));
    return b->prepare != NULL ? b->prepare(w, err) : CLF_OK;
}

void clf_bench_close(const clf_bench *b, clf_bench_work *w)
{
    clf_context *ctx = clf_stream_context(w->stream);

    /* Nothing in flight reads what goes now.  A reset would drop the profile, too: only after an error. */
    if (clf_stream_finish(w->stream, NULL) != CLF_OK)
        clf_stream_reset(w->stream);
    if (b->release != NULL)
        b->release(w);
    for (size_t i = 0; i < w->operand_count; i++) {
        if (w->in[i].mem != NULL)
            clf_tensor_free(ctx, &w->in[i]);
        clf_free((void *)(uintptr_t)w->host[i].data);
    }
    if (w->y.mem != NULL)
        clf_tensor_free(ctx, &w->y);
    *w = (clf_bench_work){ .stream = NULL };
}

double clf_bench_value(const clf_bench_work *w, size_t i, int64_t index)
{
    return clf_host_value(w->host[i].data, w->host[i].dtype, (size_t)index);
}

void clf_bench_row(const clf_bench_work *w, size_t i, int64_t row, int64_t C, double *out)
{
    for (int64_t c = 0; c < C; c++)
        out[c] = clf_bench_value(w, i, row * C + c);
}

double clf_bench_flop(const clf_bench *b, const clf_bench_work *w)
{
    return b->flop != NULL ? b->flop(w) : 0.0;
}

double clf_bench_bytes(const clf_bench *b, const clf_bench_work *w)
{
    double bytes = (double)clf_element_count(w->y) * (double)clf_dtype_bytes(w->y.dtype);

    if (b->bytes != NULL)
        return b->bytes(w);
    for (size_t i = 0; i < w->operand_count; i++)
        bytes += (double)(clf_bench_rows(w->host[i]) * clf_bench_width(w->host[i])) *
                 (double)clf_dtype_bytes(w->host[i].dtype);
    return bytes;
}
