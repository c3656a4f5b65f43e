/* Relevance realisation: the cells of a picture that matter to a query, and how many tokens each is worth. */
#ifndef CLFUSION_RELEVANCE_H
#define CLFUSION_RELEVANCE_H

#include <string.h>

#include <clfusion/layers.h>
#include <clfusion/min_max.h>
#include <clfusion/textures.h>

CLF_BEGIN_DECLS

/**
 * ARR-COC-0-1.  Of a picture on a grid of g x g cells, N = g g:
 *
 *     textures       13 channels of each cell (clfusion/textures.h), 5 to 7 and so 11 scaled
 *     information    scaled entropy of the softmax over the channels, log(p + 1e-10)
 *     perspectival   channel 7, the strength of edges
 *     participatory  (1 + cos(texture[1](relu(texture[0](channels))), query)) / 2
 *     weights        softmax(balance[2](relu(balance[1](relu(balance[0]([mean, maximum and unbiased standard deviation of
 *                    each of the three maps, query])))))
 *     relevance      the weighted sum of the three maps, scaled
 *     indices        the k cells of most relevance, the best first; of equal ones the lower index
 *     budgets        tokens of each of them by its relevance (clfusion/budgets.h)
 *     dense_tokens   the features of each cell averaged to the largest square of tokens within its budget
 *                    (clfusion/detail_pool.h), cell after cell, picture after picture
 *
 * "Scaled" is (x - min) / (max - min + 1e-8) over all pictures of the batch, as in the reference, or each alone.
 * Source: ARR_COC of github.com/djwar42/arr-coc-0-1.
 */
typedef struct clf_relevance clf_relevance;

typedef struct clf_relevance_desc {
    uint32_t struct_size;
    int64_t grid;                    /* g, 2 to CLF_TEXTURE_GRID; default 32 */
    int64_t k;                       /* 1 to N; default 0: 200, or N where that is less */
    int64_t min_tokens, max_tokens;  /* of a cell; default 64 and 400 */
    int64_t total;                   /* of the budgets of a picture; default 0: as they come */
    clf_min_max_over scale;          /* default CLF_MIN_MAX_BATCH */
    clf_linear_layer texture[2];     /* [F, 13], [Q, F]; absent: no participatory map and none that needs it */
    clf_linear_layer balance[3];     /* [P, 9 + Q], [P', P], [3, P']; with texture, and not without */
    clf_dtype storage;               /* on the device (a factorised texture[1]: f32); CLF_DTYPE_NONE: as stored */
    const clf_tensor_source *source; /* told when host memory has been read; NULL: nobody */
} clf_relevance_desc;

/** The numbers above; no weights. */
static inline clf_relevance_desc clf_relevance_desc_default(void)
{
    clf_relevance_desc desc;

    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.grid = 32;
    desc.min_tokens = 64;
    desc.max_tokens = 400;
    return desc;
}

/**
 * Checks the description, packs the weights and waits for it.  Host memory is not needed afterwards.  *m is the caller's
 * to destroy, before the context; NULL after an error.  Threads: any.
 * Errors: CLF_INVALID_ARGUMENT, CLF_UNSUPPORTED, CLF_OUT_OF_MEMORY, CLF_OUT_OF_DEVICE_MEMORY, CLF_DEVICE_ERROR,
 * CLF_DEVICE_LOST.
 */
CLF_API CLF_MUST_USE clf_status clf_relevance_create(clf_context *ctx, const clf_relevance_desc *desc,
                                                     clf_relevance **m, clf_error *err);
CLF_API void clf_relevance_destroy(clf_relevance *m); /* takes NULL; work in flight must have finished */

CLF_API int64_t clf_relevance_grid(const clf_relevance *m);        /* g */
CLF_API int64_t clf_relevance_count(const clf_relevance *m);       /* k */
CLF_API int64_t clf_relevance_query_width(const clf_relevance *m); /* Q; 0 without weights */

/** What a call reads and writes.  Outputs that are absent are not computed, and what they alone need may be absent. */
typedef struct clf_relevance_call {
    uint32_t struct_size;
    clf_tensor image;          /* [B, 3, H, W]   f32, f16 or bf16, 0 to 1; or */
    clf_tensor given_textures; /* [B, 13, g, g]  any of these types: channels that are there already, and scaled */
    clf_tensor query;          /* [B, Q]         any of these types: the mean of a text's embeddings */
    clf_tensor vision;         /* [B, N, D]      any of these types: features of the cells, row by row */
    clf_tensor dense;          /* [B, k, S, E]   any of these types: S features, a square, of each chosen cell */

    clf_tensor textures;      /* [B, 13, g, g]  any of these types, as the maps and weights */
    clf_tensor information;   /* [B, g, g] */
    clf_tensor perspectival;  /* [B, g, g] */
    clf_tensor participatory; /* [B, g, g] */
    clf_tensor relevance;     /* [B, g, g] */
    clf_tensor weights;       /* [B, 3]         of information, perspectival, participatory */
    clf_tensor indices;       /* [B, k]         i32 or i64, as all whole numbers */
    clf_tensor budgets;       /* [B, k] */
    clf_tensor positions;     /* [B, k, 3]      0, row, column of each chosen cell */
    clf_tensor tokens;        /* [B, k, D]      any float type */
    clf_tensor dense_tokens;  /* [M, E]         any float type; M from clf_detail_plan for the budgets */
    clf_tensor lengths;       /* [B, k]         the tokens of each cell in dense_tokens */
} clf_relevance_call;

/** Nothing given, nothing wanted. */
static inline clf_relevance_call clf_relevance_call_default(void)
{
    clf_relevance_call call;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    return call;
}

/** The rules of a call without a device or memory: CLF_OK, CLF_INVALID_ARGUMENT or CLF_UNSUPPORTED.  Threads: any. */
CLF_API CLF_MUST_USE clf_status clf_relevance_check(const clf_relevance *m, const clf_relevance_call *call,
                                                    clf_error *err);

/**
 * B may be 0.  Outputs may be views, apart from each other and from the inputs.  The maps' arithmetic is in f32.  A
 * picture of one colour has maps of 0 where they are scaled; NaN in a picture makes what is scaled with it NaN.
 * Participatory features are made in blocks of at most 16 MB, not all at once.  Where
 * Q >= 2 C and Q C^2 <= 2^25, C = F and one for a bias, texture[1] is factorised (thin QR): C coordinates in an orthonormal
 * basis have the cosines of Q features.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_relevance_forward(clf_stream *s, const clf_relevance *m, const clf_relevance_call *call);

/**
 * The finished texture array alone.
 *
 * image     [B, 3, H, W]   f32, f16 or bf16
 * textures  [B, 13, g, g]  f32, g from 1 to CLF_TEXTURE_GRID, dense; apart from image
 */
CLF_API void clf_relevance_textures(clf_stream *s, clf_tensor image, clf_min_max_over scale, clf_tensor textures);

/** The same rules without stream or device. */
CLF_API clf_status clf_relevance_textures_check(clf_tensor image, clf_min_max_over scale, clf_tensor textures,
                                                clf_error *err);

CLF_END_DECLS

#endif
