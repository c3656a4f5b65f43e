/* scores in double. */
#include <math.h>

#include "ref/ref.h"

/* The exact sum scale x + bias of f32 values, and what two roundings may change. */
static double logit(double x, float scale, float bias, double *bound)
{
    const double product = (double)scale * x, l = product + (double)bias;

    *bound = 2 * CLF_U * (fabs(product) + fabs(l));
    return l;
}

static void softmax(const clf_expected *logits, int64_t at, int64_t C, clf_expected *y)
{
    double most = -INFINITY, sum = 0, D = 0;

    for (int64_t c = 0; c < C; c++)
        most = fmax(most, logits->value[at + c]);
    for (int64_t c = 0; c < C; c++) {
        sum += exp(logits->value[at + c] - most);
        D = fmax(D, logits->bound[at + c] + CLF_U * fabs(logits->value[at + c] - most));
    }
    for (int64_t c = 0; c < C; c++) {
        y->value[at + c] = exp(logits->value[at + c] - most) / sum;
        y->bound[at + c] = (2 * D + ((double)C + 16) * CLF_U) * y->value[at + c] + CLF_TINY;
    }
}

clf_expected clf_ref_scores(clf_test *t, clf_tensor x, float scale, float bias, clf_scores_kind kind,
                            clf_expected *logits)
{
    const double *given = clf_test_given(t, x);
    const int64_t R = clf_row_count(x), C = clf_dim(x, -1);
    clf_expected y = clf_expected_new(t, x);

    *logits = clf_expected_new(t, x);
    for (int64_t i = 0; i < R * C; i++) {
        double *bound = &logits->bound[i];
        const double l = logits->value[i] = logit(given[i], scale, bias, bound);

        y.value[i] = 1 / (1 + exp(-l));
        y.bound[i] = (*bound + 16 * CLF_U) * y.value[i] + CLF_TINY;
    }
    for (int64_t r = 0; kind == CLF_SCORES_SOFTMAX && r < R; r++)
        softmax(logits, r * C, C, &y);
    return y;
}
