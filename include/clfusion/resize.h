/* Pictures and maps in another size. */
#ifndef CLFUSION_RESIZE_H
#define CLFUSION_RESIZE_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Weight of a pixel at distance t from the middle of the new one, in old pixels, when the picture grows. */
typedef enum clf_resample {
    CLF_RESAMPLE_BILINEAR = 0, /* 1 - |t| up to 1 */
    CLF_RESAMPLE_BICUBIC = 1,  /* the cubic with a = -1/2 up to 2 */
    CLF_RESAMPLE_LANCZOS = 2,  /* sinc(t) sinc(t / 3) up to 3 */
} clf_resample;

typedef struct clf_resize_options {
    uint32_t struct_size;
    clf_resample filter;
    bool antialias;        /* when the picture shrinks, the filter widens by the same factor */
    bool channels_first;   /* y is [B, C, h, w] instead of [B, h, w, C] */
    int64_t height, width; /* of the whole resized picture; 0: that of y */
    int64_t top, left;     /* where y begins in it */
    double rescale;        /* y = (resized rescale - mean[c]) / std[c] */
    const double *mean;    /* [C], host memory, read during the call; NULL: 0 */
    const double *std;     /* [C]; NULL: 1 */
} clf_resize_options;

/** Bilinear with antialias to the size of y, channels last, values as they are. */
static inline clf_resize_options clf_resize_options_default(void)
{
    clf_resize_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.antialias = true;
    options.rescale = 1.0;
    return options;
}

/**
 * Resampling by a separable filter, rows first, as Pillow's Image.resize:
 *
 *     s = W / width,  f = max(s, 1) with antialias, else 1;
 *     new column i = sum of w[j] (old column j) / sum of w[j],  w[j] = filter((j + 1/2 - (i + 1/2) s) / f),
 *     over the j within the filter's reach and the picture; then the same down the columns.
 *
 * x   [B, H, W, C] or [H, W, C], u8 or f32; a row of pixels without gaps.
 * y   f32, [B, h, w, C] or, channels first, [B, C, h, w]; the leading dimension as x has it; apart from x.
 * u8  equals Pillow bit for bit before `rescale`: weights of 22 bits, and 8 bits after each of the two passes.
 * f32 weights and sums in f32.  Bilinear without antialias is torch's interpolate with align_corners = False.
 *
 * y is the part of the resized picture that begins at (top, left) and may reach outside it: there the picture is 0,
 * before mean and std are applied, as where transformers crops more than there is.  Only what y needs is computed.
 * CLF_UNSUPPORTED: bicubic or Lanczos without antialias (torch's has other weights); weights of one axis above 2^24.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 * Source: Pillow up to 12, src/libImaging/Resample.c (13 takes the columns first where that is cheaper).
 */
CLF_API void clf_resize(clf_stream *s, clf_tensor x, const clf_resize_options *options, clf_tensor y);

/** The same rules without stream or device.  options NULL: the defaults. */
CLF_API clf_status clf_resize_check(clf_tensor x, const clf_resize_options *options, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
