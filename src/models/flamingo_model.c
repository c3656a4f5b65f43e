/* Models with a perceiver, gated cross-attention layers, or both.
 *
 * vision [B, N, Dv], a picture a row, or [B, I, F, N, Dv] -> tokens [B, M, Dv] or [B, I, M, Dv]
 * text [B, T, Dt], media [B, I, M, Dv] or [B, M, Dv], text_ids [B, T'] or cross_mask [B, T, I] -> hidden [B, T, Dt] */
#include "models/flamingo_inside.h"

#include <clfusion/add.h>
#include <clfusion/interleave.h>

#include "core/alloc.h"
#include "fusion/place.h"
#include "models/masks.h"
#include "runtime/op.h"

/* A checked input or output of the call; absent when it is not there. */
static clf_tensor input(const clf_flamingo_model *m, const clf_call *call, size_t which)
{
    return m->in[which] != NO_PORT ? call->in[m->in[which]] : (clf_tensor){ .mem = NULL };
}

static clf_tensor output(const clf_flamingo_model *m, const clf_call *call, size_t which)
{
    return m->out[which] != NO_PORT ? call->out[m->out[which]] : (clf_tensor){ .mem = NULL };
}

static const int64_t *input_ids(const clf_flamingo_model *m, const clf_call *call, size_t which)
{
    return m->in[which] != NO_PORT ? call->ids[m->in[which]] : NULL;
}

/* Pictures of a text: I of media [B, I, M, Dv], and of [I, M, Dv] where the text has no batch. */
static int64_t pictures(const clf_call *call)
{
    return clf_letters_find(&call->letters, "I")->value;
}

/* ---- rules of a call ---- */

static clf_status check_embeddings(const clf_call *call, clf_tensor vision, clf_tensor table, int axis,
                                   const char *name, const char *what, clf_error *err)
{
    if (clf_present(table) && vision.dim[axis] > table.dim[0])
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: vision is %s; want at most %" PRId64 " %s, the rows of %s",
                        call->family, CLF_TEXT(vision), table.dim[0], what, name);
    return CLF_OK;
}

/* The batch and the pictures of media: three dimensions are one picture a text, but pictures of one text where the text
 * has no batch. */
static clf_status bind_media(clf_call *call, clf_tensor media, clf_error *err)
{
    const clf_letter *batch = clf_letters_find(&call->letters, "B");
    const bool of_one_text = media.rank == 3 && batch->left_out && batch->value == 1;

    if (!of_one_text && media.dim[0] != batch->value)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: media is %s; want B of %" PRId64 ", as text has", call->family,
                        CLF_TEXT(media), batch->value);
    if (media.rank == 4)
        return CLF_OK;
    return clf_letters_bind(&call->letters, call->family, "I", of_one_text ? media.dim[0] : 1, "media", err);
}

/* Pictures that the perceiver could not have told apart. */
static clf_status check_pictures(const clf_flamingo_model *m, const clf_call *call, clf_tensor media, clf_error *err)
{
    if (clf_present(m->media_embs) && pictures(call) > m->media_embs.dim[0])
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: media is %s, %" PRId64 " pictures; want at most %" PRId64 ", the rows of %s", call->family,
                        CLF_TEXT(media), pictures(call), m->media_embs.dim[0], m->media_embs_name.text);
    return CLF_OK;
}

/* How the call says what a position sees. */
static clf_status check_sight(const clf_flamingo_model *m, const clf_call *call, clf_error *err)
{
    const bool ids = clf_present(input(m, call, TEXT_IDS)), mask = clf_present(input(m, call, CROSS_MASK));

    if (ids && mask)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: text_ids and cross_mask are given; want one of them",
                        call->family);
    if (ids && !m->sight.has_media_token)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: media_token_id is missing; want it in the configuration to read text_ids", call->family);
    if (m->sight.reads_text_ids && !ids && !mask && pictures(call) > 1)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: text_ids is missing; want text_ids or cross_mask for the %" PRId64 " pictures of media",
                        call->family, pictures(call));
    return CLF_OK;
}

