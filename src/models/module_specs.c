/* The tensors of clfusion's own modules by their options.  The files module_X.c say what each one computes. */
#include "models/module_spec.h"

#include "core/size.h"
#include "core/text.h"

#define NUMBER(k, l, v)                                                                                                \
    {                                                                                                                  \
        .key = (k), .letter = (l), .kind = CLF_SPEC_NUMBER, .value = (v)                                               \
    }
#define LIKE(k, l, other)                                                                                              \
    {                                                                                                                  \
        .key = (k), .letter = (l), .kind = CLF_SPEC_LIKE, .like = (other)                                              \
    }
#define REQUIRED(k, l)                                                                                                 \
    {                                                                                                                  \
        .key = (k), .letter = (l), .kind = CLF_SPEC_REQUIRED                                                           \
    }
#define ABSENT(k, l)                                                                                                   \
    {                                                                                                                  \
        .key = (k), .letter = (l), .kind = CLF_SPEC_ABSENT                                                             \
    }
#define SWITCH(k, l, v)                                                                                                \
    {                                                                                                                  \
        .key = (k), .letter = (l), .kind = CLF_SPEC_SWITCH, .value = (v)                                               \
    }
#define WORD(k, l, text)                                                                                               \
    {                                                                                                                  \
        .key = (k), .letter = (l), .kind = CLF_SPEC_WORD, .like = (text)                                               \
    }

#define ONE(n, s)                                                                                                      \
    {                                                                                                                  \
        .name = (n), .shape = (s)                                                                                      \
    }
#define WHEN(n, s, w)                                                                                                  \
    {                                                                                                                  \
        .name = (n), .shape = (s), .when = (w)                                                                         \
    }
#define EACH(n, s, c, f)                                                                                               \
    {                                                                                                                  \
        .name = (n), .shape = (s), .count = (c), .first = (f)                                                          \
    }
#define EACH_WHEN(n, s, w, c, f)                                                                                       \
    {                                                                                                                  \
        .name = (n), .shape = (s), .when = (w), .count = (c), .first = (f)                                             \
    }

/* Letters: Dv, Dt widths; D width of the module; F of what lies inside; M queries; L layers; H heads; d width of a head;
 * r compress_ratio; p "there is a projection of vision"; others as the tables say. */

/* p: vision is as wide as the module, or needs a projection. */
static void project_vision(clf_letters *letters)
{
    (void)clf_letters_set(letters, "p", clf_spec_value(letters, "Dv") != clf_spec_value(letters, "D"));
}

/* An mlp of L layers: z the last, its number e; m those between the first and the last. */
static void count_mlp(clf_letters *letters)
{
    const int64_t L = clf_spec_value(letters, "L");

    (void)clf_letters_set(letters, "z", L > 1);
    (void)clf_letters_set(letters, "e", 2 * (L - 1));
    (void)clf_letters_set(letters, "m", CLF_MAX(L - 2, 0));
}

/* llava_fusion: the same, or without use_mlp none of it. */
static void count_llava(clf_letters *letters)
{
    const bool mlp = clf_spec_value(letters, "u") != 0;

    count_mlp(letters);
    (void)clf_letters_set(letters, "one", mlp && clf_spec_value(letters, "z") == 0);
    (void)clf_letters_set(letters, "two", mlp && clf_spec_value(letters, "z") != 0);
    (void)clf_letters_set(letters, "mid", mlp ? clf_spec_value(letters, "m") : 0);
}

/* F: the width of a feed-forward that is not given. */
static void widen(clf_letters *letters)
{
    const int64_t given = clf_spec_value(letters, "f");

    (void)clf_letters_set(letters, "F", given != 0 ? given : 4 * clf_spec_value(letters, "D"));
}

/* late_fusion: c classes of merge "concat", s classes of merge "add". */
static void count_classes(clf_letters *letters)
{
    const bool classes = clf_spec_value(letters, "L") > 0, add = clf_spec_value(letters, "add") != 0;

    (void)clf_letters_set(letters, "c", classes && !add);
    (void)clf_letters_set(letters, "s", classes && add);
}

