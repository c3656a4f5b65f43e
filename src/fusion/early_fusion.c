/* early_fusion: picture W^T + b + position + modality, and the same of text, side by side. */
#include <clfusion/early_fusion.h>

#include <clfusion/add.h>
#include <clfusion/patches.h>

#include "core/alloc.h"
#include "core/desc.h"
#include "core/half.h"
#include "fusion/look_up.h"
#include "fusion/parameter.h"
#include "fusion/place.h"
#include "fusion/weight.h"
#include "runtime/op.h"

#define CLF_OP "early_fusion"

struct clf_early_fusion {
    clf_context *ctx;
    int64_t D, C, patch;       /* patch 0: features */
    clf_linear_weight *vision; /* NULL: features are D wide */
    clf_tensor text_embed;     /* [V, D] */
    clf_tensor added[2]; /* f32 [1, rows, D] position + modality of pictures and text; [1, 1, D]: modality alone */
    bool positioned[2];
};

enum { VISION, TEXT };

/* ---- creation ---- */

static clf_status check_table(const char *name, clf_host_tensor t, int64_t D, clf_error *err)
{
    CLF_REQUIRE(err, !clf_host_present(t) || (t.rank == 2 && t.dim[0] >= 1 && t.dim[1] == D), CLF_INVALID_ARGUMENT,
                "%s is %s; want [rows, %" PRId64 "]", name, CLF_HOST_TEXT(t), D);
    return CLF_OK;
}

static clf_status check_desc(const clf_early_fusion_desc *d, clf_error *err)
{
    const clf_host_tensor patch = d->patch.weight, embed = d->text_embed;

    CLF_REQUIRE(err, d->width >= 1, CLF_INVALID_ARGUMENT, "width is %" PRId64 "; want 1 or more", d->width);
    CLF_REQUIRE(err, !clf_host_present(patch) || !clf_host_present(d->vision.weight), CLF_INVALID_ARGUMENT,
                "patch and vision have weights both; want one, for pixels or for features");
    if (clf_host_present(patch))
        CLF_REQUIRE(err,
                    patch.rank == 4 && patch.dim[0] == d->width && patch.dim[1] >= 1 && patch.dim[2] >= 1 &&
                        patch.dim[2] == patch.dim[3],
                    CLF_INVALID_ARGUMENT, "patch.weight is %s; want [%" PRId64 ", C, patch, patch]",
                    CLF_HOST_TEXT(patch), d->width);
    if (clf_host_present(d->vision.weight)) {
        CLF_TRY(clf_weight_check("vision", &d->vision, 0, err));
        CLF_REQUIRE(err, d->vision.weight.dim[0] == d->width, CLF_INVALID_ARGUMENT,
                    "vision.weight is %s; want %" PRId64 " rows, the width", CLF_HOST_TEXT(d->vision.weight), d->width);
    }
    CLF_TRY(check_table("text_embed", embed, d->width, err));
    CLF_REQUIRE(err, !clf_host_present(embed) || embed.dim[0] <= INT32_MAX, CLF_UNSUPPORTED,
                "text_embed is %s; want fewer than 2^31 rows", CLF_HOST_TEXT(embed));
    CLF_TRY(check_table("vision_positions", d->vision_positions, d->width, err));
    CLF_TRY(check_table("text_positions", d->text_positions, d->width, err));
    CLF_TRY(check_table("modalities", d->modalities, d->width, err));
    CLF_REQUIRE(err, !clf_host_present(d->modalities) || d->modalities.dim[0] == 2, CLF_INVALID_ARGUMENT,
                "modalities is %s; want [2, %" PRId64 "], pictures and text", CLF_HOST_TEXT(d->modalities), d->width);
    return CLF_OK;
}

/* positions + modalities[side], or the one that is there; absent without either. */
static clf_status create_added(clf_early_fusion *m, int side, clf_host_tensor positions, clf_host_tensor modalities,
                               clf_error *err)
{
    const int64_t rows = clf_host_present(positions) ? positions.dim[0] : 1;
    clf_host_tensor sum = { NULL, CLF_F32, 3, { 1, rows, m->D } };
    uint64_t count = 0;
    clf_status status;

    m->positioned[side] = clf_host_present(positions);
    if (!m->positioned[side] && !clf_host_present(modalities))
        return CLF_OK;
    float *values = clf_size_mul((uint64_t)rows, (uint64_t)m->D, &count) ? clf_alloc(count, sizeof *values) : NULL;
    CLF_REQUIRE(err, values != NULL, CLF_OUT_OF_MEMORY, "no host memory for positions %s", CLF_HOST_TEXT(sum));
    for (int64_t i = 0; i < (int64_t)count; i++) {
        const size_t column = (size_t)(side * m->D + i % m->D);

        values[i] = m->positioned[side] ? (float)clf_host_value(positions.data, positions.dtype, (size_t)i) : 0.0F;
        if (clf_host_present(modalities))
            values[i] += (float)clf_host_value(modalities.data, modalities.dtype, column);
    }
    sum.data = values;
    status = clf_parameter_create(m->ctx, "positions", sum, CLF_F32, NULL, &m->added[side], err);
    clf_free(values);
    return status;
}

