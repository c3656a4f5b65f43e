/* JPEG through libjpeg-turbo, which takes its own memory from the C library.  Its errors come back by longjmp: the job
 * lies outside the function that may be left. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "picture/reader.h"

/* Progressive files may hold any number of scans, each as long as the picture; cameras and programs write about ten. */
#define MOST_SCANS 100

typedef struct jpeg_job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_source_mgr source;
    jmp_buf back;
    size_t count;
    const char *label;
    clf_error *err;
    clf_status status;
    uint8_t *pixels; /* [height, width, 3], or 4 for CMYK until it is turned */
} jpeg_job;

static jpeg_job *job_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

/* Does not return. */
static void leave(jpeg_job *j, clf_status status)
{
    j->status = status;
    longjmp(j->back, 1);
}

static void leave_damaged(jpeg_job *j, const char *what)
{
    leave(j, CLF_FAIL(j->err, CLF_BAD_FILE, "%s: JPEG is damaged at byte %zu of %zu: %s; want a sound file", j->label,
                      j->count - j->source.bytes_in_buffer, j->count, clf_text_quote(what, strlen(what)).text));
}

/* The library's own message about msg_code. */
static void leave_with_message(j_common_ptr jpeg)
{
    char what[JMSG_LENGTH_MAX];

    jpeg->err->format_message(jpeg, what);
    leave_damaged(job_of(jpeg), what);
}

static void on_error(j_common_ptr jpeg)
{
    jpeg_job *j = job_of(jpeg);

    if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY)
        leave(j, CLF_FAIL(j->err, CLF_OUT_OF_MEMORY, "%s: no memory to read it", j->label));
    leave_with_message(jpeg);
}

/* Warnings have the level -1.  What does not touch pixels passes; damaged data would give a picture of something else. */
static void on_message(j_common_ptr jpeg, int level)
{
    const int code = jpeg->err->msg_code;

    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR &&
        code != JWRN_BOGUS_ICC)
        leave_with_message(jpeg);
}

static void no_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
    jpeg_job *j = job_of(jpeg);

    if (j->jpeg.input_scan_number > MOST_SCANS)
        leave(j, CLF_FAIL(j->err, CLF_UNSUPPORTED, "%s: JPEG has more than %d scans; want at most these", j->label,
                          MOST_SCANS));
}

static void no_step(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* All bytes are there from the beginning. */
static boolean no_more(j_decompress_ptr jpeg)
{
    leave_damaged(job_of((j_common_ptr)jpeg), "the file ends early");
    return FALSE;
}

static void skip(j_decompress_ptr jpeg, long bytes)
{
    if (bytes <= 0)
        return;
    if ((size_t)bytes > jpeg->src->bytes_in_buffer) {
        jpeg->src->bytes_in_buffer = 0;
        (void)no_more(jpeg);
    }
    jpeg->src->next_input_byte += bytes;
    jpeg->src->bytes_in_buffer -= (size_t)bytes;
}

static void set_up(jpeg_job *j, const unsigned char *bytes)
{
    j->jpeg.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = no_output;
    j->progress.progress_monitor = on_progress;
    j->source = (struct jpeg_source_mgr){ .next_input_byte = bytes,
                                          .bytes_in_buffer = j->count,
                                          .init_source = no_step,
                                          .fill_input_buffer = no_more,
                                          .skip_input_data = skip,
                                          .resync_to_restart = jpeg_resync_to_restart,
                                          .term_source = no_step };
    j->jpeg.client_data = j;
}

/* Everything that may be left. */
static void read_jpeg(jpeg_job *j)
{
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    clf_status status;

    jpeg_create_decompress(jpeg);
    jpeg->client_data = j;
    jpeg->progress = &j->progress;
    jpeg->src = &j->source;
    (void)jpeg_read_header(jpeg, TRUE);
    status = clf_picture_size_check(j->label, "JPEG", jpeg->image_height, jpeg->image_width, j->err);
    if (status != CLF_OK)
        leave(j, status);
    jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
    (void)jpeg_start_decompress(jpeg);
    j->pixels = clf_picture_memory(jpeg->output_height, jpeg->output_width, (uint64_t)jpeg->output_components);
    if (j->pixels == NULL)
        leave(j, CLF_FAIL(j->err, CLF_OUT_OF_MEMORY, "%s: no memory to read it", j->label));
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = j->pixels + (size_t)jpeg->output_scanline * jpeg->output_width * (size_t)jpeg->output_components;

        (void)jpeg_read_scanlines(jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(jpeg);
}

/* In place, as Pillow: JPEG stores CMYK inverted, so that a stored value is what is left of the light. */
static void turn_cmyk(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t light = pixels[4 * i + 3];

        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = (uint8_t)(light - clf_over_255((255U - pixels[4 * i + c]) * light));
    }
}

/* What longjmp leaves is this function, which has no variable of its own. */
static void read_jpeg_or_stop(jpeg_job *j)
{
    if (setjmp(j->back) == 0)
        read_jpeg(j);
}

clf_status clf_jpeg_read(const unsigned char *bytes, size_t count, const char *label, clf_picture *p, clf_error *err)
{
    jpeg_job j = { .count = count, .label = label, .err = err };

    set_up(&j, bytes);
    read_jpeg_or_stop(&j);
    const size_t height = j.jpeg.output_height, width = j.jpeg.output_width;
    const bool cmyk = j.jpeg.output_components == 4;
    jpeg_destroy_decompress(&j.jpeg);
    if (j.status != CLF_OK) {
        clf_free(j.pixels);
        return j.status;
    }
    if (cmyk)
        turn_cmyk(j.pixels, height * width);
    *p = (clf_picture){ .height = (int64_t)height, .width = (int64_t)width, .rgb = j.pixels };
    return CLF_OK;
}
