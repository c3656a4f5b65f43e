/* linear: what follows a product that a provider without epilogue has made.
 *
 * y[r, n] = R[r, n] + scale · act(p[r, n] + b[n]);  b and R are optional.  p f32, R and y CLF_Y, all [rows, N].
 * One work-item takes CLF_LINEAR_COLUMNS columns of a row, in vectors; global (rows, ceil(N / CLF_LINEAR_COLUMNS)),
 * work-groups of one.
 * p may be y, so neither is restrict. */

kernel void clf_linear_epilogue(global const float *p, clf_rows P, uint N, global const float *bias, uint has_bias,
                                uint act, uint has_residual, float scale, global const CLF_TYPE(CLF_Y) *residual,
                                clf_rows R, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    const ulong row = get_global_id(0);
    const uint begin = (uint)get_global_id(1) * CLF_LINEAR_COLUMNS, end = min(N, begin + CLF_LINEAR_COLUMNS);

    p += clf_row(P, row);
    y += clf_row(Y, row);
    if (has_residual)
        residual += clf_row(R, row);
    for (uint n = begin; n < end; n += CLF_VEC) {
        const uint count = min((uint)CLF_VEC, end - n);
        clf_fv v = clf_loadv_some(p, n, count);

        if (has_bias)
            v += clf_loadv_some(bias, n, count);
        clf_act(act, &v, 1);
        for (uint j = 0; j < count && count < CLF_VEC; j++) {
            const float one = ((const float *)&v)[j];
            CLF_STORE(CLF_Y)(y, n + j, has_residual ? CLF_FMA(scale, one, CLF_LOAD(CLF_Y)(residual, n + j)) : one);
        }
        if (count == CLF_VEC) {
            if (has_residual)
                v = CLF_FMA((clf_fv)(scale), v, CLF_LOADV(CLF_Y)(residual, n));
            CLF_STOREV(CLF_Y)(y, n, v);
        }
    }
}
