/* Relevance against its formulas in double; what is chosen follows from the map; memory and failures. */
#include "fusion/orthonormal.h"
#include "relevance_case.h"
#include "shims.h"
#include "walk.h"

/* f32 against double: maps of 0 to 1 within a fifth of what the published equality with torch allows. */
#define MAP_BOUND 2e-5

/* What is chosen and spent, from the relevance that the device has found: whole numbers, so each must be right. */
static void check_choice(clf_test *t, const clf_relevance_desc *d, const clf_relevance_call *c)
{
    const double *map = clf_test_values(t, c->relevance), *indices = clf_test_values(t, c->indices);
    const double *budgets = clf_test_values(t, c->budgets), *positions = clf_test_values(t, c->positions);
    const double *lengths = clf_test_values(t, c->lengths), *tokens = clf_test_values(t, c->tokens);
    const double *vision = clf_test_given(t, c->vision);

    for (int i = 0; i < RC_B * RC_K; i++) {
        const int b = i / RC_K, n = (int)indices[i];
        int better = 0;

        for (int j = 0; j < RC_N; j++)
            better += map[b * RC_N + j] > map[b * RC_N + n] || (map[b * RC_N + j] == map[b * RC_N + n] && j < n);
        assert_int_equal(better, i % RC_K); /* the best first */
        assert_int_equal((int)positions[3 * i], 0);
        assert_int_equal((int)positions[3 * i + 1], n / RC_G);
        assert_int_equal((int)positions[3 * i + 2], n % RC_G);
        const double exact = (double)d->min_tokens + map[b * RC_N + n] * (double)(d->max_tokens - d->min_tokens);
        const double side = floor(sqrt(budgets[i]));

        assert_true(d->total > 0 || fabs(budgets[i] - exact) <= 0.5);
        assert_true(lengths[i] == fmin(side * side, RC_S));
        for (int e = 0; e < RC_D; e++)
            assert_true(tokens[i * RC_D + e] == vision[(b * RC_N + n) * RC_D + e]);
    }
}

static void agrees_with_the_formulas_in_double(void **state)
{
    clf_test *t = *state;

    for (int i = 0; i < 6; i++) {
        clf_relevance_desc d = rc_small(t);
        rc_maps *want = clf_test_memory(t, sizeof *want);

        d.scale = i < 3 ? CLF_MIN_MAX_BATCH : CLF_MIN_MAX_PICTURE;
        d.total = i % 2 == 0 ? 0 : 25;
        clf_relevance *m = rc_create(t, &d);
        const clf_relevance_call c = rc_call(t, i % 3 == 0 ? CLF_F32 : i % 3 == 1 ? CLF_F16 : CLF_BF16);

        clf_relevance_forward(t->stream, m, &c);
        rc_reference(t, &d, &c, want);
        clf_test_close(t, c.textures, want->textures, 0, MAP_BOUND);
        clf_test_close(t, c.information, want->three[0], 0, MAP_BOUND);
        clf_test_close(t, c.perspectival, want->three[1], 0, MAP_BOUND);
        clf_test_close(t, c.participatory, want->three[2], 0, MAP_BOUND);
        clf_test_close(t, c.weights, want->weights, 0, MAP_BOUND);
        clf_test_close(t, c.relevance, want->relevance, 0, MAP_BOUND);
        check_choice(t, &d, &c);
        clf_relevance_destroy(m);
        clf_test_release_all(t);
    }
}

/* Budgets of the host, the rows that they plan, and the features in them. */
static void cells_are_pooled_into_their_budgets(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    clf_relevance_call c = rc_call(t, CLF_F32);
    int32_t budgets[RC_B * RC_K];
    int64_t rows;

    clf_relevance_forward(t->stream, m, &c);
    const double *found = clf_test_values(t, c.budgets);
    for (int i = 0; i < RC_B * RC_K; i++)
        budgets[i] = (int32_t)found[i];
    assert_int_equal(clf_detail_plan(budgets, RC_B * RC_K, RC_S, &rows, NULL), CLF_OK);
    c.dense_tokens = clf_test_empty(t, CLF_F32, CLF_DIMS(rows, RC_D));
    clf_relevance_forward(t->stream, m, &c);
    const clf_tensor given = clf_test_i32(t, CLF_DIMS(RC_B, RC_K), budgets);
    const clf_expected want = clf_ref_detail_pool(t, c.dense, given, c.dense_tokens, NULL);
    clf_test_within(t, c.dense_tokens, want.value, want.bound);
    clf_relevance_destroy(m);
}

