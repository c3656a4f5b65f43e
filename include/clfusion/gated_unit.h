/* Gated units: SwiGLU and its kin. */
#ifndef CLFUSION_GATED_UNIT_H
#define CLFUSION_GATED_UNIT_H

#include <clfusion/activation.h>

CLF_BEGIN_DECLS

/**
 * y = activation(gate) * up, elementwise, in f32.
 *
 * gate, up  [..., C]  f32, f16 or bf16, alike; views, as the two halves of one product are
 * y         like gate; may be gate or up, or other columns of their rows; no other overlap
 *
 * Bound: the activation's relative to |up|, and two roundings.
 * Source: Shazeer 2020, arXiv:2002.05202.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_gated_unit(clf_stream *s, clf_tensor gate, clf_tensor up, clf_activation activation, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_gated_unit_check(clf_tensor gate, clf_tensor up, clf_activation activation, clf_tensor y,
                                        clf_error *err);

CLF_END_DECLS

#endif
