/* Contrast against the formula in double, and what its calls and descriptions may say. */
#include "late.h"
#include "shims.h"
#include "walk.h"

enum { I = 3, J = 5, Dv = 23, Dt = 20, P = 16, K = 2 };

static clf_contrastive_desc describe(clf_test *t, clf_scores_kind kind)
{
    clf_contrastive_desc d = clf_contrastive_desc_default();

    d.vision.projection.weight = late_host(t, CLF_DIMS(P, Dv));
    d.text.projection = late_layer(t, P, Dt);
    d.vision.norm = (clf_norm_desc){ CLF_NORM_LAYER, late_host(t, CLF_DIMS(Dv)), late_host(t, CLF_DIMS(Dv)), 1e-3F };
    d.scale = 4.5F;
    d.bias = kind == CLF_SCORES_SIGMOID ? -1.5F : 0.0F;
    d.kind = kind;
    return d;
}

static clf_contrastive *create(clf_test *t, const clf_contrastive_desc *d)
{
    clf_contrastive *m = NULL;
    clf_error err = { 0 };

    if (clf_contrastive_create(t->ctx, d, &m, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return m;
}

static clf_contrastive_call call_of(clf_test *t, clf_dtype dtype)
{
    clf_contrastive_call c = clf_contrastive_call_default();

    c.vision = clf_test_normal(t, dtype, CLF_DIMS(I, Dv));
    c.text = clf_test_normal(t, CLF_F32, CLF_DIMS(J, Dt));
    c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(I, P));
    c.text_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(J, P));
    c.logits = clf_test_empty(t, CLF_F32, CLF_DIMS(I, J));
    c.scores = clf_test_empty(t, CLF_F32, CLF_DIMS(I, J));
    c.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(I, K));
    c.values = clf_test_empty(t, CLF_F32, CLF_DIMS(I, K));
    return c;
}

static void embed(const clf_contrastive_side_desc *side, const double *x, double *y)
{
    const int64_t C = side->projection.weight.dim[1];
    const float *weight = side->norm.weight.data, *bias = side->norm.bias.data;
    double row[Dv], mean = 0, square = 0, length = 0;

    for (int64_t c = 0; c < C; c++)
        mean += x[c] / (double)C;
    for (int64_t c = 0; c < C; c++)
        square += (x[c] - mean) * (x[c] - mean) / (double)C;
    for (int64_t c = 0; c < C; c++)
        row[c] = weight == NULL
                     ? x[c]
                     : (x[c] - mean) / sqrt(square + (double)side->norm.eps) * (double)weight[c] + (double)bias[c];
    late_apply(&side->projection, row, y);
    for (int p = 0; p < P; p++)
        length += y[p] * y[p];
    for (int p = 0; p < P; p++)
        y[p] /= sqrt(length);
}

typedef struct expected {
    double image[I * P], text[J * P], logits[I * J], scores[I * J];
} expected;

static void reference(clf_test *t, const clf_contrastive_desc *d, const clf_contrastive_call *c, expected *e)
{
    const double *x = clf_test_given(t, c->vision), *z = clf_test_given(t, c->text);

    for (int i = 0; i < I; i++)
        embed(&d->vision, x + i * Dv, e->image + i * P);
    for (int j = 0; j < J; j++)
        embed(&d->text, z + j * Dt, e->text + j * P);
    for (int i = 0; i < I; i++) {
        double sum = 0;

        for (int j = 0; j < J; j++) {
            double dot = 0;
            for (int p = 0; p < P; p++)
                dot += e->image[i * P + p] * e->text[j * P + p];
            e->logits[i * J + j] = (double)d->scale * dot + (double)d->bias;
            sum += exp(e->logits[i * J + j]);
        }
        for (int j = 0; j < J; j++)
            e->scores[i * J + j] =
                d->kind == CLF_SCORES_SIGMOID ? 1 / (1 + exp(-e->logits[i * J + j])) : exp(e->logits[i * J + j]) / sum;
    }
}

