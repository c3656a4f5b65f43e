/* clfusion's cross-attention modules: options against tensors, and what fails.  Mllama stands with them where something
 * fails: its call has masks and rows that are left out. */
#include "data_case.h"
#include "shims.h"
#include "walk.h"

#define PLAIN "cross_attention_basic"             /* Dt 24, Dv 20, 4 heads of 8; B 1, T 5, N 7 */
#define DENSE "gated_cross_attention_dense_basic" /* 24, 20, 4 heads; B 3, T 5, N 7, vision_mask */
#define STACK "gated_cross_attention_stack_alpha" /* 24, 36 projected, 4 heads, 3 layers; B 3, T 5, N 7, vision_mask */
#define FUSION "cross_attention_fusion_basic"     /* 24, 3 heads, feed-forward of 48; B 1, T 5, N 9 */

static void options_that_contradict_the_tensors_are_refused(void **state)
{
    clf_test *t = *state;

    case_refused(t, PLAIN, "num_heads=2", 0,
                 "cross_attention: num_heads is 2 and head_dim 8; want a product of 32, the rows of q_proj.weight");
    case_refused(t, PLAIN, "head_dim=0", 0,
                 "cross_attention: num_heads is 4 and head_dim 0; want a product of 32, the rows of q_proj.weight");
    case_refused(t, PLAIN, "attention_of=self", 0, "cross_attention: attention_of is self; want cross");
    case_refused(t, PLAIN, "head_dim=4611686018427387912", 0, /* 2^62 + 8: 4 times that is 32 in 64 bits */
                 "cross_attention: num_heads is 4 and head_dim 4611686018427387912; want a product of 32, the rows of "
                 "q_proj.weight");
    case_refused(t, PLAIN, "head_dim=null", 0, /* the default */
                 "cross_attention: num_heads is 4 and head_dim 64; want a product of 32, the rows of q_proj.weight");
    case_refused(t, PLAIN, "text_dim=32", 0, "cross_attention: text_dim is 32; want 24, the columns of q_proj.weight");
    case_refused(t, PLAIN, "vision_dim=24", 0,
                 "cross_attention: vision_dim is 24; want 20, the columns of k_proj.weight");
    case_refused(t, PLAIN, NULL, 1, "cross_attention: layer is 1; want 0: the family has 1 layer");
    case_refused(t, DENSE, "num_heads=null", 0,
                 "gated_cross_attention_dense: num_heads is missing; want it in the configuration");
    case_refused(t, DENSE, "num_heads=5", 0,
                 "gated_cross_attention_dense: num_heads is 5; want a divisor of 24, the rows of the query weight");
    case_refused(t, DENSE, "dim=20", 0,
                 "gated_cross_attention_dense: dim is 20; want 24, the columns of cross_attn.q_proj.weight");
    case_refused(t, FUSION, "d_model=768", 0,
                 "cross_attention_fusion: d_model is 768; want 24, the width of cross_attn");
    case_refused(t, FUSION, "nhead=5", 0,
                 "cross_attention_fusion: nhead is 5; want a divisor of 24, the rows of the query weight");
}

static void options_of_a_stack_are_checked(void **state)
{
    clf_test *t = *state;

    case_refused(t, STACK, "num_layers=4", 0,
                 "gated_cross_attention_stack: num_layers is 4; want 3, the layers xattn_1, xattn_2, ...");
    case_refused(t, STACK, "gate=\"sigmoid\"", 0,
                 "gated_cross_attention_stack: gate is sigmoid; want alpha or tanh_output");
    case_refused(t, STACK, "gate=\"tanh_output\"", 0,
                 "gated_cross_attention_stack: gate is tanh_output; want alpha, as xattn_1.alpha is there");
    case_refused(t, STACK, "scale_heads=5", 0,
                 "gated_cross_attention_stack: scale_heads is 5; want a divisor of 24, the rows of "
                 "xattn_1.q_proj.weight");
    case_refused(t, STACK, "hidden_size=256", 0,
                 "gated_cross_attention_stack: hidden_size is 256; want 24, the columns of xattn_1.q_proj.weight");
    case_refused(t, STACK, "vision_dim=24", 0,
                 "gated_cross_attention_stack: vision_dim is 24; want 36, the columns of visual_proj.weight");
    case_refused(t, STACK, NULL, 3,
                 "gated_cross_attention_stack: layer is 3; want 0 to 2: the checkpoint has 3 layers");
}

static void refused_part(clf_test *t, const char *folder, const char *without, const char *message)
{
    clf_connector *c = NULL;
    clf_error err = { 0 };

    assert_int_equal(case_open_part(t, folder, without, 0, &c, &err), CLF_BAD_FILE);
    assert_string_equal(err.message, message);
    assert_null(c);
}

