/* Qwen-VL: 256 queries with the positions of a 16 x 16 grid; keys have the same table, resized to the picture.
 *
 * transformer.visual.attn_pool.query [M, Dt], .pos_embed [M, Dt], .kv_proj.weight [Dt, Dv],
 *     .attn.{in_proj_weight, in_proj_bias, out_proj.*}, .ln_q.*, .ln_kv.*
 * transformer.visual.ln_post.*, transformer.visual.proj [Dt, Dt], applied from the right
 *
 * Heads are not stored: of width 128.  Source: Bai et al. 2023, arXiv:2308.12966, with the authors' visual.py. */
#include <inttypes.h>

#include "core/error.h"
#include "core/text.h"
#include "fusion/sincos.h"
#include "models/pool_model.h"
#include "models/registry.h"

#define VISUAL "transformer.visual."
#define POOL VISUAL "attn_pool."

/* A picture's side over that of the table; 2 as published.  The table is stretched when the connector is made, so a
 * damaged number would ask for memory of its square. */
#define MOST_STRETCH 8

static clf_status read_positions(const clf_builder *b, clf_pool_spec *spec, clf_error *err)
{
    const clf_host_tensor q = spec->pool.queries;
    int64_t image = 448, patch = 14;

    CLF_TRY(clf_build_tensor(b, POOL "pos_embed", 2, &spec->table, err));
    spec->table_side = clf_square_side(spec->table.dim[0]);
    if (spec->table.dim[0] != q.dim[0] || spec->table.dim[1] != q.dim[1] || spec->table_side == 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: " POOL "pos_embed is %s; want the shape of " POOL "query %s, with a square number of rows",
                        b->family, CLF_HOST_TEXT(spec->table), CLF_HOST_TEXT(q));
    CLF_TRY(clf_config_int(b->config, "visual.image_size", &image, err));
    CLF_TRY(clf_config_int(b->config, "visual.patch_size", &patch, err));
    if (patch < 1 || image < patch || image / patch > MOST_STRETCH * spec->table_side)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: visual.image_size is %" PRId64 " and visual.patch_size %" PRId64 "; want a side of 1 to "
                        "%" PRId64 " patches, %d times that of " POOL "pos_embed",
                        b->family, image, patch, MOST_STRETCH * spec->table_side, MOST_STRETCH);
    spec->usual_side = image / patch;
    spec->pool.query_positions = spec->table;
    spec->pool.positions_of_call = true;
    return CLF_OK;
}

/* A picture stands between image_start_id and the id behind it: its name in bytes, then image_start_id + 2 as padding;
 * all of that is replaced.  A placeholder that the configuration states is the only one. */
static clf_status read_ids(const clf_builder *b, clf_pool_spec *spec, clf_error *err)
{
    int64_t start = 151857;

    CLF_TRY(clf_config_int(b->config, "visual.image_start_id", &start, err));
    if (start < 0 || start > INT64_MAX - 2)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: visual.image_start_id is %" PRId64 "; want a token id", b->family,
                        start);
    spec->bracket = start;
    if (clf_config_has(b->config, "image_token_index") || clf_config_has(b->config, "image_token_id"))
        spec->bracket = -1;
    return clf_build_placeholders(b, (clf_placeholders){ .image = start + 2, .video = start + 2 }, &spec->ids, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_pool_spec spec = { .kind = CLF_POOL_SQUARE, .pool = clf_build_pool_desc(b) };

    CLF_TRY(clf_build_resampler_pool(b, POOL, VISUAL "ln_post", VISUAL "proj", &spec.pool, err));
    CLF_TRY(read_positions(b, &spec, err));
    CLF_TRY(clf_build_width(b, "visual.width", spec.pool.input.weight.dim[1], "the columns of " POOL "kv_proj.weight",
                            err));
    CLF_TRY(clf_build_width(b, "visual.output_dim", spec.pool.projection.dim[1], "the columns of " VISUAL "proj", err));
    CLF_TRY(clf_build_width(b, "hidden_size", spec.pool.projection.dim[1], "the columns of " VISUAL "proj", err));
    CLF_TRY(clf_build_width(b, "visual.n_queries", spec.pool.queries.dim[0], "the rows of " POOL "query", err));
    CLF_TRY(read_ids(b, &spec, err));
    return clf_build_pool(b, &spec, m, err);
}

const clf_family clf_family_qwen_vl = { .id = "qwen_vl", .spellings = { "qwen" }, .build = build };
