/* Visual tokens among text embeddings. */
#ifndef CLFUSION_SPLICE_H
#define CLFUSION_SPLICE_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * fused = text, with the rows whose id is `placeholder` replaced by the rows of `tokens`, in order.
 *
 * text         [B, T, Dt]  f32, f16 or bf16
 * text_ids     [B, T]      host memory, read before the call returns
 * tokens       [..., Dt]   the type of text; the rows of all pictures in the order in which they are mentioned
 * fused        [B, T, Dt]  the type of text; no overlap with text or tokens
 *
 * Errors, kept by the stream: CLF_UNSUPPORTED for other types; CLF_INVALID_ARGUMENT when the number of placeholders is
 * not the number of rows: both numbers are in the message.
 * Source: transformers' masked_scatter of image_features, as in LlavaModel.forward.
 */
CLF_API void clf_splice(clf_stream *s, clf_tensor text, const int64_t *text_ids, int64_t placeholder, clf_tensor tokens,
                        clf_tensor fused);

CLF_END_DECLS

#endif
