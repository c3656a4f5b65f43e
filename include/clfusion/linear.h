/* Linear layers: matrix products with what stands before and after them. */
#ifndef CLFUSION_LINEAR_H
#define CLFUSION_LINEAR_H

#include <string.h>

#include <clfusion/activation.h>
#include <clfusion/context.h>
#include <clfusion/source.h>
#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** A weight packed for the context's provider of matrix products, and its bias.  Immutable, shared by threads. */
typedef struct clf_linear_weight clf_linear_weight;

/** A Linear as a checkpoint has it. */
typedef struct clf_linear_layer {
    clf_host_tensor weight; /* [out, in] f32, f16, bf16 or f64, as PyTorch stores it */
    clf_host_tensor bias;   /* [out], any of the same types; absent: none */
} clf_linear_layer;

/**
 * One of several weights that meet the same input, stacked to one product; with constant factors folded in, in f32,
 * and b' summed in double:
 *
 * W' = diag(row_scale) W diag(column_scale),  b' = row_scale (b + W column_shift)
 *
 * The vectors have any of the weight's types.
 *
 * So the gain and bias of a norm before the product move into the weights, and layers with norms of their own share one
 * product of the bare normalised rows; a gate per channel after the product moves in likewise.  A weight with a
 * column_scale or a row_scale lies in f32 as a whole, its values rounded to the storage type before they are scaled: W'
 * in a half type would no longer be what the checkpoint says.
 */
typedef struct clf_linear_part {
    clf_linear_layer layer;       /* [out_i, in] */
    clf_host_tensor column_scale; /* [in]; absent: 1 */
    clf_host_tensor column_shift; /* [in]; absent: 0 */
    clf_host_tensor row_scale;    /* [out_i]; absent: 1 */
} clf_linear_part;

typedef struct clf_linear_weight_desc {
    uint32_t struct_size;
    clf_host_tensor weight; /* [out, in] f32, f16, bf16 or f64, as PyTorch stores it */
    clf_host_tensor bias;   /* [out], any of the same types; absent: none */
    clf_dtype storage;      /* on the device: CLF_F32, CLF_F16, CLF_BF16; CLF_DTYPE_NONE: as the weight is (f64: f32) */
    /* Told when weights and biases have been read, of scales and shifts not: several weights may share them.  NULL:
     * nobody. */
    const clf_tensor_source *source;

    /* In place of weight and bias: out = the sum of the parts' out_i, in their order.  Parts without bias beside parts
     * with one have zeros; parts of different types have storage f32 unless `storage` says otherwise. */
    const clf_linear_part *parts;
    int32_t part_count;
} clf_linear_weight_desc;

/** Nothing set: no weight, no bias, storage as the weight is. */
static inline clf_linear_weight_desc clf_linear_weight_desc_default(void)
{
    clf_linear_weight_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Packs a weight into device memory and waits for it.  Host memory is not needed afterwards.  *w is NULL after an error;
 * it is the caller's to destroy, before the context.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR.
 */
CLF_API CLF_MUST_USE clf_status clf_linear_weight_create(clf_context *ctx, const clf_linear_weight_desc *desc,
                                                         clf_linear_weight **w, clf_error *err);
/** Frees the device memory; takes NULL.  Work in flight must have finished. */
CLF_API void clf_linear_weight_destroy(clf_linear_weight *w);

/** The dimensions of the weight [out, in]. */
CLF_API int64_t clf_linear_weight_out(const clf_linear_weight *w);
CLF_API int64_t clf_linear_weight_in(const clf_linear_weight *w);

/** What is done to the rows of x before the product. */
typedef enum clf_prologue {
    CLF_PROLOGUE_NONE = 0,
    CLF_PROLOGUE_LAYER_NORM = 1,
    CLF_PROLOGUE_RMS_NORM = 2
} clf_prologue;

typedef struct clf_linear_options {
    uint32_t struct_size;
    clf_prologue prologue;
    clf_tensor norm_weight; /* f32[in]; absent: none */
    clf_tensor norm_bias;   /* f32[in], layer norm with a weight only; may be absent */
    float norm_eps;
    bool norm_one_plus; /* RMS norm multiplies by 1 + weight */
    clf_activation activation;
    clf_tensor residual;  /* like y; absent: none.  May be y itself */
    float residual_scale; /* y = residual + residual_scale * value; default 1 */
} clf_linear_options;

/** No prologue (norm_eps 1e-5 when one is chosen), no activation, no residual (residual_scale 1). */
static inline clf_linear_options clf_linear_options_default(void)
{
    clf_linear_options desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.norm_eps = 1e-5F;
    desc.residual_scale = 1.0F;
    return desc;
}

/**
 * y = residual + scale * activation(norm(x) W^T + b); every part but the product is optional.
 *
 * x        [..., in]   f32, f16 or bf16; any number of rows, also none.
 * w        [out, in]   from clf_linear_weight_create in the stream's context.
 * options  NULL: the plain product with the weight's bias.
 * y        [..., out]  f32, or the type of x; the leading dimensions of x.  No overlap with x; may be a view.
 *
 * Accumulation in f32.  With the panel provider each element is one chain of fused multiply-adds in rising order of
 * `in`, whatever the number of rows: equal rows give equal bits in every batch.  CLBlast promises no order.
 * Bound before the activation, u = 2^-24: (in + 3) u (sum|x w| + |b|), against the product of the stored weights with the
 * rows after the prologue, for finite input that does not overflow.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_linear(clf_stream *s, clf_tensor x, const clf_linear_weight *w, const clf_linear_options *options,
                        clf_tensor y);

/** The same rules without stream or device, for a weight of [out, in]. */
CLF_API clf_status clf_linear_check(clf_tensor x, int64_t out, int64_t in, const clf_linear_options *options,
                                    clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
