/* Models of an attention pool that makes one vector of a picture: SigLIP's, CLIP's ResNets' and CoCa's. */
#include "models/pool_head.h"

#include "core/alloc.h"
#include "core/size.h"
#include "fusion/place.h"
#include "fusion/row_pool.h"
#include "fusion/transpose.h"
#include "models/masks.h"
#include "runtime/op.h"

enum { VISION };

typedef struct clf_head_model {
    clf_model_class class; /* what it takes and gives depends on the family */
    clf_attention_pool *pool;
    clf_contrast_head head;
    clf_pool_products products;
    bool mean, first_apart;
    size_t mask;              /* input port; 0: none */
    size_t tokens, attention; /* output ports */
} clf_head_model;

/* ---- calls ---- */

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_head_model *m = module;

    return clf_contrast_head_shape(&m->head, call, err);
}

static bool wants_rows(const clf_head_model *m, const clf_call *call)
{
    return clf_contrast_head_wants_images(&m->head, call) || clf_present(call->out[m->tokens]) ||
           clf_present(call->out[m->attention]);
}

/* The rows of the pool [B, Q, D] in scratch; tokens and attention to where they are wanted. */
static clf_tensor pool(clf_stream *s, const clf_head_model *m, const clf_call *call)
{
    const clf_tensor vision = call->in[VISION], tokens = call->out[m->tokens], attention = call->out[m->attention];
    const int64_t B = vision.dim[0], N = vision.dim[1], Q = clf_attention_pool_tokens(m->pool);
    const clf_tensor rows = clf_scratch(s, CLF_F32, CLF_DIMS(B, Q, clf_attention_pool_token_width(m->pool)));
    clf_attention_pool_options o = clf_attention_pool_options_default();

    o.unseen = CLF_UNSEEN_UNIFORM; /* as eager attention does */
    if (m->mask != 0 && call->ids[m->mask] != NULL)
        o.mask = clf_mask_upload(s, call->ids[m->mask], CLF_DIMS(B, 1, 1, N));
    if (clf_present(attention))
        o.weights = clf_scratch(s, CLF_F32, CLF_DIMS(B, clf_attention_pool_heads(m->pool), Q, m->mean ? N + 1 : N));
    clf_attention_pool_forward(s, m->pool, vision, &o, rows);
    if (clf_present(tokens))
        clf_place(s, clf_slice(s, rows, 1, m->first_apart, tokens.dim[1]), tokens);
    if (clf_present(attention))
        clf_place(s, o.weights, attention);
    return rows;
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_head_model *m = module;
    clf_tensor images = { 0 };

    if (wants_rows(m, call))
        images = clf_row_at(s, pool(s, m, call), 0);
    clf_contrast_head_forward(s, &m->head, images, call);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_head_model *m = module;
    const clf_tensor vision = call->in[VISION];
    const uint64_t Q = (uint64_t)clf_attention_pool_tokens(m->pool);
    uint64_t products = 0;

    if (wants_rows(m, call)) {
        const uint64_t N = (uint64_t)(vision.dim[1] + m->mean);

        products = N * m->products.row + Q * m->products.query + N * Q * m->products.pair;
        products *= (uint64_t)vision.dim[0];
    }
    return 2 * products + clf_contrast_head_flop(&m->head, clf_present(vision) ? vision.dim[0] : 0, call);
}

static void destroy(void *module)
{
    clf_head_model *m = module;

    if (m == NULL)
        return;
    clf_attention_pool_destroy(m->pool);
    clf_contrast_head_destroy(&m->head);
    clf_free(m);
}

/* ---- building ---- */

