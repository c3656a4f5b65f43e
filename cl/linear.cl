/* linear: what follows a product that a provider without epilogue has made.
 *
 * y[r, n] = R[r, n] + scale · act(p[r, n] + b[n]);  b and R are optional.  p f32, R and y CLF_Y, all [rows, N].
 * Group (r, j) takes CLF_LINEAR_COLUMNS columns j CLF_LINEAR_COLUMNS, ... of row r; its items take vectors by turns, then
 * the columns that fill no vector one by one.  On CPU devices a group has one item.
 * p may be y, so neither is restrict. */

kernel void clf_linear_epilogue(global const float *p, clf_rows P, uint N, global const float *bias, uint has_bias,
                                uint act, uint has_residual, float scale, global const CLF_TYPE(CLF_Y) *residual,
                                clf_rows R, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    const ulong row = get_group_id(0);
    const uint begin = (uint)get_group_id(1) * CLF_LINEAR_COLUMNS, end = min(N, begin + CLF_LINEAR_COLUMNS);
    const uint whole = end - (end - begin) % CLF_VEC;

    p += clf_row(P, row);
    y += clf_row(Y, row);
    if (has_residual)
        residual += clf_row(R, row);
    for (uint n = begin + (uint)get_local_id(0) * CLF_VEC; n < whole; n += (uint)get_local_size(0) * CLF_VEC) {
        clf_fv v = CLF_VLOAD(p + n);

        if (has_bias)
            v += CLF_VLOAD(bias + n);
        v = clf_act(act, v);
        if (has_residual)
            v = CLF_FMA((clf_fv)(scale), v, CLF_LOADV(CLF_Y)(residual, n));
        CLF_STOREV(CLF_Y)(y, n, v);
    }
    for (uint n = whole + (uint)get_local_id(0); n < end; n += (uint)get_local_size(0)) {
        const float one = clf_act1(act, has_bias ? p[n] + bias[n] : p[n]);

        CLF_STORE(CLF_Y)(y, n, has_residual ? CLF_FMA(scale, one, CLF_LOAD(CLF_Y)(residual, n)) : one);
    }
}
