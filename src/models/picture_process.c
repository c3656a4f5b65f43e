/* What a processor does to a picture, on the device: resized, cropped or filled up to whole patches, normalised. */
#include <clfusion/picture.h>

#include <inttypes.h>
#include <math.h>

#include "core/size.h"
#include "runtime/op.h"

#define CLF_OP "picture_process"

/* Python's int(side * scale); no picture grows. */
static int64_t shrunk(int64_t side, double scale)
{
    return scale < 1.0 ? (int64_t)((double)side * scale) : side;
}

/* Of the whole picture, before crop and added patches. */
static void resized_size(const clf_picture_processor *p, int64_t height, int64_t width, int64_t *h, int64_t *w)
{
    const int64_t edge = p->shortest_edge;

    *h = p->height > 0 && p->width > 0 ? p->height : height;
    *w = p->height > 0 && p->width > 0 ? p->width : width;
    if (p->fit_height > 0 && p->fit_width > 0) {
        const double scale = fmin((double)p->fit_height / (double)height, (double)p->fit_width / (double)width);

        *h = shrunk(height, scale);
        *w = shrunk(width, scale);
    } else if (edge > 0) { /* the product before the quotient and both in double, as Python divides */
        *h = width <= height ? (int64_t)((double)(edge * height) / (double)width) : edge;
        *w = width <= height ? edge : (int64_t)((double)(edge * width) / (double)height);
    }
}

/* A side of whole patches, or the side of `fit` where this ends within one. */
static int64_t whole_patches(int64_t side, int64_t patch, int64_t fit)
{
    return CLF_MIN((int64_t)clf_div_up((uint64_t)side, (uint64_t)patch) * patch, fit > 0 ? fit : INT64_MAX);
}

void clf_picture_processed_size(const clf_picture_processor *p, int64_t height, int64_t width, int64_t *h, int64_t *w)
{
    resized_size(p, height, width, h, w);
    if (p->crop_height > 0 && p->crop_width > 0) {
        *h = p->crop_height;
        *w = p->crop_width;
    } else if (p->patch > 0) {
        *h = whole_patches(*h, p->patch, p->fit_height);
        *w = whole_patches(*w, p->patch, p->fit_width);
    }
}

/* (whole - part) / 2, towards minus infinity. */
static int64_t middle(int64_t whole, int64_t part)
{
    const int64_t rest = whole - part;

    return rest >= 0 ? rest / 2 : -((1 - rest) / 2);
}

static clf_status check(const clf_picture *picture, const clf_picture_processor *p, clf_tensor y, clf_error *err)
{
    int64_t h, w;

    CLF_REQUIRE(err, p->struct_size == sizeof *p, CLF_INVALID_ARGUMENT,
                "struct_size is %u; want %zu: start from the _default() function", p->struct_size, sizeof *p);
    CLF_REQUIRE(err, picture->rgb != NULL && picture->height > 0 && picture->width > 0, CLF_INVALID_ARGUMENT,
                "picture is %" PRId64 " x %" PRId64 "; want at least 1 x 1", picture->height, picture->width);
    clf_picture_processed_size(p, picture->height, picture->width, &h, &w);
    CLF_REQUIRE(err, h > 0 && w > 0, CLF_INVALID_ARGUMENT,
                "picture is %" PRId64 " x %" PRId64 "; want one pixel of each side left in %" PRId64 " x %" PRId64,
                picture->height, picture->width, p->fit_height, p->fit_width);
    CLF_REQUIRE(err, p->patch_colour >= 0 && p->patch_colour <= UINT8_MAX, CLF_INVALID_ARGUMENT,
                "patch_colour is %" PRId64 "; want 0 to 255", p->patch_colour);
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(1, 3, h, w)), CLF_INVALID_ARGUMENT,
                "y is %s; want f32[1, 3, %" PRId64 ", %" PRId64 "] for a picture of %" PRId64 " x %" PRId64,
                CLF_TEXT(y), h, w, picture->height, picture->width);
    return CLF_OK;
}

static clf_resize_options options_of(const clf_picture_processor *p)
{
    clf_resize_options o = clf_resize_options_default();

    o.filter = p->filter;
    o.channels_first = true;
    o.rescale = p->rescale;
    o.mean = p->mean;
    o.std = p->std;
    return o;
}

/* All of y in the colour of the added patches: a picture of one pixel. */
static void paint(clf_stream *s, const clf_picture_processor *p, clf_tensor y)
{
    const uint8_t colour = (uint8_t)p->patch_colour, pixel[3] = { colour, colour, colour };
    const clf_tensor x = clf_scratch(s, CLF_U8, CLF_DIMS(1, 1, 1, 3));
    const clf_resize_options o = options_of(p);

    clf_upload_copy(s, pixel, sizeof pixel, x);
    clf_resize(s, x, &o, y);
}

void clf_picture_process(clf_stream *s, const clf_picture *picture, const clf_picture_processor *p, clf_tensor y)
{
    clf_resize_options o = options_of(p);

    if (!clf_op_enter(s) || !clf_op_passed(s, check(picture, p, y, clf_op_error(s))))
        return;
    resized_size(p, picture->height, picture->width, &o.height, &o.width);

    const clf_scope scope = clf_scope_open(s, "picture_process", -1);
    const clf_tensor x = clf_scratch(s, CLF_U8, CLF_DIMS(1, picture->height, picture->width, 3));
    if (p->patch > 0 && (o.height < y.dim[2] || o.width < y.dim[3])) {
        paint(s, p, y);
        y = clf_slice(s, clf_slice(s, y, 2, 0, o.height), 3, 0, o.width);
    }
    o.top = middle(o.height, y.dim[2]);
    o.left = middle(o.width, y.dim[3]);
    clf_upload_copy(s, picture->rgb, (uint64_t)picture->height * (uint64_t)picture->width * 3, x);
    clf_resize(s, x, &o, y);
    clf_scope_close(s, scope);
}
