/* Modules from options alone: their tensors are those of the reference's files, they are described and planned without
 * a device, fresh weights run; and a context without a device refuses what would compute. */
#include "data_folders.h"

#include <math.h>

#include <clfusion/module.h>

#include "checkpoint/checkpoint.h"
#include "models/family.h"
#include "models/module_spec.h"
#include "shims.h"

/* Options for what has no default. */
static const struct {
    const char *module;
    const char *sets[6];
} samples[] = {
    { "linear_projection", { "vision_dim=1024", "llm_dim=4096" } },
    { "llava_fusion", { "vocab_size=50" } },
    { "early_fusion", { "dim=24", "patch_size=4", "vocab_size=11", "vision_positions=9", "text_positions=7" } },
    { "cross_attention", { "text_dim=24", "vision_dim=20" } },
    { "gated_cross_attention", { "text_dim=24", "vision_dim=20", "num_heads=2", "head_dim=8" } },
    { "gated_cross_attention_dense", { "dim=24", "num_heads=4" } },
    { "latent_resampler", { "vision_dim=20", "num_heads=4", "pre_norm=true", "dim=24" } },
    { "learned_query_compressor", { "dim=32" } },
    { "late_fusion", { "vision_dim=23", "text_dim=20", "dim=12", "num_classes=5", "pool=attention" } },
    { "conv_compress", { "vision_dim=5", "mid_dim=8", "dim=8", "output_dim=6" } },
    { "adaptive_avg_pool", { "target_grid=3" } },
    { "pixel_shuffle", { "factor=2" } },
    { "unfold_merge", { "factor=2" } },
    { "visual_vocabulary", { "vision_dim=5", "vocab_size=30", "llm_dim=7", "mode=softmax" } },
    { "top_k", { "k=3" } },
    { "query_aware", { "k=3" } },
    { "token_merge", { "r=2" } },
    { "relevance", { "query_dim=20" } },
};

static clf_module_desc sample(const char *module)
{
    clf_module_desc desc = clf_module_desc_default();

    desc.module = module;
    for (size_t i = 0; i < CLF_COUNT(samples); i++)
        if (strcmp(samples[i].module, module) == 0) {
            desc.sets = samples[i].sets;
            while (desc.set_count < CLF_COUNT(samples[i].sets) && desc.sets[desc.set_count] != NULL)
                desc.set_count++;
        }
    return desc;
}

static clf_module_source *open_source(const clf_module_desc *desc)
{
    clf_module_source *m = NULL;
    clf_error err = { 0 };

    if (clf_module_source_create(desc, &m, &err) != CLF_OK)
        fail_msg("%s: %s", desc->module, err.message);
    return m;
}

static clf_connector *open_module(clf_context *ctx, const clf_module_desc *desc)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    if (clf_module_create(ctx, desc, &c, &err) != CLF_OK)
        fail_msg("%s: %s", desc->module, err.message);
    return c;
}

static clf_context *without_device(void)
{
    clf_context_desc desc = clf_context_desc_default();
    clf_context *ctx = NULL;
    clf_error err = { 0 };

    desc.device = "none";
    if (clf_context_create(&desc, &ctx, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return ctx;
}

static uint64_t elements_of(const clf_tensor_source *source)
{
    uint64_t total = 0;

    for (size_t i = 0; i < source->count(source->self); i++) {
        clf_host_tensor t;

        assert_int_equal(source->find(source->self, source->name(source->self, i), &t, NULL), CLF_OK);
        total += elements(t);
    }
    return total;
}

/* ---- tables ---- */

static void every_module_has_a_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < clf_family_count(); i++)
        if (clf_family_at(i)->module && clf_module_spec_find(clf_family_at(i)->id) == NULL)
            fail_msg("%s: no row in module_specs.c", clf_family_at(i)->id);
    assert_null(clf_module_name(clf_module_count()));
    assert_true(clf_module_count() >= 12);
}

