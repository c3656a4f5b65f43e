/* min_max, entropy, row_stats and weighted_sum in double. */
#include <math.h>

#include "ref/ref.h"

static double larger(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : fmax(a, b);
}

clf_expected clf_ref_min_max(clf_test *t, clf_tensor x, clf_min_max_over over, float eps)
{
    const int64_t B = x.dim[0], C = x.dim[1], N = x.dim[2];
    const double *given = clf_test_given(t, x);
    clf_expected y = clf_expected_new(t, x);

    for (int64_t r = 0; r < B * C; r++) {
        double low = INFINITY, high = -INFINITY;

        for (int64_t i = 0; i < B * C * N; i++)
            if (over == CLF_MIN_MAX_PICTURE ? i / N == r : i / N % C == r % C) {
                low = -larger(-low, -given[i]);
                high = larger(high, given[i]);
            }
        for (int64_t i = r * N; i < (r + 1) * N; i++) {
            y.value[i] = (given[i] - low) / (high - low + (double)eps);
            /* x - min, max - min and + eps are rounded once each, then the quotient. */
            y.bound[i] = (3 * CLF_U + CLF_U_QUOTIENT) * fabs(y.value[i]) + CLF_TINY;
        }
    }
    return y;
}

clf_expected clf_ref_entropy(clf_test *t, clf_tensor x, float eps, clf_tensor y)
{
    const int64_t B = x.dim[0], C = x.dim[1], N = x.dim[2];
    const double *given = clf_test_given(t, x);
    clf_expected e = clf_expected_new(t, y);

    for (int64_t i = 0; i < B * N; i++) {
        const double *v = given + i / N * C * N + i % N;
        double most = -INFINITY, least = INFINITY, sum = 0, value = 0;

        for (int64_t c = 0; c < C; c++) {
            most = larger(most, v[c * N]);
            least = isinf(v[c * N]) ? least : fmin(least, v[c * N]);
        }
        for (int64_t c = 0; c < C; c++)
            sum += exp(v[c * N] - most);
        for (int64_t c = 0; c < C; c++) {
            const double p = exp(v[c * N] - most) / sum;
            value -= p == 0 && eps == 0 ? NAN : p * log(p + (double)eps);
        }
        e.value[i] = value;
        /* p is within (most - least + C + 12) u of itself; sums of C terms of at most log(C) + 1 follow. */
        e.bound[i] = ((double)C + 30) * CLF_U * (1 + log((double)C) + fmax(most - least, 0));
    }
    return e;
}

clf_expected clf_ref_row_stats(clf_test *t, clf_tensor x, clf_tensor y)
{
    const int64_t R = clf_row_count(x), C = clf_dim(x, -1);
    const double *given = clf_test_given(t, x);
    clf_expected e = clf_expected_new(t, y);

    for (int64_t r = 0; r < R; r++) {
        const double *row = given + r * C, u = ((double)C / 4 + 40) * CLF_U;
        double sum = 0, size = 0, most = -INFINITY, squares = 0;

        for (int64_t c = 0; c < C; c++) {
            sum += row[c];
            size += fabs(row[c]);
            most = larger(most, row[c]);
        }
        for (int64_t c = 0; c < C; c++)
            squares += (row[c] - sum / (double)C) * (row[c] - sum / (double)C);
        e.value[3 * r] = sum / (double)C;
        e.value[3 * r + 1] = most;
        e.value[3 * r + 2] = sqrt(squares / (double)(C - 1));
        e.bound[3 * r] = u * size / (double)C;
        e.bound[3 * r + 1] = 0;
        e.bound[3 * r + 2] = u * (e.value[3 * r + 2] + size / (double)C);
    }
    return e;
}

clf_expected clf_ref_weighted_sum(clf_test *t, clf_tensor x, clf_tensor w, clf_tensor y)
{
    const int64_t M = x.dim[1], C = x.dim[2];
    const double *given = clf_test_given(t, x), *weight = clf_test_given(t, w);
    clf_expected e = clf_expected_new(t, y);

    for (int64_t i = 0; i < clf_element_count(y); i++) {
        double sum = 0, size = 0;

        for (int64_t m = 0; m < M; m++) {
            const double term = weight[i / C * M + m] * given[(i / C * M + m) * C + i % C];
            sum += term;
            size += fabs(term);
        }
        e.value[i] = sum;
        e.bound[i] = (double)(M + 2) * CLF_U * size;
    }
    return e;
}
