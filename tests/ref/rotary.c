/* rotary: products and sums in double, each rounded to f32 as the kernel does, so exact.  (A product of two f32 is exact
 * in double, and rounding a sum of two f32 twice gives what rounding once does.) */
#include "ref/ref.h"

static double turned(double a, double c, double b, double s)
{
    return (double)(float)((double)(float)(a * c) + (double)(float)(b * s));
}

/* The partner of feature i among R, and whether i is the first of the two. */
static int64_t partner(int64_t i, int64_t R, clf_rotary_pairs pairs, int *first)
{
    const int64_t span = pairs == CLF_ROTARY_ADJACENT ? 2 : pairs == CLF_ROTARY_QUARTERS ? R / 2 : R, at = i % span;

    *first = at < span / 2;
    return *first ? i + span / 2 : i - span / 2;
}

/* Which angle of a narrow table turns the pair whose first feature is a. */
static int64_t angle_of(int64_t a, int64_t R, clf_rotary_pairs pairs)
{
    if (pairs == CLF_ROTARY_ADJACENT)
        return a / 2;
    return pairs == CLF_ROTARY_QUARTERS && a >= R / 2 ? a - R / 4 : a;
}

double *clf_ref_rotary(clf_test *t, clf_tensor x, clf_tensor cosines, clf_tensor sines, clf_rotary_pairs pairs,
                       int64_t width)
{
    const int64_t T = clf_dim(x, 1), H = clf_dim(x, 2), D = clf_dim(x, 3), R = width == 0 ? D : width;
    const int64_t P = clf_dim(cosines, -1), count = clf_element_count(x);
    const double *given = clf_test_given(t, x), *c = clf_test_given(t, cosines), *s = clf_test_given(t, sines);
    double *y = clf_expected_new(t, x).value;

    for (int64_t e = 0; e < count; e++) {
        const int64_t i = e % D, n = e / D / H, row = (cosines.rank == 2 ? n % T : n) * P;
        int first;

        if (i >= R) {
            y[e] = given[e];
            continue;
        }
        const int64_t other = partner(i, R, pairs, &first);
        const int64_t p = row + (P == R ? i : angle_of(first ? i : other, R, pairs));

        y[e] = turned(given[e], c[p], first ? -given[e - i + other] : given[e - i + other], s[p]);
    }
    return y;
}