/* Nothing is missing, and nothing is there that the module does not read. */
static void every_module_is_made_of_exactly_its_tensors(void **state)
{
    clf_context *ctx = without_device();

    (void)state;
    for (size_t i = 0; i < clf_module_count(); i++) {
        const clf_module_desc desc = sample(clf_module_name(i));
        clf_module_source *m = open_source(&desc);
        clf_connector *c = open_module(ctx, &desc);
        const clf_tensor_source *source = clf_module_source_tensors(m);

        if (strcmp(desc.module, "contrastive") != 0) /* its scale and bias are numbers of the host */
            assert_int_equal(clf_connector_describe(c).parameters, elements_of(source));
        for (size_t k = 0; k + 1 < source->count(source->self); k++)
            assert_string_not_equal(source->name(source->self, k), source->name(source->self, k + 1));
        clf_connector_destroy(c);
        clf_module_source_destroy(m);
    }
    assert_int_equal(clf_context_memory(ctx, NULL), 0);
    clf_context_destroy(ctx);
}

static void same_tensor(const char *folder, const clf_tensor_source *file, const clf_tensor_source *made, size_t index)
{
    const char *name = made->name(made->self, index);
    clf_host_tensor want, got;

    assert_int_equal(made->find(made->self, name, &got, NULL), CLF_OK);
    assert_int_equal(file->find(file->self, name, &want, NULL), CLF_OK);
    if (got.rank != want.rank || memcmp(got.dim, want.dim, (size_t)got.rank * sizeof got.dim[0]) != 0)
        fail_msg("%s: %s has another shape than the reference's", folder, name);
}

static void tensors_are_those_of_the_references_files(void **state)
{
    static const struct {
        const char *folder, *sets[3];
    } rows[] = {
        { "linear_projection_basic", { NULL } },
        { "mlp_projection_basic", { NULL } },
        { "mlp_projection_depth1", { NULL } },
        { "mlp_projection_depth3", { NULL } },
        { "llava_fusion_linear", { NULL } },
        { "llava_fusion_mlp", { NULL } },
        { "cross_attention_basic", { NULL } },
        { "cross_attention_fusion_basic", { "ffn_dim=48" } },
        { "gated_cross_attention_dense_basic", { NULL } },
        { "gated_cross_attention_stack_alpha", { NULL } },
        { "gated_cross_attention_stack_tanh", { NULL } },
        { "perceiver_resampler_basic", { NULL } },
        { "latent_resampler_basic", { NULL } },
        { "latent_resampler_norm_alone", { "vision_dim=16", "dim=16", "num_latents=3" } },
        { "learned_query_compressor_basic", { NULL } },
        { "simplified_qformer_basic", { "ffn_dim=40" } },
        { "late_fusion_basic", { NULL } },
        { "late_fusion_attention", { NULL } },
        { "late_fusion_mean_masked", { NULL } },
        { "conv_compress_square", { NULL } },
        { "relevance_basic", { "query_dim=16" } },
    };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        clf_module_desc desc = clf_module_desc_default();
        clf_checkpoint *file = NULL;
        char path[512];

        snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, rows[i].folder);
        assert_int_equal(clf_checkpoint_open(path, &file, NULL), CLF_OK);
        clf_checkpoint_config_text(file, &desc.config_json, &desc.config_bytes);
        desc.sets = rows[i].sets;
        while (desc.set_count < CLF_COUNT(rows[i].sets) && rows[i].sets[desc.set_count] != NULL)
            desc.set_count++;
        clf_module_source *m = open_source(&desc);
        const clf_tensor_source *have = clf_checkpoint_source(file), *made = clf_module_source_tensors(m);

        if (made->count(made->self) != have->count(have->self))
            fail_msg("%s: %zu tensors; want %zu", rows[i].folder, made->count(made->self), have->count(have->self));
        for (size_t k = 0; k < made->count(made->self); k++)
            same_tensor(rows[i].folder, have, made, k);
        clf_module_source_destroy(m);
        clf_checkpoint_close(file);
    }
}

/* ---- counting ---- */

static void parameters_are_what_a_hand_counts(void **state)
{
    static const struct {
        const char *module;
        uint64_t parameters;
    } rows[] = {
        { "linear_projection", 4198400 }, /* 1024 x 4096 + 4096 */
        { "mlp_projection", 328192 },     /* 1024 x 256 + 256 + 256 x 256 + 256 */
        { "gated_cross_attention_stack", 262400 + 4 * (2 * 256 + 4 * (65536 + 256) + 1) },
        { "perceiver_resampler", 262400 + 64 * 256 + 6 * (4 * 256 + 6 * (65536 + 256)) },
        { "simplified_qformer", 32 * 768 + 6 * (4 * (589824 + 768) + 2 * (589824 + 384) + 2 * 768 * 1408 + 6 * 768 +
                                                2 * 4 * 589824 + 3072 + 768) },
    };
    clf_context *ctx = without_device();

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        const clf_module_desc desc = sample(rows[i].module);
        clf_connector *c = open_module(ctx, &desc);

        assert_int_equal(clf_connector_describe(c).parameters, rows[i].parameters);
        clf_connector_destroy(c);
    }
    clf_context_destroy(ctx);
}

