/* Calls of Mllama: text that looks at the tiles of pictures, and the projector that makes them.
 *
 * text [B, T, Dt], media [B, K, Dt], cross_mask [B, T, I, tiles] -> hidden [B, T, Dt], attention [B, H, T, K]
 * vision [.., N, Dv] -> tokens [.., N, Dt], every tile a row of the batch
 *
 * media holds the tiles of all pictures, K / (I tiles) rows each.  A text row that may see no tile sees all of them,
 * and its feed-forward branch is left out; the attention branch is not: transformers multiplies the row's mask by 0.
 * Source: transformers' _prepare_cross_attention_mask and MllamaCrossAttentionDecoderLayer. */
#include "models/mllama_model.h"

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/size.h"
#include "fusion/place.h"
#include "models/masks.h"
#include "runtime/op.h"

enum { TEXT, MEDIA, CROSS_MASK, VISION }; /* of a projector alone, vision is input 0 and tokens output 0 */
enum { HIDDEN, ATTENTION, TOKENS };

/* Rows of media for each row of the batch.  [B, K, Dt], [B, I, M, Dt], or as the projector gives them for a batch of
 * tiles, [B I tiles, M, Dt]. */
static clf_status count_keys(const clf_call *call, int64_t B, uint64_t *K, clf_error *err)
{
    const clf_tensor media = call->in[MEDIA];
    const int64_t rows = media.dim[0];
    const bool tiles = media.rank == 3 && B > 0 && rows % B == 0;

    if (rows != B && !tiles)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: media is %s; want B of %" PRId64 ", as text has, or a multiple",
                        call->family, CLF_TEXT(media), B);
    if (!clf_size_mul(media.rank == 3 && B > 0 ? (uint64_t)(rows / B) : 1, (uint64_t)media.dim[1], K) ||
        (media.rank == 4 && !clf_size_mul(*K, (uint64_t)media.dim[2], K)) || *K > INT64_MAX)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: media is %s; want fewer than 2^63 rows", call->family,
                        CLF_TEXT(media));
    return CLF_OK;
}

/* The mask is [B, T, I, tiles] or [B, T, I]; without its batch the first has as many dimensions as the second. */
static bool mask_fits(const clf_call *call, clf_tensor mask, int64_t B, int64_t T)
{
    const clf_letter *pictures = clf_letters_find(&call->letters, "I");
    const bool whole = mask.dim[0] == B && mask.dim[1] == T, unbatched = mask.rank == 3 && B == 1 && mask.dim[0] == T;

    if (!whole && !unbatched)
        return false;
    return pictures == NULL || pictures->value == mask.dim[whole ? 2 : 1];
}

/* Tiles of a sample where media [B I tiles, M, Dt] spell them out; 0 where they do not. */
static uint64_t tiles_of(clf_tensor media, int64_t B)
{
    return media.rank == 3 && B > 0 && media.dim[0] > B ? (uint64_t)(media.dim[0] / B) : 0;
}

/* Tiles of a picture that cross_mask spells out in its last dimension. */
static clf_status check_tiles(const clf_mllama *m, const clf_call *call, bool by_tile, clf_error *err)
{
    const clf_tensor mask = call->in[CROSS_MASK];

    if (by_tile && m->max_tiles > 0 && clf_dim(mask, -1) > m->max_tiles)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: cross_mask is %s; want tiles of at most %" PRId64 ", vision_config.max_num_tiles",
                        call->family, CLF_TEXT(mask), m->max_tiles);
    return CLF_OK;
}

