/* Weights on their way to the device: packed from where they lie or through a staging tensor, the same bits come out; the
 * source hears once of every byte; a CPU device needs no memory beside the packed weight; host memory is only read, and
 * never after the weight is there. */
#include <string.h>
#include <sys/mman.h>

#include "gemm/gemm.h"
#include "harness.h"
#include "ops/linear_weight.h"
#include "runtime/context.h"
#include "shims.h"

#define PARTS 4

static clf_host_tensor values(clf_test *t, clf_dtype dtype, int64_t rows, int64_t K)
{
    const size_t count = (size_t)(rows * K), item = clf_dtype_bytes(dtype);
    char *at = clf_test_memory(t, count * item);

    for (size_t i = 0; i < count; i++) {
        const float v = (float)(2.0 * clf_test_random(t) - 1.0);
        const uint16_t half = dtype == CLF_F16 ? clf_f32_to_f16(v) : clf_f32_to_bf16(v);

        memcpy(at + i * item, dtype == CLF_F32 ? (const void *)&v : &half, item);
    }
    return (clf_host_tensor){ .data = at, .dtype = dtype, .rank = 2, .dim = { rows, K } };
}

/* The same values at an address that is `odd` bytes beyond one of 64. */
static clf_host_tensor moved(clf_test *t, clf_host_tensor from, size_t odd)
{
    const size_t bytes = (size_t)(from.dim[0] * from.dim[1]) * clf_dtype_bytes(from.dtype);
    char *at = clf_test_memory(t, bytes + 128);

    at += 64 - (uintptr_t)at % 64 + odd;
    memcpy(at, from.data, bytes);
    from.data = at;
    return from;
}

