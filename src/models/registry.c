/* The list of families, and which of them a checkpoint is. */
#include "models/registry.h"

#include <string.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"

static const clf_family *const families[] = {
    &clf_family_llava,
    &clf_family_llava_original,
    &clf_family_llava_next,
    &clf_family_llava_next_video,
    &clf_family_llava_onevision,
    &clf_family_fast_vlm,
    &clf_family_video_llava,
    &clf_family_vipllava,
    &clf_family_paligemma,
    &clf_family_fuyu,
    &clf_family_janus,
    &clf_family_mllama,
    &clf_family_openflamingo,
    &clf_family_idefics,
    &clf_family_idefics2,
    &clf_family_kosmos2,
    &clf_family_kosmos2_5,
    &clf_family_blip2,
    &clf_family_instructblip,
    &clf_family_instructblipvideo,
    &clf_family_aria,
    &clf_family_qwen_vl,
    &clf_family_minicpmv,
    &clf_family_siglip,
    &clf_family_siglip2,
    &clf_family_clip_resnet,
    &clf_family_coca,
    &clf_family_clip,
    &clf_family_align,
    /* clfusion's own modules */
    &clf_family_linear_projection,
    &clf_family_mlp_projection,
    &clf_family_llava_fusion,
    &clf_family_early_fusion,
    &clf_family_cross_attention,
    &clf_family_gated_cross_attention,
    &clf_family_gated_cross_attention_dense,
    &clf_family_gated_cross_attention_stack,
    &clf_family_cross_attention_fusion,
    &clf_family_perceiver_resampler,
    &clf_family_latent_resampler,
    &clf_family_learned_query_compressor,
    &clf_family_simplified_qformer,
    &clf_family_late_fusion,
    &clf_family_contrastive,
    &clf_family_adaptive_avg_pool,
    &clf_family_top_k,
    &clf_family_query_aware,
    &clf_family_importance_prune,
    &clf_family_token_merge,
    &clf_family_pixel_shuffle,
    &clf_family_unfold_merge,
    &clf_family_conv_compress,
    &clf_family_visual_vocabulary,
    &clf_family_relevance,
};

size_t clf_family_count(void)
{
    return CLF_COUNT(families);
}

const char *clf_family_name(size_t index)
{
    return index < CLF_COUNT(families) ? families[index]->id : NULL;
}

const clf_family *clf_family_at(size_t index)
{
    return index < CLF_COUNT(families) ? families[index] : NULL;
}

static bool has_name(const clf_family *family, const char *name)
{
    if (clf_name_equal(family->id, name))
        return true;
    for (size_t i = 0; i < CLF_COUNT(family->spellings) && family->spellings[i] != NULL; i++)
        if (clf_name_equal(family->spellings[i], name))
            return true;
    return false;
}

clf_status clf_family_pick(clf_family_list list, const char *name, const clf_tensor_source *source,
                           const clf_config *config, const clf_family **family, clf_error *err)
{
    const clf_family *unasked = NULL, *first = NULL;

    for (size_t i = 0; i < list.count; i++) {
        const clf_family *candidate = list.items[i];
        bool match = false;

        if (!has_name(candidate, name))
            continue;
        if (first == NULL)
            first = candidate;
        if (candidate->matches == NULL && unasked == NULL)
            unasked = candidate;
        if (candidate->matches != NULL)
            CLF_TRY(candidate->matches(source, config, &match, err));
        if (match) {
            *family = candidate;
            return CLF_OK;
        }
    }
    *family = unasked != NULL ? unasked : first; /* a name that is not shared: its builder says what is missing */
    return CLF_OK;
}

/* "llava, llava_next, ...": all, or clfusion's own modules alone. */
static void list_names(bool modules_alone, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < CLF_COUNT(families); i++)
        if (!modules_alone || families[i]->module)
            used += clf_format(text + used, bytes - used, "%s%s", used > 0 ? ", " : "", families[i]->id);
}

static clf_status unsupported(const char *key, const char *name, bool modules_alone, clf_error *err)
{
    char list[CLF_MESSAGE_BYTES];

    list_names(modules_alone, list, sizeof list);
    return CLF_FAIL(err, CLF_UNSUPPORTED, "connector: %s is %s, which is unsupported; want one of %s", key,
                    clf_text_quote(name, strlen(name)).text, list);
}

static clf_status no_name(clf_error *err)
{
    char list[CLF_MESSAGE_BYTES];

    list_names(false, list, sizeof list);
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                    "connector: family is not given and the configuration has no model_type; want one of %s", list);
}

clf_status clf_family_choose(const clf_config *config, const clf_tensor_source *source, const char *name,
                             const clf_family **family, clf_error *err)
{
    const clf_family_list all = { families, CLF_COUNT(families) };
    const char *key = name != NULL ? "family" : "model_type";
    bool module = false;

    if (name == NULL)
        CLF_TRY(clf_config_text(config, "model_type", &name, err));
    if (name == NULL)
        return no_name(err);
    if (clf_name_equal(name, "clfusion")) { /* {"model_type": "clfusion", "module": NAME} */
        module = true;
        key = "module";
        name = NULL;
        CLF_TRY(clf_config_text(config, key, &name, err));
        if (name == NULL)
            return CLF_FAIL(err, CLF_BAD_FILE, "connector: module is missing; want it beside model_type clfusion");
    }
    CLF_TRY(clf_family_pick(all, name, source, config, family, err));
    return *family != NULL && (!module || (*family)->module) ? CLF_OK : unsupported(key, name, module, err);
}
