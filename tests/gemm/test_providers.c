/* What only providers promise: both give the same results, CLBlast on both of its paths, two threads at once from the
 * first call on, a second call that allocates and compiles nothing, and CLBlast's launches for a product. */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "gemm/blast_table.h"
#include "runtime/context.h"
#include "ref/linear.h"
#include "shims.h"

/* A context of this device with the provider, or NULL with a printed reason. */
static clf_context *context_with(clf_gemm_choice gemm)
{
    clf_context_desc desc = clf_context_desc_default();
    clf_context *ctx = NULL;
    clf_error err = { 0 };

    desc.gemm = gemm;
    if (clf_context_create(&desc, &ctx, &err) != CLF_OK)
        print_message("             %s\n", err.message);
    return ctx;
}

typedef struct layer {
    clf_context *ctx;
    clf_stream *stream;
    clf_linear_weight *w;
    int64_t M, N, K;
    const float *x;
    float *y;
    pthread_barrier_t *start; /* NULL: alone */
    clf_error err;
    clf_status status;
} layer;

/* y = GELU(x Wᵀ), from host memory to host memory. */
static void *run_layer(void *argument)
{
    layer *l = argument;
    clf_linear_options o = clf_linear_options_default();
    const clf_scope scope = clf_scope_open(l->stream, "layer", -1);
    const clf_tensor x = clf_scratch(l->stream, CLF_F32, CLF_DIMS(l->M, l->K));
    const clf_tensor y = clf_scratch(l->stream, CLF_F32, CLF_DIMS(l->M, l->N));

    o.activation = CLF_GELU;
    if (l->start != NULL)
        pthread_barrier_wait(l->start);
    clf_upload(l->stream, l->x, x);
    clf_linear(l->stream, x, l->w, &o, y);
    clf_download(l->stream, y, l->y);
    clf_scope_close(l->stream, scope);
    l->status = clf_stream_finish(l->stream, &l->err);
    return NULL;
}

static float *random_floats(clf_test *t, size_t count)
{
    float *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2.0 * clf_test_random(t) - 1.0);
    return values;
}

