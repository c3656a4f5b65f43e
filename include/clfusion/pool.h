/* Average pooling of tokens on a grid. */
#ifndef CLFUSION_POOL_H
#define CLFUSION_POOL_H

#include <clfusion/grid.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[b, (i, j), :] = mean of x[b, (m, n), :] over the rows m from floor(i H / h) to ceil((i + 1) H / h) - 1 and the
 * columns n from floor(j W / w) to ceil((j + 1) W / w) - 1, for the grid `from` of H x W and the grid `to` of h x w.
 * Cells overlap where h does not divide H; where h is above H a row serves several cells.
 *
 * x     [B, H W, C]  f32, f16 or bf16; B and C may be 0; may be a view with dense rows.
 * from  H and W, 1 to 2^31 - 1; their product is the number of rows of x.
 * to    h and w, 1 to 2^31 - 1.
 * y     [B, h w, C]  f32, or the type of x; may be a view with dense rows; apart from x.
 *
 * Sums in f32, row by row and column by column of the cell, then one quotient: equal pictures give equal bits in every
 * batch.  NaN and infinities go to the cells that hold them.  Bound, u = 2^-24, for a cell of n tokens: (n + 5) u times
 * the mean of |x|.  Not promised: cells whose sum overflows f32.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 * Source: torch.nn.AdaptiveAvgPool2d.
 */
CLF_API void clf_pool(clf_stream *s, clf_tensor x, clf_grid from, clf_grid to, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_pool_check(clf_tensor x, clf_grid from, clf_grid to, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
