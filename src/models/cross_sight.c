/* Interleaved pictures: text_ids or cross_mask -> which pictures each position sees -> a mask. */
#include "models/cross_sight.h"

#include <inttypes.h>

#include <clfusion/interleave.h>

#include "core/alloc.h"
#include "core/text.h"
#include "models/masks.h"
#include "runtime/op.h"

clf_status clf_build_cross_sight(const clf_builder *b, clf_cross_sight *sight, clf_error *err)
{
    *sight = (clf_cross_sight){ .has_media_token = clf_config_has(b->config, "media_token_id"), .immediate = true };
    CLF_TRY(clf_config_int(b->config, "media_token_id", &sight->media_token, err));
    return clf_config_bool(b->config, "only_attend_immediate_media", &sight->immediate, err);
}

/* Rows of a picture; those of cross_mask share the N rows of vision. */
static clf_status bind_pictures(clf_call *call, clf_tensor vision, int64_t I, clf_error *err)
{
    const int64_t N = vision.dim[1];

    if (I < 1 || N % I != 0)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: vision is %s, %" PRId64 " rows; want a multiple of %" PRId64
                        ", the pictures of cross_mask",
                        call->family, CLF_TEXT(vision), N, I);
    return clf_letters_bind(&call->letters, call->family, "I", I, "cross_mask", err);
}

clf_status clf_cross_sight_bind(const clf_cross_sight *sight, clf_call *call, clf_tensor vision, clf_tensor text_ids,
                                clf_tensor cross_mask, clf_error *err)
{
    if (clf_present(text_ids) && clf_present(cross_mask))
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT, "%s: text_ids and cross_mask are given; want one of them",
                        call->family);
    if (clf_present(text_ids) && !sight->has_media_token)
        return CLF_FAIL(err, CLF_INVALID_ARGUMENT,
                        "%s: media_token_id is missing; want it in the configuration to read text_ids", call->family);
    if (vision.rank == 4)
        return clf_letters_bind(&call->letters, call->family, "N", vision.dim[1] * vision.dim[2], "vision", err);
    return bind_pictures(call, vision, clf_present(cross_mask) ? cross_mask.dim[2] : 1, err);
}

/* open[b, t, i] = 1 where position t sees picture i, by the media tokens at and before t. */
static void open_by_ids(clf_stream *s, const clf_cross_sight *sight, const char *family, const clf_cross_view *v,
                        int64_t *open)
{
    int32_t *time = clf_alloc((size_t)(v->B * v->T), sizeof *time);

    if (time == NULL) {
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for %" PRId64 " text_ids", family, v->B * v->T);
        return;
    }
    clf_text_time(v->text_ids, v->B, v->T, sight->media_token, time);
    for (int64_t r = 0; r < v->B * v->T; r++) {
        if (time[r] > v->I) {
            CLF_OP_FAIL(s, CLF_INVALID_ARGUMENT,
                        "%s: row %" PRId64 " of text_ids has media token %" PRId32 " at %" PRId64
                        "; want at most %" PRId64 ", the pictures of vision",
                        family, r / v->T, time[r], r % v->T, v->I);
            break;
        }
        for (int64_t i = 0; i < v->I; i++)
            open[r * v->I + i] = sight->immediate ? time[r] == i + 1 : time[r] > i;
    }
    clf_free(time);
}

/* The same for each row of vision, without those that vision_mask hides. */
static void open_rows(const clf_cross_view *v, const int64_t *open, int64_t *rows)
{
    const int64_t M = v->N / v->I;

    for (int64_t r = 0; r < v->B * v->T; r++)
        for (int64_t n = 0; n < v->N; n++)
            rows[r * v->N + n] = open[r * v->I + n / M] != 0 && v->vision_mask[r / v->T * v->N + n] != 0;
}

/* Rows of `columns` entries that are all closed. */
static clf_tensor find_unseen(clf_stream *s, const int64_t *open, int64_t rows, int64_t columns, int64_t *list)
{
    bool any = false;

    for (int64_t r = 0; r < rows; r++) {
        list[r] = r;
        for (int64_t i = 0; i < columns && list[r] >= 0; i++)
            if (open[r * columns + i] != 0)
                list[r] = -1;
        any = any || list[r] >= 0;
    }
    return any ? clf_ids_upload(s, list, CLF_DIMS(rows)) : (clf_tensor){ .mem = NULL };
}

static void give_rules(clf_stream *s, const clf_cross_sight *sight, const char *family, const clf_cross_view *v,
                       int64_t *open, int64_t *rows, int64_t *list, clf_attention_options *rules, clf_tensor *unseen)
{
    const int64_t *seen = v->cross_mask != NULL ? v->cross_mask : open;
    int64_t columns = v->N > 0 ? v->I : 0; /* without rows there is nothing to see */

    if (v->cross_mask == NULL)
        open_by_ids(s, sight, family, v, open);
    if (v->vision_mask != NULL && columns > 0) {
        open_rows(v, seen, rows);
        seen = rows;
        columns = v->N;
    }
    if (columns > 0) {
        rules->mask = clf_mask_upload(s, seen, CLF_DIMS(v->B, 1, v->T, columns));
        rules->mask_block = v->N / columns;
    }
    *unseen = find_unseen(s, seen, v->B * v->T, columns, list);
}

void clf_cross_sight_rules(clf_stream *s, const clf_cross_sight *sight, const char *family, const clf_cross_view *v,
                           clf_attention_options *rules, clf_tensor *unseen)
{
    const int64_t count = v->B * v->T;

    *unseen = (clf_tensor){ .mem = NULL };
    if (v->text_ids == NULL && v->cross_mask == NULL) {
        if (v->vision_mask != NULL && v->N > 0)
            rules->mask = clf_mask_upload(s, v->vision_mask, CLF_DIMS(v->B, 1, 1, v->N));
        return;
    }
    int64_t *open = clf_alloc((size_t)(v->cross_mask == NULL ? count * v->I : 0), sizeof *open);
    int64_t *rows = clf_alloc((size_t)(v->vision_mask != NULL ? count * v->N : 0), sizeof *rows);
    int64_t *list = clf_alloc((size_t)count, sizeof *list);

    if (open != NULL && rows != NULL && list != NULL)
        give_rules(s, sight, family, v, open, rows, list, rules, unseen);
    else
        CLF_OP_FAIL(s, CLF_OUT_OF_MEMORY, "%s: no host memory for what %" PRId64 " positions see", family, count);
    clf_free(list);
    clf_free(rows);
    clf_free(open);
}
