/* Writes a checkpoint folder of a real model's shape with weights from a seed, and input of the right shape, for the
 * demo and for timing:
 *     make_checkpoint fuyu|llava FOLDER      config.json, model.safetensors (f16), vision.npy (f32)
 *
 * Weights are uniform with variance 1 / in, so that values keep their size through the layers; vision is uniform with
 * variance 1.  The same bytes on every machine. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint/npy.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "make_checkpoint"

typedef struct layer {
    const char *name;
    int out, in;
} layer;

typedef struct model {
    const char *name, *config;
    int tokens, width; /* of vision */
    layer layers[2];   /* Linear with bias; in 0: none */
} model;

static const model models[] = {
    { "fuyu",
      "{\"model_type\": \"fuyu\", \"architectures\": [\"FuyuForCausalLM\"], \"patch_size\": 30, \"num_channels\": 3,\n"
      " \"hidden_size\": 4096, \"text_config\": {\"model_type\": \"persimmon\", \"hidden_size\": 4096}}\n",
      80,
      2700,
      { { "vision_embed_tokens", 4096, 2700 } } },
    { "llava",
      "{\"model_type\": \"llava\", \"architectures\": [\"LlavaForConditionalGeneration\"],\n"
      " \"projector_hidden_act\": \"gelu\", \"image_token_index\": 32000, \"vision_feature_layer\": -2,\n"
      " \"vision_feature_select_strategy\": \"default\",\n"
      " \"vision_config\": {\"model_type\": \"clip_vision_model\", \"hidden_size\": 1024, \"image_size\": 336,\n"
      "                   \"patch_size\": 14, \"num_attention_heads\": 16, \"num_hidden_layers\": 24},\n"
      " \"text_config\": {\"model_type\": \"llama\", \"hidden_size\": 4096}}\n",
      576,
      1024,
      { { "multi_modal_projector.linear_1", 4096, 1024 }, { "multi_modal_projector.linear_2", 4096, 4096 } } },
};

/* splitmix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators". */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15U;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* Uniform in [-limit, limit), from 24 bits. */
static float uniform(uint64_t *state, float limit)
{
    return ((float)(next_bits(state) >> 40) * 0x1p-23F - 1.0F) * limit;
}

/* A uniform variable of this limit has variance 1 / in. */
static float limit_for(int in)
{
    return sqrtf(3.0F / (float)in);
}

static FILE *open_in(const char *folder, const char *name)
{
    char path[4096];

    clf_format(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "wb");
}

static void write_values(FILE *file, size_t count, float limit, uint64_t *state)
{
    for (size_t i = 0; i < count; i++) {
        const uint16_t value = clf_f32_to_f16(uniform(state, limit));
        const uint8_t bytes[2] = { (uint8_t)(value & 255), (uint8_t)(value >> 8) };
        fwrite(bytes, 1, 2, file);
    }
}

/* The JSON header: every tensor with its type, shape and place; padded with spaces to 8 bytes. */
static size_t make_header(const model *m, char *text, size_t room)
{
    size_t used = clf_format(text, room, "{\"__metadata__\": {\"format\": \"pt\"}"), at = 0;

    for (size_t i = 0; i < CLF_COUNT(m->layers) && m->layers[i].in != 0; i++) {
        const layer *l = &m->layers[i];
        const size_t bias_at = at + (size_t)l->out * (size_t)l->in * 2, end = bias_at + (size_t)l->out * 2;
        used += clf_format(text + used, room - used,
                           ", \"%s.weight\": {\"dtype\": \"F16\", \"shape\": [%d, %d], \"data_offsets\": [%zu, %zu]}"
                           ", \"%s.bias\": {\"dtype\": \"F16\", \"shape\": [%d], \"data_offsets\": [%zu, %zu]}",
                           l->name, l->out, l->in, at, bias_at, l->name, l->out, bias_at, end);
        at = end;
    }
    used += clf_format(text + used, room - used, "}");
    while (used % 8 != 0)
        text[used++] = ' ';
    return used;
}

static clf_status write_weights(const model *m, const char *folder, clf_error *err)
{
    char header[4096] = "";
    const size_t length = make_header(m, header, sizeof header - 8);
    uint64_t state = 1;
    FILE *file = open_in(folder, "model.safetensors");

    CLF_REQUIRE(err, file != NULL, CLF_IO, "%s/model.safetensors cannot be written", folder);
    for (unsigned i = 0; i < 8; i++)
        fputc((int)(length >> (8 * i) & 255), file);
    fwrite(header, 1, length, file);
    for (size_t i = 0; i < CLF_COUNT(m->layers) && m->layers[i].in != 0; i++) {
        const layer *l = &m->layers[i];
        write_values(file, (size_t)l->out * (size_t)l->in, limit_for(l->in), &state);
        write_values(file, (size_t)l->out, limit_for(l->in), &state);
    }
    const bool good = !ferror(file);
    CLF_REQUIRE(err, fclose(file) == 0 && good, CLF_IO, "%s/model.safetensors could not be written", folder);
    return CLF_OK;
}

static clf_status write_config(const model *m, const char *folder, clf_error *err)
{
    FILE *file = open_in(folder, "config.json");

    CLF_REQUIRE(err, file != NULL, CLF_IO, "%s/config.json cannot be written", folder);
    const bool good = fputs(m->config, file) >= 0;
    CLF_REQUIRE(err, fclose(file) == 0 && good, CLF_IO, "%s/config.json could not be written", folder);
    return CLF_OK;
}

static clf_status write_vision(const model *m, const char *folder, clf_error *err)
{
    const size_t count = (size_t)m->tokens * (size_t)m->width;
    float *values = clf_alloc(count, sizeof(float));
    clf_file_writer *writer = NULL;
    uint64_t state = 2;
    char path[4096];

    CLF_REQUIRE(err, values != NULL, CLF_OUT_OF_MEMORY, "no memory for %zu values", count);
    for (size_t i = 0; i < count; i++)
        values[i] = uniform(&state, limit_for(1));
    clf_format(path, sizeof path, "%s/vision.npy", folder);

    const clf_host_tensor t = { .data = values, .dtype = CLF_F32, .rank = 3, .dim = { 1, m->tokens, m->width } };
    clf_status status = clf_npy_write(path, t, &writer, err);
    if (status == CLF_OK)
        status = clf_file_writer_commit(writer, err);
    clf_free(values);
    return status;
}

int main(int argc, char **argv)
{
    clf_error err = { 0 };
    const model *m = NULL;

    for (size_t i = 0; argc == 3 && i < CLF_COUNT(models); i++)
        m = strcmp(argv[1], models[i].name) == 0 ? &models[i] : m;
    if (m == NULL) {
        fprintf(stderr, "usage: make_checkpoint fuyu|llava FOLDER\n");
        return 2;
    }
    mkdir(argv[2], 0777); /* when it cannot be made, the files below say so */
    clf_status status = write_config(m, argv[2], &err);
    if (status == CLF_OK)
        status = write_weights(m, argv[2], &err);
    if (status == CLF_OK)
        status = write_vision(m, argv[2], &err);
    if (status != CLF_OK)
        fprintf(stderr, "%s\n", err.message);
    return status != CLF_OK;
}