static clf_status fill(clf_early_fusion *m, const clf_early_fusion_desc *d, clf_error *err)
{
    clf_linear_layer vision = d->vision;

    m->D = d->width;
    if (clf_host_present(d->patch.weight)) {
        vision = d->patch;
        m->C = vision.weight.dim[1];
        m->patch = vision.weight.dim[2];
        vision.weight.rank = 2;
        vision.weight.dim[1] = m->C * m->patch * m->patch;
    }
    CLF_TRY(clf_weight_create(m->ctx, "vision", &vision, d->storage, d->source, &m->vision, err));
    CLF_TRY(clf_parameter_create(m->ctx, "text_embed", d->text_embed,
                                 clf_weight_storage(d->text_embed.dtype, d->storage), d->source, &m->text_embed, err));
    CLF_TRY(create_added(m, VISION, d->vision_positions, d->modalities, err));
    return create_added(m, TEXT, d->text_positions, d->modalities, err);
}

clf_status clf_early_fusion_create(clf_context *ctx, const clf_early_fusion_desc *desc, clf_early_fusion **m,
                                   clf_error *err)
{
    clf_early_fusion_desc full = clf_early_fusion_desc_default();
    clf_status status;

    *m = NULL;
    CLF_DESC_READ(err, &full, desc);
    CLF_TRY(check_desc(&full, err));
    *m = clf_alloc(1, sizeof **m);
    CLF_REQUIRE(err, *m != NULL, CLF_OUT_OF_MEMORY, "no host memory for %zu bytes", sizeof **m);
    (*m)->ctx = ctx;
    status = fill(*m, &full, err);
    if (status != CLF_OK) {
        clf_early_fusion_destroy(*m);
        *m = NULL;
    }
    return status;
}

void clf_early_fusion_destroy(clf_early_fusion *m)
{
    if (m == NULL)
        return;
    clf_linear_weight_destroy(m->vision);
    clf_tensor_free(m->ctx, &m->text_embed);
    clf_tensor_free(m->ctx, &m->added[VISION]);
    clf_tensor_free(m->ctx, &m->added[TEXT]);
    clf_free(m);
}

/* ---- shapes ---- */

static clf_status check_pixels(const clf_early_fusion *m, clf_tensor vision, int64_t *tokens, clf_error *err)
{
    CLF_REQUIRE(err, vision.rank == 4 && clf_shape_valid(vision) && vision.dim[1] == m->C, CLF_INVALID_ARGUMENT,
                "vision is %s; want pixels [B, %" PRId64 ", H, W]", CLF_TEXT(vision), m->C);
    CLF_REQUIRE(err, vision.dim[2] % m->patch == 0 && vision.dim[3] % m->patch == 0, CLF_INVALID_ARGUMENT,
                "vision is %s; want height and width divisible by %" PRId64 ", the side of a patch", CLF_TEXT(vision),
                m->patch);
    *tokens = vision.dim[2] / m->patch * (vision.dim[3] / m->patch);
    return CLF_OK;
}

static clf_status check_features(const clf_early_fusion *m, clf_tensor vision, int64_t *tokens, clf_error *err)
{
    const int64_t Dv = m->vision != NULL ? clf_linear_weight_in(m->vision) : m->D;

    CLF_REQUIRE(err, vision.rank == 3 && clf_shape_valid(vision) && vision.dim[2] == Dv, CLF_INVALID_ARGUMENT,
                "vision is %s; want features [B, N, %" PRId64 "]", CLF_TEXT(vision), Dv);
    *tokens = vision.dim[1];
    return CLF_OK;
}

/* Rows of a table of positions for `count` of what `name` has. */
static clf_status check_positions(const clf_early_fusion *m, int side, const char *name, clf_tensor given,
                                  int64_t count, clf_error *err)
{
    CLF_REQUIRE(err, !m->positioned[side] || count <= m->added[side].dim[1], CLF_INVALID_ARGUMENT,
                "%s is %s, %" PRId64 " tokens; want at most %" PRId64 ", the rows of its table of positions", name,
                CLF_TEXT(given), count, m->added[side].dim[1]);
    return CLF_OK;
}

clf_status clf_early_fusion_check(const clf_early_fusion *m, clf_tensor vision, int64_t *tokens, clf_error *err)
{
    *tokens = 0;
    CLF_TRY(m->patch > 0 ? check_pixels(m, vision, tokens, err) : check_features(m, vision, tokens, err));
    return check_positions(m, VISION, "vision", vision, *tokens, err);
}

/* ---- forward ---- */

