/* Late fusion against the formula in double, and what its calls and descriptions may say. */
#include "late.h"
#include "shims.h"
#include "walk.h"

enum { Dv = 23, Dt = 300, D = 12, CLASSES = 5, N = 7, T = 4 }; /* 300: wider than one head of attention */

static clf_late_fusion_desc describe(clf_test *t, clf_late_pool pool, clf_late_merge merge)
{
    clf_late_fusion_desc d = clf_late_fusion_desc_default();

    d.pool = pool;
    d.merge = merge;
    d.vision.projection = late_layer(t, D, Dv);
    d.text.projection = late_layer(t, D, Dt);
    d.classifier = late_layer(t, CLASSES, merge == CLF_LATE_MERGE_CONCAT ? 2 * D : D);
    if (pool != CLF_LATE_POOL_ATTENTION)
        return d;
    d.vision.query = late_host(t, CLF_DIMS(Dv));
    d.text.query = late_host(t, CLF_DIMS(Dt));
    return d;
}

static clf_late_fusion *create(clf_test *t, const clf_late_fusion_desc *d)
{
    clf_late_fusion *m = NULL;
    clf_error err = { 0 };

    if (clf_late_fusion_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

/* embeds [D] of the rows x [rows, C]; mask NULL: all seen. */
static void embed(const clf_late_fusion_desc *d, const clf_late_side_desc *side, const double *x, int64_t rows,
                  const double *mask, double *embeds)
{
    const int64_t C = side->projection.weight.dim[1];
    const float *query = side->query.data;
    double pooled[Dt] = { 0 }, sum = 0;

    for (int64_t n = 0; n < rows; n++) {
        double weight = 1;

        if (d->pool == CLF_LATE_POOL_ATTENTION) {
            double score = 0;
            for (int64_t c = 0; c < C; c++)
                score += x[n * C + c] * (double)query[c];
            weight = exp(score / sqrt((double)C));
        }
        if (d->pool == CLF_LATE_POOL_CLS ? n > 0 : mask != NULL && isinf(mask[n]))
            continue;
        sum += weight;
        for (int64_t c = 0; c < C; c++)
            pooled[c] += weight * x[n * C + c];
    }
    for (int64_t c = 0; c < C; c++)
        pooled[c] = sum > 0 ? pooled[c] / sum : 0;
    late_apply(&side->projection, pooled, embeds);
}

typedef struct expected {
    double image[3 * D], text[3 * D], fused[3 * 2 * D], logits[3 * CLASSES];
} expected;

static void reference(clf_test *t, const clf_late_fusion_desc *d, const clf_late_fusion_call *c, expected *e)
{
    const double *x = clf_test_given(t, c->vision), *z = clf_test_given(t, c->text);
    const double *seen = clf_present(c->vision_mask) ? clf_test_given(t, c->vision_mask) : NULL;
    const int64_t F = d->classifier.weight.dim[1];

    for (int64_t b = 0; b < c->vision.dim[0]; b++) {
        double *image = e->image + b * D, *text = e->text + b * D, *fused = e->fused + b * F;

        embed(d, &d->vision, x + b * N * Dv, N, seen != NULL ? seen + b * N : NULL, image);
        embed(d, &d->text, z + b * T * Dt, T, NULL, text);
        for (int64_t i = 0; i < F; i++)
            fused[i] = F == D ? image[i] + text[i] : i < D ? image[i] : text[i - D];
        late_apply(&d->classifier, fused, e->logits + b * CLASSES);
    }
}

/* Inputs of three pictures and texts, outputs for them. */
static clf_late_fusion_call call_of(clf_test *t, const clf_late_fusion *m, clf_dtype dtype)
{
    clf_late_fusion_call c = clf_late_fusion_call_default();

    c.vision = clf_test_normal(t, dtype, CLF_DIMS(3, N, Dv));
    c.text = clf_test_normal(t, CLF_F32, CLF_DIMS(3, T, Dt));
    c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(3, D));
    c.text_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(3, D));
    c.fused = clf_test_empty(t, CLF_F32, CLF_DIMS(3, clf_late_fusion_fused_width(m)));
    c.logits = clf_test_empty(t, CLF_F32, CLF_DIMS(3, CLASSES));
    return c;
}

/* f32 against double: sums of at most 300 products of values around 1; a hundredth of this is used. */
static void close_to(clf_test *t, clf_tensor got, const double *want)
{
    clf_test_close(t, got, want, 1e-5, 2e-4);
}

