/* CoCa, as open_clip has it: queries read all tokens of the tower; the first is the picture's vector, the others are
 * tokens for the decoder.
 *
 * visual.attn_pool.query [Q, D], .ln_q.* [D], .ln_k.* [C], .attn.{in_proj_weight, or q_proj_weight [D, D],
 *     k_proj_weight [D, C], v_proj_weight [D, C]}, .attn.{in_proj_bias, out_proj.*}
 * visual.ln_post.* [D], visual.proj [D, P], applied to the first row from the right
 *
 * Source: Yu et al. 2022, arXiv:2205.01917; open_clip's AttentionalPooler. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "models/pool_head.h"
#include "models/registry.h"

#define POOL "visual.attn_pool."

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    /* 1e-12: torch.nn.functional.normalize. */
    clf_head_spec spec = { .pool = clf_build_pool_desc(b), .first_apart = true, .eps = 1e-12 };
    clf_attention_pool_desc *pool = &spec.pool;
    const char *key = "vision_cfg.attn_pooler_heads";
    int64_t heads = 8;

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
    return clf_build_head(b, &spec, m, err);
}

const clf_family clf_family_coca = { .id = "coca", .build = build };