/* Each output alone has the bits of the call for all, half types and i32 their values. */
static void outputs_do_not_depend_on_each_other(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    const clf_relevance_call all = rc_call(t, CLF_F32);
    clf_relevance_call none = all;
    static const size_t outputs[] = {
        offsetof(clf_relevance_call, textures),     offsetof(clf_relevance_call, information),
        offsetof(clf_relevance_call, perspectival), offsetof(clf_relevance_call, participatory),
        offsetof(clf_relevance_call, relevance),    offsetof(clf_relevance_call, weights),
        offsetof(clf_relevance_call, indices),      offsetof(clf_relevance_call, budgets),
        offsetof(clf_relevance_call, positions),    offsetof(clf_relevance_call, tokens),
        offsetof(clf_relevance_call, lengths)
    };

    for (size_t i = 0; i < CLF_COUNT(outputs); i++)
        *(clf_tensor *)(void *)((char *)&none + outputs[i]) = (clf_tensor){ 0 };
    clf_relevance_forward(t->stream, m, &all);
    for (size_t i = 0; i < CLF_COUNT(outputs); i++) {
        const clf_tensor wanted = *(const clf_tensor *)(const void *)((const char *)&all + outputs[i]);
        const bool whole = wanted.dtype == CLF_I64;
        clf_relevance_call one = none;
        clf_tensor same = clf_test_empty(t, wanted.dtype, clf_tensor_dims(wanted));
        clf_tensor other = clf_test_empty(t, whole ? CLF_I32 : CLF_F16, clf_tensor_dims(wanted));

        *(clf_tensor *)(void *)((char *)&one + outputs[i]) = same;
        clf_relevance_forward(t->stream, m, &one);
        clf_test_same_bits(t, same, wanted);
        *(clf_tensor *)(void *)((char *)&one + outputs[i]) = other;
        clf_relevance_forward(t->stream, m, &one);
        clf_test_exact(t, other, clf_test_values(t, wanted));
    }
    clf_relevance_destroy(m);
}

/* Finished textures in place of the picture; no query, vision or weights where nothing needs them. */
static void textures_may_come_from_outside(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t), bare = clf_relevance_desc_default();
    clf_relevance *m = rc_create(t, &d), *plain;
    const clf_relevance_call all = rc_call(t, CLF_F32);
    clf_relevance_call c = clf_relevance_call_default();

    bare.grid = RC_G;
    plain = rc_create(t, &bare);
    assert_int_equal(clf_relevance_query_width(plain), 0);
    assert_int_equal(clf_relevance_count(plain), RC_N);
    clf_relevance_forward(t->stream, m, &all);
    c.given_textures = all.textures;
    c.information = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, RC_G, RC_G));
    c.perspectival = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, RC_G, RC_G));
    clf_relevance_forward(t->stream, plain, &c);
    clf_test_same_bits(t, c.information, all.information);
    clf_test_same_bits(t, c.perspectival, all.perspectival);
    c.query = all.query;
    c.relevance = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, RC_G, RC_G));
    clf_relevance_forward(t->stream, m, &c);
    clf_test_same_bits(t, c.relevance, all.relevance);
    clf_relevance_destroy(plain);
    clf_relevance_destroy(m);
}

static void textures_alone_are_those_of_the_module(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    const clf_relevance_call all = rc_call(t, CLF_F16);
    const clf_tensor wide = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, 14, RC_G, RC_G));
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, 13, RC_G, RC_G));

    clf_relevance_forward(t->stream, m, &all);
    clf_relevance_textures(t->stream, all.image, CLF_MIN_MAX_BATCH, y);
    clf_test_same_bits(t, y, all.textures);
    clf_relevance_textures(t->stream, all.image, CLF_MIN_MAX_BATCH, clf_slice(t->stream, wide, 1, 0, 13));
    clf_test_expect_error(t, CLF_UNSUPPORTED, "relevance_textures: textures is a view with gaps; want a dense tensor");
    clf_relevance_textures(t->stream, all.image, (clf_min_max_over)2, y);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "relevance_textures: scale is 2; want CLF_MIN_MAX_BATCH or");
    clf_relevance_destroy(m);
}

