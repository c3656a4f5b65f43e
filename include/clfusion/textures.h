/* What a picture looks like, cell by cell: colour, lightness, edges, place. */
#ifndef CLFUSION_TEXTURES_H
#define CLFUSION_TEXTURES_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

#define CLF_TEXTURE_CHANNELS 13

/**
 * The texture array of ARR-COC-0-1, its gradients not yet scaled.  The picture is resized to 16 g x 16 g (bilinear,
 * align_corners false, no antialias), whatever its sides; channels are taken there and reduced to g x g in the same way,
 * which is the mean of the middle 2 x 2 of each 16 x 16:
 *
 *     0 1 2    red, green, blue
 *     3 12     L* / 100 of CIE Lab (sRGB, white D65)
 *     4        (a* + 128) / 255
 *     5 6 7    Sobel's gx and gy of the grey picture 0.299 r + 0.587 g + 0.114 b, over 8, and sqrt(gx^2 + gy^2 + 1e-8)
 *     8 9      row and column, from 0 to 1
 *     10       distance from the middle of the picture over that of a corner
 *     11       channel 7
 *
 * x  [B, 3, H, W]     f32, f16 or bf16, usually 0 to 1; H and W from 1 to 2^31 - 1; B may be 0; may be a view.
 * y  [B, 13, g, g]    f32; g from 1 to CLF_TEXTURE_GRID; may be a view; apart from x.
 *
 * Colours outside 0 to 1 are taken as they are; NaN stays in the cells that see it.
 * Bounds for colours in 0 to 1: 1e-5 for channel 4, 2e-6 for all others.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 * Source: ARR_COC/texture.py of github.com/djwar42/arr-coc-0-1; CIE 15.
 */
CLF_API void clf_textures(clf_stream *s, clf_tensor x, clf_tensor y);

#define CLF_TEXTURE_GRID 4096

/** The same rules without stream or device. */
CLF_API clf_status clf_textures_check(clf_tensor x, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
