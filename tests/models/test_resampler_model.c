/* Models that are one resampler: the attention of every layer, options that contradict the tensors, what is counted. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/npy.h"
#include "harness.h"

static const char *data(const char *folder, const char *file, char path[256])
{
    snprintf(path, 256, "%s/%s%s%s", CLF_TEST_DATA, folder, file[0] != '\0' ? "/" : "", file);
    return path;
}

/* The checkpoint of a case: its folder, or the file when the configuration is in it. */
static clf_status open_case(clf_test *t, const char *folder, int32_t layer, const char *set, clf_connector **c,
                            clf_error *err)
{
    clf_connector_options options = clf_connector_options_default();
    const char *const sets[] = { set };
    char path[256];

    options.layer = layer;
    options.sets = sets;
    options.set_count = set != NULL;
    return clf_connector_open(t->ctx, data(folder, "", path), &options, c, err);
}

static clf_npy *open_array(const char *folder, const char *file)
{
    clf_npy *npy = NULL;
    clf_error err = { 0 };
    char path[256];

    if (clf_npy_open(data(folder, file, path), &npy, &err) != CLF_OK)
        fail_msg("%s", err.message);
    return npy;
}

static clf_value as_value(const char *name, const clf_npy *npy)
{
    const clf_host_tensor array = clf_npy_tensor(npy);
    clf_dims dims = { .rank = array.rank };

    memcpy(dims.dim, array.dim, sizeof dims.dim);
    return (clf_value){ name, clf_tensor_shape(array.dtype, dims), (void *)(uintptr_t)array.data };
}

/* ---- attention of a later layer ---- */

static void check_attention(clf_test *t, const char *folder, int32_t layer, bool masked)
{
    char file[32];
    snprintf(file, sizeof file, "attention_%d.npy", (int)layer);

    clf_npy *vision = open_array(folder, "in_vision.npy"), *want = open_array(folder, file);
    clf_npy *mask = masked ? open_array(folder, "in_vision_mask.npy") : NULL;
    const clf_host_tensor array = clf_npy_tensor(want);
    const clf_value inputs[] = { as_value("vision", vision),
                                 masked ? as_value("vision_mask", mask) : (clf_value){ 0 } };
    clf_value output = { .name = "attention", .tensor = as_value("attention", want).tensor };
    const size_t count = (size_t)clf_element_count(output.tensor);
    clf_connector *c = NULL;
    clf_error err = { 0 };
    float *got = clf_test_memory(t, count * sizeof *got);

    output.host = got;
    if (open_case(t, folder, layer, NULL, &c, &err) != CLF_OK ||
        clf_connector_run(t->stream, c, inputs, masked ? 2 : 1, &output, 1, &err) != CLF_OK)
        fail_msg("%s: %s", folder, err.message);
    for (size_t i = 0; i < count; i++) /* as tests/models/test_families.c compares; the largest is at most 1 */
        if (!(fabs((double)got[i] - clf_host_value(array.data, array.dtype, i)) <= 2e-5))
            fail_msg("%s: attention[%zu] is %.9g; want %.9g", folder, i, (double)got[i],
                     clf_host_value(array.data, array.dtype, i));
    clf_connector_destroy(c);
    clf_npy_close(vision);
    clf_npy_close(want);
    if (masked)
        clf_npy_close(mask);
}

static void the_attention_of_a_later_layer_is_its_own(void **state)
{
    check_attention(*state, "idefics2_basic", 1, false);
    check_attention(*state, "idefics2_masked", 1, true);
    check_attention(*state, "idefics2_own_eps_f16", 2, true);
    check_attention(*state, "perceiver_resampler_basic", 1, false);
    check_attention(*state, "perceiver_resampler_self_f16", 2, false);
    check_attention(*state, "latent_resampler_residual_f16", 2, true);
    check_attention(*state, "simplified_qformer_masked", 1, true);
    check_attention(*state, "simplified_qformer_self", 1, false);
}

/* ---- refusals ---- */

typedef struct refusal {
    const char *folder, *set, *message;
    int32_t layer;
    clf_status status; /* CLF_OK: CLF_BAD_FILE */
} refusal;

