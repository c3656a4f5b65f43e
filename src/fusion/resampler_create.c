/* Resamplers described, checked, packed and destroyed. */
#include "fusion/resampler_parts.h"

#include <inttypes.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "fusion/gate.h"
#include "fusion/name.h"
#include "fusion/parameter.h"
#include "fusion/weight.h"

#define CLF_OP "resampler"

/* ---- description ---- */

static clf_status want_width(const char *name, const char *verb, int64_t got, int64_t want, const char *what,
                             clf_error *err)
{
    if (got == want)
        return CLF_OK;
    return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s %s rows of %" PRId64 "; want %" PRId64 ", %s", name, verb, got, want,
                    what);
}

static clf_status check_attention(const char *name, const clf_attention_layer_desc *a, int64_t D, int64_t C,
                                  clf_error *err)
{
    CLF_TRY(clf_attention_layer_check(name, a, err));
    CLF_TRY(want_width(name, "asks with", clf_attention_layer_width(a), D, "the width of latents", err));
    CLF_TRY(want_width(name, "reads", clf_attention_layer_context_width(a), C,
                       C == D ? "the width of latents" : "the width of the vision rows", err));
    return want_width(name, "gives", clf_attention_layer_result_width(a), D, "the width of latents", err);
}

static clf_status check_feed_forward(const char *name, const clf_feed_forward_desc *f, int64_t in, int64_t out,
                                     clf_error *err)
{
    if (!clf_host_present(f->up.weight))
        return CLF_OK;
    CLF_TRY(clf_feed_forward_check(name, f, err));
    if (in != 0)
        CLF_TRY(want_width(name, "reads", f->up.weight.dim[1], in, "the width of what stands before it", err));
    return out == 0 ? CLF_OK : want_width(name, "gives", f->down.weight.dim[0], out, "the width of latents", err);
}

static clf_status check_layer(const clf_resampler_layer_desc *l, int32_t i, int64_t D, int64_t C, clf_error *err)
{
    if (clf_host_present(l->self.q.weight))
        CLF_TRY(check_attention(CLF_LAYER(i, "self"), &l->self, D, D, err));
    CLF_TRY(check_attention(CLF_LAYER(i, "cross"), &l->cross, D, C, err));
    CLF_TRY(clf_norm_check(CLF_LAYER(i, "context_norm"), &l->context_norm, C, err));
    return check_feed_forward(CLF_LAYER(i, "feed_forward"), &l->feed_forward, D, D, err);
}

/* Gates stand where there is a residual. */
static clf_status check_gates(const clf_resampler_desc *d, clf_error *err)
{
    CLF_TRY(clf_gate_check_absent("input_feed_forward", d->input_feed_forward.gate, err));
    for (int32_t i = 0; !d->residual && i < d->layer_count; i++) {
        const clf_resampler_layer_desc *l = &d->layers[i];

        CLF_TRY(clf_gate_check_absent(CLF_LAYER(i, "self"), l->self.gate, err));
        CLF_TRY(clf_gate_check_absent(CLF_LAYER(i, "cross"), l->cross.gate, err));
        CLF_TRY(clf_gate_check_absent(CLF_LAYER(i, "feed_forward"), l->feed_forward.gate, err));
    }
    return CLF_OK;
}

/* The width of the vision rows that the layers read, and of those that come in. */
static clf_status check_input(const clf_resampler_desc *d, int64_t *Dv, int64_t *C, clf_error *err)
{
    const bool input = clf_host_present(d->input.weight), ff = clf_host_present(d->input_feed_forward.up.weight);

    *C = 0;
    if (input) {
        CLF_TRY(clf_weight_check("input", &d->input, 0, err));
        *Dv = d->input.weight.dim[1];
        *C = d->input.weight.dim[0];
    }
    CLF_TRY(check_feed_forward("input_feed_forward", &d->input_feed_forward, *C, 0, err));
    if (ff) {
        *Dv = input ? *Dv : d->input_feed_forward.up.weight.dim[1];
        *C = d->input_feed_forward.down.weight.dim[0];
    }
    if (!input && !ff) {
        CLF_TRY(clf_attention_layer_check("layers[0].cross", &d->layers[0].cross, err));
        *Dv = *C = clf_attention_layer_context_width(&d->layers[0].cross);
    }
    return clf_norm_check("input_norm", &d->input_norm, *C, err);
}

