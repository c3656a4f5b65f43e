/* visual_vocabulary: tokens = softmax(vision head^T) table, or the table's row of the largest logit.
 *
 * For each block k of the vocabulary, of tokens [R, Dv]:
 *   x = vision head_k^T                       [R, block]
 *   x = e^(x - m'), the sums so far scaled to the new maximum m'
 *   y = y + x table_k                         [R, Dt]
 * and y / sum at the end. */
#include <clfusion/visual_vocabulary.h>

#include <clfusion/gather.h>
#include <clfusion/linear.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "fusion/parameter.h"
#include "fusion/place.h"
#include "fusion/transpose.h"
#include "fusion/weight.h"
#include "ops/vocabulary.h"
#include "runtime/op.h"

#define CLF_OP "visual_vocabulary"

/* Tokens that are computed in one go: their logits of a block stay small, their products large. */
#define TOKENS_AT_ONCE 1024

typedef struct clf_vocabulary_block {
    clf_linear_weight *head;  /* [count, Dv] */
    clf_linear_weight *table; /* [Dt, count]; NULL with argmax */
} clf_vocabulary_block;

struct clf_visual_vocabulary {
    clf_context *ctx;
    clf_vocabulary_mode mode;
    int64_t V, Dv, Dt, block;
    clf_tensor table; /* [V, Dt]; with argmax */
    size_t block_count;
    clf_vocabulary_block *blocks;
};

/* ---- creation ---- */

static clf_status check_desc(const clf_visual_vocabulary_desc *d, clf_error *err)
{
    CLF_TRY(clf_weight_check("head", &(clf_linear_layer){ .weight = d->head }, 0, err));
    CLF_TRY(clf_weight_check("table", &(clf_linear_layer){ .weight = d->table }, 0, err));
    CLF_REQUIRE(err, d->head.dim[0] == d->table.dim[0], CLF_INVALID_ARGUMENT,
                "table is %s; want %" PRId64 " rows, as head %s has", CLF_HOST_TEXT(d->table), d->head.dim[0],
                CLF_HOST_TEXT(d->head));
    CLF_REQUIRE(err, d->head.dim[0] <= INT32_MAX, CLF_UNSUPPORTED, "head is %s; want fewer than 2^31 rows",
                CLF_HOST_TEXT(d->head));
    CLF_REQUIRE(err, d->head.data != NULL && d->table.data != NULL, CLF_INVALID_ARGUMENT,
                "head %s and table %s have no data; want host memory", CLF_HOST_TEXT(d->head), CLF_HOST_TEXT(d->table));
    CLF_REQUIRE(err, d->mode == CLF_VOCABULARY_SOFTMAX || d->mode == CLF_VOCABULARY_ARGMAX, CLF_INVALID_ARGUMENT,
                "mode is %d; want softmax 0 or argmax 1", (int)d->mode);
    CLF_REQUIRE(err, d->block >= 1, CLF_INVALID_ARGUMENT, "block is %" PRId64 "; want 1 or more", d->block);
    return CLF_OK;
}

/* Rows begin .. begin + count - 1. */
static clf_host_tensor rows_of(clf_host_tensor t, int64_t begin, int64_t count)
{
    t.data = (const char *)t.data + (size_t)(begin * t.dim[1]) * clf_dtype_bytes(t.dtype);
    t.dim[0] = count;
    return t;
}

/* Products want the table's rows as columns. */
static clf_status create_table(clf_visual_vocabulary *m, clf_host_tensor rows, const clf_visual_vocabulary_desc *d,
                               clf_linear_weight **w, clf_error *err)
{
    clf_linear_layer layer = { .bias = { .dtype = CLF_DTYPE_NONE } };
    void *memory;
    clf_status status;

    CLF_TRY(clf_transpose(CLF_OP ": table", rows, &memory, &layer.weight, err));
    clf_weight_read(d->source, rows);
    status = clf_weight_create(m->ctx, "table", &layer, d->storage, NULL, w, err);
    clf_free(memory);
    return status;
}

