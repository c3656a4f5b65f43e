/* Pictures out: PNG. */
#ifndef CLF_PICTURE_PNG_WRITE_H
#define CLF_PICTURE_PNG_WRITE_H

#include <clfusion/picture.h>

#include "checkpoint/file_writer.h"

/* Writes everything but the name, as clf_npy_write: commit or abandon *w.  *w is NULL after an error: CLF_IO,
 * CLF_UNSUPPORTED (a build without pictures), CLF_OUT_OF_MEMORY. */
clf_status clf_png_write(const char *path, const clf_picture *p, clf_file_writer **w, clf_error *err);

#endif