static clf_status check_desc(const clf_resampler_desc *d, int64_t *Dv, clf_error *err)
{
    clf_host_tensor latents;
    int64_t C;

    if (!clf_parameter_table(d->latents, &latents))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "latents is %s; want [M, D], both above 0",
                        CLF_HOST_TEXT(d->latents));
    const int64_t D = latents.dim[2];

    if (d->layers == NULL || d->layer_count < 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "layer_count is %d and layers is %s; want at least one layer",
                        (int)d->layer_count, d->layers != NULL ? "set" : "NULL");
    CLF_TRY(check_input(d, Dv, &C, err));
    if (d->latents_in_context)
        CLF_TRY(want_width("the layers", "read vision", C, D, "the width of latents, which stand beside them", err));
    for (int32_t i = 0; i < d->layer_count; i++)
        CLF_TRY(check_layer(&d->layers[i], i, D, C, err));
    CLF_TRY(check_gates(d, err));
    CLF_TRY(clf_norm_check("final_norm", &d->final_norm, D, err));
    return clf_host_present(d->output.weight) ? clf_weight_check("output", &d->output, D, err) : CLF_OK;
}

/* ---- weights ---- */

/* Whether the layers' keys and values can be one product: norms of one kind and eps, without a gain, or with one that
 * goes into f32 weights.  Weights of 16 bits would be rounded once more. */
static bool is_shared(const clf_resampler_desc *d)
{
    const clf_norm_desc *first = &d->layers[0].context_norm;

    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_norm_desc *norm = &d->layers[i].context_norm;
        const clf_attention_layer_desc *a = &d->layers[i].cross;

        if (norm->kind != first->kind || (norm->kind != CLF_NORM_NONE && norm->eps != first->eps))
            return false;
        if (norm->kind != CLF_NORM_NONE && clf_host_present(norm->weight) &&
            (clf_weight_storage(a->k.weight.dtype, d->storage) != CLF_F32 ||
             clf_weight_storage(a->v.weight.dtype, d->storage) != CLF_F32))
            return false;
    }
    return true;
}

/* All layers in one product; the norms' gains are folded in. */
static clf_status create_shared(clf_resampler *r, const clf_resampler_desc *d, const clf_tensor_source *source,
                                clf_error *err)
{
    const size_t count = (size_t)d->layer_count;
    const clf_attention_layer_desc **layers = clf_alloc(count, sizeof *layers);
    clf_norm_desc *norms = clf_alloc(count, sizeof *norms);
    clf_status status = CLF_OK;

    if (layers == NULL || norms == NULL)
        status = CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %zu layers", count);
    for (size_t i = 0; status == CLF_OK && i < count; i++) {
        layers[i] = &d->layers[i].cross;
        norms[i] = d->layers[i].context_norm;
    }
    if (status == CLF_OK)
        status =
            clf_kv_weight_create(r->ctx, layers, norms, d->layer_count, d->storage, source, &r->context[0].weight, err);
    r->context[0].norm = clf_norm_bare(&d->layers[0].context_norm);
    clf_free(layers);
    clf_free(norms);
    return status;
}

/* A product for each layer behind its own norm. */
static clf_status create_apart(clf_resampler *r, const clf_resampler_desc *d, const clf_tensor_source *source,
                               clf_error *err)
{
    for (int32_t i = 0; i < d->layer_count; i++) {
        const clf_attention_layer_desc *cross = &d->layers[i].cross;
        const clf_norm_desc none = { .kind = CLF_NORM_NONE };

        CLF_TRY(clf_norm_create(r->ctx, CLF_LAYER(i, "context_norm"), &d->layers[i].context_norm,
                                clf_attention_layer_context_width(cross), d->source, &r->context[i].norm, err));
        CLF_TRY(clf_kv_weight_create(r->ctx, &cross, &none, 1, d->storage, source, &r->context[i].weight, err));
    }
    return CLF_OK;
}

