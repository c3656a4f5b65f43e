/* gather: rows by number. */
#include <math.h>

#include "ref/ref.h"

double *clf_ref_gather(clf_test *t, clf_tensor table, const int32_t *index, clf_tensor y)
{
    const int64_t R = clf_row_count(y), C = clf_dim(y, -1), V = clf_row_count(table);
    const double *rows = clf_test_given(t, table);
    double *value = clf_expected_new(t, y).value;

    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++)
            value[r * C + c] = index[r] >= 0 && index[r] < V ? rows[index[r] * C + c] : NAN;
    return value;
}