static clf_linear_weight *pack(clf_context *ctx, const float *weight, int64_t N, int64_t K)
{
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;
    clf_error err = { 0 };

    d.weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { N, K } };
    if (clf_linear_weight_create(ctx, &d, &w, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return w;
}

static void run_in(clf_context *ctx, const float *weight, layer *l)
{
    l->ctx = ctx;
    l->w = pack(ctx, weight, l->N, l->K);
    assert_int_equal(clf_stream_create(ctx, NULL, &l->stream, NULL), CLF_OK);
    run_layer(l);
    clf_stream_destroy(l->stream);
    clf_linear_weight_destroy(l->w);
    if (l->status != CLF_OK)
        fail_msg("%s", l->err.message);
}

/* |a - b| within twice the bound of one: (K + 3) u sum|x w|, with the slope and error of GELU. */
static void assert_agree(const layer *a, const layer *b, const float *weight)
{
    for (int64_t i = 0; i < a->M * a->N; i++) {
        double size = 0.0, allowed;

        for (int64_t k = 0; k < a->K; k++)
            size += fabs((double)a->x[i / a->N * a->K + k] * (double)weight[i % a->N * a->K + k]);
        allowed = 2.0 * (1.13 * (double)(a->K + 3) * 0x1p-24 * size + 1e-7);
        if (!(fabs((double)a->y[i] - (double)b->y[i]) <= allowed))
            fail_msg("element %d: %g and %g, allowed %g", (int)i, (double)a->y[i], (double)b->y[i], allowed);
    }
}

static void both_providers_agree_within_the_bound(void **state)
{
    static const int64_t shapes[][3] = {
        { 1, 64, 64 }, { 5, 37, 53 }, { 64, 96, 80 }, { 70, 129, 33 }, { 257, 130, 200 }
    };
    clf_test *t = *state;
    clf_context *panel = context_with(CLF_GEMM_PANEL), *blast = context_with(CLF_GEMM_CLBLAST);

    if (blast == NULL || clf_test_small_only(t)) {
        clf_context_destroy(panel);
        clf_context_destroy(blast);
        clf_test_skip("wants CLBlast, and a device that affords its kernels");
    }
    for (size_t i = 0; i < CLF_COUNT(shapes); i++) {
        const int64_t M = shapes[i][0], N = shapes[i][1], K = shapes[i][2];
        const float *weight = random_floats(t, (size_t)(N * K)), *x = random_floats(t, (size_t)(M * K));
        layer a = { .M = M, .N = N, .K = K, .x = x, .y = clf_test_memory(t, (size_t)(M * N) * sizeof(float)) }, b = a;

        b.y = clf_test_memory(t, (size_t)(M * N) * sizeof(float));
        run_in(panel, weight, &a);
        run_in(blast, weight, &b);
        assert_agree(&a, &b, weight);
    }
    clf_context_destroy(panel);
    clf_context_destroy(blast);
}

/* CLBlast goes direct below XGEMM_MIN_INDIRECT_SIZE³ multiply-adds, for the whole process; both ways at will. */
static void choose_path(clf_context *blast, size_t threshold)
{
    const char *name = "XGEMM_MIN_INDIRECT_SIZE";

    assert_int_equal(
        clf_blast()->OverrideParameters(blast->device, "GemmRoutine", CLF_BLAST_SINGLE, 1, &name, &threshold), 0);
}

enum { INDIRECT = 1, DIRECT = 4096 };

/* The indirect path pads and turns into a temporary; the direct one has none. */
static bool takes_a_temporary(clf_context *blast, int64_t M, int64_t N, int64_t K)
{
    clf_stream *s = NULL;
    cl_command_queue queue;
    cl_int code;
    size_t bytes = 0;
    const size_t m = (size_t)M, n = (size_t)N, k = (size_t)K;

    assert_int_equal(clf_stream_create(blast, NULL, &s, NULL), CLF_OK);
    queue = clf_cl()->CreateCommandQueue(blast->cl, blast->device, 0, &code);
    assert_int_equal(clf_blast()->SGemmTempBufferSize(CLF_BLAST_COLUMN_MAJOR, CLF_BLAST_TRANSPOSE_NO,
                                                      CLF_BLAST_TRANSPOSE_NO, n, m, k, 0, n, 0, k, 0, n, &queue,
                                                      &bytes),
                     0);
    clf_cl()->ReleaseCommandQueue(queue);
    clf_stream_destroy(s);
    return bytes > 0;
}

/* A test that passed on one path has not tested the other. */
static void clblast_is_right_on_its_direct_and_its_indirect_path(void **state)
{
    clf_test *t = *state;
    clf_context *blast = context_with(CLF_GEMM_CLBLAST), *panel = context_with(CLF_GEMM_PANEL);
    const size_t thresholds[] = { INDIRECT, DIRECT };
    const int64_t M = 33, N = 70, K = 65;
    const float *weight = random_floats(t, (size_t)(N * K)), *x = random_floats(t, (size_t)(M * K));
    layer want = { .M = M, .N = N, .K = K, .x = x, .y = clf_test_memory(t, (size_t)(M * N) * sizeof(float)) },
          got = want;

    if (blast == NULL || clf_test_small_only(t)) {
        clf_context_destroy(panel);
        clf_context_destroy(blast);
        clf_test_skip("wants CLBlast, and a device that affords its kernels");
    }
    run_in(panel, weight, &want);
    for (int i = 0; i < 2; i++) {
        got.y = clf_test_memory(t, (size_t)(M * N) * sizeof(float));
        choose_path(blast, thresholds[i]);
        assert_int_equal(takes_a_temporary(blast, M, N, K), thresholds[i] == INDIRECT);
        run_in(blast, weight, &got);
        assert_agree(&want, &got, weight);
    }
    clf_context_destroy(panel);
    clf_context_destroy(blast);
}

static void first_calls_at_once(void **state, clf_gemm_choice gemm, int rounds)
{
    clf_test *t = *state;
    const int64_t M = 9, N = 70, K = 65;
    const float *weight = random_floats(t, (size_t)(N * K)), *x = random_floats(t, (size_t)(M * K));
    layer alone = { .M = M, .N = N, .K = K, .x = x, .y = clf_test_memory(t, (size_t)(M * N) * sizeof(float)) };

    for (int round = 0; round < rounds; round++) {
        clf_context *ctx = context_with(gemm); /* a new one each time: nothing is built yet */
        pthread_barrier_t start;
        pthread_t threads[2];
        layer layers[2] = { alone, alone };

        if (ctx == NULL || (gemm == CLF_GEMM_CLBLAST && clf_test_small_only(t))) {
            clf_context_destroy(ctx);
            clf_test_skip("wants CLBlast, and a device that affords its kernels");
        }
        pthread_barrier_init(&start, NULL, 2);
        layers[0].w = layers[1].w = pack(ctx, weight, N, K); /* one context, one module, two streams */
        for (int i = 0; i < 2; i++) {
            layers[i].start = &start;
            layers[i].y = clf_test_memory(t, (size_t)(M * N) * sizeof(float));
            assert_int_equal(clf_stream_create(ctx, NULL, &layers[i].stream, NULL), CLF_OK);
        }
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_layer, &layers[i]), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&start);
        for (int i = 0; i < 2; i++) {
            if (layers[i].status != CLF_OK)
                fail_msg("thread %d: %s", i, layers[i].err.message);
            clf_stream_destroy(layers[i].stream);
        }
        clf_linear_weight_destroy(layers[0].w);
        run_in(ctx, weight, &alone);
        assert_memory_equal(layers[0].y, alone.y, (size_t)(M * N) * sizeof(float));
        assert_memory_equal(layers[1].y, alone.y, (size_t)(M * N) * sizeof(float));
        clf_context_destroy(ctx);
    }
}