/* Columns of cross_mask, one for each tile; the rows of media are dealt out evenly. */
static clf_status check_columns(const clf_mllama *m, const clf_call *call, uint64_t K, clf_error *err)
{
    const clf_tensor mask = call->in[CROSS_MASK], text = call->in[TEXT];
    const bool whole = mask.dim[0] == text.dim[0] && mask.dim[1] == text.dim[1];
    uint64_t columns = 1;

    if (!clf_present(mask))
        return CLF_OK;
    if (!mask_fits(call, mask, text.dim[0], text.dim[1]))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: cross_mask is %s; want [B, T, I] or [B, T, I, tiles] for text %s and media %s",
                        call->family, CLF_TEXT(mask), CLF_TEXT(text), CLF_TEXT(call->in[MEDIA]));
    for (int32_t i = whole ? 2 : 1; i < mask.rank; i++)
        if (!clf_size_mul(columns, (uint64_t)mask.dim[i], &columns))
            columns = 0;
    if (columns == 0 ? K != 0 : K % columns != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: cross_mask is %s with %" PRIu64 " columns; want a divisor of %" PRIu64 ", the rows of "
                        "media %s",
                        call->family, CLF_TEXT(mask), columns, K, CLF_TEXT(call->in[MEDIA]));

    const uint64_t tiles = tiles_of(call->in[MEDIA], text.dim[0]);
    const bool by_tile = mask.rank == (whole ? 4 : 3);

    CLF_TRY(check_tiles(m, call, by_tile, err));
    if (tiles != 0 && (by_tile ? columns != tiles : columns == 0 || tiles % columns != 0))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: cross_mask is %s with %" PRIu64 " columns; want %" PRIu64
                        " tiles, the rows of media %s for "
                        "each of %" PRId64 " texts",
                        call->family, CLF_TEXT(mask), columns, tiles, CLF_TEXT(call->in[MEDIA]), text.dim[0]);
    return CLF_OK;
}

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    uint64_t K = 0;

    if (!clf_present(call->in[MEDIA]))
        return CLF_OK;
    CLF_TRY(count_keys(call, call->in[TEXT].dim[0], &K, err));
    CLF_TRY(check_columns(module, call, K, err));
    return clf_letters_bind(&call->letters, call->family, "K", (int64_t)K, "media", err);
}

/* open[r, c] and rows[r] of the full-row rule; true when a row sees no tile. */
static bool apply_full_rows(const int64_t *mask, int64_t rows, int64_t columns, int64_t *open, int64_t *row_index)
{
    bool any_closed = false;

    for (int64_t r = 0; r < rows; r++) {
        bool sees = false;

        for (int64_t c = 0; c < columns; c++)
            sees = sees || mask[r * columns + c] != 0;
        for (int64_t c = 0; c < columns; c++)
            open[r * columns + c] = !sees || mask[r * columns + c] != 0;
        row_index[r] = sees ? r : -1;
        any_closed = any_closed || !sees;
    }
    return any_closed;
}

static void set_rules(clf_stream *s, const clf_call *call, int64_t K, clf_cross_options *o)
{
    const int64_t B = call->in[TEXT].dim[0], T = call->in[TEXT].dim[1], count = B * T;
    const int64_t columns = count > 0 ? clf_element_count(call->in[CROSS_MASK]) / count : 0;
    int64_t *open = clf_alloc((size_t)count, (size_t)(columns + 1) * sizeof *open), *rows;

    if (open == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "cross_mask: no host memory for %s", CLF_TEXT(call->in[CROSS_MASK]));
        return;
    }
    rows = open + count * columns;
    if (apply_full_rows(call->ids[CROSS_MASK], count, columns, open, rows))
        o->feed_forward_rows = clf_ids_upload(s, rows, CLF_DIMS(B, T));
    if (columns > 0 && K > 0) {
        o->attention.mask = clf_mask_upload(s, open, CLF_DIMS(B, 1, T, columns));
        o->attention.mask_block = K / columns;
    }
    clf_free(open);
}

static void layer_forward(clf_stream *s, const clf_mllama *m, const clf_call *call)
{
    const clf_tensor text = call->in[TEXT];
    const int64_t K = clf_letters_find(&call->letters, "K")->value;
    const clf_dims dims = CLF_DIMS(text.dim[0], K, clf_cross_attention_media_width(m->layers));
    clf_tensor media = call->in[MEDIA];
    clf_cross_options options = clf_cross_options_default();

    if (!clf_shape_is(media, dims))
        media = clf_reshape(s, clf_place_dense(s, media), dims);
    if (clf_present(call->in[CROSS_MASK]))
        set_rules(s, call, K, &options);
    clf_cross_model_forward(s, (clf_cross_call){ .layers = m->layers, .first_alone = true }, text, media, &options,
                            call->out[HIDDEN], call->out[ATTENTION]);
}

