/* clfusion's token_merge: the r most similar pairs of visual tokens become one token each.
 *
 * No tensors.  Option r.  Input sizes, where tokens have been merged before. */
#include <clfusion/token_merge.h>
#include <clfusion/widen.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/place.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_merge_model {
    int64_t r;
} clf_merge_model;

enum { VISION, SIZES_BEFORE };
enum { TOKENS, SIZES, SOURCE };

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_merge_model *m = module;
    const clf_tensor vision = call->in[VISION];

    if (m->r > vision.dim[1] / 2)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: r is %" PRId64 "; want 0 to %" PRId64 ", half the tokens of vision %s", call->family, m->r,
                        vision.dim[1] / 2, CLF_TEXT(vision));
    return clf_letters_bind(&call->letters, call->family, "M", vision.dim[1] - m->r, "vision", err);
}

/* What clf_token_merge can write: the output itself, or scratch. */
static clf_tensor place_for(clf_stream *s, clf_tensor output, clf_dtype dtype, clf_dims dims, bool dense)
{
    if (clf_present(output) && output.dtype == dtype && (!dense || clf_is_dense(output)))
        return output;
    return clf_scratch(s, dtype, dims);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_merge_model *m = module;
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS], sizes = call->out[SIZES];
    const int64_t B = vision.dim[0], N = vision.dim[1], D = vision.dim[2], M = N - m->r;
    const clf_tensor y = place_for(s, tokens, CLF_F32, CLF_DIMS(B, M, D), false);
    const clf_tensor y_sizes = place_for(s, sizes, CLF_F32, CLF_DIMS(B, M), true);
    const clf_tensor source = clf_scratch(s, CLF_I32, CLF_DIMS(B, N));
    clf_tensor before = call->in[SIZES_BEFORE];

    if (clf_present(before))
        before = clf_place_dense(s, clf_place_as(s, before, CLF_F32));
    clf_token_merge(s, vision, before, m->r, y, y_sizes, source);
    if (clf_present(tokens) && tokens.dtype != CLF_F32)
        clf_place(s, y, tokens);
    if (clf_present(sizes) && (sizes.dtype != CLF_F32 || !clf_is_dense(sizes)))
        clf_place(s, y_sizes, sizes);
    if (clf_present(call->out[SOURCE]))
        clf_widen(s, source, call->out[SOURCE]);
}

/* The cosines: products of every even token with every odd one. */
static uint64_t flop(const void *module, const clf_call *call)
{
    const uint64_t B = (uint64_t)call->in[VISION].dim[0], N = (uint64_t)call->in[VISION].dim[1];

    (void)module;
    return 2 * B * (N / 2) * (N - N / 2) * (uint64_t)call->in[VISION].dim[2];
}

static const clf_model_class merge_class = {
    .module = "token_merge",
    .inputs = { { .name = "vision", .shape = "[B, N, D]" }, { .name = "sizes", .shape = "[B, N]" } },
    .input_count = 2,
    .outputs = { { .name = "tokens", .shape = "[B, M, D]", .needs = 1U << VISION, .may = 1U << SIZES_BEFORE },
                 { .name = "sizes", .shape = "[B, M]", .needs = 1U << VISION, .may = 1U << SIZES_BEFORE },
                 { .name = "source", .shape = "[B, N]", .needs = 1U << VISION, .kind = CLF_PORT_IDS } },
    .output_count = 3,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .destroy = clf_free,
};

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_merge_model *model = clf_alloc(1, sizeof *model);

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &merge_class;
    m->module = model;
    if (!clf_config_has(b->config, "r"))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: r is missing; want the number of pairs to merge", b->family);
    CLF_TRY(clf_config_int(b->config, "r", &model->r, err));
    if (model->r < 0 || model->r > INT32_MAX)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: r is %" PRId64 "; want 0 to %d", b->family, model->r, INT32_MAX);
    return CLF_OK;
}

const clf_family clf_family_token_merge = { .id = "token_merge", .module = true, .build = build };
