/* Cross-attention layers and the memory of pictures: what is refused, and what happens when something fails. */
#include <string.h>

#include "cross.h"
#include "runtime/context.h"
#include "shims.h"
#include "walk.h"

/* ---- rules ---- */

static void refused_description(clf_test *t, const description *d, const char *message)
{
    clf_cross_attention *c = (clf_cross_attention *)t;
    clf_error err = { 0 };

    assert_int_equal(clf_cross_attention_create(t->ctx, &d->desc, &c, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(c);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const int all = GATES | FEED_FORWARD | BIASES | PROJECTION;
    description *d = describe(t, CLF_CROSS_RESIDUAL, all);

    d->desc.struct_size = 1000000;
    assert_int_equal(clf_cross_attention_create(t->ctx, &d->desc, &(clf_cross_attention *){ NULL }, NULL),
                     CLF_INVALID_ARGUMENT);
    d->desc.struct_size = sizeof d->desc;
    d->desc.layer_count = 0;
    refused_description(t, d, "cross_attention: layer_count is 0 and layers is set; want at least one");
    d->desc.layer_count = LAYERS;
    d->desc.form = (clf_cross_form)7;
    refused_description(t, d, "cross_attention: form is 7; want plain, residual or post-norm");
    d->desc.form = CLF_CROSS_PLAIN;
    refused_description(t, d, "cross_attention: layers[0].attention.gate is f32[1]; want none in the form plain");
    d->layers[0].attention.gate.dtype = CLF_DTYPE_NONE;
    refused_description(
        t, d, "cross_attention: layers[0].feed_forward.up.weight is f32[16, 24]; want none in the form plain");
    d->desc.form = CLF_CROSS_POST_NORM;
    d->layers[0].attention.norm.kind = CLF_NORM_NONE;
    refused_description(t, d, "cross_attention: layers[0].attention.norm is none; want one in the form post-norm");

    d = describe(t, CLF_CROSS_RESIDUAL, all);
    d->layers[2].attention.q = linear(t, BIASES, H * D, DT + 1);
    d->layers[2].attention.norm.kind = CLF_NORM_NONE;
    refused_description(
        t, d, "cross_attention: layers[2].attention.q.weight is f32[24, 25]; want 24 columns, as layers[0] has");
    d = describe(t, CLF_CROSS_RESIDUAL, all);
    d->layers[1].attention.kv_heads = 1;
    d->layers[1].attention.k = linear(t, BIASES, D, DM);
    d->layers[1].attention.v = linear(t, BIASES, E, DM);
    refused_description(t, d,
                        "cross_attention: layers[1].attention has 4 heads, q f32[24, 24] and k f32[6, 20]; want the "
                        "heads of layers[0]");
    d = describe(t, CLF_CROSS_RESIDUAL, all);
    d->layers[1].attention.k = linear(t, BIASES, HK * D + 1, DM);
    refused_description(t, d,
                        "cross_attention: layers[1].attention.k.weight is f32[13, 20]; want 12 rows: 2 heads of 6, as "
                        "q has");
    d = describe(t, CLF_CROSS_RESIDUAL, all);
    d->layers[0].attention.out = linear(t, BIASES, DT - 1, H * E);
    refused_description(t, d, "cross_attention: layers[0].attention gives rows of 23; want 24, the text's width");
    d = describe(t, CLF_CROSS_RESIDUAL, all);
    d->layers[0].feed_forward.down = linear(t, BIASES, DT + 2, F);
    refused_description(t, d, "cross_attention: layers[0].feed_forward goes from 24 to 26; want 24, the text's width");
    d = describe(t, CLF_CROSS_RESIDUAL, all);
    d->desc.media_projection = linear(t, BIASES, DM + 1, DM);
    refused_description(t, d,
                        "cross_attention: media_projection.weight is f32[21, 20]; want 20 rows, the columns of k");
}

static void refused_call(clf_test *t, const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                         const clf_cross_options *options, clf_tensor hidden, const char *message)
{
    clf_error err = { 0 };

    assert_int_not_equal(clf_cross_attention_check(c, text, media, options, hidden, &err), CLF_OK);
    if (strstr(err.message, message) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", message, err.message);
    clf_cross_attention_stack(t->stream, c, text, media, options, 0, hidden);
    clf_test_expect_error(t, err.status, message);
}

static void calls_that_do_not_fit_are_refused(void **state)
{
    static const int32_t rows[] = { 0, 1, 2, 3 };
    clf_test *t = *state;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT)), media = pictures(t, c, 2, 7);
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));
    clf_cross_options options = clf_cross_options_default();

    assert_int_equal(clf_cross_attention_check(c, text, media, &options, hidden, NULL), CLF_OK);
    refused_call(t, c, media, media, NULL, hidden, "cross_attention: text is f32[2, 7, 20]; want [B, T, 24]");
    refused_call(t, c, text, text, NULL, hidden, "cross_attention: media is f32[2, 3, 24]; want [2, K, 20]");
    refused_call(t, c, text, clf_slice(t->stream, media, 0, 0, 1), NULL, hidden,
                 "media is f32[1, 7, 20]; want [2, K, 20]");
    refused_call(t, c, text, media, NULL, media,
                 "hidden is f32[2, 7, 20]; want the shape of text f32[2, 3, 24], and f32 or its type");
    options.struct_size = 3;
    refused_call(t, c, text, media, &options, hidden, "struct_size is 3");
    options = clf_cross_options_default();
    options.attention.causal = true;
    refused_call(t, c, text, media, &options, hidden, "attention has a scale, a norm or causal; want their defaults");
    options = clf_cross_options_default();
    options.feed_forward_rows = clf_test_i32(t, CLF_DIMS(2, 2), rows);
    refused_call(t, c, text, media, &options, hidden,
                 "feed_forward_rows is i32[2, 2] and the module has no feed-forward; want none");
    options = clf_cross_options_default();
    options.attention.mask = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 1, 3, 6));
    refused_call(t, c, text, media, &options, hidden, "attention: mask is f32[2, 1, 3, 6]");
    options = clf_cross_options_default();
    options.attention.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(2, H, 3, 7));
    clf_cross_attention_stack(t->stream, c, text, media, &options, LAYERS, hidden);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "cross_attention: weights_of is 3; want 0 to 2");
    clf_cross_attention_destroy(c);
}