static clf_status create_block(clf_visual_vocabulary *m, size_t k, const clf_visual_vocabulary_desc *d, clf_error *err)
{
    const int64_t begin = (int64_t)k * m->block, count = CLF_MIN(m->block, m->V - begin);
    const clf_linear_layer head = { .weight = rows_of(d->head, begin, count) };

    CLF_TRY(clf_weight_create(m->ctx, "head", &head, d->storage, d->source, &m->blocks[k].head, err));
    if (m->mode == CLF_VOCABULARY_SOFTMAX)
        CLF_TRY(create_table(m, rows_of(d->table, begin, count), d, &m->blocks[k].table, err));
    return CLF_OK;
}

static clf_status fill(clf_visual_vocabulary *m, const clf_visual_vocabulary_desc *d, clf_error *err)
{
    m->mode = d->mode;
    m->V = d->head.dim[0];
    m->Dv = d->head.dim[1];
    m->Dt = d->table.dim[1];
    m->block = CLF_MIN(d->block, m->V);
    m->block_count = (size_t)clf_div_up((uint64_t)m->V, (uint64_t)m->block);
    m->blocks = clf_alloc(m->block_count, sizeof *m->blocks);
    CLF_REQUIRE(err, m->blocks != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu blocks", m->block_count);
    for (size_t k = 0; k < m->block_count; k++)
        CLF_TRY(create_block(m, k, d, err));
    if (m->mode == CLF_VOCABULARY_ARGMAX)
        CLF_TRY(clf_parameter_create(m->ctx, "table", d->table, clf_weight_storage(d->table.dtype, d->storage),
                                     d->source, &m->table, err));
    return CLF_OK;
}

clf_status clf_visual_vocabulary_create(clf_context *ctx, const clf_visual_vocabulary_desc *desc,
                                        clf_visual_vocabulary **m, clf_error *err)
{
    clf_visual_vocabulary_desc full = clf_visual_vocabulary_desc_default();
    clf_status status;

    *m = NULL;
    CLF_DESC_READ(err, &full, desc);
    CLF_TRY(check_desc(&full, err));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    status = fill(*m, &full, err);
    if (status != CLF_OK) {
        clf_visual_vocabulary_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_visual_vocabulary_destroy(clf_visual_vocabulary *m)
{
    if (m == NULL)
        return;
    for (size_t k = 0; m->blocks != NULL && k < m->block_count; k++) {
        clf_linear_weight_destroy(m->blocks[k].head);
        clf_linear_weight_destroy(m->blocks[k].table);
    }
    clf_free(m->blocks);
    clf_tensor_free(m->ctx, &m->table);
    clf_free(m);
}

/* ---- shapes ---- */

int64_t clf_visual_vocabulary_vision_width(const clf_visual_vocabulary *m)
{
    return m->Dv;
}

int64_t clf_visual_vocabulary_text_width(const clf_visual_vocabulary *m)
{
    return m->Dt;
}

int64_t clf_visual_vocabulary_size(const clf_visual_vocabulary *m)
{
    return m->V;
}

clf_status clf_visual_vocabulary_check(const clf_visual_vocabulary *m, clf_tensor vision, clf_tensor *tokens,
                                       clf_error *err)
{
    clf_dims dims;

    *tokens = (clf_tensor){ .mem = NULL };
    CLF_REQUIRE_FLOAT(err, vision, "vision");
    CLF_REQUIRE_SHAPE(err, vision, "vision");
    CLF_REQUIRE(err, clf_dim(vision, -1) == m->Dv, CLF_INVALID_ARGUMENT, "vision is %s; want [..., %" PRId64 "]",
                CLF_TEXT(vision), m->Dv);
    dims = clf_tensor_dims(vision);
    dims.dim[dims.rank - 1] = m->Dt;
    *tokens = clf_tensor_shape(CLF_F32, dims);
    return CLF_OK;
}

static clf_status check_forward(const clf_visual_vocabulary *m, clf_tensor vision, clf_tensor tokens, clf_error *err)
{
    clf_tensor want;

    CLF_TRY(clf_visual_vocabulary_check(m, vision, &want, err));
    CLF_REQUIRE(err, clf_same_shape(tokens, want) && (tokens.dtype == CLF_F32 || tokens.dtype == vision.dtype),
                CLF_INVALID_ARGUMENT, "tokens is %s; want %s or the type of vision %s", CLF_TEXT(tokens),
                CLF_TEXT(want), CLF_TEXT(vision));
    CLF_REQUIRE_APART(err, tokens, "tokens", vision, "vision");
    return CLF_OK;
}

/* ---- forward ---- */

/* Logits of a block, in scratch that serves every block. */
static clf_tensor logits_of(clf_stream *s, const clf_visual_vocabulary *m, clf_tensor x, size_t k, clf_tensor scratch)
{
    const clf_linear_weight *head = m->blocks[k].head;
    const clf_tensor logits = clf_slice(s, scratch, 1, 0, clf_linear_weight_out(head));

    clf_linear(s, x, head, NULL, logits);
    return logits;
}

/* y [R, Dt] f32. */
static void mix(clf_stream *s, const clf_visual_vocabulary *m, clf_tensor x, clf_tensor scratch, clf_tensor y)
{
    const clf_tensor state = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0], 2));

    for (size_t k = 0; k < m->block_count; k++) {
        const clf_tensor logits = logits_of(s, m, x, k, scratch);
        clf_linear_options options = clf_linear_options_default();

        if (k > 0)
            options.residual = y;
        clf_vocabulary_softmax(s, logits, state, options.residual);
        clf_linear(s, logits, m->blocks[k].table, &options, y);
    }
    clf_vocabulary_divide(s, state, y);
}

