/* clfusion's importance_prune: the visual tokens that stand out within their picture.
 *
 * No tensors.  Options threshold (0.5), metric, "l2" (default) or "variance".  How many tokens the longest picture keeps
 * depends on values, so vision is read while planning; without memory the plan says the most there can be. */
#include <clfusion/prune.h>

#include <inttypes.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "fusion/place.h"
#include "models/registry.h"
#include "runtime/op.h"

typedef struct clf_prune_model {
    clf_importance metric;
    double threshold;
} clf_prune_model;

enum { VISION };
enum { TOKENS, LENGTHS, MASK, INDICES };

/* What each picture keeps: found while planning, used by forward. */
typedef struct kept {
    int64_t longest;
    int32_t *indices;  /* [B, N], behind lengths */
    int64_t lengths[]; /* [B] */
} kept;

/* The call has it, after an error too. */
static clf_status keep(const clf_prune_model *m, clf_call *call, clf_error *err)
{
    const clf_tensor vision = call->in[VISION];
    const uint64_t B = (uint64_t)vision.dim[0], row = sizeof(int64_t) + (uint64_t)vision.dim[1] * sizeof(int32_t);
    clf_host_tensor host = { call->given[VISION]->host, vision.dtype, 3, { 0 } };
    uint64_t bytes;
    kept *k = NULL;

    memcpy(host.dim, vision.dim, sizeof host.dim);
    if (clf_size_mul(B, row, &bytes) && clf_size_add(bytes, sizeof *k, &bytes) && bytes <= SIZE_MAX)
        call->found = k = clf_alloc((size_t)bytes, 1);
    if (k == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the indices of vision %s", call->family,
                        CLF_TEXT(vision));
    k->indices = (int32_t *)(k->lengths + B);
    return clf_prune_plan(host, m->metric, m->threshold, k->indices, k->lengths, &k->longest, err);
}

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_value *given = call->given[VISION];
    const clf_tensor vision = call->in[VISION];
    const kept *k;

    if (given->tensor.mem != NULL && given->host == NULL)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: vision lies on the device; want host memory, because how many tokens stay depends on it",
                        call->family);
    if (vision.dim[1] > INT32_MAX || vision.dim[2] < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: vision is %s; want N below 2^31 and D above 0", call->family,
                        CLF_TEXT(vision));
    if (given->host != NULL)
        CLF_TRY(keep(module, call, err));
    k = call->found;
    return clf_letters_bind(&call->letters, call->family, "M", k != NULL ? k->longest : vision.dim[1], "vision", err);
}

/* The numbers of an output: lengths, mask or indices. */
static void fill(const clf_call *call, const kept *k, size_t output, int64_t *values)
{
    const int64_t B = call->in[VISION].dim[0], N = call->in[VISION].dim[1], M = k->longest;

    for (int64_t b = 0; b < B && output == LENGTHS; b++)
        values[b] = k->lengths[b];
    for (int64_t i = 0; i < B * M && output != LENGTHS; i++) {
        const int64_t index = k->indices[i / M * N + i % M];

        values[i] = output == INDICES ? index : index >= 0;
    }
}

static void write_numbers(clf_stream *s, const clf_call *call, const kept *k, size_t output)
{
    const clf_tensor y = call->out[output];
    int64_t *values;

    if (!clf_present(y) || clf_element_count(y) == 0)
        return;
    values = clf_alloc((size_t)clf_element_count(y), sizeof *values);
    if (values == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for %s", call->family, CLF_TEXT(y));
        return;
    }
    fill(call, k, output, values);
    if (clf_is_dense(y)) {
        clf_upload_copy(s, values, (uint64_t)clf_element_count(y) * sizeof *values, y);
    } else {
        const clf_tensor dense = clf_scratch(s, y.dtype, clf_tensor_dims(y));

        clf_upload_copy(s, values, (uint64_t)clf_element_count(y) * sizeof *values, dense);
        clf_place(s, dense, y);
    }
    clf_free(values);
}

/* Moves the indices: rows of N numbers become rows of M, from the front. */
static void write_tokens(clf_stream *s, const clf_call *call, kept *k)
{
    const clf_tensor vision = call->in[VISION], tokens = call->out[TOKENS];
    const int64_t B = vision.dim[0], N = vision.dim[1], M = k->longest;
    const bool same = tokens.dtype == vision.dtype;
    const clf_tensor y = same ? tokens : clf_scratch(s, vision.dtype, clf_tensor_dims(tokens));

    for (int64_t b = 0; b < B; b++)
        memmove(k->indices + b * M, k->indices + b * N, (size_t)M * sizeof *k->indices);
    clf_prune(s, vision, k->indices, y);
    if (!same)
        clf_place(s, y, tokens);
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    (void)module;
    for (size_t output = LENGTHS; output <= INDICES; output++)
        write_numbers(s, call, call->found, output);
    if (clf_present(call->out[TOKENS]))
        write_tokens(s, call, call->found); /* last: it moves the indices */
}

/* Squares and sums, on the host. */
static uint64_t flop(const void *module, const clf_call *call)
{
    (void)module;
    return 2 * (uint64_t)clf_element_count(call->in[VISION]);
}

static const clf_model_class prune_class = {
    .module = "importance_prune",
    .inputs = { { .name = "vision", .shape = "[B, N, D]" } },
    .input_count = 1,
    .outputs = { { .name = "tokens", .shape = "[B, M, D]", .needs = 1U << VISION },
                 { .name = "lengths", .shape = "[B]", .needs = 1U << VISION, .kind = CLF_PORT_IDS },
                 { .name = "mask", .shape = "[B, M]", .needs = 1U << VISION, .kind = CLF_PORT_IDS },
                 { .name = "indices", .shape = "[B, M]", .needs = 1U << VISION, .kind = CLF_PORT_IDS } },
    .output_count = 4,
    .shape = shape,
    .forward = forward,
    .flop = flop,
    .destroy = clf_free,
};

static clf_status build(const clf_builder *b, clf_model *m, clf_error *err)
{
    clf_prune_model *model = clf_alloc(1, sizeof *model);
    const char *metric = "l2";

    if (model == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->model_class = &prune_class;
    m->module = model;
    model->threshold = 0.5;
    CLF_TRY(clf_config_float(b->config, "threshold", &model->threshold, err));
    CLF_TRY(clf_config_text(b->config, "metric", &metric, err));
    if (strcmp(metric, "variance") == 0)
        model->metric = CLF_IMPORTANCE_VARIANCE;
    else if (strcmp(metric, "l2") != 0)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: metric is %s; want l2 or variance", b->family,
                        clf_text_quote(metric, strlen(metric)).text);
    return CLF_OK;
}

const clf_family clf_family_importance_prune = { .id = "importance_prune", .module = true, .build = build };
