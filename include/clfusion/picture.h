/* Pictures: PNG and JPEG files into RGB, and what a vision tower wants of them.
 *
 * A build without libpng and libjpeg (CLFUSION_PICTURES=OFF) answers CLF_UNSUPPORTED to clf_picture_load and
 * clf_picture_decode. */
#ifndef CLFUSION_PICTURE_H
#define CLFUSION_PICTURE_H

#include <clfusion/resize.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

#define CLF_PICTURE_PIXELS (INT64_C(1) << 26) /* of a picture, at most */
#define CLF_PICTURE_SIDE INT64_C(65535)       /* height and width, at most */
#define CLF_PICTURE_BYTES (UINT64_C(1) << 30) /* of a file, at most */

/** Rows of red, green and blue, 8 bits each, without gaps. */
typedef struct clf_picture {
    int64_t height, width;
    uint8_t *rgb; /* [height, width, 3]; clf_picture_free, or the caller's own memory where a picture is only read */
} clf_picture;

/**
 * Reads a PNG or JPEG file, told apart by its first bytes.  Every kind becomes what Pillow and transformers make of it:
 * grey three times, palettes looked up, transparency laid over white, CMYK turned into RGB, of 16 bits the upper 8 (of
 * grey, too, where Pillow cuts at 255); the orientation of EXIF, colour profiles and gamma are not applied; of an
 * animation the first picture.
 *
 * *p is empty after an error: CLF_IO, CLF_BAD_FILE (no such file, or cut short or damaged: the message says where),
 * CLF_UNSUPPORTED (larger than the limits above, known before memory is taken; more than 100 scans), CLF_OUT_OF_MEMORY.
 * Any thread.
 */
CLF_API CLF_MUST_USE clf_status clf_picture_load(const char *path, clf_picture *p, clf_error *err);

/** The same from memory; `label` stands before messages. */
CLF_API CLF_MUST_USE clf_status clf_picture_decode(const void *bytes, size_t count, const char *label, clf_picture *p,
                                                   clf_error *err);

/** Takes an empty picture too, and leaves one. */
CLF_API void clf_picture_free(clf_picture *p);

/** What is done to a picture before a tower sees it, in this order; as transformers' image processors. */
typedef struct clf_picture_processor {
    uint32_t struct_size;
    int64_t shortest_edge; /* resized so that the shorter side is this; 0: to height and width */
    int64_t height, width; /* 0, too: not resized */
    clf_resample filter;   /* with antialias */
    int64_t crop_height;   /* from the middle, with black where there is no picture; 0: not cropped */
    int64_t crop_width;
    int64_t fit_height; /* in place of the sizes above: shrunk by one factor into these where it is larger; 0: not */
    int64_t fit_width;
    int64_t patch;        /* rows below and columns on the right are added to whole patches, within fit; 0: none */
    int64_t patch_colour; /* of these, 0 to 255, before rescale */
    double rescale;       /* then (picture rescale - mean) / std for each colour */
    double mean[3];
    double std[3];
} clf_picture_processor;

/** Nothing at all: rescale 1, mean 0, std 1. */
static inline clf_picture_processor clf_picture_processor_default(void)
{
    clf_picture_processor p;

    memset(&p, 0, sizeof p);
    p.struct_size = sizeof p;
    p.filter = CLF_RESAMPLE_BICUBIC;
    p.rescale = 1.0;
    p.std[0] = p.std[1] = p.std[2] = 1.0;
    return p;
}

/**
 * The processor of a checkpoint: preprocessor_config.json in the folder (or beside the file) `checkpoint`, over what the
 * family does by default: "clip" (shortest edge 224, bicubic, crop 224), "siglip" (224 x 224, bicubic), "fuyu" (into
 * 1080 x 1920, whole patches of 30), clfusion's own "early_fusion" and "relevance" (as it is, from 0 to 1).
 * checkpoint NULL: the defaults.  *p is the default after an error: CLF_IO, CLF_BAD_FILE (not JSON, or a value breaks
 * its rule), CLF_UNSUPPORTED (neither file nor defaults; another filter or kind of size), CLF_OUT_OF_MEMORY.
 */
CLF_API CLF_MUST_USE clf_status clf_picture_processor_open(const char *checkpoint, const char *family,
                                                           clf_picture_processor *p, clf_error *err);

/** The same from the text of preprocessor_config.json. */
CLF_API CLF_MUST_USE clf_status clf_picture_processor_parse(const char *text, size_t bytes, const char *family,
                                                            clf_picture_processor *p, clf_error *err);

/** Height and width of what clf_picture_process makes of a picture of height by width; 0 where a side is shrunk to
 * nothing. */
CLF_API void clf_picture_processed_size(const clf_picture_processor *p, int64_t height, int64_t width, int64_t *h,
                                        int64_t *w);

/** y = the processed picture.  y f32 [1, 3, h, w].  The picture is free when the call returns.  Values equal
 * transformers' image processor with its Pillow backend bit for bit up to `rescale`.  Threads, errors: as an operator. */
CLF_API void clf_picture_process(clf_stream *s, const clf_picture *picture, const clf_picture_processor *p,
                                 clf_tensor y);

CLF_END_DECLS

#endif
