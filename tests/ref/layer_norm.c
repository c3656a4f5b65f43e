/* layer_norm in double. */
#include <math.h>

#include "ref/ref.h"

/* What a row's errors are made of; see error_of. */
typedef struct row_error {
    double mean, root; /* exact */
    double shift;      /* of m, the first mean */
    double rest;       /* of rest, the correction of m */
    double factor;     /* relative, of 1 / sqrt(var + eps) */
} row_error;

/* L additions.  The kernels take m = fl(mean x), d = fl(x - m), rest = fl(mean d), var = fl(mean d^2 - rest^2).
 * |m - mean| <= (L u + quotient) mean |x| =: shift.  mean |d| <= sigma + shift =: A, so rest misses mean - m by at most
 * (L u + u + quotient) A.  mean d^2 is sigma^2 + shift^2 with L additions, a square, two roundings of d and a quotient;
 * rest^2 takes shift^2 off again and errs by 2 shift times the error of rest, and two roundings.  Then a root and a
 * reciprocal: a relative error q of var + eps is 1 / sqrt(1 - q) - 1 of the factor. */
static row_error error_of(const double *x, int64_t C, double eps, double L)
{
    row_error e = { 0 };
    double sigma2 = 0, size = 0, var;

    for (int64_t c = 0; c < C; c++) {
        e.mean += x[c] / (double)C;
        size += fabs(x[c]) / (double)C;
    }
    for (int64_t c = 0; c < C; c++)
        sigma2 += (x[c] - e.mean) * (x[c] - e.mean) / (double)C;
    e.root = sqrt(sigma2 + eps);
    e.shift = (L * CLF_U + CLF_U_QUOTIENT) * size;
    e.rest = ((L + 1) * CLF_U + CLF_U_QUOTIENT) * (sqrt(sigma2) + e.shift);
    var = ((L + 3) * CLF_U + CLF_U_QUOTIENT) * (sigma2 + e.shift * e.shift) + (2 * e.shift + e.rest) * e.rest +
          2 * CLF_U * (e.shift + e.rest) * (e.shift + e.rest) + CLF_U * sigma2;
    var /= sigma2 + eps;
    e.factor = var < 1 ? 1 / sqrt(1 - var) - 1 : INFINITY;
    e.factor += CLF_U / 2 + CLF_U_ROOT + CLF_U_QUOTIENT; /* + eps, root, reciprocal */
    return e;
}

clf_expected clf_ref_layer_norm(clf_test *t, clf_tensor x, clf_tensor weight, clf_tensor bias, float eps)
{
    const int64_t R = clf_row_count(x), C = clf_dim(x, -1);
    const double *given = clf_test_given(t, x), L = clf_ref_additions(t, C);
    const double *w = clf_present(weight) ? clf_test_given(t, weight) : NULL;
    const double *b = clf_present(bias) ? clf_test_given(t, bias) : NULL;
    clf_expected y = clf_expected_new(t, x);

    for (int64_t r = 0; r < R; r++) {
        const row_error e = error_of(given + r * C, C, (double)eps, L);

        for (int64_t c = 0; c < C; c++) {
            const double away = given[r * C + c] - e.mean, z = away / e.root, gain = w != NULL ? w[c] : 1;
            /* (x - m) - rest: two roundings and the error of rest; then the factor and a product. */
            const double error =
                (2 * CLF_U * (fabs(away) + e.shift) + e.rest) / e.root * (1 + e.factor) + fabs(z) * (e.factor + CLF_U);

            const double v = z * gain + (b != NULL ? b[c] : 0);

            /* The product with weight, + bias, and half an ulp where y is f32. */
            y.value[r * C + c] = v;
            y.bound[r * C + c] = fabs(gain) * error + CLF_U * (fabs(z * gain) + 2 * fabs(v)) + CLF_TINY;
        }
    }
    return y;
}
