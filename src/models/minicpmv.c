/* MiniCPM-V 2.0 to 4.5, MiniCPM-o: queries that read pictures of any grid, padded to the largest.
 *
 * resampler.query [M, Dt], .kv_proj.weight [Dt, Dv], .attn.{in_proj_weight, in_proj_bias, out_proj.*},
 *     .ln_q.*, .ln_kv.*, .ln_post.*, .proj [Dt, Dt], applied from the right; 2.0 also .pos_embed [M, Dt]
 *
 * Keys have sines and cosines of the picture's grid; queries have a table of their own in 2.0 alone: `query_positions`
 * says so, else `version`, else the stored table.  Heads are not stored: of width 128.
 * Source: Yao et al. 2024, arXiv:2408.01800, with the authors' resampler.py. */
#include <inttypes.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "fusion/sincos.h"
#include "models/pool_model.h"
#include "models/registry.h"

#define POOL "resampler."

/* `version` is a number in some files and text in others; 0 when it is neither. */
static double read_version(const clf_builder *b)
{
    const char *text = NULL;
    double version = 0;

    if (clf_config_float(b->config, "version", &version, NULL) == CLF_OK)
        return version;
    if (clf_config_text(b->config, "version", &text, NULL) != CLF_OK || text == NULL)
        return 0;
    for (; *text >= '0' && *text <= '9'; text++)
        version = 10 * version + (*text - '0');
    if (text[0] == '.' && text[1] >= '0' && text[1] <= '9')
        version += (text[1] - '0') / 10.0;
    return version;
}

static clf_status has_query_positions(const clf_builder *b, bool *has, clf_error *err)
{
    const double version = read_version(b);

    CLF_TRY(clf_build_has(b, POOL "pos_embed", has, err));
    if (version > 0)
        *has = version < 2.5;
    return clf_config_bool(b->config, "query_positions", has, err);
}

/* The stored table, or sines and cosines of a square grid in *memory, which the caller frees. */
static clf_status read_query_positions(const clf_builder *b, clf_attention_pool_desc *pool, float **memory,
                                       clf_error *err)
{
    const int64_t M = pool->queries.dim[0], C = pool->queries.dim[1], side = clf_square_side(M);
    bool stored;

    CLF_TRY(clf_build_has(b, POOL "pos_embed", &stored, err));
    if (stored) {
        CLF_TRY(clf_build_tensor(b, POOL "pos_embed", 2, &pool->query_positions, err));
        if (pool->query_positions.dim[0] != M || pool->query_positions.dim[1] != C)
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: " POOL "pos_embed is %s; want the shape of " POOL "query %s",
                            b->family, CLF_HOST_TEXT(pool->query_positions), CLF_HOST_TEXT(pool->queries));
        return CLF_OK;
    }
    if (side == 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " POOL "query is %s; want a square number of rows, which query_positions need", b->family,
                        CLF_HOST_TEXT(pool->queries));
    *memory = clf_alloc((size_t)M, (size_t)C * sizeof **memory);
    if (*memory == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the positions of " POOL "query %s", b->family,
                        CLF_HOST_TEXT(pool->queries));
    clf_sincos_grid(side, side, C, *memory);
    pool->query_positions = (clf_host_tensor){ *memory, CLF_F32, 2, { M, C } };
    return CLF_OK;
}

/* There is no id of a visual token in published files: it is known when the caller says it. */
static clf_status read_ids(const clf_builder *b, clf_pool_spec *spec, clf_error *err)
{
    if (!clf_config_has(b->config, "image_token_index") && !clf_config_has(b->config, "image_token_id"))
        spec->no_ids = "image_token_index";
    return clf_build_placeholders(b, (clf_placeholders){ .image = -1, .video = -1 }, &spec->ids, err);
}

static clf_status read_pool(const clf_builder *b, clf_pool_spec *spec, clf_error *err)
{
    clf_attention_pool_desc *pool = &spec->pool;

    CLF_TRY(clf_build_resampler_pool(b, POOL, POOL "ln_post", POOL "proj", pool, err));
    if (pool->queries.dim[1] % 4 != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: " POOL "query is %s; want a multiple of 4 columns", b->family,
                        CLF_HOST_TEXT(pool->queries));
    pool->positions_of_call = true;
    CLF_TRY(clf_build_width(b, "vision_config.hidden_size", pool->input.weight.dim[1],
                            "the columns of " POOL "kv_proj.weight", err));
    CLF_TRY(clf_build_width(b, "hidden_size", pool->projection.dim[1], "the columns of " POOL "proj", err));
    CLF_TRY(clf_build_width(b, "query_num", pool->queries.dim[0], "the rows of " POOL "query", err));
    return read_ids(b, spec, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_pool_spec spec = { .kind = CLF_POOL_GRID, .pool = clf_build_pool_desc(b), .bracket = -1 };
    float *memory = NULL;
    bool positions;
    clf_status status;

    CLF_TRY(read_pool(b, &spec, err));
    CLF_TRY(has_query_positions(b, &positions, err));
    status = positions ? read_query_positions(b, &spec.pool, &memory, err) : CLF_OK;
    if (status == CLF_OK)
        status = clf_build_pool(b, &spec, m, err);
    clf_free(memory);
    return status;
}

const clf_family clf_family_minicpmv = { .id = "minicpmv", .spellings = { "minicpmo", "minicpm_v" }, .build = build };
