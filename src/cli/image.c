/* A picture in the place of an npy file. */
#include "cli/image.h"

#include <inttypes.h>
#include <string.h>

#include <clfusion/picture.h>

#include "core/error.h"

#define CLF_OP "run"

static clf_status check_family(const char *path, const clf_connector_info *info, clf_error *err)
{
    const char *instead = info->input_count > 0 ? info->inputs[0].name : "NAME";

    for (size_t i = 0; i < info->input_count; i++) {
        if (strcmp(info->inputs[i].name, "image") == 0)
            return CLF_OK;
        if (strcmp(info->inputs[i].name, "vision") == 0)
            instead = "vision";
    }
    return CLF_FAIL(err, CLF_UNSUPPORTED,
                    CLF_OP ": --image is %s; %s does not start from pixels; want --input %s=FILE.npy", path,
                    info->family, instead);
}

static clf_status process(clf_value *value, const clf_picture *picture, const clf_picture_processor *p, clf_stream *s,
                          clf_error *err)
{
    int64_t h, w;

    clf_picture_processed_size(p, picture->height, picture->width, &h, &w);
    CLF_REQUIRE(err, h > 0 && w > 0, CLF_INVALID_ARGUMENT,
                "--image is %" PRId64 " x %" PRId64 " pixels; want one of each side left in %" PRId64 " x %" PRId64,
                picture->height, picture->width, p->fit_height, p->fit_width);
    CLF_TRY(clf_tensor_create(clf_stream_context(s), CLF_F32, CLF_DIMS(1, 3, h, w), &value->tensor, err));
    clf_picture_process(s, picture, p, value->tensor);
    return clf_stream_finish(s, err); /* planning may read it, on a stream of its own */
}

clf_status clf_cli_image_load(clf_cli_values *inputs, const char *path, const char *checkpoint, const clf_connector *c,
                              clf_stream *s, clf_error *err)
{
    const clf_connector_info info = clf_connector_describe(c);
    clf_picture_processor p;
    clf_picture picture;
    size_t at = 0;

    CLF_TRY(check_family(path, &info, err));
    CLF_TRY(clf_picture_processor_open(checkpoint, info.family, &p, err));
    CLF_TRY(clf_picture_load(path, &picture, err));
    while (inputs->files[at].path != NULL) /* the entry that run has made for it */
        at++;
    const clf_status status = process(&inputs->values[at], &picture, &p, s, err);
    clf_picture_free(&picture);
    return status;
}
