/* The last part of models of two towers. */
#include "models/contrast_head.h"

#include <clfusion/gather.h>
#include <clfusion/widen.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/text.h"
#include "fusion/row_pool.h"
#include "fusion/weight.h"
#include "models/masks.h"
#include "runtime/op.h"

/* ---- reading ---- */

clf_contrast_spec clf_build_contrast_spec(const clf_builder *b)
{
    clf_contrast_spec spec = { .contrast = clf_contrastive_desc_default() };

    spec.contrast.storage = b->storage;
    spec.contrast.source = b->source;
    return spec;
}

clf_status clf_build_scalar(const clf_builder *b, const char *name, float *value, clf_error *err)
{
    clf_host_tensor t;

    CLF_TRY(clf_source_find(b->source, name, &t, err));
    if (!clf_host_present(t))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is missing; want it in %s", b->family, name,
                        b->source->label != NULL ? b->source->label : "the checkpoint");
    if ((!clf_is_float(t.dtype) && t.dtype != CLF_F64) || t.rank > 1 || (t.rank == 1 && t.dim[0] != 1))
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want one f32, f16, bf16 or f64", b->family, name,
                        CLF_HOST_TEXT(t));
    *value = (float)clf_host_value(t.data, t.dtype, 0);
    return CLF_OK;
}

clf_status clf_build_logit_scale(const clf_builder *b, clf_contrast_spec *spec, clf_error *err)
{
    float logarithm = 0.0F;
    bool bias;

    CLF_TRY(clf_build_scalar(b, "logit_scale", &logarithm, err));
    spec->contrast.scale = (float)exp((double)logarithm);
    CLF_TRY(clf_build_has(b, "logit_bias", &bias, err));
    spec->scalars = bias ? 2 : 1;
    return bias ? clf_build_scalar(b, "logit_bias", &spec->contrast.bias, err) : CLF_OK;
}

/* ---- ports ---- */

static size_t add_output(clf_model_class *k, const char *name, const char *shape, clf_port_kind kind, uint32_t needs,
                         uint32_t may)
{
    k->outputs[k->output_count] =
        (clf_output_port){ .name = name, .shape = shape, .needs = needs, .may = may, .kind = kind };
    return k->output_count++;
}

static size_t add_input(clf_model_class *k, const char *name, const char *shape, clf_port_kind kind)
{
    k->inputs[k->input_count] = (clf_input_port){ .name = name, .shape = shape, .kind = kind };
    return k->input_count++;
}

void clf_contrast_head_images(clf_contrast_head *h, clf_model_class *k, uint32_t needs, uint32_t may)
{
    h->image_embeds = add_output(k, "image_embeds", "[B, P]", CLF_PORT_VALUES, needs, may);
}

void clf_contrast_head_texts(clf_contrast_head *h, const clf_contrast_spec *spec, clf_model_class *k, uint32_t needs,
                             uint32_t may)
{
    const bool projected = clf_host_present(spec->contrast.text.projection.weight);
    uint32_t text;

    h->row = spec->text;
    h->end_id = spec->end_id;
    h->k = spec->k;
    if (h->row == CLF_TEXT_NONE)
        return;
    h->text = add_input(k, "text",
                        h->row != CLF_TEXT_ROWS ? "[Bt, T, Dt]"
                        : projected             ? "[Bt, Dt]"
                                                : "[Bt, P]",
                        CLF_PORT_VALUES);
    text = 1U << h->text;
    if (h->row == CLF_TEXT_END) {
        h->text_ids = add_input(k, "text_ids", "[Bt, T]", CLF_PORT_IDS);
        text |= 1U << h->text_ids;
    }
    h->text_embeds = add_output(k, "text_embeds", "[Bt, P]", CLF_PORT_VALUES, text, 0);
    h->logits = add_output(k, "logits", "[B, Bt]", CLF_PORT_VALUES, needs | text, may);
    h->scores = add_output(k, "scores", "[B, Bt]", CLF_PORT_VALUES, needs | text, may);
    if (h->k == 0)
        return;
    h->indices = add_output(k, "indices", "[B, k]", CLF_PORT_IDS, needs | text, may);
    h->values = add_output(k, "values", "[B, k]", CLF_PORT_VALUES, needs | text, may);
    k->outputs[h->values].dense_f32 = true;
}

/* ---- building ---- */

static void count_side(const clf_contrastive_side_desc *d, clf_dtype storage, clf_model *m)
{
    clf_build_count_norm(m, &d->norm);
    clf_build_count_linear(m, &d->projection, storage);
}

clf_status clf_contrast_head_create(const clf_builder *b, const clf_contrast_spec *spec, clf_contrast_head *h,
                                    clf_model *m, clf_error *err)
{
    CLF_TRY(clf_contrastive_create(b->ctx, &spec->contrast, &h->contrast, err));
    h->image_products = clf_weight_products(&spec->contrast.vision.projection);
    h->text_products = clf_weight_products(&spec->contrast.text.projection);
    m->parameters += spec->scalars; /* which stay on the host */
    m->f32_parameters += spec->scalars;
    count_side(&spec->contrast.vision, b->storage, m);
    count_side(&spec->contrast.text, b->storage, m);
    if (clf_contrastive_width(h->contrast) > 0)
        CLF_TRY(clf_build_letter(b, m, "P", clf_contrastive_width(h->contrast), err));
    if (clf_contrastive_text_width(h->contrast) > 0)
        CLF_TRY(clf_build_letter(b, m, "Dt", clf_contrastive_text_width(h->contrast), err));
    return h->k > 0 ? clf_build_letter(b, m, "k", h->k, err) : CLF_OK;
}

