/* References of the operators in double, from inputs already rounded to their stored type, each with a bound for f32
 * arithmetic that is derived, not tuned.  clf_test_within adds half an ulp of the stored type.
 *
 * u = 2^-24 is half the distance of 1 from the next f32: + - x and fma err by u of their result, 1 ulp is at most 2 u.
 * What a device may do, by the OpenCL C table: quotient 2.5 ulp, root 3 ulp, exp 3 ulp. */
#ifndef CLF_TESTS_REF_H
#define CLF_TESTS_REF_H

#include "harness.h"

#define CLF_U 0x1p-24
#define CLF_U_QUOTIENT (5 * CLF_U)
#define CLF_U_ROOT (6 * CLF_U)
#define CLF_TINY 0x1p-126 /* devices may flush what is smaller */

/* Values and bounds of the elements of y, row-major; they live until the test ends. */
typedef struct clf_expected {
    double *value;
    double *bound;
} clf_expected;
clf_expected clf_expected_new(clf_test *t, clf_tensor y);

/* Additions that one term of a sum over a row of C passes at most, in the kernels that the context has chosen. */
double clf_ref_additions(const clf_test *t, int64_t C);

clf_expected clf_ref_layer_norm(clf_test *t, clf_tensor x, clf_tensor weight, clf_tensor bias, float eps);
clf_expected clf_ref_rms_norm(clf_test *t, clf_tensor x, clf_tensor weight, clf_rms_gain gain, float eps);
clf_expected clf_ref_l2_norm(clf_test *t, clf_tensor x, float eps);
clf_expected clf_ref_activate(clf_test *t, clf_tensor x, clf_activation activation);
clf_expected clf_ref_gated_unit(clf_test *t, clf_tensor gate, clf_tensor up, clf_activation activation);

/* `weights`: room for [B, H, Q, K], NULL: not wanted.  tests/ref/attention.c has the bound. */
clf_expected clf_ref_attention(clf_test *t, clf_tensor q, clf_tensor k, clf_tensor v,
                               const clf_attention_options *options, clf_tensor y, clf_expected *weights);

clf_expected clf_ref_pool(clf_test *t, clf_tensor x, clf_grid from, clf_grid to, clf_tensor y);

/* tokens [M, D]: the cells' tokens one after the other, NaN behind them; *lengths (NULL: not wanted) those of budgets. */
clf_expected clf_ref_detail_pool(clf_test *t, clf_tensor dense, clf_tensor budgets, clf_tensor tokens,
                                 double **lengths);

/* Exact for u8 without rescale, mean and std. */
clf_expected clf_ref_resize(clf_test *t, clf_tensor x, const clf_resize_options *options, clf_tensor y);

/* *logits receives scale x + bias. */
clf_expected clf_ref_scores(clf_test *t, clf_tensor x, float scale, float bias, clf_scores_kind kind,
                            clf_expected *logits);

clf_expected clf_ref_textures(clf_test *t, clf_tensor x, clf_tensor y);
clf_expected clf_ref_min_max(clf_test *t, clf_tensor x, clf_min_max_over over, float eps);
clf_expected clf_ref_entropy(clf_test *t, clf_tensor x, float eps, clf_tensor y);
clf_expected clf_ref_row_stats(clf_test *t, clf_tensor x, clf_tensor y);
clf_expected clf_ref_weighted_sum(clf_test *t, clf_tensor x, clf_tensor w, clf_tensor y);

/* These round like the kernels and are exact. */
double *clf_ref_add(clf_test *t, clf_tensor a, clf_tensor b, float scale);
double *clf_ref_scale(clf_test *t, clf_tensor x, float factor);
double *clf_ref_rotary(clf_test *t, clf_tensor x, clf_tensor cosines, clf_tensor sines, clf_rotary_pairs pairs,
                       int64_t width);

/* In the shape of indices. */
double *clf_ref_budgets(clf_test *t, clf_tensor relevance, clf_tensor indices, int64_t min_tokens, int64_t max_tokens,
                        int64_t total);

/* Rows of y without one in the table are NaN, as clf_test_empty fills them. */
double *clf_ref_gather(clf_test *t, clf_tensor table, const int32_t *index, clf_tensor y);

/* Values and indices as clf_top_k gives them, row-major. */
typedef struct clf_ref_best {
    double *value;
    double *index;
} clf_ref_best;
clf_ref_best clf_ref_top_k(clf_test *t, clf_tensor scores, clf_top_k_order order, clf_tensor indices);

/* Moved, not computed. */
double *clf_ref_unfold(clf_test *t, clf_tensor x, clf_grid from, const clf_unfold_options *o, clf_grid to,
                       clf_tensor y);

#endif