/* Alone in its call, or scaled by itself among others. */
static void a_picture_alone_is_the_picture_in_a_batch(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);

    d.scale = CLF_MIN_MAX_PICTURE;
    clf_relevance *m = rc_create(t, &d);
    const clf_relevance_call all = rc_call(t, CLF_F32);
    clf_relevance_call c = clf_relevance_call_default();

    clf_relevance_forward(t->stream, m, &all);
    c.image = clf_slice(t->stream, all.image, 0, 1, 1);
    c.query = clf_slice(t->stream, all.query, 0, 1, 1);
    c.relevance = clf_test_empty(t, CLF_F32, CLF_DIMS(1, RC_G, RC_G));
    clf_relevance_forward(t->stream, m, &c);
    clf_test_close(t, c.relevance, clf_test_values(t, clf_slice(t->stream, all.relevance, 0, 1, 1)), 0, MAP_BOUND);
    clf_relevance_destroy(m);
}

/* The participatory map of B random textures. */
static void check_cosines(clf_test *t, const clf_relevance_desc *d, int64_t B)
{
    const int64_t g = d->grid, N = g * g, Q = d->texture[1].weight.dim[0];
    clf_relevance *m = rc_create(t, d);
    clf_relevance_call c = clf_relevance_call_default();
    double *want = clf_test_memory(t, (size_t)(B * N) * sizeof *want);
    double *hidden = clf_test_memory(t, (size_t)d->texture[1].weight.dim[1] * sizeof *hidden);
    double *features = clf_test_memory(t, (size_t)Q * sizeof *features);

    assert_int_equal(clf_relevance_query_width(m), Q);
    c.given_textures = clf_test_uniform(t, CLF_F32, CLF_DIMS(B, 13, g, g), 0, 1);
    c.query = clf_test_normal(t, CLF_F32, CLF_DIMS(B, Q));
    c.participatory = clf_test_empty(t, CLF_F32, CLF_DIMS(B, g, g));
    clf_relevance_forward(t->stream, m, &c);
    const double *v = clf_test_given(t, c.given_textures), *query = clf_test_given(t, c.query);
    for (int64_t n = 0; n < B * N; n++)
        want[n] = rc_cosine(d, v + n / N * 13 * N + n % N, N, query + n / N * Q, hidden, features);
    clf_test_close(t, c.participatory, want, 0, MAP_BOUND);
    clf_relevance_destroy(m);
    clf_test_release_all(t);
}

/* Features of more cells than one block holds, then of more pictures: as those of each part. */
static void blocks_of_features_do_not_show(void **state)
{
    static const struct {
        int64_t B, g, Q;
    } sizes[] = { { 1, 32, 5000 }, { 5, 16, 6000 } }; /* blocks of 838 cells; of 2 pictures */
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(sizes); i++) {
        const clf_relevance_desc d = rc_describe(t, sizes[i].g, 82, sizes[i].Q);

        assert_false(clf_orthonormal_pays(&d.texture[1])); /* too much work: 83^2 Q is above 2^25 */
        check_cosines(t, &d, sizes[i].B);
    }
}

/* Columns of the layer that QR has to see through. */
typedef enum columns { INDEPENDENT, WITHOUT_BIAS, EQUAL, NONE_AT_ALL, NEARLY_EQUAL, OF_ALL_SIZES, COLUMNS } columns;

static void make_columns(clf_linear_layer *l, columns kind)
{
    const int64_t Q = l->weight.dim[0], F = l->weight.dim[1];
    float *w = (float *)(uintptr_t)l->weight.data, *b = (float *)(uintptr_t)l->bias.data;

    if (kind == WITHOUT_BIAS)
        l->bias = (clf_host_tensor){ 0 };
    for (int64_t i = 0; i < Q; i++) {
        if (kind == EQUAL)
            w[i * F + 3] = b[i] = w[i * F];
        if (kind == NONE_AT_ALL)
            w[i * F] = w[i * F + 4] = b[i] = 0;
        if (kind == NEARLY_EQUAL)
            w[i * F + 3] = w[i * F] + 1e-5F * w[i * F + 3];
        for (int64_t k = 0; kind == OF_ALL_SIZES && k < F; k++)
            w[i * F + k] *= powf(10, (float)(k % 9 - 4));
    }
}

