/* CoCa, as open_clip has it: queries read all tokens of the tower; the first is the picture's vector, the others are
 * tokens for the decoder.
 *
 * visual.attn_pool.query [Q, D], .ln_q.* [D], .ln_k.* [C], .attn.{in_proj_weight, or q_proj_weight [D, D],
 *     k_proj_weight [D, C], v_proj_weight [D, C]}, .attn.{in_proj_bias, out_proj.*}
 * visual.ln_post.* [D], visual.proj [D, P], applied to the first row from the right
 * text.ln_final.* [Dt], text.text_projection [Dt, P], applied to the text's last row, its CLS, from the right;
 *     logit_scale [], logit_bias [] or none: all of them or none
 *
 * vision is the tower's output, text the text transformer's, which ln_final has not seen.
 *
 * Source: Yu et al. 2022, arXiv:2205.01917; open_clip's AttentionalPooler. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "models/pool_head.h"
#include "models/registry.h"

#define POOL "visual.attn_pool."

static clf_status read_text(const clf_builder *b, clf_head_spec *spec, clf_error *err)
{
    const int64_t P = spec->projection.dim[1];
    clf_contrastive_desc *d = &spec->contrast.contrast;
    bool there;

    CLF_TRY(clf_build_has(b, "logit_scale", &there, err));
    if (!there)
        return CLF_OK;
    spec->contrast.text = CLF_TEXT_LAST;
    CLF_TRY(clf_build_tensor(b, "text.text_projection", 2, &spec->text_projection, err));
    d->text.width = spec->text_projection.dim[0];
    if (spec->text_projection.dim[1] != P)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: text.text_projection is %s; want %" PRId64 " columns, as visual.proj",
                        b->family, CLF_HOST_TEXT(spec->text_projection), P);
    CLF_TRY(clf_build_norm(b, "text.ln_final", CLF_NORM_LAYER, d->text.width, 1e-5, &d->text.norm, err));
    return clf_build_logit_scale(b, &spec->contrast, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_head_spec spec = { .pool = clf_build_pool_desc(b),
                           .first_apart = true,
                           .contrast = clf_build_contrast_spec(b) };
    clf_attention_pool_desc *pool = &spec.pool;
    const char *key = "vision_cfg.attn_pooler_heads";
    int64_t heads = 8;

    spec.contrast.contrast.eps = 1e-12F; /* torch.nn.functional.normalize */
    CLF_TRY(clf_build_tensor(b, POOL "query", 2, &pool->queries, err));
    const int64_t D = pool->queries.dim[1];

    CLF_TRY(clf_build_pool_heads(b, &key, &heads, err));
    CLF_TRY(clf_build_multihead(b, POOL "attn", key, heads, &pool->attention, err));
    CLF_TRY(clf_build_norm(b, POOL "ln_q", CLF_NORM_LAYER, D, 1e-5, &pool->attention.norm, err));
    CLF_TRY(
        clf_build_norm(b, POOL "ln_k", CLF_NORM_LAYER, pool->attention.k.weight.dim[1], 1e-5, &pool->input_norm, err));
    CLF_TRY(clf_build_norm(b, "visual.ln_post", CLF_NORM_LAYER, D, 1e-5, &pool->output_norm, err));
    CLF_TRY(clf_build_tensor(b, "visual.proj", 2, &spec.projection, err));
    if (spec.projection.dim[0] != D)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: visual.proj is %s; want %" PRId64 " rows, the columns of " POOL "query",
                        b->family, CLF_HOST_TEXT(spec.projection), D);
    CLF_TRY(
        clf_build_width(b, "vision_cfg.attn_pooler_queries", pool->queries.dim[0], "the rows of " POOL "query", err));
    CLF_TRY(clf_build_width(b, "embed_dim", spec.projection.dim[1], "the columns of visual.proj", err));
    CLF_TRY(read_text(b, &spec, err));
    return clf_build_head(b, &spec, m, err);
}

const clf_family clf_family_coca = { .id = "coca", .build = build };
