/* Compression by merging: the most similar pairs of visual tokens become one (ToMe). */
#ifndef CLFUSION_TOKEN_MERGE_H
#define CLFUSION_TOKEN_MERGE_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * Bipartite soft matching.  Each even token finds the odd one with the largest cosine; the r pairs with the largest
 * cosines are merged, of equal ones the lower index first, into averages weighted by sizes.
 *
 * vision     [B, N, D]      f32, f16 or bf16; N below 2^31, D above 0; B may be 0; may be a view with dense rows.
 * sizes      [B, N]         f32, dense: of how many tokens each is made; absent: of one.
 * r          0 to N/2, rounded down.
 * tokens     [B, N - r, D]  f32: even tokens that were not merged, ascending, then the odd ones, ascending.
 * new_sizes  [B, N - r]     f32, dense.
 * source     [B, N]         i32, dense: which of tokens each has come to.
 *
 * Cosines in f32, with norms of at least 1e-12; averages as clfusion/merge_pairs.h says.  NaN counts as the largest.
 * Results lie apart from each other and from the inputs.  Ownership, threads, errors and the state of outputs after one:
 * as for every operator, clfusion/stream.h.
 * Source: Bolya et al. 2022, arXiv:2210.09461.
 */
CLF_API void clf_token_merge(clf_stream *s, clf_tensor vision, clf_tensor sizes, int64_t r, clf_tensor tokens,
                             clf_tensor new_sizes, clf_tensor source);

CLF_END_DECLS

#endif
