/* Embedding look-up: rows of a table by ids that the host checks. */
#ifndef CLF_FUSION_LOOK_UP_H
#define CLF_FUSION_LOOK_UP_H

#include <clfusion/stream.h>

/* y[b, t] = table[text_ids[b, t]].  table [V, C] f32, f16 or bf16, V below 2^31; text_ids [B, T] on the host, read
 * before the call returns; y f32 [B, T, C], a view.  An id outside the table is an error of the stream that names
 * `where`, position and id. */
void clf_look_up(clf_stream *s, const char *where, clf_tensor table, const int64_t *text_ids, clf_tensor y);

#endif
