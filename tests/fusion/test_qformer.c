/* The Q-Former against double precision, and relations between calls that need no tolerance. */
#include "qformer_desc.h"

/* ---- double precision ---- */

static double at(clf_host_tensor h, int64_t i)
{
    return (double)((const float *)h.data)[i];
}

/* y [rows, out] = x W^T + b. */
static double *linear(clf_test *t, const clf_linear_layer *l, const double *x, int64_t rows)
{
    const int64_t out = l->weight.dim[0], in = l->weight.dim[1];
    double *y = clf_test_memory(t, (size_t)(rows * out + 1) * sizeof *y);

    for (int64_t i = 0; i < rows * out; i++) {
        y[i] = at(l->bias, i % out);
        for (int64_t k = 0; k < in; k++)
            y[i] += x[i / out * in + k] * at(l->weight, i % out * in + k);
    }
    return y;
}

/* x = norm(x + y) row by row; y NULL: norm(x). */
static void add_and_normalise(const clf_norm_desc *n, double *x, const double *y, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, square = 0;

        for (int64_t c = 0; c < D; c++) {
            x[r * D + c] += y != NULL ? y[r * D + c] : 0;
            mean += x[r * D + c] / D;
        }
        for (int64_t c = 0; c < D; c++)
            square += (x[r * D + c] - mean) * (x[r * D + c] - mean) / D;
        for (int64_t c = 0; c < D; c++)
            x[r * D + c] = (x[r * D + c] - mean) / sqrt(square + (double)n->eps) * at(n->weight, c) + at(n->bias, c);
    }
}

/* What one picture and one text are, and who sees whom. */
typedef struct sample {
    const double *vision; /* NULL: none */
    const int64_t *ids;
    const bool *vision_open, *text_open; /* NULL: all */
    int64_t queries, text;
    clf_qformer_objective objective;
} sample;

static bool sees(const sample *s, int64_t row, int64_t key)
{
    const int64_t first = s->queries;

    if (key >= first && s->text_open != NULL && !s->text_open[key - first])
        return false;
    if (s->objective == CLF_QFORMER_ITC)
        return (row < first) == (key < first);
    return s->objective == CLF_QFORMER_ITM || key < first || (row >= first && key <= row);
}

/* out(softmax(q k^T / sqrt(D / HEADS)) v) of `rows` rows of x to `keys` rows of context; weights: [HEADS, rows, keys]. */
static double *attend(clf_test *t, const clf_attention_layer_desc *a, const double *x, int64_t rows,
                      const double *context, int64_t keys, const sample *s, bool self, double *weights)
{
    const double *q = linear(t, &a->q, x, rows), *k = linear(t, &a->k, context, keys);
    const double *v = linear(t, &a->v, context, keys);
    double *y = clf_test_memory(t, (size_t)(rows * D + 1) * sizeof *y);
    const int64_t d = D / HEADS;

    for (int64_t i = 0; i < HEADS * rows; i++) {
        const int64_t h = i / rows, r = i % rows;
        double *w = weights + i * keys, sum = 0;

        for (int64_t j = 0; j < keys; j++) {
            double score = 0;
            const bool open = self ? sees(s, r, j) : s->vision_open == NULL || s->vision_open[j];

            for (int64_t c = 0; c < d; c++)
                score += q[r * D + h * d + c] * k[j * D + h * d + c];
            w[j] = open ? exp(score / sqrt((double)d)) : 0;
            sum += w[j];
        }
        for (int64_t j = 0; j < keys; j++)
            w[j] /= sum;
        for (int64_t c = 0; c < d; c++)
            for (int64_t j = 0; j < keys; j++)
                y[r * D + h * d + c] += w[j] * v[j * D + h * d + c];
    }
    return linear(t, &a->out, y, rows);
}

static double *feed(clf_test *t, const clf_feed_forward_desc *ff, const double *x, int64_t rows)
{
    double *h = linear(t, &ff->up, x, rows);

    for (int64_t i = 0; i < rows * F; i++)
        h[i] = fmax(h[i], 0);
    return linear(t, &ff->down, h, rows);
}

/* The weights of the last layer's self-attention and of layer 2's cross-attention. */
typedef struct shown {
    double *self, *cross;
} shown;

