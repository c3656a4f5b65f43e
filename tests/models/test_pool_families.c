/* Families of attention pools: what their configurations decide, what contradicts, what calls may say. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "walk.h"

/* ---- connectors of tests/data, with keys overridden ---- */

#define MAX_SETS 6

static clf_status open_case(clf_test *t, const char *name, const char *const *sets, clf_connector **c, clf_error *err)
{
    clf_connector_options options = clf_connector_options_default();
    char path[600];

    options.sets = sets;
    while (options.set_count < MAX_SETS && sets[options.set_count] != NULL)
        options.set_count++;
    snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, name);
    return clf_connector_open(t->ctx, path, &options, c, err);
}

static clf_connector *opened(clf_test *t, const char *name, const char *first, const char *second)
{
    const char *const sets[MAX_SETS] = { first, second };
    clf_connector *c = NULL;
    clf_error err = { 0 };

    if (open_case(t, name, sets, &c, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return c;
}

static void refused(clf_test *t, const char *name, const char *set, const char *message)
{
    const char *const sets[MAX_SETS] = { set };
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(open_case(t, name, sets, &c, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, message);
    assert_null(c);
}

/* ---- calls with random rows ---- */

typedef struct call {
    clf_value in[4];
    size_t in_count;
    clf_value out;
} call;

static call vision_call(clf_test *t, clf_dims dims, const char *output)
{
    const clf_tensor shape = clf_tensor_shape(CLF_F32, dims);
    const size_t count = (size_t)clf_element_count(shape);
    float *values = clf_test_memory(t, (count + 1) * sizeof *values);
    call c = { .in_count = 1, .out = { .name = output } };

    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * clf_test_random(t) - 1);
    c.in[0] = (clf_value){ "vision", shape, values };
    return c;
}

static void add_ids(call *c, const char *name, clf_dims dims, const int64_t *values)
{
    c->in[c->in_count++] = (clf_value){ name, clf_tensor_shape(CLF_I64, dims), (void *)(uintptr_t)values };
}

static const float *run(clf_test *t, const clf_connector *connector, call *c)
{
    clf_error err = { 0 };

    if (clf_connector_plan(connector, c->in, c->in_count, &c->out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    c->out.host = clf_test_memory(t, (size_t)clf_element_count(c->out.tensor) * sizeof(float) + 1);
    if (clf_connector_run(t->stream, connector, c->in, c->in_count, &c->out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return c->out.host;
}

static void not_planned(const clf_connector *connector, call *c, const char *message)
{
    clf_error err = { 0 };

    assert_int_equal(clf_connector_plan(connector, c->in, c->in_count, &c->out, 1, &err), CLF_INVALID_ARGUMENT);
    assert_string_equal(err.message, message);
}

static bool same_values(const float *a, const float *b, const call *c)
{
    return memcmp(a, b, (size_t)clf_element_count(c->out.tensor) * sizeof *a) == 0;
}

/* ---- aria ---- */

static void aria_takes_the_counts_of_its_dictionary_alone(void **state)
{
    clf_test *t = *state;
    clf_connector *c = opened(t, "aria_basic", "projector_patch_to_query_dict.4=1", NULL);
    call four = vision_call(t, CLF_DIMS(1, 4, 24), "tokens"), seven = vision_call(t, CLF_DIMS(1, 7, 24), "tokens"),
         eight = vision_call(t, CLF_DIMS(1, 8, 24), "tokens");

    run(t, c, &four);
    assert_int_equal(four.out.tensor.dim[1], 1);
    run(t, c, &seven);
    assert_int_equal(seven.out.tensor.dim[1], 2);
    not_planned(c, &eight,
                "aria: vision is f32[1, 8, 24]; want N of 4, 7, 9, 12, the keys of projector_patch_to_query_dict");
    clf_connector_destroy(c);
}

/* 1 is real here, where the reference has True for padding. */
static void a_mask_of_ones_changes_nothing_and_of_zeros_is_the_mean(void **state)
{
    static const struct {
        const char *name;
        int64_t N, Dv;
    } cases[] = { { "aria_basic", 9, 24 }, { "siglip2_mask", 9, 32 } };
    static const int64_t ones[9] = { 1, 1, 2, 1, 1, 1, -1, 1, 1 }, zeros[9] = { 0 };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_connector *c = opened(t, cases[i].name, NULL, NULL);
        call plain = vision_call(t, CLF_DIMS(1, cases[i].N, cases[i].Dv), "attention"), masked = plain, hidden = plain;
        const float *weights;

        add_ids(&masked, "vision_mask", CLF_DIMS(1, cases[i].N), ones);
        add_ids(&hidden, "vision_mask", CLF_DIMS(1, cases[i].N), zeros);
        assert_true(same_values(run(t, c, &plain), run(t, c, &masked), &plain));
        weights = run(t, c, &hidden);
        for (int64_t k = 0; k < clf_element_count(hidden.out.tensor); k++)
            assert_true(fabs((double)weights[k] - 1.0 / 9) <= 1e-7);
        clf_connector_destroy(c);
    }
}

static void configurations_that_contradict_tensors_name_both(void **state)
{
    static const struct {
        const char *name, *set, *message;
    } cases[] = {
        { "aria_basic", "vision_config.hidden_size=25",
          "aria: vision_config.hidden_size is 25; want 24, the columns of multi_modal_projector.query" },
        { "aria_basic", "text_config.hidden_size=24",
          "aria: text_config.hidden_size is 24; want 20, the rows of "
          "multi_modal_projector.feed_forward.linear_out.weight" },
        { "aria_basic", "projector_patch_to_query_dict.4=6",
          "aria: projector_patch_to_query_dict.4 is 6; want 1 to 5, the rows of multi_modal_projector.query" },
        { "aria_basic", "projector_patch_to_query_dict=null",
          "aria: multi_modal_projector.query is f32[5, 24]; want 256 rows where projector_patch_to_query_dict is "
          "missing" },
        { "aria_basic", "vision_config.num_attention_heads=5",
          "aria: vision_config.num_attention_heads is 5; want a divisor of 24, the rows of the query weight" },
        { "aria_basic", "heads=5", "aria: heads is 5; want a divisor of 24, the rows of the query weight" },
        { "qwen_vl_basic", "visual.width=21",
          "qwen_vl: visual.width is 21; want 20, the columns of transformer.visual.attn_pool.kv_proj.weight" },
        { "qwen_vl_basic", "hidden_size=32",
          "qwen_vl: hidden_size is 32; want 28, the columns of transformer.visual.proj" },
        { "qwen_vl_basic", "heads=null", "qwen_vl: heads is missing; want it, for this width has no default" },
        { "qwen_vl_basic", "visual.patch_size=0",
          "qwen_vl: visual.image_size is 84 and visual.patch_size 0; want a side of 1 to 24 patches, 8 times that of "
          "transformer.visual.attn_pool.pos_embed" },
        { "qwen_vl_basic", "visual.image_size=350",
          "qwen_vl: visual.image_size is 350 and visual.patch_size 14; want a side of 1 to 24 patches, 8 times that of "
          "transformer.visual.attn_pool.pos_embed" },
        { "minicpmv_basic", "query_num=8", "minicpmv: query_num is 8; want 9, the rows of resampler.query" },
        { "minicpmv_basic", "vision_config.hidden_size=21",
          "minicpmv: vision_config.hidden_size is 21; want 20, the columns of resampler.kv_proj.weight" },
        { "siglip_basic", "vision_config.hidden_size=33",
          "siglip: vision_config.hidden_size is 33; want 32, the width of probe" },
        { "siglip_basic", "vision_config.num_attention_heads=5",
          "siglip: vision_config.num_attention_heads is 5; want a divisor of 32, the rows of the query weight" },
        { "siglip_tower_f16", "num_attention_heads=5",
          "siglip: num_attention_heads is 5; want a divisor of 32, the rows of the query weight" },
        { "coca_basic", "vision_cfg.attn_pooler_heads=5",
          "coca: vision_cfg.attn_pooler_heads is 5; want a divisor of 32, the rows of the query weight" },
        { "qwen_vl_basic", "heads=5", "qwen_vl: heads is 5; want a divisor of 32, the rows of the query weight" },
        { "siglip_tower_f16", "intermediate_size=45",
          "siglip: intermediate_size is 45; want 44, the rows of mlp.fc1.weight" },
        { "coca_basic", "vision_cfg.attn_pooler_queries=7",
          "coca: vision_cfg.attn_pooler_queries is 7; want 6, the rows of visual.attn_pool.query" },
        { "coca_basic", "embed_dim=25", "coca: embed_dim is 25; want 24, the columns of visual.proj" },
        { "clip_resnet_basic", "heads=5",
          "clip_resnet: heads is 5; want a divisor of 32, the rows of the query weight" },
        { "clip_resnet_basic", "heads=0",
          "clip_resnet: heads is 0; want a divisor of 32, the rows of the query weight" },
        { "aria_basic", "projector_patch_to_query_dict={}",
          "aria: projector_patch_to_query_dict has 0 keys, 0 of them 1 to 65536; want all so, and at least one" },
        { "aria_basic", "projector_patch_to_query_dict={\"x\": 1}",
          "aria: projector_patch_to_query_dict has 1 keys, 0 of them 1 to 65536; want all so, and at least one" },
        { "clip_resnet_basic", "heads=null", "clip_resnet: heads is missing; want it, for this width has no default" },
    };

    for (size_t i = 0; i < CLF_COUNT(cases); i++)
        refused(*state, cases[i].name, cases[i].set, cases[i].message);
}

/* ---- qwen_vl and minicpmv ---- */

static void qwen_vl_wants_a_square_of_rows(void **state)
{
    clf_test *t = *state;
    clf_connector *c = opened(t, "qwen_vl_basic", NULL, NULL);
    call odd = vision_call(t, CLF_DIMS(1, 35, 20), "tokens");

    not_planned(c, &odd, "qwen_vl: vision is f32[1, 35, 20]; want N a square number");
    clf_connector_destroy(c);
}

/* The table of the usual picture lies ready; another connector resizes it for each call: the same bits. */
static void the_usual_side_decides_speed_alone(void **state)
{
    clf_test *t = *state;
    clf_connector *ready = opened(t, "qwen_vl_basic", NULL, NULL),
                  *resizing = opened(t, "qwen_vl_basic", "visual.image_size=42", NULL);
    call c = vision_call(t, CLF_DIMS(2, 36, 20), "tokens"), d = c;

    assert_true(same_values(run(t, ready, &c), run(t, resizing, &d), &c));
    clf_connector_destroy(ready);
    clf_connector_destroy(resizing);
}

static void grids_are_held_to_the_rows_of_vision(void **state)
{
    static const int64_t too_large[4] = { 3, 4, 4, 4 }, empty[4] = { 3, 4, 0, 5 },
                         overflowing[4] = { INT64_C(1) << 33, INT64_C(1) << 31, 1, 1 };
    static const struct {
        const int64_t *grid;
        const char *message;
    } cases[] = {
        { too_large, "minicpmv: grid[1] is 4 x 4; want at least 1 x 1 and at most 12 patches, the rows of vision "
                     "f32[2, 12, 20]" },
        { empty, "minicpmv: grid[1] is 0 x 5; want at least 1 x 1 and at most 12 patches, the rows of vision "
                 "f32[2, 12, 20]" },
        { overflowing, "minicpmv: grid[0] is 8589934592 x 2147483648; want at least 1 x 1 and at most 12 patches, the "
                       "rows of vision f32[2, 12, 20]" },
    };
    clf_test *t = *state;
    clf_connector *c = opened(t, "minicpmv_basic", NULL, NULL);

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        call k = vision_call(t, CLF_DIMS(2, 12, 20), "tokens");

        add_ids(&k, "grid", CLF_DIMS(2, 2), cases[i].grid);
        not_planned(c, &k, cases[i].message);
    }
    call none = vision_call(t, CLF_DIMS(2, 12, 20), "tokens");
    not_planned(c, &none, "minicpmv: vision is f32[2, 12, 20]; want N a square number");
    clf_connector_destroy(c);
}

/* What stands behind a picture's patches is not seen, not even NaN; a square needs no grid. */
static void rows_behind_a_grid_do_not_change_bits(void **state)
{
    static const int64_t square[2] = { 3, 3 }, smaller[2] = { 2, 3 };
    clf_test *t = *state;
    clf_connector *c = opened(t, "minicpmv_basic", NULL, NULL);
    call implied = vision_call(t, CLF_DIMS(1, 9, 20), "tokens"), given = implied, part = implied, spoilt = implied;
    float *values = clf_test_memory(t, 9 * 20 * sizeof *values);

    add_ids(&given, "grid", CLF_DIMS(2), square); /* a batch left out is left out of each */
    given.in[0].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(9, 20));
    assert_true(same_values(run(t, c, &implied), run(t, c, &given), &implied));
    assert_int_equal(given.out.tensor.rank, 2);
    for (int i = 0; i < 9 * 20; i++)
        values[i] = i < 6 * 20 ? ((const float *)implied.in[0].host)[i] : NAN;
    add_ids(&part, "grid", CLF_DIMS(1, 2), smaller);
    add_ids(&spoilt, "grid", CLF_DIMS(1, 2), smaller);
    spoilt.in[0].host = values;
    assert_true(same_values(run(t, c, &part), run(t, c, &spoilt), &part));
    assert_false(same_values(run(t, c, &part), run(t, c, &implied), &part));
    clf_connector_destroy(c);
}

/* 2.0 adds positions to its queries: `query_positions`, else `version`, else whether the table is stored. */
static void the_version_says_whether_queries_have_positions(void **state)
{
    static const struct {
        const char *name, *first, *second;
        int group; /* equal groups of a file have equal bits */
    } cases[] = {
        { "minicpmv_basic", NULL, NULL, 0 },
        { "minicpmv_basic", "version=2.5", NULL, 0 },
        { "minicpmv_basic", "version=\"4.5\"", NULL, 0 },
        { "minicpmv_basic", "version=null", NULL, 0 },
        { "minicpmv_basic", "version=2", NULL, 1 },
        { "minicpmv_basic", "version=\"2.0\"", NULL, 1 },
        { "minicpmv_basic", "query_positions=true", NULL, 1 },
        { "minicpmv_basic", "version=2.0", "query_positions=false", 0 },
        { "minicpmv_stored_bf16", NULL, NULL, 3 },
        { "minicpmv_stored_bf16", "version=2", NULL, 3 },
        { "minicpmv_stored_bf16", "version=2.6", NULL, 2 },
        { "minicpmv_stored_bf16", "query_positions=false", NULL, 2 },
    };
    clf_test *t = *state;
    const float *of_group[4] = { NULL };
    const call k = vision_call(t, CLF_DIMS(1, 4, 20), "tokens");

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_connector *c = opened(t, cases[i].name, cases[i].first, cases[i].second);
        call own = k;
        const float *tokens = run(t, c, &own);
        const int group = cases[i].group;

        for (int g = 0; g < 4; g++)
            if (of_group[g] != NULL)
                assert_int_equal(same_values(tokens, of_group[g], &own), g == group);
        of_group[group] = tokens;
        clf_connector_destroy(c);
    }
}

static void fused_needs_to_know_which_id_stands_for_a_token(void **state)
{
    static const int64_t ids[1] = { 60 };
    clf_test *t = *state;
    clf_connector *c = opened(t, "minicpmv_basic", "image_token_index=null", NULL);
    call k = vision_call(t, CLF_DIMS(1, 4, 20), "fused"), tokens = vision_call(t, CLF_DIMS(1, 4, 20), "tokens");

    k.in[k.in_count++] = (clf_value){ "text", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 1, 32)), k.in[0].host };
    add_ids(&k, "text_ids", CLF_DIMS(1, 1), ids);
    not_planned(c, &k, "minicpmv: image_token_index is missing; want it in the configuration for fused");
    run(t, c, &tokens);
    clf_connector_destroy(c);
}

