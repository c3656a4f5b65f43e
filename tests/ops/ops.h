/* What the tests of operators share: sizes, types, kernel shapes, refusals. */
#ifndef CLF_TESTS_OPS_H
#define CLF_TESTS_OPS_H

#include <math.h>
#include <stdlib.h>

#include "harness.h"

static const clf_dtype clf_ops_types[] = { CLF_F32, CLF_F16, CLF_BF16 };

/* Calls `run` for every type, number of rows and width: around vectors of 8 and 16, work-groups of 64, real models. */
static inline void clf_ops_each_size(clf_test *t, void (*run)(clf_test *t, clf_dtype dtype, int64_t R, int64_t C))
{
    static const int64_t rows[] = { 0, 1, 7, 93 }, widths[] = { 1, 2, 15, 16, 17, 63, 64, 65, 1152, 4096 };

    for (size_t d = 0; d < CLF_COUNT(clf_ops_types); d++)
        for (size_t i = 0; i < CLF_COUNT(rows) * CLF_COUNT(widths); i++) {
            const int64_t R = rows[i % CLF_COUNT(rows)], C = widths[i / CLF_COUNT(rows)];

            if (clf_test_small_only(t) && R * C > 8192)
                continue;
            run(t, clf_ops_types[d], R, C);
            clf_test_check_guards(t);
            clf_test_release_all(t);
        }
}

/* A check refuses with this status and exactly this message; `call` fills err. */
#define CLF_OPS_REFUSES(call, wanted, text)                                                                            \
    do {                                                                                                               \
        clf_error err = { .status = CLF_OK };                                                                          \
        assert_int_equal((call), (wanted));                                                                            \
        assert_string_equal(err.message, (text));                                                                      \
        assert_int_equal(err.status, (wanted));                                                                        \
    } while (0)

#define CLF_OPS_ACCEPTS(call)                                                                                          \
    do {                                                                                                               \
        clf_error err = { .status = CLF_OK };                                                                          \
        assert_int_equal((call), CLF_OK);                                                                              \
        assert_int_equal(err.status, CLF_OK);                                                                          \
    } while (0)

/* A dense shape without memory. */
#define CLF_OPS_SHAPE(dtype, ...) clf_tensor_shape((dtype), CLF_DIMS(__VA_ARGS__))

/* Tensors that share memory which no check looks into. */
static inline clf_tensor clf_ops_at(clf_dtype dtype, uint64_t offset, clf_dims dims)
{
    static char memory;

    return clf_tensor_at((struct _cl_mem *)(void *)&memory, offset, dtype, dims);
}

/* `whole` [B, N, C] holds what it was given outside rows begin .. begin + count - 1 of every batch. */
static inline void clf_ops_rest_untouched(clf_test *t, clf_tensor whole, int64_t begin, int64_t count)
{
    const int64_t B = clf_dim(whole, 0), N = clf_dim(whole, 1), C = clf_dim(whole, 2);
    const double *now = clf_test_values(t, whole), *was = clf_test_given(t, whole);

    for (int64_t i = 0; i < B * N * C; i++) {
        const int64_t n = i / C % N;

        if ((n < begin || n >= begin + count) && now[i] != was[i])
            fail_msg("row %d of %d was overwritten: %g, was %g", (int)n, (int)N, now[i], was[i]);
    }
}

/* Every element of y is still the NaN that clf_test_empty has put there. */
static inline void clf_ops_untouched(clf_test *t, clf_tensor y)
{
    const double *now = clf_test_values(t, y);

    for (int64_t i = 0; i < clf_element_count(y); i++)
        assert_true(isnan(now[i]));
}

/* The same tests under each kernel shape, one context each. */
static inline int clf_ops_setup_simd(void **state)
{
    return setenv("CLFUSION_KERNELS", "simd", 1) != 0 || clf_test_setup(state) != 0;
}

static inline int clf_ops_setup_tile(void **state)
{
    return setenv("CLFUSION_KERNELS", "tile", 1) != 0 || clf_test_setup(state) != 0;
}

static inline int clf_ops_setup_ref(void **state)
{
    return setenv("CLFUSION_KERNELS", "ref", 1) != 0 || clf_test_setup(state) != 0;
}

#define CLF_OPS_MAIN_EACH_SHAPE(tests)                                                                                 \
    (cmocka_run_group_tests_name("simd", tests, clf_ops_setup_simd, clf_test_teardown) +                               \
     cmocka_run_group_tests_name("tile", tests, clf_ops_setup_tile, clf_test_teardown) +                               \
     cmocka_run_group_tests_name("ref", tests, clf_ops_setup_ref, clf_test_teardown))

#endif
