/* gated_unit in double: the activation's own bound times |up|, and two roundings. */
#include <math.h>

#include "ref/ref.h"

clf_expected clf_ref_gated_unit(clf_test *t, clf_tensor gate, clf_tensor up, clf_activation activation)
{
    const double *factor = clf_test_given(t, up);
    const clf_expected y = clf_ref_activate(t, gate, activation);

    for (int64_t i = 0; i < clf_element_count(gate); i++) {
        y.value[i] *= factor[i];
        y.bound[i] = y.bound[i] * fabs(factor[i]) + 2 * CLF_U * fabs(y.value[i]) + CLF_TINY;
    }
    return y;
}
