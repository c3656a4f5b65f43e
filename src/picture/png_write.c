/* PNG through libpng. */
#include "picture/png_write.h"

#include <png.h>
#include <setjmp.h>

#include "core/alloc.h"
#include "core/error.h"

typedef struct png_job {
    jmp_buf back;
    png_structp png;
    png_infop info;
    clf_file_writer *writer;
} png_job;

/* Only memory can be missing: the writer keeps its own failures. */
static void on_error(png_structp png, png_const_charp what)
{
    png_job *j = png_get_error_ptr(png);

    (void)what;
    longjmp(j->back, 1);
}

static void on_warning(png_structp png, png_const_charp what)
{
    (void)png;
    (void)what;
}

static png_voidp take(png_structp png, png_alloc_size_t bytes)
{
    (void)png;
    return clf_alloc(bytes, 1);
}

static void give(png_structp png, png_voidp memory)
{
    (void)png;
    clf_free(memory);
}

static void put(png_structp png, png_bytep data, size_t bytes)
{
    png_job *j = png_get_io_ptr(png);

    clf_file_writer_put(j->writer, data, bytes);
}

static void flush(png_structp png)
{
    (void)png;
}

/* Everything that may be left. */
static void write_png(png_job *j, const clf_picture *p)
{
    j->info = png_create_info_struct(j->png);
    if (j->info == NULL)
        png_error(j->png, "");
    png_set_write_fn(j->png, j, put, flush);
    png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(j->png, j->info, (png_uint_32)p->width, (png_uint_32)p->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(j->png, j->info);
    for (int64_t y = 0; y < p->height; y++)
        png_write_row(j->png, p->rgb + y * p->width * 3);
    png_write_end(j->png, j->info);
}

/* False without memory. */
static bool encode(png_job *j, const clf_picture *p)
{
    j->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, NULL, take, give);
    if (j->png == NULL)
        return false;
    if (setjmp(j->back) != 0) {
        png_destroy_write_struct(&j->png, &j->info);
        return false;
    }
    write_png(j, p);
    png_destroy_write_struct(&j->png, &j->info);
    return true;
}

clf_status clf_png_write(const char *path, const clf_picture *p, clf_file_writer **w, clf_error *err)
{
    png_job j = { .png = NULL };
    clf_status status = CLF_OK;

    *w = NULL;
    CLF_TRY(clf_file_writer_open(path, &j.writer, err));
    status = encode(&j, p) ? clf_file_writer_finish(j.writer, err)
                           : CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no memory to write it", path);
    if (status != CLF_OK) {
        clf_file_writer_abandon(j.writer);
        return status;
    }
    *w = j.writer;
    return CLF_OK;
}