void clf_contrast_head_destroy(clf_contrast_head *h)
{
    clf_contrastive_destroy(h->contrast);
}

/* ---- calls ---- */

static bool asked(const clf_call *call, size_t port)
{
    return port != 0 && call->wanted[port] != SIZE_MAX;
}

static clf_tensor given(const clf_tensor *ports, size_t port)
{
    const clf_tensor none = { 0 };

    return port != 0 ? ports[port] : none;
}

clf_status clf_contrast_head_shape(const clf_contrast_head *h, const clf_call *call, clf_error *err)
{
    const clf_tensor text = given(call->in, h->text);

    if (clf_present(text) && h->row != CLF_TEXT_ROWS && text.dim[1] < 1 && text.dim[0] > 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: text is %s; want at least one row of each text", call->family,
                        CLF_TEXT(text));
    if ((asked(call, h->indices) || asked(call, h->values)) && h->k > text.dim[0])
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: k is %" PRId64 "; want at most %" PRId64 ", the texts of text %s", call->family, h->k,
                        text.dim[0], CLF_TEXT(text));
    return CLF_OK;
}

int64_t clf_contrast_head_example(const clf_contrast_head *h, const char *letter)
{
    return strcmp(letter, "Bt") == 0 ? h->k : 0;
}

static bool wants_pairs(const clf_contrast_head *h, const clf_call *call)
{
    return clf_present(given(call->out, h->logits)) || clf_present(given(call->out, h->scores)) ||
           clf_present(given(call->out, h->indices)) || clf_present(given(call->out, h->values));
}

bool clf_contrast_head_wants_images(const clf_contrast_head *h, const clf_call *call)
{
    return clf_present(call->out[h->image_embeds]) || wants_pairs(h, call);
}

/* Where a text ends.  transformers' rule: configurations from before 2023 say 2, which no tokenizer of CLIP gives out;
 * there the end has the largest id.  Padding may have the id of the end, so the first counts. */
static int64_t end_of(const int64_t *ids, int64_t T, int64_t end_id)
{
    int64_t at = 0;

    if (end_id == 2) {
        for (int64_t i = 1; i < T; i++)
            if (ids[i] > ids[at])
                at = i;
        return at;
    }
    for (int64_t i = 0; i < T; i++)
        if (ids[i] == end_id)
            return i;
    return 0;
}

/* The rows [Bt, Dt] of the texts' ends. */
static clf_tensor ends(clf_stream *s, const clf_contrast_head *h, clf_tensor text, const int64_t *ids)
{
    const int64_t J = text.dim[0], T = text.dim[1];
    const clf_tensor rows = clf_scratch(s, text.dtype, CLF_DIMS(J, text.dim[2]));
    int64_t *places;

    if (J * T > INT32_MAX) {
        CLF_OP_FAIL(s, CLF_UNSUPPORTED, "text is %s; want fewer than 2^31 rows", CLF_TEXT(text));
        return rows;
    }
    places = clf_alloc((size_t)J, sizeof *places);
    if (places == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "text_ids: no host memory for %" PRId64 " places", J);
        return rows;
    }
    for (int64_t j = 0; j < J; j++)
        places[j] = j * T + end_of(ids + j * T, T, h->end_id);
    clf_gather(s, text, clf_ids_upload(s, places, CLF_DIMS(J)), rows);
    clf_free(places);
    return rows;
}

static clf_tensor text_rows(clf_stream *s, const clf_contrast_head *h, const clf_call *call)
{
    const clf_tensor text = given(call->in, h->text);

    if (!clf_present(text) || h->row == CLF_TEXT_ROWS)
        return text;
    if (text.dim[0] == 0)
        return clf_scratch(s, text.dtype, CLF_DIMS(0, text.dim[2]));
    if (h->row == CLF_TEXT_END)
        return ends(s, h, text, call->ids[h->text_ids]);
    return clf_row_at(s, text, h->row == CLF_TEXT_FIRST ? 0 : text.dim[1] - 1);
}

void clf_contrast_head_forward(clf_stream *s, const clf_contrast_head *h, clf_tensor images, const clf_call *call)
{
    clf_contrastive_call c = clf_contrastive_call_default();
    const clf_tensor indices = given(call->out, h->indices), values = given(call->out, h->values);

    c.vision = images;
    c.text = text_rows(s, h, call);
    c.image_embeds = call->out[h->image_embeds];
    c.text_embeds = given(call->out, h->text_embeds);
    c.logits = given(call->out, h->logits);
    c.scores = given(call->out, h->scores);
    if (clf_present(indices) || clf_present(values))
        c.indices = clf_scratch(s, CLF_I32, CLF_DIMS(images.dim[0], h->k));
    c.values = values;
    clf_contrastive_forward(s, h->contrast, &c);
    if (clf_present(indices))
        clf_widen(s, c.indices, indices);
}

uint64_t clf_contrast_head_flop(const clf_contrast_head *h, int64_t B, const clf_call *call)
{
    const clf_tensor text = given(call->in, h->text);
    const uint64_t I = clf_contrast_head_wants_images(h, call) ? (uint64_t)B : 0;
    const uint64_t J = clf_present(text) ? (uint64_t)text.dim[0] : 0;
    const int64_t known = clf_contrastive_width(h->contrast);
    const uint64_t P = (uint64_t)(known > 0 ? known : clf_dim(text, -1));

    return 2 * (I * h->image_products + J * h->text_products + (wants_pairs(h, call) ? I * J * P : 0));
}
