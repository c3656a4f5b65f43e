/* Weights on their way to the device, some rows at a time, so that the mapped pages of a file can go as soon as they are
 * packed.  A CPU device packs them from where they lie; what has to be converted first, or lies on an odd address, and
 * all rows for other devices pass through a staging tensor of a few megabytes. */
#ifndef CLF_GEMM_STAGE_H
#define CLF_GEMM_STAGE_H

#include "gemm/gemm.h"

/* Packs rows `first` on, that lie in `staged` [rows, K] as f32, f16 or bf16.  It only reads them. */
typedef void clf_stage_pack(clf_stream *s, clf_tensor staged, int64_t first, const clf_gemm_weight *w);

/* Makes w->packed of `packed_elements` elements and feeds every row of the parts to `pack`, in groups whose first row is
 * a multiple of `group`: a group may hold the end of one part and the beginning of the next.  Scales are folded in, in
 * f32, on the way.  On failure w->packed is freed. */
clf_status clf_stage_weight(clf_context *ctx, const clf_gemm_host *host, int64_t group, int64_t packed_elements,
                            clf_stage_pack *pack, clf_gemm_weight *w, clf_error *err);

#endif
