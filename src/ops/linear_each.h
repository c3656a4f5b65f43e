/* Products of several weights in one launch, each with rows of its own: heads of a layer, pictures of a batch.  For
 * contexts whose provider of products packs what a call has made (clf_gemm_provider.pack_rows). */
#ifndef CLF_OPS_LINEAR_EACH_H
#define CLF_OPS_LINEAR_EACH_H

#include "gemm/gemm.h"

/* The context multiplies so, in the kernels of a CPU device. */
bool clf_linear_each_supported(const clf_context *ctx);

/* `count` weights [N, K] that lie as [count K, N] on the host, each turned.  w->packed is the caller's to free. */
clf_status clf_linear_each_create_turned(clf_context *ctx, clf_host_tensor weight, int64_t count, clf_dtype storage,
                                         const clf_tensor_source *source, clf_gemm_weight *w, clf_error *err);

/* A weight [count N, K] seen as `count` weights [N, K]; wants clf_linear_each_divides(ctx, N). */
clf_gemm_weight clf_linear_each_of(const clf_linear_weight *w, int64_t count);
bool clf_linear_each_divides(const clf_context *ctx, int64_t N);

/* z [count, N, K] as weights, and z [count, K, N] turned; z f32, f16 or bf16, dense; in scratch.  The mask, f32
 * [count or 1, K] or absent, hides rows of the latter with -FLT_MAX and below: they count as 0, unless all are hidden. */
clf_gemm_weight clf_linear_each_rows(clf_stream *s, clf_tensor z);
clf_gemm_weight clf_linear_each_columns(clf_stream *s, clf_tensor z, clf_tensor mask);

/**
 * y[i, .., n] = sum over k of x[i, .., k] w[i][n, k] + bias[i, n].
 *
 * x     [count, .., K]  f32; rows of each x[i] by at most two strides, x[i] anywhere, also in one place
 * bias  f32 [count N], dense, or absent
 * y     [count, .., N]  f32, the leading dimensions of x; apart from x
 *
 * One chain of fused multiply-adds in rising k, as clf_linear: equal rows give equal bits.  Bound, u = 2^-24:
 * (K + 3) u (sum|x w| + |bias|).
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
void clf_linear_each(clf_stream *s, clf_tensor x, const clf_gemm_weight *w, clf_tensor bias, clf_tensor y);
clf_status clf_linear_each_check(clf_tensor x, const clf_gemm_weight *w, clf_tensor bias, clf_tensor y, clf_error *err);

#endif
