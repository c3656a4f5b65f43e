/* row_products: y[q, r] = sum over d of x[r, d] z[q, d], for few rows of z
 *
 * x  R rows of D placed by X, dense in d;  z  f32 [Q, D], dense, from z0;  y  f32 [Q, R], dense, from y0; Q is 1 to 4.
 *
 * An output is one chain of fma in rising d from 0, as in panel.
 *
 * Group i takes rows i block, ..., CLF_VEC of them side by side in the lanes of a vector; it has one item.  A tile of
 * CLF_VEC columns is loaded row by row and turned in registers.  Bound by the bytes of x: the next rows are fetched. */

#define CLF_LANES CLF_VEC

/* a0 b0 a1 b1 ... of the first or the second halves, as one shuffle of two vectors. */
#if CLF_VEC == 16
#define CLF_ZIP_LOW(a, b)                                                                                              \
    (float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#define CLF_ZIP_HIGH(a, b)                                                                                             \
    (float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf)
#elif CLF_VEC == 8
#define CLF_ZIP_LOW(a, b) (float8)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3)
#define CLF_ZIP_HIGH(a, b) (float8)(a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#else
#define CLF_ZIP_LOW(a, b) (float4)(a.s0, b.s0, a.s1, b.s1)
#define CLF_ZIP_HIGH(a, b) (float4)(a.s2, b.s2, a.s3, b.s3)
#endif

/* One round of turning rows into columns: zipping the first half with the second turns the number that row and column
 * make by one bit. */
static inline void clf_turn_round(clf_fv *v)
{
    clf_fv zipped[CLF_LANES];

    _Pragma("unroll") for (uint i = 0; i < CLF_LANES / 2; i++) {
        zipped[2 * i] = CLF_ZIP_LOW(v[i], v[i + CLF_LANES / 2]);
        zipped[2 * i + 1] = CLF_ZIP_HIGH(v[i], v[i + CLF_LANES / 2]);
    }
    _Pragma("unroll") for (uint i = 0; i < CLF_LANES; i++) v[i] = zipped[i];
}

static inline void clf_turn(clf_fv *v)
{
    clf_turn_round(v);
    clf_turn_round(v);
#if CLF_VEC >= 8
    clf_turn_round(v);
#endif
#if CLF_VEC == 16
    clf_turn_round(v);
#endif
}

/* The products of CLF_LANES rows with `count` rows of z, the last of the Q repeated where there are fewer. */
#define CLF_ROW_PRODUCTS(count)                                                                                        \
    static inline void clf_row_products_##count(global const CLF_TYPE(CLF_X) *x, const ulong *row, ulong ahead, uint D,       \
                                         global const float *z, uint Q, clf_fv *out)                                   \
    {                                                                                                                  \
        const uint whole = D - D % CLF_LANES;                                                                          \
        global const float *from[count];                                                                               \
        clf_fv sum[count];                                                                                             \
                                                                                                                       \
        _Pragma("unroll") for (uint q = 0; q < count; q++) {                                                           \
            from[q] = z + (ulong)min(q, Q - 1) * D;                                                                    \
            sum[q] = 0.0f;                                                                                             \
        }                                                                                                              \
        for (uint d = 0; d < whole; d += CLF_LANES) {                                                                  \
            clf_fv v[CLF_LANES];                                                                                       \
                                                                                                                       \
            _Pragma("unroll") for (uint i = 0; i < CLF_LANES; i++) {                                                   \
                v[i] = CLF_LOADV(CLF_X)(x, row[i] + d);                                                                \
                CLF_FETCH(x + row[i] + ahead + d);                                                                     \
            }                                                                                                          \
            clf_turn(v);                                                                                               \
            _Pragma("unroll") for (uint i = 0; i < CLF_LANES; i++)                                                     \
                _Pragma("unroll") for (uint q = 0; q < count; q++)                                                     \
                    sum[q] = CLF_FMA(v[i], (clf_fv)(from[q][d + i]), sum[q]);                                          \
        }                                                                                                              \
        for (uint d = whole; d < D; d++) {                                                                             \
            float lane[CLF_LANES];                                                                                     \
                                                                                                                       \
            for (uint i = 0; i < CLF_LANES; i++)                                                                       \
                lane[i] = CLF_LOAD(CLF_X)(x, row[i] + d);                                                              \
            _Pragma("unroll") for (uint q = 0; q < count; q++)                                                         \
                sum[q] = CLF_FMA(CLF_VLOAD(lane), (clf_fv)(from[q][d]), sum[q]);                                       \
        }                                                                                                              \
        _Pragma("unroll") for (uint q = 0; q < count; q++) out[q] = sum[q];                                            \
    }
CLF_ROW_PRODUCTS(1)
CLF_ROW_PRODUCTS(4)

kernel void clf_row_products_lanes(global const CLF_TYPE(CLF_X) *x, clf_rows X, ulong R, uint D, global const float *z,
                                   ulong z0, uint Q, ulong block, global float *y, ulong y0)
{
    const ulong first = get_group_id(0) * block, last = min(first + block, R);

    for (ulong r = first; r < last; r += CLF_LANES) {
        const uint rows = (uint)min((ulong)CLF_LANES, last - r);
        ulong row[CLF_LANES];
        union {
            clf_fv v[4];
            float lane[4][CLF_LANES];
        } sum;

        for (uint i = 0; i < CLF_LANES; i++)
            row[i] = clf_row(X, r + min(i, rows - 1)); /* the last row again, unstored */
        const ulong ahead = row[CLF_LANES - 1] - row[0];
        if (Q == 1)
            clf_row_products_1(x, row, ahead, D, z + z0, Q, sum.v);
        else
            clf_row_products_4(x, row, ahead, D, z + z0, Q, sum.v);
        for (uint q = 0; q < Q; q++)
            for (uint i = 0; i < rows; i++)
                y[y0 + q * R + r + i] = sum.lane[q][i];
    }
}
