/* Models of an attention pool that makes visual tokens: Aria's, Qwen-VL's and MiniCPM-V's. */
#include "models/pool_model.h"

#include <inttypes.h>

#include "core/alloc.h"
#include "core/half.h"
#include "fusion/parameter.h"
#include "fusion/place.h"
#include "fusion/sincos.h"
#include "models/fused.h"
#include "models/masks.h"
#include "runtime/op.h"

#define MAX_SIDE 65536 /* of a grid: sides and their product stay far from 2^63 */

typedef struct clf_pool_model {
    clf_context *ctx;
    clf_attention_pool *pool;
    clf_pool_products products;
    clf_placeholders ids;
    const char *no_ids;
    int64_t bracket;
    int64_t sizes[CLF_POOL_MAX_COUNTS], counts[CLF_POOL_MAX_COUNTS];
    size_t count_count;
    int64_t C;        /* width of positions */
    float *table;     /* [table_side table_side, C] */
    clf_tensor usual; /* f32 [1, usual_side usual_side, C] on the device */
    int64_t table_side, usual_side;
} clf_pool_model;

enum { VISION, TEXT, TEXT_IDS, EXTRA }; /* EXTRA: vision_mask or grid */
enum { TOKENS, FUSED, ATTENTION };

/* ---- shapes ---- */

/* fused is refused where nobody has said which id stands for a token. */
static clf_status check_fused(const clf_pool_model *m, const clf_call *call, clf_error *err)
{
    if (m->no_ids != NULL && call->wanted[FUSED] != SIZE_MAX)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: %s is missing; want it in the configuration for fused",
                        call->family, m->no_ids);
    return CLF_OK;
}

/* M by the dictionary. */
static clf_status counted_shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_pool_model *m = module;
    const int64_t N = call->in[VISION].dim[1];
    char list[200] = "";
    size_t used = 0;

    CLF_TRY(check_fused(m, call, err));
    for (size_t i = 0; i < m->count_count; i++)
        if (m->sizes[i] == N)
            return clf_letters_bind(&call->letters, call->family, "M", m->counts[i], "vision", err);
    for (size_t i = 0; i < m->count_count; i++)
        used += clf_format(list + used, sizeof list - used, "%s%" PRId64, i > 0 ? ", " : "", m->sizes[i]);
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                    "%s: vision is %s; want N of %s, the keys of projector_patch_to_query_dict", call->family,
                    CLF_TEXT(call->in[VISION]), list);
}

static clf_status check_square(const clf_call *call, clf_error *err)
{
    if (clf_square_side(call->in[VISION].dim[1]) == 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: vision is %s; want N a square number", call->family,
                        CLF_TEXT(call->in[VISION]));
    return CLF_OK;
}

static clf_status square_shape(const void *module, clf_call *call, clf_error *err)
{
    CLF_TRY(check_fused(module, call, err));
    return check_square(call, err);
}

static clf_status grid_shape(const void *module, clf_call *call, clf_error *err)
{
    const int64_t B = call->in[VISION].dim[0], N = call->in[VISION].dim[1];
    const int64_t *grid = call->ids[EXTRA];

    CLF_TRY(check_fused(module, call, err));
    if (grid == NULL)
        return check_square(call, err);
    for (int64_t b = 0; b < B; b++)
        if (grid[2 * b] < 1 || grid[2 * b + 1] < 1 || grid[2 * b] > MAX_SIDE || grid[2 * b + 1] > MAX_SIDE ||
            grid[2 * b] * grid[2 * b + 1] > N)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "%s: grid[%" PRId64 "] is %" PRId64 " x %" PRId64
                            "; want at least 1 x 1 and at most %" PRId64 " patches, the rows of vision %s",
                            call->family, b, grid[2 * b], grid[2 * b + 1], N, CLF_TEXT(call->in[VISION]));
    return CLF_OK;
}

/* ---- what a call tells the pool ---- */