static void rows_of_the_feed_forward_have_the_shape_of_the_text(void **state)
{
    static const int32_t rows[] = { 0, 1, 2, 3 };
    clf_test *t = *state;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, FEED_FORWARD));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT));
    clf_cross_options options = clf_cross_options_default();

    options.feed_forward_rows = clf_test_i32(t, CLF_DIMS(2, 2), rows);
    refused_call(t, c, text, pictures(t, c, 2, 7), &options, text,
                 "feed_forward_rows is i32[2, 2]; want dense i32[2, 3]");
    clf_cross_attention_destroy(c);
}

static void a_memory_knows_its_module_its_rows_and_its_room(void **state)
{
    clf_test *t = *state;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES));
    clf_cross_attention *other = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES));
    clf_visual_memory *m = room(c, 2, 9, CLF_F32), *none = NULL;
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT)), media = pictures(t, c, 2, 7);
    const clf_tensor one = clf_slice(t->stream, text, 0, 0, 1);
    clf_error err = { 0 };

    clf_visual_memory_append(t->stream, m, media);
    clf_visual_memory_append(t->stream, m, media);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT,
                          "visual_memory: media is f32[2, 7, 20]; want at most 2 keys: the memory has 7 of 9");
    assert_int_equal(clf_visual_memory_keys(m), 7);
    clf_visual_memory_append(t->stream, m, clf_slice(t->stream, media, 0, 0, 1));
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "media is f32[1, 7, 20]; want [2, K, 20]");
    clf_cross_attention_forward(t->stream, other, 0, text, m, NULL, text);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "memory is of another module; want one of this module");
    clf_cross_attention_forward(t->stream, c, 0, text, NULL, NULL, text);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "memory is NULL; want one of this module");
    clf_cross_attention_forward(t->stream, c, 0, one, m, NULL, one);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "memory has 2 rows; want 1, as text f32[1, 3, 24]");
    clf_cross_attention_forward(t->stream, c, LAYERS, text, m, NULL, text);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "cross_attention: layer is 3; want 0 to 2");
    assert_int_equal(clf_visual_memory_create(c, -1, 4, CLF_F32, &none, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, "visual_memory: B is -1 and K is 4; want both 0 or more");
    assert_int_equal(clf_visual_memory_create(c, 1, 4, CLF_I32, &none, &err), CLF_UNSUPPORTED);
    assert_null(none);
    clf_visual_memory_destroy(m);
    clf_visual_memory_destroy(NULL);
    clf_cross_attention_destroy(c);
    clf_cross_attention_destroy(other);
    clf_cross_attention_destroy(NULL);
}