static clf_status create_context(clf_resampler *r, const clf_resampler_desc *d, clf_error *err)
{
    /* Weights that the latents meet too are read a second time by create_layer. */
    const clf_tensor_source *source = d->latents_in_context ? NULL : d->source;
    const bool shared = is_shared(d);

    r->context_count = shared ? 1 : d->layer_count;
    r->context = clf_alloc((size_t)r->context_count, sizeof *r->context);
    if (r->context == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %d products", (int)r->context_count);
    return shared ? create_shared(r, d, source, err) : create_apart(r, d, source, err);
}

static clf_status create_layer(clf_resampler *r, const clf_resampler_desc *d, int32_t i, clf_error *err)
{
    const clf_resampler_layer_desc *l = &d->layers[i];
    clf_resampler_part *to = &r->layers[i];

    if (clf_host_present(l->self.q.weight))
        CLF_TRY(clf_attention_layer_create(r->ctx, CLF_LAYER(i, "self"), &l->self, CLF_SELF_ATTENTION, d->storage,
                                           d->source, &to->self, err));
    CLF_TRY(clf_attention_layer_create(r->ctx, CLF_LAYER(i, "cross"), &l->cross,
                                       d->latents_in_context ? CLF_SELF_ATTENTION : CLF_SHARED_ATTENTION, d->storage,
                                       d->source, &to->cross, err));
    return clf_feed_forward_create(r->ctx, CLF_LAYER(i, "feed_forward"), &l->feed_forward, d->storage, d->source,
                                   &to->feed_forward, err);
}

/* Layer after layer; with latents in the context there is room for q left of each layer's k, unless q is known. */
static void place_columns(clf_resampler *r)
{
    int64_t before = 0, room = 0;

    for (int32_t i = 0; i < r->layer_count; i++) {
        const clf_attention_layer *l = &r->layers[i].cross;

        if (r->latents_in_context && (i > 0 || r->layers[0].self.q != NULL))
            room = CLF_MAX(room, l->H * l->D - before);
        r->layers[i].column = before;
        before += clf_attention_layer_kv_width(l);
    }
    for (int32_t i = 0; i < r->layer_count; i++)
        r->layers[i].column += room;
    r->columns = before + room;
}

/* What the first layer asks follows from the latents alone: it is computed here, and its weight is not needed again. */
static clf_status create_asked(clf_resampler *r, clf_error *err)
{
    clf_attention_layer *first = &r->layers[0].cross;
    clf_linear_options options = clf_linear_options_default();
    clf_stream *s = NULL;
    clf_status status;

    if (r->layers[0].self.q != NULL)
        return CLF_OK;
    CLF_TRY(clf_tensor_create(r->ctx, CLF_F32, CLF_DIMS(1, r->latents.dim[1], clf_linear_weight_out(first->q)),
                              &r->asked, err));
    CLF_TRY(clf_stream_create(r->ctx, NULL, &s, err));
    clf_norm_before(&first->norm, &options);
    clf_linear(s, r->latents, first->q, &options, r->asked);
    status = clf_stream_finish(s, err);
    clf_stream_destroy(s);
    clf_linear_weight_destroy(first->q);
    first->q = NULL;
    clf_norm_destroy(r->ctx, &first->norm);
    return status;
}

static clf_status create_layers(clf_resampler *r, const clf_resampler_desc *d, clf_error *err)
{
    r->layers = clf_alloc((size_t)d->layer_count, sizeof *r->layers);
    if (r->layers == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %d layers", (int)d->layer_count);
    r->layer_count = d->layer_count; /* zeroed ones can be destroyed */
    for (int32_t i = 0; i < r->layer_count; i++) {
        CLF_TRY(create_layer(r, d, i, err));
        if (i == 0) /* before there are more weights on the device */
            CLF_TRY(create_asked(r, err));
    }
    place_columns(r);
    return CLF_OK;
}

static clf_status create_latents(clf_resampler *r, const clf_resampler_desc *d, clf_error *err)
{
    clf_host_tensor latents = { 0 };

    (void)clf_parameter_table(d->latents, &latents); /* the check has found it sound */
    CLF_TRY(clf_parameter_create(r->ctx, "latents", latents, CLF_F32, d->source, &r->latents, err));
    if (!r->latents_in_context)
        return CLF_OK;
    return clf_parameter_zeros(r->ctx, CLF_DIMS(1, 1, 1, r->latents.dim[1]), &r->open, err);
}

static clf_status fill(clf_resampler *r, const clf_resampler_desc *d, clf_error *err)
{
    r->latents_in_context = d->latents_in_context;
    r->residual = d->residual;
    CLF_TRY(create_latents(r, d, err));
    CLF_TRY(clf_weight_create(r->ctx, "input", &d->input, d->storage, d->source, &r->input, err));
    CLF_TRY(clf_feed_forward_create(r->ctx, "input_feed_forward", &d->input_feed_forward, d->storage, d->source,
                                    &r->input_feed_forward, err));
    CLF_TRY(clf_norm_create(r->ctx, "input_norm", &d->input_norm,
                            clf_attention_layer_context_width(&d->layers[0].cross), d->source, &r->input_norm, err));
    CLF_TRY(create_context(r, d, err));
    CLF_TRY(create_layers(r, d, err));
    CLF_TRY(clf_norm_create(r->ctx, "final_norm", &d->final_norm, r->latents.dim[2], d->source, &r->final_norm, err));
    return clf_weight_create(r->ctx, "output", &d->output, d->storage, d->source, &r->output, err);
}

static clf_status create(clf_context *ctx, const clf_resampler_desc *d, clf_resampler **r, clf_error *err)
{
    int64_t Dv = 0;

    CLF_TRY(check_desc(d, &Dv, err));
    *r = clf_alloc(1, sizeof **r);
    if (*r == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **r);
    (*r)->ctx = ctx;
    (*r)->vision_width = Dv;
    return fill(*r, d, err);
}

clf_status clf_resampler_create(clf_context *ctx, const clf_resampler_desc *desc, clf_resampler **r, clf_error *err)
{
    clf_resampler_desc full = clf_resampler_desc_default();
    clf_status status;

    *r = NULL;
    CLF_DESC_READ(err, &full, desc);
    status = create(ctx, &full, r, err);
    if (status != CLF_OK) {
        clf_error_prefix(err, CLF_OP ": ");
        clf_resampler_destroy(*r);
        *r = NULL;
    }
    return status;
}

void clf_resampler_destroy(clf_resampler *r)
{
    if (r == NULL)
        return;
    for (int32_t i = 0; r->layers != NULL && i < r->layer_count; i++) {
        clf_attention_layer_destroy(r->ctx, &r->layers[i].self);
        clf_attention_layer_destroy(r->ctx, &r->layers[i].cross);
        clf_feed_forward_destroy(r->ctx, &r->layers[i].feed_forward);
    }
    for (int32_t i = 0; r->context != NULL && i < r->context_count; i++) {
        clf_linear_weight_destroy(r->context[i].weight);
        clf_norm_destroy(r->ctx, &r->context[i].norm);
    }
    clf_linear_weight_destroy(r->input);
    clf_linear_weight_destroy(r->output);
    clf_feed_forward_destroy(r->ctx, &r->input_feed_forward);
    clf_norm_destroy(r->ctx, &r->input_norm);
    clf_norm_destroy(r->ctx, &r->final_norm);
    clf_tensor_free(r->ctx, &r->latents);
    clf_tensor_free(r->ctx, &r->asked);
    clf_tensor_free(r->ctx, &r->open);
    clf_free(r->layers);
    clf_free(r->context);
    clf_free(r);
}

int64_t clf_resampler_vision_width(const clf_resampler *r)
{
    return r->vision_width;
}

int64_t clf_resampler_token_width(const clf_resampler *r)
{
    return r->output != NULL ? clf_linear_weight_out(r->output) : r->latents.dim[2];
}

int64_t clf_resampler_tokens(const clf_resampler *r)
{
    return r->latents.dim[1];
}

int32_t clf_resampler_layers(const clf_resampler *r)
{
    return r->layer_count;
}
