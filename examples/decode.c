/* Text that looks at a picture, token by token:
 *     decode CHECKPOINT [KEYS]
 * CHECKPOINT is an mllama, idefics or openflamingo folder.  The picture's keys and values, for every cross-attention
 * layer, are computed once; the prompt and each new token then read them.  A real engine runs its own decoder layers in
 * between; here random numbers stand for visual tokens and text states. */
#include <stdio.h>
#include <stdlib.h>

#include <clfusion/clfusion.h>

enum { PROMPT = 16, STEPS = 4 };

static clf_status random_tensor(clf_context *ctx, clf_stream *s, clf_dims dims, clf_tensor *t, clf_error *err)
{
    const int64_t count = dims.dim[0] * dims.dim[1] * dims.dim[2];
    float *values = malloc((size_t)count * sizeof *values);
    clf_status status = clf_tensor_create(ctx, CLF_F32, dims, t, err);

    for (int64_t i = 0; values != NULL && i < count; i++)
        values[i] = (float)rand() / (float)RAND_MAX - 0.5F;
    if (status == CLF_OK && values != NULL) {
        clf_upload(s, values, *t);
        status = clf_stream_finish(s, err);
    }
    free(values);
    return values != NULL ? status : CLF_OUT_OF_MEMORY;
}

/* All layers for `count` text positions from `first` on; the states of the last of them are printed in part. */
static clf_status step(clf_stream *s, const clf_cross_attention *layers, const clf_visual_memory *memory,
                       clf_tensor text, int64_t first, int64_t count, clf_error *err)
{
    const clf_tensor now = clf_slice(s, text, 1, first, count);
    float hidden[3] = { 0 };

    for (int32_t i = 0; i < clf_cross_attention_layers(layers); i++)
        clf_cross_attention_forward(s, layers, i, now, memory, NULL, now); /* an engine's own layers come between */
    clf_download(s, clf_slice(s, clf_slice(s, text, 1, first + count - 1, 1), 2, 0, 3), hidden);
    if (clf_stream_finish(s, err) != CLF_OK)
        return err->status;
    printf("position %2d: %g %g %g ...\n", (int)(first + count - 1), (double)hidden[0], (double)hidden[1],
           (double)hidden[2]);
    return CLF_OK;
}

static clf_status decode(clf_context *ctx, clf_stream *s, const clf_cross_attention *layers, int64_t keys,
                         clf_error *err)
{
    clf_tensor media = { 0 }, text = { 0 };
    clf_visual_memory *memory = NULL;
    clf_status status = clf_visual_memory_create(layers, 1, keys, CLF_F32, &memory, err);

    if (status == CLF_OK)
        status = random_tensor(ctx, s, CLF_DIMS(1, keys, clf_cross_attention_media_width(layers)), &media, err);
    if (status == CLF_OK)
        status = random_tensor(ctx, s, CLF_DIMS(1, PROMPT + STEPS, clf_cross_attention_text_width(layers)), &text, err);
    if (status == CLF_OK) {
        clf_visual_memory_append(s, memory, media); /* once for the picture */
        status = step(s, layers, memory, text, 0, PROMPT, err);
    }
    for (int i = 0; i < STEPS && status == CLF_OK; i++)
        status = step(s, layers, memory, text, PROMPT + i, 1, err);
    clf_tensor_free(ctx, &text);
    clf_tensor_free(ctx, &media);
    clf_visual_memory_destroy(memory);
    return status;
}

int main(int argc, char **argv)
{
    clf_connector_options options = clf_connector_options_default();
    clf_error err = { 0 };
    clf_context *ctx = NULL;
    clf_stream *s = NULL;
    clf_connector *c = NULL;
    const clf_cross_attention *layers = NULL;
    clf_status status;

    if (argc < 2) {
        fprintf(stderr, "usage: decode CHECKPOINT [KEYS]\n");
        return 2;
    }
    options.layer = CLF_ALL_LAYERS;
    status = clf_context_create(NULL, &ctx, &err);
    if (status == CLF_OK)
        status = clf_stream_create(ctx, NULL, &s, &err);
    if (status == CLF_OK)
        status = clf_connector_open(ctx, argv[1], &options, &c, &err);
    if (status == CLF_OK)
        layers = clf_connector_cross_attention(c);
    if (layers != NULL)
        status = decode(ctx, s, layers, argc > 2 ? strtoll(argv[2], NULL, 10) : 64, &err);
    if (status != CLF_OK)
        fprintf(stderr, "%s\n", err.message);
    else if (layers == NULL)
        fprintf(stderr, "%s has no cross-attention layers\n", argv[1]);
    clf_connector_destroy(c);
    clf_stream_destroy(s);
    clf_context_destroy(ctx);
    return status != CLF_OK || layers == NULL;
}