/* The K best of each row of logits are those that indices say, and values are their scores. */
static void check_best(clf_test *t, const clf_contrastive_call *c)
{
    const double *logits = clf_test_values(t, c->logits), *scores = clf_test_values(t, c->scores);
    const double *indices = clf_test_values(t, c->indices), *values = clf_test_values(t, c->values);

    for (int i = 0; i < I; i++) {
        const int first = (int)indices[i * K], second = (int)indices[i * K + 1];

        for (int j = 0; j < J; j++) {
            assert_true(logits[i * J + first] >= logits[i * J + j]);
            assert_true(j == first || logits[i * J + second] >= logits[i * J + j]);
        }
        assert_true(values[i * K] == scores[i * J + first] && values[i * K + 1] == scores[i * J + second]);
    }
}

static void agrees_with_the_formula_in_double(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    clf_test *t = *state;

    for (int i = 0; i < 6; i++) {
        const clf_contrastive_desc d = describe(t, (clf_scores_kind)(i % 2));
        clf_contrastive *m = create(t, &d);
        const clf_contrastive_call c = call_of(t, types[i / 2]);
        expected e;

        reference(t, &d, &c, &e);
        clf_contrastive_forward(t->stream, m, &c);
        /* f32 against double: unit vectors of 16, sums of 23 products before; a hundredth of this is used. */
        clf_test_close(t, c.image_embeds, e.image, 1e-5, 1e-5);
        clf_test_close(t, c.text_embeds, e.text, 1e-5, 1e-5);
        clf_test_close(t, c.logits, e.logits, 1e-5, 5e-5);
        clf_test_close(t, c.scores, e.scores, 1e-4, 1e-6);
        check_best(t, &c);
        clf_contrastive_destroy(m);
    }
}

/* Rows that are embeddings already: any width, both sides the same. */
static void rows_without_projection_have_any_width(void **state)
{
    clf_test *t = *state;
    clf_contrastive_desc d = clf_contrastive_desc_default();
    clf_contrastive *m = create(t, &d);
    clf_contrastive_call c = clf_contrastive_call_default();
    const double x[2 * 2] = { 3, 4, -8, 6 }, z[2] = { 0.6, 0.8 }, want[2] = { 1, 0 };

    assert_int_equal(clf_contrastive_width(m), 0);
    c.vision = clf_test_from(t, CLF_F32, CLF_DIMS(2, 2), x);
    c.text = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2), z);
    c.logits = clf_test_empty(t, CLF_F32, CLF_DIMS(2, 1));
    clf_contrastive_forward(t->stream, m, &c);
    clf_test_close(t, c.logits, want, 1e-6, 1e-6);
    clf_contrastive_destroy(m);
}

/* A text that stands twice: the first of the two is better. */
static void equal_texts_keep_their_order(void **state)
{
    clf_test *t = *state;
    const clf_contrastive_desc d = describe(t, CLF_SCORES_SOFTMAX);
    clf_contrastive *m = create(t, &d);
    clf_contrastive_call c = call_of(t, CLF_F32);
    const clf_tensor one = clf_test_normal(t, CLF_F32, CLF_DIMS(1, Dt)),
                     all = clf_test_empty(t, CLF_F32, CLF_DIMS(J, Dt));

    for (int j = 0; j < J; j++)
        clf_copy(t->stream, one, clf_slice(t->stream, all, 0, j, 1));
    c.text = all;
    clf_contrastive_forward(t->stream, m, &c);
    const double *indices = clf_test_values(t, c.indices);
    for (int i = 0; i < I * K; i++)
        assert_true(indices[i] == i % K);
    clf_contrastive_destroy(m);
}

