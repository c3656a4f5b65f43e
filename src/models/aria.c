/* Aria: a number of queries that follows from the number of patches, and two projections before the attention.
 *
 * multi_modal_projector.query [M, Dv]
 *     .cross_attn.{q,k,v}_proj.weight [Dv, Dv], then .multihead_attn.{in_proj_weight, in_proj_bias, out_proj.*}, .linear.*
 *     .cross_attn.{layer_norm, layer_norm_kv}.* [Dv], .layer_norm.* [Dv]
 *     .feed_forward.linear_in.weight [Dt, Dv], .linear_out.weight [Dt, Dt]
 *
 * Source: Li et al. 2024, arXiv:2410.05993; transformers' AriaProjector. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "models/pool_model.h"
#include "models/registry.h"

#define PROJECTOR "multi_modal_projector."
#define ATTENTION PROJECTOR "cross_attn."
#define DICTIONARY "projector_patch_to_query_dict"
#define MAX_PATCHES 65536 /* 256 x 256: keys of the dictionary are looked for up to here */

/* DICTIONARY.N, a number of queries, where the configuration has one. */
static clf_status read_count(const clf_builder *b, int64_t N, int64_t M, clf_pool_spec *spec, clf_error *err)
{
    char key[64];
    int64_t count = 0;

    clf_format(key, sizeof key, DICTIONARY ".%" PRId64, N);
    if (!clf_config_has(b->config, key))
        return CLF_OK;
    CLF_TRY(clf_config_int(b->config, key, &count, err));
    if (count < 1 || count > M)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %s is %" PRId64 "; want 1 to %" PRId64 ", the rows of " PROJECTOR "query", b->family, key,
                        count, M);
    if (spec->count_count == CLF_POOL_MAX_COUNTS)
        return CLF_FAIL(err, CLF_UNSUPPORTED, "%s: " DICTIONARY " has more than %d entries; want at most that many",
                        b->family, CLF_POOL_MAX_COUNTS);
    spec->sizes[spec->count_count] = N;
    spec->counts[spec->count_count++] = count;
    return CLF_OK;
}

/* Keys are found by asking for them: entries from --set lie beside those of the file. */
static clf_status read_counts(const clf_builder *b, clf_pool_spec *spec, clf_error *err)
{
    const size_t listed = clf_config_count(b->config, DICTIONARY);
    const int64_t M = spec->pool.queries.dim[0];

    if (!clf_config_has(b->config, DICTIONARY)) {
        spec->count_count = 2;
        spec->sizes[0] = 1225; /* 490 pixels, and 980 */
        spec->counts[0] = 128;
        spec->sizes[1] = 4900;
        spec->counts[1] = 256;
        if (M < 256)
            return CLF_FAIL(err, CLF_BAD_FILE,
                            "%s: " PROJECTOR "query is %s; want 256 rows where " DICTIONARY " is missing", b->family,
                            CLF_HOST_TEXT(spec->pool.queries));
        return CLF_OK;
    }
    for (int64_t N = 1; N <= MAX_PATCHES && (listed == 0 || spec->count_count < listed); N++)
        CLF_TRY(read_count(b, N, M, spec, err));
    if (spec->count_count == 0 || spec->count_count < listed)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " DICTIONARY " has %zu keys, %zu of them 1 to %d; want all so, and at least one",
                        b->family, listed, spec->count_count, MAX_PATCHES);
    return CLF_OK;
}

static clf_status read_attention(const clf_builder *b, int64_t C, clf_attention_pool_desc *pool, clf_error *err)
{
    clf_linear_layer key = { .bias = { 0 } }, value = key;
    const char *key_of_heads = "vision_config.num_attention_heads";
    int64_t heads = 16; /* of the published tower */

    CLF_TRY(clf_build_linear(b, ATTENTION "q_proj", false, C, "the columns of " PROJECTOR "query",
                             &pool->query_projection, err));
    CLF_TRY(clf_build_linear(b, ATTENTION "k_proj", false, C, "the columns of " PROJECTOR "query", &key, err));
    CLF_TRY(clf_build_linear(b, ATTENTION "v_proj", false, C, "the columns of " PROJECTOR "query", &value, err));
    pool->key_projection = key.weight;
    pool->value_projection = value.weight;
    CLF_TRY(clf_build_pool_heads(b, &key_of_heads, &heads, err));
    CLF_TRY(clf_build_multihead(b, ATTENTION "multihead_attn", key_of_heads, heads, &pool->attention, err));
    CLF_TRY(clf_build_linear(b, ATTENTION "linear", true, C, "the columns of " PROJECTOR "query",
                             &pool->attention.dense, err));
    CLF_TRY(clf_build_norm(b, ATTENTION "layer_norm", CLF_NORM_LAYER, C, 1e-5, &pool->attention.norm, err));
    return clf_build_norm(b, ATTENTION "layer_norm_kv", CLF_NORM_LAYER, C, 1e-5, &pool->input_norm, err);
}

static clf_status read_feed_forward(const clf_builder *b, int64_t C, clf_attention_pool_desc *pool, clf_error *err)
{
    clf_feed_forward_desc *ff = &pool->feed_forward;

    CLF_TRY(clf_build_norm(b, PROJECTOR "layer_norm", CLF_NORM_LAYER, C, 1e-5, &ff->norm, err));
    CLF_TRY(clf_build_linear(b, PROJECTOR "feed_forward.linear_in", false, C, "the columns of " PROJECTOR "query",
                             &ff->up, err));
    CLF_TRY(clf_build_linear(b, PROJECTOR "feed_forward.linear_out", false, ff->up.weight.dim[0],
                             "the rows of " PROJECTOR "feed_forward.linear_in.weight", &ff->down, err));
    ff->activation = CLF_GELU_TANH; /* gelu_new, whatever hidden_act says */
    pool->feed_forward_residual = false;
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_pool_spec spec = { .kind = CLF_POOL_COUNTED, .pool = clf_build_pool_desc(b), .bracket = -1 };

    CLF_TRY(clf_build_tensor(b, PROJECTOR "query", 2, &spec.pool.queries, err));
    const int64_t C = spec.pool.queries.dim[1];

    CLF_TRY(read_counts(b, &spec, err));
    CLF_TRY(read_attention(b, C, &spec.pool, err));
    CLF_TRY(read_feed_forward(b, C, &spec.pool, err));
    CLF_TRY(clf_build_width(b, "vision_config.hidden_size", C, "the columns of " PROJECTOR "query", err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", spec.pool.feed_forward.down.weight.dim[0],
                            "the rows of " PROJECTOR "feed_forward.linear_out.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 9, .video = 9 }, &spec.ids, err));
    return clf_build_pool(b, &spec, m, err);
}

const clf_family clf_family_aria = { .id = "aria", .build = build };
