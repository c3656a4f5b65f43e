/* Layer normalisation. */
#ifndef CLFUSION_LAYER_NORM_H
#define CLFUSION_LAYER_NORM_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/**
 * y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias, mean and biased variance over the last dimension.
 *
 * x       [..., C]  f32, f16 or bf16; C >= 1; any other dimension may be 0, which is a success that does nothing.
 * weight  [C]       f32 or the type of x; may be absent: 1.
 * bias    [C]       the type of weight; may be absent: 0.
 * eps     added to the variance, so in units of x^2; finite, above 0; 1e-12 works, sums are f32.
 * y       [..., C]  the type of x, or f32.  May be x itself or a view into a longer sequence; no other overlap.
 *
 * The variance is taken in a second pass, so a large common offset does no harm.  Sums in an order fixed by C.
 * Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450; torch.nn.LayerNorm.
 * Bound in f32: derived element by element, and held, in tests/ref/layer_norm.c.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_layer_norm(clf_stream *s, clf_tensor x, clf_tensor weight, clf_tensor bias, float eps, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_layer_norm_check(clf_tensor x, clf_tensor weight, clf_tensor bias, float eps, clf_tensor y,
                                        clf_error *err);

CLF_END_DECLS

#endif
