/* Windows of a grid of tokens side by side: pixel shuffle, merging of cells, and what a convolution multiplies. */
#ifndef CLFUSION_UNFOLD_H
#define CLFUSION_UNFOLD_H

#include <string.h>

#include <clfusion/grid.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Where channel c of the token (u, v) of a window goes, the window k wide. */
typedef enum clf_unfold_order {
    CLF_UNFOLD_BLOCK_MAJOR = 0,  /* (u k + v) C + c: Idefics3, InternVL, Llama 4, Aya, Ovis and most others */
    CLF_UNFOLD_CHANNEL_MAJOR = 1 /* c k k + u k + v: torch.nn.functional.unfold; Mistral 3, DeepSeek-VL2 */
} clf_unfold_order;

typedef struct clf_unfold_options {
    uint32_t struct_size;
    int64_t kernel;         /* k, side of a window; default 2 */
    int64_t stride;         /* from a window to the next; default 2 */
    int64_t padding;        /* the first window begins so many rows above and columns left of the grid; default 0 */
    clf_unfold_order order; /* default CLF_UNFOLD_BLOCK_MAJOR */
} clf_unfold_options;

/** 2 x 2 cells that do not overlap, block-major. */
static inline clf_unfold_options clf_unfold_options_default(void)
{
    clf_unfold_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.kernel = options.stride = 2;
    return options;
}

/**
 * y[b, (i, j), (u, v, c)] = x[b, (i stride - padding + u, j stride - padding + v), c], 0 outside the grid of x.
 *
 * x     [B, H W, C]    any type of 2 or 4 bytes; B and C may be 0; may be a view with dense rows.
 * from  H and W, 1 to 2^31 - 1; their product is the number of rows of x.
 * to    h and w, 1 to 2^31 - 1: how many windows; those that reach outside the grid have zeros there.
 * y     [B, h w, k k C]  the type of x; may be a view with dense rows; apart from x.
 * kernel, stride 1 to 2^15; padding 0 to 2^15.
 *
 * Values are moved, not computed: bit for bit.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_unfold(clf_stream *s, clf_tensor x, clf_grid from, const clf_unfold_options *options, clf_grid to,
                        clf_tensor y);

/** The same rules without stream or device.  options NULL: the defaults. */
CLF_API clf_status clf_unfold_check(clf_tensor x, clf_grid from, const clf_unfold_options *options, clf_grid to,
                                    clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