static void fail_memory(clf_stream *s, const clf_call *call)
{
    CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for the positions of vision %s", call->family,
                CLF_TEXT(call->in[VISION]));
}

/* The stored table in the size of the pictures. */
static clf_tensor square_positions(clf_stream *s, const clf_pool_model *m, const clf_call *call)
{
    const int64_t N = call->in[VISION].dim[1], side = clf_square_side(N);
    clf_tensor t;
    float *values;

    if (side == m->usual_side)
        return m->usual;
    t = clf_scratch(s, CLF_F32, CLF_DIMS(1, N, m->C));
    values = clf_alloc((size_t)N, (size_t)m->C * sizeof *values);
    if (values == NULL) {
        fail_memory(s, call);
        return t;
    }
    clf_bicubic_grid(m->table, m->table_side, side, m->C, values);
    clf_upload_copy(s, values, (uint64_t)clf_element_count(t) * sizeof *values, t);
    clf_free(values);
    return t;
}

/* Sines and cosines of each picture's grid, 0 behind its patches; lengths[b] receives their number. */
static void fill_grids(const clf_pool_model *m, const clf_call *call, float *values, int64_t *lengths)
{
    const int64_t B = call->in[VISION].dim[0], N = call->in[VISION].dim[1], side = clf_square_side(N);
    const int64_t *grid = call->ids[EXTRA];

    for (int64_t b = 0; b < B; b++) {
        const int64_t rows = grid != NULL ? grid[2 * b] : side, columns = grid != NULL ? grid[2 * b + 1] : side;

        lengths[b] = rows * columns;
        clf_sincos_grid(rows, columns, m->C, values + b * N * m->C);
    }
}

static void grid_options(clf_stream *s, const clf_pool_model *m, const clf_call *call, clf_attention_pool_options *o)
{
    const int64_t B = call->in[VISION].dim[0], N = call->in[VISION].dim[1];
    uint64_t count = 0;
    const bool fits = clf_size_mul((uint64_t)(B * N), (uint64_t)m->C, &count);
    float *values = fits ? clf_alloc((size_t)count, sizeof *values) : NULL;
    int64_t *lengths = clf_alloc((size_t)B, sizeof *lengths);

    o->positions = clf_scratch(s, CLF_F32, CLF_DIMS(B, N, m->C));
    if (values != NULL && lengths != NULL) {
        fill_grids(m, call, values, lengths);
        clf_upload_copy(s, values, count * sizeof *values, o->positions);
        o->key_lengths = clf_ids_upload(s, lengths, CLF_DIMS(B));
    } else {
        fail_memory(s, call);
    }
    clf_free(values);
    clf_free(lengths);
}

/* ---- forward ---- */

/* out = ids with the placeholder wherever a row stands between bracket and bracket + 1. */
static void fill_brackets(const clf_pool_model *m, const int64_t *ids, int64_t B, int64_t T, int64_t *out)
{
    for (int64_t b = 0; b < B; b++) {
        bool inside = false;

        for (int64_t t = b * T; t < (b + 1) * T; t++) {
            inside = inside && ids[t] != m->bracket + 1;
            out[t] = inside ? m->ids.image : ids[t];
            inside = inside || ids[t] == m->bracket;
        }
    }
}

static void fuse(clf_stream *s, const clf_pool_model *m, const clf_call *call, clf_tensor tokens)
{
    const clf_tensor text = call->in[TEXT];
    const int64_t B = text.dim[0], T = text.dim[1];
    const int64_t *ids = call->ids[TEXT_IDS];
    int64_t *marked = NULL;

    if (m->bracket >= 0) {
        marked = clf_alloc((size_t)(B * T), sizeof *marked);
        if (marked == NULL) {
            CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for text_ids of text %s", call->family,
                        CLF_TEXT(text));
            return;
        }
        fill_brackets(m, ids, B, T, marked);
        ids = marked;
    }
    clf_fused_splice(s, tokens, text, ids, m->ids, call->out[FUSED]);
    clf_free(marked);
}

