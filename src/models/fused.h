/* Visual tokens and text in one sequence: the output `fused` of every family that makes `tokens`. */
#ifndef CLF_MODELS_FUSED_H
#define CLF_MODELS_FUSED_H

#include <clfusion/stream.h>

#include "models/builder.h"

/* Ports of families that put the tokens at placeholders; the text has a batch of its own. */
#define CLF_FUSED_TEXT                                                                                                 \
    {                                                                                                                  \
        .name = "text", .shape = "[B', T, Dt]"                                                                         \
    }
#define CLF_FUSED_TEXT_IDS                                                                                             \
    {                                                                                                                  \
        .name = "text_ids", .shape = "[B', T]", .kind = CLF_PORT_IDS                                                   \
    }
#define CLF_FUSED_SHAPE "[B', T, Dt]"

/* fused = text with the rows of `tokens` at the placeholders, pictures' and videos' alike, in order.
 *
 * text  [B', T, Dt],  text_ids  [B', T]  host memory, read before the call returns,  tokens  [..., Dt],
 * fused [B', T, Dt].  Any of the float types each. */
void clf_fused_splice(clf_stream *s, clf_tensor tokens, clf_tensor text, const int64_t *text_ids, clf_placeholders ids,
                      clf_tensor fused);

/* The first M rows of fused [B, M + T, Dt], for the tokens; the rest receives the text [B, T, Dt]. */
clf_tensor clf_fused_before_text(clf_stream *s, clf_tensor text, clf_tensor fused);

#endif
