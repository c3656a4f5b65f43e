/* Which caption fits a drawing: early fusion, two blocks of attention among the patches, a perceiver resampler, gated
 * cross-attention and a late-fusion head, each a file of examples/drawings (tools/train_demo.py has trained them):
 *     drawings FOLDER PICTURE.png
 * Prints the five likeliest of 264 captions with their probabilities, then the ids of the first one's words. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clfusion/clfusion.h>

enum { SIDE = 64, WORDS = 6, PHRASE = 3, MOST = 512, VOCABULARY = 11 };

typedef struct demo {
    const char *folder;
    clf_context *ctx;
    clf_stream *s;
    char words[VOCABULARY][16];
    int64_t ids[MOST][WORDS]; /* of each caption */
    int64_t captions;
} demo;

/* words.txt has a word a line in the order of the ids, captions.txt six ids a line. */
static int read_captions(demo *d)
{
    char path[512], line[64];
    FILE *f;

    snprintf(path, sizeof path, "%s/words.txt", d->folder);
    if ((f = fopen(path, "r")) == NULL)
        return -1;
    for (int i = 0; i < VOCABULARY && fgets(line, sizeof line, f) != NULL; i++)
        snprintf(d->words[i], sizeof d->words[i], "%.*s", (int)strcspn(line, "\n"), line);
    fclose(f);
    snprintf(path, sizeof path, "%s/captions.txt", d->folder);
    if ((f = fopen(path, "r")) == NULL)
        return -1;
    for (int64_t *id = d->ids[0]; d->captions < MOST; d->captions++, id += WORDS)
        if (fscanf(f, "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64, id, id + 1, id + 2, id + 3,
                   id + 4, id + 5) != WORDS)
            break;
    fclose(f);
    return d->captions > 0 ? 0 : -1;
}

/* One output of one module, as f32 that the caller frees; NULL with err set. */
static float *run(demo *d, const char *module, const clf_value *in, size_t count, const char *output, clf_error *err)
{
    char path[512];
    clf_connector *c = NULL;
    clf_value out = { output, { 0 }, NULL };

    snprintf(path, sizeof path, "%s/%s.safetensors", d->folder, module);
    clf_status status = clf_connector_open(d->ctx, path, NULL, &c, err);
    if (status == CLF_OK)
        status = clf_connector_plan(c, in, count, &out, 1, err);
    if (status == CLF_OK) {
        out.host = calloc((size_t)clf_element_count(out.tensor), sizeof(float));
        status = clf_connector_run(d->s, c, in, count, &out, 1, err); /* refuses host memory that is NULL */
    }
    clf_connector_destroy(c);
    if (status != CLF_OK) {
        free(out.host);
        out.host = NULL;
    }
    return out.host;
}

static clf_value value(const char *name, void *host, clf_dims dims)
{
    return (clf_value){ name, clf_tensor_shape(CLF_F32, dims), host };
}

/* Patches [1, N, D] of the pixels [1, 3, SIDE, SIDE], after each has looked at the others twice; NULL with err set. */
static float *tokens_of(demo *d, float *pixels, clf_dims dims, clf_error *err)
{
    static const char *const blocks[] = { "patches_1", "patches_2" };
    const clf_value image = value("image", pixels, CLF_DIMS(1, 3, SIDE, SIDE));
    float *tokens = run(d, "early", &image, 1, "tokens", err);

    for (int i = 0; i < 2 && tokens != NULL; i++) {
        const clf_value in[] = { value("text", tokens, dims), value("vision", tokens, dims) };
        float *next = run(d, blocks[i], in, 2, "hidden", err);
        free(tokens);
        tokens = next;
    }
    return tokens;
}

/* Logits of all captions for the pixels [1, 3, SIDE, SIDE]; NULL with err set.  A failing step leaves NULL behind, and
 * the next one says so: clfusion checks every argument. */