static void missing_tensors_are_named(void **state)
{
    clf_test *t = *state;

    refused_part(t, PLAIN, "k_proj", "cross_attention: k_proj.weight is missing; want it in the checkpoint");
    refused_part(t, DENSE, "gate", "gated_cross_attention_dense: gate is missing; want it in the checkpoint");
    refused_part(t, STACK, "alpha", "gated_cross_attention_stack: xattn_1.alpha is missing; want it in the checkpoint");
    refused_part(t, STACK, "xattn_2", /* two of three, as num_layers knows */
                 "gated_cross_attention_stack: num_layers is 3; want 1, the layers xattn_1, xattn_2, ...");
    refused_part(t, STACK, "visual_proj",
                 "gated_cross_attention_stack: vision_dim is 36; want 24, the columns of xattn_1.k_proj.weight");
    refused_part(t, FUSION, "norm.bias", "cross_attention_fusion: norm.bias is missing; want it in the checkpoint");
}

static void attention_is_that_of_the_layer(void **state)
{
    clf_test *t = *state;
    const clf_value in[] = { case_input(t, STACK, "text"), case_input(t, STACK, "vision"),
                             case_input(t, STACK, "vision_mask") };
    clf_connector *c = case_open(t, STACK, NULL, 2);

    case_close(t, case_run(t, c, in, 3, "attention"), case_array(t, STACK, "layer2_attention", "attention"));
    case_close(t, case_run(t, c, in, 3, "hidden"), case_array(t, STACK, "out_hidden", "hidden")); /* of all layers */
    assert_int_equal(clf_cross_attention_layers(clf_connector_cross_attention(c)), 3);
    clf_connector_destroy(c);
    c = case_open(t, STACK, NULL, CLF_ALL_LAYERS);
    case_close(t, case_run(t, c, in, 3, "attention"), case_array(t, STACK, "out_attention", "attention"));
    clf_connector_destroy(c);
    c = case_open(t, PLAIN, NULL, CLF_ALL_LAYERS);
    assert_int_equal(clf_cross_attention_layers(clf_connector_cross_attention(c)), 1);
    clf_connector_destroy(c);
}

static void the_norm_that_stands_twice_is_counted_once(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, FUSION, NULL, 0);
    const uint64_t D = 24, F = 48;

    assert_int_equal(clf_connector_describe(c).parameters, 4 * (D * D + D) + 2 * D + 2 * D * F + F + D);
    clf_connector_destroy(c);
}

/* Half types of inputs and outputs: the attention too, which modules compute in f32. */
static void half_types_are_taken_and_given(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, PLAIN, NULL, 0);
    const clf_value text = case_input(t, PLAIN, "text"), vision = case_input(t, PLAIN, "vision");
    const float *hidden = case_run(t, c, (clf_value[]){ text, vision }, 2, "hidden");
    const float *attention = case_run(t, c, (clf_value[]){ text, vision }, 2, "attention");
    const size_t count = 5 * 24;
    uint16_t half[5 * 24], hidden_half[5 * 24], attention_half[4 * 5 * 7];
    const clf_value in[] = { { "text", clf_tensor_shape(CLF_F16, CLF_DIMS(1, 5, 24)), half }, vision };
    const clf_value out[] = { { "hidden", clf_tensor_shape(CLF_F16, CLF_DIMS(1, 5, 24)), hidden_half },
                              { "attention", clf_tensor_shape(CLF_F16, CLF_DIMS(1, 4, 5, 7)), attention_half } };

    for (size_t i = 0; i < count; i++)
        half[i] = clf_f32_to_f16(((const float *)text.host)[i]);
    assert_int_equal(clf_connector_run(t->stream, c, in, 2, out, 2, NULL), CLF_OK);
    for (size_t i = 0; i < count; i++)
        assert_true(fabsf(clf_f16_to_f32(hidden_half[i]) - hidden[i]) < 0.01F);
    for (size_t i = 0; i < CLF_COUNT(attention_half); i++)
        assert_true(fabsf(clf_f16_to_f32(attention_half[i]) - attention[i]) < 0.002F);
    clf_connector_destroy(c);
}

static void no_keys_and_no_text(void **state)
{
    clf_test *t = *state;
    clf_connector *c = case_open(t, DENSE, NULL, 0);
    clf_value in[] = { case_input(t, DENSE, "text"), case_input(t, DENSE, "vision"),
                       case_input(t, DENSE, "vision_mask") };
    int64_t closed[3 * 7] = { 0 };
    const float *none, *hidden;

    in[1].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(3, 0, 20));
    none = case_run(t, c, in, 2, "hidden");
    in[1] = case_input(t, DENSE, "vision");
    in[2] = (clf_value){ "vision_mask", clf_tensor_shape(CLF_I64, CLF_DIMS(3, 7)), closed };
    hidden = case_run(t, c, in, 3, "hidden");
    assert_memory_equal(none, hidden, sizeof *none * 3 * 5 * 24); /* seeing nothing, either way */
    in[0].tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(3, 0, 24));
    (void)case_run(t, c, in, 3, "hidden");
    clf_connector_destroy(c);
}

