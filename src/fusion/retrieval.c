/* retrieval: values, indices [Q, k] = the k best of queries [Q, D] stored^T, stored [N, D] in blocks of R rows.
 *
 * The queries are the weight of the product and the stored rows its input, so that these are read once, where they lie:
 * scores [R, Q] = block queries^T, merged into values and indices by keep_best.  Uploads go through a queue of their own
 * into three buffers by turns.
 *
 * A panel computes 32 columns whatever there is, so on CPU devices a few queries stay rows: scores [Q, R] by row_products,
 * with the same bits. */
#include "fusion/retrieval.h"

#include <clfusion/linear.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "core/half.h"
#include "ops/row_products.h"
#include "runtime/context.h"
#include "runtime/op.h"

#define CLF_OP "retrieval"

/* Of a block that is uploaded: long enough that starting two kernels does not count beside the product. */
#define BLOCK_BYTES (4 << 20)

/* In place a block needs no memory, so it is longer, as long as its scores stay in a cache. */
#define PLACE_BYTES (32 << 20)
#define SCORE_BYTES (2 << 20)

/* Below this CLF_VEC a panel is narrow, too. */
#define FEW_VECTOR 8

/* One is multiplied, one lies ready, one is being written: with two, a driver that gives all threads to the product before
 * it looks for other work would copy when it is over. */
#define ROOMS 3

typedef struct slot {
    clf_tensor block;        /* [R, D] */
    struct _cl_event *ready; /* of the upload into it */
} slot;

struct clf_retrieval {
    clf_context *ctx;
    clf_host_tensor stored;
    int64_t N, D;
    int64_t R, most; /* rows of a block, at least and at most; one number but in place */
    bool in_place;
    clf_stream *uploads, *products;
    slot rooms[ROOMS]; /* absent where blocks are read in place */
};

clf_stream *clf_retrieval_uploads(clf_retrieval *r)
{
    return r->uploads;
}

clf_stream *clf_retrieval_products(clf_retrieval *r)
{
    return r->products;
}

bool clf_retrieval_in_place(const clf_retrieval *r)
{
    return r->in_place;
}

/* ---- creation ---- */

static clf_status check_desc(const clf_retrieval_desc *d, clf_error *err)
{
    const clf_host_tensor t = d->stored;
    uint64_t bytes;

    CLF_REQUIRE(err, clf_is_float(t.dtype), CLF_UNSUPPORTED, "stored is %s; want f32, f16 or bf16", CLF_HOST_TEXT(t));
    CLF_REQUIRE(err,
                t.rank == 2 && t.dim[0] >= 0 && t.dim[1] >= 1 && t.dim[1] <= INT32_MAX && clf_host_bytes(t, &bytes),
                CLF_INVALID_ARGUMENT, "stored is %s; want [N, D], D of 1 to 2^31 - 1", CLF_HOST_TEXT(t));
    CLF_REQUIRE(err, t.data != NULL || t.dim[0] == 0, CLF_INVALID_ARGUMENT,
                "stored is %s without data; want host memory", CLF_HOST_TEXT(t));
    CLF_REQUIRE(err, d->block_rows >= 0 && d->block_rows <= INT32_MAX, CLF_INVALID_ARGUMENT,
                "block_rows is %" PRId64 "; want 0 to 2^31 - 1", d->block_rows);
    return CLF_OK;
}

static bool reads_in_place(const clf_context *ctx, const clf_retrieval_desc *d)
{
    return !d->upload && clf_buffer_in_place(ctx, d->stored.data, d->stored.dtype);
}

static clf_status create_streams(clf_retrieval *r, bool profiling, clf_error *err)
{
    clf_stream_desc desc = clf_stream_desc_default();

    desc.profiling = profiling;
    CLF_TRY(clf_stream_create(r->ctx, &desc, &r->products, err));
    return r->in_place ? CLF_OK : clf_stream_create(r->ctx, &desc, &r->uploads, err);
}

