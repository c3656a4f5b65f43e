/* clblast: matrix products by CLBlast, for GPUs.
 *
 * The weight lies as [K, N], so that a product can be phrased in two ways.  By columns, y^T[N, M] = W[N, K] x^T[K, M]:
 * where CLBlast's tuned kernel tiles in one dimension (GEMMK 0) it finds weight and result as it wants them and turns the
 * activation alone.  By rows, y = x W: where it tiles in two (GEMMK 1) it turns nothing.  Each weight takes the phrase for
 * which CLBlast asks the smaller temporary.  Storage of 16 bits is expanded to f32 for each product, since Hgemm would also
 * accumulate in half. */
#include <inttypes.h>
#include <pthread.h>

#include "gemm/blast_table.h"
#include "gemm/stage.h"
#include "runtime/stream.h"

#define CLF_OP "linear"

#define FLOP_LIMIT 100e9         /* of one call: 50 ms at 2 TFLOP/s, so that no watchdog bites */
#define TILE_ROWS 128            /* the largest tile of CLBlast's tuned kernels; the others divide it */
#define WHOLE_ROWS 4096          /* whole tiles of any kernel */
#define LARGE_RESULT (8LL << 20) /* bytes of y that are worth a call of their own rather than a copy */

/* CLBlast up to 1.6.0 fails with -2039 when two threads compile one routine.  The first product of a context, and
 * clearing the cache, are alone; others share.  Each clearing begins a new generation. */
static pthread_rwlock_t cache_lock = PTHREAD_RWLOCK_INITIALIZER;
static unsigned generation = 1; /* guarded by cache_lock */

static void clblast_before_release(clf_context *ctx)
{
    (void)ctx;
    /* CLBlast keys its programs by the address of the context, which the next context may reuse. */
    pthread_rwlock_wrlock(&cache_lock);
    clf_blast()->ClearCache();
    generation++;
    pthread_rwlock_unlock(&cache_lock);
}

static clf_status clblast_supports(clf_context *ctx, clf_error *err)
{
    (void)ctx;
    return clf_blast_load(err);
}

/* Work-items of a group of our own kernels. */
static uint64_t items_of(const clf_stream *s)
{
    return clf_op_kernels(s) == CLF_KERNELS_TILE ? CLF_NORM_WG : 1;
}

/* staged [rows, K] to columns first .. first + rows of packed [K, N]. */
static void pack_columns(clf_stream *s, clf_tensor staged, int64_t first, const clf_gemm_weight *w)
{
    const clf_options options = clf_options_types("CLF_X", staged.dtype, "CLF_W", w->storage, NULL);
    const clf_kernel kernel = {
        .program = "clblast",
        .entry = "clf_clblast_pack_weight",
        .options = options.text,
        .groups = { clf_div_up((uint64_t)staged.dim[0], items_of(s)), clf_div_up((uint64_t)w->K, CLF_CLBLAST_COLUMNS) },
        .items = items_of(s),
    };

    CLF_LAUNCH(s, &kernel, clf_arg_rows(staged), clf_arg_u64((uint64_t)staged.dim[0]), clf_arg_u64((uint64_t)first),
               clf_arg_u64((uint64_t)w->N), clf_arg_u32((uint32_t)w->K), clf_arg_memory(w->packed));
}

static clf_status clblast_pack(clf_context *ctx, const clf_gemm_host *host, clf_gemm_weight *w, clf_error *err)
{
    uint64_t elements;

    CLF_REQUIRE(err, clf_size_mul((uint64_t)w->N, (uint64_t)w->K, &elements) && elements <= INT32_MAX, CLF_UNSUPPORTED,
                "weight is %s; CLBlast takes fewer than 2^31 elements",
                CLF_TEXT(clf_tensor_shape(w->storage, CLF_DIMS(w->N, w->K))));
    return clf_stage_weight(ctx, host, 1, (int64_t)elements, pack_columns, w, err);
}

