/* Models of an attention pool that makes visual tokens: `tokens`, `fused` with text, `attention`. */
#ifndef CLF_MODELS_POOL_MODEL_H
#define CLF_MODELS_POOL_MODEL_H

#include <clfusion/attention_pool.h>

#include "models/family.h"

#define CLF_POOL_MAX_COUNTS 64

typedef enum clf_pool_kind {
    CLF_POOL_COUNTED, /* Aria: the number of queries follows from N by a dictionary; vision_mask */
    CLF_POOL_SQUARE,  /* Qwen-VL: square pictures; keys have a stored table, resized to them */
    CLF_POOL_GRID     /* MiniCPM-V: pictures of any grid, padded to the largest; keys have sines and cosines */
} clf_pool_kind;

typedef struct clf_pool_spec {
    clf_pool_kind kind;
    clf_attention_pool_desc pool;
    clf_placeholders ids;
    const char *no_ids; /* NULL: ids are known; else the key that is missing for `fused` */
    int64_t bracket;    /* what stands between this id and the next one is a token's place, too; -1: none */

    /* COUNTED: counts[i] queries for sizes[i] rows. */
    int64_t sizes[CLF_POOL_MAX_COUNTS], counts[CLF_POOL_MAX_COUNTS];
    size_t count_count;

    /* SQUARE: the table [table_side table_side, C], and the side of usual pictures, whose table lies ready. */
    clf_host_tensor table;
    int64_t table_side;
    int64_t usual_side;
} clf_pool_spec;

/* A description with the builder's source and storage type. */
clf_attention_pool_desc clf_build_pool_desc(const clf_builder *b);

/* Reads the key `heads`, else *key, else takes *heads; 0 there: an error that names `heads`.  *key becomes the key to
 * name in messages about the number: `heads` where that is given. */
clf_status clf_build_pool_heads(const clf_builder *b, const char **key, int64_t *heads, clf_error *err);

/* Qwen-VL's and MiniCPM-V's layout under PREFIX: query [M, C], kv_proj.weight [C, Dv], attn.*, ln_q.*, ln_kv.*; LN_POST.*
 * and PROJ [C, Dt], applied from the right.  Heads: `heads`, else of width 128. */
clf_status clf_build_resampler_pool(const clf_builder *b, const char *prefix, const char *ln_post, const char *proj,
                                    clf_attention_pool_desc *pool, clf_error *err);

/* Counts all parameters of a pool; those of the queries' side count once, as what they become on the device. */
void clf_build_pool_facts(const clf_attention_pool_desc *pool, clf_model *m);

/* Multiply-adds of a call: for each row of vision, for each query, and between queries and rows. */
typedef struct clf_pool_products {
    uint64_t row, query, pair;
} clf_pool_products;
clf_pool_products clf_build_pool_products(const clf_attention_pool_desc *pool);

/* The model; letters Dv, Dt, H, and M where the checkpoint says it. */
clf_status clf_build_pool(const clf_builder *b, const clf_pool_spec *spec, clf_model *m, clf_error *err);

#endif