static clf_status create(clf_context *ctx, const clf_retrieval_desc *given, clf_retrieval **out, clf_error *err)
{
    clf_retrieval_desc d = clf_retrieval_desc_default();
    clf_retrieval *r;

    CLF_DESC_READ(err, &d, given);
    CLF_TRY(check_desc(&d, err));
    *out = r = clf_alloc(1, sizeof *r);
    CLF_REQUIRE(err, r != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof *r);
    const int64_t row_bytes = (int64_t)clf_dtype_bytes(d.stored.dtype) * d.stored.dim[1];

    r->ctx = ctx;
    r->stored = d.stored;
    r->N = d.stored.dim[0];
    r->D = d.stored.dim[1];
    r->R = CLF_MAX(1, CLF_MIN(r->N, d.block_rows > 0 ? d.block_rows : BLOCK_BYTES / row_bytes));
    r->in_place = reads_in_place(ctx, &d);
    r->most = r->in_place && d.block_rows == 0 ? CLF_MAX(1, CLF_MIN(r->N, PLACE_BYTES / row_bytes)) : r->R;
    CLF_TRY(create_streams(r, d.profiling, err));
    for (size_t i = 0; i < ROOMS && !r->in_place; i++)
        CLF_TRY(clf_tensor_create(ctx, d.stored.dtype, CLF_DIMS(r->R, r->D), &r->rooms[i].block, err));
    return CLF_OK;
}

clf_status clf_retrieval_create(clf_context *ctx, const clf_retrieval_desc *desc, clf_retrieval **r, clf_error *err)
{
    clf_status status;

    *r = NULL;
    status = create(ctx, desc, r, err);
    if (status != CLF_OK) {
        clf_retrieval_destroy(*r);
        *r = NULL;
    }
    return status;
}

void clf_retrieval_destroy(clf_retrieval *r)
{
    if (r == NULL)
        return;
    clf_stream_destroy(r->uploads);
    clf_stream_destroy(r->products);
    for (size_t i = 0; i < ROOMS; i++)
        clf_tensor_free(r->ctx, &r->rooms[i].block);
    clf_free(r);
}

/* ---- blocks ---- */

static const char *block_data(const clf_retrieval *r, int64_t first)
{
    return (const char *)r->stored.data + (size_t)(first * r->D) * clf_dtype_bytes(r->stored.dtype);
}

static int64_t block_rows(const clf_retrieval *r, int64_t first)
{
    return CLF_MIN(r->R, r->N - first);
}

/* What a search has on the device. */
typedef struct search {
    const clf_linear_weight *queries; /* NULL: few */
    clf_tensor few;                   /* [Q, D] */
    clf_tensor scores;                /* [R Q] */
    clf_tensor values, indices;
} search;

/* The scores of a block, which begins with row `first`, merged into the best of those before it. */
static void multiply(clf_stream *s, const search *f, clf_tensor block, int64_t first)
{
    const int64_t Q = f->values.dim[0], R = block.dim[0];
    const clf_tensor scores = clf_slice(s, f->scores, 0, 0, R * Q);

    if (f->queries != NULL) {
        const clf_tensor by_row = clf_reshape(s, scores, CLF_DIMS(R, Q));

        clf_linear(s, block, f->queries, NULL, by_row);
        clf_keep_best(s, by_row, first, f->values, f->indices);
        return;
    }
    clf_row_products(s, block, f->few, clf_reshape(s, scores, CLF_DIMS(Q, R)));
    for (int64_t q = 0; q < Q; q++)
        clf_keep_best(s, clf_reshape(s, clf_slice(s, scores, 0, q * R, R), CLF_DIMS(R, 1)), first,
                      clf_slice(s, f->values, 0, q, 1), clf_slice(s, f->indices, 0, q, 1));
}

/* Of a block that is searched for Q queries. */
static int64_t rows_for(const clf_retrieval *r, int64_t Q)
{
    return CLF_MIN(r->most, CLF_MAX(r->R, SCORE_BYTES / (int64_t)sizeof(float) / Q));
}

/* Blocks where they lie.  Commands in flight keep the buffer that is released behind them. */
static void search_in_place(clf_retrieval *r, const search *f)
{
    clf_stream *s = r->products;
    const int64_t R = rows_for(r, f->values.dim[0]);

    for (int64_t first = 0; first < r->N && clf_stream_status(s) == CLF_OK; first += R) {
        clf_tensor block = clf_tensor_shape(r->stored.dtype, CLF_DIMS(CLF_MIN(R, r->N - first), r->D));

        if (clf_op_passed(s, clf_buffer_wrap(r->ctx, block_data(r, first), &block, clf_op_error(s))))
            multiply(s, f, block, first);
        clf_buffer_unwrap(block.mem);
    }
}

