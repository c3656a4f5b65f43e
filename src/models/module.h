/* clfusion's own modules: the projector that linear_projection, mlp_projection and llava_fusion share. */
#ifndef CLF_MODELS_MODULE_H
#define CLF_MODELS_MODULE_H

#include "models/family.h"

/* NAME.proj: one Linear.  Options vision_dim, llm_dim. */
clf_status clf_module_linear(const clf_builder *b, const char *prefix, clf_projector_desc *desc, clf_error *err);

/* NAME.mlp.{0, 2, ...}: options vision_dim, llm_dim, hidden_dim, depth, activation, compress_ratio. */
clf_status clf_module_mlp(const clf_builder *b, const char *prefix, clf_projector_desc *desc, clf_error *err);

#endif
