/* Retrieval: exact with ties, in place and by uploads, whatever the blocks; queues that overlap; what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fusion/retrieval.h"
#include "harness.h"
#include "shims.h"
#include "walk.h"

enum { D = 20, Q = 19, K = 7 };

/* Whole numbers of at most 2: scores are exact, and many are equal. */
static clf_host_tensor integers(clf_test *t, clf_dtype dtype, int64_t rows, int64_t columns)
{
    const size_t count = (size_t)(rows * columns);
    char *values = clf_test_memory(t, (count + 1) * clf_dtype_bytes(dtype));

    for (size_t i = 0; i < count; i++) {
        const float v = (float)((int)(clf_test_random(t) * 5) - 2);
        const uint16_t half = dtype == CLF_F16 ? clf_f32_to_f16(v) : clf_f32_to_bf16(v);

        if (dtype == CLF_F32)
            memcpy(values + i * sizeof v, &v, sizeof v);
        else
            memcpy(values + i * sizeof half, &half, sizeof half);
    }
    return (clf_host_tensor){ values, dtype, 2, { rows, columns } };
}

static clf_retrieval *create(clf_test *t, const clf_retrieval_desc *d)
{
    clf_retrieval *r = NULL;
    clf_error err = { 0 };

    if (clf_retrieval_create(t->ctx, d, &r, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return r;
}

static void search(clf_retrieval *r, clf_host_tensor queries, int64_t k, float *values, int64_t *indices)
{
    clf_error err = { 0 };

    if (clf_retrieval_search(r, queries, k, values, indices, &err) != CLF_OK)
        fail_msg("%s", err.message);
}

static double score(clf_host_tensor queries, clf_host_tensor stored, int64_t q, int64_t n)
{
    const int64_t width = stored.dim[1];
    double sum = 0;

    for (int64_t c = 0; c < width; c++)
        sum += clf_host_value(queries.data, queries.dtype, (size_t)(q * width + c)) *
               clf_host_value(stored.data, stored.dtype, (size_t)(n * width + c));
    return sum;
}

/* Each result is the best of those that are not better ones already, of equal scores the lowest number. */
static void check(clf_host_tensor queries, clf_host_tensor stored, int64_t k, const float *values,
                  const int64_t *indices)
{
    const int64_t N = stored.dim[0];

    for (int64_t q = 0; q < queries.dim[0]; q++) {
        double last = INFINITY;
        int64_t at = -1;

        for (int64_t i = 0; i < k; i++) {
            double best = -INFINITY;
            int64_t where = -1;

            for (int64_t n = 0; n < N; n++) {
                const double v = score(queries, stored, q, n);

                if ((v < last || (v == last && n > at)) && v > best) {
                    best = v;
                    where = n;
                }
            }
            if (indices[q * k + i] != where || (double)values[q * k + i] != best)
                fail_msg("query %d, place %d: number %d, %g; want %d, %g", (int)q, (int)i, (int)indices[q * k + i],
                         (double)values[q * k + i], (int)where, best);
            last = best;
            at = where;
        }
    }
}

static void finds_the_best_of_all_blocks(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    static const int64_t blocks[] = { 1, 16, 37, 0 }; /* 37: the last one has a row; 0: one block for all */
    clf_test *t = *state;
    const clf_host_tensor queries = integers(t, CLF_F32, Q, D);

    for (size_t i = 0; i < CLF_COUNT(types) * CLF_COUNT(blocks) * 2; i++) {
        const clf_host_tensor stored = integers(t, types[i % 3], 75, D);
        clf_retrieval_desc d = clf_retrieval_desc_default();
        float values[Q * K];
        int64_t indices[Q * K];

        d.stored = stored;
        d.block_rows = blocks[i / 3 % 4];
        d.upload = i / 12 == 1;
        clf_retrieval *r = create(t, &d);
        for (int again = 0; again < 2; again++) {
            memset(indices, -1, sizeof indices);
            search(r, queries, K, values, indices);
            check(queries, stored, K, values, indices);
        }
        for (int64_t few = 1; few <= 5; few++) { /* rows up to 4, a panel from there on */
            const clf_host_tensor ask = { queries.data, CLF_F32, 2, { few, D } };

            memset(indices, -1, sizeof indices);
            search(r, ask, K, values, indices);
            check(ask, stored, K, values, indices);
        }
        search(r, queries, 1, NULL, indices); /* without values, another k */
        for (int q = 0; q < Q; q++)
            assert_true(indices[q] >= 0 && score(queries, stored, q, indices[q]) == (double)values[q * K]);
        clf_retrieval_destroy(r);
    }
}

/* More than a block of 4 MiB, and than one whose scores have 2 MiB; few queries have all in one. */
static void blocks_of_the_usual_size_are_put_together(void **state)
{
    enum { N = 60000, MOST = 40 };
    clf_test *t = *state;
    const clf_host_tensor queries = integers(t, CLF_F32, MOST, D);
    clf_retrieval_desc d = clf_retrieval_desc_default();
    float values[MOST];
    int64_t indices[MOST];

    if (clf_test_small_only(t))
        clf_test_skip("too many rows");
    d.stored = integers(t, CLF_F32, N, D);
    for (int i = 0; i < 2; i++) {
        d.upload = i == 1;
        clf_retrieval *r = create(t, &d);
        for (int64_t count = 4; count <= MOST; count += 9) {
            const clf_host_tensor ask = { queries.data, CLF_F32, 2, { count, D } };

            search(r, ask, 1, values, indices);
            check(ask, d.stored, 1, values, indices);
        }
        clf_retrieval_destroy(r);
    }
}

static void all_of_few_are_sorted(void **state)
{
    clf_test *t = *state;
    const clf_host_tensor queries = integers(t, CLF_F16, 3, D);
    clf_retrieval_desc d = clf_retrieval_desc_default();
    float values[3 * 30];
    int64_t indices[3 * 30];

    d.stored = integers(t, CLF_F32, 30, D);
    d.block_rows = 11;
    clf_retrieval *r = create(t, &d);
    search(r, queries, 30, values, indices);
    check(queries, d.stored, 30, values, indices);
    clf_retrieval_destroy(r);
}

/* A file's rows behind a header of 4 bytes: aligned for f32, and for nothing more. */
static void a_mapped_file_is_read_where_it_lies(void **state)
{
    clf_test *t = *state;
    const clf_host_tensor queries = integers(t, CLF_F32, Q, D), stored = integers(t, CLF_F32, 200, D);
    const size_t bytes = 200 * D * sizeof(float);
    char name[] = "/tmp/clf_retrieval_XXXXXX";
    const int file = mkstemp(name);
    clf_retrieval_desc d = clf_retrieval_desc_default();
    float values[Q * K];
    int64_t indices[Q * K];

    assert_true(file >= 0 && unlink(name) == 0);
    assert_true(pwrite(file, stored.data, bytes, 4) == (ssize_t)bytes);
    char *mapped = mmap(NULL, bytes + 4, PROT_READ, MAP_SHARED, file, 0);
    assert_true(mapped != MAP_FAILED);
    d.stored = stored;
    d.stored.data = mapped + 4;
    d.block_rows = 64;
    clf_retrieval *r = create(t, &d);
    search(r, queries, K, values, indices);
    check(queries, stored, K, values, indices);
    clf_retrieval_destroy(r);
    d.stored.data = mapped + 3; /* of no use to a device: uploaded */
    r = create(t, &d);
    assert_false(clf_retrieval_in_place(r));
    clf_retrieval_destroy(r);
    munmap(mapped, bytes + 4);
    close(file);
}

/* Values that f32 cannot add exactly: equal rows have equal scores wherever they stand, in every mode. */
static void equal_rows_keep_their_order(void **state)
{
    clf_test *t = *state;
    float rows[90 * D], ask[D], values[10];
    int64_t indices[10];

    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast promises no order of additions");
    for (int i = 0; i < 90 * D; i++)
        rows[i] = i < D ? (float)clf_test_random(t) : rows[i - D];
    for (int i = 0; i < D; i++)
        ask[i] = (float)clf_test_random(t);
    for (int upload = 0; upload < 2; upload++) {
        clf_retrieval_desc d = clf_retrieval_desc_default();

        d.stored = (clf_host_tensor){ rows, CLF_F32, 2, { 90, D } };
        d.block_rows = 13;
        d.upload = upload == 1;
        clf_retrieval *r = create(t, &d);
        search(r, (clf_host_tensor){ ask, CLF_F32, 2, { 1, D } }, 10, values, indices);
        for (int i = 0; i < 10; i++)
            assert_true(indices[i] == i && memcmp(&values[i], &values[0], sizeof(float)) == 0);
        clf_retrieval_destroy(r);
    }
}

static void no_queries_are_a_success(void **state)
{
    clf_test *t = *state;
    clf_retrieval_desc d = clf_retrieval_desc_default();
    int64_t indices[1] = { -7 };

    d.stored = integers(t, CLF_F32, 5, D);
    clf_retrieval *r = create(t, &d);
    search(r, (clf_host_tensor){ NULL, CLF_F32, 2, { 0, D } }, 2, NULL, indices);
    assert_true(indices[0] == -7);
    clf_retrieval_destroy(r);
}

/* ---- the two queues ---- */

static bool meets(const clf_profile_entry *a, const clf_profile_entry *b)
{
    return a->start_ns < b->end_ns && b->start_ns < a->end_ns;
}

/* Uploads of later blocks that run while kernels do, by the device's clock. */
static int overlaps(clf_retrieval *r)
{
    const clf_profile_entry *uploads, *kernels;
    const size_t up = clf_stream_profile(clf_retrieval_uploads(r), &uploads);
    const size_t count = clf_stream_profile(clf_retrieval_products(r), &kernels);
    int found = 0;

    for (size_t i = 0; i < up; i++) {
        bool met = false;
        for (size_t j = 0; j < count; j++)
            met = met || (strcmp(uploads[i].name, "upload") == 0 && meets(&uploads[i], &kernels[j]));
        found += met;
    }
    return found;
}

/* Long enough that both threads of the driver get a core while others want it, too; again until they did. */
static void uploads_run_beside_products(void **state)
{
    enum { WIDE = 512, ROWS = 4096, BLOCKS = 12, ENOUGH = 5 };
    clf_test *t = *state;
    const clf_host_tensor queries = integers(t, CLF_F32, 64, WIDE);
    clf_retrieval_desc d = clf_retrieval_desc_default();
    int64_t *indices = clf_test_memory(t, 64 * K * sizeof *indices);
    int found = 0;

    if (clf_test_small_only(t) || strcmp(clf_context_device(t->ctx)->platform_name, "Portable Computing Language") != 0)
        clf_test_skip("other drivers run their queues on one thread");
    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("events that CLBlast makes itself would count as given back twice");
    if (clf_context_device(t->ctx)->compute_units < 2)
        clf_test_skip("one core does one thing at a time");
    d.stored = (clf_host_tensor){
        clf_test_memory(t, (size_t)BLOCKS * ROWS * WIDE * sizeof(float)), CLF_F32, 2, { BLOCKS * ROWS, WIDE }
    };
    d.block_rows = ROWS;
    d.upload = d.profiling = true;
    clf_retrieval *r = create(t, &d);
    search(r, queries, K, NULL, indices); /* programs are built */
    (void)overlaps(r);
    for (int again = 0; again < 50 && found < ENOUGH; again++) {
        search(r, queries, K, NULL, indices);
        found += overlaps(r);
    }
    if (found < ENOUGH)
        fail_msg("%d uploads of 600 met a kernel; want at least %d", found, (int)ENOUGH);
    clf_retrieval_destroy(r);
}

/* ---- failures ---- */

enum { FEW = 3, MANY = 5 }; /* queries as rows, and packed */

typedef struct results {
    int64_t indices[2 * MANY];
    float values[2 * MANY];
} results;

typedef struct life {
    clf_retrieval_desc desc;
    clf_host_tensor queries;
    results *best;
} life;

static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const life *l = user;
    clf_retrieval *r = NULL;
    clf_status status = clf_retrieval_create(t->ctx, &l->desc, &r, err);

    (void)s; /* a retrieval has streams of its own */
    if (status == CLF_OK)
        status = clf_retrieval_search(r, l->queries, 2, l->best->values, l->best->indices, err);
    clf_retrieval_destroy(r);
    return status;
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;

    for (int i = 0; i < 4; i++) {
        const bool upload = i % 2 == 1;
        results best = { .indices = { 0 } }; /* no byte is padding */
        life l = { .desc = clf_retrieval_desc_default(),
                   .queries = integers(t, CLF_F32, i < 2 ? FEW : MANY, D),
                   .best = &best };
        const clf_walk w = { .name = upload ? "uploads" : "in place",
                             .work = live,
                             .user = &l,
                             .result = &best,
                             .bytes = sizeof best,
                             .beside = true };

        l.desc.stored = integers(t, CLF_F32, 12, D);
        l.desc.block_rows = 5;
        l.desc.upload = upload;
        assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 3 : 30));
        assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 0 : 5));
    }
}

