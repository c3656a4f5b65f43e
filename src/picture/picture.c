/* Telling formats apart, limits, memory. */
#include <clfusion/picture.h>

#include <inttypes.h>
#include <string.h>

#include "checkpoint/file_map.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/size.h"
#include "picture/reader.h"

static const unsigned char png_begins[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
static const unsigned char jpeg_begins[] = { 0xff, 0xd8, 0xff };

static bool begins(const unsigned char *bytes, size_t count, const unsigned char *with, size_t length)
{
    return count >= length && memcmp(bytes, with, length) == 0;
}

clf_status clf_picture_size_check(const char *label, const char *format, uint64_t height, uint64_t width,
                                  clf_error *err)
{
    uint64_t pixels = 0;

    if (height > CLF_PICTURE_SIDE || width > CLF_PICTURE_SIDE || !clf_size_mul(height, width, &pixels) ||
        pixels > CLF_PICTURE_PIXELS)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "%s: %s is %" PRIu64 " x %" PRIu64 " pixels; want at most %" PRId64 " a side and %" PRId64
                        " in all",
                        label, format, height, width, CLF_PICTURE_SIDE, CLF_PICTURE_PIXELS);
    if (pixels == 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %" PRIu64 " x %" PRIu64 " pixels; want at least 1 x 1", label,
                        format, height, width);
    return CLF_OK;
}

uint8_t *clf_picture_memory(uint64_t height, uint64_t width, uint64_t channels)
{
    uint64_t pixels, bytes;

    if (!clf_size_mul(height, width, &pixels) || !clf_size_mul(pixels, channels, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    return clf_alloc((size_t)bytes, 1);
}

clf_status clf_picture_decode(const void *bytes, size_t count, const char *label, clf_picture *p, clf_error *err)
{
    *p = (clf_picture){ .rgb = NULL };
    if (begins(bytes, count, png_begins, sizeof png_begins))
        return clf_png_read(bytes, count, label, p, err);
    if (begins(bytes, count, jpeg_begins, sizeof jpeg_begins))
        return clf_jpeg_read(bytes, count, label, p, err);
    return CLF_FAIL(err, CLF_BAD_FILE, "%s: %zu bytes begin neither as PNG nor as JPEG; want one of these", label,
                    count);
}

clf_status clf_picture_load(const char *path, clf_picture *p, clf_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    clf_status status;

    *p = (clf_picture){ .rgb = NULL };
    CLF_TRY(clf_file_read(path, CLF_PICTURE_BYTES, &text, &bytes, err));
    status = clf_picture_decode(text, bytes, path, p, err);
    clf_free(text);
    return status;
}

void clf_picture_free(clf_picture *p)
{
    clf_free(p->rgb);
    *p = (clf_picture){ .rgb = NULL };
}
