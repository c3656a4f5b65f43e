/* detail_pool: means in double, a cell after the other.  Bound as in tests/ref/pool.c: m additions of a term at most, u
 * each of a partial sum, which is at most the sum of the absolute values; the quotient errs by 2.5 ulp. */
#include <math.h>

#include "ref/ref.h"

/* Part (i, j) of n x n of one cell's side x side features, x its channel, D apart. */
static double mean_of(const double *x, int64_t side, int64_t n, int64_t i, int64_t j, int64_t D, double *bound)
{
    double sum = 0, size = 0, count = 0;

    for (int64_t p = 0; p < side; p++)
        for (int64_t q = 0; q < side; q++) {
            const double v = x[(p * side + q) * D];

            /* Row p meets i side/n .. (i + 1) side/n, column q likewise. */
            if ((p + 1) * n <= i * side || p * n >= (i + 1) * side || (q + 1) * n <= j * side ||
                q * n >= (j + 1) * side)
                continue;
            sum += v;
            size += fabs(v);
            count++;
        }
    *bound = (count * CLF_U + CLF_U_QUOTIENT) * size / count + CLF_TINY;
    return sum / count;
}

clf_expected clf_ref_detail_pool(clf_test *t, clf_tensor dense, clf_tensor budgets, clf_tensor tokens, double **lengths)
{
    const int64_t cells = dense.dim[0] * dense.dim[1], S = dense.dim[2], D = dense.dim[3];
    const double *x = clf_test_given(t, dense), *budget = clf_test_given(t, budgets);
    const clf_expected e = clf_expected_new(t, tokens);
    double *length = clf_expected_new(t, budgets).value;
    int64_t side = 1, row = 0;

    while (side * side < S)
        side++;
    for (int64_t c = 0; c < cells; c++) {
        int64_t n = 0;

        while (n < side && (double)((n + 1) * (n + 1)) <= budget[c])
            n++;
        length[c] = (double)(n * n);
        for (int64_t m = 0; m < n * n && row < tokens.dim[0]; m++, row++)
            for (int64_t d = 0; d < D; d++)
                e.value[row * D + d] = mean_of(x + c * S * D + d, side, n, m / n, m % n, D, &e.bound[row * D + d]);
    }
    for (int64_t i = row * D; i < tokens.dim[0] * D; i++)
        e.value[i] = NAN;
    if (lengths != NULL)
        *lengths = length;
    return e;
}