static clf_status shape(const void *module, clf_call *call, clf_error *err)
{
    const clf_flamingo_model *m = module;
    const clf_tensor vision = input(m, call, VISION), media = input(m, call, MEDIA);

    if (clf_present(vision)) {
        CLF_TRY(check_embeddings(call, vision, m->frame_embs, 2, m->frame_embs_name.text, "frames", err));
        CLF_TRY(check_embeddings(call, vision, m->media_embs, 1, m->media_embs_name.text, "pictures", err));
    }
    if (!clf_present(media))
        return CLF_OK;
    CLF_TRY(bind_media(call, media, err));
    CLF_TRY(check_pictures(m, call, media, err));
    return check_sight(m, call, err);
}

/* ---- forward ---- */

/* x + a row of a table; x [B, 1, 1, N, Dv] in place. */
static void add_row(clf_stream *s, clf_tensor x, clf_tensor table, int64_t row)
{
    if (clf_present(table))
        clf_add(s, x, clf_reshape(s, clf_slice(s, table, 0, row, 1), CLF_DIMS(table.dim[1])), 1.0F, x);
}

/* Pictures as rows of a batch [P, F N, Dv], with what says which frame and which picture they are. */
static clf_tensor picture_rows(clf_stream *s, const clf_flamingo_model *m, clf_tensor vision)
{
    clf_tensor x = vision;

    if (vision.rank == 3)
        return vision;
    const int64_t I = x.dim[1], F = x.dim[2];

    if (clf_present(m->frame_embs) || clf_present(m->media_embs)) {
        x = clf_scratch(s, CLF_F32, clf_tensor_dims(vision));
        clf_place(s, vision, x);
        for (int64_t i = 0; i < I; i++) {
            for (int64_t f = 0; f < F; f++) {
                const clf_tensor frame = clf_slice(s, clf_slice(s, x, 1, i, 1), 2, f, 1);

                add_row(s, frame, m->frame_embs, f);
                add_row(s, frame, m->media_embs, i);
            }
        }
    }
    return clf_reshape(s, clf_place_dense(s, x), CLF_DIMS(x.dim[0] * I, F * x.dim[3], x.dim[4]));
}

static void tokens_forward(clf_stream *s, const clf_flamingo_model *m, const clf_call *call)
{
    const clf_tensor x = picture_rows(s, m, input(m, call, VISION)), tokens = output(m, call, TOKENS);
    const clf_tensor attention = m->attention_of_tokens ? output(m, call, ATTENTION) : (clf_tensor){ .mem = NULL };
    const int64_t M = clf_resampler_tokens(m->perceiver), D = clf_resampler_token_width(m->perceiver);
    clf_resampler_options options = clf_resampler_options_default();
    const clf_dims rows = CLF_DIMS(x.dim[0], M, D);

    if (clf_present(attention)) {
        const int64_t H = clf_dim(attention, -3), K = clf_dim(attention, -1);

        options.weights = clf_reshape(s, attention, CLF_DIMS(x.dim[0], H, M, K));
        options.weights_of = m->perceiver_layer;
    }
    clf_resampler_forward(s, m->perceiver, x, &options,
                          clf_present(tokens) ? clf_reshape(s, tokens, rows) : clf_scratch(s, CLF_F32, rows));
}

/* i32 on the device. */
static clf_tensor upload_groups(clf_stream *s, const int32_t *groups, clf_dims dims)
{
    const clf_tensor t = clf_scratch(s, CLF_I32, dims);

    clf_upload_copy(s, groups, (uint64_t)clf_element_count(t) * sizeof *groups, t);
    return t;
}

/* Positions and visual tokens as groups: text_ids [B, T'] of the same text, or of the prompt before it. */
static void see_by_time(clf_stream *s, const clf_flamingo_model *m, const clf_call *call, clf_tensor text, int64_t M,
                        clf_attention_options *rules)
{
    const int64_t *ids = input_ids(m, call, TEXT_IDS);
    const int64_t B = text.dim[0], T = text.dim[1], I = pictures(call);
    const int64_t P = input(m, call, TEXT_IDS).dim[1];
    int32_t *text_time = clf_alloc((size_t)(B * T), sizeof *text_time);
    int32_t *media_time = clf_alloc((size_t)(I * M), sizeof *media_time);

    if (text_time != NULL && media_time != NULL) {
        if (m->sight.cached || P != T)
            clf_text_time_after(ids, B, P, m->sight.media_token, T, text_time);
        else
            clf_text_time(ids, B, T, m->sight.media_token, text_time);
        clf_media_time(I, M, media_time);
        rules->query_groups = upload_groups(s, text_time, CLF_DIMS(B, T));
        rules->key_groups = upload_groups(s, media_time, CLF_DIMS(1, I * M));
    } else {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "text_ids: no host memory for %" PRId64 " times", B * T + I * M);
    }
    clf_free(text_time);
    clf_free(media_time);
    rules->group_rule = m->sight.immediate ? CLF_GROUPS_EQUAL : CLF_GROUPS_AT_LEAST;
    if (m->sight.immediate)
        rules->unseen = CLF_UNSEEN_UNIFORM_BUT_GROUP_0;
}