/* Queries at least twice as wide as features have coordinates: cosines are taken in an orthonormal basis. */
static void cosines_do_not_depend_on_the_basis(void **state)
{
    static const int64_t widths[][2] = { { 8, 18 }, { 1, 4 }, { 17, 300 }, { 64, 130 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(widths); i++)
        for (columns kind = INDEPENDENT; kind < COLUMNS; kind++) {
            clf_relevance_desc d = rc_describe(t, RC_G, widths[i][0], widths[i][1]);

            if (widths[i][0] > 4 || kind <= WITHOUT_BIAS)
                make_columns(&d.texture[1], kind);
            assert_true(clf_orthonormal_pays(&d.texture[1]));
            check_cosines(t, &d, RC_B);
        }
}

/* Weight and bias of these types, one or both without data. */
static bool pays(int64_t outputs, int64_t inputs, clf_dtype weight, clf_dtype bias, bool weight_there, bool bias_there)
{
    static const double some = 0;
    const clf_linear_layer layer = {
        .weight = { weight_there ? &some : NULL, weight, 2, { outputs, inputs } },
        .bias = { bias_there ? &some : NULL, bias, 1, { outputs } },
    };

    return clf_orthonormal_pays(&layer);
}

static void a_basis_is_made_where_it_pays(void **state)
{
    const clf_linear_layer layer = { { NULL, CLF_F32, 2, { 20, 9 } }, { NULL, CLF_F32, 1, { 20 } } };
    uint64_t onto;

    (void)state;
    assert_int_equal(clf_orthonormal_products(&layer, &onto), 90);
    assert_int_equal(onto, 200);
    assert_true(pays(20, 9, CLF_F32, CLF_F32, true, true));
    assert_false(pays(19, 9, CLF_F32, CLF_F32, true, true));
    assert_true(pays(18, 9, CLF_F64, CLF_DTYPE_NONE, true, false));
    assert_false(pays(17, 9, CLF_F64, CLF_DTYPE_NONE, true, false));
    assert_true(pays(8192, 63, CLF_F16, CLF_BF16, true, true)); /* 64^2 times 8192 are 2^25 */
    assert_false(pays(8193, 63, CLF_F16, CLF_BF16, true, true));
    assert_false(pays(20, 9, CLF_F32, CLF_F32, false, true));
    assert_false(pays(20, 9, CLF_F32, CLF_F32, true, false));
    assert_false(pays(20, 9, CLF_I8, CLF_F32, true, true));
    assert_false(pays(20, 9, CLF_F32, CLF_I8, true, true));
    assert_false(pays(INT64_MAX, INT64_MAX, CLF_F32, CLF_DTYPE_NONE, true, false));
}

static void count_done(void *self, const void *data, size_t bytes)
{
    (void)data;
    *(size_t *)self += bytes;
}

/* An infinite weight shows, whichever column it stands in; and the source hears of every byte once. */
static void a_basis_hides_nothing(void **state)
{
    clf_test *t = *state;

    for (int64_t k = 0; k < 3; k++) {
        clf_relevance_desc d = rc_describe(t, RC_G, 3, 12);
        size_t told = 0, all = 0;
        const clf_tensor_source source = { .self = &told, .done = count_done };
        clf_relevance_call c = clf_relevance_call_default();

        for (int i = 0; i < 5; i++) {
            const clf_linear_layer *l = i < 2 ? &d.texture[i] : &d.balance[i - 2];

            all += (size_t)(l->weight.dim[0] * (l->weight.dim[1] + 1)) * sizeof(float);
        }
        ((float *)(uintptr_t)d.texture[1].weight.data)[k] = INFINITY;
        d.source = &source;
        assert_true(clf_orthonormal_pays(&d.texture[1]));
        clf_relevance *m = rc_create(t, &d);
        assert_int_equal(told, all);
        c.given_textures = clf_test_uniform(t, CLF_F32, CLF_DIMS(1, 13, RC_G, RC_G), 0, 1);
        c.query = clf_test_normal(t, CLF_F32, CLF_DIMS(1, 12));
        c.participatory = clf_test_empty(t, CLF_F32, CLF_DIMS(1, RC_G, RC_G));
        clf_relevance_forward(t->stream, m, &c);
        const double *map = clf_test_values(t, c.participatory);
        for (int n = 0; n < RC_N; n++)
            assert_true(isnan(map[n]));
        clf_relevance_destroy(m);
        clf_test_release_all(t);
    }
}

/* ---- edges ---- */

static void equal_cells_are_taken_from_the_first_on(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);

    d.scale = CLF_MIN_MAX_PICTURE; /* queries differ, and so do pictures of equal cells */
    clf_relevance *m = rc_create(t, &d);
    clf_relevance_call c = rc_call(t, CLF_F32);
    double *values = clf_test_memory(t, RC_B * 13 * RC_N * sizeof *values);

    for (int i = 0; i < RC_B * 13 * RC_N; i++)
        values[i] = 0.25;
    c.image = c.textures = (clf_tensor){ 0 };
    c.given_textures = clf_test_from(t, CLF_F32, CLF_DIMS(RC_B, 13, RC_G, RC_G), values);
    clf_relevance_forward(t->stream, m, &c);
    const double *indices = clf_test_values(t, c.indices), *budgets = clf_test_values(t, c.budgets);
    for (int i = 0; i < RC_B * RC_K; i++) {
        assert_int_equal((int)indices[i], i % RC_K);
        assert_int_equal((int)budgets[i], 1); /* a map of 0 */
    }
    check_choice(t, &d, &c);
    clf_relevance_destroy(m);
}

