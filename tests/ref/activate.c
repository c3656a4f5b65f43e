/* Activations in double. */
#include <math.h>

#include "ref/ref.h"

static double value_of(clf_activation activation, double x)
{
    const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x); /* sqrt(2 / pi) */

    switch (activation) {
    case CLF_ACTIVATION_NONE:
        return x;
    case CLF_RELU:
        return x < 0 ? 0 : x;
    case CLF_RELU2:
        return x < 0 ? 0 : x * x;
    case CLF_TANH:
        return tanh(x);
    case CLF_GELU:
    case CLF_GELU_TANH:
    case CLF_QUICK_GELU:
    case CLF_SILU:
        break;
    }
    if (isinf(x)) /* the limit, where the formulas give inf times 0 */
        return x < 0 ? 0 : x;
    if (activation == CLF_GELU)
        return 0.5 * x * erfc(-x * 0.70710678118654752440);
    if (activation == CLF_GELU_TANH)
        return x / (1 + exp(-2 * u)); /* the tanh form without its cancellation */
    return activation == CLF_SILU ? x / (1 + exp(-x)) : x / (1 + exp(-1.702 * x));
}

/* x sigmoid(v): an exponential that errs by 3 ulp and by what its argument v is off, a sum, a quotient, a product.  v
 * of quick_gelu has a rounded 1.702 and a product, that of gelu_tanh x^2, two constants, an fma and a product. */
static double bound_of(clf_activation activation, double x, double y)
{
    const double sigmoid = 6 * CLF_U + CLF_U + CLF_U_QUOTIENT + CLF_U, tiny = CLF_TINY * fmax(1, fabs(x));

    switch (activation) {
    case CLF_ACTIVATION_NONE:
    case CLF_RELU:
        return 0;
    case CLF_RELU2:
        return 2 * CLF_U * y + CLF_TINY; /* the product, and half an ulp where y is f32 */
    case CLF_TANH:                       /* below 0.55 a polynomial; else (1 - e) / (1 + e), where e errs by 3 ulp */
        if (fabs(x) < 0.55)
            return (4 * CLF_U + 1.2e-9) * fabs(y) + CLF_TINY;
        return 12 * CLF_U * exp(-2 * fabs(x)) + (2 * CLF_U + CLF_U_QUOTIENT) * fabs(y);
    case CLF_SILU:
        return sigmoid * fabs(y) + tiny;
    case CLF_QUICK_GELU:
        return (sigmoid + 2 * CLF_U * fabs(1.702 * x)) * fabs(y) + tiny;
    case CLF_GELU_TANH:
        return (sigmoid + 4 * CLF_U * fabs(1.5957691 * x * (1 + 0.044715 * x * x))) * fabs(y) + tiny;
    case CLF_GELU:
        break;
    }

    /* max(x, 0) - |x| Phi(-|x|), and Phi = 2^p with an error of 1e-8 by its polynomial p, of which each rounding counts
     * |p| u ln 2 (three of them: 2 |p| u), and of 4 ulp by the exponential. */
    const double tail = 0.5 * erfc(fabs(x) * 0.70710678118654752440), p = tail > 0 ? log2(tail) : 0;
    return 2 * CLF_U * fabs(y) + fmin(fabs(x), 14) * (1e-8 + (8 + 2 * fabs(p)) * CLF_U * tail) + CLF_TINY;
}

clf_expected clf_ref_activate(clf_test *t, clf_tensor x, clf_activation activation)
{
    const double *given = clf_test_given(t, x);
    clf_expected y = clf_expected_new(t, x);

    for (int64_t i = 0; i < clf_element_count(x); i++) {
        y.value[i] = value_of(activation, given[i]);
        y.bound[i] = isfinite(y.value[i]) ? bound_of(activation, given[i], y.value[i]) : 0;
    }
    return y;
}
