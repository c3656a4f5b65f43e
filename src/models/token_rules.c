/* The families' rules of visual tokens: those with one picture of a fixed size, and the table of all. */
#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "core/size.h"
#include "core/text.h"
#include "models/token_plan.h"

/* ---- every patch is a token ---- */

static clf_status compute_grid(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(clf_token_square(c, plan, err));
    plan->tokens = plan->grid_rows * plan->grid_columns;
    return CLF_OK;
}

/* vision_feature_select_strategy: "default" drops the first of the tower's tokens, "full" keeps all.  SigLIP has no
 * class token: "default" loses a patch there. */
static clf_status select_features(const clf_token_call *c, const char *key, const char *keeps_all, bool class_token,
                                  clf_token_plan *plan, clf_error *err)
{
    const char *strategy = "";

    CLF_TRY(clf_token_text(c, key, &strategy, err));
    plan->tokens = plan->grid_rows * plan->grid_columns + (class_token ? 1 : 0);
    if (strcmp(strategy, keeps_all) != 0)
        plan->tokens -= 1;
    return CLF_OK;
}

/* llava, video_llava: CLIP with its class token, or another tower in its place. */
static clf_status compute_llava(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    const char *tower = "";

    CLF_TRY(clf_token_text(c, "vision_config.model_type", &tower, err));
    if (strcmp(tower, "pixtral") == 0)
        return clf_token_pixtral(c, plan, err);
    CLF_TRY(clf_token_square(c, plan, err));
    return select_features(c, "vision_feature_select_strategy", "full", strstr(tower, "siglip") == NULL, plan, err);
}

/* The digits behind `mark`, as 14 behind "patch" in "clip-vit-large-patch14-336"; *rest stands behind them. */
static int64_t digits_behind(const char *text, const char *mark, const char **rest)
{
    const char *at = strstr(text, mark);
    int64_t value = 0;

    *rest = at == NULL ? "" : at + strlen(mark);
    for (; **rest >= '0' && **rest <= '9' && value < CLF_TOKEN_PLAN_SIDE; ++*rest)
        value = value * 10 + (**rest - '0');
    return value;
}

/* Original LLaVA names its tower: openai/clip-vit-large-patch14-336, or without the last number 224 pixels. */
static clf_status compute_llava_original(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    const char *tower = "clip-vit-large-patch14-336", *rest;
    int64_t image, patch;

    CLF_TRY(clf_token_text(c, "mm_vision_tower", &tower, err));
    patch = digits_behind(tower, "patch", &rest);
    image = rest[0] == '-' ? digits_behind(rest, "-", &rest) : 0;
    image = image > 0 ? image : 224;
    CLF_TRY(clf_token_int(c, "image_size|crop_size.height|crop_size", (clf_token_size){ image, 0 }, &plan->tile_height,
                          err));
    CLF_TRY(clf_token_int(c, "patch_size", (clf_token_size){ patch > 0 ? patch : 14, 0 }, &patch, err));
    if (patch > plan->tile_height)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: patch_size is %" PRId64 "; want at most image_size %" PRId64,
                        c->rule->family, patch, plan->tile_height);
    plan->tile_width = plan->tile_height;
    plan->grid_rows = plan->grid_columns = plan->tile_height / patch;
    return select_features(c, "mm_vision_select_feature", "cls_patch", true, plan, err);
}

/* ---- a fixed number of learned queries ---- */

static clf_status compute_queries(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(clf_token_square(c, plan, err));
    return clf_token_int(c, c->rule->count_keys, c->rule->count, &plan->tokens, err);
}

/* Each frame has its queries. */
static clf_status compute_frames(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(compute_queries(c, plan, err));
    CLF_TRY(clf_token_int(c, "frames|num_frames", (clf_token_size){ 4, 0 }, &plan->tiles, err));
    plan->tokens *= plan->tiles;
    return CLF_OK;
}

/* The perceiver's latents; without use_resampler every token of the tower, the class token too. */
static clf_status compute_idefics(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    bool resampler = !c->given;

    CLF_TRY(compute_queries(c, plan, err));
    CLF_TRY(clf_token_bool(c, "use_resampler", &resampler, err));
    if (!resampler)
        plan->tokens = plan->grid_rows * plan->grid_columns + 1;
    return CLF_OK;
}