static void two_threads_may_make_the_first_panel_call_at_once(void **state)
{
    first_calls_at_once(state, CLF_GEMM_PANEL, 5);
}

static void two_threads_may_make_the_first_clblast_call_at_once(void **state)
{
    first_calls_at_once(state, CLF_GEMM_CLBLAST, 3);
}

/* Two streams on two threads over one module, many times, with different rows. */
typedef struct worker {
    layer l;
    const float *want;
    int rounds;
    bool wrong;
} worker;

static void *work(void *argument)
{
    worker *w = argument;

    for (int i = 0; i < w->rounds && !w->wrong; i++) {
        memset(w->l.y, 0, (size_t)(w->l.M * w->l.N) * sizeof(float));
        run_layer(&w->l);
        w->wrong = w->l.status != CLF_OK || memcmp(w->l.y, w->want, (size_t)(w->l.M * w->l.N) * sizeof(float)) != 0;
    }
    return NULL;
}

static void two_streams_share_a_module(void **state)
{
    clf_test *t = *state;
    const int64_t N = 70, K = 65;
    const float *weight = random_floats(t, (size_t)(N * K));
    clf_linear_weight *w = pack(t->ctx, weight, N, K);
    worker workers[2];
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        const int64_t M = 3 + 7 * i;
        float *want = clf_test_memory(t, (size_t)(M * N) * sizeof(float));

        workers[i] = (worker){ .rounds = clf_test_small_only(t) ? 5 : 200, .want = want };
        workers[i].l = (layer){ .w = w, .M = M, .N = N, .K = K, .x = random_floats(t, (size_t)(M * K)), .y = want };
        assert_int_equal(clf_stream_create(t->ctx, NULL, &workers[i].l.stream, NULL), CLF_OK);
        run_layer(&workers[i].l);
        workers[i].l.y = clf_test_memory(t, (size_t)(M * N) * sizeof(float));
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        assert_false(workers[i].wrong);
        clf_stream_destroy(workers[i].l.stream);
    }
    clf_linear_weight_destroy(w);
}

/* CLBlast's own calls, when tests/preload_count.c is preloaded; false otherwise. */
static bool clblast_counts(long *buffers, long *builds)
{
    long (*counts)(long *);
    void *symbol = dlsym(RTLD_DEFAULT, "clf_preload_counts");

    if (symbol == NULL)
        return false;
    memcpy(&counts, &symbol, sizeof symbol);
    *buffers = counts(builds);
    return true;
}