/* Texts ever nearer to the picture, whose scores are all 1: the best are those of the largest logits. */
static void equal_scores_are_told_apart_by_logits(void **state)
{
    static const double x[2] = { 1, 0 }, z[J * 2] = { 1, 0.9, 1, 0.7, 1, 0.5, 1, 0.3, 1, 0.1 };
    clf_test *t = *state;
    clf_contrastive_desc d = clf_contrastive_desc_default();
    clf_contrastive_call c = clf_contrastive_call_default();

    d.scale = 100.0F;
    d.kind = CLF_SCORES_SIGMOID;
    clf_contrastive *m = create(t, &d);
    c.vision = clf_test_from(t, CLF_F32, CLF_DIMS(1, 2), x);
    c.text = clf_test_from(t, CLF_F32, CLF_DIMS(J, 2), z);
    for (int with_scores = 0; with_scores < 2; with_scores++) {
        if (with_scores)
            c.scores = clf_test_empty(t, CLF_F32, CLF_DIMS(1, J));
        c.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(1, K));
        c.values = clf_test_empty(t, CLF_F32, CLF_DIMS(1, K));
        clf_contrastive_forward(t->stream, m, &c);
        const double *indices = clf_test_values(t, c.indices), *values = clf_test_values(t, c.values);
        for (int k = 0; k < K; k++)
            assert_true(indices[k] == J - 1 - k && values[k] == 1);
    }
    clf_contrastive_destroy(m);
}

/* ---- blocks ---- */

/* Many enough for several blocks of either side, the last of them shorter. */
enum { MANY_I = 150, MANY_J = 2100, MANY_P = 256, MANY_K = 5 };

static clf_contrastive_call call_of_many(clf_test *t)
{
    clf_contrastive_call c = clf_contrastive_call_default();

    c.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(MANY_I, Dv));
    c.text = clf_test_normal(t, CLF_F32, CLF_DIMS(MANY_J, Dt));
    c.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_P));
    c.text_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_J, MANY_P));
    c.logits = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_J));
    c.scores = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_J));
    c.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(MANY_I, MANY_K));
    c.values = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_K));
    return c;
}

static clf_contrastive *create_for_many(clf_test *t)
{
    clf_contrastive_desc d = clf_contrastive_desc_default();

    d.vision.projection.weight = late_host(t, CLF_DIMS(MANY_P, Dv));
    d.text.projection = late_layer(t, MANY_P, Dt);
    d.scale = 20.0F;
    return create(t, &d);
}

/* Logits and scores of all pairs from the embeddings, in double; embeddings have length 1. */
static void pairs_agree(clf_test *t, const clf_contrastive_call *c)
{
    const double *image = clf_test_values(t, c->image_embeds), *text = clf_test_values(t, c->text_embeds);
    double *logits = clf_test_memory(t, MANY_I * MANY_J * sizeof *logits),
           *scores = clf_test_memory(t, MANY_I * MANY_J * sizeof *scores);

    for (int i = 0; i < MANY_I; i++) {
        double sum = 0;

        for (int j = 0; j < MANY_J; j++) {
            double dot = 0, square = 0;
            for (int p = 0; p < MANY_P; p++) {
                dot += image[i * MANY_P + p] * text[j * MANY_P + p];
                square += text[j * MANY_P + p] * text[j * MANY_P + p];
            }
            assert_true(fabs(square - 1) < 1e-5);
            logits[i * MANY_J + j] = 20 * dot;
            sum += exp(20 * dot);
        }
        for (int j = 0; j < MANY_J; j++)
            scores[i * MANY_J + j] = exp(logits[i * MANY_J + j]) / sum;
    }
    clf_test_close(t, c->logits, logits, 1e-5, 2e-5);
    clf_test_close(t, c->scores, scores, 1e-4, 1e-7);
}

static void best_are_those_of_all_pairs(clf_test *t, const clf_contrastive_call *c)
{
    const double *logits = clf_test_values(t, c->logits), *scores = clf_test_values(t, c->scores);
    const double *indices = clf_test_values(t, c->indices), *values = clf_test_values(t, c->values);

    for (int i = 0; i < MANY_I; i++)
        for (int k = 0; k < MANY_K; k++) {
            const double *row = logits + i * MANY_J, at = row[(int)indices[i * MANY_K + k]];
            int better = 0;

            for (int j = 0; j < MANY_J; j++)
                better += row[j] > at;
            assert_int_equal(better, k);
            assert_true(values[i * MANY_K + k] == scores[i * MANY_J + (int)indices[i * MANY_K + k]]);
        }
}