/* ---- heads of width 128 that no file states ---- */

#define MAX_TENSORS 16

typedef struct wide_source {
    clf_tensor_source source;
    size_t count;
    const char *names[MAX_TENSORS];
    clf_host_tensor tensors[MAX_TENSORS];
} wide_source;

static size_t wide_count(void *self)
{
    return ((wide_source *)self)->count;
}

static const char *wide_name(void *self, size_t index)
{
    return ((wide_source *)self)->names[index];
}

static clf_status wide_find(void *self, const char *name, clf_host_tensor *t, clf_error *err)
{
    const wide_source *s = self;

    (void)err;
    *t = (clf_host_tensor){ 0 };
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->names[i], name) == 0)
            *t = s->tensors[i];
    return CLF_OK;
}

static void put(clf_test *t, wide_source *s, const char *name, int64_t rows, int64_t columns)
{
    const size_t count = (size_t)rows * (size_t)(columns == 0 ? 1 : columns);
    float *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = (float)(clf_test_random(t) - 0.5) / 8;
    s->names[s->count] = name;
    s->tensors[s->count++] = (clf_host_tensor){ values, CLF_F32, columns == 0 ? 1 : 2, { rows, columns } };
}

static void heads_are_of_width_128_unless_stated(void **state)
{
    static const char *const norms[] = { "resampler.ln_q.weight",       "resampler.ln_q.bias",
                                         "resampler.ln_kv.weight",      "resampler.ln_kv.bias",
                                         "resampler.ln_post.weight",    "resampler.ln_post.bias",
                                         "resampler.attn.out_proj.bias" };
    clf_test *t = *state;
    wide_source s = { .source = { &s, "memory", wide_count, wide_name, wide_find, NULL } };
    const int64_t C = 256;

    if (clf_test_small_only(t))
        clf_test_skip("a width of 256 is too much for emulated fma");
    put(t, &s, "resampler.query", 4, C);
    put(t, &s, "resampler.kv_proj.weight", C, 6);
    put(t, &s, "resampler.attn.in_proj_weight", 3 * C, C);
    put(t, &s, "resampler.attn.in_proj_bias", 3 * C, 0);
    put(t, &s, "resampler.attn.out_proj.weight", C, C);
    put(t, &s, "resampler.proj", C, 12);
    for (size_t i = 0; i < CLF_COUNT(norms); i++)
        put(t, &s, norms[i], C, 0);
    for (int heads = 2; heads <= 4; heads += 2) {
        const char *const sets[] = { "heads=4" };
        clf_connector_options options = clf_connector_options_default();
        clf_connector *c = NULL;
        clf_error err = { 0 };
        call k = vision_call(t, CLF_DIMS(1, 9, 6), "attention");

        options.family = "minicpmv";
        options.sets = sets;
        options.set_count = heads == 4;
        if (clf_connector_create(t->ctx, &s.source, NULL, 0, &options, &c, &err) != CLF_OK)
            fail_msg("%s", err.message);
        run(t, c, &k);
        assert_true(clf_shape_is(k.out.tensor, CLF_DIMS(1, heads, 4, 9)));
        clf_connector_destroy(c);
    }
}

