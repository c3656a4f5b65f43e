/* add: in double, rounded to f32 where the kernel rounds.  A product of two f32 is exact in double, and a sum of two
 * that is rounded to double and then to f32 is the sum rounded to f32 (53 bits are more than twice 24 + 1). */
#include "ref/ref.h"

double *clf_ref_add(clf_test *t, clf_tensor a, clf_tensor b, float scale)
{
    const int64_t R = clf_row_count(a), C = clf_dim(a, -1);
    const double *left = clf_test_given(t, a), *right = clf_test_given(t, b);
    const int64_t step = b.rank < a.rank ? 0 : C;
    double *y = clf_expected_new(t, a).value;

    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++) {
            const float product = (float)((double)scale * right[r * step + c]);

            y[r * C + c] = (double)(float)(left[r * C + c] + (double)product);
        }
    return y;
}
