/* Device memory: large buffers in pages of their own. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/pages.h"
#include "harness.h"
#include "runtime/context.h"
#include "shims.h"

#define LARGE ((int64_t)(CLF_LARGE_PAGE / sizeof(float))) /* elements */

/* Address space of this process in MB. */
static long mapped(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    (void)fclose(file);
    return pages / ((1L << 20) / sysconf(_SC_PAGESIZE));
}

/* Of this device: those that share the host's memory, but for llvmpipe. */
static bool has_large_pages(const clf_test *t)
{
    const clf_device_info *d = clf_context_device(t->ctx);

    return d->kind == CLF_DEVICE_CPU && d->unified_memory && !t->ctx->emulated_fma;
}

static void pages_are_zeros_at_a_multiple_of_a_large_one(void **state)
{
    static const size_t lengths[] = { 1, 4096, CLF_LARGE_PAGE - 1, CLF_LARGE_PAGE, 5 * CLF_LARGE_PAGE / 2 };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(lengths); i++) {
        char *pages = clf_pages_map(lengths[i]);

        assert_non_null(pages);
        assert_int_equal((uintptr_t)pages % CLF_LARGE_PAGE, 0);
        for (size_t k = 0; k < lengths[i]; k += 4093)
            assert_int_equal(pages[k], 0);
        pages[lengths[i] - 1] = 1;
        clf_pages_unmap(pages, lengths[i]);
    }
    assert_null(clf_pages_map(SIZE_MAX));
    clf_pages_unmap(NULL, 1);
}

static void buffers_from_a_large_page_on_have_pages_of_their_own(void **state)
{
    static const int64_t counts[] = { LARGE - 1, LARGE };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(counts); i++) {
        const long calls = i == 1 && has_large_pages(t) ? 2 : 1;
        clf_tensor x;

        clf_shims_fail_cl(0, false);
        assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(counts[i]), &x, NULL), CLF_OK);
        assert_int_equal(clf_shims_calls(), calls);
        assert_string_equal(clf_shims_called(1), "clCreateBuffer");
        if (calls == 2)
            assert_string_equal(clf_shims_called(2), "clSetMemObjectDestructorCallback");
        clf_tensor_free(t->ctx, &x);
    }
}

/* The mapping's description lies behind the last element. */
static void a_large_buffer_holds_all_its_elements(void **state)
{
    static const int64_t counts[] = { LARGE - 1, LARGE, LARGE + 1, LARGE + 3, 2 * LARGE + 4093 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(counts); i++) {
        const size_t bytes = (size_t)counts[i] * sizeof(float);
        float *from = clf_test_memory(t, bytes), *to = clf_test_memory(t, bytes);
        clf_tensor x;

        for (int64_t k = 0; k < counts[i]; k++)
            from[k] = (float)k;
        assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(counts[i]), &x, NULL), CLF_OK);
        clf_upload(t->stream, from, x);
        clf_scale(t->stream, x, 2.0F, x);
        clf_download(t->stream, x, to);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        clf_tensor_free(t->ctx, &x);
        for (int64_t k = 0; k < counts[i]; k++)
            assert_true(to[k] == 2.0F * from[k]);
    }
}

/* A driver's or a sanitizer's allocator may keep some, 256 MB for instance. */
static void the_pages_of_a_buffer_go_with_it(void **state)
{
    enum { TURNS = 12, EACH = 64 }; /* MB */
    clf_test *t = *state;
    long before = 0;

    for (int turn = 0; turn < TURNS; turn++) {
        clf_tensor x;

        assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(EACH / 2 * LARGE), &x, NULL), CLF_OK);
        clf_tensor_free(t->ctx, &x);
        if (turn == 1)
            before = mapped();
    }
    assert_true(mapped() < before + (TURNS - 2) * EACH / 2);
}

static void a_large_buffer_survives_the_failure_of_any_call(void **state)
{
    enum { EACH = 512 }; /* MB, of address space */
    clf_test *t = *state;
    const clf_shim_counts before = clf_shims_count();
    const long mapped_before = mapped();

    for (long k = 1;; k++) {
        clf_tensor x;
        clf_error err = { 0 };
        clf_status status;

        clf_shims_fail_cl(k, false);
        status = clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(EACH / 2 * LARGE), &x, &err);
        if (clf_shims_failed() == NULL) {
            assert_int_equal(status, CLF_OK);
            clf_tensor_free(t->ctx, &x);
            break;
        }
        assert_true(status == CLF_OUT_OF_DEVICE_MEMORY || status == CLF_OUT_OF_MEMORY);
        assert_non_null(strstr(err.message, clf_shims_failed()));
        assert_null(x.mem);
        assert_true(clf_shims_balanced(&before));
        assert_true(mapped() < mapped_before + EACH / 2);
    }
    clf_shims_fail_cl(0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(pages_are_zeros_at_a_multiple_of_a_large_one),
        CLF_TEST(buffers_from_a_large_page_on_have_pages_of_their_own),
        CLF_TEST(a_large_buffer_holds_all_its_elements),
        CLF_TEST(the_pages_of_a_buffer_go_with_it),
        CLF_TEST(a_large_buffer_survives_the_failure_of_any_call),
    };
    return CLF_TEST_MAIN(tests);
}
