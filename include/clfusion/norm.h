/* A normalisation as a value: which, and with what. */
#ifndef CLFUSION_NORM_H
#define CLFUSION_NORM_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

typedef enum clf_norm_kind {
    CLF_NORM_NONE = 0,
    CLF_NORM_LAYER = 1, /* (x - mean) / sqrt(var + eps) * weight + bias */
    CLF_NORM_RMS = 2    /* x / sqrt(mean(x^2) + eps) * weight */
} clf_norm_kind;

/** On the device; owns nothing. */
typedef struct clf_norm {
    clf_norm_kind kind;
    clf_tensor weight; /* f32 [C]; absent: 1 */
    clf_tensor bias;   /* f32 [C], layer norm with a weight only; absent: 0 */
    float eps;
} clf_norm;

/** As a checkpoint has it: host tensors of any float type. */
typedef struct clf_norm_desc {
    clf_norm_kind kind;
    clf_host_tensor weight;
    clf_host_tensor bias;
    float eps;
} clf_norm_desc;

/** y = norm(x) over the last dimension; a copy for CLF_NORM_NONE.  The rules of clf_layer_norm, clf_rms_norm (an absent
 * weight: CLF_RMS_PLAIN) and clf_copy, but that x and y may be views with three strides above their rows, as heads of a
 * part of a sequence are. */
CLF_API void clf_normalise(clf_stream *s, const clf_norm *norm, clf_tensor x, clf_tensor y);

CLF_END_DECLS

#endif
