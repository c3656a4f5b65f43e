/* The largest entry of each channel over the rows: global max pooling. */
#ifndef CLFUSION_ROW_MAX_H
#define CLFUSION_ROW_MAX_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y[b, c] = max over n of x[b, n, c].
 *
 * x  [B, N, C]  f32, f16 or bf16; N above 0; B and C may be 0; a view with dense rows.
 * y  [B, C]     f32; apart from x.
 *
 * Exact; a NaN wins.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_row_max(clf_stream *s, clf_tensor x, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_row_max_check(clf_tensor x, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
