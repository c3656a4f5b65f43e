/* clfusion's conv_compress: two convolutions of 3 x 3 with stride 2, then a Linear.
 *
 * conv1.weight [mid_dim, vision_dim, 3, 3], conv2.weight [dim, mid_dim, 3, 3], proj.{weight [output_dim, dim], bias}
 *
 * Options that are not given come from the tensors; those that are given must agree with them. */
#include <clfusion/conv_compress.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "models/grid.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_conv_model {
    clf_conv_compress *compress;
    uint64_t first, second, last; /* multiply-adds of a token behind each step */
} clf_conv_model;

enum { VISION, GRID };
enum { TOKENS };

/* M of a grid; all pictures must have it. */
static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_tensor vision = call->in[VISION];
    int64_t M = 0;

    (void)module;
    for (int64_t b = 0; b < vision.dim[0]; b++) {
        clf_grid grid;

        CLF_TRY(clf_grid_of(call, vision, GRID, b, &grid, err));
        grid = clf_conv_compress_grid(grid);
        if (b > 0 && grid.rows * grid.columns != M)
            return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                            "%s: grid of picture %" PRId64 " gives %" PRId64 " tokens; want %" PRId64
                            ", as picture 0 gives",
                            call->family, b, grid.rows * grid.columns, M);
        M = grid.rows * grid.columns;
    }
    return clf_letters_bind(&call->letters, call->family, "M", M, "grid", err);
}

static void run(clf_stream *s, const void *module, clf_tensor vision, clf_grid grid, clf_tensor y)
{
    const clf_conv_model *m = module;

    clf_conv_compress_forward(s, m->compress, vision, grid, y);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    clf_grid_forward(s, call, module, call->in[VISION], GRID, run, call->out[TOKENS]);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_conv_model *m = module;
    const clf_tensor vision = call->in[VISION];
    uint64_t products = 0;

    for (int64_t b = 0; b < vision.dim[0]; b++) {
        clf_grid grid;

        if (clf_grid_of(call, vision, GRID, b, &grid, NULL) != CLF_OK)
            return 0;
        const clf_grid to = clf_conv_compress_grid(grid);
        products += m->first * (uint64_t)((grid.rows + 1) / 2 * ((grid.columns + 1) / 2)) +
                    (m->second + m->last) * (uint64_t)(to.rows * to.columns);
    }
    return 2 * products;
}

static void destroy(void *module)
{
    clf_conv_model *m = module;

    if (m != NULL)
        clf_conv_compress_destroy(m->compress);
    clf_free(m);
}

static const clf_model_class conv_class = {
    .module = "conv_compress",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" }, CLF_GRID_PORT },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[B, M, Dt]", .needs = 1U << VISION, .may = 1U << GRID } },
    .output_count = 1,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

static clf_status read_conv(const clf_builder *b, const char *name, int64_t in, clf_host_tensor *w, clf_error *err)
{
    CLF_TRY(clf_build_tensor(b, name, 4, w, err));
    if (w->dim[2] != 3 || w->dim[3] != 3 || (in != 0 && w->dim[1] != in))
        return in == 0 ? CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [out, in, 3, 3]", b->family, name,
                                  CLF_HOST_TEXT(*w))
                       : CLF_FAIL(err, CLF_BAD_FILE,
                                  "%s: %s is %s; want [out, %" PRId64 ", 3, 3], the rows of conv1.weight", b->family,
                                  name, CLF_HOST_TEXT(*w), in);
    return CLF_OK;
}

static clf_status read_desc(const clf_builder *b, clf_conv_compress_desc *d, clf_error *err)
{
    CLF_TRY(read_conv(b, "conv1.weight", 0, &d->conv1, err));
    CLF_TRY(read_conv(b, "conv2.weight", d->conv1.dim[0], &d->conv2, err));
    CLF_TRY(clf_build_linear(b, "proj", true, d->conv2.dim[0], "the rows of conv2.weight", &d->proj, err));
    CLF_TRY(clf_build_width(b, "vision_dim", d->conv1.dim[1], "the input channels of conv1.weight", err));
    CLF_TRY(clf_build_width(b, "mid_dim", d->conv1.dim[0], "the rows of conv1.weight", err));
    CLF_TRY(clf_build_width(b, "dim", d->conv2.dim[0], "the rows of conv2.weight", err));
    d->storage = b->storage;
    d->source = b->source;
    return clf_build_width(b, "output_dim", d->proj.weight.dim[0], "the rows of proj.weight", err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_conv_compress_desc d = clf_conv_compress_desc_default();

    CLF_TRY(read_desc(b, &d, err));
    clf_conv_model *model = clf_alloc(1, sizeof *model);
    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &conv_class;
    m->module = model;
    model->first = (uint64_t)(9 * d.conv1.dim[0] * d.conv1.dim[1]);
    model->second = (uint64_t)(9 * d.conv2.dim[0] * d.conv2.dim[1]);
    model->last = (uint64_t)(d.proj.weight.dim[0] * d.proj.weight.dim[1]);
    clf_build_count(m, d.conv1, b->storage);
    clf_build_count(m, d.conv2, b->storage);
    clf_build_count_linear(m, &d.proj, b->storage);
    CLF_TRY(clf_build_letter(b, m, "Dv", d.conv1.dim[1], err));
    CLF_TRY(clf_build_letter(b, m, "Dt", d.proj.weight.dim[0], err));
    return clf_conv_compress_create(b->ctx, &d, &model->compress, err);
}

const clf_family clf_family_conv_compress = { .id = "conv_compress", .module = true, .build = build };
