/* Models with a perceiver, gated cross-attention layers, or both: openflamingo and idefics.
 *
 * Inputs   vision (for tokens), text and media (for hidden), text_ids and cross_mask (what hidden sees).
 * Outputs  tokens; hidden of the first layer of `gated`; attention, of that layer or with `attention_of` "tokens" of a
 *          layer of the perceiver. */
#ifndef CLF_MODELS_FLAMINGO_MODEL_H
#define CLF_MODELS_FLAMINGO_MODEL_H

#include <clfusion/cross_attention.h>
#include <clfusion/resampler.h>

#include "core/text.h"
#include "models/family.h"

/* What a text position sees of several pictures. */
typedef struct clf_flamingo_sight {
    bool reads_text_ids; /* OpenFlamingo: the ids say it; else a mask alone does */
    bool has_media_token;
    int64_t media_token;
    bool cached;    /* text_ids are a prompt's, however many there are */
    bool immediate; /* the last picture alone; else all so far */
} clf_flamingo_sight;

/* A table of embeddings, under the name that the checkpoint has for it. */
typedef struct clf_flamingo_table {
    clf_host_tensor rows; /* absent: there is none */
    clf_text name;
} clf_flamingo_table;

typedef struct clf_flamingo_desc {
    clf_resampler_desc perceiver;  /* layer_count 0: none */
    clf_flamingo_table frame_embs; /* [F, Dv] or [F, 1, Dv], added to the frames of a picture */
    clf_flamingo_table media_embs; /* [I, 1, Dv], added to the pictures of a text */
    bool takes_frames;             /* vision [B, I, F, N, Dv] too */

    clf_cross_attention_desc gated; /* layer_count 0: none */
    clf_flamingo_sight sight;

    bool attention_of_tokens;
} clf_flamingo_desc;

/* Descriptions with the builder's source and storage, no layers. */
clf_flamingo_desc clf_build_flamingo_desc(const clf_builder *b);

/* attention_of: "hidden", the default where the checkpoint has gated layers, or "tokens". */
clf_status clf_build_attention_of(const clf_builder *b, bool has_tokens, bool has_hidden, bool *tokens, clf_error *err);

/* Which gated layers to build: the builder's layer, or all.  A checkpoint has `count` of them and `depth` of the
 * perceiver; the layer is one of the perceiver's when `attention_of_tokens`, and then the gated ones may have fewer:
 * *taken 0. */
clf_status clf_build_gated_range(const clf_builder *b, int32_t count, int32_t depth, bool attention_of_tokens,
                                 int32_t *first, int32_t *taken, clf_error *err);

/* The gate NAME: [1], or [Dt] with leading ones. */
clf_status clf_build_alpha(const clf_builder *b, const char *name, int64_t Dt, clf_host_tensor *alpha, clf_error *err);

/* The model of the parts that are there. */
clf_status clf_build_flamingo(const clf_builder *b, const clf_flamingo_desc *desc, clf_model *m, clf_error *err);

#endif
