/* What is done to a picture before a tower: preprocessor_config.json over the family's defaults.  The doing:
 * picture_process.c. */
#include <clfusion/picture.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "checkpoint/config.h"
#include "checkpoint/file_map.h"
#include "core/alloc.h"
#include "core/desc.h"
#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

#define CLF_OP "picture_process"
#define FILE_NAME "preprocessor_config.json"
#define MOST_SIDE 32768 /* of what a tower sees */

static clf_picture_processor clip(void)
{
    clf_picture_processor p = clf_picture_processor_default();

    p.shortest_edge = p.crop_height = p.crop_width = 224;
    p.rescale = 1.0 / 255.0;
    memcpy(p.mean, (const double[]){ 0.48145466, 0.4578275, 0.40821073 }, sizeof p.mean);
    memcpy(p.std, (const double[]){ 0.26862954, 0.26130258, 0.27577711 }, sizeof p.std);
    return p;
}

static clf_picture_processor siglip(void)
{
    clf_picture_processor p = clf_picture_processor_default();

    p.height = p.width = 224;
    p.rescale = 1.0 / 255.0;
    for (int c = 0; c < 3; c++)
        p.mean[c] = p.std[c] = 0.5;
    return p;
}

/* Source: transformers' FuyuImageProcessorPil, and what preprocess_with_tokenizer_info keeps of its picture. */
static clf_picture_processor fuyu(void)
{
    clf_picture_processor p = siglip();

    p.height = p.width = 0;
    p.filter = CLF_RESAMPLE_BILINEAR;
    p.fit_height = 1080;
    p.fit_width = 1920;
    p.patch = 30;
    p.patch_colour = 1;
    return p;
}

/* clfusion's own modules take the picture as it is, from 0 to 1. */
static clf_picture_processor unit(void)
{
    clf_picture_processor p = clf_picture_processor_default();

    p.rescale = 1.0 / 255.0;
    return p;
}

static const struct {
    const char *family;
    clf_picture_processor (*processor)(void);
} known[] = {
    { "clip", clip }, { "siglip", siglip }, { "fuyu", fuyu }, { "early_fusion", unit }, { "relevance", unit },
};

static bool default_of(const char *family, clf_picture_processor *p)
{
    for (size_t i = 0; i < CLF_COUNT(known); i++)
        if (strcmp(known[i].family, family) == 0) {
            *p = known[i].processor();
            return true;
        }
    return false;
}

/* A side of pixels.  Absent: *side stays. */
static clf_status read_side(const clf_config *c, const char *key, int64_t *side, clf_error *err)
{
    int64_t value = *side;

    CLF_TRY(clf_config_int(c, key, &value, err));
    if (clf_config_has(c, key) && (value < 1 || value > MOST_SIDE))
        return CLF_FAIL(err, CLF_BAD_FILE, FILE_NAME ": %s is %" PRId64 "; want 1 to %d", key, value, MOST_SIDE);
    *side = value;
    return CLF_OK;
}

static clf_status read_flag(const clf_config *c, const char *key, bool default_value, bool *value, clf_error *err)
{
    *value = default_value;
    return clf_config_bool(c, key, value, err);
}

/* Families that fit a picture in: "size" is {height, width}; patches are square. */
static clf_status read_fit(const clf_config *c, clf_picture_processor *p, clf_error *err)
{
    bool resize, pad;
    double colour = (double)p->patch_colour;
    const char *mode = "constant";
    int64_t height;

    CLF_TRY(read_flag(c, "do_resize", true, &resize, err));
    CLF_TRY(read_flag(c, "do_pad", true, &pad, err));
    CLF_TRY(read_side(c, "size.height", &p->fit_height, err));
    CLF_TRY(read_side(c, "size.width", &p->fit_width, err));
    if (clf_config_count(c, "patch_size") == 0)
        CLF_TRY(read_side(c, "patch_size", &p->patch, err));
    CLF_TRY(read_side(c, "patch_size.width", &p->patch, err));
    height = p->patch;
    CLF_TRY(read_side(c, "patch_size.height", &height, err));
    CLF_TRY(clf_config_float(c, "padding_value", &colour, err));
    CLF_TRY(clf_config_text(c, "padding_mode", &mode, err));
    if (!resize)
        return CLF_FAIL(err, CLF_UNSUPPORTED, FILE_NAME ": do_resize is false; want true, so that size holds");
    if (height != p->patch)
        return CLF_FAIL(err, CLF_UNSUPPORTED, FILE_NAME ": patch_size is %" PRId64 " x %" PRId64 "; want a square",
                        height, p->patch);
    if (strcmp(mode, "constant") != 0 || !(colour >= 0.0 && colour <= 255.0) || floor(colour) != colour)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        FILE_NAME ": padding_mode is %s and padding_value %g; want constant, and a whole number from 0 "
                                  "to 255",
                        clf_text_quote(mode, strlen(mode)).text, colour);
    p->patch_colour = (int64_t)colour;
    if (!pad)
        p->patch = 0;
    return CLF_OK;
}

