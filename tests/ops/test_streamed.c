/* Results that go past the caches have the bits of those that do not, aligned or not. */
#include "ops/ops.h"
#include "ops/sweep.h"
#include "runtime/op.h"

/* What counts as the cache from here on; the device of a context never changes otherwise. */
static uint64_t set_cache(clf_test *t, uint64_t bytes)
{
    clf_device_info *device = (clf_device_info *)(uintptr_t)clf_context_device(t->ctx);
    const uint64_t was = device->cache_bytes;

    device->cache_bytes = bytes;
    return was;
}

/* An operator from x to y. */
typedef void operation(clf_test *t, clf_tensor x, clf_tensor y);

static void copy(clf_test *t, clf_tensor x, clf_tensor y)
{
    clf_copy(t->stream, x, y);
}

static void gather(clf_test *t, clf_tensor x, clf_tensor y)
{
    int32_t index[64];

    for (int32_t i = 0; i < 64; i++)
        index[i] = 63 - i;
    x.rank = y.rank = 2;
    x.dim[0] = y.dim[0] = 64; /* of the first picture */
    for (int i = 0; i < 2; i++) {
        x.stride[i] = x.stride[i + 1];
        y.stride[i] = y.stride[i + 1];
    }
    x.dim[1] = x.dim[2];
    y.dim[1] = y.dim[2];
    clf_gather(t->stream, x, clf_test_i32(t, CLF_DIMS(64), index), y);
}

static void pool(clf_test *t, clf_tensor x, clf_tensor y)
{
    clf_pool(t->stream, x, (clf_grid){ 8, 8 }, (clf_grid){ 8, 8 }, y);
}

/* [2, 64, C] as pictures of 64 / width by width pixels. */
static clf_tensor picture(clf_tensor t, int64_t width)
{
    t.rank = 4;
    t.dim[3] = t.dim[2];
    t.dim[2] = width;
    t.dim[1] = 64 / width;
    t.stride[3] = 1;
    t.stride[2] = t.stride[1];
    t.stride[1] *= width;
    return t;
}

static void resize(clf_test *t, clf_tensor x, clf_tensor y)
{
    const clf_resize_options o = clf_resize_options_default();

    clf_resize(t->stream, picture(x, 8), &o, picture(y, 16));
}

/* Columns `left` .. left + width - 1 of [2, 64, C] for both, with and without a cache that holds them. */
static void each_way(clf_test *t, operation *run, clf_dtype dtype, int64_t C, int64_t left, int64_t width)
{
    const clf_tensor x = clf_slice(t->stream, clf_test_normal(t, dtype, CLF_DIMS(2, 64, C)), 2, left, width);
    const clf_tensor want = clf_slice(t->stream, clf_test_empty(t, dtype, CLF_DIMS(2, 64, C)), 2, left, width);
    const clf_tensor got = clf_slice(t->stream, clf_test_empty(t, dtype, CLF_DIMS(2, 64, C)), 2, left, width);
    const uint64_t was = set_cache(t, UINT64_MAX);

    assert_false(clf_stores_past(t->stream, want, UINT64_C(1) << 40));
    run(t, x, want);
    set_cache(t, 1);
    assert_int_equal(clf_stores_past(t->stream, got, 2),
                     clf_op_kernels(t->stream) == CLF_KERNELS_SIMD && clf_dtype_bytes(dtype) >= 4);
    run(t, x, got);
    set_cache(t, was);
    clf_test_same_bits(t, want, got);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

/* Rows that begin on a vector, one element beside it, and with columns that fill no vector. */
static void each_place(clf_test *t, operation *run, clf_dtype dtype)
{
    each_way(t, run, dtype, 128, 0, 128);
    each_way(t, run, dtype, 160, 16, 128);
    each_way(t, run, dtype, 160, 1, 128);
    each_way(t, run, dtype, 149, 0, 149);
}

static void copy_keeps_its_bits(void **state)
{
    each_place(*state, copy, CLF_F32);
    each_place(*state, copy, CLF_F16);
    each_place(*state, copy, CLF_I32);
}

static void gather_keeps_its_bits(void **state)
{
    each_place(*state, gather, CLF_F32);
    each_place(*state, gather, CLF_BF16);
}

static void pool_keeps_its_bits(void **state)
{
    each_place(*state, pool, CLF_F32);
    each_place(*state, pool, CLF_F16);
}

static void resize_keeps_its_bits(void **state)
{
    each_way(*state, resize, CLF_F32, 128, 0, 128);
    each_way(*state, resize, CLF_F32, 149, 0, 149);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(copy_keeps_its_bits),
        CLF_TEST(gather_keeps_its_bits),
        CLF_TEST(pool_keeps_its_bits),
        CLF_TEST(resize_keeps_its_bits),
    };

    return CLF_TEST_MAIN(tests);
}