/* What is wanted decides how a call goes through its rows, not what comes out. */
static void blocks_and_wishes_change_no_bit(void **state)
{
    clf_test *t = *state;

    if (clf_test_small_only(t))
        clf_test_skip("several blocks");
    clf_contrastive *m = create_for_many(t);
    const clf_contrastive_call all = call_of_many(t),
                               none = { .struct_size = all.struct_size, .vision = all.vision, .text = all.text };
    clf_contrastive_call best = none, first = none, some = none;

    clf_contrastive_forward(t->stream, m, &all);
    pairs_agree(t, &all);
    best_are_those_of_all_pairs(t, &all);
    best.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(MANY_I, MANY_K));
    best.values = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_K));
    clf_contrastive_forward(t->stream, m, &best);
    clf_test_same_bits(t, best.indices, all.indices);
    clf_test_same_bits(t, best.values, all.values);
    first.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(MANY_I, MANY_K));
    first.text_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_J, MANY_P));
    clf_contrastive_forward(t->stream, m, &first);
    clf_test_same_bits(t, first.indices, all.indices);
    clf_test_same_bits(t, first.text_embeds, all.text_embeds);
    some.scores = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_J));
    some.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MANY_P));
    clf_contrastive_forward(t->stream, m, &some);
    clf_test_same_bits(t, some.scores, all.scores);
    clf_test_same_bits(t, some.image_embeds, all.image_embeds);
    clf_contrastive_destroy(m);
}

/* Three pictures alone, which are compared in a way of their own, and more best than the kernel for few finds. */
static void a_picture_has_the_same_bits_among_few_and_many(void **state)
{
    enum { FEW = 3, FIRST = MANY_I - 5, MORE = 40 };
    clf_test *t = *state;

    if (clf_test_small_only(t) || strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("several blocks, and a provider that fixes the order of additions");
    clf_contrastive *m = create_for_many(t);
    const clf_contrastive_call all = call_of_many(t);
    clf_contrastive_call few = all, more = { .struct_size = all.struct_size, .vision = all.vision, .text = all.text };

    clf_contrastive_forward(t->stream, m, &all);
    few.vision = clf_slice(t->stream, all.vision, 0, FIRST, FEW);
    few.image_embeds = clf_test_empty(t, CLF_F32, CLF_DIMS(FEW, MANY_P));
    few.text_embeds =
        clf_slice(t->stream, clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_J, MANY_P + 3)), 1, 2, MANY_P); /* a view */
    few.logits = clf_test_empty(t, CLF_F32, CLF_DIMS(FEW, MANY_J));
    few.scores = (clf_tensor){ 0 };
    few.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(FEW, MANY_K));
    few.values = clf_test_empty(t, CLF_F32, CLF_DIMS(FEW, MANY_K));
    clf_contrastive_forward(t->stream, m, &few);
    clf_test_same_bits(t, few.image_embeds, clf_slice(t->stream, all.image_embeds, 0, FIRST, FEW));
    clf_test_same_bits(t, few.text_embeds, all.text_embeds);
    clf_test_same_bits(t, few.logits, clf_slice(t->stream, all.logits, 0, FIRST, FEW));
    clf_test_same_bits(t, few.indices, clf_slice(t->stream, all.indices, 0, FIRST, FEW));
    clf_test_same_bits(t, few.values, clf_slice(t->stream, all.values, 0, FIRST, FEW));
    more.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(MANY_I, MORE));
    more.values = clf_test_empty(t, CLF_F32, CLF_DIMS(MANY_I, MORE));
    clf_contrastive_forward(t->stream, m, &more);
    clf_test_same_bits(t, clf_slice(t->stream, more.indices, 1, 0, MANY_K), all.indices);
    clf_test_same_bits(t, clf_slice(t->stream, more.values, 1, 0, MANY_K), all.values);
    clf_contrastive_destroy(m);
}

/* ---- types and strides of outputs ---- */

enum { OUTPUTS = 6, ALL = 63, SCORES = 8, LOGITS_AND_BEST = 4 + 16 + 32, BESIDE = 3 };

static clf_tensor *output_of(clf_contrastive_call *c, int i)
{
    clf_tensor *const outputs[OUTPUTS] = { &c->image_embeds, &c->text_embeds, &c->logits,
                                           &c->scores,       &c->indices,     &c->values };

    return outputs[i];
}

