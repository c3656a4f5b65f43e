/* One row of many: what late fusion reads of a modality. */
#ifndef CLF_FUSION_ROW_POOL_H
#define CLF_FUSION_ROW_POOL_H

#include <clfusion/context.h>
#include <clfusion/stream.h>

#include "core/error.h"

/* The constants 0 and 1 on the device, which stand for scores and queries of width 1; freed with clf_tensor_free. */
clf_status clf_row_pool_create(clf_context *ctx, clf_tensor *constants, clf_error *err);

/* y [B, C] f32 in scratch: the sum over n of softmax_n(scale scores[b, n] + mask[b, n]) x[b, n, :].  x [B, N, C] of any
 * float type; scores f32 [B, N, 1], absent: equal, the mean; mask f32 [B, N] or absent.  0 where no row is seen. */
clf_tensor clf_row_pool(clf_stream *s, clf_tensor constants, clf_tensor x, clf_tensor scores, float scale,
                        clf_tensor mask);

/* x[:, n, :], a view [B, C] of x [B, N, C]. */
clf_tensor clf_row_at(clf_stream *s, clf_tensor x, int64_t n);

#endif
