/* clfusion's adaptive_avg_pool: the grid of visual tokens made smaller, or larger, by averages.
 *
 * No tensors.  Options: target_grid, [rows, columns] or one number for a square; or target_tokens, a square number.
 * Both together must agree. */
#include <clfusion/pool.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "fusion/sincos.h"
#include "models/grid.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_pool_grid {
    clf_grid to;
} clf_pool_grid;

enum { VISION, GRID };
enum { TOKENS };

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_tensor vision = call->in[VISION];
    clf_grid grid;

    (void)module;
    for (int64_t b = 0; b < vision.dim[0]; b++)
        CLF_TRY(clf_grid_of(call, vision, GRID, b, &grid, err));
    return CLF_OK;
}

static void run(clf_stream *s, const void *module, clf_tensor vision, clf_grid grid, clf_tensor y)
{
    const clf_pool_grid *m = module;

    clf_pool(s, vision, grid, m->to, y);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    clf_grid_forward(s, call, module, call->in[VISION], GRID, run, call->out[TOKENS]);
}

/* An addition an element. */
static uint64_t flop(const void *module, const clf_call *call)
{
    (void)module;
    return (uint64_t)clf_element_count(call->in[VISION]);
}

static const clf_model_class pool_class = {
    .module = "adaptive_avg_pool",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_GRID_PORT },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[B, M, Dv]", .needs = 1U << VISION, .may = 1U << GRID } },
    .output_count = 1,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .destroy = clf_free,
};

/* target_grid, or zeros. */
static clf_status read_grid(const clf_builder *b, clf_grid *to, clf_error *err)
{
    int64_t sides[2] = { 0, 0 };
    size_t count = 0;

    CLF_TRY(clf_config_ints(b->config, "target_grid", sides, 2, &count, err));
    if (count == 1)
        sides[1] = sides[0];
    if (count > 0 && (sides[0] < 1 || sides[1] < 1 || sides[0] > CLF_GRID_SIDE || sides[1] > CLF_GRID_SIDE))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: target_grid is %" PRId64 " x %" PRId64 "; want sides of 1 to %d",
                        b->family, sides[0], sides[1], CLF_GRID_SIDE);
    *to = (clf_grid){ sides[0], sides[1] };
    return CLF_OK;
}

static clf_status read_target(const clf_builder *b, clf_grid *to, clf_error *err)
{
    int64_t tokens = 0;

    CLF_TRY(read_grid(b, to, err));
    if (to->rows > 0)
        return clf_build_width(b, "target_tokens", to->rows * to->columns, "the product of target_grid", err);
    if (!clf_config_has(b->config, "target_tokens"))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: target_tokens and target_grid are missing; want one of them",
                        b->family);
    CLF_TRY(clf_config_int(b->config, "target_tokens", &tokens, err));
    to->rows = to->columns = clf_square_side(tokens);
    if (tokens < 1 || to->rows == 0 || to->rows > CLF_GRID_SIDE)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: target_tokens is %" PRId64 "; want a square number up to 2^32, or target_grid", b->family,
                        tokens);
    return CLF_OK;
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_grid to;

    CLF_TRY(read_target(b, &to, err));
    clf_pool_grid *model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &pool_class;
    m->module = model;
    model->to = to;
    return clf_build_letter(b, m, "M", to.rows * to.columns, err);
}

const clf_family clf_family_adaptive_avg_pool = { .id = "adaptive_avg_pool", .module = true, .build = build };
