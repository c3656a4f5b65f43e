/* Pictures cut into patches. */
#ifndef CLFUSION_PATCHES_H
#define CLFUSION_PATCHES_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[b, (i, j), (c, u, v)] = x[b, c, i patch + u, j patch + v]: what a convolution with stride `patch` and no overlap
 * multiplies by its weight [D, C, patch, patch], rows of patches from top to bottom.
 *
 * x      [B, C, H, W]                               f32, f16 or bf16; may be a view with dense rows of W.
 * patch  at least 1; divides H and W.
 * y      [B, (H/patch) (W/patch), C patch patch]    the type of x; may be a view with dense rows; apart from x.
 *
 * Values are moved, not computed: bit for bit.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_patches(clf_stream *s, clf_tensor x, int64_t patch, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_patches_check(clf_tensor x, int64_t patch, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
