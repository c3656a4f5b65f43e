/* Models of two towers whose picture's vector is a row of `vision`, their mean or their maximum. */
#include "models/contrast_model.h"

#include <clfusion/row_max.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/row_pool.h"
#include "models/grid.h"
#include "runtime/op.h"

enum { VISION, GRID };

typedef struct contrast_model {
    clf_model_class class; /* ports depend on the family */
    clf_context *ctx;
    clf_contrast_head head;
    clf_vision_row vision;
    clf_tensor constants; /* of the mean */
} contrast_model;

/* Rows of a channel map are as many as its cells; their order does not matter to what pools them. */
static clf_status check_grid(const clf_call *call, clf_error *err)
{
    const clf_tensor vision = call->in[VISION];
    clf_grid grid;

    for (int64_t b = 0; b < vision.dim[0]; b++)
        CLF_TRY(clf_grid_of(call, vision, GRID, b, &grid, err));
    return CLF_OK;
}

static bool pools(const contrast_model *m)
{
    return m->vision == CLF_VISION_MEAN || m->vision == CLF_VISION_MAX;
}

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const contrast_model *m = module;
    const clf_tensor vision = call->in[VISION];

    if (clf_present(vision) && m->vision != CLF_VISION_ROWS && vision.dim[1] < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: vision is %s; want at least one row of each picture",
                        call->family, CLF_TEXT(vision));
    if (pools(m) && clf_present(vision) && call->ids[GRID] != NULL)
        CLF_TRY(check_grid(call, err));
    return clf_contrast_head_shape(&m->head, call, err);
}

/* A vector of each picture, [B, Dv]. */
static clf_tensor images(clf_stream *s, const contrast_model *m, clf_tensor vision)
{
    const clf_tensor none = { 0 };

    if (m->vision == CLF_VISION_ROWS)
        return vision;
    if (m->vision == CLF_VISION_MEAN)
        return clf_row_pool(s, m->constants, vision, none, 1.0F, none);
    if (m->vision == CLF_VISION_MAX) {
        const clf_tensor y = clf_scratch(s, CLF_F32, CLF_DIMS(vision.dim[0], vision.dim[2]));

        clf_row_max(s, vision, y);
        return y;
    }
    return clf_row_at(s, vision, 0);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const contrast_model *m = module;
    clf_tensor rows = { 0 };

    if (clf_contrast_head_wants_images(&m->head, call))
        rows = images(s, m, call->in[VISION]);
    clf_contrast_head_forward(s, &m->head, rows, call);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const contrast_model *m = module;
    const clf_tensor vision = call->in[VISION];
    uint64_t mean = 0;

    if (m->vision == CLF_VISION_MEAN && clf_contrast_head_wants_images(&m->head, call))
        mean = 2 * (uint64_t)clf_element_count(vision);
    return mean + clf_contrast_head_flop(&m->head, clf_present(vision) ? vision.dim[0] : 0, call);
}

static int64_t example(const void *module, const char *letter)
{
    return clf_contrast_head_example(&((const contrast_model *)module)->head, letter);
}

static void destroy(void *module)
{
    contrast_model *m = module;

    if (m == NULL)
        return;
    clf_contrast_head_destroy(&m->head);
    clf_tensor_free(m->ctx, &m->constants);
    clf_free(m);
}

static void describe(contrast_model *m, const clf_contrast_spec *spec)
{
    const bool projected = clf_host_present(spec->contrast.vision.projection.weight);
    clf_model_class *k = &m->class;
    uint32_t may = 0;

    *k = (clf_model_class){ .module = "contrastive",
                            .shape = shape,
                            .forward = forward,
                            .flop = flop,
                            .example = example,
                            .destroy = destroy };
    k->inputs[k->input_count++] = (clf_input_port){
        .name = "vision",
        .shape = m->vision == CLF_VISION_ROWS ? projected ? "[B, Dv]" : "[B, P]"
                 : projected                  ? "[B, N, Dv]"
                                              : "[B, N, P]",
    };
    if (pools(m)) {
        k->inputs[k->input_count++] = (clf_input_port)CLF_GRID_PORT;
        may = 1U << GRID;
    }
    clf_contrast_head_images(&m->head, k, 1U << VISION, may);
    clf_contrast_head_texts(&m->head, spec, k, 1U << VISION, may);
}

clf_status clf_build_contrast(const clf_builder *b, const clf_contrast_spec *spec, clf_vision_row vision, clf_model *m,
                              clf_error *err)
{
    contrast_model *model = clf_alloc(1, sizeof *model);

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    model->ctx = b->ctx;
    model->vision = vision;
    describe(model, spec);
    m->model_class = &model->class;
    m->module = model;
    if (vision == CLF_VISION_MEAN)
        CLF_TRY(clf_row_pool_create(b->ctx, &model->constants, err));
    CLF_TRY(clf_contrast_head_create(b, spec, &model->head, m, err));
    if (clf_contrastive_vision_width(model->head.contrast) > 0)
        CLF_TRY(clf_build_letter(b, m, "Dv", clf_contrastive_vision_width(model->head.contrast), err));
    return CLF_OK;
}
