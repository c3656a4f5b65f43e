/* OpenFlamingo with tables of frames and pictures: counts above the tables are refused wherever they come in. */
#include <string.h>

#include "memory_source.h"

static const memory_row rows[] = {
    { "perceiver.latents", 2, 8 },
    { "perceiver.layers.0.0.norm_latents.weight", 8, 0 },
    { "perceiver.layers.0.0.norm_latents.bias", 8, 0 },
    { "perceiver.layers.0.0.norm_media.weight", 8, 0 },
    { "perceiver.layers.0.0.norm_media.bias", 8, 0 },
    { "perceiver.layers.0.0.to_q.weight", 4, 8 },
    { "perceiver.layers.0.0.to_kv.weight", 8, 8 },
    { "perceiver.layers.0.0.to_out.weight", 8, 4 },
    { "perceiver.layers.0.1.0.weight", 8, 0 },
    { "perceiver.layers.0.1.0.bias", 8, 0 },
    { "perceiver.layers.0.1.1.weight", 16, 8 },
    { "perceiver.layers.0.1.3.weight", 8, 16 },
    { "perceiver.norm.weight", 8, 0 },
    { "perceiver.norm.bias", 8, 0 },
    { "perceiver.frame_embs", 3, 8 },
    { "perceiver.media_time_embs", 4, 8 }, /* [4, 1, 8] in the checkpoint */
#define GATED "lang_encoder.transformer.h.0.gated_cross_attn_layer."
    { GATED "attn.norm.weight", 6, 0 },
    { GATED "attn.norm.bias", 6, 0 },
    { GATED "attn.to_q.weight", 4, 6 },
    { GATED "attn.to_kv.weight", 8, 8 },
    { GATED "attn.to_out.weight", 6, 4 },
    { GATED "attn_gate", 1, 0 },
    { GATED "ff.0.weight", 6, 0 },
    { GATED "ff.0.bias", 6, 0 },
    { GATED "ff.1.weight", 12, 6 },
    { GATED "ff.3.weight", 6, 12 },
    { GATED "ff_gate", 1, 0 },
    { NULL, 0, 0 },
};

static const char json[] = "{\"model_type\": \"openflamingo\", \"heads\": 2, \"dim_head\": 2, \"media_token_id\": 7}";

static void fill(clf_test *t, memory_source *s)
{
    memory_source_fill(t, s, rows);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->names[i], "perceiver.media_time_embs") == 0)
            s->tensors[i] = (clf_host_tensor){ s->tensors[i].data, CLF_F32, 3, { 4, 1, 8 } };
}

static clf_value shaped(const char *name, clf_dtype dtype, clf_dims dims)
{
    return (clf_value){ .name = name, .tensor = clf_tensor_shape(dtype, dims) };
}

/* The plan of `output`; message NULL: it is made. */
static void plans(const clf_connector *c, const clf_value *in, size_t count, const char *output, const char *message)
{
    clf_value out = { .name = output };
    clf_error err = { 0 };
    const clf_status status = clf_connector_plan(c, in, count, &out, 1, &err);

    assert_string_equal(err.message, message != NULL ? message : "");
    assert_int_equal(status, message != NULL ? CLF_INVALID_ARGUMENT : CLF_OK);
}

static void media_have_no_more_pictures_than_the_table(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_value in[3] = { shaped("text", CLF_F32, CLF_DIMS(2, 5, 6)), shaped("media", CLF_F32, CLF_DIMS(2, 4, 2, 8)),
                        shaped("text_ids", CLF_I64, CLF_DIMS(2, 5)) };

    fill(t, &s);
    clf_connector *c = memory_connector(t, &s, json, NULL);
    plans(c, in, 3, "hidden", NULL);
    in[1] = shaped("media", CLF_F32, CLF_DIMS(2, 5, 2, 8));
    plans(c, in, 3, "hidden",
          "openflamingo: media is f32[2, 5, 2, 8], 5 pictures; want at most 4, the rows of perceiver.media_time_embs");
    in[0] = shaped("text", CLF_F32, CLF_DIMS(5, 6)); /* pictures of one text */
    in[1] = shaped("media", CLF_F32, CLF_DIMS(5, 2, 8));
    in[2] = shaped("text_ids", CLF_I64, CLF_DIMS(5));
    plans(c, in, 3, "hidden",
          "openflamingo: media is f32[5, 2, 8], 5 pictures; want at most 4, the rows of perceiver.media_time_embs");
    in[1] = shaped("media", CLF_F32, CLF_DIMS(4, 2, 8));
    plans(c, in, 3, "hidden", NULL);
    clf_connector_destroy(c);
}