/* x [rows, D], in memory of the test. */
static double *reference(clf_test *t, const description *d, const sample *s, shown *w)
{
    const int64_t rows = s->queries + s->text;
    double *x = clf_test_memory(t, (size_t)(rows * D) * sizeof *x), *text = x + s->queries * D;

    w->self = clf_test_memory(t, (size_t)(HEADS * rows * rows) * sizeof(double));
    w->cross = clf_test_memory(t, HEADS * M * N * sizeof(double));
    for (int64_t i = 0; i < s->queries * D; i++)
        x[i] = at(d->desc.queries, i);
    for (int64_t i = 0; i < s->text * D; i++)
        text[i] = at(d->desc.word_embeddings, s->ids[i / D] * D + i % D) + at(d->desc.position_embeddings, i);
    add_and_normalise(&d->desc.embedding_norm, x, NULL, rows);
    for (int i = 0; i < LAYERS; i++) {
        const clf_qformer_layer_desc *l = &d->layers[i];

        add_and_normalise(&l->self_norm, x, attend(t, &l->self, x, rows, x, rows, s, true, w->self), rows);
        if (s->queries > 0 && i % 2 == 0)
            add_and_normalise(&l->cross_norm, x, attend(t, &l->cross, x, s->queries, s->vision, N, s, false, w->cross),
                              s->queries);
        if (s->queries > 0)
            add_and_normalise(&l->query_norm, x, feed(t, &l->query_feed_forward, x, s->queries), s->queries);
        if (s->text > 0)
            add_and_normalise(&l->text_norm, text, feed(t, &l->text_feed_forward, text, s->text), s->text);
    }
    return x;
}

/* f32 in a graph of some 20 products of widths up to 20 and 10 norms of rows of 12, which can stretch an error when a
 * row is short: 1e-5 was never passed by half. */
static void agree(clf_test *t, clf_tensor got, const double *want)
{
    clf_test_close(t, got, want, 1e-5, 1e-5);
}

/* ---- calls ---- */

static void check_case(clf_test *t, clf_qformer_objective objective, bool vision, int64_t text, bool masked,
                       clf_dtype dtype)
{
    const description *d = describe(t, true);
    clf_qformer *q = create(t, d);
    const int64_t queries = vision ? M : 0, rows = queries + text;
    const clf_tensor v = clf_test_normal(t, dtype, CLF_DIMS(2, N, DV)), none = { 0 };
    const int64_t *ids = random_ids(t, 2 * T);
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(2, rows, D));
    const clf_tensor weights = clf_test_empty(t, CLF_F32, CLF_DIMS(2, HEADS, rows, rows));
    clf_qformer_options options = clf_qformer_options_default();
    double *want = clf_test_memory(t, (size_t)(2 * rows * D) * sizeof *want);
    double *want_weights = clf_test_memory(t, (size_t)(2 * HEADS * rows * rows) * sizeof *want);

    options.objective = objective;
    options.weights = weights;
    options.weights_of = LAYERS - 1;
    options.weights_of_self = true;
    if (masked && vision)
        options.vision_mask = mask(t, vision_open[0], N);
    if (masked && text > 0)
        options.text_mask = mask(t, text_open[0], T);
    clf_qformer_forward(t->stream, q, vision ? v : none, ids, text, &options, hidden);
    for (int64_t b = 0; b < 2; b++) {
        const sample s = { .vision = vision ? clf_test_given(t, v) + b * N * DV : NULL,
                           .ids = ids + b * text,
                           .vision_open = masked ? vision_open[b] : NULL,
                           .text_open = masked ? text_open[b] : NULL,
                           .queries = queries,
                           .text = text,
                           .objective = objective };
        shown w;

        memcpy(want + b * rows * D, reference(t, d, &s, &w), (size_t)(rows * D) * sizeof *want);
        memcpy(want_weights + b * HEADS * rows * rows, w.self, (size_t)(HEADS * rows * rows) * sizeof *want);
    }
    agree(t, hidden, want);
    t->zero_limit = 0.8; /* what is not seen weighs 0 */
    agree(t, weights, want_weights);
    t->zero_limit = 0.3;
    clf_qformer_destroy(q);
    clf_test_check_guards(t);
    clf_test_release_all(t);
}

static void agrees_with_double_precision(void **state)
{
    static const clf_qformer_objective objectives[] = { CLF_QFORMER_ITM, CLF_QFORMER_ITC, CLF_QFORMER_ITG };
    static const clf_dtype types[] = { CLF_F32, CLF_F16, CLF_BF16 };

    for (size_t o = 0; o < 3; o++)
        for (int masked = 0; masked < 2; masked++) {
            check_case(*state, objectives[o], true, T, masked == 1, types[o]);
            check_case(*state, objectives[o], true, 0, masked == 1, types[(o + 1) % 3]);
            check_case(*state, objectives[o], false, T, masked == 1, CLF_F32);
        }
}

