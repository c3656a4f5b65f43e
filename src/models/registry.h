/* The list of families. */
#ifndef CLF_MODELS_REGISTRY_H
#define CLF_MODELS_REGISTRY_H

#include "models/family.h"

extern const clf_family clf_family_llava, clf_family_llava_next, clf_family_llava_next_video,
    clf_family_llava_onevision, clf_family_video_llava, clf_family_fast_vlm, clf_family_llava_original,
    clf_family_vipllava, clf_family_paligemma, clf_family_fuyu, clf_family_janus, clf_family_linear_projection,
    clf_family_mlp_projection, clf_family_llava_fusion;

#endif