/* The weight as f32: itself, or expanded into scratch. */
static clf_tensor expanded(clf_stream *s, const clf_gemm_weight *w)
{
    const clf_options options = clf_options_types("CLF_X", CLF_F32, "CLF_W", w->storage, NULL);
    const clf_kernel kernel = {
        .program = "clblast",
        .entry = "clf_clblast_expand",
        .options = options.text,
        .groups = { clf_div_up((uint64_t)(w->N * w->K), CLF_CLBLAST_RUN), 1 },
        .items = items_of(s),
    };
    clf_tensor f32;

    if (w->storage == CLF_F32)
        return w->packed;
    f32 = clf_scratch(s, CLF_F32, CLF_DIMS(w->K, w->N));
    CLF_LAUNCH(s, &kernel, clf_arg_memory(w->packed), clf_arg_u64((uint64_t)(w->N * w->K)), clf_arg_memory(f32),
               clf_arg_u64(f32.offset / sizeof(float)));
    return f32;
}

/* One call of CLBlast: rows of x and y in one stride each. */
typedef struct product {
    clf_tensor weight, x, y; /* [K, N], [M, K], [M, N] f32 */
    size_t M, N, K;
} product;

/* An operand as CLBlast takes it. */
typedef struct matrix {
    cl_mem mem;
    size_t offset, ld; /* elements */
} matrix;

/* The product in one of its phrases, c[m, n] = a[m, k] b[k, n]. */
typedef struct phrase {
    int layout;
    size_t m, n, k;
    matrix a, b, c;
    size_t bytes; /* of the temporary */
} phrase;

static phrase phrase_of(const product *p, bool by_rows)
{
    const size_t f = sizeof(float);
    const matrix w = { p->weight.mem, (size_t)p->weight.offset / f, p->N };
    const matrix x = { p->x.mem, (size_t)p->x.offset / f, (size_t)p->x.stride[0] };
    const matrix y = { p->y.mem, (size_t)p->y.offset / f, (size_t)p->y.stride[0] };

    if (by_rows)
        return (phrase){ CLF_BLAST_ROW_MAJOR, p->M, p->N, p->K, x, w, y, 0 };
    return (phrase){ CLF_BLAST_COLUMN_MAJOR, p->N, p->M, p->K, w, x, y, 0 };
}

static int ask(clf_stream *s, phrase *p)
{
    return clf_blast()->SGemmTempBufferSize(p->layout, CLF_BLAST_TRANSPOSE_NO, CLF_BLAST_TRANSPOSE_NO, p->m, p->n, p->k,
                                            p->a.offset, p->a.ld, p->b.offset, p->b.ld, p->c.offset, p->c.ld, &s->queue,
                                            &p->bytes);
}

/* The phrase that turns less when the rows are whole tiles: for a weight always the same, whatever rows there are. */
static int choose(clf_stream *s, const product *p, phrase *best)
{
    const product whole = { .M = WHOLE_ROWS,
                            .N = p->N,
                            .K = p->K,
                            .x = { .stride = { (int64_t)p->K } },
                            .y = { .stride = { (int64_t)p->N } } };
    phrase columns = phrase_of(&whole, false), rows = phrase_of(&whole, true);
    int code = ask(s, &columns);

    if (code == CL_SUCCESS)
        code = ask(s, &rows);
    if (code != CL_SUCCESS)
        return code;
    *best = phrase_of(p, rows.bytes < columns.bytes);
    return ask(s, best);
}

static int call(clf_stream *s, const phrase *p, cl_mem temporary, cl_event *event)
{
    return clf_blast()->SgemmWithTempBuffer(p->layout, CLF_BLAST_TRANSPOSE_NO, CLF_BLAST_TRANSPOSE_NO, p->m, p->n, p->k,
                                            1.0F, p->a.mem, p->a.offset, p->a.ld, p->b.mem, p->b.offset, p->b.ld, 0.0F,
                                            p->c.mem, p->c.offset, p->c.ld, &s->queue, clf_stream_event_slot(s, event),
                                            temporary);
}