static const refusal refusals[] = {
    { .folder = "perceiver_resampler_basic",
      .set = "num_queries=6",
      .message = "perceiver_resampler: num_queries is 6; want 5, the rows of queries" },
    { .folder = "perceiver_resampler_basic",
      .set = "output_dim=20",
      .message = "perceiver_resampler: output_dim is 20; want 24, the width of queries" },
    { .folder = "perceiver_resampler_basic",
      .set = "vision_dim=21",
      .message = "perceiver_resampler: vision_dim is 21; want 20, the columns of visual_proj.weight" },
    { .folder = "perceiver_resampler_self_f16",
      .set = "vision_dim=20",
      .message = "perceiver_resampler: visual_proj.weight is missing; want [16, 20], because vision_dim is not the "
                 "width of queries" },
    { .folder = "perceiver_resampler_basic",
      .set = "num_layers=3",
      .message = "perceiver_resampler: num_layers is 3; want 2, the layers resampler_{i}.cross_q.weight" },
    { .folder = "perceiver_resampler_basic",
      .set = "num_heads=5",
      .message = "perceiver_resampler: num_heads is 5; want a divisor of 24, the rows of the query weight" },
    { .folder = "perceiver_resampler_basic",
      .set = "attention_of=text",
      .message = "perceiver_resampler: attention_of is text; want cross or self" },
    { .folder = "perceiver_resampler_basic",
      .layer = 2,
      .status = CLF_INVALID_ARGUMENT,
      .message = "perceiver_resampler: layer is 2; want 0 to 1: the checkpoint has 2 layers" },
    { .folder = "latent_resampler_basic",
      .set = "num_heads=null",
      .message = "latent_resampler: num_heads is missing; want the number of heads" },
    { .folder = "latent_resampler_basic",
      .set = "num_latents=4",
      .message = "latent_resampler: num_latents is 4; want 5, the rows of latents" },
    { .folder = "latent_resampler_basic",
      .set = "dim=23",
      .message = "latent_resampler: dim is 23; want 24, the width of latents" },
    { .folder = "latent_resampler_basic",
      .set = "vision_dim=24",
      .message = "latent_resampler: vision_dim is 24; want 20, the columns of cross_attn_layers.0.k_proj.weight" },
    { .folder = "latent_resampler_basic",
      .set = "depth=1",
      .message = "latent_resampler: depth is 1; want 2, the layers cross_attn_layers.{i}.q_proj.weight" },
    { .folder = "latent_resampler_basic",
      .set = "attention_of=self",
      .message = "latent_resampler: attention_of is self; want cross: its layers have no self-attention" },
    { .folder = "latent_resampler_norm_alone",
      .set = "pre_norm=false",
      .message = "latent_resampler: pre_norm is false beside the tensor norms.0.weight; want true, or no norms" },
    { .folder = "latent_resampler_norm_alone",
      .set = "pre_norm=null", /* the default */
      .message = "latent_resampler: pre_norm is false beside the tensor norms.0.weight; want true, or no norms" },
    { .folder = "learned_query_compressor_basic",
      .set = "num_queries=7",
      .message = "learned_query_compressor: num_queries is 7; want 5, the rows of queries" },
    { .folder = "learned_query_compressor_basic",
      .set = "num_heads=5",
      .message = "learned_query_compressor: num_heads is 5; want a divisor of 32, the rows of the query weight" },
    { .folder = "simplified_qformer_basic",
      .set = "num_heads=5",
      .message = "simplified_qformer: num_heads is 5; want a divisor of 24, the rows of the query weight" },
    { .folder = "simplified_qformer_basic",
      .set = "query_dim=20",
      .message = "simplified_qformer: query_dim is 20; want 24, the width of queries" },
    { .folder = "simplified_qformer_basic",
      .set = "vision_dim=24",
      .message = "simplified_qformer: vision_dim is 24; want 20, the columns of layers.0.cross_attn.k_proj.weight" },
    { .folder = "idefics2_basic",
      .set = "perceiver_config.resampler_n_latents=6",
      .message = "idefics2: perceiver_config.resampler_n_latents is 6; want 5, the rows of "
                 "connector.perceiver_resampler.latents" },
    { .folder = "idefics2_basic",
      .set = "perceiver_config.resampler_depth=3",
      .message = "idefics2: perceiver_config.resampler_depth is 3; want 2, the layers "
                 "connector.perceiver_resampler.layers.{i}.self_attn.q_proj.weight" },
    { .folder = "idefics2_basic",
      .set = "perceiver_config.resampler_n_heads=5",
      .message =
          "idefics2: perceiver_config.resampler_n_heads is 5; want a divisor of 24, the rows of the query weight" },
    { .folder = "idefics2_basic",
      .set = "perceiver_config.resampler_head_dim=8",
      .message = "idefics2: perceiver_config.resampler_head_dim is 8; want 6, the rows of q_proj.weight over "
                 "resampler_n_heads" },
    { .folder = "idefics2_basic",
      .set = "perceiver_config.num_key_value_heads=4",
      .message = "idefics2: perceiver_config.num_key_value_heads is 4; want a divisor of 4 heads, and of 6 entries "
                 "each in the 12 rows of k_proj.weight" },
    { .folder = "idefics2_basic",
      .set = "perceiver_config.hidden_act=mish",
      .status = CLF_UNSUPPORTED,
      .message = "idefics2: perceiver_config.hidden_act is mish; want gelu, gelu_pytorch_tanh, quick_gelu, silu, "
                 "relu or relu2" },
    { .folder = "idefics2_basic",
      .set = "text_config.hidden_size=17",
      .message =
          "idefics2: text_config.hidden_size is 17; want 16, the width of connector.perceiver_resampler.latents" },
    { .folder = "idefics2_basic",
      .set = "vision_config.hidden_size=21",
      .message = "idefics2: vision_config.hidden_size is 21; want 20, the columns of "
                 "connector.modality_projection.gate_proj.weight" },
    { .folder = "kosmos2_basic",
      .set = "latent_query_num=7",
      .message = "kosmos-2: latent_query_num is 7; want 6, the rows of image_to_text_projection.latent_query" },
    { .folder = "kosmos2_basic",
      .set = "text_config.attention_heads=5",
      .message = "kosmos-2: text_config.attention_heads is 5; want a divisor of 24, the rows of the query weight" },
    { .folder = "kosmos2_basic",
      .set = "text_config.embed_dim=25",
      .message = "kosmos-2: text_config.embed_dim is 25; want 24, the width of image_to_text_projection.latent_query" },
    { .folder = "kosmos2_5_bf16",
      .set = "vision_config.hidden_size=21",
      .message = "kosmos-2.5: vision_config.hidden_size is 21; want 20, the columns of "
                 "image_to_text_projection.dense.weight" },
};