/* [I, F, N, Dv] of one text. */
static void vision_has_no_more_pictures_and_frames_than_the_tables(void **state)
{
    clf_test *t = *state;
    memory_source s;
    clf_value vision = shaped("vision", CLF_F32, CLF_DIMS(4, 3, 2, 8));

    fill(t, &s);
    clf_connector *c = memory_connector(t, &s, json, NULL);
    plans(c, &vision, 1, "tokens", NULL);
    vision = shaped("vision", CLF_F32, CLF_DIMS(5, 3, 2, 8));
    plans(c, &vision, 1, "tokens",
          "openflamingo: vision is f32[1, 5, 3, 2, 8]; want at most 4 pictures, the rows of perceiver.media_time_embs");
    vision = shaped("vision", CLF_F32, CLF_DIMS(4, 4, 2, 8));
    plans(c, &vision, 1, "tokens",
          "openflamingo: vision is f32[1, 4, 4, 2, 8]; want at most 3 frames, the rows of perceiver.frame_embs");
    clf_connector_destroy(c);
}

static void the_configuration_counts_as_the_tables_do(void **state)
{
    clf_test *t = *state;
    memory_source s;

    fill(t, &s);
    clf_connector_destroy(
        memory_connector(t, &s, "{\"model_type\": \"openflamingo\", \"heads\": 2, \"max_num_media\": 4}", NULL));
    memory_refused(t, &s, "{\"model_type\": \"openflamingo\", \"heads\": 2, \"max_num_media\": 5}", NULL, CLF_BAD_FILE,
                   "openflamingo: max_num_media is 5; want 4, the rows of perceiver.media_time_embs");
    memory_refused(t, &s, "{\"model_type\": \"openflamingo\", \"heads\": 2, \"max_num_frames\": 1}", NULL, CLF_BAD_FILE,
                   "openflamingo: max_num_frames is 1; want 3, the rows of perceiver.frame_embs");
}

/* flamingo-pytorch and flamingo-mini have other names for the tables, which messages give. */
static void messages_have_the_names_of_the_checkpoint(void **state)
{
    static const char config[] = "{\"model_type\": \"openflamingo\", \"heads\": 2, \"max_num_media\": 5}";
    clf_test *t = *state;
    memory_source s;
    clf_value vision = shaped("vision", CLF_F32, CLF_DIMS(5, 3, 2, 8));

    fill(t, &s);
    for (size_t i = 0; i < s.count; i++) {
        if (strcmp(s.names[i], "perceiver.media_time_embs") == 0)
            s.names[i] = "perceiver.media_pos_emb";
        if (strcmp(s.names[i], "perceiver.frame_embs") == 0) {
            s.names[i] = "perceiver.time_pos_emb";
            s.tensors[i] = (clf_host_tensor){ s.tensors[i].data, CLF_F32, 3, { 3, 1, 8 } };
        }
    }
    memory_refused(t, &s, config, NULL, CLF_BAD_FILE,
                   "openflamingo: max_num_media is 5; want 4, the rows of perceiver.media_pos_emb");
    clf_connector *c = memory_connector(t, &s, json, NULL);
    plans(c, &vision, 1, "tokens",
          "openflamingo: vision is f32[1, 5, 3, 2, 8]; want at most 4 pictures, the rows of perceiver.media_pos_emb");
    vision = shaped("vision", CLF_F32, CLF_DIMS(4, 4, 2, 8));
    plans(c, &vision, 1, "tokens",
          "openflamingo: vision is f32[1, 4, 4, 2, 8]; want at most 3 frames, the rows of perceiver.time_pos_emb");
    clf_connector_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(media_have_no_more_pictures_than_the_table),
        CLF_TEST(vision_has_no_more_pictures_and_frames_than_the_tables),
        CLF_TEST(the_configuration_counts_as_the_tables_do),
        CLF_TEST(messages_have_the_names_of_the_checkpoint),
    };

    return CLF_TEST_MAIN(tests);
}
