/* Streams: the sticky error, scratch, scopes, views, transfers, events, profiling, borrowed OpenCL objects. */
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "runtime/context.h"
#include "runtime/op.h"
#include "shims.h"

static void the_first_error_stays_and_silences_the_stream(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3));
    const clf_tensor turned = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 2)),
                     other = clf_test_empty(t, CLF_F32, CLF_DIMS(9));
    const long before = clf_shims_count().enqueued;
    clf_error err = { 0 };

    clf_copy(t->stream, x, turned);
    clf_copy(t->stream, x, y);
    clf_scale(t->stream, x, 2.0F, other); /* another rule broken: not reported */
    assert_int_equal(clf_shims_count().enqueued, before);
    assert_int_equal(clf_stream_status(t->stream), CLF_INVALID_ARGUMENT);
    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "copy: y is f32[3, 2]; want f32[2, 3], like x");
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_INVALID_ARGUMENT);
    clf_stream_reset(t->stream);
    clf_copy(t->stream, x, y);
    clf_test_same_bits(t, x, y);
}

static void scopes_name_errors_and_free_scratch(void **state)
{
    clf_test *t = *state;
    clf_stream *s = t->stream;
    const clf_scope outer = clf_scope_open(s, "perceiver", -1);
    const clf_scope inner = clf_scope_open(s, "layers", 3);
    const clf_tensor a = clf_scratch(s, CLF_F32, CLF_DIMS(100));
    clf_tensor b;
    clf_error err = { 0 };

    clf_scope_close(s, inner);
    b = clf_scratch(s, CLF_F32, CLF_DIMS(100));
    assert_true(a.mem == b.mem && a.offset == b.offset);
    clf_scope_open(s, "layers", 4);
    clf_slice(s, b, 0, 90, 11);
    assert_int_equal(clf_stream_finish(s, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "perceiver/layers[4]/slice: 11 entries from 90 of axis 0; want a range inside f32[100]");
    clf_scope_close(s, outer);
    clf_stream_reset(s);
}

/* Opens the scopes, fails with the message, and compares the whole of what the stream says. */
static void fails_as(clf_test *t, const char *const scopes[3], const char *message, const char *whole)
{
    for (int i = 0; i < 3 && scopes[i] != NULL; i++)
        (void)clf_scope_open(t->stream, scopes[i], -1);
    CLF_OP_FAIL(t->stream, CLF_INVALID_ARGUMENT, "%s", message);
    clf_error err = { 0 };
    assert_int_equal(clf_stream_finish(t->stream, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, whole);
    clf_stream_reset(t->stream);
}

static void a_word_stands_once(void **state)
{
    fails_as(*state, (const char *const[3]){ "blip-2", "qformer" }, "qformer: text_ids is 9; want 8",
             "blip-2/qformer: text_ids is 9; want 8");
    fails_as(*state, (const char *const[3]){ "qformer" }, "qformer: hidden", "qformer: hidden");
    fails_as(*state, (const char *const[3]){ "cross_attention", "cross_attention", "media" }, "linear: x is 9",
             "cross_attention/media/linear: x is 9");
    /* other words that begin or end alike */
    fails_as(*state, (const char *const[3]){ "blip-2", "former", "qformer" }, "qform: x",
             "blip-2/former/qformer/qform: x");
    fails_as(*state, (const char *const[3]){ "qformer", "former" }, "formers: x", "qformer/former/formers: x");
    fails_as(*state, (const char *const[3]){ "qformer", "layers" }, "qformer: x", "qformer/layers/qformer: x");
}

static void after_an_error_scratch_has_a_shape_and_no_memory(void **state)
{
    clf_test *t = *state;
    clf_tensor a;

    clf_scratch(t->stream, CLF_F32, CLF_DIMS(-1));
    a = clf_scratch(t->stream, CLF_F16, CLF_DIMS(5, 7));
    assert_null(a.mem);
    assert_int_equal(clf_element_count(a), 35);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "scratch: shape is f32[-1]");
}

static void equal_calls_find_equal_scratch(void **state)
{
    clf_test *t = *state;
    clf_tensor first[3], second[3];
    const int64_t sizes[3] = { 1000, 3000000, 70 };
    long created = 0;

    for (int round = 0; round < 2; round++) {
        const clf_scope scope = clf_scope_open(t->stream, "round", round);

        if (round == 1)
            created = clf_shims_count().buffers_created;
        for (int i = 0; i < 3; i++)
            (round == 0 ? first : second)[i] = clf_scratch(t->stream, CLF_F32, CLF_DIMS(sizes[i]));
        clf_scope_close(t->stream, scope);
    }
    assert_int_equal(clf_shims_count().buffers_created, created);
    for (int i = 0; i < 3; i++)
        assert_true(first[i].mem == second[i].mem && first[i].offset == second[i].offset);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
}

static void scratch_above_the_limit_of_a_buffer_is_an_error_with_both_numbers(void **state)
{
    clf_test *t = *state;

    clf_scratch(t->stream, CLF_U8, CLF_DIMS((int64_t)t->ctx->info.allocation_bytes + 1));
    clf_test_expect_error(t, CLF_UNSUPPORTED, "for one buffer");
}

static void views_cost_nothing_and_are_checked(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 6, 4));
    const clf_tensor part = clf_slice(t->stream, x, -2, 1, 3);
    const double *all = clf_test_given(t, x), *seen = clf_test_values(t, part);

    assert_int_equal(part.dim[1], 3);
    for (int i = 0; i < 24; i++)
        assert_true(seen[i] == all[(i / 12) * 24 + 4 + i % 12]);
    assert_int_equal(clf_reshape(t->stream, x, CLF_DIMS(12, 4)).dim[0], 12);
    assert_int_equal(clf_stream_status(t->stream), CLF_OK);
    clf_reshape(t->stream, part, CLF_DIMS(24));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "reshape: f32[2, 3, 4] to [24]; want dense");
}

