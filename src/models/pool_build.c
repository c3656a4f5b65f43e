/* What the builders of attention pools share. */
#include <inttypes.h>

#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/feed_forward.h"
#include "fusion/weight.h"
#include "models/pool_model.h"

#define NAME_BYTES 160

clf_attention_pool_desc clf_build_pool_desc(const clf_builder *b)
{
    clf_attention_pool_desc desc = clf_attention_pool_desc_default();

    desc.storage = b->storage;
    desc.source = b->source;
    return desc;
}

clf_status clf_build_pool_heads(const clf_builder *b, const char **key, int64_t *heads, clf_error *err)
{
    const bool given = clf_config_has(b->config, "heads"), missing = *heads == 0 && !given;

    if (given)
        *key = "heads";
    CLF_TRY(clf_config_int(b->config, *key, heads, err));
    if (missing)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: heads is missing; want it, for this width has no default", b->family);
    return CLF_OK;
}

static const char *part_name(char *buffer, const char *prefix, const char *part)
{
    clf_format(buffer, NAME_BYTES, "%s%s", prefix, part);
    return buffer;
}

clf_status clf_build_resampler_pool(const clf_builder *b, const char *prefix, const char *ln_post, const char *proj,
                                    clf_attention_pool_desc *pool, clf_error *err)
{
    char name[NAME_BYTES];

    CLF_TRY(clf_build_tensor(b, part_name(name, prefix, "query"), 2, &pool->queries, err));
    const int64_t C = pool->queries.dim[1];
    const char *key = "heads";
    int64_t heads = C % 128 == 0 ? C / 128 : 0; /* not stored */

    CLF_TRY(clf_build_linear(b, part_name(name, prefix, "kv_proj"), false, 0, NULL, &pool->input, err));
    if (pool->input.weight.dim[0] != C)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %skv_proj.weight is %s; want %" PRId64 " rows, the columns of %squery",
                        b->family, prefix, CLF_HOST_TEXT(pool->input.weight), C, prefix);
    CLF_TRY(clf_build_pool_heads(b, &key, &heads, err));
    CLF_TRY(clf_build_multihead(b, part_name(name, prefix, "attn"), key, heads, &pool->attention, err));
    if (pool->attention.q.weight.dim[1] != C)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %sattn has queries of %" PRId64 "; want %" PRId64 ", the columns of "
                        "%squery",
                        b->family, prefix, pool->attention.q.weight.dim[1], C, prefix);
    CLF_TRY(clf_build_norm(b, part_name(name, prefix, "ln_q"), CLF_NORM_LAYER, C, 1e-6, &pool->attention.norm, err));
    CLF_TRY(clf_build_norm(b, part_name(name, prefix, "ln_kv"), CLF_NORM_LAYER, C, 1e-6, &pool->input_norm, err));
    CLF_TRY(clf_build_norm(b, ln_post, CLF_NORM_LAYER, C, 1e-6, &pool->output_norm, err));
    CLF_TRY(clf_build_tensor(b, proj, 2, &pool->projection, err));
    if (pool->projection.dim[0] != C)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want %" PRId64 " rows, the columns of %squery", b->family,
                        proj, CLF_HOST_TEXT(pool->projection), C, prefix);
    return CLF_OK;
}

/* Parameters that creation uses up: they count, but do not lie on the device. */
static void count_used_up(const clf_attention_pool_desc *d, clf_model *m)
{
    clf_model used = { 0 };

    clf_build_count_linear(&used, &d->attention.q, d->storage);
    clf_build_count_linear(&used, &d->query_projection, d->storage);
    clf_build_count_norm(&used, &d->attention.norm);
    clf_build_count_f32(&used, d->query_positions);
    m->parameters += used.parameters;
    m->f32_parameters += used.f32_parameters;
}

/* first and layer->weight count; on the device is their product.  The bias remains in *layer. */
static void count_merged(clf_host_tensor first, clf_linear_layer *layer, clf_dtype storage, clf_model *m)
{
    clf_model used = { 0 };

    clf_build_count(&used, first, storage);
    clf_build_count(&used, layer->weight, storage);
    m->parameters += used.parameters;
    m->weight_bytes += (uint64_t)layer->weight.dim[0] * (uint64_t)first.dim[1] * sizeof(float);
    layer->weight = (clf_host_tensor){ 0 };
}

void clf_build_pool_facts(const clf_attention_pool_desc *d, clf_model *m)
{
    clf_attention_layer_desc attention = d->attention;

    if (clf_host_present(d->queries)) {
        count_used_up(d, m);
        attention.q = (clf_linear_layer){ .bias = { 0 } };
        attention.norm = (clf_norm_desc){ .kind = CLF_NORM_NONE };
    }
    if (clf_host_present(d->key_projection)) { /* their products with k and v lie there, in f32 */
        count_merged(d->key_projection, &attention.k, d->storage, m);
        count_merged(d->value_projection, &attention.v, d->storage, m);
    }
    clf_build_count_f32(m, d->queries);
    clf_build_count_f32(m, d->positions);
    clf_build_count_linear(m, &d->input, d->storage);
    clf_build_count_norm(m, &d->input_norm);
    clf_build_count_attention(m, &attention, d->storage);
    clf_build_count_feed_forward(m, &d->feed_forward, d->storage);
    clf_build_count_norm(m, &d->output_norm);
    clf_build_count_linear(m, &d->output, d->storage);
    clf_build_count(m, d->projection, d->storage);
}

clf_pool_products clf_build_pool_products(const clf_attention_pool_desc *d)
{
    const clf_attention_layer_desc *a = &d->attention;
    const clf_linear_layer projection = { .weight = d->projection };
    const uint64_t C = (uint64_t)(clf_host_present(d->key_projection) ? d->key_projection.dim[1] : a->k.weight.dim[1]);

    return (clf_pool_products){
        .row = clf_weight_products(&d->input) + C * (uint64_t)(a->k.weight.dim[0] + a->v.weight.dim[0]),
        .query = clf_weight_products(&a->out) + clf_weight_products(&a->dense) +
                 clf_feed_forward_products(&d->feed_forward) + clf_weight_products(&d->output) +
                 clf_weight_products(&projection),
        .pair = (uint64_t)(a->q.weight.dim[0] + a->v.weight.dim[0]),
    };
}
