/* Fuyu: one Linear on raw patches, flattened (row, column, channel).
 *
 * vision_embed_tokens.{weight [Dt, patch_size^2 num_channels], bias}
 *
 * vision [B, N, Dv], patches; or image [B, C, h, w], what the processor makes of a picture, in whole patches from top to
 * bottom -> tokens [B, N, Dt]; with text [B', T, Dt] and text_ids [B', T]: fused [B', T, Dt].
 *
 * Source: transformers' FuyuModel and FuyuImageProcessorPil. */
#include <inttypes.h>
#include <math.h>

#include <clfusion/patches.h>
#include <clfusion/projector.h>
#include <clfusion/unfold.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/family.h"
#include "models/fused.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_fuyu {
    clf_projector *projector;
    uint64_t products; /* multiply-adds of one token */
    int64_t patch;     /* side; 0: the width is not that of square patches */
    clf_placeholders ids;
} clf_fuyu;

enum { VISION, TEXT, TEXT_IDS, IMAGE };
enum { TOKENS, FUSED };

/* ---- a call ---- */

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_fuyu *m = module;
    const clf_tensor image = call->in[IMAGE];

    if (!clf_present(image))
        return CLF_OK;
    if (clf_present(call->in[VISION]))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: image and vision are given; want one of them", call->family);
    if (m->patch == 0)
        return CLF_FAIL(err, CLF_UNSUPPORTED,
                        "%s: image is given; want vision: a patch of %" PRId64 " values is no square of num_channels",
                        call->family, clf_letters_find(&call->letters, "Dv")->value);
    if (image.dim[2] % m->patch != 0 || image.dim[3] % m->patch != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: image is %s; want height and width divisible by patch %" PRId64,
                        call->family, CLF_TEXT(image), m->patch);
    return clf_letters_bind(&call->letters, call->family, "N", image.dim[2] / m->patch * (image.dim[3] / m->patch),
                            "image", err);
}

/* Patches [B, N, patch patch C] of a picture: pixels become rows of C values, then windows of these. */
static clf_tensor patches(clf_stream *s, const clf_fuyu *m, clf_tensor image)
{
    const int64_t B = image.dim[0], C = image.dim[1], p = m->patch;
    const clf_grid pixels = { image.dim[2], image.dim[3] }, windows = { pixels.rows / p, pixels.columns / p };
    clf_unfold_options options = clf_unfold_options_default();
    const clf_tensor x = clf_scratch(s, image.dtype, CLF_DIMS(B, pixels.rows * pixels.columns, C));
    const clf_tensor y = clf_scratch(s, image.dtype, CLF_DIMS(B, windows.rows * windows.columns, p * p * C));

    options.kernel = options.stride = p;
    clf_patches(s, image, 1, x);
    clf_unfold(s, x, pixels, &options, windows, y);
    return y;
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_fuyu *m = module;
    const clf_tensor image = call->in[IMAGE], fused = call->out[FUSED];
    const clf_tensor vision = clf_present(image) ? patches(s, m, image) : call->in[VISION];
    clf_tensor tokens = call->out[TOKENS];

    if (!clf_present(tokens))
        tokens =
            clf_scratch(s, fused.dtype, CLF_DIMS(vision.dim[0], vision.dim[1], clf_projector_text_width(m->projector)));
    clf_projector_forward(s, m->projector, vision, tokens);
    if (clf_present(fused))
        clf_fused_splice(s, tokens, call->in[TEXT], call->ids[TEXT_IDS], m->ids, fused);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_fuyu *m = module;

    return 2 * m->products * (uint64_t)clf_letters_find(&call->letters, "N")->value *
           (uint64_t)call->in[clf_present(call->in[IMAGE]) ? IMAGE : VISION].dim[0];
}

static void destroy(void *module)
{
    clf_fuyu *m = module;

    if (m != NULL)
        clf_projector_destroy(m->projector);
    clf_free(m);
}

#define PICTURE .may = 1U << VISION | 1U << IMAGE, .either = 1U << VISION | 1U << IMAGE

static const clf_model_class fuyu_class = {
    .module = "projector",
    .inputs = { { .name = "vision", .shape = "[B, N, Dv]" },
                CLF_FUSED_TEXT,
                CLF_FUSED_TEXT_IDS,
                { .name = "image", .shape = "[B, C, h, w]" } },
    .input_count = 4,
    .outputs = { { .name = "tokens", .shape = "[B, N, Dt]", PICTURE },
                 { .name = "fused", .shape = CLF_FUSED_SHAPE, .needs = 1U << TEXT | 1U << TEXT_IDS, PICTURE } },
    .output_count = 2,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .destroy = destroy,
};

/* ---- building ---- */

/* patch_size, if it is there, must make the width; else the width makes the patch, or none that is square. */
static clf_status read_patch(const clf_builder *b, int64_t width, int64_t *patch, int64_t *channels, clf_error *err)
{
    uint64_t product = 0;

    *patch = 30;
    *channels = 3;
    CLF_TRY(clf_config_int(b->config, "patch_size", patch, err));
    CLF_TRY(clf_config_int(b->config, "num_channels", channels, err));
    if (!clf_config_has(b->config, "patch_size") && *channels > 0)
        *patch = (int64_t)lround(sqrt((double)width / (double)*channels));
    if (*patch > 0 && *channels > 0 && clf_size_mul((uint64_t)*patch, (uint64_t)*patch, &product) &&
        clf_size_mul(product, (uint64_t)*channels, &product) && product == (uint64_t)width)
        return CLF_OK;
    if (clf_config_has(b->config, "patch_size") || *channels < 1)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: vision_embed_tokens.weight has %" PRId64 " columns; want patch_size %" PRId64
                        " times itself times num_channels %" PRId64,
                        b->family, width, *patch, *channels);
    *patch = 0;
    return CLF_OK;
}

static clf_status build_model(const clf_builder *b, const clf_projector_desc *desc, clf_fuyu *fuyu, clf_model *m,
                              clf_error *err)
{
    int64_t channels;

    CLF_TRY(read_patch(b, desc->layers[0].weight.dim[1], &fuyu->patch, &channels, err));
    CLF_TRY(clf_build_width(b, "text_config.hidden_size", desc->layers[0].weight.dim[0],
                            "the rows of vision_embed_tokens.weight", err));
    CLF_TRY(clf_build_placeholders(b, (clf_placeholders){ .image = 71011, .video = 71011 }, &fuyu->ids, err));
    fuyu->products = clf_build_projector_products(desc);
    CLF_TRY(clf_build_letter(b, m, "C", channels, err));
    CLF_TRY(clf_build_projector_facts(b, desc, m, err));
    return clf_projector_create(b->ctx, desc, &fuyu->projector, err);
}

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_projector_desc desc = clf_build_projector_desc(b);
    clf_fuyu *fuyu;

    CLF_TRY(clf_build_linear(b, "vision_embed_tokens", true, 0, NULL, &desc.layers[0], err));
    desc.layer_count = 1;
    fuyu = clf_alloc(1, sizeof *fuyu);
    if (fuyu == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &fuyu_class;
    m->module = fuyu;
    return build_model(b, &desc, fuyu, m, err);
}

const clf_family clf_family_fuyu = { .id = "fuyu", .build = build };
