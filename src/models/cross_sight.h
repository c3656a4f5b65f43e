/* Interleaved pictures: which of them each position of a text sees. */
#ifndef CLF_MODELS_CROSS_SIGHT_H
#define CLF_MODELS_CROSS_SIGHT_H

#include <clfusion/cross_attention.h>

#include "models/family.h"

/* What the configuration says: media_token_id, only_attend_immediate_media (true). */
typedef struct clf_cross_sight {
    bool has_media_token;
    int64_t media_token;
    bool immediate; /* the last picture that began at or before the position; else all of these */
} clf_cross_sight;

clf_status clf_build_cross_sight(const clf_builder *b, clf_cross_sight *sight, clf_error *err);

/* One call, checked: pictures one after another in N rows of vision.  NULL: not given. */
typedef struct clf_cross_view {
    const int64_t *vision_mask; /* [B, N] */
    const int64_t *text_ids;    /* [B, T] */
    const int64_t *cross_mask;  /* [B, T, I] */
    int64_t B, T, N, I;         /* I divides N */
} clf_cross_view;

/* Pictures of vision [B, I, M, Dv], of cross_mask [B, T, I], or 1: the letters I and, in the first case, N. */
clf_status clf_cross_sight_bind(const clf_cross_sight *sight, clf_call *call, clf_tensor vision, clf_tensor text_ids,
                                clf_tensor cross_mask, clf_error *err);

/* The mask of the call, and the rows that see no picture: *unseen, i32 [B T] on the device, b T + t there and -1
 * elsewhere; absent where no row is such. */
void clf_cross_sight_rules(clf_stream *s, const clf_cross_sight *sight, const char *family, const clf_cross_view *view,
                           clf_attention_options *rules, clf_tensor *unseen);

#endif
