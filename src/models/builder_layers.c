/* The parts of transformer layers as builders read them. */
#include <inttypes.h>

#include "core/error.h"
#include "core/shape.h"
#include "core/size.h"
#include "core/text.h"
#include "models/builder.h"
#include "models/family.h"

#define NAME_BYTES 160

clf_host_tensor clf_build_rows(clf_host_tensor t, int64_t first, int64_t count)
{
    const int64_t row = t.rank == 2 ? t.dim[1] : 1;
    clf_host_tensor part = t;

    if (!clf_host_present(t))
        return t;
    part.data = (const char *)t.data + (size_t)(first * row) * clf_dtype_bytes(t.dtype);
    part.dim[0] = count;
    return part;
}

static clf_status read_vector(const clf_builder *b, const char *name, int64_t width, clf_host_tensor *t, clf_error *err)
{
    CLF_TRY(clf_build_tensor(b, name, 1, t, err));
    if (t->dim[0] != width)
        return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [%" PRId64 "]", b->family, name, CLF_HOST_TEXT(*t),
                        width);
    return CLF_OK;
}

clf_status clf_build_norm(const clf_builder *b, const char *name, clf_norm_kind kind, int64_t width, double eps,
                          clf_norm_desc *norm, clf_error *err)
{
    char vector[NAME_BYTES];

    *norm = (clf_norm_desc){ .kind = kind, .eps = (float)eps };
    clf_format(vector, sizeof vector, "%s.weight", name);
    CLF_TRY(read_vector(b, vector, width, &norm->weight, err));
    if (kind != CLF_NORM_LAYER)
        return CLF_OK;
    clf_format(vector, sizeof vector, "%s.bias", name);
    return read_vector(b, vector, width, &norm->bias, err);
}

clf_status clf_build_heads(const clf_builder *b, const char *key, int64_t heads, clf_attention_layer_desc *attention,
                           clf_error *err)
{
    const int64_t rows = attention->q.weight.dim[0];

    if (heads < 1 || heads > INT32_MAX || rows % heads != 0)
        return CLF_FAIL(err, CLF_BAD_FILE,
                        "%s: %s is %" PRId64 "; want a divisor of %" PRId64 ", the rows of the query weight", b->family,
                        key, heads, rows);
    attention->heads = (int32_t)heads;
    return CLF_OK;
}

clf_status clf_build_find_layers(const clf_builder *b, const char *before, int32_t first, const char *behind,
                                 int32_t *count, clf_error *err)
{
    char name[NAME_BYTES];
    bool more = true;

    for (*count = 0; more && *count < INT32_MAX - first; *count += more) {
        clf_format(name, sizeof name, "%s%d%s", before, (int)(first + *count), behind);
        CLF_TRY(clf_build_has(b, name, &more, err));
    }
    return CLF_OK;
}

int32_t clf_build_end(const clf_builder *b, int32_t count)
{
    return b->ends && b->layer < count ? b->layer + 1 : count;
}

/* q, k and v of one weight, or of three beside one bias. */
static clf_status read_packed(const clf_builder *b, const char *name, clf_attention_layer_desc *a, clf_error *err)
{
    static const char *const apart[] = { "q_proj_weight", "k_proj_weight", "v_proj_weight" };
    clf_linear_layer *const layer[] = { &a->q, &a->k, &a->v };
    char tensor[NAME_BYTES];
    clf_host_tensor packed;
    bool one;

    clf_format(tensor, sizeof tensor, "%s.in_proj_weight", name);
    CLF_TRY(clf_build_has(b, tensor, &one, err));
    if (one) {
        CLF_TRY(clf_build_tensor(b, tensor, 2, &packed, err));
        if (packed.dim[0] != 3 * packed.dim[1])
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want [3 D, D]", b->family, tensor, CLF_HOST_TEXT(packed));
        for (int64_t i = 0; i < 3; i++)
            layer[i]->weight = clf_build_rows(packed, i * packed.dim[1], packed.dim[1]);
        return CLF_OK;
    }
    for (int i = 0; i < 3; i++) {
        clf_format(tensor, sizeof tensor, "%s.%s", name, apart[i]);
        CLF_TRY(clf_build_tensor(b, tensor, 2, &layer[i]->weight, err));
        if (layer[i]->weight.dim[0] != a->q.weight.dim[0])
            return CLF_FAIL(err, CLF_BAD_FILE, "%s: %s is %s; want %" PRId64 " rows, as q_proj_weight has", b->family,
                            tensor, CLF_HOST_TEXT(layer[i]->weight), a->q.weight.dim[0]);
    }
    return CLF_OK;
}

clf_status clf_build_multihead(const clf_builder *b, const char *name, const char *key, int64_t heads,
                               clf_attention_layer_desc *a, clf_error *err)
{
    char part[NAME_BYTES];
    clf_host_tensor bias;

    CLF_TRY(read_packed(b, name, a, err));
    const int64_t D = a->q.weight.dim[0];

    clf_format(part, sizeof part, "%s.in_proj_bias", name);
    CLF_TRY(read_vector(b, part, 3 * D, &bias, err));
    a->q.bias = clf_build_rows(bias, 0, D);
    a->k.bias = clf_build_rows(bias, D, D);
    a->v.bias = clf_build_rows(bias, 2 * D, D);
    clf_format(part, sizeof part, "%s.out_proj", name);
    CLF_TRY(clf_build_linear(b, part, true, D, "the width of the attention", &a->out, err));
    return clf_build_heads(b, key, heads, a, err);
}

void clf_build_count_linear(clf_model *m, const clf_linear_layer *layer, clf_dtype storage)
{
    clf_build_count(m, layer->weight, storage);
    clf_build_count_f32(m, layer->bias);
}

void clf_build_count_norm(clf_model *m, const clf_norm_desc *norm)
{
    clf_build_count_f32(m, norm->weight);
    clf_build_count_f32(m, norm->bias);
}

/* A layer with the gate of its rows: one number stays on the host, channels are multiplied into the weight, in f32. */
static void count_gated(clf_model *m, const clf_linear_layer *layer, clf_host_tensor gate, clf_dtype storage)
{
    clf_model apart = { .parameters = 0 };

    clf_build_count_f32(&apart, gate);
    m->parameters += apart.parameters;
    m->f32_parameters += apart.parameters;
    clf_build_count_linear(m, layer, storage);
    if (apart.parameters <= 1)
        return;
    apart = (clf_model){ .parameters = 0 };
    clf_build_count(&apart, layer->weight, storage);
    m->weight_bytes += apart.parameters * sizeof(float) - apart.weight_bytes;
}

void clf_build_count_attention(clf_model *m, const clf_attention_layer_desc *a, clf_dtype storage)
{
    const clf_linear_layer *const layers[] = { &a->q, &a->k, &a->v };
    const bool dense = clf_host_present(a->dense.weight);

    for (size_t i = 0; i < CLF_COUNT(layers); i++)
        clf_build_count_linear(m, layers[i], storage);
    if (dense)
        clf_build_count_linear(m, &a->out, storage);
    count_gated(m, dense ? &a->dense : &a->out, a->gate, storage);
    clf_build_count_norm(m, &a->norm);
    clf_build_count_norm(m, &a->q_norm);
    clf_build_count_norm(m, &a->k_norm);
}

void clf_build_count_feed_forward(clf_model *m, const clf_feed_forward_desc *ff, clf_dtype storage)
{
    clf_build_count_norm(m, &ff->norm);
    clf_build_count_linear(m, &ff->up, storage);
    clf_build_count_linear(m, &ff->gated, storage);
    count_gated(m, &ff->down, ff->gate, storage);
}