/* The rows that are added to `count` tokens of each of B sequences; absent where there are none. */
static clf_tensor added_rows(clf_stream *s, const clf_early_fusion *m, int side, int64_t B, int64_t count)
{
    clf_tensor t = m->added[side];

    if (!clf_present(t))
        return t;
    if (m->positioned[side]) {
        t = clf_slice(s, t, 1, 0, count);
    } else {
        t.dim[1] = count; /* one row for all */
        t.stride[1] = 0;
    }
    return clf_place_batch(t, B);
}

static clf_status check_tokens(clf_tensor y, const char *name, int64_t B, int64_t count, int64_t D, clf_error *err)
{
    CLF_REQUIRE(err, y.dtype == CLF_F32 && clf_shape_is(y, CLF_DIMS(B, count, D)), CLF_INVALID_ARGUMENT,
                "%s is %s; want f32[%" PRId64 ", %" PRId64 ", %" PRId64 "]", name, CLF_TEXT(y), B, count, D);
    return CLF_OK;
}

static clf_status check_vision(const clf_early_fusion *m, clf_tensor vision, clf_tensor tokens, clf_error *err)
{
    int64_t N;

    CLF_TRY(clf_early_fusion_check(m, vision, &N, err));
    return check_tokens(tokens, "tokens", vision.dim[0], N, m->D, err);
}

void clf_early_fusion_vision(clf_stream *s, const clf_early_fusion *m, clf_tensor vision, clf_tensor tokens)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_vision(m, vision, tokens, clf_op_error(s))))
        return;
    const int64_t B = tokens.dim[0], N = tokens.dim[1];
    const clf_scope scope = clf_scope_open(s, NULL, -1);
    clf_linear_options options = clf_linear_options_default();

    options.residual = added_rows(s, m, VISION, B, N);
    if (m->patch > 0) {
        const clf_tensor patches = clf_scratch(s, vision.dtype, CLF_DIMS(B, N, m->C * m->patch * m->patch));

        clf_patches(s, vision, m->patch, patches);
        vision = patches;
    }
    if (m->vision != NULL) {
        clf_linear(s, vision, m->vision, &options, tokens);
    } else {
        clf_place(s, vision, tokens);
        if (clf_present(options.residual))
            clf_add(s, tokens, options.residual, 1.0F, tokens);
    }
    clf_scope_close(s, scope);
}

static clf_status check_text(const clf_early_fusion *m, clf_tensor text, const int64_t *text_ids, clf_tensor words,
                             clf_error *err)
{
    const bool embedded = clf_present(text);

    CLF_REQUIRE(err, words.rank == 3 && clf_shape_valid(words), CLF_INVALID_ARGUMENT,
                "words is %s; want f32[B, T, %" PRId64 "]", CLF_TEXT(words), m->D);
    CLF_TRY(check_tokens(words, "words", words.dim[0], words.dim[1], m->D, err));
    CLF_REQUIRE(err, !embedded || text_ids == NULL, CLF_INVALID_ARGUMENT,
                "text and text_ids are given; want one of them");
    CLF_REQUIRE(err, embedded || text_ids != NULL || clf_row_count(words) == 0, CLF_INVALID_ARGUMENT,
                "text and text_ids are absent; want one of them");
    CLF_REQUIRE(err, embedded || clf_present(m->text_embed), CLF_INVALID_ARGUMENT,
                "text_ids are given and there is no text_embed; want text");
    if (embedded)
        CLF_REQUIRE(err, clf_same_shape(text, words), CLF_INVALID_ARGUMENT, "text is %s; want the shape of words %s",
                    CLF_TEXT(text), CLF_TEXT(words));
    return check_positions(m, TEXT, "text", words, words.dim[1], err);
}

void clf_early_fusion_text(clf_stream *s, const clf_early_fusion *m, clf_tensor text, const int64_t *text_ids,
                           clf_tensor words)
{
    if (!clf_op_enter(s) || !clf_op_passed(s, check_text(m, text, text_ids, words, clf_op_error(s))))
        return;
    const clf_tensor added = added_rows(s, m, TEXT, words.dim[0], words.dim[1]);

    if (clf_present(text))
        clf_place(s, text, words);
    else
        clf_look_up(s, CLF_OP, m->text_embed, text_ids, words);
    if (clf_present(added))
        clf_add(s, words, added, 1.0F, words);
}

void clf_early_fusion_mask(const int64_t *vision_mask, const int64_t *text_mask, int64_t B, int64_t N, int64_t T,
                           int64_t *fused_mask)
{
    for (int64_t b = 0; b < B; b++) {
        for (int64_t n = 0; n < N; n++)
            *fused_mask++ = vision_mask == NULL || vision_mask[b * N + n] != 0;
        for (int64_t t = 0; t < T; t++)
            *fused_mask++ = text_mask == NULL || text_mask[b * T + t] != 0;
    }
}