static void agrees_with_the_formula_in_double(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    clf_test *t = *state;

    for (int i = 0; i < 6; i++) {
        const clf_late_fusion_desc d = describe(t, (clf_late_pool)(i % 3), (clf_late_merge)(i / 3));
        clf_late_fusion *m = create(t, &d);
        clf_late_fusion_call c = call_of(t, m, types[i % 3]);
        double mask[3 * N] = { 0 };
        expected e;

        mask[1] = mask[N] = mask[N + 6] = -INFINITY;
        for (int n = 0; n < N; n++)
            mask[2 * N + n] = -INFINITY; /* a picture of which no row is seen */
        c.vision_mask = clf_test_from(t, CLF_F32, CLF_DIMS(3, N), mask);
        reference(t, &d, &c, &e);
        clf_late_fusion_forward(t->stream, m, &c);
        close_to(t, c.image_embeds, e.image);
        close_to(t, c.text_embeds, e.text);
        close_to(t, c.fused, e.fused);
        close_to(t, c.logits, e.logits);
        clf_late_fusion_destroy(m);
    }
}

static void hidden_rows_may_be_nan(void **state)
{
    clf_test *t = *state;

    for (int i = 0; i < 2; i++) {
        const clf_late_fusion_desc d =
            describe(t, i == 0 ? CLF_LATE_POOL_MEAN : CLF_LATE_POOL_ATTENTION, CLF_LATE_MERGE_ADD);
        clf_late_fusion *m = create(t, &d);
        clf_late_fusion_call c = clf_late_fusion_call_default();
        double values[N * Dv], mask[N] = { 0 }, want[D];

        for (int k = 0; k < N * Dv; k++)
            values[k] = k / Dv == 3 ? NAN : k % 7 / 8.0;
        mask[3] = -INFINITY;
        c.vision = clf_test_from(t, CLF_F32, CLF_DIMS(1, N, Dv), values);
        c.vision_mask = clf_test_from(t, CLF_F32, CLF_DIMS(1, N), mask);
        c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(1, D));
        clf_late_fusion_forward(t->stream, m, &c);
        embed(&d, &d.vision, values, N, mask, want);
        close_to(t, c.image_embeds, want);
        clf_late_fusion_destroy(m);
    }
}

/* Each output alone, the embeddings for batches that differ: the bits of the call for all. */
static void outputs_do_not_depend_on_each_other(void **state)
{
    clf_test *t = *state;
    const clf_late_fusion_desc d = describe(t, CLF_LATE_POOL_ATTENTION, CLF_LATE_MERGE_ADD);
    clf_late_fusion *m = create(t, &d);
    const clf_late_fusion_call all = call_of(t, m, CLF_F32);
    clf_late_fusion_call c = clf_late_fusion_call_default();

    clf_late_fusion_forward(t->stream, m, &all);
    c.vision = all.vision;
    c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(3, D));
    clf_late_fusion_forward(t->stream, m, &c);
    clf_test_same_bits(t, c.image_embeds, all.image_embeds);
    c = clf_late_fusion_call_default();
    c.vision = clf_slice(t->stream, all.vision, 0, 1, 1);
    c.text = all.text;
    c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(1, D));
    c.text_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(3, D));
    clf_late_fusion_forward(t->stream, m, &c);
    close_to(t, c.image_embeds, clf_test_values(t, clf_slice(t->stream, all.image_embeds, 0, 1, 1)));
    clf_test_same_bits(t, c.text_embeds, all.text_embeds);
    clf_late_fusion_destroy(m);
}

static void no_rows_pool_to_nothing(void **state)
{
    clf_test *t = *state;
    const clf_late_fusion_desc d = describe(t, CLF_LATE_POOL_MEAN, CLF_LATE_MERGE_CONCAT);
    clf_late_fusion *m = create(t, &d);
    clf_late_fusion_call c = clf_late_fusion_call_default();
    double want[2 * D];

    c.vision = clf_tensor_shape(CLF_F32, CLF_DIMS(2, 0, Dv));
    c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(2, D));
    clf_late_fusion_forward(t->stream, m, &c);
    for (int i = 0; i < 2 * D; i++)
        want[i] = (double)((const float *)d.vision.projection.bias.data)[i % D];
    clf_test_exact(t, c.image_embeds, want);
    c.vision = clf_tensor_shape(CLF_F32, CLF_DIMS(0, 3, Dv));
    c.image_embeds = clf_tensor_shape(CLF_F32, CLF_DIMS(0, D));
    clf_late_fusion_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_late_fusion_destroy(m);
}

/* ---- resources and failures ---- */

static void repeated_calls_allocate_nothing(void **state)
{
    clf_test *t = *state;
    const clf_late_fusion_desc d = describe(t, CLF_LATE_POOL_ATTENTION, CLF_LATE_MERGE_CONCAT);
    clf_late_fusion *m = create(t, &d);
    const clf_late_fusion_call c = call_of(t, m, CLF_F16);
    clf_shim_counts before, after;

    for (int warm = 0; warm < 2; warm++)
        clf_late_fusion_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    before = clf_shims_count();
    for (int i = 0; i < 3; i++)
        clf_late_fusion_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    after = clf_shims_count();
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.allocated, before.allocated);
    clf_late_fusion_destroy(m);
}