static const clf_module_spec specs[] = {
    { .module = "linear_projection",
      .options = { REQUIRED("vision_dim", "Dv"), REQUIRED("llm_dim", "Dt") },
      .tensors = { ONE("proj.weight", "[Dt, Dv]"), ONE("proj.bias", "[Dt]") } },

    { .module = "mlp_projection",
      .further = "activation",
      .options = { NUMBER("vision_dim", "Dv", 1024), NUMBER("llm_dim", "Dt", 256), LIKE("hidden_dim", "F", "Dt"),
                   NUMBER("depth", "L", 2), NUMBER("compress_ratio", "r", 1) },
      .derive = count_mlp,
      .tensors = { WHEN("mlp.0.weight", "[Dt, r*Dv]", "!z"),
                   WHEN("mlp.0.bias", "[Dt]", "!z"),
                   WHEN("mlp.0.weight", "[F, r*Dv]", "z"),
                   WHEN("mlp.0.bias", "[F]", "z"),
                   { .name = "mlp.{i}.weight", .shape = "[F, F]", .count = "m", .first = 2, .step = 2 },
                   { .name = "mlp.{i}.bias", .shape = "[F]", .count = "m", .first = 2, .step = 2 },
                   WHEN("mlp.{e}.weight", "[Dt, F]", "z"),
                   WHEN("mlp.{e}.bias", "[Dt]", "z") } },

    { .module = "llava_fusion",
      .further = "activation",
      .options = { NUMBER("vision_dim", "Dv", 1024), NUMBER("llm_dim", "Dt", 256), LIKE("hidden_dim", "F", "Dt"),
                   NUMBER("depth", "L", 2), NUMBER("compress_ratio", "r", 1), REQUIRED("vocab_size", "V"),
                   SWITCH("use_mlp", "u", 1) },
      .derive = count_llava,
      .tensors = { WHEN("projector.proj.weight", "[Dt, Dv]", "!u"),
                   WHEN("projector.proj.bias", "[Dt]", "!u"),
                   WHEN("projector.mlp.0.weight", "[Dt, r*Dv]", "one"),
                   WHEN("projector.mlp.0.bias", "[Dt]", "one"),
                   WHEN("projector.mlp.0.weight", "[F, r*Dv]", "two"),
                   WHEN("projector.mlp.0.bias", "[F]", "two"),
                   { .name = "projector.mlp.{i}.weight", .shape = "[F, F]", .count = "mid", .first = 2, .step = 2 },
                   { .name = "projector.mlp.{i}.bias", .shape = "[F]", .count = "mid", .first = 2, .step = 2 },
                   WHEN("projector.mlp.{e}.weight", "[Dt, F]", "two"),
                   WHEN("projector.mlp.{e}.bias", "[Dt]", "two"),
                   ONE("text_embed.weight", "[V, Dt]") } },

    { .module = "cross_attention",
      .further = "media_token_id only_attend_immediate_media",
      .options = { REQUIRED("text_dim", "Dt"), REQUIRED("vision_dim", "Dv"), NUMBER("num_heads", "H", 16),
                   NUMBER("head_dim", "d", 64) },
      .tensors = { ONE("q_proj.weight", "[H*d, Dt]"), ONE("k_proj.weight", "[H*d, Dv]"),
                   ONE("v_proj.weight", "[H*d, Dv]"), ONE("out_proj.weight", "[Dt, H*d]"),
                   ONE("out_proj.bias", "[Dt]") } },

    { .module = "gated_cross_attention",
      .further = "layer_norm_eps media_token_id only_attend_immediate_media",
      .options = { REQUIRED("text_dim", "Dt"), REQUIRED("vision_dim", "Dv"), NUMBER("num_heads", "H", 16),
                   NUMBER("head_dim", "d", 64) },
      .tensors = { ONE("layer_norm.weight", "[Dt]"), ONE("layer_norm.bias", "[Dt]"),
                   ONE("cross_attn.q_proj.weight", "[H*d, Dt]"), ONE("cross_attn.k_proj.weight", "[H*d, Dv]"),
                   ONE("cross_attn.v_proj.weight", "[H*d, Dv]"), ONE("cross_attn.out_proj.weight", "[Dt, H*d]"),
                   ONE("cross_attn.out_proj.bias", "[Dt]"), ONE("alpha", "[1]") } },

    { .module = "gated_cross_attention_dense",
      .further = "media_token_id only_attend_immediate_media",
      .options = { REQUIRED("dim", "D"), LIKE("vision_dim", "Dv", "D"), REQUIRED("num_heads", "H") },
      .tensors = { ONE("cross_attn.q_proj.weight", "[D, D]"), ONE("cross_attn.k_proj.weight", "[D, Dv]"),
                   ONE("cross_attn.v_proj.weight", "[D, Dv]"), ONE("cross_attn.out_proj.weight", "[D, D]"),
                   ONE("cross_attn.out_proj.bias", "[D]"), ONE("dense.weight", "[D, D]"), ONE("dense.bias", "[D]"),
                   ONE("gate", "[1]") } },

    /* Edifice's build_cross_attention. */
    { .module = "gated_cross_attention_stack",
      .further = "scale_heads layer_norm_eps media_token_id only_attend_immediate_media",
      .options = { NUMBER("hidden_size", "D", 256), NUMBER("vision_dim", "Dv", 1024), NUMBER("num_heads", "H", 4),
                   NUMBER("num_layers", "L", 4), WORD("gate", "t", "tanh_output") },
      .derive = project_vision,
      .tensors = { WHEN("visual_proj.weight", "[D, Dv]", "p"), WHEN("visual_proj.bias", "[D]", "p"),
                   EACH("xattn_{i}.norm.weight", "[D]", "L", 1), EACH("xattn_{i}.norm.bias", "[D]", "L", 1),
                   EACH("xattn_{i}.q_proj.weight", "[D, D]", "L", 1), EACH("xattn_{i}.q_proj.bias", "[D]", "L", 1),
                   EACH("xattn_{i}.k_proj.weight", "[D, D]", "L", 1), EACH("xattn_{i}.k_proj.bias", "[D]", "L", 1),
                   EACH("xattn_{i}.v_proj.weight", "[D, D]", "L", 1), EACH("xattn_{i}.v_proj.bias", "[D]", "L", 1),
                   EACH("xattn_{i}.out_proj.weight", "[D, D]", "L", 1), EACH("xattn_{i}.out_proj.bias", "[D]", "L", 1),
                   EACH_WHEN("xattn_{i}.alpha", "[1]", "!t", "L", 1) } },

    { .module = "cross_attention_fusion",
      .further = "activation layer_norm_eps media_token_id only_attend_immediate_media",
      .options = { NUMBER("d_model", "D", 768), NUMBER("nhead", "H", 12), ABSENT("ffn_dim", "f") },
      .derive = widen,
      .tensors = { ONE("cross_attn.in_proj_weight", "[3*D, D]"), ONE("cross_attn.in_proj_bias", "[3*D]"),
                   ONE("cross_attn.out_proj.weight", "[D, D]"), ONE("cross_attn.out_proj.bias", "[D]"),
                   ONE("norm.weight", "[D]"), ONE("norm.bias", "[D]"), ONE("ffn.0.weight", "[F, D]"),
                   ONE("ffn.0.bias", "[F]"), ONE("ffn.2.weight", "[D, F]"), ONE("ffn.2.bias", "[D]") } },

    /* Edifice's build_perceiver_resampler. */
    { .module = "perceiver_resampler",
      .further = "layer_norm_eps",
      .options = { NUMBER("vision_dim", "Dv", 1024), NUMBER("output_dim", "D", 256), NUMBER("num_queries", "M", 64),
                   NUMBER("num_layers", "L", 6), NUMBER("num_heads", "H", 4) },
      .derive = project_vision,
      .tensors = { WHEN("visual_proj.weight", "[D, Dv]", "p"), WHEN("visual_proj.bias", "[D]", "p"),
                   ONE("queries", "[M, D]"), EACH("resampler_{i}.self_norm.weight", "[D]", "L", 1),
                   EACH("resampler_{i}.self_norm.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.self_q.weight", "[D, D]", "L", 1),
                   EACH("resampler_{i}.self_q.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.self_k.weight", "[D, D]", "L", 1),
                   EACH("resampler_{i}.self_k.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.self_v.weight", "[D, D]", "L", 1),
                   EACH("resampler_{i}.self_v.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.cross_norm.weight", "[D]", "L", 1),
                   EACH("resampler_{i}.cross_norm.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.cross_q.weight", "[D, D]", "L", 1),
                   EACH("resampler_{i}.cross_q.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.cross_k.weight", "[D, D]", "L", 1),
                   EACH("resampler_{i}.cross_k.bias", "[D]", "L", 1),
                   EACH("resampler_{i}.cross_v.weight", "[D, D]", "L", 1),
                   EACH("resampler_{i}.cross_v.bias", "[D]", "L", 1) } },

    { .module = "latent_resampler",
      .further = "residual layer_norm_eps",
      .options = { REQUIRED("vision_dim", "Dv"), NUMBER("dim", "D", 1024), NUMBER("num_latents", "M", 64),
                   NUMBER("depth", "L", 6), REQUIRED("num_heads", "H"), SWITCH("pre_norm", "n", 0) },
      .tensors = { ONE("latents", "[M, D]"), EACH("cross_attn_layers.{i}.q_proj.weight", "[D, D]", "L", 0),
                   EACH("cross_attn_layers.{i}.k_proj.weight", "[D, Dv]", "L", 0),
                   EACH("cross_attn_layers.{i}.v_proj.weight", "[D, Dv]", "L", 0),
                   EACH("cross_attn_layers.{i}.out_proj.weight", "[D, D]", "L", 0),
                   EACH("cross_attn_layers.{i}.out_proj.bias", "[D]", "L", 0),
                   EACH_WHEN("norms.{i}.weight", "[D]", "n", "L", 0),
                   EACH_WHEN("norms.{i}.bias", "[D]", "n", "L", 0) } },

    { .module = "learned_query_compressor",
      .options = { REQUIRED("dim", "D"), NUMBER("num_queries", "M", 64), NUMBER("num_heads", "H", 16) },
      .tensors = { ONE("queries", "[M, D]"), ONE("cross_attn.in_proj_weight", "[3*D, D]"),
                   ONE("cross_attn.in_proj_bias", "[3*D]"), ONE("cross_attn.out_proj.weight", "[D, D]"),
                   ONE("cross_attn.out_proj.bias", "[D]") } },

    { .module = "simplified_qformer",
      .further = "activation layer_norm_eps",
      .options = { NUMBER("num_queries", "M", 32), NUMBER("query_dim", "D", 768), NUMBER("vision_dim", "Dv", 1408),
                   NUMBER("num_layers", "L", 6), NUMBER("num_heads", "H", 12), ABSENT("ffn_dim", "f") },
      .derive = widen,
      .tensors = { ONE("queries", "[1, M, D]"),
                   EACH("layers.{i}.self_attn.in_proj_weight", "[3*D, D]", "L", 0),
                   EACH("layers.{i}.self_attn.in_proj_bias", "[3*D]", "L", 0),
                   EACH("layers.{i}.self_attn.out_proj.weight", "[D, D]", "L", 0),
                   EACH("layers.{i}.self_attn.out_proj.bias", "[D]", "L", 0),
                   EACH("layers.{i}.self_norm.weight", "[D]", "L", 0),
                   EACH("layers.{i}.self_norm.bias", "[D]", "L", 0),
                   EACH("layers.{i}.cross_attn.q_proj.weight", "[D, D]", "L", 0),
                   EACH("layers.{i}.cross_attn.k_proj.weight", "[D, Dv]", "L", 0),
                   EACH("layers.{i}.cross_attn.v_proj.weight", "[D, Dv]", "L", 0),
                   EACH("layers.{i}.cross_attn.out_proj.weight", "[D, D]", "L", 0),
                   EACH("layers.{i}.cross_attn.out_proj.bias", "[D]", "L", 0),
                   EACH("layers.{i}.cross_norm.weight", "[D]", "L", 0),
                   EACH("layers.{i}.cross_norm.bias", "[D]", "L", 0),
                   EACH("layers.{i}.ffn.0.weight", "[F, D]", "L", 0),
                   EACH("layers.{i}.ffn.0.bias", "[F]", "L", 0),
                   EACH("layers.{i}.ffn.2.weight", "[D, F]", "L", 0),
                   EACH("layers.{i}.ffn.2.bias", "[D]", "L", 0),
                   EACH("layers.{i}.ffn_norm.weight", "[D]", "L", 0),
                   EACH("layers.{i}.ffn_norm.bias", "[D]", "L", 0) } },

    { .module = "early_fusion",
      .options = { REQUIRED("dim", "D"), ABSENT("patch_size", "p"), ABSENT("vision_dim", "Dv"),
                   ABSENT("vocab_size", "V"), ABSENT("vision_positions", "P"), ABSENT("text_positions", "Q"),
                   SWITCH("modalities", "y", 1), NUMBER("channels", "C", 3) },
      .tensors = { WHEN("patch_embed.weight", "[D, C, p, p]", "p"), WHEN("patch_embed.bias", "[D]", "p"),
                   WHEN("vision_proj.weight", "[D, Dv]", "Dv"), WHEN("vision_proj.bias", "[D]", "Dv"),
                   WHEN("text_embed.weight", "[V, D]", "V"), WHEN("vision_pos_embed", "[P, D]", "P"),
                   WHEN("text_pos_embed", "[Q, D]", "Q"), WHEN("modality_embed", "[2, D]", "y") } },

    { .module = "late_fusion",
      .options = { REQUIRED("vision_dim", "Dv"), REQUIRED("text_dim", "Dt"), REQUIRED("dim", "D"),
                   ABSENT("num_classes", "L"), WORD("pool", "a", "attention"), WORD("merge", "add", "add") },
      .derive = count_classes,
      .tensors = { ONE("vision_proj.weight", "[D, Dv]"), ONE("vision_proj.bias", "[D]"),
                   ONE("text_proj.weight", "[D, Dt]"), ONE("text_proj.bias", "[D]"),
                   WHEN("classifier.weight", "[L, 2*D]", "c"), WHEN("classifier.weight", "[L, D]", "s"),
                   WHEN("classifier.bias", "[L]", "L"), WHEN("vision_pool.query", "[Dv]", "a"),
                   WHEN("text_pool.query", "[Dt]", "a") } },

    { .module = "contrastive",
      .further = "activation k",
      .options = { ABSENT("vision_dim", "Dv"), ABSENT("text_dim", "Dt"), ABSENT("projection_dim", "D"),
                   SWITCH("bias", "o", 0) },
      .tensors = { ONE("logit_scale", "[1]"), WHEN("logit_bias", "[1]", "o"),
                   WHEN("visual_projection.weight", "[D, Dv]", "D"), WHEN("text_projection.weight", "[D, Dt]", "D") } },

    { .module = "conv_compress",
      .options = { REQUIRED("vision_dim", "Dv"), REQUIRED("mid_dim", "F"), REQUIRED("dim", "D"),
                   REQUIRED("output_dim", "Dt") },
      .tensors = { ONE("conv1.weight", "[F, Dv, 3, 3]"), ONE("conv2.weight", "[D, F, 3, 3]"),
                   ONE("proj.weight", "[Dt, D]"), ONE("proj.bias", "[Dt]") } },

    { .module = "visual_vocabulary",
      .further = "mode",
      .options = { REQUIRED("vision_dim", "Dv"), REQUIRED("vocab_size", "V"), REQUIRED("llm_dim", "Dt") },
      .tensors = { ONE("head.weight", "[V, Dv]"), ONE("table.weight", "[V, Dt]") } },

    { .module = "relevance",
      .further = "grid k min_tokens max_tokens total scale",
      .options = { NUMBER("query_dim", "Q", 1536) },
      .tensors = { ONE("participatory_scorer.texture_proj.0.weight", "[64, 13, 1, 1]"),
                   ONE("participatory_scorer.texture_proj.0.bias", "[64]"),
                   ONE("participatory_scorer.texture_proj.2.weight", "[Q, 64, 1, 1]"),
                   ONE("participatory_scorer.texture_proj.2.bias", "[Q]"),
                   ONE("balancer.weight_predictor.0.weight", "[128, 9 + Q]"),
                   ONE("balancer.weight_predictor.0.bias", "[128]"),
                   ONE("balancer.weight_predictor.2.weight", "[128, 128]"),
                   ONE("balancer.weight_predictor.2.bias", "[128]"),
                   ONE("balancer.weight_predictor.4.weight", "[3, 128]"),
                   ONE("balancer.weight_predictor.4.bias", "[3]") } },

    /* Without weights. */
    { .module = "adaptive_avg_pool", .further = "target_tokens target_grid" },
    { .module = "pixel_shuffle", .further = "factor" },
    { .module = "unfold_merge", .further = "factor" },
    { .module = "top_k", .further = "k order" },
    { .module = "query_aware", .further = "k order pool cosine" },
    { .module = "importance_prune", .further = "threshold metric" },
    { .module = "token_merge", .further = "r" },
};

const clf_module_spec *clf_module_spec_find(const char *module)
{
    for (size_t i = 0; module != NULL && i < CLF_COUNT(specs); i++)
        if (clf_name_equal(specs[i].module, module))
            return &specs[i];
    return NULL;
}

int64_t clf_spec_value(const clf_letters *letters, const char *letter)
{
    const clf_letter *found = clf_letters_find(letters, letter);

    return found != NULL ? found->value : 0;
}