static clf_linear_weight *pack(clf_context *ctx, const clf_linear_part *parts, int count, clf_dtype storage,
                               const clf_tensor_source *source)
{
    clf_linear_weight_desc d = clf_linear_weight_desc_default();
    clf_linear_weight *w = NULL;
    clf_error err = { 0 };

    d.parts = parts;
    d.part_count = count;
    d.storage = storage;
    d.source = source;
    if (clf_linear_weight_create(ctx, &d, &w, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return w;
}

static void *packed_bits(clf_test *t, const clf_linear_weight *w, size_t *bytes)
{
    void *bits;

    *bytes = (size_t)w->w.packed.dim[0] * clf_dtype_bytes(w->w.packed.dtype);
    bits = clf_test_memory(t, *bytes);
    clf_download(t->stream, w->w.packed, bits);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    return bits;
}

static void assert_same_packing(clf_test *t, const clf_linear_part *a, int a_count, const clf_linear_part *b,
                                int b_count, clf_dtype storage)
{
    clf_linear_weight *first = pack(t->ctx, a, a_count, storage, NULL);
    clf_linear_weight *second = pack(t->ctx, b, b_count, storage, NULL);
    size_t first_bytes, second_bytes;
    const void *first_bits = packed_bits(t, first, &first_bytes);
    const void *second_bits = packed_bits(t, second, &second_bytes);

    assert_int_equal(first_bytes, second_bytes);
    assert_memory_equal(first_bits, second_bits, first_bytes);
    clf_linear_weight_destroy(first);
    clf_linear_weight_destroy(second);
}

/* `whole` in parts of so many rows, each with memory of its own. */
static void split(clf_test *t, clf_host_tensor whole, const int64_t rows[PARTS], size_t odd, clf_linear_part *parts)
{
    const size_t row_bytes = (size_t)whole.dim[1] * clf_dtype_bytes(whole.dtype);
    const char *at = whole.data;

    memset(parts, 0, PARTS * sizeof *parts);
    for (int i = 0; i < PARTS; at += (size_t)rows[i++] * row_bytes) {
        whole.data = at;
        whole.dim[0] = rows[i];
        parts[i].layer.weight = moved(t, whole, odd);
    }
}

/* Parts that end inside a panel and on its edge: against one part of all rows, and against themselves on odd addresses,
 * which have to be copied. */
static void packing_depends_on_no_address_and_no_part(void **state)
{
    static const int64_t rows[][PARTS] = {
        { 64, 32, 96, 5 }, { 40, 24, 32, 32 }, { 7, 1, 130, 64 }, { 32, 33, 31, 32 }
    };
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(types); i++) {
        const int64_t *n = rows[i / CLF_COUNT(types)];
        const clf_dtype type = types[i % CLF_COUNT(types)];
        const clf_linear_part one = { .layer.weight = values(t, type, n[0] + n[1] + n[2] + n[3], 37) };
        clf_linear_part even[PARTS], odd[PARTS];

        split(t, one.layer.weight, n, 0, even);
        split(t, one.layer.weight, n, 1, odd);
        assert_same_packing(t, &one, 1, even, PARTS, CLF_DTYPE_NONE);
        assert_same_packing(t, even, PARTS, odd, PARTS, CLF_DTYPE_NONE);
        assert_same_packing(t, even, PARTS, odd, PARTS, CLF_F16);
    }
}

/* More than one step of either way, and a part on panels of its own whose scale is folded in. */
static void long_weights_take_several_steps(void **state)
{
    static const int64_t rows[PARTS] = { 2048 + 64, 32, 96, 165 };
    static const float scale[96] = { [0] = 2.0F, [95] = 0.5F };
    clf_test *t = *state;
    clf_linear_part even[PARTS], odd[PARTS];
    const clf_host_tensor whole = values(t, CLF_F32, clf_test_small_only(t) ? 1 : 2405, 4096);

    if (clf_test_small_only(t))
        clf_test_skip("the device is too slow");
    split(t, whole, rows, 0, even);
    split(t, whole, rows, 2, odd);
    even[2].row_scale = odd[2].row_scale =
        (clf_host_tensor){ .data = scale, .dtype = CLF_F32, .rank = 1, .dim = { 96 } };
    assert_same_packing(t, even, PARTS, odd, PARTS, CLF_DTYPE_NONE);
}

typedef struct listener {
    const char *next; /* where the next bytes are to begin */
    size_t bytes;
    int calls;
} listener;

static void hear(void *self, const void *data, size_t bytes)
{
    listener *l = self;

    assert_ptr_equal(data, l->next);
    l->next += bytes;
    l->bytes += bytes;
    l->calls++;
}

static void the_source_hears_once_of_every_byte(void **state)
{
    clf_test *t = *state;

    for (size_t odd = 0; odd < 2; odd++) {
        const clf_linear_part part = { .layer.weight = moved(t, values(t, CLF_F32, 517, 4100), odd) };
        listener l = { .next = part.layer.weight.data };
        const clf_tensor_source source = { .self = &l, .done = hear };

        clf_linear_weight_destroy(pack(t->ctx, &part, 1, CLF_DTYPE_NONE, &source));
        assert_int_equal(l.bytes, 517 * 4100 * sizeof(float));
        assert_true(odd == 0 || l.calls > 1);
    }
}

/* The highest that the context's memory stood above the packed weight while it was made. */
static uint64_t memory_beside(clf_test *t, size_t odd)
{
    const clf_linear_part part = { .layer.weight = moved(t, values(t, CLF_F32, 256, 512), odd) };
    clf_context *ctx = NULL;
    clf_linear_weight *w;
    uint64_t before, peak, now;

    assert_int_equal(clf_context_create(NULL, &ctx, NULL), CLF_OK);
    before = clf_context_memory(ctx, NULL);
    w = pack(ctx, &part, 1, CLF_DTYPE_NONE, NULL);
    now = clf_context_memory(ctx, &peak);
    assert_true(now > before);
    clf_linear_weight_destroy(w);
    assert_int_equal(clf_context_memory(ctx, NULL), before);
    clf_context_destroy(ctx);
    return peak - now;
}

static void a_cpu_device_needs_no_memory_beside_the_weight(void **state)
{
    clf_test *t = *state;
    const clf_device_info *info = clf_context_device(t->ctx);

    assert_true(memory_beside(t, 1) > 0);
    if (info->kind != CLF_DEVICE_CPU || !info->unified_memory)
        clf_test_skip("the device has memory of its own");
    assert_int_equal(memory_beside(t, 0), 0);
}

/* y = x Wᵀ of M rows, as bits. */
static void *product_bits(clf_test *t, const clf_linear_weight *w, clf_tensor x, size_t *bytes)
{
    clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(clf_dim(x, 0), clf_linear_weight_out(w)));

    clf_linear(t->stream, x, w, NULL, y);
    return clf_test_bits(t, y, bytes);
}