/* threshold 0: CLBlast's own, or another provider. */
static void steady(void **state, clf_gemm_choice gemm, size_t threshold)
{
    clf_test *t = *state;
    clf_context *ctx = context_with(gemm);
    const int64_t M = 70, N = 129, K = 65;
    const float *weight = random_floats(t, (size_t)(N * K));
    layer l = { .ctx = ctx,
                .M = M,
                .N = N,
                .K = K,
                .x = random_floats(t, (size_t)(M * K)),
                .y = clf_test_memory(t, (size_t)(M * N) * sizeof(float)) };
    clf_shim_counts before, after;
    uint64_t launches;
    long buffers = 0, builds = 0, later_buffers = 0, later_builds = 0;

    if (ctx == NULL || (gemm == CLF_GEMM_CLBLAST && (clf_test_small_only(t) || !clblast_counts(&buffers, &builds)))) {
        clf_context_destroy(ctx);
        clf_test_skip("wants CLBlast, and a device that affords its kernels");
    }
    if (threshold != 0) {
        choose_path(ctx, threshold);
        assert_int_equal(takes_a_temporary(ctx, M, N, K), threshold == INDIRECT);
    }
    l.w = pack(ctx, weight, N, K);
    assert_int_equal(clf_stream_create(ctx, NULL, &l.stream, NULL), CLF_OK);
    run_layer(&l);
    before = clf_shims_count();
    launches = clf_stream_launches(l.stream, NULL);
    clblast_counts(&buffers, &builds);
    if (gemm == CLF_GEMM_CLBLAST)
        assert_true(builds > 0); /* the shim does see CLBlast */
    run_layer(&l);
    run_layer(&l);
    after = clf_shims_count();
    clblast_counts(&later_buffers, &later_builds);
    assert_int_equal(l.status, CLF_OK);
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.programs_built, before.programs_built);
    assert_int_equal(after.kernels, before.kernels);
    assert_int_equal(after.allocated, before.allocated);
    /* our kernels, and one for each product that CLBlast computes past the shims */
    assert_int_equal(clf_stream_launches(l.stream, NULL) - launches,
                     after.launched - before.launched + (gemm == CLF_GEMM_CLBLAST ? 2 : 0));
    assert_int_equal(later_buffers, buffers);
    assert_int_equal(later_builds, builds);
    clf_stream_destroy(l.stream);
    clf_linear_weight_destroy(l.w);
    clf_context_destroy(ctx);
}

static void a_second_panel_call_allocates_and_compiles_nothing(void **state)
{
    steady(state, CLF_GEMM_PANEL, 0);
}

static void a_second_direct_clblast_call_allocates_and_compiles_nothing(void **state)
{
    steady(state, CLF_GEMM_CLBLAST, DIRECT);
}

static void a_second_indirect_clblast_call_allocates_and_compiles_nothing(void **state)
{
    steady(state, CLF_GEMM_CLBLAST, INDIRECT);
}

/* CLBlast's launches since the program began, of which ours are none; only with the preloaded library. */
static long clblast_launches(void)
{
    const atomic_long *launches = dlsym(RTLD_DEFAULT, "clf_preload_launches");

    return launches != NULL ? atomic_load(launches) : -1;
}

/* Tiles of 32 x 32, tiled by the group alone (gemmk 0) or by the registers of an item too (1): CLBlast's kernels want
 * their operands turned in different ways. */