/* y [R, Dt] in the type of the table. */
static void choose(clf_stream *s, const clf_visual_vocabulary *m, clf_tensor x, clf_tensor scratch, clf_tensor y)
{
    const clf_tensor best = clf_scratch(s, CLF_F32, CLF_DIMS(x.dim[0]));
    const clf_tensor index = clf_scratch(s, CLF_I32, CLF_DIMS(x.dim[0]));

    for (size_t k = 0; k < m->block_count; k++)
        clf_vocabulary_argmax(s, logits_of(s, m, x, k, scratch), (int64_t)k * m->block, best, index);
    clf_gather(s, m->table, index, y);
}

/* Rows of x and y, some at a time. */
static void each_part(clf_stream *s, const clf_visual_vocabulary *m, clf_tensor x, clf_tensor y)
{
    const int64_t R = x.dim[0], at_once = CLF_MIN(R, (int64_t)TOKENS_AT_ONCE);
    const clf_tensor scratch = clf_scratch(s, CLF_F32, CLF_DIMS(at_once, m->block));

    for (int64_t r = 0; r < R; r += at_once) {
        const int64_t count = CLF_MIN(at_once, R - r);
        const clf_scope scope = clf_scope_open(s, NULL, -1);
        const clf_tensor part = clf_slice(s, x, 0, r, count), out = clf_slice(s, y, 0, r, count);
        const clf_tensor logits = clf_slice(s, scratch, 0, 0, count);

        if (m->mode == CLF_VOCABULARY_SOFTMAX)
            mix(s, m, part, logits, out);
        else
            choose(s, m, part, logits, out);
        clf_scope_close(s, scope);
    }
}

void clf_visual_vocabulary_forward(clf_stream *s, const clf_visual_vocabulary *m, clf_tensor vision, clf_tensor tokens)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_forward(m, vision, tokens, clf_op_error(s))))
        return;
    const clf_scope scope = clf_scope_open(s, CLF_OP, -1);
    const clf_dtype dtype = m->mode == CLF_VOCABULARY_SOFTMAX ? CLF_F32 : m->table.dtype;
    const clf_dims rows = CLF_DIMS(clf_row_count(vision), m->Dt);
    const bool direct = tokens.dtype == dtype && clf_is_dense(tokens);
    const clf_tensor x = clf_reshape(s, clf_place_dense(s, vision), CLF_DIMS(rows.dim[0], m->Dv));
    const clf_tensor y = direct ? clf_reshape(s, tokens, rows) : clf_scratch(s, dtype, rows);

    each_part(s, m, x, y);
    if (!direct)
        clf_place(s, clf_reshape(s, y, clf_tensor_dims(tokens)), tokens);
    clf_scope_close(s, scope);
}