/* The same, alone in CLBlast while this context's programs may have to be compiled. */
static int call_guarded(clf_stream *s, const phrase *p, cl_mem temporary, cl_event *event)
{
    int code;

    pthread_rwlock_rdlock(&cache_lock);
    if (atomic_load(&s->ctx->gemm_generation) == generation) {
        code = call(s, p, temporary, event);
        pthread_rwlock_unlock(&cache_lock);
        return code;
    }
    pthread_rwlock_unlock(&cache_lock);
    pthread_rwlock_wrlock(&cache_lock);
    code = call(s, p, temporary, event);
    if (code == CL_SUCCESS)
        atomic_store(&s->ctx->gemm_generation, generation);
    pthread_rwlock_unlock(&cache_lock);
    return code;
}

/* CLBlast counts elements in int. */
static bool within_int(clf_tensor t)
{
    uint64_t bytes = 0, end;

    return clf_extent_bytes(t, &bytes) && clf_size_add(t.offset, bytes, &end) && end / sizeof(float) <= INT32_MAX;
}

static clf_status check_product(clf_stream *s, const product *p, clf_error *err)
{
    CLF_TRY(clf_in_memory(s, CLF_OP, p->x, err));
    CLF_TRY(clf_in_memory(s, CLF_OP, p->y, err));
    CLF_REQUIRE(err, within_int(p->x) && within_int(p->y), CLF_UNSUPPORTED,
                "x %s and y %s end beyond element 2^31 of their memory; CLBlast takes fewer", CLF_TEXT(p->x),
                CLF_TEXT(p->y));
    return CLF_OK;
}

/* CLBlast's own codes begin below -1000; others are OpenCL's. */
static void fail(clf_stream *s, const product *p, int code)
{
    char what[100];

    clf_format(what, sizeof what, CLF_OP ": CLBlastSgemm of %zu x %zu x %zu", p->M, p->N, p->K);
    if (code > -1000)
        clf_stream_cl_fail(s, __FILE__, __LINE__, code, what);
    else
        CLF_OP_FAIL(s, CLF_DEVICE_ERROR, "%s: %s (%d)", what, clf_blast_code_name(code), code);
}

/* The operands of a product, and parts of their buffers as memory objects of their own, to be released; or NULL. */
#define OPERANDS 3
typedef struct objects {
    product p;
    cl_mem part[OPERANDS];
} objects;

static void end_objects(objects *o)
{
    for (size_t i = 0; i < OPERANDS; i++) {
        if (o->part[i] != NULL)
            clf_cl()->ReleaseMemObject(o->part[i]); /* commands in flight keep it */
        o->part[i] = NULL;
    }
}

/* CLBlast copies a matrix that does not begin its memory object, so each begins one.  All or none: a buffer and a part
 * of it may not be used side by side.  Where a part may not be, of a caller's part or off the device's alignment, none is. */