/* "size" is {shortest_edge}, {height, width}, or a number, which older files mean as the shortest edge. */
static clf_status read_size(const clf_config *c, clf_picture_processor *p, clf_error *err)
{
    int64_t height = 0, width = 0, edge = 0;
    bool wanted;

    if (p->fit_height > 0)
        return read_fit(c, p, err);
    CLF_TRY(read_flag(c, "do_resize", true, &wanted, err));
    if (wanted && !clf_config_has(c, "size"))
        return CLF_OK;
    p->shortest_edge = p->height = p->width = 0;
    if (!wanted)
        return CLF_OK;
    if (clf_config_has(c, "size.longest_edge"))
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        FILE_NAME ": size has longest_edge; want shortest_edge, or height and width");
    if (clf_config_count(c, "size") == 0)
        return read_side(c, "size", &p->shortest_edge, err);
    CLF_TRY(read_side(c, "size.shortest_edge", &edge, err));
    CLF_TRY(read_side(c, "size.height", &height, err));
    CLF_TRY(read_side(c, "size.width", &width, err));
    if ((edge > 0) == (height > 0 && width > 0))
        return CLF_FAIL(err, CLF_BAD_FILE,
                        FILE_NAME ": size is neither {shortest_edge} nor {height, width}; want one of these");
    p->shortest_edge = edge;
    p->height = edge > 0 ? 0 : height;
    p->width = edge > 0 ? 0 : width;
    return CLF_OK;
}

static clf_status read_crop(const clf_config *c, clf_picture_processor *p, clf_error *err)
{
    bool wanted;

    CLF_TRY(read_flag(c, "do_center_crop", p->crop_height > 0, &wanted, err));
    if (!wanted) {
        p->crop_height = p->crop_width = 0;
        return CLF_OK;
    }
    if (clf_config_count(c, "crop_size") == 0) {
        CLF_TRY(read_side(c, "crop_size", &p->crop_height, err));
        if (clf_config_has(c, "crop_size"))
            p->crop_width = p->crop_height;
    }
    CLF_TRY(read_side(c, "crop_size.height", &p->crop_height, err));
    CLF_TRY(read_side(c, "crop_size.width", &p->crop_width, err));
    if (p->crop_height > 0 && p->crop_width > 0)
        return CLF_OK;
    return CLF_FAIL(err, CLF_BAD_FILE,
                    FILE_NAME ": do_center_crop is true without crop_size; want its height and width");
}

/* Pillow's numbers. */
static clf_status read_filter(const clf_config *c, clf_picture_processor *p, clf_error *err)
{
    int64_t number = p->filter == CLF_RESAMPLE_BICUBIC ? 3 : 2;

    CLF_TRY(clf_config_int(c, "resample", &number, err));
    if (number < 1 || number > 3)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        FILE_NAME ": resample is %" PRId64 "; want 1 (lanczos), 2 (bilinear) or 3 (bicubic)", number);
    p->filter = number == 1 ? CLF_RESAMPLE_LANCZOS : number == 2 ? CLF_RESAMPLE_BILINEAR : CLF_RESAMPLE_BICUBIC;
    return CLF_OK;
}