static void attention_costs_four_times_the_product_of_its_sizes(void **state)
{
    const clf_attention_cost cost = clf_module_attention_cost(2, 16, 64, 2305, 64);

    (void)state;
    assert_int_equal(cost.weights, 2 * 16 * 64 * 2305);
    assert_int_equal(cost.flop, UINT64_C(4) * 2 * 16 * 64 * 2305 * 64);
    assert_int_equal(cost.bytes, 8 * 2 * 16 * 2305 * 64);
    assert_int_equal(clf_module_attention_cost(INT64_MAX, 16, 64, 2305, 64).flop, UINT64_MAX);
    assert_int_equal(clf_module_attention_cost(1, 1, 0, 5, 64).flop, 0);
}

static void edifices_builders_say_their_output_shape_without_a_device(void **state)
{
    const clf_module_desc mlp = sample("mlp_projection"), cross = sample("gated_cross_attention_stack"),
                          resampler = sample("perceiver_resampler");
    clf_value in[] = { { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(3, 196, 1024)) },
                       { .name = "text", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(3, 20, 256)) } };
    clf_context *ctx = without_device();
    const struct {
        const clf_module_desc *desc;
        const char *output;
        size_t inputs;
        clf_dims dims;
    } rows[] = { { &mlp, "fused", 2, CLF_DIMS(3, 216, 256) },
                 { &mlp, "tokens", 1, CLF_DIMS(3, 196, 256) },
                 { &cross, "hidden", 2, CLF_DIMS(3, 20, 256) },
                 { &resampler, "tokens", 1, CLF_DIMS(3, 64, 256) } };

    (void)state;
    for (size_t i = 0; i < CLF_COUNT(rows); i++) {
        clf_connector *c = open_module(ctx, rows[i].desc);
        clf_value out = { .name = rows[i].output };

        assert_int_equal(clf_connector_plan(c, in, rows[i].inputs, &out, 1, NULL), CLF_OK);
        assert_true(clf_alike(out.tensor, clf_tensor_shape(CLF_F32, rows[i].dims)));
        clf_connector_destroy(c);
    }
    clf_context_destroy(ctx);
}

/* ---- without a device ---- */

static clf_context *dry;

/* The shape of the reference; or more rows, where a device would have to count them. */
static void at_least_the_references(const test_case *k, clf_tensor planned, size_t output)
{
    clf_tensor want = shape_of(k->out[output].array);

    if (strcmp(k->out[output].name, "dense_tokens") == 0 && planned.dim[0] > want.dim[0])
        want = clf_tensor_shape(want.dtype, CLF_DIMS(planned.dim[0], want.dim[1]));
    if (!clf_alike(planned, want))
        fail_msg("%s: %s is planned with another shape than the reference has", k->path, k->out[output].name);
}

/* The same facts, the same shapes, the same FLOP. */
static void compare_case(clf_test *t, const test_case *k)
{
    clf_connector *c[2] = { NULL, NULL };
    clf_value in[MAX_VALUES], out[MAX_VALUES];
    uint64_t flop[2];
    clf_error err = { 0 };

    for (int i = 0; i < 2; i++) {
        if (clf_connector_open(i == 0 ? dry : t->ctx, k->path, NULL, &c[i], &err) != CLF_OK)
            fail_msg("%s: %s", k->path, err.message);
        (i == 0 ? make_plan : plan_case)(k, c[i], in, out);
        for (size_t o = 0; i == 0 && o < k->out_count; o++)
            at_least_the_references(k, out[o].tensor, o);
        flop[i] = clf_connector_flop(c[i], in, k->in_count, out, k->out_count);
    }
    const clf_connector_info a = clf_connector_describe(c[0]), b = clf_connector_describe(c[1]);

    assert_int_equal(a.parameters, b.parameters);
    assert_int_equal(a.weight_bytes, b.weight_bytes);
    assert_int_equal(flop[0], flop[1]);
    clf_connector_destroy(c[0]);
    clf_connector_destroy(c[1]);
}

