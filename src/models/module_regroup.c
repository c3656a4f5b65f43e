/* clfusion's pixel_shuffle and unfold_merge: factor x factor cells of the grid become one token each.
 *
 * No tensors.  pixel_shuffle puts the cell's tokens side by side, unfold_merge the cell of every channel: block-major
 * and channel-major of clfusion/unfold.h. */
#include <clfusion/unfold.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "models/grid.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_regroup {
    int64_t factor;
    clf_unfold_order order;
} clf_regroup;

#define MAX_FACTOR 32768 /* clf_unfold's kernel */

enum { VISION, GRID };
enum { TOKENS };

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_regroup *m = module;
    const clf_tensor vision = call->in[VISION];
    clf_grid grid;

    for (int64_t b = 0; b < vision.dim[0]; b++)
        CLF_TRY(clf_grid_divided(call, vision, GRID, b, m->factor, &grid, err));
    return CLF_OK;
}

static void regroup(clf_stream *s, const clf_regroup *m, clf_tensor x, clf_grid from, clf_tensor y)
{
    const clf_grid to = { from.rows / m->factor, from.columns / m->factor };
    clf_unfold_options o = clf_unfold_options_default();

    o.kernel = o.stride = m->factor;
    o.order = m->order;
    clf_unfold(s, x, from, &o, to, y);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS];
    clf_tensor y = tokens;
    clf_grid grid;

    if (vision.dim[0] == 0)
        return;
    if (y.dtype != vision.dtype)
        y = clf_scratch(s, vision.dtype, clf_tensor_dims(y));
    if (clf_grid_shared(call, vision, GRID, &grid)) {
        regroup(s, module, vision, grid, y);
    } else {
        for (int64_t b = 0; b < vision.dim[0]; b++) {
            (void)clf_grid_of(call, vision, GRID, b, &grid, NULL); /* it has passed `shape` */
            regroup(s, module, clf_slice(s, vision, 0, b, 1), grid, clf_slice(s, y, 0, b, 1));
        }
    }
    if (y.dtype != tokens.dtype)
        clf_place(s, y, tokens);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    (void)module;
    (void)call;
    return 0; /* values are moved */
}

/* A picture of about 24 x 24 patches. */
static int64_t example(const void *module, const char *letter)
{
    const clf_regroup *m = module;
    const int64_t side = m->factor > 24 ? m->factor : 24 - 24 % m->factor;

    return letter[0] == 'N' ? side * side : 0;
}

static const clf_model_class regroup_class = {
    .module = "regroup",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_GRID_PORT },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[B, N/r, r*Dv]", .needs = 1U << VISION, .may = 1U << GRID } },
    .output_count = 1,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .example = example,
    .destroy = clf_free,
};

static clf_status build(const clf_builder *b, clf_unfold_order order, clf_model *m, clf_error *err)
{
    int64_t factor = 0;

    CLF_TRY(clf_config_int(b->config, "factor", &factor, err));
    if (!clf_config_has(b->config, "factor"))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: factor is missing; want the side of a cell", b->family);
    if (factor < 1 || factor > MAX_FACTOR)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: factor is %" PRId64 "; want 1 to %d", b->family, factor, MAX_FACTOR);
    clf_regroup *model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    *model = (clf_regroup){ factor, order };
    m->model_class = &regroup_class;
    m->module = model;
    return clf_build_letter(b, m, "r", factor * factor, err);
}

static clf_status build_shuffle(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, CLF_UNFOLD_BLOCK_MAJOR, m, err);
}

static clf_status build_merge(const clf_builder *b, clf_model *m, clf_error *err)
{
    return build(b, CLF_UNFOLD_CHANNEL_MAJOR, m, err);
}

const clf_family clf_family_pixel_shuffle = { .id = "pixel_shuffle", .module = true, .build = build_shuffle };
const clf_family clf_family_unfold_merge = { .id = "unfold_merge", .module = true, .build = build_merge };