static float *logits_of(demo *d, float *pixels, clf_error *err)
{
    const int64_t C = d->captions, D = 64, N = 64, M = 8;
    const clf_value ids = { "text_ids", clf_tensor_shape(CLF_I64, CLF_DIMS(C, WORDS)), d->ids };
    float *tokens = tokens_of(d, pixels, CLF_DIMS(1, N, D), err), *words = NULL, *latents = NULL, *seen = NULL;
    float *picture = NULL, *caption = NULL, *logits = NULL;

    if (tokens != NULL)
        words = run(d, "early", &ids, 1, "hidden", err);
    if (words != NULL) {
        const clf_value vision = value("vision", tokens, CLF_DIMS(1, N, D));
        latents = run(d, "resampler", &vision, 1, "tokens", err);
    }
    if (latents != NULL) { /* words of all captions stand in one row: cross-attention knows no neighbours */
        const clf_value in[] = { value("text", words, CLF_DIMS(1, C * WORDS, D)),
                                 value("vision", tokens, CLF_DIMS(1, N, D)) };
        seen = run(d, "gated", in, 2, "hidden", err);
    }
    if (seen != NULL) {
        const clf_value in[] = { value("vision", latents, CLF_DIMS(1, M, D)),
                                 value("text", seen, CLF_DIMS(C, WORDS, D)) };
        picture = run(d, "late", in, 1, "image_embeds", err);
        caption = picture != NULL ? run(d, "late", in + 1, 1, "text_embeds", err) : NULL;
    }
    if (caption != NULL) {
        const clf_value in[] = { value("vision", picture, CLF_DIMS(1, D)), value("text", caption, CLF_DIMS(C, D)) };
        logits = run(d, "contrast", in, 2, "logits", err);
    }
    free(tokens);
    free(words);
    free(latents);
    free(seen);
    free(picture);
    free(caption);
    return logits;
}

/* The file as f32 [1, 3, SIDE, SIDE] from 0 to 1. */
static clf_status read_pixels(demo *d, const char *path, float *pixels, clf_error *err)
{
    clf_picture picture;
    clf_picture_processor p = clf_picture_processor_default();
    clf_tensor y = { 0 };

    p.height = p.width = SIDE;
    p.rescale = 1.0 / 255;
    clf_status status = clf_picture_load(path, &picture, err);
    if (status == CLF_OK)
        status = clf_tensor_create(d->ctx, CLF_F32, CLF_DIMS(1, 3, SIDE, SIDE), &y, err);
    if (status == CLF_OK) {
        clf_picture_process(d->s, &picture, &p, y);
        clf_download(d->s, y, pixels);
        status = clf_stream_finish(d->s, err);
        clf_tensor_free(d->ctx, &y);
    }
    clf_picture_free(&picture);
    return status;
}

/* The largest five, by taking the largest away. */
static void print_best(const demo *d, float *logits)
{
    int64_t first = 0;
    double total = 0;

    for (int64_t c = 1; c < d->captions; c++)
        first = logits[c] > logits[first] ? c : first;
    const double largest = (double)logits[first];
    for (int64_t c = 0; c < d->captions; c++)
        total += exp((double)logits[c] - largest);
    for (int rank = 0; rank < 5; rank++) {
        int64_t best = 0;
        for (int64_t c = 1; c < d->captions; c++)
            best = logits[c] > logits[best] ? c : best;
        printf("%6.2f %% ", 100 * exp((double)logits[best] - largest) / total);
        for (int i = 0; i < WORDS; i++)
            printf("%s %s", i == PHRASE ? "," : "", d->words[d->ids[best][i] % VOCABULARY]);
        printf("\n");
        logits[best] = -INFINITY;
    }
    printf("ids");
    for (int i = 0; i < WORDS; i++)
        printf(" %" PRId64, d->ids[first][i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static float pixels[3 * SIDE * SIDE];
    static demo d;
    clf_error err = { 0 };
    float *logits = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: drawings FOLDER PICTURE.png\n");
        return 2;
    }
    d.folder = argv[1];
    if (read_captions(&d) != 0) {
        fprintf(stderr, "drawings: %s has no words.txt or captions.txt; want examples/drawings\n", argv[1]);
        return 1;
    }
    if (clf_context_create(NULL, &d.ctx, &err) == CLF_OK && clf_stream_create(d.ctx, NULL, &d.s, &err) == CLF_OK &&
        read_pixels(&d, argv[2], pixels, &err) == CLF_OK && (logits = logits_of(&d, pixels, &err)) != NULL)
        print_best(&d, logits);
    if (err.status != CLF_OK)
        fprintf(stderr, "drawings: %s\n", err.message);
    free(logits);
    clf_stream_destroy(d.s);
    clf_context_destroy(d.ctx);
    return err.status != CLF_OK;
}