/* Three numbers, or one for all. */
static clf_status read_colours(const clf_config *c, const char *key, double *values, clf_error *err)
{
    double read[3] = { 0 };
    size_t count = 0;

    CLF_TRY(clf_config_floats(c, key, read, CLF_COUNT(read), &count, err));
    if (!clf_config_has(c, key))
        return CLF_OK;
    if (count != 1 && count != 3)
        return CLF_FAIL(err, CLF_BAD_FILE, FILE_NAME ": %s has %zu numbers; want 3, or 1 for all colours", key, count);
    for (size_t i = 0; i < 3; i++)
        values[i] = read[count == 1 ? 0 : i];
    return CLF_OK;
}

static clf_status read_values(const clf_config *c, clf_picture_processor *p, clf_error *err)
{
    bool rescale, normalise;

    CLF_TRY(read_flag(c, "do_rescale", true, &rescale, err));
    CLF_TRY(clf_config_float(c, "rescale_factor", &p->rescale, err));
    CLF_TRY(read_flag(c, "do_normalize", true, &normalise, err));
    CLF_TRY(read_colours(c, "image_mean", p->mean, err));
    CLF_TRY(read_colours(c, "image_std", p->std, err));
    if (!rescale)
        p->rescale = 1.0;
    for (size_t i = 0; i < 3; i++) {
        p->mean[i] = normalise ? p->mean[i] : 0.0;
        p->std[i] = normalise ? p->std[i] : 1.0;
        if (!(p->std[i] > 0.0))
            return CLF_FAIL(err, CLF_BAD_FILE, FILE_NAME ": image_std[%zu] is %g; want above 0", i, p->std[i]);
    }
    return CLF_OK;
}

static clf_status read_all(const clf_config *c, clf_picture_processor *p, clf_error *err)
{
    CLF_TRY(read_size(c, p, err));
    CLF_TRY(read_crop(c, p, err));
    CLF_TRY(read_filter(c, p, err));
    return read_values(c, p, err);
}

clf_status clf_picture_processor_parse(const char *text, size_t bytes, const char *family, clf_picture_processor *p,
                                       clf_error *err)
{
    clf_picture_processor read = clf_picture_processor_default();
    clf_config *c = NULL;
    clf_status status;

    *p = read;
    if (!default_of(family, &read)) /* what transformers assumes where a file leaves it out */
        read = unit();
    CLF_TRY(clf_config_create(FILE_NAME, text, bytes, NULL, &c, err));
    status = read_all(c, &read, err);
    clf_config_destroy(c);
    if (status == CLF_OK)
        *p = read;
    return status;
}

/* The path of the file in a folder, or beside a file; NULL without memory. */
static char *config_path(const char *checkpoint)
{
    char *folder, *path;

    if (clf_file_is_folder(checkpoint))
        return clf_file_join(checkpoint, FILE_NAME);
    const size_t length = (size_t)(clf_file_base(checkpoint) - checkpoint);
    folder = length > 0 ? clf_strndup(checkpoint, length) : clf_strdup(".");
    path = folder != NULL ? clf_file_join(folder, FILE_NAME) : NULL;
    clf_free(folder);
    return path;
}

clf_status clf_picture_processor_open(const char *checkpoint, const char *family, clf_picture_processor *p,
                                      clf_error *err)
{
    char *path = checkpoint != NULL ? config_path(checkpoint) : NULL, *text = NULL;
    size_t bytes = 0;
    clf_status status;

    *p = clf_picture_processor_default();
    CLF_REQUIRE(err, checkpoint == NULL || path != NULL, CLF_OUT_OF_MEMORY, "no memory for a path beside %s",
                checkpoint);
    if (path == NULL || !clf_file_there(path)) {
        clf_free(path);
        CLF_REQUIRE(err, default_of(family, p), CLF_UNSUPPORTED,
                    "how %s wants its pictures is not known; want " FILE_NAME " beside the checkpoint", family);
        return CLF_OK;
    }
    status = clf_file_read(path, CLF_CONFIG_BYTES, &text, &bytes, err);
    clf_free(path);
    if (status == CLF_OK)
        status = clf_picture_processor_parse(text, bytes, family, p, err);
    clf_free(text);
    return status;
}