/* media [B, I, M, Dv] or [B, M, Dv]; M of its tokens a picture. */
static clf_attention_options what_is_seen(clf_stream *s, const clf_flamingo_model *m, const clf_call *call,
                                          clf_tensor text, int64_t M)
{
    clf_attention_options rules = clf_attention_options_default();

    if (m->sight.reads_text_ids && !m->sight.immediate)
        rules.unseen = CLF_UNSEEN_UNIFORM; /* OpenFlamingo zeroes rows that see nothing in immediate mode alone */
    if (pictures(call) * M == 0)
        return rules;
    if (clf_present(input(m, call, TEXT_IDS))) {
        see_by_time(s, m, call, text, M, &rules);
    } else if (clf_present(input(m, call, CROSS_MASK))) {
        rules.mask =
            clf_mask_upload(s, input_ids(m, call, CROSS_MASK), CLF_DIMS(text.dim[0], 1, text.dim[1], pictures(call)));
        rules.mask_block = M;
    }
    return rules;
}

static void hidden_forward(clf_stream *s, const clf_flamingo_model *m, const clf_call *call)
{
    const clf_tensor text = input(m, call, TEXT), media = clf_place_dense(s, input(m, call, MEDIA));
    const clf_tensor attention = m->attention_of_tokens ? (clf_tensor){ .mem = NULL } : output(m, call, ATTENTION);
    const int64_t B = text.dim[0], I = pictures(call), M = clf_dim(media, -2);
    const clf_tensor rows = clf_reshape(s, media, CLF_DIMS(B, I * M, clf_dim(media, -1)));
    clf_cross_options options = clf_cross_options_default();

    options.attention = what_is_seen(s, m, call, text, M);
    clf_cross_model_forward(s, (clf_cross_call){ .layers = m->gated, .first_alone = true }, text, rows, &options,
                            output(m, call, HIDDEN), attention);
}

/* Which part makes what the call wants. */
static bool wants_tokens(const clf_flamingo_model *m, const clf_call *call)
{
    return clf_present(output(m, call, TOKENS)) || (m->attention_of_tokens && clf_present(output(m, call, ATTENTION)));
}

static bool wants_hidden(const clf_flamingo_model *m, const clf_call *call)
{
    return clf_present(output(m, call, HIDDEN)) || (!m->attention_of_tokens && clf_present(output(m, call, ATTENTION)));
}

static void forward(clf_stream *s, const void *module, const clf_call *call)
{
    const clf_flamingo_model *m = module;

    if (wants_tokens(m, call))
        tokens_forward(s, m, call);
    if (wants_hidden(m, call))
        hidden_forward(s, m, call);
}

static uint64_t flop(const void *module, const clf_call *call)
{
    const clf_flamingo_model *m = module;
    const clf_tensor vision = input(m, call, VISION), text = input(m, call, TEXT), media = input(m, call, MEDIA);
    uint64_t count = 0;

    if (wants_tokens(m, call)) {
        const bool frames = vision.rank == 5;

        count += clf_resampler_flop(&m->perceiver_cost, vision.dim[0] * (frames ? vision.dim[1] : 1),
                                    clf_dim(vision, -2) * (frames ? vision.dim[2] : 1));
    }
    if (wants_hidden(m, call))
        count += clf_cross_flop(&m->gated_products, text.dim[0], text.dim[1], pictures(call) * clf_dim(media, -2));
    return count;
}

static void destroy(void *module)
{
    clf_flamingo_model *m = module;

    if (m == NULL)
        return;
    clf_resampler_destroy(m->perceiver);
    clf_cross_attention_destroy(m->gated);
    clf_tensor_free(m->ctx, &m->frame_embs);
    clf_tensor_free(m->ctx, &m->media_embs);
    clf_free(m);
}

const clf_model_class clf_flamingo_class = { .shape = shape, .forward = forward, .flop = flop, .destroy = destroy };