static void a_tensor_outside_its_memory_is_refused(void **state)
{
    clf_test *t = *state;
    clf_tensor x, y = clf_test_empty(t, CLF_F32, CLF_DIMS(64));
    float host[64] = { 0 };

    assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(64), &x, NULL), CLF_OK);
    x.offset = 4;
    clf_copy(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "ends at byte 260; its memory has 256");
    clf_upload(t->stream, host, x);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "upload: f32[64] ends at byte 260; its memory has 256");
    x.offset = UINT64_MAX - 3;
    clf_copy(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "copy");
    x.offset = 0;
    clf_download(t->stream, clf_tensor_shape(CLF_F32, CLF_DIMS(64)), host);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "has no memory");
    clf_tensor_free(t->ctx, &x);
}

/* Row 1 would wrap to an address before the buffer. */
static void strides_that_overflow_are_refused(void **state)
{
    clf_test *t = *state;
    clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 64)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 64));

    x.stride[0] = INT64_MAX;
    clf_copy(t->stream, x, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "the strides of f32[2, 64] reach beyond 2^64 bytes");
}

/* Another context's memory is the caller's mistake, not the device's end. */
static void memory_of_another_context_is_an_error_that_passes(void **state)
{
    clf_test *t = *state;
    clf_context *other = NULL;
    clf_stream *s = NULL;
    clf_tensor x;
    float host[8] = { 0 };

    assert_int_equal(clf_context_create(NULL, &other, NULL), CLF_OK);
    assert_int_equal(clf_tensor_create(other, CLF_F32, CLF_DIMS(8), &x, NULL), CLF_OK);
    assert_int_equal(clf_stream_create(t->ctx, NULL, &s, NULL), CLF_OK);
    clf_upload(s, host, x);
    assert_int_not_equal(clf_stream_finish(s, NULL), CLF_OK);
    clf_stream_reset(s);
    assert_int_equal(clf_stream_finish(s, NULL), CLF_OK);
    clf_stream_destroy(s);
    clf_tensor_free(other, &x);
    clf_context_destroy(other);
}

/* Each place in the arena holds the most that was wanted there, not the sum of all that ever was. */
static void scratch_that_grows_slowly_is_not_hoarded(void **state)
{
    clf_test *t = *state;
    clf_stream *s = NULL;
    uint64_t before = clf_context_memory(t->ctx, NULL);

    assert_int_equal(clf_stream_create(t->ctx, NULL, &s, NULL), CLF_OK);
    for (int64_t T = 1; T <= 300; T++) {
        const clf_scope scope = clf_scope_open(s, "step", T);

        clf_scratch(s, CLF_F32, CLF_DIMS(T, 4096));
        clf_scratch(s, CLF_F32, CLF_DIMS(T, 2048));
        clf_scope_close(s, scope);
    }
    assert_true(clf_context_memory(t->ctx, NULL) - before <= 300 * 6144 * 4 + (2 << 20));
    clf_stream_reset(s);
    assert_int_equal(clf_context_memory(t->ctx, NULL), before);
    clf_stream_destroy(s);
}

