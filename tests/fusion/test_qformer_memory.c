/* Device memory of the Q-Former at BLIP-2's size.  A program of its own: the peak is that of the whole context. */
#include "parts.h"
#include "shims.h"

/* Bytes beside the weights: input, result, scratch, what packing stages, CLBlast's temporaries. */
#define ROOM 20000000U

typedef struct call {
    clf_qformer *q;
    clf_tensor vision, hidden;
} call;

/* Floats of the description: what the weights need on the device. */
static uint64_t parameters(part_qformer_sizes n)
{
    const uint64_t D = (uint64_t)n.width, F = (uint64_t)n.inner, V = (uint64_t)n.vision, L = (uint64_t)n.layers,
                   cross = (L + 1) / 2;

    return (uint64_t)n.queries * D + 2 * D + L * (4 * D * D + 4 * D + 2 * D) + L * (2 * D * F + F + D + 2 * D) +
           cross * (2 * D * D + 2 * D * V + 4 * D + 2 * D);
}

static void run(clf_test *t, const call *k)
{
    clf_error err = { 0 };

    clf_qformer_forward(t->stream, k->q, k->vision, NULL, 0, NULL, k->hidden);
    if (clf_stream_finish(t->stream, &err) != CLF_OK)
        fail_msg("%s", err.message);
}

static call prepare(clf_test *t, part_qformer_sizes n, int64_t rows)
{
    const clf_qformer_desc d = part_qformer(t, n);
    clf_error err = { 0 };
    call k = { .vision = clf_test_normal(t, CLF_F32, CLF_DIMS(1, rows, n.vision)),
               .hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(1, n.queries, n.width)) };

    if (clf_qformer_create(t->ctx, &d, &k.q, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return k;
}

/* From the creation of the module to its second call. */
static void memory_is_that_of_the_weights_and_little_more(void **state)
{
    static const part_qformer_sizes
        blip2 = { .queries = 32, .width = 768, .inner = 3072, .vision = 1408, .layers = 12, .heads = 12 },
        small = { .queries = 32, .width = 48, .inner = 96, .vision = 64, .layers = 2, .heads = 4 };
    clf_test *t = *state;
    const part_qformer_sizes n = clf_test_small_only(t) ? small : blip2;
    const uint64_t weights = sizeof(float) * parameters(n);
    const call k = prepare(t, n, clf_test_small_only(t) ? 9 : 257);
    clf_shim_counts before, after;
    uint64_t first_peak, peak, held;

    assert_true(clf_context_memory(t->ctx, NULL) >= weights); /* the count is of this module */
    run(t, &k);
    held = clf_context_memory(t->ctx, &first_peak);
    before = clf_shims_count();
    run(t, &k);
    after = clf_shims_count();
    assert_int_equal(clf_context_memory(t->ctx, &peak), held);
    assert_int_equal(peak, first_peak);
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.allocated, before.allocated);
    assert_int_equal(after.programs_built, before.programs_built);
    assert_int_equal(after.kernels, before.kernels);
    print_message("             %.1f MB of weights, at most %.1f MB beside them\n", (double)weights * 1e-6,
                  ((double)peak - (double)weights) * 1e-6);
    if (peak > weights + ROOM)
        fail_msg("peak is %llu bytes; want at most %llu, the weights and %u", (unsigned long long)peak,
                 (unsigned long long)(weights + ROOM), ROOM);
    clf_qformer_destroy(k.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLF_TEST(memory_is_that_of_the_weights_and_little_more) };

    return CLF_TEST_MAIN(tests);
}
