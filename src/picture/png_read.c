/* PNG through libpng.  Its errors come back by longjmp: the job lies outside the function that may be left, and only the
 * chunks that make pixels are parsed. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "picture/reader.h"

typedef struct png_job {
    jmp_buf back;
    png_structp png;
    png_infop info;
    const unsigned char *bytes;
    size_t count, at;
    const char *label;
    clf_error *err;
    clf_status status;
    bool no_memory;
    uint8_t *pixels; /* [height, width, channels] */
    uint64_t height, width, channels;
} png_job;

/* Does not return. */
static void leave(png_job *j, clf_status status)
{
    j->status = status;
    longjmp(j->back, 1);
}

static void on_error(png_structp png, png_const_charp what)
{
    png_job *j = png_get_error_ptr(png);

    if (j->no_memory)
        leave(j, CLF_FAIL(j->err, CLF_OUT_OF_MEMORY, "%s: no memory to read it", j->label));
    leave(j, CLF_FAIL(j->err, CLF_BAD_FILE, "%s: PNG is damaged at byte %zu of %zu: %s; want a sound file", j->label,
                      j->at, j->count, clf_text_quote(what, strlen(what)).text));
}

/* Warnings are of chunks that are skipped. */
static void on_warning(png_structp png, png_const_charp what)
{
    (void)png;
    (void)what;
}

static png_voidp take(png_structp png, png_alloc_size_t bytes)
{
    png_job *j = png_get_mem_ptr(png);
    void *memory = clf_alloc(bytes, 1);

    j->no_memory = j->no_memory || memory == NULL;
    return memory;
}

static void give(png_structp png, png_voidp memory)
{
    (void)png;
    clf_free(memory);
}

static void read_bytes(png_structp png, png_bytep out, size_t bytes)
{
    png_job *j = png_get_io_ptr(png);

    if (bytes > j->count - j->at) {
        j->at = j->count;
        png_error(png, "the file ends early");
    }
    memcpy(out, j->bytes + j->at, bytes);
    j->at += bytes;
}

/* Text, profiles, times and the like are not looked into. */
static void skip_chunks(png_structp png)
{
    static const png_byte names[] =
        "iCCP\0iTXt\0tEXt\0zTXt\0eXIf\0sPLT\0hIST\0pCAL\0sCAL\0tIME\0gAMA\0cHRM\0sRGB\0bKGD\0"
        "oFFs\0pHYs\0sBIT";

    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, (int)(sizeof names / 5));
}

/* 8 bits of red, green, blue, and transparency where there is any. */
static void ask_for_rgb(png_structp png)
{
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
}

static void read_rows(png_job *j)
{
    const int passes = png_set_interlace_handling(j->png);

    png_read_update_info(j->png, j->info);
    j->channels = png_get_channels(j->png, j->info);
    if ((j->channels != 3 && j->channels != 4) || png_get_rowbytes(j->png, j->info) != j->width * j->channels)
        png_error(j->png, "its rows are no RGB");
    j->pixels = clf_picture_memory(j->height, j->width, j->channels);
    j->no_memory = j->pixels == NULL;
    if (j->no_memory)
        png_error(j->png, "");
    for (int pass = 0; pass < passes; pass++)
        for (uint64_t y = 0; y < j->height; y++)
            png_read_row(j->png, j->pixels + y * j->width * j->channels, NULL);
    png_read_end(j->png, NULL);
}

/* Everything that may be left. */
static void read_png(png_job *j)
{
    clf_status status;

    j->info = png_create_info_struct(j->png);
    if (j->info == NULL)
        png_error(j->png, "no information");
    png_set_read_fn(j->png, j, read_bytes);
    png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours have a clearer message */
    skip_chunks(j->png);
    png_read_info(j->png, j->info);
    j->height = png_get_image_height(j->png, j->info);
    j->width = png_get_image_width(j->png, j->info);
    status = clf_picture_size_check(j->label, "PNG", j->height, j->width, j->err);
    if (status != CLF_OK)
        leave(j, status);
    ask_for_rgb(j->png);
    read_rows(j);
}

/* Over white, in place, as Pillow's alpha_composite rounds: (128 (v a + 255 (255 - a)) + 64 255) / 255 / 128. */
static void lay_over_white(uint8_t *pixels, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t a = pixels[4 * i + 3];

        for (uint64_t c = 0; c < 3; c++) {
            const uint32_t v = ((uint32_t)pixels[4 * i + c] * a + 255 * (255 - a)) * 128 + (0x80 << 7);

            pixels[3 * i + c] = (uint8_t)((((v >> 8) + v) >> 8) >> 7);
        }
    }
}

/* What longjmp leaves is this function, which has no variable of its own. */
static void read_png_or_stop(png_job *j)
{
    if (setjmp(j->back) == 0)
        read_png(j);
}

clf_status clf_png_read(const unsigned char *bytes, size_t count, const char *label, clf_picture *p, clf_error *err)
{
    png_job j = { .bytes = bytes, .count = count, .label = label, .err = err };

    j.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j, take, give);
    if (j.png == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to read it", label);
    read_png_or_stop(&j);
    png_destroy_read_struct(&j.png, &j.info, NULL);
    if (j.status != CLF_OK) {
        clf_free(j.pixels);
        return j.status;
    }
    if (j.channels == 4)
        lay_over_white(j.pixels, j.height * j.width);
    *p = (clf_picture){ .height = (int64_t)j.height, .width = (int64_t)j.width, .rgb = j.pixels };
    return CLF_OK;
}