static void every_family_is_planned_without_a_device_as_with_one(void **state)
{
    dry = without_device();
    each_case(*state, compare_case);
    assert_int_equal(clf_context_memory(dry, NULL), 0);
    clf_context_destroy(dry);
}

static void nothing_is_computed_without_a_device(void **state)
{
    const clf_module_desc desc = sample("mlp_projection");
    clf_context *ctx = without_device();
    clf_connector *c = open_module(ctx, &desc);
    clf_stream *s = NULL;
    clf_error err = { 0 };
    float *vision = clf_test_memory(*state, 1024 * sizeof *vision), *tokens = clf_test_memory(*state, 1024);
    const clf_value in = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 1, 1024)), vision },
                    out = { .name = "tokens", .host = tokens };
    clf_tensor t;

    assert_string_equal(clf_context_device(ctx)->name, "none");
    assert_int_equal(clf_stream_create(ctx, NULL, &s, NULL), CLF_OK);
    assert_int_equal(clf_connector_run(s, c, &in, 1, &out, 1, &err), CLF_UNSUPPORTED);
    assert_string_equal(err.message, "mlp_projection: the context has no device; want one to compute anything");
    clf_stream_reset(s);
    assert_int_equal(clf_tensor_create(ctx, CLF_F32, CLF_DIMS(4), &t, NULL), CLF_OK);
    clf_download(s, t, tokens);
    assert_int_equal(clf_stream_finish(s, &err), CLF_UNSUPPORTED);
    clf_tensor_free(ctx, &t);
    clf_stream_destroy(s);
    clf_connector_destroy(c);
    clf_context_destroy(ctx);
}

/* ---- fresh weights ---- */

static void run_stack(clf_test *t, uint64_t seed, const float *text, const float *vision, float *hidden)
{
    static const char *const sets[] = { "hidden_size=16", "vision_dim=24", "num_layers=2" };
    clf_module_desc desc = clf_module_desc_default();
    const clf_value in[] = { { "text", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 3, 16)), (void *)(uintptr_t)text },
                             { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, 5, 24)), (void *)(uintptr_t)vision } };
    const clf_value out = { .name = "hidden", .host = hidden };
    clf_error err = { 0 };

    desc.module = "gated_cross_attention_stack";
    desc.sets = sets;
    desc.set_count = CLF_COUNT(sets);
    desc.seed = seed;
    clf_connector *c = open_module(t->ctx, &desc);

    if (clf_connector_run(t->stream, c, in, 2, &out, 1, &err) != CLF_OK)
        fail_msg("%s", err.message);
    clf_connector_destroy(c);
}

/* Edifice's gates start at 0: the model is what it was before pictures. */
static void a_fresh_gated_stack_gives_the_text_back_bit_for_bit(void **state)
{
    clf_test *t = *state;
    float text[48], vision[120], hidden[48] = { 0 };

    for (size_t i = 0; i < CLF_COUNT(text); i++)
        text[i] = (float)clf_test_random(t);
    for (size_t i = 0; i < CLF_COUNT(vision); i++)
        vision[i] = (float)clf_test_random(t);
    run_stack(t, 7, text, vision, hidden);
    assert_memory_equal(text, hidden, sizeof text);
}

static float value_at(const clf_tensor_source *source, const char *name, size_t index)
{
    clf_host_tensor t;

    assert_int_equal(source->find(source->self, name, &t, NULL), CLF_OK);
    return ((const float *)t.data)[index];
}