/* ---- heads ---- */

static void clip_resnet_takes_the_rows_of_its_positions(void **state)
{
    clf_test *t = *state;
    clf_connector *c = opened(t, "clip_resnet_basic", NULL, NULL);
    call k = vision_call(t, CLF_DIMS(1, 8, 32), "tokens");

    not_planned(c, &k, "clip_resnet: vision is f32[1, 8, 32]; want [B, 9, 32] or [9, 32]");
    clf_connector_destroy(c);
}

/* image_embeds have norm 1 and the direction of the pooled row, which is not normalised. */
static void image_embeds_are_the_pooled_row_over_its_norm(void **state)
{
    static const struct {
        const char *name;
        int64_t N, Dv, P;
    } cases[] = { { "siglip_basic", 5, 32, 32 }, { "clip_resnet_basic", 9, 32, 20 } };
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        clf_connector *c = opened(t, cases[i].name, NULL, NULL);
        call pooled = vision_call(t, CLF_DIMS(1, cases[i].N, cases[i].Dv), "tokens"), unit = pooled;
        const float *row = run(t, c, &pooled), *embeds;
        double squares = 0;

        unit.out = (clf_value){ .name = "image_embeds" };
        embeds = run(t, c, &unit);
        for (int64_t k = 0; k < cases[i].P; k++)
            squares += (double)row[k] * (double)row[k];
        assert_true(fabs(sqrt(squares) - 1) > 1e-3);
        for (int64_t k = 0; k < cases[i].P; k++)
            assert_true(fabs((double)embeds[k] - (double)row[k] / sqrt(squares)) <= 1e-6);
        assert_true(clf_shape_is(unit.out.tensor, CLF_DIMS(1, cases[i].P)));
        assert_true(clf_shape_is(pooled.out.tensor, CLF_DIMS(1, 1, cases[i].P)));
        clf_connector_destroy(c);
    }
}

