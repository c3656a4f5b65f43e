/* Parts of openflamingo checkpoints. */
#ifndef CLF_MODELS_OPENFLAMINGO_H
#define CLF_MODELS_OPENFLAMINGO_H

#include <clfusion/cross_attention.h>

#include "models/builder.h"

/* PREFIXto_q, to_kv (or to_k and to_v), to_out and the heads; without norms.  `width` columns of to_q (0: any) and rows
 * of to_out. */
clf_status clf_openflamingo_attention(const clf_builder *b, const char *prefix, int64_t width,
                                      clf_attention_layer_desc *attention, clf_error *err);

/* PREFIX0, a norm, PREFIX1, PREFIX3 and the activation. */
clf_status clf_openflamingo_feed_forward(const clf_builder *b, const char *prefix, int64_t width,
                                         clf_feed_forward_desc *ff, clf_error *err);

/* How many gated layers there are; they stand at different places of a state dict, also twice. */
int32_t clf_openflamingo_gated_count(const clf_tensor_source *source);

/* Layer `layer` of them, in the order of the model. */
clf_status clf_openflamingo_gated_layer(const clf_builder *b, int32_t layer, clf_cross_layer_desc *desc,
                                        clf_error *err);

#endif