/* Query 0 is the picture's vector, the others are tokens for the decoder. */
static clf_status compute_coca(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(compute_queries(c, plan, err));
    plan->tokens -= plan->tokens > 1 ? 1 : 0;
    return CLF_OK;
}

/* Late fusion: one vector. */
static clf_status compute_pooled(const clf_token_call *c, clf_token_plan *plan, clf_error *err)
{
    CLF_TRY(clf_token_square(c, plan, err));
    plan->tokens = 1;
    return CLF_OK;
}

#define AS_TOKENS (-1)

static const clf_token_rule patches = {
    .family = "patches", .compute = clf_token_patches, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule tiles = {
    .family = "tiles", .compute = clf_token_tiles, .image = { 336, 0 }, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule llava = {
    .family = "llava", .compute = compute_llava, .image = { 336, 0 }, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule llava_original = { .family = "llava_original",
                                               .compute = compute_llava_original,
                                               .context_tokens = AS_TOKENS };
static const clf_token_rule llava_next = { .family = "llava_next",
                                           .compute = clf_token_llava_next,
                                           .image = { 336, 0 },
                                           .patch = { 14, 0 },
                                           .context_tokens = AS_TOKENS };
static const clf_token_rule llava_next_video = { .family = "llava_next_video",
                                                 .compute = clf_token_llava_next,
                                                 .image = { 336, 0 },
                                                 .patch = { 14, 0 },
                                                 .context_tokens = AS_TOKENS };
static const clf_token_rule llava_onevision = { .family = "llava_onevision",
                                                .compute = clf_token_llava_onevision,
                                                .image = { 384, 0 },
                                                .patch = { 14, 0 },
                                                .context_tokens = AS_TOKENS };
static const clf_token_rule fast_vlm = {
    .family = "fast_vlm", .compute = compute_grid, .image = { 1024, 0 }, .patch = { 64, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule video_llava = { .family = "video_llava",
                                            .compute = compute_llava,
                                            .image = { 224, 0 },
                                            .patch = { 14, 0 },
                                            .context_tokens = AS_TOKENS };
static const clf_token_rule vipllava = {
    .family = "vipllava", .compute = compute_grid, .image = { 336, 0 }, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule paligemma = {
    .family = "paligemma", .compute = compute_grid, .image = { 224, 0 }, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule fuyu = {
    .family = "fuyu", .compute = clf_token_fuyu, .patch = { 30, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule janus = { .family = "janus",
                                      .compute = compute_grid,
                                      .image = { 384, 0 },
                                      .patch = { 16, 0 },
                                      .image_keys = "image_size|size.height|vision_config.image_size|"
                                                    "vision_config.params.image_size",
                                      .context_tokens = AS_TOKENS };
static const clf_token_rule mllama = {
    .family = "mllama", .compute = clf_token_mllama, .image = { 560, 448 }, .patch = { 14, 0 }, .context_tokens = 1
};
static const clf_token_rule openflamingo = { .family = "openflamingo",
                                             .compute = compute_queries,
                                             .image = { 224, 0 },
                                             .patch = { 14, 0 },
                                             .count_keys = "num_latents",
                                             .count = { 64, 0 },
                                             .context_tokens = 1 };
static const clf_token_rule idefics = { .family = "idefics",
                                        .compute = compute_idefics,
                                        .image = { 224, 0 },
                                        .patch = { 14, 0 },
                                        .count_keys = "perceiver_config.resampler_n_latents",
                                        .count = { 64, 0 },
                                        .context_tokens = 1 };
static const clf_token_rule idefics2 = { .family = "idefics2",
                                         .compute = clf_token_idefics2,
                                         .patch = { 14, 32 },
                                         .count_keys = "perceiver_config.resampler_n_latents",
                                         .count = { 64, 0 },
                                         .context_tokens = AS_TOKENS };
static const clf_token_rule kosmos2 = { .family = "kosmos-2",
                                        .compute = compute_queries,
                                        .image = { 224, 0 },
                                        .patch = { 14, 0 },
                                        .count_keys = "latent_query_num",
                                        .count = { 64, 0 },
                                        .context_tokens = AS_TOKENS };
static const clf_token_rule kosmos2_5 = { .family = "kosmos-2.5",
                                          .compute = clf_token_kosmos2_5,
                                          .patch = { 16, 0 },
                                          .count_keys = "latent_query_num",
                                          .count = { 2048, 0 },
                                          .context_tokens = AS_TOKENS };
static const clf_token_rule blip2 = { .family = "blip-2",
                                      .compute = compute_queries,
                                      .image = { 224, 0 },
                                      .patch = { 14, 0 },
                                      .count_keys = "num_query_tokens",
                                      .count = { 32, 0 },
                                      .context_tokens = AS_TOKENS };
static const clf_token_rule instructblip = { .family = "instructblip",
                                             .compute = compute_queries,
                                             .image = { 224, 0 },
                                             .patch = { 14, 0 },
                                             .count_keys = "num_query_tokens",
                                             .count = { 32, 0 },
                                             .context_tokens = AS_TOKENS };
static const clf_token_rule instructblipvideo = { .family = "instructblipvideo",
                                                  .compute = compute_frames,
                                                  .image = { 224, 0 },
                                                  .patch = { 14, 0 },
                                                  .count_keys = "num_query_tokens",
                                                  .count = { 32, 0 },
                                                  .context_tokens = AS_TOKENS };
static const clf_token_rule aria = {
    .family = "aria", .compute = clf_token_aria, .patch = { 14, 32 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule qwen_vl = { .family = "qwen_vl",
                                        .compute = compute_queries,
                                        .image = { 448, 0 },
                                        .patch = { 14, 0 },
                                        .image_keys = "image_size|visual.image_size",
                                        .count_keys = "visual.n_queries",
                                        .count = { 256, 0 },
                                        .context_tokens = AS_TOKENS };
static const clf_token_rule minicpmv = { .family = "minicpmv",
                                         .compute = clf_token_minicpmv,
                                         .patch = { 14, 0 },
                                         .count_keys = "query_num",
                                         .count = { 64, 0 },
                                         .context_tokens = AS_TOKENS };
static const clf_token_rule internvl = { .family = "internvl",
                                         .also = "internvl_chat",
                                         .compute = clf_token_internvl,
                                         .image = { 448, 0 },
                                         .patch = { 14, 0 },
                                         .context_tokens = AS_TOKENS };
static const clf_token_rule qwen2_vl = {
    .family = "qwen2_vl", .compute = clf_token_qwen2, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule qwen2_5_vl = {
    .family = "qwen2_5_vl", .compute = clf_token_qwen2, .patch = { 14, 0 }, .context_tokens = AS_TOKENS
};
static const clf_token_rule clip = {
    .family = "clip", .compute = compute_pooled, .image = { 224, 0 }, .patch = { 14, 32 }
};
/* EfficientNet: five layers of stride 2. */
static const clf_token_rule align = {
    .family = "align", .compute = compute_pooled, .image = { 289, 600 }, .patch = { 32, 0 }
};
static const clf_token_rule siglip = {
    .family = "siglip", .compute = compute_pooled, .image = { 224, 0 }, .patch = { 16, 0 }
};
static const clf_token_rule siglip2 = { .family = "siglip2", .compute = clf_token_siglip2, .patch = { 16, 0 } };
static const clf_token_rule clip_resnet = {
    .family = "clip_resnet", .compute = compute_pooled, .image = { 224, 0 }, .patch = { 32, 0 }
};
static const clf_token_rule coca = { .family = "coca",
                                     .compute = compute_coca,
                                     .image = { 224, 0 },
                                     .patch = { 14, 0 },
                                     .count_keys = "n_queries",
                                     .count = { 256, 0 },
                                     .context_tokens = 0 };

const clf_token_rule *const clf_token_rules[] = {
    &patches,
    &tiles,
    &llava,
    &llava_original,
    &llava_next,
    &llava_next_video,
    &llava_onevision,
    &fast_vlm,
    &vipllava,
    &video_llava,
    &paligemma,
    &fuyu,
    &janus,
    &mllama,
    &idefics,
    &idefics2,
    &openflamingo,
    &kosmos2,
    &kosmos2_5,
    &blip2,
    &instructblip,
    &instructblipvideo,
    &aria,
    &qwen_vl,
    &minicpmv,
    &internvl,
    &qwen2_vl,
    &qwen2_5_vl,
    &siglip,
    &siglip2,
    &clip_resnet,
    &coca,
    &clip,
    &align,
};
const size_t clf_token_rule_count = CLF_COUNT(clf_token_rules);