static void columns_beside_are_untouched(clf_test *t, clf_tensor whole)
{
    const double *values = clf_test_values(t, whole);
    const int64_t C = whole.dim[1];

    for (int64_t i = 0; i < whole.dim[0] * C; i++)
        if (i % C < BESIDE || i % C >= C - BESIDE)
            assert_true(isnan(values[i]) || (whole.dtype == CLF_I32 && values[i] == -1));
}

/* The same call with the outputs of `wishes`, a bit each, among other columns; floats are `dtype` where the call leaves
 * a choice.  Its values are those of the plain one, rounded once. */
static void wishes_agree(clf_test *t, const clf_contrastive *m, clf_contrastive_call plain, int wishes, clf_dtype dtype)
{
    clf_contrastive_call c = plain;
    clf_tensor whole[OUTPUTS];

    for (int i = 0; i < OUTPUTS; i++) {
        clf_tensor *y = output_of(&c, i);
        const int64_t columns = y->dim[1];
        const clf_dtype type = i < 4 ? dtype : y->dtype;

        whole[i] = clf_test_empty(t, type, CLF_DIMS(y->dim[0], columns + 2 * BESIDE));
        *y = wishes >> i & 1 ? clf_slice(t->stream, whole[i], 1, BESIDE, columns) : (clf_tensor){ 0 };
    }
    clf_contrastive_forward(t->stream, m, &c);
    for (int i = 0; i < OUTPUTS; i++)
        if (wishes >> i & 1) {
            clf_test_exact(t, *output_of(&c, i), clf_test_values(t, *output_of(&plain, i)));
            columns_beside_are_untouched(t, whole[i]);
        }
}

/* Few pictures are compared in a way of their own; many go in several blocks. */
static void outputs_of_any_type_and_stride_have_the_plain_values(void **state)
{
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };
    static const int wishes[] = { ALL, SCORES, LOGITS_AND_BEST };
    clf_test *t = *state;

    for (size_t i = 0; i < (clf_test_small_only(t) ? 1 : 2) * CLF_COUNT(types); i++) {
        const bool many = i >= CLF_COUNT(types);
        const clf_contrastive_desc d = describe(t, CLF_SCORES_SIGMOID);
        clf_contrastive *m = many ? create_for_many(t) : create(t, &d);
        const clf_contrastive_call plain = many ? call_of_many(t) : call_of(t, CLF_F16);

        clf_contrastive_forward(t->stream, m, &plain);
        for (size_t w = 0; w < CLF_COUNT(wishes); w++)
            wishes_agree(t, m, plain, wishes[w], types[i % CLF_COUNT(types)]);
        clf_contrastive_destroy(m);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

static void no_pictures_or_texts_are_a_success(void **state)
{
    clf_test *t = *state;
    const clf_contrastive_desc d = describe(t, CLF_SCORES_SOFTMAX);
    clf_contrastive *m = create(t, &d);
    clf_contrastive_call c = clf_contrastive_call_default();

    c.vision = clf_tensor_shape(CLF_F32, CLF_DIMS(0, Dv));
    c.text = clf_test_normal(t, CLF_F32, CLF_DIMS(J, Dt));
    c.scores = clf_tensor_shape(CLF_F32, CLF_DIMS(0, J));
    clf_contrastive_forward(t->stream, m, &c);
    c.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(I, Dv));
    c.text = clf_tensor_shape(CLF_F32, CLF_DIMS(0, Dt));
    c.scores = clf_tensor_shape(CLF_F32, CLF_DIMS(I, 0));
    clf_contrastive_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_contrastive_destroy(m);
}

/* ---- resources and failures ---- */

static void repeated_calls_allocate_nothing(void **state)
{
    clf_test *t = *state;
    const clf_contrastive_desc d = describe(t, CLF_SCORES_SIGMOID);
    clf_contrastive *m = create(t, &d);
    const clf_contrastive_call c = call_of(t, CLF_F16);
    clf_shim_counts before, after;

    for (int warm = 0; warm < 2; warm++)
        clf_contrastive_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    before = clf_shims_count();
    for (int i = 0; i < 3; i++)
        clf_contrastive_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    after = clf_shims_count();
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.allocated, before.allocated);
    clf_contrastive_destroy(m);
}