static void kernel_shapes_that_do_not_exist_are_refused(void **state)
{
    clf_context_desc desc = clf_context_desc_default();
    clf_context *ctx = NULL;
    clf_error err = { 0 };

    (void)state;
    desc.kernels = (clf_kernel_shape)7;
    assert_int_equal(clf_context_create(&desc, &ctx, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "context: kernels is 7; want a value of clf_kernel_shape");
    desc.kernels = CLF_KERNELS_AUTO;
    desc.gemm = (clf_gemm_choice)9;
    assert_int_equal(clf_context_create(&desc, &ctx, &err), CLF_INVALID_ARGUMENT);
}

static void a_tensor_of_no_elements_has_no_memory_and_is_fine(void **state)
{
    clf_test *t = *state;
    clf_tensor x;

    assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(0, 5), &x, NULL), CLF_OK);
    assert_null(x.mem);
    clf_upload(t->stream, NULL, x);
    clf_copy(t->stream, x, x);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_tensor_free(t->ctx, &x);
    clf_tensor_free(t->ctx, NULL);
    assert_int_equal(clf_tensor_create(t->ctx, CLF_F32, CLF_DIMS(-5), &x, NULL), CLF_INVALID_ARGUMENT);
}

static void a_copied_upload_needs_its_memory_no_longer(void **state)
{
    clf_test *t = *state;
    int32_t values[5] = { 1, 2, 3, 4, 5 };
    const clf_tensor y = clf_test_empty(t, CLF_I32, CLF_DIMS(5));

    clf_upload_copy(t->stream, values, sizeof values, y);
    memset(values, 0, sizeof values);
    clf_test_exact(t, y, (const double[]){ 1, 2, 3, 4, 5 });
}

static void a_profile_names_the_kernels_in_order(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(8, 64)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(8, 64));
    clf_stream_desc desc = clf_stream_desc_default();
    const clf_profile_entry *entries = NULL;
    clf_stream *s = NULL;

    desc.profiling = true;
    clf_test_check_guards(t); /* the tensors' uploads are done */
    assert_int_equal(clf_stream_create(t->ctx, &desc, &s, NULL), CLF_OK);
    clf_scale(s, x, 2.0F, y);
    clf_copy(s, x, y);
    assert_int_equal(clf_stream_profile(s, &entries), 2);
    assert_non_null(strstr(entries[0].name, "scale"));
    assert_non_null(strstr(entries[1].name, "copy"));
    assert_true(entries[0].queued_ns <= entries[0].start_ns && entries[0].start_ns <= entries[0].end_ns);
    assert_true(entries[0].end_ns <= entries[1].end_ns);
    assert_int_equal(clf_stream_profile(s, &entries), 0);
    clf_copy(s, x, y); /* an event that nobody reads is released with the stream */
    clf_stream_destroy(s);
}

/* Of these calls four reach the device as kernels, one of them on another stream. */
static void launches_are_what_the_device_was_given(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(8, 64)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(8, 64));
    const clf_tensor none = clf_test_normal(t, CLF_F32, CLF_DIMS(0, 64)),
                     other = clf_test_empty(t, CLF_F32, CLF_DIMS(9));
    uint64_t bytes_before, bytes;
    const uint64_t before = clf_stream_launches(t->stream, &bytes_before);
    const long given = clf_shims_count().launched;
    float *host = clf_test_memory(t, 8 * 64 * sizeof *host);
    clf_stream *s = NULL;

    assert_int_equal(clf_stream_create(t->ctx, NULL, &s, NULL), CLF_OK);
    assert_int_equal(clf_stream_launches(s, NULL), 0);
    clf_scale(t->stream, x, 2.0F, y);
    clf_scale(s, x, 2.0F, y);
    clf_scale(t->stream, none, 2.0F, none); /* nothing to do */
    clf_download(t->stream, y, host);       /* a transfer */
    clf_scale(t->stream, x, 3.0F, y);
    clf_copy(t->stream, x, y);
    assert_int_equal(clf_shims_count().launched - given, 4);
    assert_int_equal(clf_stream_launches(t->stream, &bytes) - before, 3);
    assert_int_equal(bytes - bytes_before, 3 * 2 * 8 * 64 * sizeof *host);
    assert_int_equal(clf_stream_launches(s, NULL), 1);
    clf_shims_fail_named("clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES);
    clf_scale(t->stream, x, 2.0F, y);
    clf_shims_fail_named(NULL, 0);
    clf_test_expect_error(t, CLF_DEVICE_ERROR, "clEnqueueNDRangeKernel");
    clf_scale(t->stream, x, 2.0F, other);
    clf_scale(t->stream, x, 2.0F, y); /* after an error: not given */
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "scale");
    assert_int_equal(clf_stream_launches(t->stream, &bytes) - before, 3);
    assert_int_equal(bytes - bytes_before, 3 * 2 * 8 * 64 * sizeof *host);
    clf_stream_destroy(s);
}