/* Neither queue has failed: what either does is of no use without the other. */
static bool healthy(const clf_retrieval *r)
{
    return clf_stream_status(r->products) == CLF_OK && clf_stream_status(r->uploads) == CLF_OK;
}

static slot *room_of(clf_retrieval *r, int64_t first)
{
    return &r->rooms[first / r->R % ROOMS];
}

/* An event of everything that is enqueued on s so far; NULL after a failure. */
static struct _cl_event *signal_of(const clf_retrieval *r, clf_stream *s)
{
    struct _cl_event *event = NULL;

    if (healthy(r))
        clf_stream_signal(s, &event);
    return event;
}

/* The block that begins with row `first`, if there is one, to its room, once the products that read the room before have
 * completed with `left`. */
static void upload(clf_retrieval *r, int64_t first, struct _cl_event *left)
{
    slot *room = room_of(r, first);

    if (first >= r->N || !healthy(r))
        return;
    if (left != NULL)
        clf_stream_wait_events(r->uploads, 1, &left);
    if (healthy(r))
        clf_upload(r->uploads, block_data(r, first), clf_slice(r->uploads, room->block, 0, 0, block_rows(r, first)));
    room->ready = signal_of(r, r->uploads);
}

static void multiply_uploaded(clf_retrieval *r, const search *f, int64_t first)
{
    slot *room = room_of(r, first);

    if (healthy(r))
        clf_stream_wait_events(r->products, 1, &room->ready);
    if (healthy(r))
        multiply(r->products, f, clf_slice(r->products, room->block, 0, 0, block_rows(r, first)), first);
    clf_event_release(room->ready);
    room->ready = NULL;
}

/* Each round enqueues the upload of the block two further on before the products of its own. */
static void search_by_uploads(clf_retrieval *r, const search *f)
{
    upload(r, 0, NULL);
    upload(r, r->R, NULL);
    for (int64_t first = 0; first < r->N && healthy(r); first += r->R) {
        struct _cl_event *left = signal_of(r, r->products);

        if (r->N - first > 2 * r->R)
            upload(r, first + 2 * r->R, left);
        multiply_uploaded(r, f, first);
        clf_event_release(left);
    }
    for (size_t i = 0; i < ROOMS; i++) { /* of a search that failed */
        clf_event_release(r->rooms[i].ready);
        r->rooms[i].ready = NULL;
    }
}

/* ---- searches ---- */

static clf_status check_search(const clf_retrieval *r, clf_host_tensor queries, int64_t k, const int64_t *indices,
                               clf_error *err)
{
    const int64_t most = CLF_MIN(r->N, CLF_KEEP_BEST_MAX);

    CLF_REQUIRE(err, clf_is_float(queries.dtype) || queries.dtype == CLF_F64, CLF_UNSUPPORTED,
                "queries is %s; want f32, f16, bf16 or f64", CLF_HOST_TEXT(queries));
    CLF_REQUIRE(err, queries.rank == 2 && queries.dim[0] >= 0 && queries.dim[1] == r->D, CLF_INVALID_ARGUMENT,
                "queries is %s; want [Q, %" PRId64 "], for stored %s", CLF_HOST_TEXT(queries), r->D,
                CLF_HOST_TEXT(r->stored));
    CLF_REQUIRE(err, queries.data != NULL || queries.dim[0] == 0, CLF_INVALID_ARGUMENT,
                "queries is %s without data; want host memory", CLF_HOST_TEXT(queries));
    CLF_REQUIRE(err, k >= 1 && k <= most, CLF_INVALID_ARGUMENT,
                "k is %" PRId64 "; want 1 to %" PRId64 ", at most %d and the rows of stored %s", k, most,
                CLF_KEEP_BEST_MAX, CLF_HOST_TEXT(r->stored));
    CLF_REQUIRE(err, indices != NULL, CLF_INVALID_ARGUMENT, "indices is NULL; want host memory");
    return CLF_OK;
}

/* The first error of the two queues; both are ready for the next search. */
static clf_status finish(clf_retrieval *r, clf_error *err)
{
    clf_status status = CLF_OK;

    if (r->uploads != NULL)
        status = clf_stream_finish(r->uploads, err);
    if (status == CLF_OK)
        status = clf_stream_finish(r->products, err);
    if (status != CLF_OK) {
        if (r->uploads != NULL)
            clf_stream_reset(r->uploads);
        clf_stream_reset(r->products);
        if (err != NULL)
            clf_error_prefix(err, CLF_OP "/");
    }
    return status;
}

