/* row_products: y[q, r] = sum over d of x[r, d] z[q, d], for few rows of z
 *
 * x  R rows of D placed by X, dense in d;  z  f32 [Q, D], dense, from z0;  y  f32 [Q, R], dense, from y0; Q is 1 to 4.
 *
 * An output is one chain of fma in rising d from 0, as in panel.
 *
 * Group i takes rows i block, ..., CLF_VEC of them side by side in the lanes of a vector; it has one item.  A tile of
 * CLF_VEC columns is loaded row by row and turned in registers.  Bound by the bytes of x: the next rows are fetched. */

/* The products of CLF_VEC rows with `count` rows of z, the last of the Q repeated where there are fewer. */
#define CLF_ROW_PRODUCTS(count)                                                                                        \
    static inline void clf_row_products_##count(global const CLF_TYPE(CLF_X) *x, const ulong *row, ulong ahead, uint D,       \
                                         global const float *z, uint Q, clf_fv *out)                                   \
    {                                                                                                                  \
        const uint whole = D - D % CLF_VEC;                                                                            \
        global const float *from[count];                                                                               \
        clf_fv sum[count];                                                                                             \
                                                                                                                       \
        _Pragma("unroll") for (uint q = 0; q < count; q++) {                                                           \
            from[q] = z + (ulong)min(q, Q - 1) * D;                                                                    \
            sum[q] = 0.0f;                                                                                             \
        }                                                                                                              \
        for (uint d = 0; d < whole; d += CLF_VEC) {                                                                    \
            clf_fv v[CLF_VEC];                                                                                         \
                                                                                                                       \
            _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++) {                                                     \
                v[i] = CLF_LOADV(CLF_X)(x, row[i] + d);                                                                \
                CLF_FETCH(x + row[i] + ahead + d);                                                                     \
            }                                                                                                          \
            clf_turn(v);                                                                                               \
            _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++)                                                       \
                _Pragma("unroll") for (uint q = 0; q < count; q++)                                                     \
                    sum[q] = CLF_FMA(v[i], (clf_fv)(from[q][d + i]), sum[q]);                                          \
        }                                                                                                              \
        for (uint d = whole; d < D; d++) {                                                                             \
            float lane[CLF_VEC];                                                                                       \
                                                                                                                       \
            for (uint i = 0; i < CLF_VEC; i++)                                                                         \
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

    for (ulong r = first; r < last; r += CLF_VEC) {
        const uint rows = (uint)min((ulong)CLF_VEC, last - r);
        ulong row[CLF_VEC];
        union {
            clf_fv v[4];
            float lane[4][CLF_VEC];
        } sum;

        for (uint i = 0; i < CLF_VEC; i++)
            row[i] = clf_row(X, r + min(i, rows - 1)); /* the last row again, unstored */
        const ulong ahead = row[CLF_VEC - 1] - row[0];
        if (Q == 1)
            clf_row_products_1(x, row, ahead, D, z + z0, Q, sum.v);
        else
            clf_row_products_4(x, row, ahead, D, z + z0, Q, sum.v);
        /* By constant numbers: a GPU keeps no array in registers that is indexed otherwise. */
        _Pragma("unroll") for (uint q = 0; q < 4; q++)
            _Pragma("unroll") for (uint i = 0; i < CLF_VEC; i++)
                if (q < Q && i < rows)
                    y[y0 + q * R + r + i] = sum.lane[q][i];
    }
}
