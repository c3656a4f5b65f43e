/* Which text positions see which pictures, from where the pictures stand among the tokens. */
#ifndef CLFUSION_CROSS_MASK_H
#define CLFUSION_CROSS_MASK_H

#include <stdint.h>

#include <clfusion/status.h>

CLF_BEGIN_DECLS

/** A prompt with pictures, as Mllama's processor sees it. */
typedef struct clf_mllama_prompt {
    const int64_t *ids; /* [id_count] */
    int64_t id_count;
    int64_t image_token;   /* the id that stands for a picture */
    const int64_t *tiles;  /* [picture_count], each 0 to max_tiles: those that the picture was cut into */
    int64_t picture_count; /* as many as ids has image tokens */
} clf_mllama_prompt;

/**
 * The input `cross_mask` of Mllama's layers for one prompt:  mask[t, i, j] = 1 where position t sees tile j of picture i.
 *
 * A picture is seen from its own token on, to the token before the next picture; pictures whose tokens follow each other
 * directly are seen as far as the last of them; the last one to the last token, a single one to the end of the mask.
 * Only the tiles that a picture has are open.
 *
 * mask  [length, pictures, max_tiles]  host memory, every entry is written.  length may differ from id_count (padding);
 *       `pictures` is picture_count or more, as other prompts of a batch need it.
 *
 * Errors: CLF_INVALID_ARGUMENT: another number of image tokens than pictures (both numbers are in the message), tiles
 * above max_tiles, negative sizes.  mask is then unchanged.  Threads: any.
 * Source: transformers' get_cross_attention_token_mask and convert_sparse_cross_attention_mask_to_dense.
 */
CLF_API CLF_MUST_USE clf_status clf_mllama_cross_mask(const clf_mllama_prompt *prompt, int64_t length, int64_t pictures,
                                                      int64_t max_tiles, int64_t *mask, clf_error *err);

CLF_END_DECLS

#endif
