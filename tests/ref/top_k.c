/* top_k: all scores sorted, NaN and the larger first, of equal ones the lower index; then the first k. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ref/ref.h"

typedef struct scored {
    double score;
    int64_t index;
} scored;

static int better_first(const void *a, const void *b)
{
    const scored *x = a, *y = b;

    if (isnan(x->score) != isnan(y->score))
        return isnan(x->score) ? -1 : 1;
    if (x->score != y->score && !isnan(x->score))
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int lower_first(const void *a, const void *b)
{
    const scored *x = a, *y = b;

    return x->index < y->index ? -1 : 1;
}

clf_ref_best clf_ref_top_k(clf_test *t, clf_tensor scores, clf_top_k_order order, clf_tensor indices)
{
    const int64_t R = clf_row_count(scores), N = clf_dim(scores, -1), k = clf_dim(indices, -1);
    const double *given = clf_test_given(t, scores);
    scored *row = clf_test_memory(t, (size_t)N * sizeof *row);
    const clf_ref_best best = { clf_expected_new(t, indices).value, clf_expected_new(t, indices).value };

    for (int64_t r = 0; r < R; r++) {
        for (int64_t c = 0; c < N; c++)
            row[c] = (scored){ given[r * N + c], c };
        qsort(row, (size_t)N, sizeof *row, better_first);
        if (order == CLF_TOP_K_BY_POSITION)
            qsort(row, (size_t)k, sizeof *row, lower_first);
        for (int64_t m = 0; m < k; m++) {
            best.value[r * k + m] = row[m].score;
            best.index[r * k + m] = (double)row[m].index;
        }
    }
    return best;
}