/* ---- what fails ---- */

typedef struct life {
    description *d;
    clf_tensor text, media, hidden;
    clf_cross_options options;
    float result[2 * 3 * DT];
} life;

static life *prepare(clf_test *t)
{
    static const int32_t rows[] = { 0, 1, -1, 3, 4, 5 };
    life *l = clf_test_memory(t, sizeof *l);

    l->d = describe(t, CLF_CROSS_RESIDUAL, CHANNELS | FEED_FORWARD | GATED_UNIT | HEAD_NORMS | PROJECTION | BIASES);
    l->d->desc.layer_count = 1;
    l->text = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 3, DT));
    l->media = clf_test_normal(t, CLF_F32, CLF_DIMS(2, 7, 2 * DM));
    l->hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 3, DT));
    l->options = clf_cross_options_default();
    l->options.feed_forward_rows = clf_test_i32(t, CLF_DIMS(2, 3), rows);
    return l;
}

/* A module and a memory are made, used and destroyed. */
static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    life *l = user;
    clf_cross_attention *c = NULL;
    clf_visual_memory *m = NULL;
    clf_status status = clf_cross_attention_create(t->ctx, &l->d->desc, &c, err);

    if (status == CLF_OK)
        status = clf_visual_memory_create(c, 2, 8, CLF_F16, &m, err);
    if (status == CLF_OK) {
        clf_visual_memory_append(s, m, l->media);
        assert_int_equal(clf_visual_memory_keys(m), clf_stream_status(s) == CLF_OK ? 7 : 0);
        clf_cross_attention_forward(s, c, 0, l->text, m, &l->options, l->hidden);
        clf_download(s, l->hidden, l->result);
        status = clf_stream_finish(s, err);
    }
    clf_visual_memory_destroy(m);
    clf_cross_attention_destroy(c);
    return status;
}

static clf_walk walk(life *l)
{
    return (clf_walk){
        .name = "module and memory",
        .work = live,
        .user = l,
        .result = l->result,
        .bytes = sizeof l->result,
        .beside = true,
    };
}

static void an_error_at_any_call_is_reported_once_and_nothing_is_published(void **state)
{
    clf_test *t = *state;
    const clf_walk w = walk(prepare(t));

    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 3 : 40));
}