static void a_picture_of_one_pixel_has_a_map(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    clf_relevance_call c = rc_call(t, CLF_F32);
    rc_maps *want = clf_test_memory(t, sizeof *want);

    t->zero_limit = 0.65; /* no edges */
    c.image = clf_test_uniform(t, CLF_F32, CLF_DIMS(RC_B, 3, 1, 1), 0, 1);
    clf_relevance_forward(t->stream, m, &c);
    rc_reference(t, &d, &c, want);
    clf_test_close(t, c.information, want->three[0], 0, MAP_BOUND);
    clf_test_close(t, c.relevance, want->relevance, 0, MAP_BOUND);
    check_choice(t, &d, &c);
    clf_relevance_destroy(m);
}

/* Until 0.1.0 the check passed them, and one map was written over another. */
static void outputs_that_overlap_are_refused(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    clf_relevance_call c = rc_call(t, CLF_F32);
    clf_error err = { 0 };

    assert_int_equal(clf_relevance_check(m, &c, &err), CLF_OK);
    c.perspectival = c.information;
    assert_int_equal(clf_relevance_check(m, &c, &err), CLF_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "perspectival overlaps information; want apart"));
    c = rc_call(t, CLF_F32);
    c.weights = clf_tensor_at(c.query.mem, c.query.offset, CLF_F32, CLF_DIMS(RC_B, 3));
    clf_relevance_forward(t->stream, m, &c);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, "weights overlaps query; want apart");
    clf_relevance_destroy(m);
}

static void no_pictures_are_no_work(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    clf_relevance_call c = clf_relevance_call_default();

    clf_relevance_forward(t->stream, m, &c);
    clf_relevance_forward(t->stream, m, NULL);
    c.image = clf_tensor_shape(CLF_F32, CLF_DIMS(0, 3, 8, 8));
    c.query = clf_tensor_shape(CLF_F32, CLF_DIMS(0, RC_Q));
    c.relevance = clf_tensor_shape(CLF_F32, CLF_DIMS(0, RC_G, RC_G));
    c.indices = clf_tensor_shape(CLF_I64, CLF_DIMS(0, RC_K));
    clf_relevance_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    clf_relevance_destroy(m);
    clf_relevance_destroy(NULL);
}

/* ---- resources and failures ---- */

