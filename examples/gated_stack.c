/* Mid fusion: gated cross-attention between the layers of a language model of your own.
 *     gated_stack CHECKPOINT [KEYS]
 * CHECKPOINT has cross-attention layers: clfusion's gated_cross_attention_stack, openflamingo, idefics or mllama.  The
 * language model is a callback and its state; clfusion is called for one layer at a time and knows nothing of it.  The
 * picture's keys and values are computed once, for all layers.  A prompt and then single tokens go through, and the last
 * state must be that of the whole text at once: exit status 1 if it is not. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <clfusion/clfusion.h>

enum { PROMPT = 12, STEPS = 4, TEXT = PROMPT + STEPS, EVERY = 2 }; /* every second layer looks at the picture first */

/* The caller's side: decoder layer `layer` for positions first .. first + count - 1, states [count, width] on the host. */
typedef void decoder_layer(void *model, int layer, float *states, int64_t first, int64_t count);

/* A toy: each layer adds the mean of all positions so far.  Its sums are what a real model keeps as keys and values. */
typedef struct toy_model {
    int64_t width;
    float *sums; /* [layers, width] */
} toy_model;

static void toy_layer(void *model, int layer, float *states, int64_t first, int64_t count)
{
    const toy_model *toy = model;
    float *sum = toy->sums + layer * toy->width;

    for (int64_t t = 0; t < count; t++)
        for (int64_t i = 0; i < toy->width; i++) {
            sum[i] = (first + t == 0 ? 0 : sum[i]) + states[t * toy->width + i];
            states[t * toy->width + i] += sum[i] / (float)(first + t + 1);
        }
}

typedef struct engine {
    clf_context *ctx;
    clf_stream *s;
    const clf_cross_attention *gated; /* layers of the checkpoint */
    clf_visual_memory *picture;       /* their keys and values */
    decoder_layer *layer;
    void *model;
    int64_t width;
} engine;

/* All layers for some positions, in place.  A model on the device would enqueue its own work in between (own_opencl.c) and
 * wait for nothing; this one computes on the host. */
static clf_status forward(const engine *e, float *states, int64_t first, int64_t count, clf_error *err)
{
    clf_tensor x = { 0 };
    clf_status status = clf_tensor_create(e->ctx, CLF_F32, CLF_DIMS(1, count, e->width), &x, err);

    for (int layer = 0; layer < EVERY * clf_cross_attention_layers(e->gated) && status == CLF_OK; layer++) {
        if (layer % EVERY == EVERY - 1) {
            clf_upload(e->s, states, x);
            clf_cross_attention_forward(e->s, e->gated, layer / EVERY, x, e->picture, NULL, x);
            clf_download(e->s, x, states);
            status = clf_stream_finish(e->s, err);
        }
        if (status == CLF_OK)
            e->layer(e->model, layer, states, first, count);
    }
    clf_tensor_free(e->ctx, &x);
    return status;
}

static float *random_values(int64_t count)
{
    float *values = malloc((size_t)count * sizeof *values);

    if (values == NULL) {
        fprintf(stderr, "no memory for %" PRId64 " values\n", count);
        exit(1);
    }
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)rand() / (float)RAND_MAX - 0.5F;
    return values;
}

/* Once for each picture: visual tokens [1, keys, width of the media], as a vision encoder gives them. */
static clf_status show_picture(engine *e, int64_t keys, clf_error *err)
{
    const int64_t width = clf_cross_attention_media_width(e->gated);
    float *tokens = random_values(keys * width); /* a real engine has them on the device already */
    clf_tensor media = { 0 };
    clf_status status = clf_visual_memory_create(e->gated, 1, keys, CLF_F32, &e->picture, err);

    if (status == CLF_OK)
        status = clf_tensor_create(e->ctx, CLF_F32, CLF_DIMS(1, keys, width), &media, err);
    if (status == CLF_OK) {
        clf_upload(e->s, tokens, media);
        clf_visual_memory_append(e->s, e->picture, media);
        status = clf_stream_finish(e->s, err);
    }
    clf_tensor_free(e->ctx, &media);
    free(tokens);
    return status;
}

/* `states` [TEXT, width] all at once, and again as a prompt and single tokens: the largest difference of the results. */
static clf_status generate(const engine *e, float *states, float *again, double *difference, clf_error *err)
{
    clf_status status;

    for (int64_t i = 0; i < TEXT * e->width; i++)
        again[i] = states[i];
    status = forward(e, again, 0, TEXT, err);
    if (status == CLF_OK)
        status = forward(e, states, 0, PROMPT, err);
    for (int t = PROMPT; t < TEXT && status == CLF_OK; t++) { /* a real engine: the state of the token sampled before */
        const float *state = states + t * e->width;
        status = forward(e, states + t * e->width, t, 1, err);
        if (status == CLF_OK)
            printf("position %2d: %9.6f %9.6f %9.6f ...\n", t, (double)state[0], (double)state[1], (double)state[2]);
    }
    *difference = 0;
    for (int64_t i = 0; i < TEXT * e->width; i++) {
        const double d = fabs((double)states[i] - (double)again[i]);

        *difference = d > *difference || isnan(d) ? d : *difference; /* NaN stays */
    }
    return status;
}

static clf_status run(engine *e, int64_t keys, double *difference, clf_error *err)
{
    const int32_t layers = EVERY * clf_cross_attention_layers(e->gated);
    toy_model toy = { .width = clf_cross_attention_text_width(e->gated) };
    float *states = random_values(TEXT * toy.width), *again = random_values(TEXT * toy.width);

    toy.sums = random_values(layers * toy.width);
    e->layer = toy_layer;
    e->model = &toy;
    e->width = toy.width;
    printf("%" PRId32 " layers of the model, every second behind gated cross-attention to %" PRId64 " visual tokens\n",
           layers, keys);
    clf_status status = show_picture(e, keys, err);
    if (status == CLF_OK)
        status = generate(e, states, again, difference, err);
    clf_visual_memory_destroy(e->picture);
    free(states);
    free(again);
    free(toy.sums);
    return status;
}

int main(int argc, char **argv)
{
    clf_connector_options options = clf_connector_options_default();
    clf_error err = { 0 };
    clf_connector *c = NULL;
    engine e = { 0 };
    double difference = INFINITY;

    if (argc < 2) {
        fprintf(stderr, "usage: gated_stack CHECKPOINT [KEYS]\n");
        return 2;
    }
    options.layer = CLF_ALL_LAYERS;
    clf_status status = clf_context_create(NULL, &e.ctx, &err);
    if (status == CLF_OK)
        status = clf_stream_create(e.ctx, NULL, &e.s, &err);
    if (status == CLF_OK)
        status = clf_connector_open(e.ctx, argv[1], &options, &c, &err);
    if (status == CLF_OK) {
        e.gated = clf_connector_cross_attention(c);
        if (e.gated != NULL)
            status = run(&e, argc > 2 ? strtoll(argv[2], NULL, 10) : 64, &difference, &err);
    }
    if (status != CLF_OK)
        fprintf(stderr, "%s\n", err.message);
    else if (e.gated == NULL)
        fprintf(stderr, "%s has no cross-attention layers\n", argv[1]);
    else
        printf("the whole text at once differs by %.1e at most\n", difference);
    clf_connector_destroy(c);
    clf_stream_destroy(e.s);
    clf_context_destroy(e.ctx);
    return status == CLF_OK && difference <= 1e-4 ? 0 : 1;
}