static void run(clf_stream *s, const clf_pool_model *m, const clf_call *call, clf_attention_pool_options *o)
{
    const clf_tensor vision = call->in[VISION], attention = call->out[ATTENTION];
    const int64_t B = vision.dim[0], N = vision.dim[1];
    const int64_t M = clf_letters_find(&call->letters, "M")->value;
    clf_tensor tokens = call->out[TOKENS];

    if (!clf_present(tokens))
        tokens = clf_scratch(s, CLF_F32, CLF_DIMS(B, M, clf_attention_pool_token_width(m->pool)));
    if (clf_present(attention))
        o->weights = clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_attention_pool_heads(m->pool), M, N));
    o->unseen = CLF_UNSEEN_UNIFORM; /* as eager attention does */
    clf_attention_pool_forward(s, m->pool, vision, o, tokens);
    if (clf_present(call->out[FUSED]))
        fuse(s, m, call, tokens);
    if (clf_present(attention))
        clf_place(s, o->weights, attention);
}

static void counted_forward(clf_stream *s, const void *module, const clf_call *call)
{
    clf_attention_pool_options o = clf_attention_pool_options_default();
    const clf_tensor vision = call->in[VISION];

    o.queries = clf_letters_find(&call->letters, "M")->value;
    if (call->ids[EXTRA] != NULL)
        o.mask = clf_mask_upload(s, call->ids[EXTRA], CLF_DIMS(vision.dim[0], 1, 1, vision.dim[1]));
    run(s, module, call, &o);
}

static void square_forward(clf_stream *s, const void *module, const clf_call *call)
{
    clf_attention_pool_options o = clf_attention_pool_options_default();

    o.positions = square_positions(s, module, call);
    run(s, module, call, &o);
}

static void grid_forward(clf_stream *s, const void *module, const clf_call *call)
{
    clf_attention_pool_options o = clf_attention_pool_options_default();

    grid_options(s, module, call, &o);
    run(s, module, call, &o);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_pool_model *m = module;
    const uint64_t B = (uint64_t)call->in[VISION].dim[0], N = (uint64_t)call->in[VISION].dim[1];
    const uint64_t M = (uint64_t)clf_letters_find(&call->letters, "M")->value;

    return 2 * B * (N * m->products.row + M * m->products.query + N * M * m->products.pair);
}

static int64_t example(const void *module, const char *letter)
{
    const clf_pool_model *m = module;

    if (letter[0] != 'N')
        return 0;
    return m->count_count > 0 ? m->sizes[0] : m->usual_side * m->usual_side;
}

static void destroy(void *module)
{
    clf_pool_model *m = module;

    if (m == NULL)
        return;
    clf_attention_pool_destroy(m->pool);
    clf_tensor_free(m->ctx, &m->usual);
    clf_free(m->table);
    clf_free(m);
}

#define VISION_BIT (1U << VISION)
#define FUSED_BITS (1U << VISION | 1U << TEXT | 1U << TEXT_IDS)
#define EXTRA_BIT (1U << EXTRA)

#define OUTPUTS(may_use)                                                                                               \
    {                                                                                                                  \
        { .name = "tokens", .shape = "[B, M, Dt]", .needs = VISION_BIT, .may = (may_use) },                            \
            { .name = "fused", .shape = CLF_FUSED_SHAPE, .needs = FUSED_BITS, .may = (may_use) },                      \
            { .name = "attention", .shape = "[B, H, M, N]", .needs = VISION_BIT, .may = (may_use) },                   \
    }

