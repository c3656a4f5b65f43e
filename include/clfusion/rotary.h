/* Rotary position embedding: pairs of features turned by angles that depend on the position. */
#ifndef CLFUSION_ROTARY_H
#define CLFUSION_ROTARY_H

#include <clfusion/stream.h>

CLF_BEGIN_DECLS

/** Which features of a head make a pair, R the width that turns. */
typedef enum clf_rotary_pairs {
    CLF_ROTARY_HALVES = 0,   /* i and i + R/2: "rotate_half" of Llama, Qwen-VL, Pixtral in transformers */
    CLF_ROTARY_ADJACENT = 1, /* 2 i and 2 i + 1: complex pairs, as Llama 4's pictures, GLM-4V, ERNIE */
    CLF_ROTARY_QUARTERS = 2  /* quarters q1 .. q4: (q1, q2) by the first R/4 angles, (q3, q4) by the other R/4 */
} clf_rotary_pairs;

/**
 * y: pair p = (a, b) of every head becomes (a cos[p] - b sin[p], b cos[p] + a sin[p]).
 *
 * x         [B, T, H, D]          f32, f16 or bf16; any strides but the last: a part of [B, T, 3 H D] cut by clf_heads
 *                                 does, and [B, H, T, D] with its strides exchanged.
 * cosines   [T, P] or [B, T, P]   f32, one row a token, all heads alike; made by clf_rotary_table.
 * sines     like cosines          P is R/2, one angle a pair, in the order of a's place; or R, where each feature has
 *                                 its own: (a cos[a] - b sin[a], b cos[b] + a sin[b]), as HunyuanVL's.
 * pairs     which features make a pair.
 * width     R: the first R features of each head turn, the others stay; 0 stands for D.  Even; a multiple of 4 for
 *           CLF_ROTARY_QUARTERS.
 * y         [B, T, H, D]          the type of x; may be x itself; no other overlap, none with the tables.
 *
 * In f32: each product and each sum rounded once, then the result to the type of y.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 * Source: Su et al. 2021, arXiv:2104.09864.
 */
CLF_API void clf_rotary(clf_stream *s, clf_tensor x, clf_tensor cosines, clf_tensor sines, clf_rotary_pairs pairs,
                        int64_t width, clf_tensor y);

/** The same rules without stream or device. */
CLF_API clf_status clf_rotary_check(clf_tensor x, clf_tensor cosines, clf_tensor sines, clf_rotary_pairs pairs,
                                    int64_t width, clf_tensor y, clf_error *err);

/** What the columns of a table turn by: column p by frequency[p] times the position on axis[p].  The caller's arrays,
 * filled by clf_rotary_columns_fill of clfusion/positions.h or by hand. */
typedef struct clf_rotary_columns {
    int64_t count;          /* P */
    const float *frequency; /* [P], radians a step */
    const int32_t *axis;    /* [P], 0 .. A - 1 */
} clf_rotary_columns;

/**
 * cosines[r, p] = cos(position[axis[p], r] frequency[p]), sines likewise, on the device.
 *
 * positions  [A, ...]  i32, dense: A rows (time, row, column), each with one entry for every row of cosines.
 * columns    host memory, read before the call returns; at least 1 column.
 * cosines    [..., P]  f32; sines the same shape; apart from each other and from positions.
 *
 * The angle is rounded to f32, as transformers does, whose models were trained with it; cosine and sine of that angle
 * within 4 ulp (the OpenCL C table).  clf_rotary_table_host rounds them correctly.
 * Ownership, threads, errors and the state of outputs after one: as for every operator, clfusion/stream.h.
 */
CLF_API void clf_rotary_table(clf_stream *s, clf_tensor positions, const clf_rotary_columns *columns,
                              clf_tensor cosines, clf_tensor sines);

/** The same rules without stream or device. */
CLF_API clf_status clf_rotary_table_check(clf_tensor positions, const clf_rotary_columns *columns, clf_tensor cosines,
                                          clf_tensor sines, clf_error *err);

/**
 * The same table in host memory: positions [A, R], cosines and sines [R, P], R 0 or more.
 * Errors: CLF_INVALID_ARGUMENT where an axis is none of A or a size is negative; nothing is written then.  Threads: any.
 */
CLF_API CLF_MUST_USE clf_status clf_rotary_table_host(const int32_t *positions, int64_t A, int64_t R,
                                                      const clf_rotary_columns *columns, float *cosines, float *sines,
                                                      clf_error *err);

CLF_END_DECLS

#endif