static void weights_follow_from_the_seed(void **state)
{
    clf_module_desc desc = sample("perceiver_resampler");
    clf_module_source *m[3];
    const clf_tensor_source *s[3];
    double sum = 0.0, squares = 0.0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        desc.seed = i < 2 ? 11 : 12;
        m[i] = open_source(&desc);
        s[i] = clf_module_source_tensors(m[i]);
    }
    assert_true(value_at(s[0], "queries", 5) == value_at(s[1], "queries", 5));
    assert_true(value_at(s[0], "queries", 5) != value_at(s[2], "queries", 5));
    assert_true(value_at(s[0], "resampler_1.self_norm.weight", 3) == 1.0F);
    assert_true(value_at(s[0], "resampler_6.cross_q.bias", 3) == 0.0F);
    for (size_t i = 0; i < 65536; i++) {
        const double v = (double)value_at(s[0], "resampler_2.self_q.weight", i);

        sum += v;
        squares += v * v;
    }
    assert_true(fabs(sum / 65536) < 4 * sqrt(1.0 / 256 / 65536)); /* four standard errors of the mean */
    assert_true(fabs(squares / 65536 * 256 - 1) < 0.02);          /* variance 1 / columns */
    for (size_t i = 0; i < 3; i++)
        clf_module_source_destroy(m[i]);
    desc.seed = 0;
    m[0] = open_source(&desc);
    assert_true(value_at(clf_module_source_tensors(m[0]), "resampler_1.self_norm.weight", 3) == 0.0F);
    clf_module_source_destroy(m[0]);
}

/* 8 TB of table: no machine has them. */
static void zeros_take_no_memory(void **state)
{
    static const char *const sets[] = { "vocab_size=2000000000", "llm_dim=1024", "llm_dimension=1024" };
    bool read[CLF_COUNT(sets)] = { false };
    clf_module_desc desc = clf_module_desc_default();
    clf_context *ctx = without_device();
    clf_host_tensor t;

    (void)state;
    desc.module = "llava_fusion";
    desc.sets = sets;
    desc.set_count = CLF_COUNT(sets);
    desc.sets_read = read;
    clf_module_source *m = open_source(&desc);
    const clf_tensor_source *source = clf_module_source_tensors(m);

    assert_true(read[0] && read[1] && !read[2]);
    assert_int_equal(source->find(source->self, "text_embed.weight", &t, NULL), CLF_OK);
    assert_true(t.data != NULL && t.dim[0] == 2000000000 && t.dim[1] == 1024);
    assert_true(value_at(source, "projector.mlp.2.bias", 1023) == 0.0F);
    clf_module_source_destroy(m);
    clf_connector *c = open_module(ctx, &desc);

    assert_int_equal(clf_connector_describe(c).parameters, 1024 * 1025 * 2 + INT64_C(1024) * 2000000000);
    clf_connector_destroy(c);
    clf_context_destroy(ctx);
}

/* ---- options ---- */

static void options_can_be_listed(void **state)
{
    const clf_module_option heads = clf_module_option_at("perceiver_resampler", 4),
                            hidden = clf_module_option_at("mlp_projection", 2),
                            vision = clf_module_option_at("linear_projection", 0);

    (void)state;
    assert_string_equal(heads.key, "num_heads");
    assert_int_equal(heads.value, 4);
    assert_string_equal(hidden.like, "llm_dim");
    assert_true(vision.required && !heads.required);
    assert_int_equal(clf_module_option_count("perceiver_resampler"), 5);
    assert_int_equal(clf_module_option_count("llava"), 0);
    assert_null(clf_module_option_at("perceiver_resampler", 5).key);
}

/* A module that did not read the key would take this. */
static void expect_read(const char *module, const char *key)
{
    char set[100];
    const char *sets[] = { set,
                           strcmp(key, "k") == 0 ? "vision_dim=64" : "k=3",
                           "vision_dim=64",
                           "llm_dim=64",
                           "text_dim=64",
                           "dim=64",
                           "num_heads=4",
                           "vocab_size=5",
                           "mid_dim=64",
                           "output_dim=64",
                           "pre_norm=true" };
    clf_context_desc none = clf_context_desc_default();
    clf_module_desc desc = clf_module_desc_default();
    clf_context *ctx = NULL;
    clf_connector *c = NULL;
    clf_error err = { 0 };

    snprintf(set, sizeof set, "%s={\"no\": \"value\"}", key);
    none.device = "none";
    desc.module = module;
    desc.sets = sets;
    desc.set_count = CLF_COUNT(sets);
    assert_int_equal(clf_context_create(&none, &ctx, &err), CLF_OK);
    if (clf_module_create(ctx, &desc, &c, &err) == CLF_OK || strstr(err.message, key) == NULL)
        fail_msg("%s: %s is listed and not read: '%s'", module, key, err.message);
    clf_context_destroy(ctx);
}