/* The buffer begins at a multiple of 128 bytes, where every driver takes the memory as it is; the tensor behind that. */
static void host_memory_is_wrapped_from_an_aligned_address(void **state)
{
    static const size_t places[] = { 0, 1, 31, 32, 33 };
    clf_test *t = *state;
    float *memory = clf_test_memory(t, 128 * sizeof *memory);
    float *const host = memory + (128 - (uintptr_t)memory % 128) / sizeof *memory;

    if (clf_context_device(t->ctx)->kind != CLF_DEVICE_CPU)
        clf_test_skip("only CPU devices wrap host memory");
    for (int i = 0; i < 38; i++)
        host[i] = (float)i;
    for (size_t i = 0; i < CLF_COUNT(places); i++) {
        clf_tensor x = clf_tensor_shape(CLF_F32, CLF_DIMS(5)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(5));

        assert_int_equal(clf_buffer_wrap(t->ctx, host + places[i], &x, NULL), CLF_OK);
        assert_int_equal(x.offset, places[i] * sizeof *host % 128);
        clf_scale(t->stream, x, 1.0F, y);
        for (size_t k = 0; k < 5; k++)
            assert_true(clf_test_values(t, y)[k] == (double)(places[i] + k));
        clf_buffer_unwrap(x.mem);
    }
}

/* A program that has its own OpenCL: context, queue, buffer with offset, wait event and completion event. */
static void a_borrowed_context_works_in_the_caller_s_queue(void **state)
{
    clf_test *t = *state;
    cl_int code;
    cl_command_queue queue = clf_cl()->CreateCommandQueue(t->ctx->cl, t->ctx->device, 0, &code);
    cl_mem memory = clf_cl()->CreateBuffer(t->ctx->cl, CL_MEM_READ_WRITE, 4096, NULL, &code);
    clf_context_desc desc = clf_context_desc_default();
    clf_stream_desc stream_desc = clf_stream_desc_default();
    clf_context *ctx = NULL;
    clf_stream *s = NULL;
    float in[16], out[16] = { 0 };
    cl_event written = NULL, done = NULL;
    cl_int done_status = -1;
    clf_tensor x, y;

    for (int i = 0; i < 16; i++)
        in[i] = (float)i;
    desc.cl_context = t->ctx->cl;
    desc.cl_device = t->ctx->device;
    stream_desc.queue = queue;
    assert_int_equal(clf_context_create(&desc, &ctx, NULL), CLF_OK);
    assert_string_equal(clf_context_device(ctx)->reason, "the caller's cl_context and cl_device");
    assert_int_equal(clf_stream_create(ctx, &stream_desc, &s, NULL), CLF_OK);
    assert_int_equal(clf_cl()->EnqueueWriteBuffer(queue, memory, CL_FALSE, 512, sizeof in, in, 0, NULL, &written), 0);
    clf_stream_wait_events(s, 1, &written);
    x = clf_tensor_at(memory, 512, CLF_F32, CLF_DIMS(16));
    y = clf_tensor_at(memory, 2048, CLF_F32, CLF_DIMS(16));
    clf_scale(s, x, -2.0F, y);
    clf_stream_signal(s, &done);
    assert_non_null(done);
    clf_download(s, y, out);
    assert_int_equal(clf_stream_finish(s, NULL), CLF_OK);
    for (int i = 0; i < 16; i++)
        assert_true(out[i] == -2.0F * (float)i);
    clf_cl()->GetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof done_status, &done_status, NULL);
    assert_int_equal(done_status, CL_COMPLETE);
    clf_stream_destroy(s);
    clf_context_destroy(ctx);
    clf_cl()->ReleaseEvent(written);
    clf_cl()->ReleaseEvent(done);
    clf_cl()->ReleaseMemObject(memory);
    clf_cl()->ReleaseCommandQueue(queue);
}

