/* Cuts a picture into the rows that Fuyu's embedding takes.
 *     make_patches PICTURE.ppm PATCHES.npy
 *
 * picture  binary PPM (P6) of 8 bits; what does not fill a patch at the right and at the bottom is left out
 * patches  f32 [1, N, 2700], N = floor(height / 30) floor(width / 30), raster order; inside a patch (row, column,
 *          channel), channel fastest; values (v / 255 - 0.5) / 0.5, as the model's processor scales them */
#include <stdio.h>

#include "checkpoint/npy.h"
#include "core/alloc.h"
#include "core/error.h"

#define CLF_OP "make_patches"

enum { SIDE = 30, CHANNELS = 3, PATCH = SIDE * SIDE * CHANNELS };

typedef struct picture {
    int width, height;
    uint8_t *pixels; /* [height, width, 3] */
} picture;

static clf_status read_ppm(const char *path, picture *p, clf_error *err)
{
    int top = 0;
    FILE *file = fopen(path, "rb");

    CLF_REQUIRE(err, file != NULL, CLF_IO, "%s cannot be opened", path);
    const int fields = fscanf(file, "P6 %4d %4d %3d", &p->width, &p->height, &top);
    if (fields == 3 && top == 255 && p->width >= SIDE && p->height >= SIDE && fgetc(file) == '\n') {
        const size_t rows = (size_t)p->height, row_bytes = (size_t)p->width * CHANNELS;
        p->pixels = clf_alloc(rows, row_bytes);
        if (p->pixels != NULL && fread(p->pixels, row_bytes, rows, file) != rows) {
            clf_free(p->pixels);
            p->pixels = NULL;
        }
    }
    fclose(file);
    CLF_REQUIRE(err, p->pixels != NULL, CLF_BAD_FILE,
                "%s is not readable; want a binary PPM of 8 bits, from 30x30 to 9999x9999, without comments", path);
    return CLF_OK;
}

/* One patch, whose upper left pixel is (x, y). */
static void flatten(const picture *p, int x, int y, float *out)
{
    for (int row = 0; row < SIDE; row++) {
        const uint8_t *from = p->pixels + ((size_t)(y + row) * (size_t)p->width + (size_t)x) * CHANNELS;
        for (int i = 0; i < SIDE * CHANNELS; i++)
            *out++ = ((float)from[i] / 255.0F - 0.5F) / 0.5F;
    }
}

static clf_status write_patches(const picture *p, const char *path, clf_error *err)
{
    const int columns = p->width / SIDE, rows = p->height / SIDE, count = columns * rows;
    float *values = clf_alloc((size_t)count * PATCH, sizeof(float));
    clf_file_writer *writer = NULL;

    CLF_REQUIRE(err, values != NULL, CLF_OUT_OF_MEMORY, "no memory for %d patches", count);
    for (int i = 0; i < count; i++)
        flatten(p, i % columns * SIDE, i / columns * SIDE, values + (size_t)i * PATCH);

    const clf_host_tensor patches = { .data = values, .dtype = CLF_F32, .rank = 3, .dim = { 1, count, PATCH } };
    clf_status status = clf_npy_write(path, patches, &writer, err);
    if (status == CLF_OK)
        status = clf_file_writer_commit(writer, err);
    clf_free(values);
    if (status == CLF_OK)
        printf("%d x %d pixels -> %d patches of %d values\n", p->width, p->height, count, PATCH);
    return status;
}

int main(int argc, char **argv)
{
    clf_error err = { 0 };
    picture p = { 0 };

    if (argc != 3) {
        fprintf(stderr, "usage: make_patches PICTURE.ppm PATCHES.npy\n");
        return 2;
    }
    clf_status status = read_ppm(argv[1], &p, &err);
    if (status == CLF_OK)
        status = write_patches(&p, argv[2], &err);
    clf_free(p.pixels);
    if (status != CLF_OK)
        fprintf(stderr, "%s\n", err.message);
    return status != CLF_OK;
}