typedef struct life {
    clf_late_fusion_desc desc;
    clf_late_fusion_call call;
    float *result;
} life;

static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const life *l = user;
    clf_late_fusion *m = NULL;
    clf_status status = clf_late_fusion_create(t->ctx, &l->desc, &m, err);

    if (status == CLF_OK) {
        clf_late_fusion_forward(s, m, &l->call);
        clf_download(s, l->call.logits, l->result);
        status = clf_stream_finish(s, err);
    }
    clf_late_fusion_destroy(m);
    return status;
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    life l = { .desc = describe(t, CLF_LATE_POOL_ATTENTION, CLF_LATE_MERGE_CONCAT) };
    clf_late_fusion *m = create(t, &l.desc);
    float result[3 * CLASSES];
    const clf_walk w = {
        .name = "late_fusion", .work = live, .user = &l, .result = result, .bytes = sizeof result, .beside = true
    };

    l.call = call_of(t, m, CLF_F32);
    l.result = result;
    clf_late_fusion_destroy(m);
    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 3 : 40));
    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

/* ---- refusals ---- */

static void refused(clf_test *t, const clf_late_fusion_desc *d, const char *message)
{
    clf_late_fusion *m = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_late_fusion_create(t->ctx, d, &m, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(m);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_late_fusion_desc good = describe(t, CLF_LATE_POOL_ATTENTION, CLF_LATE_MERGE_CONCAT);
    clf_late_fusion_desc d = good;

    d.text.projection = late_layer(t, 11, Dt);
    refused(t, &d, "late_fusion: text.projection.weight is f32[11, 300]; want 12 rows, as vision.projection.weight");
    d = good;
    d.text.query = late_host(t, CLF_DIMS(Dv));
    refused(t, &d, "late_fusion: text.query is f32[23]; want [300], the columns of text.projection.weight");
    d = good;
    d.pool = CLF_LATE_POOL_MEAN;
    refused(t, &d, "late_fusion: vision.query is f32[23]; want none without CLF_LATE_POOL_ATTENTION");
    d = good;
    d.merge = CLF_LATE_MERGE_ADD;
    refused(t, &d, "classifier.weight is f32[5, 24]; want 12 columns");
    d = good;
    d.pool = (clf_late_pool)3;
    refused(t, &d, "late_fusion: pool is 3; want a value of clf_late_pool");
}

static void call_refused(clf_test *t, const clf_late_fusion *m, const clf_late_fusion_call *c, const char *message)
{
    clf_late_fusion_forward(t->stream, m, c);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, message);
}

static void calls_with_wrong_shapes_are_refused(void **state)
{
    clf_test *t = *state;
    clf_late_fusion_desc d = describe(t, CLF_LATE_POOL_CLS, CLF_LATE_MERGE_ADD);
    clf_late_fusion *m = create(t, &d), *bare;
    const clf_late_fusion_call good = call_of(t, m, CLF_F32);
    clf_late_fusion_call c = good;

    c.text = clf_slice(t->stream, good.text, 0, 0, 2);
    call_refused(t, m, &c,
                 "late_fusion: text is f32[2, 4, 300]; want a batch of 3, that of vision: each text is merged with its "
                 "picture");
    c = good;
    c.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(3, N, Dv + 1));
    call_refused(t, m, &c, "late_fusion: vision is f32[3, 7, 24]; want [B, rows, 23]");
    c = good;
    c.vision = clf_tensor_shape(CLF_F32, CLF_DIMS(3, 0, Dv));
    call_refused(t, m, &c, "late_fusion: vision is f32[3, 0, 23]; want at least one row, the one that is taken");
    c = good;
    c.text_mask = clf_test_normal(t, CLF_F32, CLF_DIMS(3, T + 1));
    call_refused(t, m, &c, "late_fusion: text_mask is f32[3, 5]; want f32[3, 4], for text f32[3, 4, 300]");
    c = good;
    c.fused = clf_test_empty(t, CLF_F32, CLF_DIMS(3, 2 * D));
    call_refused(t, m, &c, "late_fusion: fused is f32[3, 24]; want f32, f16 or bf16 [3, 12]");
    clf_late_fusion_destroy(m);
    d.classifier = (clf_linear_layer){ { 0 }, { 0 } };
    bare = create(t, &d);
    call_refused(t, bare, &good, "late_fusion: logits is f32[3, 5]; want none of a module without classifier");
    clf_late_fusion_destroy(bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_formula_in_double),
        CLF_TEST(hidden_rows_may_be_nan),
        CLF_TEST(outputs_do_not_depend_on_each_other),
        CLF_TEST(no_rows_pool_to_nothing),
        CLF_TEST(repeated_calls_allocate_nothing),
        CLF_TEST(an_error_at_any_call_is_reported_once),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(calls_with_wrong_shapes_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
