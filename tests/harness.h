/* What every test stands on: a context and a stream for the whole program, tensors between guard pages, counting and
 * failing shims under the tables, comparisons that print index, values and share of the bound. */
#ifndef CLF_TESTS_HARNESS_H
#define CLF_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <clfusion/clfusion.h>

#include "core/half.h"
#include "core/shape.h"
#include "core/size.h"

typedef struct clf_test {
    clf_context *ctx;
    clf_stream *stream;
    uint64_t seed;      /* printed on failure; CLF_TEST_SEED overrides */
    double worst_share; /* largest measured/allowed of the running test */
    double zero_limit;  /* share of zeros among expected values above which a comparison is mistrusted; 0.3 unless the
                         * running test sets another: 0.65 where the operator itself makes zeros */
} clf_test;

/* Group fixtures: the context of CLFUSION_DEVICE (default auto), with the provider of CLF_TEST_GEMM and the cache of
 * compiled kernels in the folder CLF_TEST_CACHE (default none). */
int clf_test_setup(void **state);
int clf_test_teardown(void **state); /* also asserts that nothing leaks: objects, device bytes, host bytes */

/* Runs a group: prints the share of the bound that each test used and cmocka's closing lines. */
#define CLF_TEST_MAIN(tests) cmocka_run_group_tests(tests, clf_test_setup, clf_test_teardown)

/* True where only tiny shapes are affordable (fma is emulated: rusticl).  At most 1 MFLOP a case then. */
bool clf_test_small_only(const clf_test *t);

/* Ends the running test as skipped, and says why. */
void clf_test_skip(const char *why);

/* Device tensors in memory with guard zones on both sides that clf_test_check_guards compares.  Freed at the end of
 * the test by clf_test_release_all.  Values are kept on the host too, rounded to the stored type. */
clf_tensor clf_test_normal(clf_test *t, clf_dtype dtype, clf_dims dims); /* standard normal */
clf_tensor clf_test_uniform(clf_test *t, clf_dtype dtype, clf_dims dims, double low, double high);
clf_tensor clf_test_integers(clf_test *t, clf_dtype dtype, clf_dims dims, int limit); /* whole numbers, |v| <= limit */
clf_tensor clf_test_from(clf_test *t, clf_dtype dtype, clf_dims dims, const double *values);
clf_tensor clf_test_empty(clf_test *t, clf_dtype dtype, clf_dims dims); /* filled with NaN (or -1) */
clf_tensor clf_test_i32(clf_test *t, clf_dims dims, const int32_t *values);

/* Host copy of any view of a test tensor, row-major, as double; finishes the stream and asserts CLF_OK. */
double *clf_test_values(clf_test *t, clf_tensor x);
/* What a test tensor was created with, as double, in the shape of the view x. */
const double *clf_test_given(clf_test *t, clf_tensor x);
/* Raw stored bits of the view, row-major (rows packed): to compare bit for bit. */
void *clf_test_bits(clf_test *t, clf_tensor x, size_t *bytes);

/* Host memory that lives until the test ends. */
void *clf_test_memory(clf_test *t, size_t bytes);
double clf_test_random(clf_test *t); /* uniform in [0, 1) */

/* |got - want[i]| <= bound[i] + half an ulp of y's stored type; NaN equals NaN, Inf equals Inf of its sign.  Fails
 * also when more than zero_limit of 32 or more expected values are zeros ("mistrusted"). */
void clf_test_within(clf_test *t, clf_tensor y, const double *want, const double *bound);
/* The same with |got - want| <= absolute + relative |want|. */
void clf_test_close(clf_test *t, clf_tensor y, const double *want, double relative, double absolute);
/* Tolerance 0, after rounding `want` to the stored type. */
void clf_test_exact(clf_test *t, clf_tensor y, const double *want);
void clf_test_same_bits(clf_test *t, clf_tensor a, clf_tensor b);

/* The stream has failed with this status and a message that holds the text; resets it. */
void clf_test_expect_error(clf_test *t, clf_status status, const char *text);

/* Guards of every tensor of this test are untouched (also checked by clf_test_release_all). */
void clf_test_check_guards(clf_test *t);
void clf_test_release_all(clf_test *t);
int clf_test_each_teardown(void **state); /* per-test teardown: finish, guards, release */

#define CLF_TEST(function) cmocka_unit_test_setup_teardown(function, NULL, clf_test_each_teardown)

/* Shims: tests/shims.h. */

#endif
