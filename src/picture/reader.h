/* What the readers of formats share.  Each leaves nothing behind: the picture is whole, or empty with the error set. */
#ifndef CLF_PICTURE_READER_H
#define CLF_PICTURE_READER_H

#include <stdbool.h>

#include <clfusion/picture.h>

clf_status clf_png_read(const unsigned char *bytes, size_t count, const char *label, clf_picture *p, clf_error *err);
clf_status clf_jpeg_read(const unsigned char *bytes, size_t count, const char *label, clf_picture *p, clf_error *err);

/* The stated limits, before any memory is taken; `format` names the file's. */
clf_status clf_picture_size_check(const char *label, const char *format, uint64_t height, uint64_t width,
                                  clf_error *err);

/* Memory for height x width x channels bytes; NULL without, or beyond the limits. */
uint8_t *clf_picture_memory(uint64_t height, uint64_t width, uint64_t channels);

/* (v + 128) / 255, rounded as Pillow's MULDIV255 and alpha_composite do, for v up to 255^2. */
static inline uint32_t clf_over_255(uint32_t v)
{
    v += 128;
    return ((v >> 8) + v) >> 8;
}

#endif