static void the_weights_of_cross_attention_are_those_of_the_layer(void **state)
{
    clf_test *t = *state;
    const description *d = describe(t, false);
    clf_qformer *q = create(t, d);
    const clf_tensor v = clf_test_normal(t, CLF_F32, CLF_DIMS(1, N, DV));
    const clf_tensor hidden = clf_test_empty(t, CLF_F32, CLF_DIMS(1, M, D));
    clf_qformer_options options = clf_qformer_options_default();
    const sample s = { .vision = clf_test_given(t, v), .queries = M };
    shown w;

    options.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(1, HEADS, M, N));
    options.weights_of = 2;
    clf_qformer_forward(t->stream, q, v, NULL, 0, &options, hidden);
    agree(t, hidden, reference(t, d, &s, &w));
    agree(t, options.weights, w.cross);
    clf_qformer_destroy(q);
}

/* ---- relations ---- */

/* hidden [2, rows, D] of the same module, pictures and text under changing options. */
typedef struct relation {
    clf_qformer *q;
    clf_tensor vision;
    int64_t ids[2 * T];
    clf_qformer_options options;
} relation;

static relation relate(clf_test *t)
{
    relation r = { .options = clf_qformer_options_default() };

    r.q = create(t, describe(t, true));
    r.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, DV));
    memcpy(r.ids, random_ids(t, 2 * T), sizeof r.ids);
    return r;
}

static clf_tensor run(clf_test *t, const relation *r, bool vision, int64_t text)
{
    const clf_tensor none = { 0 };
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, (vision ? M : 0) + text, D));

    clf_qformer_forward(t->stream, r->q, vision ? r->vision : none, r->ids, text, &r->options, y);
    return y;
}

static clf_tensor part(clf_test *t, clf_tensor y, int64_t begin, int64_t count)
{
    return clf_slice(t->stream, y, 1, begin, count);
}

static void need_an_order_of_additions(const clf_test *t)
{
    if (strcmp(clf_context_gemm(t->ctx), "panel") != 0)
        clf_test_skip("CLBlast routes by the sizes and promises no order of additions");
}

static void queries_see_no_text_in_contrast_and_generation(void **state)
{
    static const clf_qformer_objective objectives[] = { CLF_QFORMER_ITC, CLF_QFORMER_ITG };
    clf_test *t = *state;
    relation r;

    need_an_order_of_additions(t);
    r = relate(t);
    const clf_tensor alone = run(t, &r, true, 0), text = run(t, &r, false, T);

    for (int i = 0; i < 2; i++) {
        r.options.objective = objectives[i];
        const clf_tensor both = run(t, &r, true, T);

        clf_test_same_bits(t, part(t, both, 0, M), alone);
        if (objectives[i] == CLF_QFORMER_ITC)
            clf_test_same_bits(t, part(t, both, M, T), text);
    }
    clf_qformer_destroy(r.q);
}

static void generated_text_does_not_see_what_follows(void **state)
{
    clf_test *t = *state;
    relation r;

    r = relate(t);
    r.options.objective = CLF_QFORMER_ITG;
    for (int vision = 0; vision < 2; vision++) {
        const int64_t first = vision ? M : 0;
        const clf_tensor before = run(t, &r, vision, T);
        const double *other;

        r.ids[3] = (r.ids[3] + 1) % V; /* of the first text */
        const clf_tensor after = run(t, &r, vision, T);

        clf_test_same_bits(t, part(t, before, 0, first + 3), part(t, after, 0, first + 3));
        other = clf_test_values(t, part(t, after, first + 3, 1));
        assert_true(other[0] != clf_test_values(t, part(t, before, first + 3, 1))[0]);
    }
    clf_qformer_destroy(r.q);
}

static void hidden_keys_may_be_nan(void **state)
{
    clf_test *t = *state;
    relation r;
    double *values = clf_test_memory(t, 2 * N * DV * sizeof *values);

    r = relate(t);
    memcpy(values, clf_test_given(t, r.vision), 2 * N * DV * sizeof *values);
    for (int64_t i = 0; i < 2 * N * DV; i++)
        if (!vision_open[i / DV / N][i / DV % N])
            values[i] = NAN;
    r.options.vision_mask = mask(t, vision_open[0], N);
    const clf_tensor want = run(t, &r, true, 0);

    r.vision = clf_test_from(t, CLF_F32, CLF_DIMS(2, N, DV), values);
    clf_test_same_bits(t, run(t, &r, true, 0), want);
    clf_qformer_destroy(r.q);
}

/* hidden [2, M, D] of pictures [2, keys, DV]. */
static clf_tensor look(clf_test *t, const relation *r, clf_tensor vision)
{
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M, D));

    clf_qformer_forward(t->stream, r->q, vision, NULL, 0, &r->options, y);
    return y;
}