/* ---- refusals ---- */

static void refused(clf_test *t, clf_host_tensor stored, int64_t rows, clf_status status, const char *message)
{
    clf_retrieval_desc d = clf_retrieval_desc_default();
    clf_retrieval *r = NULL;
    clf_error err = { 0 };

    d.stored = stored;
    d.block_rows = rows;
    assert_int_equal(clf_retrieval_create(t->ctx, &d, &r, &err), status);
    assert_string_equal(err.message, message);
    assert_null(r);
}

static void search_refused(clf_retrieval *r, clf_host_tensor queries, int64_t k, const char *message)
{
    int64_t indices[4];
    clf_error err = { 0 };

    assert_int_equal(clf_retrieval_search(r, queries, k, NULL, indices, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
}

static void what_does_not_fit_is_refused(void **state)
{
    clf_test *t = *state;
    const clf_host_tensor stored = integers(t, CLF_F32, 5, D), queries = integers(t, CLF_F32, 1, D);
    clf_host_tensor bad = stored;
    clf_retrieval_desc d = clf_retrieval_desc_default();

    bad.dtype = CLF_F64;
    refused(t, bad, 0, CLF_UNSUPPORTED, "retrieval: stored is f64[5, 20]; want f32, f16 or bf16");
    bad = stored;
    bad.rank = 1;
    refused(t, bad, 0, CLF_INVALID_ARGUMENT, "retrieval: stored is f32[5]; want [N, D], D of 1 to 2^31 - 1");
    bad = stored;
    bad.data = NULL;
    refused(t, bad, 0, CLF_INVALID_ARGUMENT, "retrieval: stored is f32[5, 20] without data; want host memory");
    refused(t, stored, -1, CLF_INVALID_ARGUMENT, "retrieval: block_rows is -1; want 0 to 2^31 - 1");
    d.stored = stored;
    clf_retrieval *r = create(t, &d);
    search_refused(r, queries, 0, "retrieval: k is 0; want 1 to 5, at most 1024 and the rows of stored f32[5, 20]");
    search_refused(r, queries, 6, "retrieval: k is 6; want 1 to 5, at most 1024 and the rows of stored f32[5, 20]");
    search_refused(r, integers(t, CLF_F32, 1, D + 1), 2,
                   "retrieval: queries is f32[1, 21]; want [Q, 20], for stored f32[5, 20]");
    clf_retrieval_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(finds_the_best_of_all_blocks), CLF_TEST(blocks_of_the_usual_size_are_put_together),
        CLF_TEST(all_of_few_are_sorted),        CLF_TEST(a_mapped_file_is_read_where_it_lies),
        CLF_TEST(equal_rows_keep_their_order),  CLF_TEST(no_queries_are_a_success),
        CLF_TEST(uploads_run_beside_products),  CLF_TEST(an_error_at_any_call_is_reported_once),
        CLF_TEST(what_does_not_fit_is_refused),
    };

    return CLF_TEST_MAIN(tests);
}
