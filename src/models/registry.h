/* The list of families. */
#ifndef CLF_MODELS_REGISTRY_H
#define CLF_MODELS_REGISTRY_H

#include "models/family.h"

extern const clf_family clf_family_llava, clf_family_llava_next, clf_family_llava_next_video,
    clf_family_llava_onevision, clf_family_video_llava, clf_family_fast_vlm, clf_family_llava_original,
    clf_family_vipllava, clf_family_paligemma, clf_family_fuyu, clf_family_janus, clf_family_linear_projection,
    clf_family_mlp_projection, clf_family_llava_fusion, clf_family_early_fusion;

extern const clf_family clf_family_mllama, clf_family_cross_attention, clf_family_gated_cross_attention,
    clf_family_gated_cross_attention_dense, clf_family_gated_cross_attention_stack, clf_family_cross_attention_fusion;

extern const clf_family clf_family_idefics2, clf_family_kosmos2, clf_family_kosmos2_5, clf_family_perceiver_resampler,
    clf_family_latent_resampler, clf_family_learned_query_compressor, clf_family_simplified_qformer;

extern const clf_family clf_family_blip2, clf_family_instructblip, clf_family_instructblipvideo;

extern const clf_family clf_family_aria, clf_family_qwen_vl, clf_family_minicpmv, clf_family_siglip, clf_family_siglip2,
    clf_family_clip_resnet, clf_family_coca;

extern const clf_family clf_family_openflamingo, clf_family_idefics;

extern const clf_family clf_family_clip, clf_family_align, clf_family_late_fusion, clf_family_contrastive;

extern const clf_family clf_family_top_k, clf_family_query_aware, clf_family_importance_prune, clf_family_token_merge;
extern const clf_family clf_family_adaptive_avg_pool, clf_family_pixel_shuffle, clf_family_unfold_merge,
    clf_family_conv_compress, clf_family_visual_vocabulary;

extern const clf_family clf_family_relevance;

#endif
