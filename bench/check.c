/* check: the result of a case against its reference or its known answer. */
#include <inttypes.h>
#include <math.h>

#include "bench.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "result"

/* Half an ulp of the stored type at the value. */
static double storage_bound(clf_dtype dtype, double value)
{
    int exponent = 0;

    (void)frexp(value, &exponent); /* |value| in [2^(exponent - 1), 2^exponent) */
    if (dtype == CLF_F16)
        return ldexp(0.5, CLF_MAX(exponent, -13) - 11); /* below 2^-14 the steps are equal */
    if (dtype == CLF_BF16)
        return ldexp(0.5, CLF_MAX(exponent, -125) - 8);
    return 0.0; /* f32: in the operator's own bound */
}

/* `count` different numbers below `limit`, spread over it, the first and the last among them. */
static size_t choose_samples(int64_t limit, size_t count, int64_t *samples)
{
    if (limit <= (int64_t)count)
        count = (size_t)limit;
    for (size_t i = 0; i < count; i++)
        samples[i] = count == 1 ? 0 : (int64_t)((uint64_t)(limit - 1) * i / (count - 1));
    return count;
}

/* What is compared: the result on the host, and the columns of every row that is looked at. */
typedef struct comparison {
    const void *y;
    int64_t column[CLF_BENCH_SAMPLES * CLF_BENCH_SAMPLES];
    size_t columns;
} comparison;

static clf_status compare_row(const clf_bench *b, const clf_bench_work *w, const comparison *k, int64_t row,
                              clf_error *err)
{
    double want[CLF_BENCH_SAMPLES * CLF_BENCH_SAMPLES] = { 0.0 },
                                    bound[CLF_BENCH_SAMPLES * CLF_BENCH_SAMPLES] = { 0.0 };

    b->reference(w, row, k->column, k->columns, want, bound);
    for (size_t i = 0; i < k->columns; i++) {
        const double got = clf_host_value(k->y, w->y.dtype, (size_t)(row * clf_dim(w->y, -1) + k->column[i]));
        const double allowed = bound[i] + storage_bound(w->y.dtype, want[i]);
        /* written so that a NaN does not pass */
        CLF_REQUIRE(err, fabs(got - want[i]) <= allowed, CLF_INTERNAL,
                    "%s: y[%" PRId64 ", %" PRId64 "] is %.9g; want %.9g within %.2g, by the reference in double",
                    w->bench_case->name, row, k->column[i], got, want[i], allowed);
    }
    return CLF_OK;
}

static clf_status compare_all(const clf_bench *b, const clf_bench_work *w, const void *y, clf_error *err)
{
    comparison k = { .y = y };
    int64_t rows[CLF_BENCH_SAMPLES];
    /* a whole row where it is short, so that the small case leaves no column out */
    const bool whole = clf_dim(w->y, -1) <= (int64_t)CLF_COUNT(k.column);
    const size_t row_count = choose_samples(clf_row_count(w->y), CLF_COUNT(rows), rows);

    k.columns = choose_samples(clf_dim(w->y, -1), whole ? CLF_COUNT(k.column) : CLF_BENCH_SAMPLES, k.column);
    for (size_t i = 0; i < row_count; i++)
        CLF_TRY(compare_row(b, w, &k, rows[i], err));
    return CLF_OK;
}

/* Runs once; *y receives the result, which the caller frees. */
static clf_status run_once(const clf_bench *b, const clf_bench_work *w, void **y, clf_error *err)
{
    *y = clf_alloc((size_t)clf_element_count(w->y), clf_dtype_bytes(w->y.dtype));
    CLF_REQUIRE(err, *y != NULL, CLF_OUT_OF_MEMORY, "no memory for the result of %s, %s", w->bench_case->name,
                CLF_TEXT(w->y));
    b->run(w);
    clf_download(w->stream, w->y, *y);
    return clf_stream_finish(w->stream, err);
}

clf_status clf_bench_check(const clf_bench *b, const clf_bench_work *w, clf_error *err)
{
    void *y = NULL;
    clf_status status = run_once(b, w, &y, err);

    if (status == CLF_OK)
        status = compare_all(b, w, y, err);
    clf_free(y);
    return status;
}

/* 1e-6 of the largest answer, or half an ulp of the type: known answers are small numbers in few steps. */
static clf_status compare_known(const clf_bench *b, const clf_bench_work *w, const void *y, clf_error *err)
{
    const size_t count = (size_t)clf_element_count(w->y);
    double largest = 0.0;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(b->known_out[i]));
    for (size_t i = 0; i < count; i++) {
        const double got = clf_host_value(y, w->y.dtype, i), want = b->known_out[i];
        CLF_REQUIRE(err, fabs(got - want) <= 1e-6 * largest + storage_bound(w->y.dtype, want), CLF_INTERNAL,
                    "%s: y[%zu] is %.9g; want %.9g, the known answer", b->name, i, got, want);
    }
    return CLF_OK;
}

static clf_status known_answer(const clf_bench *b, clf_stream *s, clf_error *err)
{
    clf_bench_work w;
    void *y = NULL;
    clf_status status = clf_bench_open(b, &b->known, s, CLF_DTYPE_NONE, b->known_in, &w, err);

    if (status == CLF_OK)
        status = run_once(b, &w, &y, err);
    if (status == CLF_OK)
        status = compare_known(b, &w, y, err);
    clf_free(y);
    clf_bench_close(b, &w);
    return status;
}

clf_status clf_bench_selftest(const clf_bench *b, clf_stream *s, clf_dtype storage, clf_error *err)
{
    clf_bench_work w;

    CLF_TRY(known_answer(b, s, err));
    clf_status status = clf_bench_open(b, &b->small, s, storage, NULL, &w, err);
    if (status == CLF_OK)
        status = clf_bench_check(b, &w, err);
    clf_bench_close(b, &w);
    return status;
}
