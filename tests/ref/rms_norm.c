/* rms_norm in double. */
#include <math.h>

#include "ref/ref.h"

clf_expected clf_ref_rms_norm(clf_test *t, clf_tensor x, clf_tensor weight, clf_rms_gain gain, float eps)
{
    const int64_t R = clf_row_count(x), C = clf_dim(x, -1);
    const double *given = clf_test_given(t, x), *w = clf_present(weight) ? clf_test_given(t, weight) : NULL;
    /* The sum of squares passes L additions, each term a square, then a quotient and + eps; the root halves them.
     * Root, reciprocal, product with x, 1 + weight, product with the gain.  All terms are positive: all is relative. */
    const double relative = (clf_ref_additions(t, C) * CLF_U + CLF_U + CLF_U_QUOTIENT + CLF_U) / 2 + CLF_U_ROOT +
                            CLF_U_QUOTIENT + 3 * CLF_U;
    clf_expected y = clf_expected_new(t, x);

    for (int64_t r = 0; r < R; r++) {
        const double *row = given + r * C;
        double mean = 0;

        for (int64_t c = 0; c < C; c++)
            mean += row[c] * row[c] / (double)C;
        for (int64_t c = 0; c < C; c++) {
            const double g = gain == CLF_RMS_PLAIN ? 1 : gain == CLF_RMS_ONE_PLUS ? 1 + w[c] : w[c];

            y.value[r * C + c] = row[c] / sqrt(mean + (double)eps) * g;
            y.bound[r * C + c] = relative * (1 + relative) * fabs(y.value[r * C + c]) + CLF_TINY;
        }
    }
    return y;
}
