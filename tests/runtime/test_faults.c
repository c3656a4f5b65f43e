/* Every OpenCL call and every allocation fails once, in turn: a clean error that names the call, nothing leaks, nothing
 * is enqueued after it, and the same objects work again. */
#include <string.h>

#include "harness.h"
#include "runtime/context.h"
#include "shims.h"

/* One layer from weights to result: y = GELU(norm(x) Wᵀ + b). */
static clf_status run_layer(clf_test *t, clf_stream *s, float result[6], clf_error *err)
{
    static const float weight[6] = { 1, 2, 3, 4, 5, 6 }, bias[2] = { 0.5F, -0.5F },
                       in[9] = { 1, 2, 3, 3, 1, 2, 2, 3, 1 };
    clf_linear_weight_desc desc = clf_linear_weight_desc_default();
    clf_linear_options o = clf_linear_options_default();
    clf_linear_weight *w = NULL;
    const clf_scope scope = clf_scope_open(s, "layer", -1);
    clf_tensor x, n, y;
    clf_status status;

    desc.weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { 2, 3 } };
    desc.bias = (clf_host_tensor){ .data = bias, .dtype = CLF_F32, .rank = 1, .dim = { 2 } };
    o.activation = CLF_GELU;
    status = clf_linear_weight_create(t->ctx, &desc, &w, err);
    if (status == CLF_OK) {
        x = clf_scratch(s, CLF_F32, CLF_DIMS(3, 3));
        n = clf_scratch(s, CLF_F32, CLF_DIMS(3, 3));
        y = clf_scratch(s, CLF_F32, CLF_DIMS(3, 2));
        clf_upload(s, in, x);
        clf_rms_norm(s, x, (clf_tensor){ .dtype = CLF_DTYPE_NONE }, CLF_RMS_PLAIN, 1e-6F, n);
        clf_linear(s, n, w, &o, y);
        clf_download(s, y, result);
        status = clf_stream_finish(s, err);
    }
    clf_scope_close(s, scope);
    clf_linear_weight_destroy(w);
    return status;
}

static bool is_opencl_failure(clf_status status)
{
    return status == CLF_OUT_OF_MEMORY || status == CLF_OUT_OF_DEVICE_MEMORY || status == CLF_DEVICE_ERROR;
}

/* Fails call k, for rising k, until a run meets no failure. */
static void fail_every_call(clf_test *t, bool from, int step)
{
    float want[6], got[6];
    clf_error err = { 0 };

    assert_int_equal(run_layer(t, t->stream, want, &err), CLF_OK);
    for (long k = 1;; k += step) {
        const clf_shim_counts before = clf_shims_count();
        clf_stream *s = NULL;
        clf_status status;

        clf_shims_fail_cl(k, from);
        status = clf_stream_create(t->ctx, NULL, &s, &err);
        if (status == CLF_OK)
            status = run_layer(t, s, got, &err);
        if (clf_shims_failed() == NULL) {
            assert_int_equal(status, CLF_OK);
            clf_stream_destroy(s);
            break;
        }
        if (!is_opencl_failure(status) || strstr(err.message, clf_shims_failed()) == NULL)
            fail_msg("call %ld, %s: %s \"%s\"", k, clf_shims_failed(), clf_status_name(status), err.message);
        if (s != NULL && !from)
            assert_true(clf_shims_enqueued_after() == 0);
        clf_shims_fail_cl(0, false);
        if (s != NULL) { /* the same stream works again */
            clf_stream_reset(s);
            memset(got, 0, sizeof got);
            assert_int_equal(run_layer(t, s, got, &err), CLF_OK);
            assert_memory_equal(got, want, sizeof want);
        }
        clf_stream_destroy(s);
        assert_true(clf_shims_balanced(&before));
    }
    clf_shims_fail_cl(0, false);
}

static void a_layer_survives_the_failure_of_any_opencl_call(void **state)
{
    fail_every_call(*state, false, 1);
}

static void a_layer_survives_opencl_failing_from_any_call_on(void **state)
{
    fail_every_call(*state, true, 1);
}

static void a_layer_survives_the_failure_of_any_allocation(void **state)
{
    clf_test *t = *state;
    float got[6];
    clf_error err = { 0 };

    for (int from = 0; from < 2; from++)
        for (long k = 1;; k++) {
            const clf_shim_counts before = clf_shims_count();
            clf_stream *s = NULL;
            clf_status status;
            long made;

            clf_shims_fail_allocation(k, from == 1);
            status = clf_stream_create(t->ctx, NULL, &s, &err);
            if (status == CLF_OK)
                status = run_layer(t, s, got, &err);
            made = clf_shims_allocations();
            clf_shims_fail_allocation(0, false);
            clf_stream_destroy(s);
            if (made < k) {
                assert_int_equal(status, CLF_OK);
                break;
            }
            assert_int_equal(status, CLF_OUT_OF_MEMORY);
            assert_true(clf_shims_balanced(&before));
        }
}

