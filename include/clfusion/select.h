/* Compression by selection: the visual tokens that a text asks for. */
#ifndef CLFUSION_SELECT_H
#define CLFUSION_SELECT_H

#include <string.h>

#include <clfusion/top_k.h>

CLF_BEGIN_DECLS

/** How the rows of a text score a visual token. */
typedef enum clf_select_pool {
    CLF_SELECT_MEAN = 0,     /* q·v, q the mean of the rows; with one row that row */
    CLF_SELECT_MAX = 1,      /* q·v, q the largest entry of each channel */
    CLF_SELECT_TOKEN_MAX = 2 /* the largest q·v over all rows q */
} clf_select_pool;

typedef struct clf_select_options {
    uint32_t struct_size;
    clf_select_pool pool;
    bool cosine;           /* q and v over their norms, at least 1e-12 (torch.nn.functional.normalize) */
    clf_top_k_order order; /* of the tokens kept; default by position */
} clf_select_options;

/** Mean, no cosine, by position. */
static inline clf_select_options clf_select_options_default(void)
{
    clf_select_options options;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.order = CLF_TOP_K_BY_POSITION;
    return options;
}

/**
 * tokens[b] = the k rows of vision[b] with the best scores; of equal scores the lower index is the better one.
 *
 * vision   [B, N, D]  f32, f16 or bf16; N of k to 2^31 - 1; B may be 0; may be a view.
 * text     [B, T, D]  f32, f16 or bf16; T above 0; may be a view.
 * options  NULL: clf_select_options_default().
 * indices  [B, k]     i32, k of 1 to N: where each token stood.
 * scores   [B, k]     f32, their scores; absent: not wanted.
 * tokens   [B, k, D]  f32 or the type of vision, the rows bit for bit or widened; absent: not wanted.
 *
 * Scores are computed in f32: products within (D + 2) u sum|q v|, u = 2^-24, of the exact ones for the q that was made;
 * the choice among them is exact (clfusion/top_k.h; NaN counts as the best).
 * Results lie apart from each other and from the inputs.  Ownership, threads, errors and the state of outputs after one:
 * as for every operator, clfusion/stream.h.
 */
CLF_API void clf_select_tokens(clf_stream *s, clf_tensor vision, clf_tensor text, const clf_select_options *options,
                               clf_tensor indices, clf_tensor scores, clf_tensor tokens);

/** The same rules without stream or device. */
CLF_API clf_status clf_select_tokens_check(clf_tensor vision, clf_tensor text, const clf_select_options *options,
                                           clf_tensor indices, clf_tensor scores, clf_tensor tokens, clf_error *err);

CLF_END_DECLS

#endif