static const clf_model_class classes[] = {
    [CLF_POOL_COUNTED] = {
        .module = "attention_pool",
        .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_FUSED_TEXT, CLF_FUSED_TEXT_IDS,
                    { .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS } },
        .input_count = 4,
        .outputs = OUTPUTS(EXTRA_BIT),
        .output_count = 3,
        .shape = counted_shape,
        .forward = counted_forward,
        .flop = flop,
        .example = example,
        .destroy = destroy,
    },
    [CLF_POOL_SQUARE] = {
        .module = "attention_pool",
        .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_FUSED_TEXT, CLF_FUSED_TEXT_IDS },
        .input_count = 3,
        .outputs = OUTPUTS(0),
        .output_count = 3,
        .shape = square_shape,
        .forward = square_forward,
        .flop = flop,
        .example = example,
        .destroy = destroy,
    },
    [CLF_POOL_GRID] = {
        .module = "attention_pool",
        .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_FUSED_TEXT, CLF_FUSED_TEXT_IDS,
                    { .name = "grid", .shape = "[B, 2]", .kind = CLF_PORT_SIZES } },
        .input_count = 4,
        .outputs = OUTPUTS(EXTRA_BIT),
        .output_count = 3,
        .shape = grid_shape,
        .forward = grid_forward,
        .flop = flop,
        .destroy = destroy,
    },
};

/* ---- building ---- */

/* The stored table as f32 on the host, for pictures of any size, and resized on the device for the usual one. */
static clf_status make_tables(const clf_builder *b, const clf_pool_spec *spec, clf_pool_model *m, clf_model *model,
                              clf_error *err)
{
    const int64_t usual = spec->usual_side * spec->usual_side, stored = spec->table.dim[0];
    const clf_host_tensor host = { NULL, CLF_F32, 3, { 1, usual, m->C } };
    clf_host_tensor resized = host;
    float *values = clf_alloc((size_t)usual, (size_t)m->C * sizeof *values);
    clf_status status = CLF_OK;

    m->table = clf_alloc((size_t)stored, (size_t)m->C * sizeof *m->table);
    m->table_side = spec->table_side;
    m->usual_side = spec->usual_side;
    if (values == NULL || m->table == NULL) {
        status =
            CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for positions %s", b->family, CLF_HOST_TEXT(host));
    } else {
        clf_host_to_f32(spec->table.data, spec->table.dtype, (size_t)(stored * m->C), m->table);
        clf_bicubic_grid(m->table, m->table_side, m->usual_side, m->C, values);
        resized.data = values;
        status = clf_parameter_create(b->ctx, "positions", resized, CLF_F32, NULL, &m->usual, err);
        model->weight_bytes += (uint64_t)clf_element_count(m->usual) * sizeof(float);
    }
    clf_free(values);
    return status;
}

static clf_status make_letters(const clf_builder *b, const clf_pool_spec *spec, const clf_pool_model *m,
                               clf_model *model, clf_error *err)
{
    CLF_TRY(clf_build_letter(b, model, "Dv", clf_attention_pool_vision_width(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "Dt", clf_attention_pool_token_width(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "H", clf_attention_pool_heads(m->pool), err));
    if (spec->kind == CLF_POOL_COUNTED)
        return CLF_OK;
    return clf_build_letter(b, model, "M", clf_attention_pool_tokens(m->pool), err);
}

clf_status clf_build_pool(const clf_builder *b, const clf_pool_spec *spec, clf_model *model, clf_error *err)
{
    clf_pool_model *m = clf_alloc(1, sizeof *m);

    if (m == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    model->model_class = &classes[spec->kind];
    model->module = m;
    m->ctx = b->ctx;
    m->products = clf_build_pool_products(&spec->pool);
    m->ids = spec->ids;
    m->no_ids = spec->no_ids;
    m->bracket = spec->bracket;
    m->count_count = spec->count_count;
    for (size_t i = 0; i < spec->count_count; i++) {
        m->sizes[i] = spec->sizes[i];
        m->counts[i] = spec->counts[i];
    }
    m->C = spec->pool.queries.dim[spec->pool.queries.rank - 1];
    clf_build_pool_facts(&spec->pool, model);
    if (spec->kind == CLF_POOL_SQUARE)
        CLF_TRY(make_tables(b, spec, m, model, err));
    CLF_TRY(clf_attention_pool_create(b->ctx, &spec->pool, &m->pool, err));
    return make_letters(b, spec, m, model, err);
}