/* A driver that refuses an optional query, or a platform that has no devices, may leave a usable device. */
static bool is_optional(const char *call)
{
    return strcmp(call, "clGetDeviceInfo") == 0 || strcmp(call, "clGetPlatformInfo") == 0 ||
           strcmp(call, "clGetDeviceIDs") == 0;
}

static void fail_context_calls(bool from)
{
    const clf_shim_counts before = clf_shims_count();

    for (long k = 1;; k++) {
        clf_context *ctx = NULL;
        clf_error err = { 0 };
        clf_status status;

        clf_shims_fail_cl(k, from);
        status = clf_context_create(NULL, &ctx, &err);
        if (clf_shims_failed() == NULL) {
            assert_int_equal(status, CLF_OK);
            clf_context_destroy(ctx);
            break;
        }
        if (status == CLF_OK) {
            assert_true(is_optional(clf_shims_failed()));
        } else {
            assert_null(ctx);
            if (!is_optional(clf_shims_failed()) && strstr(err.message, clf_shims_failed()) == NULL)
                fail_msg("call %ld, %s: \"%s\"", k, clf_shims_failed(), err.message);
        }
        clf_context_destroy(ctx);
        assert_true(clf_shims_balanced(&before));
    }
    clf_shims_fail_cl(0, false);
}

static void a_context_survives_the_failure_of_any_call(void **state)
{
    (void)state;
    fail_context_calls(false);
}

static void a_context_survives_opencl_failing_from_any_call_on(void **state)
{
    (void)state;
    fail_context_calls(true);
}

static void a_context_survives_the_failure_of_any_allocation(void **state)
{
    const clf_shim_counts before = clf_shims_count();

    (void)state;
    for (long k = 1;; k++) {
        clf_context *ctx = NULL;
        clf_status status;

        clf_shims_fail_allocation(k, false);
        status = clf_context_create(NULL, &ctx, NULL);
        if (clf_shims_allocations() < k) {
            clf_context_destroy(ctx);
            assert_int_equal(status, CLF_OK);
            break;
        }
        /* An optional query without memory may go on without its answer. */
        if (status != CLF_OK)
            assert_int_equal(status, CLF_OUT_OF_MEMORY);
        clf_context_destroy(ctx);
        assert_true(clf_shims_balanced(&before));
    }
    clf_shims_fail_allocation(0, false);
}

/* The codes that reliability asks for, each in the family that it belongs to. */
static void every_code_of_a_call_lands_in_its_family(void **state)
{
    static const struct {
        const char *call;
        cl_int code;
        clf_status status;
    } rows[] = {
        { "clCreateBuffer", -4, CLF_OUT_OF_DEVICE_MEMORY },
        { "clCreateBuffer", -5, CLF_DEVICE_ERROR },
        { "clCreateBuffer", -6, CLF_OUT_OF_MEMORY },
        { "clCreateBuffer", -61, CLF_OUT_OF_DEVICE_MEMORY },
        { "clSetKernelArg", -51, CLF_DEVICE_ERROR },
        { "clSetKernelArg", -5, CLF_DEVICE_ERROR },
        { "clSetKernelArg", -6, CLF_OUT_OF_MEMORY },
        { "clEnqueueNDRangeKernel", -4, CLF_OUT_OF_DEVICE_MEMORY },
        { "clEnqueueNDRangeKernel", -54, CLF_DEVICE_ERROR },
        { "clEnqueueNDRangeKernel", -55, CLF_DEVICE_ERROR },
        { "clEnqueueWriteBuffer", -5, CLF_DEVICE_ERROR },
        { "clEnqueueReadBuffer", -6, CLF_OUT_OF_MEMORY },
        { "clFinish", -5, CLF_DEVICE_ERROR },
        { "clFinish", -6, CLF_OUT_OF_MEMORY },
    };
    clf_test *t = *state;
    float got[6];
    clf_error err = { 0 };

    assert_int_equal(run_layer(t, t->stream, got, &err), CLF_OK);
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        clf_stream *s = NULL;
        clf_status status;

        assert_int_equal(clf_stream_create(t->ctx, NULL, &s, &err), CLF_OK);
        clf_shims_fail_named(rows[i].call, rows[i].code);
        status = run_layer(t, s, got, &err);
        clf_shims_fail_named(NULL, 0);
        if (status != rows[i].status || strstr(err.message, rows[i].call) == NULL)
            fail_msg("%s %d: %s \"%s\"", rows[i].call, rows[i].code, clf_status_name(status), err.message);
        clf_stream_destroy(s);
    }
}

