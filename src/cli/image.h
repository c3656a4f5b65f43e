/* --image: the input "image" of families that begin with pixels, from a PNG or JPEG. */
#ifndef CLF_CLI_IMAGE_H
#define CLF_CLI_IMAGE_H

#include "cli/values.h"

/* Processes the picture as the checkpoint says, on the device, into the input "image", whose path is NULL.  Enqueued on
 * s.  A connector without that input is named. */
clf_status clf_cli_image_load(clf_cli_values *inputs, const char *path, const char *checkpoint, const clf_connector *c,
                              clf_stream *s, clf_error *err);

#endif
