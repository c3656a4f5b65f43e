/* Tables of positions on a grid, computed on the host in double. */
#ifndef CLF_FUSION_SINCOS_H
#define CLF_FUSION_SINCOS_H

#include <stdint.h>

/* The table of a grid, row by row: table [rows columns, C], C a multiple of 4.
 *
 * Position (y, x) is [e(x), e(y)]: the column comes first.  e(t) of width C/2 has C/4 sines of t w_j, then C/4 cosines;
 * w_j = 10000^(-j / (C/4)).  Source: MAE's pos_embed.py, He et al. 2021, arXiv:2111.06377. */
void clf_sincos_grid(int64_t rows, int64_t columns, int64_t C, float *table);

/* A table [side side, C] resized to result [to to, C] as torch.nn.functional.interpolate does with mode "bicubic" and
 * align_corners false: cubic convolution with a = -0.75, borders repeated, no smoothing when it becomes smaller. */
void clf_bicubic_grid(const float *table, int64_t side, int64_t to, int64_t C, float *result);

/* n when n n = N, else 0. */
int64_t clf_square_side(int64_t N);

#endif
