/* The test program's context and stream, and tensors between guard zones. */
#include "harness.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/context.h"
#include "shims.h"
#include "test_tensors.h"

#define GUARD_BYTES 1024 /* before and behind every tensor; a multiple of every alignment */
#define GUARD_BYTE 0xFF  /* NaN in every float type: reading it shows too */

static clf_test test;
static clf_test_tensor *tensors; /* of the running test */
static void **blocks;            /* host memory of the running test */
static size_t tensor_count, tensor_capacity, block_count, block_capacity;
static uint64_t state_of_random;
static clf_shim_counts at_start;

/* ---- group ---- */

static uint64_t seed_of_run(void)
{
    const char *text = getenv("CLF_TEST_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : 20260101U;
}

static clf_gemm_choice gemm_of_run(void)
{
    const char *text = getenv("CLF_TEST_GEMM");

    if (text == NULL || strcmp(text, "auto") == 0)
        return CLF_GEMM_AUTO;
    return strcmp(text, "clblast") == 0 ? CLF_GEMM_CLBLAST : CLF_GEMM_PANEL;
}

int clf_test_setup(void **state)
{
    clf_context_desc desc = clf_context_desc_default();
    clf_error err = { 0 };

    if (!clf_shims_install()) {
        print_error("no OpenCL on this machine\n");
        return -1;
    }
    at_start = clf_shims_count();
    desc.gemm = gemm_of_run();
    desc.cache_dir = getenv("CLF_TEST_CACHE");
    test.seed = seed_of_run();
    test.zero_limit = 0.3;
    if (clf_context_create(&desc, &test.ctx, &err) != CLF_OK ||
        clf_stream_create(test.ctx, NULL, &test.stream, &err) != CLF_OK) {
        print_error("%s\n", err.message);
        return -1;
    }
    print_message("device %s (%s), %s kernels, %s products, seed %" PRIu64 "\n", clf_context_device(test.ctx)->name,
                  clf_context_device(test.ctx)->platform_name, clf_context_kernels(test.ctx),
                  clf_context_gemm(test.ctx), test.seed);
    state_of_random = test.seed;
    *state = &test;
    return 0;
}

int clf_test_teardown(void **state)
{
    const uint64_t bytes_of_context = CLF_DUMMY_BYTES;
    bool balanced;

    (void)state;
    clf_stream_destroy(test.stream);
    if (clf_context_memory(test.ctx, NULL) != bytes_of_context) {
        print_error("%" PRIu64 " bytes of device memory leak\n", clf_context_memory(test.ctx, NULL) - bytes_of_context);
        return -1;
    }
    clf_context_destroy(test.ctx);
    free(tensors);
    free(blocks);
    tensors = NULL;
    blocks = NULL;
    tensor_count = tensor_capacity = block_count = block_capacity = 0;
    balanced = clf_shims_balanced(&at_start);
    if (!balanced)
        print_error("OpenCL objects or host blocks leak\n");
    return balanced ? 0 : -1;
}

bool clf_test_small_only(const clf_test *t)
{
    return t->ctx->emulated_fma;
}

void clf_test_skip(const char *why)
{
    print_message("skipped: %s\n", why);
    skip();
}

/* ---- random numbers: splitmix64 ---- */

static uint64_t next_random(void)
{
    uint64_t z = state_of_random += 0x9E3779B97F4A7C15U;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

double clf_test_random(clf_test *t)
{
    (void)t;
    return (double)(next_random() >> 11) * 0x1p-53;
}

static double normal(clf_test *t)
{
    const double u = 1.0 - clf_test_random(t), v = clf_test_random(t);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- tensors ---- */

void *clf_test_memory(clf_test *t, size_t bytes)
{
    void *memory = calloc(1, bytes == 0 ? 1 : bytes);

    (void)t;
    assert_non_null(memory);
    if (block_count == block_capacity)
        blocks = realloc(blocks, (block_capacity = 2 * block_capacity + 16) * sizeof *blocks);
    assert_non_null(blocks);
    return blocks[block_count++] = memory;
}

static size_t count_of(clf_dims dims)
{
    const int64_t count = clf_element_count(clf_tensor_shape(CLF_F32, dims));

    assert_true(count >= 0);
    return (size_t)count;
}

void clf_test_write_value(void *data, clf_dtype dtype, size_t i, double value)
{
    char *at = (char *)data + i * clf_dtype_bytes(dtype);
    const float f = (float)value;
    const uint16_t half = dtype == CLF_BF16 ? clf_f32_to_bf16(f) : clf_f32_to_f16(f);
    const int32_t i32 = dtype == CLF_I32 ? (int32_t)value : 0;
    const int64_t i64 = dtype == CLF_I64 ? (int64_t)value : 0;
    const uint8_t u8 = dtype == CLF_U8 || dtype == CLF_BOOL ? (uint8_t)value : 0;

    switch (dtype) {
    case CLF_F32:
        memcpy(at, &f, sizeof f);
        return;
    case CLF_F64:
        memcpy(at, &value, sizeof value);
        return;
    case CLF_F16:
    case CLF_BF16:
        memcpy(at, &half, sizeof half);
        return;
    case CLF_I32:
        memcpy(at, &i32, sizeof i32);
        return;
    case CLF_I64:
        memcpy(at, &i64, sizeof i64);
        return;
    case CLF_U8:
    case CLF_BOOL:
        memcpy(at, &u8, sizeof u8);
        return;
    default:
        fail_msg("no test values of type %s", clf_dtype_name(dtype));
    }
}

/* A tensor of these stored bytes between two guards. */
static clf_tensor create(clf_test *t, clf_dtype dtype, clf_dims dims, const void *stored)
{
    const size_t count = count_of(dims), bytes = count * clf_dtype_bytes(dtype), all = bytes + 2 * GUARD_BYTES;
    unsigned char *image = clf_test_memory(t, all);
    double *given = clf_test_memory(t, count * sizeof *given);
    clf_tensor memory;
    clf_error err = { 0 };

    memset(image, GUARD_BYTE, all);
    if (bytes > 0)
        memcpy(image + GUARD_BYTES, stored, bytes);
    for (size_t i = 0; i < count; i++)
        given[i] = clf_host_value(stored, dtype, i);
    if (clf_tensor_create(t->ctx, CLF_U8, CLF_DIMS((int64_t)all), &memory, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_upload(t->stream, image, memory);
    if (tensor_count == tensor_capacity)
        tensors = realloc(tensors, (tensor_capacity = 2 * tensor_capacity + 16) * sizeof *tensors);
    assert_non_null(tensors);
    tensors[tensor_count++] = (clf_test_tensor){ .memory = memory, .dtype = dtype, .bytes = bytes, .given = given };
    return clf_tensor_at(memory.mem, GUARD_BYTES, dtype, dims);
}

clf_tensor clf_test_from(clf_test *t, clf_dtype dtype, clf_dims dims, const double *values)
{
    const size_t count = count_of(dims);
    void *stored = clf_test_memory(t, count * clf_dtype_bytes(dtype));

    for (size_t i = 0; i < count; i++)
        clf_test_write_value(stored, dtype, i, values[i]);
    return create(t, dtype, dims, stored);
}

clf_tensor clf_test_normal(clf_test *t, clf_dtype dtype, clf_dims dims)
{
    const size_t count = count_of(dims);
    double *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = normal(t);
    return clf_test_from(t, dtype, dims, values);
}

clf_tensor clf_test_uniform(clf_test *t, clf_dtype dtype, clf_dims dims, double low, double high)
{
    const size_t count = count_of(dims);
    double *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = low + (high - low) * clf_test_random(t);
    return clf_test_from(t, dtype, dims, values);
}

clf_tensor clf_test_integers(clf_test *t, clf_dtype dtype, clf_dims dims, int limit)
{
    const size_t count = count_of(dims);
    double *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (double)(int64_t)(next_random() % (uint64_t)(2 * limit + 1)) - limit;
    return clf_test_from(t, dtype, dims, values);
}

clf_tensor clf_test_empty(clf_test *t, clf_dtype dtype, clf_dims dims)
{
    const size_t count = count_of(dims);
    double *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = clf_is_float(dtype) ? (double)NAN : dtype == CLF_U8 || dtype == CLF_BOOL ? 255.0 : -1.0;
    return clf_test_from(t, dtype, dims, values);
}

clf_tensor clf_test_i32(clf_test *t, clf_dims dims, const int32_t *values)
{
    return create(t, CLF_I32, dims, values);
}

const clf_test_tensor *clf_test_find(clf_tensor x)
{
    for (size_t i = 0; i < tensor_count; i++)
        if (tensors[i].memory.mem == x.mem)
            return &tensors[i];
    fail_msg("not a tensor of this test");
    return NULL;
}

void clf_test_finish(clf_test *t)
{
    clf_error err = { 0 };

    if (clf_stream_finish(t->stream, &err) != CLF_OK)
        fail_msg("%s (%s:%d)", err.message, err.file, err.line);
}

unsigned char *clf_test_image(clf_test *t, const clf_test_tensor *tensor)
{
    unsigned char *image = clf_test_memory(t, tensor->bytes + 2 * GUARD_BYTES);

    clf_test_finish(t);
    clf_download(t->stream, tensor->memory, image);
    clf_test_finish(t);
    return image;
}

size_t clf_test_position(clf_tensor x, const clf_test_tensor *tensor, size_t flat)
{
    uint64_t at = (x.offset - GUARD_BYTES) / clf_dtype_bytes(tensor->dtype);

    for (int32_t i = x.rank - 1; i >= 0; i--) {
        at += flat % (uint64_t)x.dim[i] * (uint64_t)x.stride[i];
        flat /= (size_t)x.dim[i];
    }
    return (size_t)at;
}

const unsigned char *clf_test_payload(const unsigned char *image)
{
    return image + GUARD_BYTES;
}

static bool guard_intact(clf_test *t, const clf_test_tensor *tensor)
{
    const unsigned char *image = clf_test_image(t, tensor);

    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (image[i] != GUARD_BYTE || image[GUARD_BYTES + tensor->bytes + i] != GUARD_BYTE) {
            print_error("memory %s a tensor of %zu bytes was written, %zu bytes away\n",
                        image[i] != GUARD_BYTE ? "before" : "behind", tensor->bytes,
                        image[i] != GUARD_BYTE ? GUARD_BYTES - i : i);
            return false;
        }
    return true;
}

static bool guards_intact(clf_test *t)
{
    bool intact = true;

    for (size_t i = 0; i < tensor_count; i++)
        intact = guard_intact(t, &tensors[i]) && intact;
    return intact;
}

void clf_test_check_guards(clf_test *t)
{
    assert_true(guards_intact(t));
}

void clf_test_release_all(clf_test *t)
{
    while (tensor_count > 0)
        clf_tensor_free(t->ctx, &tensors[--tensor_count].memory);
    while (block_count > 0)
        free(blocks[--block_count]);
}

int clf_test_each_teardown(void **state)
{
    clf_test *t = *state;
    bool intact;

    clf_shims_fail_cl(0, false);
    clf_shims_fail_allocation(0, false);
    clf_shims_fail_named(NULL, 0);
    if (clf_stream_status(t->stream) != CLF_OK) /* the test has failed and said why */
        clf_stream_reset(t->stream);
    intact = guards_intact(t);
    clf_test_release_all(t);
    if (t->worst_share > 0.0)
        print_message("             %.3f of the bound used%s\n", t->worst_share,
                      t->worst_share > 0.5 ? "  (warning: above one half)" : "");
    t->worst_share = 0.0;
    t->zero_limit = 0.3;
    return intact ? 0 : -1;
}

void clf_test_expect_error(clf_test *t, clf_status status, const char *text)
{
    clf_error err = { 0 };
    const clf_status got = clf_stream_finish(t->stream, &err);

    if (got != status || strstr(err.message, text) == NULL)
        fail_msg("got %s \"%s\"; want %s \"%s\"", clf_status_name(got), err.message, clf_status_name(status), text);
    clf_stream_reset(t->stream);
}