/* The projected queries lie on the device in place of their weight and norm. */
static void a_description_counts_every_parameter_once(void **state)
{
    clf_test *t = *state;
    clf_connector *c = opened(t, "coca_basic", NULL, NULL);
    const clf_connector_info info = clf_connector_describe(c);
    const uint64_t D = 32, Q = 6, P = 24, matrices = 4 * D * D + D * P, vectors = 3 * D + D + 6 * D;

    assert_int_equal(info.parameters, matrices + vectors + Q * D);
    assert_int_equal(info.f32_parameters, vectors + Q * D);
    assert_int_equal(info.weight_bytes, 4 * (info.parameters - D * D - D - 2 * D));
    clf_connector_destroy(c);

    /* Aria: key and value projections are multiplied into k and v. */
    clf_connector *aria = opened(t, "aria_basic", NULL, NULL);
    const clf_connector_info aria_info = clf_connector_describe(aria);
    const uint64_t C = 24, Dt = 20;

    assert_int_equal(aria_info.parameters, 5 * C + 8 * C * C + 5 * C + 6 * C + Dt * C + Dt * Dt);
    assert_int_equal(aria_info.weight_bytes, 4 * (aria_info.parameters - 4 * C * C - C - 2 * C));
    clf_connector_destroy(aria);
}

