/* Rows that a call makes, packed part by part: what clf_similarity multiplies with many others. */
#ifndef CLF_OPS_PACKED_ROWS_H
#define CLF_OPS_PACKED_ROWS_H

#include "gemm/gemm.h"

/* Whether J rows of C are worth packing, and the stream's provider can. */
bool clf_packs_rows(const clf_stream *s, int64_t J, int64_t C);

/* Room for them in scratch. */
clf_gemm_weight clf_packed_rows(clf_stream *s, int64_t J, int64_t C);

/* z [n, C] f32, dense in C, becomes rows first .. first + n of w; first is a multiple of CLF_GEMM_ROWS. */
void clf_pack_rows(clf_stream *s, clf_tensor z, int64_t first, const clf_gemm_weight *w);

/* The same with each row divided by its length: the bits of clf_l2_norm before clf_pack_rows. */
void clf_pack_unit_rows(clf_stream *s, clf_tensor z, float eps, int64_t first, const clf_gemm_weight *w);

/* y[i, j] = <x[i], row j of w>, x [I, C] f32, y f32 [I, J]: the bits of clf_similarity with scale 1. */
void clf_packed_similarity(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, clf_tensor y);

#endif