static void repeated_calls_allocate_nothing(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t);
    clf_relevance *m = rc_create(t, &d);
    clf_relevance_call c = rc_call(t, CLF_F16);
    clf_shim_counts before, after;

    c.positions = (clf_tensor){ 0 }; /* their table is copied for each call */
    for (int warm = 0; warm < 2; warm++)
        clf_relevance_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    before = clf_shims_count();
    for (int i = 0; i < 3; i++)
        clf_relevance_forward(t->stream, m, &c);
    assert_int_equal(clf_stream_finish(t->stream, NULL), CLF_OK);
    after = clf_shims_count();
    assert_int_equal(after.buffers_created, before.buffers_created);
    assert_int_equal(after.allocated, before.allocated);
    clf_relevance_destroy(m);
}

typedef struct life {
    clf_relevance_desc desc;
    clf_relevance_call call;
    float *result;
} life;

static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const life *l = user;
    clf_relevance *m = NULL;
    clf_status status = clf_relevance_create(t->ctx, &l->desc, &m, err);

    if (status == CLF_OK) {
        clf_relevance_forward(s, m, &l->call);
        clf_download(s, l->call.tokens, l->result);
        status = clf_stream_finish(s, err);
    }
    clf_relevance_destroy(m);
    return status;
}

/* A wide query takes another way through the module. */
static void an_error_at_any_call_is_reported_once_for(clf_test *t, int64_t Q)
{
    life l = { .desc = rc_small(t), .call = rc_call(t, CLF_F32) };
    float result[RC_B * RC_K * RC_D];
    const clf_walk w = { .name = "relevance",
                         .work = live,
                         .user = &l,
                         .result = result,
                         .bytes = sizeof result,
                         .beside = true,
                         .arguments = 60,
                         .again = 5 };

    l.desc.texture[1] = rc_layer(t, Q, RC_F);
    l.desc.balance[0] = rc_layer(t, RC_P, 9 + Q);
    l.call.query = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, Q));
    assert_int_equal(clf_orthonormal_pays(&l.desc.texture[1]), Q > RC_Q);
    l.result = result;
    assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 10 : 100));
    assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 10));
}

static void an_error_at_any_call_is_reported_once(void **state)
{
    an_error_at_any_call_is_reported_once_for(*state, RC_Q);
}

static void an_error_with_a_wide_query_is_reported_once(void **state)
{
    an_error_at_any_call_is_reported_once_for(*state, 2 * (RC_F + 1));
}

/* ---- refusals ---- */

