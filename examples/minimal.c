/* Visual tokens from a checkpoint, host memory in and out:
 *     minimal CHECKPOINT [TOKENS]
 * Runs TOKENS (576) rows of made-up features through the connector; prints the device and the first values. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clfusion/clfusion.h>

/* Dv, the last number of the shape that the connector names for its input, as in "[B, N, 1024]". */
static int64_t vision_width(const clf_connector *c)
{
    const char *last = strrchr(clf_connector_describe(c).inputs[0].shape, ' ');

    return last == NULL ? 0 : strtoll(last, NULL, 10);
}

static clf_status run(clf_stream *s, const clf_connector *c, int64_t N, clf_error *err)
{
    const int64_t Dv = vision_width(c);
    float *features = calloc((size_t)(N * Dv), sizeof *features), *tokens = NULL;

    for (int64_t i = 0; features != NULL && i < N * Dv; i++)
        features[i] = (float)(i % 17 - 8) / 8;

    const clf_value vision = { "vision", clf_tensor_shape(CLF_F32, CLF_DIMS(1, N, Dv)), features };
    clf_value out = { "tokens", { 0 }, NULL };

    /* The plan fills in the output's type and shape; the caller brings the memory. */
    clf_status status = clf_connector_plan(c, &vision, 1, &out, 1, err);
    if (status == CLF_OK) {
        out.host = tokens = calloc((size_t)clf_element_count(out.tensor), sizeof *tokens);
        status = clf_connector_run(s, c, &vision, 1, &out, 1, err);
    }
    if (status == CLF_OK)
        printf("tokens [%" PRId64 ", %" PRId64 ", %" PRId64 "]: %g %g %g ...\n", clf_dim(out.tensor, 0),
               clf_dim(out.tensor, 1), clf_dim(out.tensor, 2), (double)tokens[0], (double)tokens[1], (double)tokens[2]);
    free(tokens);
    free(features);
    return status;
}

int main(int argc, char **argv)
{
    clf_error err = { 0 };
    clf_context *ctx = NULL;
    clf_stream *s = NULL;
    clf_connector *c = NULL;

    const int64_t N = argc > 2 ? strtoll(argv[2], NULL, 10) : 576;

    if (argc < 2 || N < 1) {
        fprintf(stderr, "usage: minimal CHECKPOINT [TOKENS], at least one token\n");
        return 2;
    }
    if (clf_context_create(NULL, &ctx, &err) == CLF_OK && clf_stream_create(ctx, NULL, &s, &err) == CLF_OK &&
        clf_connector_open(ctx, argv[1], NULL, &c, &err) == CLF_OK) {
        printf("device: %s (%s)\n", clf_context_device(ctx)->name, clf_context_device(ctx)->reason);
        (void)run(s, c, N, &err);
    }
    if (err.status != CLF_OK)
        fprintf(stderr, "minimal: %s\n", err.message);

    clf_connector_destroy(c);
    clf_stream_destroy(s);
    clf_context_destroy(ctx);
    return err.status != CLF_OK;
}