/* As a file is that is mapped and closed again. */
static void host_memory_is_read_and_may_go(void **state)
{
    clf_test *t = *state;
    const clf_linear_part kept = { .layer.weight = values(t, CLF_F32, 128, 256) };
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(3, 256), -1.0, 1.0);
    const size_t mapped = 128 * 256 * sizeof(float);
    void *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    clf_linear_part gone = kept;
    size_t bytes;

    assert_true(memory != MAP_FAILED);
    memcpy(memory, kept.layer.weight.data, mapped);
    assert_int_equal(mprotect(memory, mapped, PROT_READ), 0);
    gone.layer.weight.data = memory;
    clf_linear_weight *a = pack(t->ctx, &kept, 1, CLF_DTYPE_NONE, NULL);
    clf_linear_weight *b = pack(t->ctx, &gone, 1, CLF_DTYPE_NONE, NULL);
    assert_int_equal(munmap(memory, mapped), 0);

    const void *want = product_bits(t, a, x, &bytes), *got = product_bits(t, b, x, &bytes);
    assert_memory_equal(got, want, bytes);
    clf_linear_weight_destroy(a);
    clf_linear_weight_destroy(b);
}

/* Both ways, each OpenCL call: the error names it, nothing is left, and the next weight is right. */
static void each_call_may_fail(void **state)
{
    clf_test *t = *state;

    for (size_t odd = 0; odd < 2; odd++) {
        const clf_linear_part part = { .layer.weight = moved(t, values(t, CLF_F32, 70, 40), odd) };
        clf_linear_weight_desc d = clf_linear_weight_desc_default();
        const clf_shim_counts before = clf_shims_count();

        d.weight = part.layer.weight;
        for (long k = 1;; k++) {
            clf_linear_weight *w = NULL;
            clf_error err = { 0 };

            clf_shims_fail_cl(k, false);
            const clf_status status = clf_linear_weight_create(t->ctx, &d, &w, &err);
            const char *failed = clf_shims_failed();
            clf_shims_fail_cl(0, false);
            clf_linear_weight_destroy(w);
            if (failed == NULL) {
                assert_int_equal(status, CLF_OK);
                assert_true(k > 3);
                break;
            }
            assert_null(w);
            assert_int_not_equal(status, CLF_OK);
            assert_non_null(strstr(err.message, failed));
            assert_true(clf_shims_enqueued_after() == 0);
            clf_shim_counts after = clf_shims_count();
            assert_int_equal(after.buffers, before.buffers);
            assert_int_equal(after.queues, before.queues);
            assert_int_equal(after.allocations, before.allocations);
        }
        assert_same_packing(t, &part, 1, &part, 1, CLF_DTYPE_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(packing_depends_on_no_address_and_no_part),
        CLF_TEST(long_weights_take_several_steps),
        CLF_TEST(the_source_hears_once_of_every_byte),
        CLF_TEST(a_cpu_device_needs_no_memory_beside_the_weight),
        CLF_TEST(host_memory_is_read_and_may_go),
        CLF_TEST(each_call_may_fail),
    };
    return CLF_TEST_MAIN(tests);
}
