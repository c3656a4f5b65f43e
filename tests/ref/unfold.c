/* unfold: element by element, from the formula. */
#include "ref/ref.h"

double *clf_ref_unfold(clf_test *t, clf_tensor x, clf_grid from, const clf_unfold_options *o, clf_grid to, clf_tensor y)
{
    const int64_t C = x.dim[2], N = x.dim[1], k = o->kernel, columns = k * k * C;
    const double *values = clf_test_given(t, x);
    double *want = clf_expected_new(t, y).value;

    for (int64_t at = 0; at < clf_element_count(y); at++) {
        const int64_t column = at % columns, cell = at / columns % (to.rows * to.columns);
        const int64_t b = at / columns / (to.rows * to.columns);
        const bool blocks = o->order == CLF_UNFOLD_BLOCK_MAJOR;
        const int64_t c = blocks ? column % C : column / (k * k), q = blocks ? column / C : column % (k * k);
        const int64_t m = cell / to.columns * o->stride - o->padding + q / k;
        const int64_t n = cell % to.columns * o->stride - o->padding + q % k;
        const bool inside = m >= 0 && m < from.rows && n >= 0 && n < from.columns;

        want[at] = inside ? values[(b * N + m * from.columns + n) * C + c] : 0;
    }
    return want;
}