static void describe(clf_head_model *m, const clf_head_spec *spec)
{
    clf_model_class *k = &m->class;
    uint32_t may = 0;

    *k = (clf_model_class){
        .module = "attention_pool", .shape = shape, .forward = forward, .flop = flop, .destroy = destroy
    };
    k->inputs[k->input_count++] = (clf_input_port){ .name = "vision", .shape = "[B, N, Dv]" };
    if (spec->masked) {
        m->mask = k->input_count;
        may = 1U << m->mask;
        k->inputs[k->input_count++] =
            (clf_input_port){ .name = "vision_mask", .shape = "[B, N]", .kind = CLF_PORT_IDS };
    }
    clf_contrast_head_images(&m->head, k, 1U << VISION, may);
    m->tokens = k->output_count;
    k->outputs[k->output_count++] =
        (clf_output_port){ .name = "tokens", .shape = "[B, M, D]", .needs = 1U << VISION, .may = may };
    m->attention = k->output_count;
    k->outputs[k->output_count++] = (clf_output_port){
        .name = "attention", .shape = m->mean ? "[B, H, Q, K]" : "[B, H, Q, N]", .needs = 1U << VISION, .may = may
    };
    clf_contrast_head_texts(&m->head, &spec->contrast, k, 1U << VISION, may);
}

static clf_status make_letters(const clf_builder *b, const clf_head_spec *spec, const clf_head_model *m,
                               clf_model *model, clf_error *err)
{
    const int64_t Q = clf_attention_pool_tokens(m->pool);

    CLF_TRY(clf_build_letter(b, model, "Dv", clf_attention_pool_vision_width(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "D", clf_attention_pool_token_width(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "H", clf_attention_pool_heads(m->pool), err));
    CLF_TRY(clf_build_letter(b, model, "Q", Q, err));
    CLF_TRY(clf_build_letter(b, model, "M", spec->first_apart ? Q - 1 : Q, err));
    if (spec->rows == 0)
        return CLF_OK;
    CLF_TRY(clf_build_letter(b, model, "N", spec->rows, err));
    return clf_build_letter(b, model, "K", m->mean ? spec->rows + 1 : spec->rows, err);
}

/* A projection that is applied from the right, turned, in *memory that is the caller's to free. */
static clf_status turn(const char *name, clf_host_tensor from_right, clf_contrast_spec *contrast,
                       clf_linear_layer *layer, void **memory, clf_error *err)
{
    *memory = NULL;
    if (from_right.dtype == CLF_DTYPE_NONE)
        return CLF_OK;
    contrast->contrast.source = NULL; /* what is packed is no memory of the source */
    return clf_transpose(name, from_right, memory, &layer->weight, err);
}

static clf_status make_head(const clf_builder *b, clf_head_spec *spec, clf_head_model *m, clf_model *model,
                            clf_error *err)
{
    clf_contrastive_desc *d = &spec->contrast.contrast;
    void *memory[2] = { NULL, NULL };
    clf_status status;

    d->vision.width = clf_attention_pool_token_width(m->pool);
    status = turn("projection", spec->projection, &spec->contrast, &d->vision.projection, &memory[0], err);
    if (status == CLF_OK)
        status = turn("text_projection", spec->text_projection, &spec->contrast, &d->text.projection, &memory[1], err);
    if (status == CLF_OK)
        status = clf_contrast_head_create(b, &spec->contrast, &m->head, model, err);
    for (size_t i = 0; i < CLF_COUNT(memory); i++)
        clf_free(memory[i]);
    return status;
}

clf_status clf_build_head(const clf_builder *b, clf_head_spec *spec, clf_model *model, clf_error *err)
{
    clf_head_model *m = clf_alloc(1, sizeof *m);

    if (m == NULL)
        return CLF_FAIL(err, CLF_OUT_OF_MEMORY, "%s: no host memory for the model", b->family);
    m->mean = spec->pool.queries.dtype == CLF_DTYPE_NONE;
    m->first_apart = spec->first_apart;
    m->products = clf_build_pool_products(&spec->pool);
    if (m->mean)
        m->products.query +=
            (uint64_t)spec->pool.attention.q.weight.dim[0] * (uint64_t)spec->pool.attention.q.weight.dim[1];
    describe(m, spec);
    model->model_class = &m->class;
    model->module = m;
    clf_build_pool_facts(&spec->pool, model);
    CLF_TRY(clf_attention_pool_create(b->ctx, &spec->pool, &m->pool, err));
    CLF_TRY(make_head(b, spec, m, model, err));
    return make_letters(b, spec, m, model, err);
}