static void options_that_contradict_the_tensors_name_both(void **state)
{
    for (size_t i = 0; i < CLF_COUNT(refusals); i++) {
        const refusal *r = &refusals[i];
        clf_connector *c = NULL;
        clf_error err = { 0 };
        const clf_status status = open_case(*state, r->folder, r->layer, r->set, &c, &err);

        assert_string_equal(err.message, r->message);
        assert_int_equal(status, r->status != CLF_OK ? r->status : CLF_BAD_FILE);
        assert_null(c);
    }
}

/* ---- what it says of itself ---- */

static const clf_port *port(const clf_port *ports, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(ports[i].name, name) == 0)
            return &ports[i];
    return NULL;
}

static void says_output(clf_test *t, const char *folder, const char *set, const char *name, const char *shape)
{
    clf_connector *c = NULL;

    assert_int_equal(open_case(t, folder, 0, set, &c, NULL), CLF_OK);
    const clf_connector_info info = clf_connector_describe(c);
    const clf_port *found = port(info.outputs, info.output_count, name);

    if (shape == NULL)
        assert_null(found);
    else
        assert_string_equal(found->shape, shape);
    clf_connector_destroy(c);
}

static void outputs_follow_from_the_checkpoint(void **state)
{
    says_output(*state, "idefics2_basic", NULL, "tokens", "[B, 5, 16]");
    says_output(*state, "idefics2_basic", NULL, "attention", "[B, 4, 5, N + 5]");
    says_output(*state, "perceiver_resampler_basic", NULL, "attention", "[B, 4, 5, N]");
    says_output(*state, "perceiver_resampler_basic", "attention_of=self", "attention", "[B, 4, 5, 5]");
    says_output(*state, "kosmos2_basic", NULL, "fused", NULL); /* no placeholder id */
    says_output(*state, "kosmos2_basic", "image_token_id=7", "fused", "[B, T, 24]");
}

/* kosmos2_basic: dense [24, 20], k and v [24, 24] meet 10 rows; of 6 latents only out_proj [24, 24] is left; 6 x 16
 * pairs of 24 + 24.  Parameters: 20 * 24 + 24, 6 * 24, 4 (24 * 24 + 24); on the device k and v of the context, no q,
 * and q, k, v of the latents [6, 72]. */
static void counts_are_those_of_the_graph(void **state)
{
    const uint64_t flop = 2 * (10 * (20 * 24 + 2 * 24 * 24) + 6 * 24 * 24 + 6 * 16 * 48);
    const uint64_t parameters = 20 * 24 + 24 + 6 * 24 + 4 * (24 * 24 + 24);
    const clf_value vision = { .name = "vision", .tensor = clf_tensor_shape(CLF_F32, CLF_DIMS(1, 10, 20)) };
    const clf_value tokens = { .name = "tokens" };
    clf_connector *c = NULL;

    assert_int_equal(open_case(*state, "kosmos2_basic", 0, NULL, &c, NULL), CLF_OK);
    const clf_connector_info info = clf_connector_describe(c);

    assert_int_equal(clf_connector_flop(c, &vision, 1, &tokens, 1), flop);
    assert_int_equal(info.parameters, parameters);
    assert_int_equal(info.weight_bytes, 4 * (parameters - 24 * 24 - 24 + 6 * 72));
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(the_attention_of_a_later_layer_is_its_own),
        CLF_TEST(options_that_contradict_the_tensors_name_both),
        CLF_TEST(outputs_follow_from_the_checkpoint),
        CLF_TEST(counts_are_those_of_the_graph),
    };

    return CLF_TEST_MAIN(tests);
}