static void a_failed_build_is_reported_and_tried_again(void **state)
{
    clf_test *t = *state;
    clf_context_desc desc = clf_context_desc_default();
    clf_context *ctx = NULL;
    clf_stream *s = NULL;
    clf_tensor x;
    clf_error err = { 0 };

    desc.cl_context = t->ctx->cl; /* another context of ours, so nothing is built in it yet */
    desc.cl_device = t->ctx->device;
    assert_int_equal(clf_context_create(&desc, &ctx, &err), CLF_OK);
    assert_int_equal(clf_stream_create(ctx, NULL, &s, &err), CLF_OK);
    assert_int_equal(clf_tensor_create(ctx, CLF_F32, CLF_DIMS(8), &x, &err), CLF_OK);
    clf_shims_fail_named("clBuildProgram", CL_BUILD_PROGRAM_FAILURE);
    clf_scale(s, x, 2.0F, x);
    clf_shims_fail_named(NULL, 0);
    assert_int_equal(clf_stream_finish(s, &err), CLF_DEVICE_ERROR);
    assert_non_null(strstr(err.message, "program scale: clBuildProgram"));
    assert_non_null(strstr(err.message, "CL_BUILD_PROGRAM_FAILURE (-11)"));
    clf_stream_reset(s);
    clf_scale(s, x, 2.0F, x);
    assert_int_equal(clf_stream_finish(s, &err), CLF_OK);
    clf_tensor_free(ctx, &x);
    clf_stream_destroy(s);
    clf_context_destroy(ctx);
}

static void memory_that_is_missing_late_is_still_out_of_memory(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(8));

    clf_shims_fail_named("clEnqueueNDRangeKernel", CL_MEM_OBJECT_ALLOCATION_FAILURE);
    clf_copy(t->stream, x, y);
    clf_shims_fail_named(NULL, 0);
    clf_test_expect_error(t, CLF_OUT_OF_DEVICE_MEMORY, "CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)");
}

static void a_lost_device_stays_lost_and_lets_go(void **state)
{
    clf_test *t = *state;
    clf_context_desc desc = clf_context_desc_default();
    clf_context *ctx = NULL;
    clf_stream *s = NULL, *later = NULL;
    clf_tensor x, more;
    clf_error err = { 0 };

    desc.cl_context = t->ctx->cl;
    desc.cl_device = t->ctx->device;
    assert_int_equal(clf_context_create(&desc, &ctx, &err), CLF_OK);
    assert_int_equal(clf_stream_create(ctx, NULL, &s, &err), CLF_OK);
    assert_int_equal(clf_tensor_create(ctx, CLF_F32, CLF_DIMS(8), &x, &err), CLF_OK);
    clf_scale(s, x, 2.0F, x);
    clf_shims_fail_named("clFinish", CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    assert_int_equal(clf_stream_finish(s, &err), CLF_DEVICE_LOST);
    clf_shims_fail_named(NULL, 0);
    clf_stream_reset(s);
    clf_scale(s, x, 2.0F, x);
    assert_int_equal(clf_stream_finish(s, &err), CLF_DEVICE_LOST);
    assert_string_equal(err.message, "the device was lost earlier; destroy the context");
    assert_int_equal(clf_stream_create(ctx, NULL, &later, &err), CLF_DEVICE_LOST);
    assert_int_equal(clf_tensor_create(ctx, CLF_F32, CLF_DIMS(8), &more, &err), CLF_DEVICE_LOST);
    clf_tensor_free(ctx, &x);
    clf_stream_destroy(s);
    clf_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(a_layer_survives_the_failure_of_any_opencl_call),
        CLF_TEST(a_layer_survives_opencl_failing_from_any_call_on),
        CLF_TEST(a_layer_survives_the_failure_of_any_allocation),
        CLF_TEST(a_context_survives_the_failure_of_any_call),
        CLF_TEST(a_context_survives_opencl_failing_from_any_call_on),
        CLF_TEST(a_context_survives_the_failure_of_any_allocation),
        CLF_TEST(every_code_of_a_call_lands_in_its_family),
        CLF_TEST(a_failed_build_is_reported_and_tried_again),
        CLF_TEST(memory_that_is_missing_late_is_still_out_of_memory),
        CLF_TEST(a_lost_device_stays_lost_and_lets_go),
    };
    return CLF_TEST_MAIN(tests);
}
