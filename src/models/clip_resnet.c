/* CLIP's ResNets: the mean of the channel map asks all of it.
 *
 * visual.attnpool.positional_embedding [N + 1, C], .{q,k,v}_proj.{weight [C, C], bias}, .c_proj.{weight [P, C], bias}
 *
 * vision is the channel map as rows, in raster order.  Heads: `heads`, else of width 64.
 * Source: Radford et al. 2021, arXiv:2103.00020, AttentionPool2d. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "models/pool_head.h"
#include "models/registry.h"

#define POOL "visual.attnpool."

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_head_spec spec = { .pool = clf_build_pool_desc(b), .contrast = clf_build_contrast_spec(b) };
    clf_attention_pool_desc *pool = &spec.pool;
    clf_attention_layer_desc *a = &pool->attention;

    CLF_TRY(clf_build_tensor(b, POOL "positional_embedding", 2, &pool->positions, err));
    const int64_t C = pool->positions.dim[1];
    const char *key = "heads";
    int64_t heads = C % 64 == 0 ? C / 64 : 0;

    spec.rows = pool->positions.dim[0] - 1;
    if (spec.rows < 1)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: " POOL "positional_embedding is %s; want a row for the mean and more",
                        b->family, CLF_HOST_TEXT(pool->positions));
    CLF_TRY(clf_build_linear(b, POOL "q_proj", true, C, "the columns of " POOL "positional_embedding", &a->q, err));
    CLF_TRY(clf_build_linear(b, POOL "k_proj", true, C, "the columns of " POOL "positional_embedding", &a->k, err));
    CLF_TRY(clf_build_linear(b, POOL "v_proj", true, C, "the columns of " POOL "positional_embedding", &a->v, err));
    CLF_TRY(clf_build_linear(b, POOL "c_proj", true, a->v.weight.dim[0], "the rows of " POOL "v_proj.weight", &a->out,
                             err));
    CLF_TRY(clf_build_pool_heads(b, &key, &heads, err));
    CLF_TRY(clf_build_heads(b, key, heads, a, err));
    return clf_build_head(b, &spec, m, err);
}

const clf_family clf_family_clip_resnet = { .id = "clip_resnet", .build = build };
