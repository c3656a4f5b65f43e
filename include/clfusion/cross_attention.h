/* Cross-attention layers: text that looks at pictures, and the memory of pictures that it looks at. */
#ifndef CLFUSION_CROSS_ATTENTION_H
#define CLFUSION_CROSS_ATTENTION_H

#include <string.h>

#include <clfusion/attention.h>
#include <clfusion/layers.h>

CLF_BEGIN_DECLS

/** Where residuals and norms stand. */
typedef enum clf_cross_form {
    CLF_CROSS_PLAIN = 0,    /* y = attention(norm(x), media); no residual, no feed-forward */
    CLF_CROSS_RESIDUAL = 1, /* y = x + g attention(norm(x), media);  y = y + g' feed_forward(norm'(y)) */
    CLF_CROSS_POST_NORM = 2 /* y = norm(x + attention(x, media));  y = norm'(y + feed_forward(y)) */
} clf_cross_form;

/** A layer.  Its norms stand where the form says: before attention and feed-forward, or after them (post-norm). */
typedef struct clf_cross_layer_desc {
    clf_attention_layer_desc attention; /* result as wide as the text; a gate needs the form residual */
    clf_feed_forward_desc feed_forward; /* up.weight absent: none; form plain has none */
} clf_cross_layer_desc;

/**
 * Layers that read the same media: one of Flamingo, Idefics or Mllama, or a whole stack.
 *
 * The keys and values of all layers are one product of the media.  One module serves cross_attention, gated
 * cross-attention (with a dense layer, as a stack), the post-norm fusion block, OpenFlamingo's and Idefics' gated blocks
 * and Mllama's cross-attention layers.
 * Source: Alayrac et al. 2022, arXiv:2204.14198; transformers' IdeficsGatedCrossAttentionLayer and
 * MllamaCrossAttentionDecoderLayer.
 */
typedef struct clf_cross_attention clf_cross_attention;

typedef struct clf_cross_attention_desc {
    uint32_t struct_size;
    clf_cross_form form;
    const clf_cross_layer_desc *layers; /* 1 or more, all with the same widths and the same heads */
    int32_t layer_count;
    clf_linear_layer media_projection; /* [Dm', Dm] before the keys and values of all layers; weight absent: none */
    clf_dtype storage;                 /* of the weights on the device; CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source;   /* told when host memory has been read; NULL: nobody */
} clf_cross_attention_desc;

/** Form plain, nothing else set. */
static inline clf_cross_attention_desc clf_cross_attention_desc_default(void)
{
    clf_cross_attention_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    return desc;
}

/**
 * Checks the description, packs the weights and waits for it.  *c is the caller's to destroy, before the context; NULL
 * after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_cross_attention_create(clf_context *ctx, const clf_cross_attention_desc *desc,
                                                           clf_cross_attention **c, clf_error *err);

/** Frees the weights; takes NULL.  Work in flight must have finished. */
CLF_API void clf_cross_attention_destroy(clf_cross_attention *c);

CLF_API int32_t clf_cross_attention_layers(const clf_cross_attention *c);
CLF_API int64_t clf_cross_attention_text_width(const clf_cross_attention *c);
CLF_API int64_t clf_cross_attention_media_width(const clf_cross_attention *c);

/**
 * Visual memory: the keys and values of pictures, for every layer of a module.  Made once for a picture, read by the
 * prefill and by every step of decoding after it.
 */
typedef struct clf_visual_memory clf_visual_memory;

/**
 * Room for B rows of a batch with up to K keys each, nothing written yet.
 *
 * storage  of keys and values on the device: CLF_F32 (CLF_DTYPE_NONE too), CLF_F16 or CLF_BF16: half the bytes that a step
 *          reads, and 2^-12 or 2^-9 of relative rounding.
 * *m       the caller's to destroy, before the module and the context; NULL after an error.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_visual_memory_create(const clf_cross_attention *c, int64_t B, int64_t K,
                                                         clf_dtype storage, clf_visual_memory **m, clf_error *err);
CLF_API void clf_visual_memory_destroy(clf_visual_memory *m); /* takes NULL */

/**
 * Writes the keys and values of `media` behind what is there: pictures of an interleaved sequence one after another, or
 * all at once.  Keys are normalised here, once.
 *
 * media [B, K', Dm]  f32, f16 or bf16; K' = 0 writes nothing
 *
 * One thread at a time uses a memory.  After an error of the stream the memory has the keys that it had before; what it
 * holds is valid once the stream has run without one.  Ownership, errors: as for every operator, clfusion/stream.h;
 * CLF_INVALID_ARGUMENT when there is no room.
 */
CLF_API void clf_visual_memory_append(clf_stream *s, clf_visual_memory *m, clf_tensor media);

/** Forgets all keys; the memory stays. */
CLF_API void clf_visual_memory_clear(clf_visual_memory *m);
CLF_API int64_t clf_visual_memory_keys(const clf_visual_memory *m); /* written so far */

typedef struct clf_cross_options {
    uint32_t struct_size;
    /* What a text position sees: mask, mask_block, key_lengths, groups, unseen, weights of clf_attention_options.  Scale,
     * norms and causal stay at their defaults: they are the module's. */
    clf_attention_options attention;
    /* i32 [B, T], dense: b T + t, or -1 where the feed-forward branch is left out (Mllama's rows that see no picture);
     * absent: nowhere.  Any other row number gives that row's result. */
    clf_tensor feed_forward_rows;
} clf_cross_options;

static inline clf_cross_options clf_cross_options_default(void)
{
    clf_cross_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.attention = clf_attention_options_default();
    return options;
}

/**
 * hidden = layer `layer` of the module.
 *
 * text     [B, T, Dt]  f32, f16 or bf16; T = 0 does nothing, T = 1 is a step of decoding
 * memory   of this module, with B rows; K is what has been written: with K = 0 no position sees a key
 * options  NULL: the defaults, every position sees all keys
 * hidden   [B, T, Dt]  f32, or the type of text; may be text itself, else apart; its memory is read, too
 *
 * A position that sees no key has the attention that options->attention.unseen says, before the projections behind it:
 * 0 still meets their biases.  A gate of 0 gives text bit for bit (but -0 becomes 0) where the branch is finite.
 * After the first call with these sizes nothing is allocated, neither on the device nor on the host.
 * Ownership, threads, errors and the state of hidden after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_cross_attention_forward(clf_stream *s, const clf_cross_attention *c, int32_t layer, clf_tensor text,
                                         const clf_visual_memory *memory, const clf_cross_options *options,
                                         clf_tensor hidden);

/**
 * All layers, one after another, on media that nobody needs again: keys and values in scratch.
 *
 * media    [B, K, Dm]  f32, f16 or bf16; apart from hidden
 * options  of every layer; its attention.weights receives those of layer `weights_of`
 *
 * text, hidden and the rest as for clf_cross_attention_forward.
 */
CLF_API void clf_cross_attention_stack(clf_stream *s, const clf_cross_attention *c, clf_tensor text, clf_tensor media,
                                       const clf_cross_options *options, int32_t weights_of, clf_tensor hidden);

/** The rules of clf_cross_attention_stack without a device, from shapes alone.  Those of clf_cross_attention_forward
 * are the same, with the keys of the memory for media. */
CLF_API CLF_MUST_USE clf_status clf_cross_attention_check(const clf_cross_attention *c, clf_tensor text,
                                                          clf_tensor media, const clf_cross_options *options,
                                                          clf_tensor hidden, clf_error *err);

CLF_END_DECLS

#endif
