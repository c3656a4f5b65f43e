/* scale: in double, where a product of two f32 is exact, rounded to f32 as the kernel does. */
#include "ref/ref.h"

double *clf_ref_scale(clf_test *t, clf_tensor x, float factor)
{
    const double *given = clf_test_given(t, x);
    double *y = clf_expected_new(t, x).value;

    for (int64_t i = 0; i < clf_element_count(x); i++)
        y[i] = (double)(float)((double)factor * given[i]);
    return y;
}