static void refused(clf_test *t, const clf_relevance_desc *d, const char *message)
{
    clf_relevance *m = NULL;
    clf_error err = { 0 };

    assert_int_equal(clf_relevance_create(t->ctx, d, &m, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
    assert_null(m);
}

static void descriptions_that_contradict_themselves_are_refused(void **state)
{
    clf_test *t = *state;
    const clf_relevance_desc good = rc_small(t);
    clf_relevance_desc d = good;

    d.grid = 1; /* one cell has no standard deviation */
    refused(t, &d, "relevance: grid is 1; want 2 to 4096");
    d = good;
    d.k = 17;
    refused(t, &d, "relevance: k is 17; want 1 to 16, the cells of grid 4");
    d = good;
    d.k = -1;
    refused(t, &d, "relevance: k is -1; want 1 to 16, the cells of grid 4");
    d = good;
    d.scale = (clf_min_max_over)2;
    refused(t, &d, "relevance: scale is 2; want CLF_MIN_MAX_BATCH or CLF_MIN_MAX_PICTURE");
    d = good;
    d.texture[0] = rc_layer(t, RC_F, 12);
    refused(t, &d, "texture[0].weight is f32[9, 12]; want 13 columns");
    d = good;
    d.balance[0] = rc_layer(t, RC_P, 9 + RC_Q + 1);
    refused(t, &d, "balance[0].weight is f32[5, 17]; want 16 columns");
    d = good;
    d.balance[2] = rc_layer(t, 4, RC_P);
    refused(t, &d, "relevance: balance[2].weight is f32[4, 5]; want 3 rows, one for each map");
    d = good;
    d.balance[1] = (clf_linear_layer){ { 0 }, { 0 } };
    refused(t, &d, "relevance: 4 weights are given; want 5, or none");
}

static void call_refused(clf_test *t, const clf_relevance *m, const clf_relevance_call *c, const char *message)
{
    clf_relevance_forward(t->stream, m, c);
    clf_test_expect_error(t, CLF_INVALID_ARGUMENT, message);
}

static void calls_with_wrong_shapes_are_refused(void **state)
{
    clf_test *t = *state;
    clf_relevance_desc d = rc_small(t), bare = clf_relevance_desc_default();
    clf_relevance *m = rc_create(t, &d), *plain = rc_create(t, &bare);
    const clf_relevance_call good = rc_call(t, CLF_F32);
    clf_relevance_call c = good;

    c.given_textures = good.textures;
    call_refused(t, m, &c, "relevance: image and given_textures are given; want one of them");
    c.image = c.given_textures = (clf_tensor){ 0 };
    call_refused(t, m, &c, "relevance: image and given_textures are absent; want one of them");
    c.given_textures = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, 13, 5, 5));
    call_refused(t, m, &c, "relevance: given_textures is f32[3, 13, 5, 5]; want f32[3, 13, 4, 4]");
    c = good;
    c.image = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, 4, 8, 8));
    call_refused(t, m, &c, "relevance: image is f32[3, 4, 8, 8]; want [B, 3, H, W] with at least one pixel");
    c.image = clf_tensor_shape(CLF_F32, CLF_DIMS(RC_B, 3, 0, 8));
    call_refused(t, m, &c, "relevance: image is f32[3, 3, 0, 8]; want [B, 3, H, W] with at least one pixel");
    c = good;
    c.query = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, RC_Q + 1));
    call_refused(t, m, &c, "relevance: query is f32[3, 8]; want f32[3, 7]");
    c = good;
    c.vision = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, 15, RC_D));
    call_refused(t, m, &c, "relevance: vision is f32[3, 15, 3]; want [3, 16, D], for 4 x 4 cells");
    c = good;
    c.dense = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, RC_K + 1, RC_S, RC_D));
    call_refused(t, m, &c, "relevance: dense is f32[3, 7, 9, 3]; want [3, 6, S, E], S features of each chosen cell");
    c = good;
    c.dense = clf_test_normal(t, CLF_F32, CLF_DIMS(RC_B, RC_K, 8, RC_D));
    call_refused(t, m, &c, "detail_pool: dense is f32[3, 6, 8, 3], 8 features a cell; want a square");
    c = good;
    c.indices = clf_test_empty(t, CLF_I64, CLF_DIMS(RC_B, RC_K + 1));
    call_refused(t, m, &c, "relevance: indices is i64[3, 7]; want i64[3, 6], or i32");
    c = good;
    c.relevance = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, RC_N));
    call_refused(t, m, &c, "relevance: relevance is f32[3, 16]; want f32[3, 4, 4]");
    c = clf_relevance_call_default();
    c.image = good.image;
    c.query = good.query;
    c.participatory = clf_test_empty(t, CLF_F32, CLF_DIMS(RC_B, 32, 32));
    call_refused(t, plain, &c,
                 "relevance: the module has no weights; want them for participatory and what is made of it");
    clf_relevance_destroy(plain);
    clf_relevance_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(agrees_with_the_formulas_in_double),
        CLF_TEST(cells_are_pooled_into_their_budgets),
        CLF_TEST(outputs_do_not_depend_on_each_other),
        CLF_TEST(textures_may_come_from_outside),
        CLF_TEST(textures_alone_are_those_of_the_module),
        CLF_TEST(a_picture_alone_is_the_picture_in_a_batch),
        CLF_TEST(blocks_of_features_do_not_show),
        CLF_TEST(cosines_do_not_depend_on_the_basis),
        CLF_TEST(a_basis_is_made_where_it_pays),
        CLF_TEST(a_basis_hides_nothing),
        CLF_TEST(equal_cells_are_taken_from_the_first_on),
        CLF_TEST(a_picture_of_one_pixel_has_a_map),
        CLF_TEST(outputs_that_overlap_are_refused),
        CLF_TEST(no_pictures_are_no_work),
        CLF_TEST(repeated_calls_allocate_nothing),
        CLF_TEST(an_error_at_any_call_is_reported_once),
        CLF_TEST(an_error_with_a_wide_query_is_reported_once),
        CLF_TEST(descriptions_that_contradict_themselves_are_refused),
        CLF_TEST(calls_with_wrong_shapes_are_refused),
    };

    return CLF_TEST_MAIN(tests);
}
