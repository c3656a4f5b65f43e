/* Compression of visual tokens by convolution: 16 times fewer. */
#ifndef CLFUSION_CONV_COMPRESS_H
#define CLFUSION_CONV_COMPRESS_H

#include <string.h>

#include <clfusion/context.h>
#include <clfusion/grid.h>
#include <clfusion/linear.h>
#include <clfusion/source.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * tokens = Linear(conv2(conv1(vision))): convolutions of 3 x 3, stride 2, padding 1, without bias and without an
 * activation between them.  A grid of H x W becomes ceil(H / 2) x ceil(W / 2) with the first and again with the
 * second.
 *
 * Source: DeepSeek-OCR, arXiv:2510.18234, between its SAM encoder and its CLIP encoder.
 */
typedef struct clf_conv_compress clf_conv_compress;

typedef struct clf_conv_compress_desc {
    uint32_t struct_size;
    clf_host_tensor conv1;           /* [C1, Dv, 3, 3] f32, f16, bf16 or f64 */
    clf_host_tensor conv2;           /* [C2, C1, 3, 3] */
    clf_linear_layer proj;           /* [Dt, C2], [Dt] */
    clf_dtype storage;               /* of the weights on the device; CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source; /* told when host memory has been read; NULL: nobody */
} clf_conv_compress_desc;

/** Nothing set. */
static inline clf_conv_compress_desc clf_conv_compress_desc_default(void)
{
    clf_conv_compress_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Checks that the widths follow each other, then packs the weights and waits for it.  Host memory is not needed
 * afterwards.  *m is the caller's to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_conv_compress_create(clf_context *ctx, const clf_conv_compress_desc *desc,
                                                         clf_conv_compress **m, clf_error *err);

/** Frees the weights; takes NULL.  Work in flight must have finished. */
CLF_API void clf_conv_compress_destroy(clf_conv_compress *m);

/** The grid that becomes of one of `grid`: ceil(ceil(H / 2) / 2) rows, columns likewise. */
CLF_API clf_grid clf_conv_compress_grid(clf_grid grid);

/** The shape of `tokens` (f32) for pictures of a grid, or the rule they break (CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED;
 * *tokens is then absent); needs no device.  Threads: any. */
CLF_API clf_status clf_conv_compress_check(const clf_conv_compress *m, clf_tensor vision, clf_grid grid,
                                           clf_tensor *tokens, clf_error *err);

/**
 * vision  [B, H W, Dv]  f32, f16 or bf16; may be a view with dense rows
 * grid    H and W of every picture, 1 to 2^31 - 1
 * tokens  [B, h w, Dt]  f32, or the type of vision; h x w is clf_conv_compress_grid's; may be a view; no overlap with
 *                       vision
 *
 * Between the steps in f32.  Scratch: 9 Dv or 9 C1 values for each token of the larger step, of as many pictures as
 * have 4096 such tokens together, and of one at least.
 * Ownership, threads, errors and the state of tokens after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_conv_compress_forward(clf_stream *s, const clf_conv_compress *m, clf_tensor vision, clf_grid grid,
                                       clf_tensor tokens);

/** Dv and Dt. */
CLF_API int64_t clf_conv_compress_vision_width(const clf_conv_compress *m);
CLF_API int64_t clf_conv_compress_text_width(const clf_conv_compress *m);

CLF_END_DECLS

#endif
