/* The attention's row -> a map of the grid -> the picture's size, on the device -> colours -> PNG. */
#include "cli/heatmap.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "picture/heatmap.h"
#include "picture/png_write.h"

#define CLF_OP "run"

/* Digits, up to `end`. */
static bool read_number(const char *text, const char **end, int64_t least, int64_t *number)
{
    char *stop = NULL;
    const long long value = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &stop, 10) : -1;

    if (value < least || value > INT32_MAX)
        return false;
    *end = stop;
    *number = value;
    return true;
}

static bool take_files(clf_cli_heatmap_options *o, const char *value)
{
    const char *equals = strchr(value, '=');

    if (equals == NULL || equals == value || equals[1] == '\0' || o->file.name != NULL)
        return false;
    o->file = (clf_cli_file){ .name = clf_strndup(value, (size_t)(equals - value)), .path = equals + 1 };
    return o->file.name != NULL;
}

bool clf_cli_heatmap_take(clf_cli_heatmap_options *o, const char *name, const char *value)
{
    const char *end = "";

    o->given = true;
    if (strcmp(name, "heatmap") == 0)
        return take_files(o, value);
    if (strcmp(name, "position") == 0)
        return read_number(value, &end, 0, &o->position) && *end == '\0';
    if (strcmp(name, "head") == 0)
        return read_number(value, &end, 0, &o->head) && *end == '\0';
    return read_number(value, &end, 1, &o->height) && *end == 'x' && read_number(end + 1, &end, 1, &o->width) &&
           *end == '\0';
}

int clf_cli_heatmap_check(const clf_cli_command *command, const clf_cli_heatmap_options *o)
{
    if (o->given && o->file.name == NULL)
        return clf_cli_usage(command, "--position, --head or --grid is given without --heatmap; want both");
    if (o->head >= 0 && o->position < 0)
        return clf_cli_usage(command, "--head is given without --position; want both");
    return CLF_EXIT_DONE;
}

const char *clf_cli_heatmap_output(const clf_cli_heatmap_options *o)
{
    return o->position >= 0 ? "attention" : "relevance";
}

clf_status clf_cli_heatmap_open(clf_cli_heatmap *h, const clf_cli_heatmap_options *options, clf_error *err)
{
    if (options->file.name == NULL)
        return CLF_OK;
    h->options = options;
    return clf_picture_load(options->file.name, &h->picture, err);
}

/* `map` [height, width] of the grid to the picture's size, in `heat`. */
static clf_status enlarge(clf_cli_heatmap *h, const clf_heatmap *grid, const float *map, float *heat, clf_stream *s,
                          clf_error *err)
{
    clf_context *ctx = clf_stream_context(s);
    clf_tensor x = { .mem = NULL }, y = { .mem = NULL };
    clf_status status = clf_tensor_create(ctx, CLF_F32, CLF_DIMS(grid->height, grid->width, 1), &x, err);

    if (status == CLF_OK)
        status = clf_tensor_create(ctx, CLF_F32, CLF_DIMS(h->picture.height, h->picture.width, 1), &y, err);
    if (status == CLF_OK) {
        clf_upload(s, map, x);
        clf_resize(s, x, NULL, y);
        clf_download(s, y, heat);
        status = clf_stream_finish(s, err);
    }
    if (x.mem != NULL)
        clf_tensor_free(ctx, &x);
    if (y.mem != NULL)
        clf_tensor_free(ctx, &y);
    return status;
}

/* attention [H, Q, K] of one sample, or a map of K cells as that of one query. */
static clf_status draw(clf_cli_heatmap *h, const float *weights, int64_t H, int64_t Q, int64_t K, clf_stream *s,
                       clf_error *err)
{
    clf_heatmap grid = { .height = h->options->height,
                         .width = h->options->width,
                         .position = h->options->position >= 0 ? h->options->position : 0,
                         .head = h->options->head };
    clf_status status = clf_heatmap_fit(&grid, CLF_OP, H, Q, K, err);

    if (status != CLF_OK)
        return status;
    float *map = clf_alloc((size_t)(grid.height * grid.width), sizeof *map);
    float *heat = clf_alloc((size_t)(h->picture.height * h->picture.width), sizeof *heat);

    if (map == NULL || heat == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, CLF_OP ": no memory to draw %s", h->options->file.path);
    if (status == CLF_OK) {
        clf_heatmap_row(&grid, weights, H, Q, K, map);
        status = enlarge(h, &grid, map, heat, s, err);
    }
    if (status == CLF_OK)
        status = clf_heatmap_draw(&h->picture, heat, &h->drawn, err);
    clf_free(map);
    clf_free(heat);
    return status;
}

clf_status clf_cli_heatmap_draw(clf_cli_heatmap *h, const clf_cli_values *outputs, clf_stream *s, clf_error *err)
{
    size_t at = 0;

    if (h->options == NULL)
        return CLF_OK;
    while (strcmp(outputs->files[at].name, clf_cli_heatmap_output(h->options)) != 0) /* run has asked for it */
        at++;
    const clf_tensor t = outputs->values[at].tensor;
    const int32_t rank = h->options->position >= 0 ? 3 : 2; /* of one sample */

    CLF_REQUIRE(err, t.dtype == CLF_F32 && (t.rank == rank || (t.rank == rank + 1 && t.dim[0] == 1)),
                CLF_INVALID_ARGUMENT, "%s is %s; want a batch of 1 for --heatmap", outputs->files[at].name,
                CLF_TEXT(t));
    if (rank == 2)
        return draw(h, outputs->own[at].result, 1, 1, clf_dim(t, -2) * clf_dim(t, -1), s, err);
    return draw(h, outputs->own[at].result, clf_dim(t, -3), clf_dim(t, -2), clf_dim(t, -1), s, err);
}

clf_status clf_cli_heatmap_write(clf_cli_heatmap *h, clf_error *err)
{
    return h->options != NULL ? clf_png_write(h->options->file.path, &h->drawn, &h->writer, err) : CLF_OK;
}

clf_status clf_cli_heatmap_commit(clf_cli_heatmap *h, clf_error *err)
{
    clf_file_writer *writer = h->writer;

    h->writer = NULL; /* gone in any case */
    return writer != NULL ? clf_file_writer_commit(writer, err) : CLF_OK;
}

void clf_cli_heatmap_close(clf_cli_heatmap *h)
{
    clf_file_writer_abandon(h->writer);
    clf_picture_free(&h->picture);
    clf_picture_free(&h->drawn);
    *h = (clf_cli_heatmap){ .options = NULL };
}
