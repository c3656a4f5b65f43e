/* Retrieval among more than the device has memory for: pocl is told to have 1 GiB, and a file of holes has more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fusion/retrieval.h"
#include "harness.h"

enum { D = 512, K = 3, Q = 2 };

static const int64_t N = 540000; /* 1.03 GiB of f32 */

/* Row n is n + 1 in its column q and nothing else, for a few n far apart. */
static void fill(float *stored, const int64_t *places, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int64_t q = 0; q < Q; q++)
            stored[places[i] * D + q] = (float)(i + 1) * (q == 0 ? 1.0F : -1.0F);
}

static void more_than_the_device_has_is_searched(void **state)
{
    static const int64_t places[] = { 7, 4095, 4096, 270000, 539999 };
    clf_test *t = *state;
    const size_t bytes = (size_t)N * D * sizeof(float);
    const uint64_t before = clf_context_memory(t->ctx, NULL);
    char name[] = "/tmp/clf_retrieval_XXXXXX";
    float ask[Q * D] = { 0 }, values[Q * K];
    int64_t indices[Q * K];
    uint64_t peak = 0;

    if (clf_test_small_only(t) || clf_context_device(t->ctx)->memory_bytes >= bytes)
        clf_test_skip("the device has memory for all");
    const int file = mkstemp(name);
    assert_true(file >= 0 && unlink(name) == 0 && ftruncate(file, (off_t)bytes) == 0);
    float *stored = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(stored != MAP_FAILED);
    fill(stored, places, CLF_COUNT(places));
    ask[0] = ask[D + 1] = 1;
    for (int upload = 0; upload < 2; upload++) {
        clf_retrieval_desc d = clf_retrieval_desc_default();
        clf_retrieval *r = NULL;
        clf_error err = { 0 };

        d.stored = (clf_host_tensor){ stored, CLF_F32, 2, { N, D } };
        d.upload = upload == 1;
        assert_int_equal(clf_retrieval_create(t->ctx, &d, &r, &err), CLF_OK);
        if (clf_retrieval_search(r, (clf_host_tensor){ ask, CLF_F32, 2, { Q, D } }, K, values, indices, &err) != CLF_OK)
            fail_msg("%s", err.message);
        clf_retrieval_destroy(r);
        for (int i = 0; i < K; i++) {
            assert_true(indices[i] == places[4 - i] && values[i] == (float)(5 - i));
            assert_true(indices[K + i] == i && values[K + i] == 0.0F); /* below 0 in column 1: the first of the zeros */
        }
    }
    clf_context_memory(t->ctx, &peak);
    assert_true(peak - before < (20 << 20)); /* three blocks of 4 MiB, scores and results */
    munmap(stored, bytes);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLF_TEST(more_than_the_device_has_is_searched) };

    setenv("POCL_MEMORY_LIMIT", "1", 1); /* before the driver is opened */
    return CLF_TEST_MAIN(tests);
}
