/* pool: means in double.  Bound: n additions of a term at most, u each of a partial sum, which is at most the sum of
 * |x|; the quotient errs by 2.5 ulp. */
#include <math.h>

#include "ref/ref.h"

/* One element: the cell's mean and the mean of the absolute values, in which the bound is measured. */
static double cell_mean(const double *x, clf_grid from, clf_grid to, int64_t cell, int64_t C, double *bound)
{
    const int64_t i = cell / to.columns, j = cell % to.columns;
    double sum = 0, size = 0;
    int64_t n = 0;

    for (int64_t r = i * from.rows / to.rows; r * to.rows < (i + 1) * from.rows; r++)
        for (int64_t c = j * from.columns / to.columns; c * to.columns < (j + 1) * from.columns; c++, n++) {
            const double v = x[(r * from.columns + c) * C];

            sum += v;
            size += fabs(v);
        }
    *bound = ((double)n * CLF_U + CLF_U_QUOTIENT) * size / (double)n + CLF_TINY;
    return sum / (double)n;
}

clf_expected clf_ref_pool(clf_test *t, clf_tensor x, clf_grid from, clf_grid to, clf_tensor y)
{
    const int64_t B = x.dim[0], N = x.dim[1], C = x.dim[2], M = to.rows * to.columns;
    const double *values = clf_test_given(t, x);
    const clf_expected e = clf_expected_new(t, y);

    for (int64_t b = 0; b < B; b++)
        for (int64_t m = 0; m < M; m++)
            for (int64_t c = 0; c < C; c++) {
                const int64_t at = (b * M + m) * C + c;

                e.value[at] = cell_mean(values + b * N * C + c, from, to, m, C, &e.bound[at]);
            }
    return e;
}