static clf_status begin_objects(clf_stream *s, const product *p, objects *o, clf_error *err)
{
    clf_tensor *const operands[OPERANDS] = { &o->p.weight, &o->p.x, &o->p.y };

    *o = (objects){ .p = *p };
    for (size_t i = 0; i < OPERANDS; i++) {
        cl_buffer_region region = { .origin = (size_t)operands[i]->offset };
        uint64_t bytes = 0;
        cl_int code = CL_SUCCESS;

        if (!clf_extent_bytes(*operands[i], &bytes))
            continue;
        region.size = (size_t)bytes;
        o->part[i] = clf_cl()->CreateSubBuffer(operands[i]->mem, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        if (code == CL_MISALIGNED_SUB_BUFFER_OFFSET || code == CL_INVALID_MEM_OBJECT) {
            end_objects(o);
            o->p = *p;
            return CLF_OK;
        }
        CLF_CL(s->ctx, err, code, CLF_OP ": clCreateSubBuffer of %zu bytes", region.size);
        operands[i]->mem = o->part[i];
        operands[i]->offset = 0;
    }
    return CLF_OK;
}

static void multiply_objects(clf_stream *s, const product *p)
{
    cl_event event = NULL;
    clf_tensor temporary;
    phrase best;
    int code = choose(s, p, &best);

    if (code != CL_SUCCESS) {
        fail(s, p, code);
        return;
    }
    if (best.bytes / sizeof(float) > INT32_MAX) {
        CLF_OP_FAIL(s, CLF_UNSUPPORTED,
                    CLF_OP ": %zu x %zu x %zu takes %zu bytes of CLBlast's temporaries; want fewer rows", p->M, p->N,
                    p->K, best.bytes);
        return;
    }
    /* With a null buffer CLBlast allocates one itself, so it always gets ours. */
    temporary = clf_scratch_alone(s, CLF_U8, CLF_DIMS((int64_t)CLF_MAX(best.bytes, 1)));
    if (!clf_op_enter(s))
        return;
    s->pending = true; /* a failed call may have enqueued some of its kernels */
    code = call_guarded(s, &best, temporary.mem, &event);
    if (code != CL_SUCCESS) {
        fail(s, p, code);
        return;
    }
    s->launches++;
    clf_stream_operand(s, p->weight);
    clf_stream_operand(s, p->x);
    clf_stream_operand(s, p->y);
    clf_stream_enqueued(s, "clblast_sgemm", event);
}

static void multiply(clf_stream *s, const product *p)
{
    objects o;

    if (!clf_op_enter(s) || !clf_op_passed(s, check_product(s, p, clf_op_error(s))))
        return;
    if (clf_op_passed(s, begin_objects(s, p, &o, clf_op_error(s))))
        multiply_objects(s, &o.p);
    end_objects(&o);
}

/* Rows of one call: within the limit of time and of CLBlast's 32-bit indices. */
static int64_t rows_of_call(const clf_gemm_weight *w)
{
    const double by_time = FLOP_LIMIT / (2.0 * (double)w->N * (double)w->K);
    const double by_index = (double)INT32_MAX / (double)CLF_MAX(w->N, w->K);

    return (int64_t)CLF_MAX(1.0, CLF_MIN(by_time, by_index));
}

/* The next rows of `left`.  CLBlast computes a result that is not whole tiles in a copy that is; of a large one the
 * rows in whole tiles go first, and the few that are left are all that is copied. */
static int64_t next_rows(const clf_gemm_weight *w, int64_t left)
{
    const int64_t rows = CLF_MIN(rows_of_call(w), left);
    const bool large = rows * w->N * (int64_t)sizeof(float) > LARGE_RESULT;

    return large && rows > TILE_ROWS ? rows - rows % TILE_ROWS : rows;
}

static void clblast_run(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, const clf_gemm_fusion *f, clf_tensor y)
{
    const int64_t M = clf_row_count(x);
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    const clf_tensor weight = expanded(s, w);

    (void)f;
    x = clf_reshape(s, x, CLF_DIMS(M, w->K));
    y = clf_reshape(s, y, CLF_DIMS(M, w->N));
    for (int64_t first = 0; first < M;) {
        const int64_t rows = next_rows(w, M - first);
        const clf_scope inner = clf_scope_open(s, NULL, -1);
        const product p = { .weight = weight,
                            .x = clf_slice(s, x, 0, first, rows),
                            .y = clf_slice(s, y, 0, first, rows),
                            .M = (size_t)rows,
                            .N = (size_t)w->N,
                            .K = (size_t)w->K };

        multiply(s, &p);
        clf_scope_close(s, inner);
        first += rows;
    }
    clf_scope_close(s, scope);
}

const clf_gemm_provider clf_gemm_clblast = {
    .name = "clblast",
    .fuses = false,
    .supports = clblast_supports,
    .pack = clblast_pack,
    .before_release = clblast_before_release,
    .run = clblast_run,
};
