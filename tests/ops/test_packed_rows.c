/* packed_rows: the bits of l2_norm and similarity, whatever the parts and wherever rows lie. */
#include "ops/packed_rows.h"

#include <clfusion/l2_norm.h>
#include <clfusion/similarity.h>

#include "ops/ops.h"

enum { I = 11 };

static const int64_t counts[] = { 32, 33, 64, 75, 150 }, widths[] = { 1, 5, 16, 31, 48, 770 };

static clf_tensor similarity(clf_test *t, clf_tensor x, clf_tensor z)
{
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(I, z.dim[0]));

    clf_similarity(t->stream, clf_reshape(t->stream, x, CLF_DIMS(I, 1, x.dim[1])), z, 1.0F, y);
    return y;
}

/* z in parts of `step` rows, with eps divided by their lengths. */
static clf_tensor packed(clf_test *t, clf_tensor x, clf_tensor z, const float *eps, int64_t step)
{
    const clf_scope scope = clf_scope_open(t->stream, NULL, -1);
    const clf_gemm_weight w = clf_packed_rows(t->stream, z.dim[0], z.dim[1]);
    const clf_tensor y = clf_test_empty(t, CLF_F32, CLF_DIMS(I, z.dim[0]));

    for (int64_t first = 0; first < z.dim[0]; first += step) {
        const clf_tensor part = clf_slice(t->stream, z, 0, first, CLF_MIN(step, z.dim[0] - first));

        if (eps != NULL)
            clf_pack_unit_rows(t->stream, part, *eps, first, &w);
        else
            clf_pack_rows(t->stream, part, first, &w);
    }
    clf_packed_similarity(t->stream, x, &w, y);
    clf_scope_close(t->stream, scope);
    return y;
}

static void need_packing(const clf_test *t)
{
    if (!clf_packs_rows(t->stream, 32, 1))
        clf_test_skip("this provider, or these kernels, take rows as they are");
}

static void products_have_the_bits_of_similarity(void **state)
{
    clf_test *t = *state;

    need_packing(t);
    for (size_t i = 0; i < CLF_COUNT(counts) * CLF_COUNT(widths); i++) {
        const int64_t J = counts[i % CLF_COUNT(counts)], C = widths[i / CLF_COUNT(counts)];
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(I, C)),
                         wide = clf_test_normal(t, CLF_F32, CLF_DIMS(J, C + 3));
        const clf_tensor z = clf_slice(t->stream, wide, 1, 2, C), dense = clf_test_empty(t, CLF_F32, CLF_DIMS(J, C));

        clf_copy(t->stream, z, dense);
        const clf_tensor want = similarity(t, x, dense);
        clf_test_same_bits(t, packed(t, x, z, NULL, J), want);
        clf_test_same_bits(t, packed(t, x, dense, NULL, CLF_GEMM_ROWS), want);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

static void unit_rows_have_the_bits_of_l2_norm(void **state)
{
    static const float eps[] = { 0.0F, 1e-12F, 20.0F };
    clf_test *t = *state;

    need_packing(t);
    for (size_t i = 0; i < CLF_COUNT(counts) * CLF_COUNT(widths) * CLF_COUNT(eps); i++) {
        const float e = eps[i % 3];
        const int64_t J = counts[i / 3 % CLF_COUNT(counts)], C = widths[i / 3 / CLF_COUNT(counts)];
        const clf_tensor x = clf_test_normal(t, CLF_F32, CLF_DIMS(I, C)),
                         z = clf_test_normal(t, CLF_F32, CLF_DIMS(J, C)),
                         unit = clf_test_empty(t, CLF_F32, CLF_DIMS(J, C));

        clf_l2_norm(t->stream, z, e, unit);
        const clf_tensor want = similarity(t, x, unit);
        clf_test_same_bits(t, packed(t, x, z, &e, J), want);
        clf_test_same_bits(t, packed(t, x, z, &e, 2 * CLF_GEMM_ROWS), want);
        clf_test_check_guards(t);
        clf_test_release_all(t);
    }
}

/* A row of zeros is NaN without eps, and zeros with it; NaN stays in its row. */
static void zeros_and_nan_stay_in_their_row(void **state)
{
    enum { J = 40, C = 20 };
    clf_test *t = *state;
    const float eps[2] = { 0.0F, 1e-6F };
    double v[J * C];

    need_packing(t);
    for (int i = 0; i < J * C; i++)
        v[i] = i / C == 7 ? 0.0 : i == 33 * C + 19 ? NAN : 1.0;
    const clf_tensor x = clf_test_uniform(t, CLF_F32, CLF_DIMS(I, C), 1, 2),
                     z = clf_test_from(t, CLF_F32, CLF_DIMS(J, C), v);
    for (int e = 0; e < 2; e++) {
        const double *y = clf_test_values(t, packed(t, x, z, &eps[e], J));

        for (int i = 0; i < I * J; i++)
            assert_true(i % J == 33 ? isnan(y[i]) : i % J == 7 ? (e == 0 ? isnan(y[i]) : y[i] == 0) : y[i] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLF_TEST(products_have_the_bits_of_similarity),
        CLF_TEST(unit_rows_have_the_bits_of_l2_norm),
        CLF_TEST(zeros_and_nan_stay_in_their_row),
    };

    return CLF_TEST_MAIN(tests);
}