static void an_allocation_that_fails_anywhere_is_out_of_memory(void **state)
{
    clf_test *t = *state;
    const clf_walk w = walk(prepare(t));

    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

/* A step of decoding: scratch, kernels and programs are there from the first one. */
static void a_second_step_allocates_nothing(void **state)
{
    clf_test *t = *state;
    const int flags = GATES | FEED_FORWARD | GATED_UNIT | HEAD_NORMS;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, flags));
    clf_visual_memory *m = room(c, 1, 9, CLF_F16);
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 1, DT));
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(1, 1, DT));
    clf_shim_counts before = { 0 }, after;

    clf_visual_memory_append(t->stream, m, pictures(t, c, 1, 9));
    for (int i = 0; i < 4; i++) {
        clf_cross_attention_forward(t->stream, c, 0, text, m, NULL, hidden);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        if (i == 0)
            before = clf_shims_count();
    }
    after = clf_shims_count();
    assert_int_equal(after.allocated, before.allocated);
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.programs_built, before.programs_built);
    assert_int_equal(after.kernels, before.kernels);
    if (strcmp(clf_context_gemm(t->ctx), "panel") == 0 && strcmp(clf_context_kernels(t->ctx), "simd") == 0)
        assert_in_range(after.enqueued - before.enqueued, 1,
                        3 * 9); /* 4 products, 2 with a norm, q norm, attention, unit */
    clf_visual_memory_destroy(m);
    clf_cross_attention_destroy(c);
}

/* Layers read the same media: their keys and values are as many commands as those of one layer. */
static void keys_of_all_layers_are_one_product(void **state)
{
    clf_test *t = *state;
    long enqueued[2];

    for (int i = 0; i < 2; i++) {
        description *d = describe(t, CLF_CROSS_RESIDUAL, GATES);

        d->desc.layer_count = i == 0 ? 1 : LAYERS;
        clf_cross_attention *c = create(t, d);
        clf_visual_memory *m = room(c, 2, 8, CLF_F32);
        const clf_tensor media = pictures(t, c, 2, 7);
        const clf_shim_counts before = clf_shims_count();

        clf_visual_memory_append(t->stream, m, media);
        assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
        enqueued[i] = clf_shims_count().enqueued - before.enqueued;
        clf_visual_memory_destroy(m);
        clf_cross_attention_destroy(c);
    }
    assert_int_equal(enqueued[0], enqueued[1]);
}

/* A layer's scratch holds rows of the text and of the media, nothing of T times K. */
static void scratch_does_not_grow_with_text_times_media(void **state)
{
    clf_test *t = *state;
    const int64_t n = clf_test_small_only(t) ? 64 : 1200;
    clf_cross_attention *c = create(t, describe(t, CLF_CROSS_RESIDUAL, GATES | FEED_FORWARD));
    const clf_tensor text = clf_test_normal(t, CLF_F32, CLF_DIMS(1, n, DT)), media = pictures(t, c, 1, n);
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(1, n, DT));
    const uint64_t row = sizeof(float) * (3 * DT + H * (D + E) + F + LAYERS * HK * (D + E)); /* of text and media */
    uint64_t before, peak;

    clf_stream_reset(t->stream); /* an empty arena */
    before = clf_context_memory(t->ctx, NULL);
    atomic_store(&t->ctx->peak_memory, before);
    clf_cross_attention_stack(t->stream, c, text, media, NULL, 0, hidden);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    (void)clf_context_memory(t->ctx, &peak);
    assert_true(peak - before <= 2 * (uint64_t)n * row + (2U << 20)); /* and what blocks round up to */
    assert_true(clf_test_small_only(t) || 2 * (uint64_t)n * row + (2U << 20) < (uint64_t)(n * n) * sizeof(float));
    clf_cross_attention_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(calls_that_do_not_fit_are_refused),
        CLF_TEST(rows_of_the_feed_forward_have_the_shape_of_the_text),
        CLF_TEST(a_memory_knows_its_module_its_rows_and_its_room),
        CLF_TEST(an_error_at_any_call_is_reported_once_and_nothing_is_published),
        CLF_TEST(an_allocation_that_fails_anywhere_is_out_of_memory),
        CLF_TEST(a_second_step_allocates_nothing),
        CLF_TEST(keys_of_all_layers_are_one_product),
        CLF_TEST(scratch_does_not_grow_with_text_times_media),
    };

    return CLF_TEST_MAIN(tests);
}