/* ---- failures ---- */

typedef struct life {
    const char *name;
    call call;
} life;

/* Opens the case, runs it with other sizes than usual, closes it. */
static clf_status live(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const char *const sets[MAX_SETS] = { NULL };
    const life *l = user;
    clf_connector *c = NULL;
    clf_value out = l->call.out;
    clf_status status = open_case(t, l->name, sets, &c, err);

    if (status == CLF_OK)
        status = clf_connector_run(s, c, l->call.in, l->call.in_count, &out, 1, err);
    clf_connector_destroy(c);
    return status;
}

/* The tables of positions, masks and lengths of a call: nothing is lost, and the first error is told. */
static void a_failure_anywhere_loses_nothing(void **state)
{
    static const struct {
        const char *name, *output;
        int64_t width;
    } rows[] = { { "qwen_vl_basic", "tokens", 20 },
                 { "minicpmv_2_0", "tokens", 20 },
                 { "siglip2_mask", "image_embeds", 32 },
                 { "clip_resnet_basic", "image_embeds", 32 } };
    clf_test *t = *state;

    if (clf_test_small_only(t))
        clf_test_skip("rusticl makes kernels anew for every stream");
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        life l = { rows[i].name, vision_call(t, CLF_DIMS(1, 9, rows[i].width), rows[i].output) };
        clf_walk w = { .name = rows[i].name, .work = live, .user = &l, .beside = true, .again = 8 };
        clf_connector *c = opened(t, rows[i].name, NULL, NULL);

        assert_int_equal(clf_connector_plan(c, l.call.in, 1, &l.call.out, 1, NULL), CLF_OK);
        clf_connector_destroy(c);
        w.bytes = (size_t)clf_element_count(l.call.out.tensor) * sizeof(float);
        w.result = l.call.out.host = clf_test_memory(t, w.bytes);
        assert_true(clf_walk_calls(t, &w) > 40);
        assert_true(clf_walk_allocations(t, &w) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(aria_takes_the_counts_of_its_dictionary_alone),
        CLF_TEST(a_mask_of_ones_changes_nothing_and_of_zeros_is_the_mean),
        CLF_TEST(configurations_that_contradict_tensors_name_both),
        CLF_TEST(qwen_vl_wants_a_square_of_rows),
        CLF_TEST(the_usual_side_decides_speed_alone),
        CLF_TEST(grids_are_held_to_the_rows_of_vision),
        CLF_TEST(rows_behind_a_grid_do_not_change_bits),
        CLF_TEST(the_version_says_whether_queries_have_positions),
        CLF_TEST(fused_needs_to_know_which_id_stands_for_a_token),
        CLF_TEST(heads_are_of_width_128_unless_stated),
        CLF_TEST(clip_resnet_takes_the_rows_of_its_positions),
        CLF_TEST(image_embeds_are_the_pooled_row_over_its_norm),
        CLF_TEST(a_description_counts_every_parameter_once),
        CLF_TEST(a_failure_anywhere_loses_nothing),
    };

    return CLF_TEST_MAIN(tests);
}