/* vision [.., N, Dv], tokens [R, N, Dt]. */
static void project(clf_stream *s, const clf_mllama *m, clf_tensor vision, clf_tensor tokens)
{
    const clf_dims dims = CLF_DIMS(tokens.dim[0], tokens.dim[1], clf_projector_vision_width(m->projector));

    if (!clf_shape_is(vision, dims))
        vision = clf_reshape(s, clf_place_dense(s, vision), dims);
    clf_projector_forward(s, m->projector, vision, tokens);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    if (clf_present(call->out[HIDDEN]) || clf_present(call->out[ATTENTION]))
        layer_forward(s, module, call);
    if (clf_present(call->out[TOKENS]))
        project(s, module, call->in[VISION], call->out[TOKENS]);
}

static void forward_projector(clf_stream *s, const void *module, const clf_call *call)
{
    project(s, module, call->in[0], call->out[0]);
}

static uint64_t project_flop(const clf_mllama *m, clf_tensor vision)
{
    return clf_present(vision) ? 2 * m->projector_products * (uint64_t)clf_row_count(vision) : 0;
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_mllama *m = module;
    const clf_tensor text = call->in[TEXT];
    const uint64_t tokens = project_flop(m, call->in[VISION]);

    if (!clf_present(text))
        return tokens;
    return tokens +
           clf_cross_flop(&m->products, text.dim[0], text.dim[1], clf_letters_find(&call->letters, "K")->value);
}

static uint64_t flop_projector(const void *module, const clf_call *call)
{
    return project_flop(module, call->in[0]);
}

/* A picture of 560 x 560 pixels in four tiles of 1601 tokens. */
static int64_t example(const void *module, const char *letter)
{
    (void)module;
    if (strcmp(letter, "N'") == 0)
        return 1601;
    return strcmp(letter, "K'") == 0 ? 6404 : 0;
}

static void destroy(void *module)
{
    clf_mllama *m = module;

    if (m == NULL)
        return;
    clf_projector_destroy(m->projector);
    clf_cross_attention_destroy(m->layers);
    clf_free(m);
}

/* Pictures, tiles and tokens of `vision` are counted on their own: every tile is a row of the projector's batch. */
#define LAYER_INPUTS                                                                                                   \
    { .name = "text", .shape = "[B, T, Dt]" }, { .name = "media", .shape = "[B'', K', Dt] | [B'', I, M, Dt]" },        \
    {                                                                                                                  \
        .name = "cross_mask", .shape = "[B, T, I, tiles] | [B''', T', I']", .kind = CLF_PORT_IDS                       \
    }
#define VISION_INPUT                                                                                                   \
    {                                                                                                                  \
        .name = "vision", .shape = "[B', N', Dv] | [B', I', tiles', N', Dv]"                                           \
    }
#define LAYER_NEEDS .needs = 1U << TEXT | 1U << MEDIA, .may = 1U << CROSS_MASK
#define LAYER_OUTPUTS                                                                                                  \
    { .name = "hidden", .shape = "[B, T, Dt]", LAYER_NEEDS, .like = TEXT },                                            \
    {                                                                                                                  \
        .name = "attention", .shape = "[B, H, T, K]", LAYER_NEEDS, .dense_f32 = true                                   \
    }
#define TOKENS_SHAPE "[I'*tiles'*B', N', Dt] | [B', N', Dt]"

const clf_model_class clf_mllama_class = {
    .module = "cross_attention",
    .inputs = { LAYER_INPUTS, VISION_INPUT },
    .input_count = 4,
    .outputs = { LAYER_OUTPUTS,
                 { .name = "tokens",
                   .shape = TOKENS_SHAPE,
                   .needs = 1U << VISION,
                   .like = VISION,
                   .of_no_layer = true } },
    .output_count = 3,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .example = example,
    .destroy = destroy,
};

const clf_model_class clf_mllama_layer_class = {
    .module = "cross_attention",
    .inputs = { LAYER_INPUTS },
    .input_count = 3,
    .outputs = { LAYER_OUTPUTS },
    .output_count = 2,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .example = example,
    .destroy = destroy,
};

const clf_model_class clf_mllama_projector_class = {
    .module = "projector",
    .inputs = { VISION_INPUT },
    .input_count = 1,
    .outputs = { { .name = "tokens", .shape = TOKENS_SHAPE, .needs = 1U } },
    .output_count = 1,
    .forward = forward_projector,
    .flop = flop_projector,
    .example = example,
    .destroy = destroy,
};
