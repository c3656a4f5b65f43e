/* Root-mean-square normalisation. */
#ifndef CLFUSION_RMS_NORM_H
#define CLFUSION_RMS_NORM_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** What the normalised row is multiplied by. */
typedef enum clf_rms_gain {
    CLF_RMS_WEIGHT = 0,   /* weight: Llama, Mllama, Idefics2, Mistral3 */
    CLF_RMS_ONE_PLUS = 1, /* 1 + weight: Gemma3 */
    CLF_RMS_PLAIN = 2     /* nothing; weight is absent: Gemma4 */
} clf_rms_gain;

/**
 * y = x / sqrt(mean(x^2) + eps) * gain, the mean over the last dimension.
 *
 * x       [..., C]  f32, f16 or bf16; C >= 1; any other dimension may be 0, which is a success that does nothing.
 * weight  [C]       f32 or the type of x; absent for CLF_RMS_PLAIN.
 * eps     added to the mean square, so in units of x^2; finite, above 0.
 * y       [..., C]  the type of x, or f32.  May be x itself or a view into a longer sequence; no other overlap.
 *
 * Not promised: rows whose sum of squares overflows f32 (entries of 2.9e17 at C = 4096).
 * Source: Zhang and Sennrich 2019, arXiv:1910.07467.
 * Bound in f32: relative ((L + 7) / 2 + 14) u, u = 2^-24, L = C / 4 + 8 the longest chain of additions of any device's
 * kernel; half an ulp of the stored type on top.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_rms_norm(clf_stream *s, clf_tensor x, clf_tensor weight, clf_rms_gain gain, float eps, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_rms_norm_check(clf_tensor x, clf_tensor weight, clf_rms_gain gain, float eps, clf_tensor y,
                                      clf_error *err);

CLF_END_DECLS

#endif