/* ---- what fails ---- */

static const struct {
    const char *folder;
    const char *inputs[3];
} cases[] = {
    { PLAIN, { "text", "vision" } },
    { "gated_cross_attention_step_bf16", { "text", "vision", "vision_mask" } },
    { DENSE, { "text", "vision", "vision_mask" } },
    { STACK, { "text", "vision", "vision_mask" } },
    { FUSION, { "text", "vision" } },
    { "mllama_basic", { "text", "media", "cross_mask" } },
};

typedef struct call {
    clf_connector *c;
    clf_value in[3], out;
    size_t count, bytes;
} call;

static call open_call(clf_test *t, size_t i)
{
    call k = { .c = case_open(t, cases[i].folder, NULL, 0), .out = { .name = "hidden" } };

    for (; k.count < 3 && cases[i].inputs[k.count] != NULL; k.count++)
        k.in[k.count] = case_input(t, cases[i].folder, cases[i].inputs[k.count]);
    assert_int_equal(clf_connector_plan(k.c, k.in, k.count, &k.out, 1, NULL), CLF_OK);
    k.bytes = (size_t)clf_element_count(k.out.tensor) * sizeof(float);
    k.out.host = clf_test_memory(t, k.bytes);
    return k;
}

static clf_status run(clf_test *t, void *user, clf_stream *s, clf_error *err)
{
    const call *k = user;

    (void)t;
    return clf_connector_run(s, k->c, k->in, k->count, &k->out, 1, err);
}

static void an_error_in_any_operator_is_reported_and_nothing_is_published(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        call k = open_call(t, i);
        const clf_walk w = { .name = cases[i].folder, .work = run, .user = &k, .result = k.out.host, .bytes = k.bytes };

        assert_true(clf_walk_calls(t, &w) > (clf_test_small_only(t) ? 5 : 60));
        clf_connector_destroy(k.c);
    }
}

static clf_status open_alone(clf_test *t, void *folder, clf_stream *s, clf_error *err)
{
    clf_connector *c = NULL;
    clf_status status;
    char path[600];

    (void)s;
    snprintf(path, sizeof path, "%s/%s", CLF_TEST_DATA, (const char *)folder);
    status = clf_connector_open(t->ctx, path, NULL, &c, err);
    clf_connector_destroy(c);
    return status;
}

static void opening_leaves_nothing_behind_when_memory_ends(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        char folder[100];
        const clf_walk w = { .name = cases[i].folder, .work = open_alone, .user = folder, .beside = true };

        snprintf(folder, sizeof folder, "%s", cases[i].folder);
        assert_true(clf_walk_allocations(t, &w) > (clf_test_small_only(t) ? 1 : 20));
    }
}

static void a_second_call_allocates_nothing_on_the_device(void **state)
{
    clf_test *t = *state;

    for (size_t i = 0; i < CLF_COUNT(cases); i++) {
        call k = open_call(t, i);
        clf_shim_counts before = { 0 }, after;

        for (int n = 0; n < 3; n++) {
            assert_int_equal(clf_connector_run(t->stream, k.c, k.in, k.count, &k.out, 1, NULL), CLF_OK);
            if (n == 0)
                before = clf_shims_count();
        }
        after = clf_shims_count();
        assert_int_equal(after.buffers_created, before.buffers_created);
        assert_int_equal(after.programs_built, before.programs_built);
        assert_int_equal(after.kernels, before.kernels);
        assert_int_equal(after.allocations, before.allocations);
        clf_connector_destroy(k.c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(options_that_contradict_the_tensors_are_refused),
        CLF_TEST(options_of_a_stack_are_checked),
        CLF_TEST(missing_tensors_are_named),
        CLF_TEST(attention_is_that_of_the_layer),
        CLF_TEST(the_norm_that_stands_twice_is_counted_once),
        CLF_TEST(half_types_are_taken_and_given),
        CLF_TEST(no_keys_and_no_text),
        CLF_TEST(an_error_in_any_operator_is_reported_and_nothing_is_published),
        CLF_TEST(opening_leaves_nothing_behind_when_memory_ends),
        CLF_TEST(a_second_call_allocates_nothing_on_the_device),
    };

    return CLF_TEST_MAIN(tests);
}