static void choose_kernel(clf_context *blast, size_t gemmk)
{
    static const char *names[] = { "GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                   "NDIMC", "NWG",  "SA",  "SB",  "STRM",  "STRN",  "VWM", "VWN" };
    const size_t flat[] = { 0, 1, 16, 2, 8, 8, 32, 8, 8, 32, 0, 0, 0, 0, 2, 2 };
    const size_t registers[] = { 1, 2, 1, 1, 8, 8, 32, 8, 8, 32, 0, 0, 0, 0, 2, 2 };

    assert_int_equal(clf_blast()->OverrideParameters(blast->device, "Xgemm", CLF_BLAST_SINGLE, CLF_COUNT(names), names,
                                                     gemmk == 0 ? flat : registers),
                     0);
}

/* Launches of one product with a weight as PyTorch keeps it, [N, K], in the better of both phrases. */
static long launches_of_turned_weight(clf_context *blast, size_t M, size_t N, size_t K, size_t gemmk)
{
    enum { ROW_MAJOR = 101, TRANSPOSED = 112 };
    const size_t floats[] = { M * K, N * K, M * N, 8 * (M + N + K) * (M + N + K) };
    cl_int code;
    cl_command_queue queue = clf_cl()->CreateCommandQueue(blast->cl, blast->device, 0, &code);
    cl_mem b[4];
    const long before = clblast_launches();

    for (size_t i = 0; i < CLF_COUNT(b); i++)
        b[i] = clf_cl()->CreateBuffer(blast->cl, 0, floats[i] * sizeof(float), NULL, &code);
    code = gemmk == 0
               ? clf_blast()->SgemmWithTempBuffer(CLF_BLAST_COLUMN_MAJOR, TRANSPOSED, CLF_BLAST_TRANSPOSE_NO, N, M, K,
                                                  1.0F, b[1], 0, K, b[0], 0, K, 0.0F, b[2], 0, N, &queue, NULL, b[3])
               : clf_blast()->SgemmWithTempBuffer(ROW_MAJOR, CLF_BLAST_TRANSPOSE_NO, TRANSPOSED, M, N, K, 1.0F, b[0], 0,
                                                  K, b[1], 0, K, 0.0F, b[2], 0, N, &queue, NULL, b[3]);
    assert_int_equal(code, 0);
    clf_cl()->Finish(queue);
    for (size_t i = 0; i < CLF_COUNT(b); i++)
        clf_cl()->ReleaseMemObject(b[i]);
    clf_cl()->ReleaseCommandQueue(queue);
    return clblast_launches() - before;
}

/* The weight is never turned, the result neither; the activation only where CLBlast's kernel wants it.  Rows that are no
 * whole tiles cost a copy of the result, and of the activation where that is not turned anyway. */
static void our_weights_save_clblast_launches(void **state)
{
    static const struct {
        size_t gemmk;
        int64_t M;
        long ours, turned;
    } cases[] = { { 0, 64, 2, 3 }, { 0, 70, 3, 4 }, { 1, 64, 1, 2 }, { 1, 70, 3, 4 } };
    clf_test *t = *state;
    clf_context *panel = context_with(CLF_GEMM_PANEL), *blast = context_with(CLF_GEMM_CLBLAST);
    const int64_t N = 96, K = 64;

    if (blast == NULL || clblast_launches() < 0 || clf_test_small_only(t)) {
        clf_context_destroy(panel);
        clf_context_destroy(blast);
        clf_test_skip("wants CLBlast, the preloaded library, and a device that affords its kernels");
    }
    choose_path(blast, INDIRECT);
    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        const int64_t M = cases[i].M;
        const float *weight = random_floats(t, (size_t)(N * K)), *x = random_floats(t, (size_t)(M * K));
        layer a = { .M = M, .N = N, .K = K, .x = x, .y = clf_test_memory(t, (size_t)(M * N) * sizeof(float)) }, b = a;
        long ours, turned;

        b.y = clf_test_memory(t, (size_t)(M * N) * sizeof(float));
        choose_kernel(blast, cases[i].gemmk);
        run_in(panel, weight, &a);
        ours = clblast_launches();
        run_in(blast, weight, &b);
        ours = clblast_launches() - ours;
        turned = launches_of_turned_weight(blast, (size_t)M, (size_t)N, (size_t)K, cases[i].gemmk);
        print_message("             %d rows, GEMMK %zu: %ld launches of CLBlast, %ld with a weight [out, in]\n", (int)M,
                      cases[i].gemmk, ours, turned);
        assert_agree(&a, &b, weight);
        assert_int_equal(ours, cases[i].ours);
        assert_int_equal(turned, cases[i].turned);
    }
    clf_context_destroy(panel);
    clf_context_destroy(blast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(both_providers_agree_within_the_bound),
        CLF_TEST(two_threads_may_make_the_first_panel_call_at_once),
        CLF_TEST(two_threads_may_make_the_first_clblast_call_at_once),
        CLF_TEST(two_streams_share_a_module),
        CLF_TEST(a_second_panel_call_allocates_and_compiles_nothing),
        /* last: their override of CLBlast's parameters is for the whole process */
        CLF_TEST(clblast_is_right_on_its_direct_and_its_indirect_path),
        CLF_TEST(a_second_direct_clblast_call_allocates_and_compiles_nothing),
        CLF_TEST(a_second_indirect_clblast_call_allocates_and_compiles_nothing),
        CLF_TEST(our_weights_save_clblast_launches),
    };
    return CLF_TEST_MAIN(tests);
}
