/* What the two kinds of BLIP-2 checkpoints share. */
#ifndef CLF_MODELS_BLIP2_H
#define CLF_MODELS_BLIP2_H

#include "models/qformer_model.h"

/* Tensors and keys of a Q-Former without text. */
extern const clf_qformer_place clf_blip2_place;

/* Whether the checkpoint has heads for retrieval. */
clf_status clf_blip2_is_retrieval(const clf_builder *b, bool *retrieval, clf_error *err);

clf_status clf_blip2_build_retrieval(const clf_builder *b, clf_model *m, clf_error *err);

#endif