/* Queries of few rows as they are, in f32. */
static clf_tensor upload_few(clf_stream *s, clf_host_tensor queries)
{
    const size_t count = (size_t)(queries.dim[0] * queries.dim[1]);
    const clf_tensor few = clf_scratch(s, CLF_F32, CLF_DIMS(queries.dim[0], queries.dim[1]));
    float *values = clf_alloc(count, sizeof *values);

    if (values == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %zu floats", count);
        return few;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = (float)clf_host_value(queries.data, queries.dtype, i);
    clf_upload_copy(s, values, count * sizeof *values, few);
    clf_free(values);
    return few;
}

/* The best of each query, on the host. */
typedef struct lists {
    float *values;
    int64_t *indices;
} lists;

static clf_status run(clf_retrieval *r, clf_host_tensor queries, const clf_linear_weight *packed, int64_t k,
                      const lists *best, clf_error *err)
{
    clf_stream *s = r->products;
    const int64_t Q = queries.dim[0];
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const search f = {
        .queries = packed,
        .few = packed == NULL ? upload_few(s, queries) : (clf_tensor){ .mem = NULL },
        .scores = clf_scratch(s, CLF_F32, CLF_DIMS(rows_for(r, Q) * Q)),
        .values = clf_scratch(s, CLF_F32, CLF_DIMS(Q, k)),
        .indices = clf_scratch(s, CLF_I64, CLF_DIMS(Q, k)),
    };
    clf_status status;

    if (r->in_place)
        search_in_place(r, &f);
    else
        search_by_uploads(r, &f);
    status = finish(r, err);
    if (status != CLF_OK) /* the reset has closed the scope */
        return status;
    clf_download(s, f.values, best->values);
    clf_download(s, f.indices, best->indices);
    clf_scope_close(s, scope);
    return finish(r, err);
}

/* Nothing reaches the caller before everything has arrived. */
static clf_status search_and_publish(clf_retrieval *r, clf_host_tensor queries, const clf_linear_weight *packed,
                                     int64_t k, float *values, int64_t *indices, clf_error *err)
{
    const size_t count = (size_t)queries.dim[0] * (size_t)k; /* k is at most 1024 */
    const lists best = { .values = clf_alloc(count, sizeof *values), .indices = clf_alloc(count, sizeof *indices) };
    clf_status status = CLF_OK;

    if (best.values == NULL || best.indices == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no host memory for %zu results", count);
    if (status == CLF_OK)
        status = run(r, queries, packed, k, &best, err);
    if (status == CLF_OK) {
        if (values != NULL)
            memcpy(values, best.values, count * sizeof *values);
        memcpy(indices, best.indices, count * sizeof *indices);
    }
    clf_free(best.values);
    clf_free(best.indices);
    return status;
}

static bool stay_rows(const clf_retrieval *r, clf_host_tensor queries)
{
    return queries.dim[0] <= CLF_ROW_PRODUCTS_MAX && clf_op_kernels(r->products) == CLF_KERNELS_SIMD &&
           r->ctx->vector_width >= FEW_VECTOR;
}

/* Times that nobody has asked for since the last search. */
static void forget_times(clf_retrieval *r)
{
    const clf_profile_entry *entries = NULL;

    (void)clf_stream_profile(r->products, &entries);
    if (r->uploads != NULL)
        (void)clf_stream_profile(r->uploads, &entries);
}

clf_status clf_retrieval_search(clf_retrieval *r, clf_host_tensor queries, int64_t k, float *values, int64_t *indices,
                                clf_error *err)
{
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_weight *weight = NULL;
    clf_status status;

    CLF_TRY(check_search(r, queries, k, indices, err));
    if (queries.dim[0] == 0)
        return CLF_OK;
    desc.weight = queries;
    desc.storage = CLF_F32; /* queries are few: rounding them would gain nothing */
    if (!stay_rows(r, queries))
        CLF_TRY(clf_linear_weight_create(r->ctx, &desc, &weight, err));
    forget_times(r);
    status = search_and_publish(r, queries, weight, k, values, indices, err);
    clf_linear_weight_destroy(weight);
    return status;
}