static void borrowed_objects_that_do_not_fit_are_refused(void **state)
{
    clf_test *t = *state;
    clf_context_desc desc = clf_context_desc_default();
    clf_stream_desc stream_desc = clf_stream_desc_default();
    clf_context *ctx = NULL;
    clf_stream *s = NULL;
    clf_error err = { 0 };
    cl_int code;
    cl_command_queue queue;

    desc.cl_context = t->ctx->cl;
    assert_int_equal(clf_context_create(&desc, &ctx, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "context: cl_context and cl_device; want both or none");
    assert_null(ctx);
    desc.struct_size = sizeof desc + 8;
    assert_int_equal(clf_context_create(&desc, &ctx, &err), CLF_INVALID_ARGUMENT);
    stream_desc.struct_size = 3;
    assert_int_equal(clf_stream_create(t->ctx, &stream_desc, &s, &err), CLF_INVALID_ARGUMENT);
    stream_desc = clf_stream_desc_default();
    stream_desc.profiling = true;
    queue = clf_cl()->CreateCommandQueue(t->ctx->cl, t->ctx->device, 0, &code);
    stream_desc.queue = queue;
    assert_int_equal(clf_stream_create(t->ctx, &stream_desc, &s, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "stream: profiling wants a queue with CL_QUEUE_PROFILING_ENABLE");
    assert_null(s);
    clf_cl()->ReleaseCommandQueue(queue);
}

static char last_line[700];

static void keep_line(void *user, const char *line)
{
    (void)user;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static void an_unread_error_goes_to_the_log_at_the_end(void **state)
{
    clf_test *t = *state;
    clf_stream *s = NULL;

    clf_set_log(keep_line, NULL);
    assert_int_equal(clf_stream_create(t->ctx, NULL, &s, NULL), CLF_OK);
    clf_scratch(s, CLF_F32, CLF_DIMS(-3));
    clf_stream_destroy(s);
    clf_set_log(NULL, NULL);
    assert_string_equal(last_line, "stream destroyed with an unread error: scratch: shape is f32[-3]; want none "
                                   "negative, a product below 2^63");
    clf_stream_destroy(NULL);
}

static void waiting_after_every_command_names_the_right_one(void **state)
{
    clf_test *t = *state;
    const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(8)), y = clf_test_empty(t, CLF_F32, CLF_DIMS(8));
    clf_stream_desc desc = clf_stream_desc_default();
    clf_stream *s = NULL;
    clf_error err = { 0 };

    desc.finish_each = true;
    assert_int_equal(clf_stream_create(t->ctx, &desc, &s, NULL), CLF_OK);
    clf_shims_fail_named("clFinish", CL_OUT_OF_RESOURCES);
    clf_scale(s, x, 2.0F, y);
    clf_shims_fail_named(NULL, 0);
    assert_int_equal(clf_stream_finish(s, &err), CLF_DEVICE_ERROR);
    assert_non_null(strstr(err.message, "clf_scale"));
    assert_non_null(strstr(err.message, "CL_OUT_OF_RESOURCES (-5)"));
    clf_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_first_error_stays_and_silences_the_stream),
        CLF_TEST(scopes_name_errors_and_free_scratch),
        CLF_TEST(a_word_stands_once),
        CLF_TEST(after_an_error_scratch_has_a_shape_and_no_memory),
        CLF_TEST(equal_calls_find_equal_scratch),
        CLF_TEST(scratch_above_the_limit_of_a_buffer_is_an_error_with_both_numbers),
        CLF_TEST(views_cost_nothing_and_are_checked),
        CLF_TEST(a_tensor_outside_its_memory_is_refused),
        CLF_TEST(strides_that_overflow_are_refused),
        CLF_TEST(memory_of_another_context_is_an_error_that_passes),
        CLF_TEST(scratch_that_grows_slowly_is_not_hoarded),
        CLF_TEST(kernel_shapes_that_do_not_exist_are_refused),
        CLF_TEST(a_tensor_of_no_elements_has_no_memory_and_is_fine),
        CLF_TEST(a_copied_upload_needs_its_memory_no_longer),
        CLF_TEST(a_profile_names_the_kernels_in_order),
        CLF_TEST(launches_are_what_the_device_was_given),
        CLF_TEST(host_memory_is_wrapped_from_an_aligned_address),
        CLF_TEST(a_borrowed_context_works_in_the_caller_s_queue),
        CLF_TEST(borrowed_objects_that_do_not_fit_are_refused),
        CLF_TEST(an_unread_error_goes_to_the_log_at_the_end),
        CLF_TEST(waiting_after_every_command_names_the_right_one),
    };
    return CLF_TEST_MAIN(tests);
}