typedef struct life {
    clf_contrastive_desc desc;
    clf_contrastive_call call;
    float *result;
} life;

static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const life *l = user;
    clf_contrastive *m = NULL;
    clf_status status = clf_contrastive_create(t->ctx, &l->desc, &m, err);

    if (status == CLF_OK) {
        clf_contrastive_forward(s, m, &l->call);
        clf_download(s, l->call.scores, l->result);
        status = clf_stream_finish(s, err);
    }
    clf_contrastive_destroy(m);
    return status;
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    clf_test *t = *state;
    life l = { .desc = describe(t, CLF_SCORES_SOFTMAX), .call = call_of(t, CLF_F32) };
    float result[I * J];
    const clf_walk w = {
        .name = "contrastive", .work = live, .user = &l, .result = result, .bytes = sizeof result, .beside = true
    };

    l.result = result;
    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 3 : 40));
    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

/* ---- refusals ---- */

static void refused(clf_test *t, const clf_contrastive_desc *d, const char *message)
{
    clf_contrastive *m = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_contrastive_create(t->ctx, d, &m, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(m);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_contrastive_desc good = describe(t, CLF_SCORES_SOFTMAX);
    clf_contrastive_desc d = good;

    d.text.projection = late_layer(t, P + 1, Dt);
    refused(t, &d, "contrastive: text embeddings are 17 wide; want 16, as those of vision");
    d = good;
    d.eps = -1.0F;
    refused(t, &d, "contrastive: eps is -1; want finite, not negative");
    d = good;
    d.kind = (clf_scores_kind)2;
    refused(t, &d, "contrastive: kind is 2; want CLF_SCORES_SOFTMAX or CLF_SCORES_SIGMOID");
}

static void call_refused(clf_test *t, const clf_contrastive *m, const clf_contrastive_call *c, const char *message)
{
    clf_contrastive_forward(t->stream, m, c);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, message);
}

static void calls_with_wrong_shapes_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_contrastive_desc d = describe(t, CLF_SCORES_SOFTMAX);
    clf_contrastive *m = create(t, &d);
    const clf_contrastive_call good = call_of(t, CLF_F32);
    clf_contrastive_call c = good;

    c.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(I, Dv + 1));
    call_refused(t, m, &c, "contrastive: vision is f32[3, 24]; want [rows, 23]");
    c = good;
    c.indices = clf_test_empty(t, CLF_I32, CLF_DIMS(I, J + 1));
    call_refused(t, m, &c, "contrastive: indices is i32[3, 6]; want k of 1 to 5, the texts");
    c = good;
    c.indices = (clf_tensor){ 0 };
    call_refused(t, m, &c, "contrastive: values is f32[3, 2] without indices; want both, or indices alone");
    c = good;
    c.logits = clf_test_empty(t, CLF_F32, CLF_DIMS(J, I));
    call_refused(t, m, &c, "contrastive: logits is f32[5, 3]; want f32, f16 or bf16 [3, 5]");
    c = good;
    c.image_embeds = clf_slice(t->stream, good.text_embeds, 0, 1, I);
    call_refused(t, m, &c, "contrastive: text_embeds overlaps image_embeds; want apart");
    clf_contrastive_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_formula_in_double),
        CLF_TEST(rows_without_projection_have_any_width),
        CLF_TEST(equal_texts_keep_their_order),
        CLF_TEST(equal_scores_are_told_apart_by_logits),
        CLF_TEST(blocks_and_wishes_change_no_bit),
        CLF_TEST(a_picture_has_the_same_bits_among_few_and_many),
        CLF_TEST(outputs_of_any_type_and_stride_have_the_plain_values),
        CLF_TEST(no_pictures_or_texts_are_a_success),
        CLF_TEST(repeated_calls_allocate_nothing),
        CLF_TEST(an_error_at_any_call_is_reported_once),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(calls_with_wrong_shapes_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
