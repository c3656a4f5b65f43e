/* A build without libpng and libjpeg. */
#include "core/error.h"
#include "picture/png_write.h"
#include "picture/reader.h"

#define WITHOUT "%s: this build reads and writes no pictures; want one with CLFUSION_PICTURES=ON"

clf_status clf_png_read(const unsigned char *bytes, size_t count, const char *label, clf_picture *p, clf_error *err)
{
    (void)bytes;
    (void)count;
    (void)p;
    return CLF_FAIL(err, CLF_UNSUPPORTED, WITHOUT, label);
}

clf_status clf_jpeg_read(const unsigned char *bytes, size_t count, const char *label, clf_picture *p, clf_error *err)
{
    return clf_png_read(bytes, count, label, p, err);
}

clf_status clf_png_write(const char *path, const clf_picture *p, clf_file_writer **w, clf_error *err)
{
    (void)p;
    *w = NULL;
    return CLF_FAIL(err, CLF_UNSUPPORTED, WITHOUT, path);
}