static clf_tensor second(clf_test *t, clf_tensor y)
{
    return clf_slice(t->stream, y, 0, 1, 1);
}

/* The second picture is hidden: as if it had no rows, or all of its rows were their mean. */
static void a_hidden_picture_counts_as_the_caller_says(void **state)
{
    static const bool first_alone[2 * N] = { true, true, true, true, true, true, true };
    clf_test *t = *state;
    double *mean = clf_test_memory(t, 2 * N * DV * sizeof *mean);
    relation r;

    r = relate(t);
    for (int64_t i = 0; i < 2 * N * DV; i++)
        for (int64_t n = 0; n < N; n++)
            mean[i] += clf_test_given(t, r.vision)[(i / DV / N * N + n) * DV + i % DV] / N;
    const clf_tensor nothing = look(t, &r, clf_slice(t->stream, r.vision, 1, 0, 0)),
                     alike = look(t, &r, clf_test_from(t, CLF_F32, CLF_DIMS(2, N, DV), mean));

    r.options.vision_mask = mask(t, first_alone, N);
    const clf_tensor zero = look(t, &r, r.vision);
    clf_test_same_bits(t, second(t, zero), second(t, nothing));

    r.options.unseen = CLF_UNSEEN_UNIFORM;
    r.options.weights = clf_test_empty(t, CLF_F32, CLF_DIMS(2, HEADS, M, N));
    const clf_tensor uniform = look(t, &r, r.vision);
    clf_test_same_bits(t, clf_slice(t->stream, uniform, 0, 0, 1), clf_slice(t->stream, zero, 0, 0, 1));
    agree(t, second(t, uniform), clf_test_values(t, alike) + M * D);
    for (int64_t i = 0; i < HEADS * M * N; i++)
        assert_true(fabs(clf_test_values(t, second(t, r.options.weights))[i] - 1.0 / N) < 1e-7);
    clf_qformer_destroy(r.q);
}

/* A batch holds pictures of several sizes: rows behind one that a mask hides. */
static void hidden_rows_behind_a_picture_change_no_bit(void **state)
{
    enum { LONG = 3 * N };
    clf_test *t = *state;
    double *values = clf_test_memory(t, 2 * LONG * DV * sizeof *values);
    bool open[2 * LONG];
    relation r;

    r = relate(t);
    for (int64_t i = 0; i < 2 * LONG * DV; i++) {
        const int64_t n = i / DV % LONG;

        open[i / DV] = n < N;
        values[i] = n < N ? clf_test_given(t, r.vision)[(i / DV / LONG * N + n) * DV + i % DV] : (double)NAN;
    }
    const clf_tensor want = look(t, &r, r.vision);

    r.options.vision_mask = mask(t, open, LONG);
    clf_test_same_bits(t, look(t, &r, clf_test_from(t, CLF_F32, CLF_DIMS(2, LONG, DV), values)), want);
    clf_qformer_destroy(r.q);
}

/* A choice for the life of the module: whatever a call brings, equal pictures have equal bits. */
static void few_queries_of_wide_heads_need_no_keys(void **state)
{
    clf_test *t = *state;
    clf_qformer *q = create(t, describe(t, false));
    const bool can = strcmp(clf_context_gemm(t->ctx), "panel") == 0 && strcmp(clf_context_kernels(t->ctx), "simd") == 0;

    assert_int_equal(q->absorbed, can && 2 * M <= D / HEADS);
    assert_int_equal(q->kv == NULL, q->absorbed);
    clf_qformer_destroy(q);
}

static void a_batch_of_two_equals_two_of_one_bit_for_bit(void **state)
{
    clf_test *t = *state;
    relation r;

    need_an_order_of_additions(t);
    r = relate(t);
    r.options.objective = CLF_QFORMER_ITG;
    const clf_tensor both = run(t, &r, true, T), each = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M + T, D));

    for (int64_t b = 0; b < 2; b++)
        clf_qformer_forward(t->stream, r.q, clf_slice(t->stream, r.vision, 0, b, 1), r.ids + b * T, T, &r.options,
                            clf_slice(t->stream, each, 0, b, 1));
    clf_test_same_bits(t, both, each);
    clf_qformer_destroy(r.q);
}

