/* l2_norm in double. */
#include <math.h>

#include "ref/ref.h"

clf_expected clf_ref_l2_norm(clf_test *t, clf_tensor x, float eps)
{
    const int64_t R = clf_row_count(x), C = clf_dim(x, -1);
    const double *given = clf_test_given(t, x);
    /* The sum of squares passes L additions, each term a square; the root halves them.  Root, quotient. */
    const double relative = (clf_ref_additions(t, C) + 1) * CLF_U / 2 + CLF_U_ROOT + CLF_U_QUOTIENT;
    clf_expected y = clf_expected_new(t, x);

    for (int64_t r = 0; r < R; r++) {
        const double *row = given + r * C;
        double sum = 0;

        for (int64_t c = 0; c < C; c++)
            sum += row[c] * row[c];
        for (int64_t c = 0; c < C; c++) {
            const double length = sqrt(sum) < (double)eps ? (double)eps : sqrt(sum);

            y.value[r * C + c] = row[c] / length;
            y.bound[r * C + c] = relative * (1 + relative) * fabs(y.value[r * C + c]) + CLF_TINY;
        }
    }
    return y;
}
