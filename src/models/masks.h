/* Masks of a call, as attention takes them. */
#ifndef CLF_MODELS_MASKS_H
#define CLF_MODELS_MASKS_H

#include <clfusion/stream.h>

/* Scratch f32 of shape `dims`: 0 where open[i] is not 0, -inf elsewhere. */
clf_tensor clf_mask_upload(clf_stream *s, const int64_t *open, clf_dims dims);

/* Scratch i32 of shape `dims`, for key_lengths and groups; values are held to what 32 bits have. */
clf_tensor clf_ids_upload(clf_stream *s, const int64_t *ids, clf_dims dims);

#endif
