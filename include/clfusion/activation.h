/* Activations, elementwise. */
#ifndef CLFUSION_ACTIVATION_H
#define CLFUSION_ACTIVATION_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/* Name, value, text. */
#define CLF_ACTIVATION_LIST(X)                                                                                         \
    X(CLF_ACTIVATION_NONE, 0, "none")        /* x */                                                                   \
    X(CLF_GELU, 1, "gelu")                   /* 0.5 x (1 + erf(x / sqrt 2)) */                                         \
    X(CLF_GELU_TANH, 2, "gelu_pytorch_tanh") /* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */                   \
    X(CLF_QUICK_GELU, 3, "quick_gelu")       /* x sigmoid(1.702 x) */                                                  \
    X(CLF_SILU, 4, "silu")                   /* x sigmoid(x) */                                                        \
    X(CLF_RELU, 5, "relu")                   /* max(x, 0); NaN stays NaN */                                            \
    X(CLF_RELU2, 6, "relu2")                 /* max(x, 0)^2 */                                                         \
    X(CLF_TANH, 7, "tanh")                   /* (e^x - e^-x) / (e^x + e^-x) */

typedef enum clf_activation {
#define CLF_ACTIVATION_ENTRY(name, value, text) name = value,
    CLF_ACTIVATION_LIST(CLF_ACTIVATION_ENTRY)
#undef CLF_ACTIVATION_ENTRY
} clf_activation;

/** The text above; "unknown activation" for other values.  Static storage. */
CLF_API const char *clf_activation_name(clf_activation activation);

/** Finds the activation behind a configuration's string, all spellings of transformers included ("swish", "gelu_new",
 * "gelu_python", ...).  False, and *activation unchanged, when there is none. */
CLF_API bool clf_activation_from_name(const char *name, clf_activation *activation);

/**
 * y = activation(x), elementwise, computed in f32.
 *
 * x  [..., C]  f32, f16 or bf16; any dimension may be 0.
 * y  like x; may be x itself; no other overlap.
 *
 * Bound in f32: relative 4e-6 or absolute 1e-7 max(1, |x|), whichever is larger; NaN gives NaN; infinities give the
 * limit.  Errors, kept by the stream: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_activate(clf_stream *s, clf_tensor x, clf_activation activation, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_activate_check(clf_tensor x, clf_activation activation, clf_tensor y, clf_error *err);

CLF_END_DECLS

#endif