static void further_options_are_read(void **state)
{
    (void)state;
    assert_string_equal(clf_module_further_options("top_k"), "k order");
    assert_string_equal(clf_module_further_options("linear_projection"), "");
    assert_string_equal(clf_module_further_options("llava"), "");
    for (size_t i = 0; i < clf_module_count(); i++) {
        const char *keys = clf_module_further_options(clf_module_name(i));

        while (*keys != '\0') {
            const size_t length = strcspn(keys, " ");
            char key[60];

            snprintf(key, sizeof key, "%.*s", (int)length, keys);
            expect_read(clf_module_name(i), key);
            keys += length + (keys[length] == ' ' ? 1 : 0);
        }
    }
}

static void refuses(const char *module, const char *set, clf_status status, const char *message)
{
    clf_module_desc desc = clf_module_desc_default();
    clf_module_source *m = NULL;
    clf_error err = { 0 };

    desc.module = module;
    desc.sets = &set;
    desc.set_count = set != NULL ? 1 : 0;
    assert_int_equal(clf_module_source_create(&desc, &m, &err), status);
    assert_null(m);
    if (strncmp(err.message, message, strlen(message)) != 0)
        fail_msg("%s", err.message);
}

static void what_cannot_be_is_named(void **state)
{
    (void)state;
    refuses(NULL, NULL, CLF_INVALID_ARGUMENT, "module: module is not given; want its name");
    refuses("llava", NULL, CLF_UNSUPPORTED, "module: module is llava, which is unsupported; want one of linear_");
    refuses("linear_projection", "llm_dim=4", CLF_BAD_FILE,
            "linear_projection: vision_dim is missing; want a number above 0");
    refuses("mlp_projection", "depth=0", CLF_BAD_FILE, "mlp_projection: depth is 0; want 1 to 2147483648");
    refuses("mlp_projection", "llm_dim=2147483649", CLF_BAD_FILE, "mlp_projection: llm_dim is 2147483649; want 1 to");
    refuses("mlp_projection", "llm_dim=2147483648", CLF_UNSUPPORTED, "mlp_projection: mlp.2.weight is f32[2147483648");
    refuses("perceiver_resampler", "num_layers=100000", CLF_UNSUPPORTED, "perceiver_resampler: resampler_");
    refuses("mlp_projection", "depth=deep", CLF_INVALID_ARGUMENT,
            "configuration: depth is \"deep\"; want an integer within 64 bits");
}

/* Whichever block is missing, the record says so and nothing leaks. */
static void a_missing_block_is_told(void **state)
{
    clf_context *ctx = without_device();
    clf_module_desc desc = sample("gated_cross_attention_stack");

    (void)state;
    desc.seed = 3;
    for (long k = 1;; k += 1 + k / 20) { /* each of the first, then fewer: layers repeat themselves */
        clf_connector *c = NULL;
        clf_error err = { 0 };

        clf_shims_fail_allocation(k, false);
        const clf_status status = clf_module_create(ctx, &desc, &c, &err);
        const bool failed = clf_shims_allocations() >= k;

        clf_shims_fail_allocation(0, false);
        assert_int_equal(status, failed ? CLF_OUT_OF_MEMORY : CLF_OK);
        clf_connector_destroy(c);
        if (!failed) {
            assert_true(k > 50);
            break;
        }
        assert_null(c);
    }
    clf_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_module_has_a_table),
        cmocka_unit_test(every_module_is_made_of_exactly_its_tensors),
        cmocka_unit_test(tensors_are_those_of_the_references_files),
        cmocka_unit_test(parameters_are_what_a_hand_counts),
        cmocka_unit_test(attention_costs_four_times_the_product_of_its_sizes),
        cmocka_unit_test(edifices_builders_say_their_output_shape_without_a_device),
        cmocka_unit_test_teardown(every_family_is_planned_without_a_device_as_with_one, clf_test_each_teardown),
        cmocka_unit_test_teardown(nothing_is_computed_without_a_device, clf_test_each_teardown),
        cmocka_unit_test_teardown(a_fresh_gated_stack_gives_the_text_back_bit_for_bit, clf_test_each_teardown),
        cmocka_unit_test(weights_follow_from_the_seed),
        cmocka_unit_test(zeros_take_no_memory),
        cmocka_unit_test(options_can_be_listed),
        cmocka_unit_test(further_options_are_read),
        cmocka_unit_test(what_cannot_be_is_named),
        cmocka_unit_test(a_missing_block_is_told),
    };

    return CLF_TEST_MAIN(tests);
}
