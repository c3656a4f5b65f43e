/* Comparisons that say where, what was expected, what came and what was allowed. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "test_tensors.h"

double *clf_test_values(clf_test *t, clf_tensor x)
{
    const size_t count = (size_t)clf_element_count(x);
    double *values = clf_test_memory(t, count * sizeof *values);
    const clf_test_tensor *tensor;
    const unsigned char *image;

    if (count == 0) {
        clf_test_finish(t);
        return values;
    }
    tensor = clf_test_find(x);
    image = clf_test_image(t, tensor);
    for (size_t i = 0; i < count; i++)
        values[i] = clf_host_value(clf_test_payload(image), tensor->dtype, clf_test_position(x, tensor, i));
    return values;
}

const double *clf_test_given(clf_test *t, clf_tensor x)
{
    const size_t count = (size_t)clf_element_count(x);
    double *values = clf_test_memory(t, count * sizeof *values);

    for (size_t i = 0; i < count; i++) {
        const clf_test_tensor *tensor = clf_test_find(x);

        values[i] = tensor->given[clf_test_position(x, tensor, i)];
    }
    return values;
}

void *clf_test_bits(clf_test *t, clf_tensor x, size_t *bytes)
{
    const size_t count = (size_t)clf_element_count(x), item = clf_dtype_bytes(x.dtype);
    unsigned char *bits = clf_test_memory(t, count * item);
    const clf_test_tensor *tensor;
    const unsigned char *image;

    *bytes = count * item;
    if (count == 0) {
        clf_test_finish(t);
        return bits;
    }
    tensor = clf_test_find(x);
    image = clf_test_image(t, tensor);
    for (size_t i = 0; i < count; i++)
        memcpy(bits + i * item, clf_test_payload(image) + clf_test_position(x, tensor, i) * item, item);
    return bits;
}

/* Half the distance between neighbours of `value` in the stored type: what one rounding may cost.  f32 results count
 * their roundings in the published bound. */
static double half_ulp(clf_dtype dtype, double value)
{
    const int bits = dtype == CLF_F16 ? 11 : 8, lowest = dtype == CLF_F16 ? -24 : -133;
    int exponent;

    if (dtype == CLF_F32 || !isfinite(value))
        return 0.0;
    frexp(value, &exponent);
    return ldexp(0.5, exponent - bits > lowest ? exponent - bits : lowest);
}

static bool agrees(double got, double want, double allowed)
{
    if (isnan(want))
        return isnan(got);
    if (isinf(want))
        return got == want;
    return fabs(got - want) <= allowed;
}

/* Largest finite value of the stored type: beyond it the expected value is infinite. */
static double rounded_range(clf_dtype dtype, double want)
{
    const double limit = dtype == CLF_F16 ? 65520.0 : 3.4028235677973366e38;

    return fabs(want) >= limit && !isnan(want) ? copysign((double)INFINITY, want) : want;
}

void clf_test_within(clf_test *t, clf_tensor y, const double *want, const double *bound)
{
    const size_t count = (size_t)clf_element_count(y);
    const double *got = clf_test_values(t, y);
    size_t zeros = 0;

    for (size_t i = 0; i < count; i++) {
        const double target = rounded_range(y.dtype, want[i]), allowed = bound[i] + half_ulp(y.dtype, target);
        const double error = fabs(got[i] - target);

        zeros += target == 0.0;
        if (!agrees(got[i], target, allowed)) {
            int64_t row = y.rank > 0 ? (int64_t)i / clf_dim(y, -1) : 0;
            fail_msg(
                "element %zu (row %" PRId64 ", column %" PRId64 ") of %s: got %.9g, want %.9g, error %.3g, allowed "
                "%.3g; seed %" PRIu64,
                i, row, (int64_t)i % clf_dim(y, -1), clf_dtype_name(y.dtype), got[i], target, error, allowed, t->seed);
        }
        if (isfinite(target) && allowed > 0.0 && y.dtype == CLF_F32 && error / allowed > t->worst_share)
            t->worst_share = error / allowed;
    }
    if (count >= 32 && (double)zeros > t->zero_limit * (double)count)
        fail_msg("mistrusted: %zu of %zu expected values are zeros", zeros, count);
}

void clf_test_close(clf_test *t, clf_tensor y, const double *want, double relative, double absolute)
{
    const size_t count = (size_t)clf_element_count(y);
    double *bound = clf_test_memory(t, count * sizeof *bound);

    for (size_t i = 0; i < count; i++)
        bound[i] = isfinite(want[i]) ? absolute + relative * fabs(want[i]) : 0.0;
    clf_test_within(t, y, want, bound);
}

void clf_test_exact(clf_test *t, clf_tensor y, const double *want)
{
    const size_t count = (size_t)clf_element_count(y), item = clf_dtype_bytes(y.dtype);
    size_t bytes;
    const unsigned char *bits = clf_test_bits(t, y, &bytes);
    unsigned char *stored = clf_test_memory(t, bytes);

    for (size_t i = 0; i < count; i++) {
        clf_test_write_value(stored, y.dtype, i, want[i]);
        if (memcmp(bits + i * item, stored + i * item, item) != 0 &&
            !(isnan(want[i]) && isnan(clf_host_value(bits, y.dtype, i))))
            fail_msg("element %zu of %s: got %.9g, want %.9g exactly; seed %" PRIu64, i, clf_dtype_name(y.dtype),
                     clf_host_value(bits, y.dtype, i), want[i], t->seed);
    }
}

void clf_test_same_bits(clf_test *t, clf_tensor a, clf_tensor b)
{
    size_t a_bytes, b_bytes;
    const unsigned char *x = clf_test_bits(t, a, &a_bytes), *y = clf_test_bits(t, b, &b_bytes);

    assert_int_equal(a_bytes, b_bytes);
    for (size_t i = 0; i < a_bytes; i++)
        if (x[i] != y[i]) {
            const size_t e = i / clf_dtype_bytes(a.dtype);
            fail_msg("element %zu: %.9g and %.9g differ in bits; seed %" PRIu64, e, clf_host_value(x, a.dtype, e),
                     clf_host_value(y, b.dtype, e), t->seed);
        }
}