static void queries_of_a_call_take_the_place_of_the_module_s(void **state)
{
    clf_test *t = *state;
    description *d = describe(t, false);
    clf_qformer *q = create(t, d), *other;
    const clf_tensor v = clf_test_normal(t, CLF_F32, CLF_DIMS(2, N, DV));
    const clf_tensor got = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M, D)),
                     want = clf_test_empty(t, CLF_F32, CLF_DIMS(2, M, D));
    clf_qformer_options options = clf_qformer_options_default();
    double values[2 * M * D];

    d->desc.queries = host(t, CLF_DIMS(M, D), 1, 0);
    for (int i = 0; i < 2 * M * D; i++)
        values[i] = at(d->desc.queries, i % (M * D));
    other = create(t, d);
    options.queries = clf_test_from(t, CLF_F32, CLF_DIMS(2, M, D), values);
    clf_qformer_forward(t->stream, other, v, NULL, 0, NULL, want);
    clf_qformer_forward(t->stream, q, v, NULL, 0, &options, got);
    clf_test_same_bits(t, got, want);
    clf_qformer_destroy(q);
    clf_qformer_destroy(other);
}

static void tables_in_half_precision_are_rounded_and_no_more(void **state)
{
    clf_test *t = *state;
    description *d = describe(t, true);
    float *words = clf_test_memory(t, V * D * sizeof *words);
    float *positions = clf_test_memory(t, P * D * sizeof *positions);
    const int64_t *ids = random_ids(t, T);
    const clf_tensor got = clf_test_empty(t, CLF_F32, CLF_DIMS(1, T, D)),
                     want = clf_test_empty(t, CLF_F32, CLF_DIMS(1, T, D));
    const clf_tensor none = { 0 };
    clf_qformer *q;

    d->desc.storage = CLF_F16;
    q = create(t, d);
    clf_qformer_forward(t->stream, q, none, ids, T, NULL, got);
    clf_qformer_destroy(q);
    for (int i = 0; i < V * D; i++)
        words[i] = clf_f16_to_f32(clf_f32_to_f16((float)at(d->desc.word_embeddings, i)));
    for (int i = 0; i < P * D; i++)
        positions[i] = clf_f16_to_f32(clf_f32_to_f16((float)at(d->desc.position_embeddings, i)));
    d->desc.word_embeddings.data = words;
    d->desc.position_embeddings.data = positions;
    q = create(t, d);
    clf_qformer_forward(t->stream, q, none, ids, T, NULL, want);
    clf_qformer_destroy(q);
    clf_test_same_bits(t, got, want);
}

static void empty_batches_are_a_success(void **state)
{
    clf_test *t = *state;
    const relation r = relate(t);

    clf_qformer_forward(t->stream, r.q, clf_tensor_shape(CLF_F32, CLF_DIMS(0, N, DV)), NULL, T, NULL,
                        clf_tensor_shape(CLF_F32, CLF_DIMS(0, M + T, D)));
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_qformer_destroy(r.q);
}

/* 2 per multiply-add: counted by hand for the sizes above. */
static void the_work_is_counted(void **state)
{
    clf_test *t = *state;
    const relation r = relate(t);
    const uint64_t query = 3 * (4 * D * D + 2 * D * F) + 2 * (2 * D * D), text = 3 * (4 * D * D + 2 * D * F);
    const uint64_t self = 3 * M * M * 2 * D, made = 2 * 2 * D * DV; /* keys and values of two layers */
    const uint64_t cross = r.q->absorbed ? M * made + 2 * M * N * 2 * HEADS * DV : N * made + 2 * M * N * 2 * D;

    assert_int_equal(clf_qformer_flop(r.q, 2, N, 0, CLF_QFORMER_ITM), 2 * 2 * (M * query + self + cross));
    assert_int_equal(clf_qformer_flop(r.q, 1, 0, T, CLF_QFORMER_ITG), 2 * (T * text + 2 * D * 3 * T * (T + 1) / 2));
    clf_qformer_destroy(r.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_double_precision),
        CLF_TEST(the_weights_of_cross_attention_are_those_of_the_layer),
        CLF_TEST(queries_see_no_text_in_contrast_and_generation),
        CLF_TEST(generated_text_does_not_see_what_follows),
        CLF_TEST(hidden_keys_may_be_nan),
        CLF_TEST(a_hidden_picture_counts_as_the_caller_says),
        CLF_TEST(hidden_rows_behind_a_picture_change_no_bit),
        CLF_TEST(few_queries_of_wide_heads_need_no_keys),
        CLF_TEST(a_batch_of_two_equals_two_of_one_bit_for_bit),
        CLF_TEST(queries_of_a_call_take_the_place_of_the_module_s),
        CLF_TEST(tables_in_half_precision_are_rounded_and_no_more),
        CLF_TEST(empty_batches_are_a_success),
        CLF_TEST(the_work_is_counted),
    };

    return CLF_TEST_MAIN(tests);
}
