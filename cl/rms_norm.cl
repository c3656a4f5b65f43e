/* rms_norm: y[r, c] = x[r, c] / sqrt(mean over c of x[r, c]^2 + eps) * gain[c]
 *
 * x, y  [R, C]  rows placed by X and Y, dense in c, of CLF_X and CLF_Y.
 * gain  w[c], 1 + w[c] or 1, by the code CLF_GAIN_...;  w [C] from element w0.
 * Sums in f32, in an order fixed by C, the kernel and CLF_VEC.
 *
 * Three kernels, one mapping: groups walk rows r = group, group + groups, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats of local memory
 *
 * sqrt and division, not rsqrt: the published bound counts their ulps.
 * y may be x: a row is read before it is written, by the item that writes it; so neither is restrict. */

/* Column c from the normalised value v. */
static float clf_rms_norm_column(float v, uint gain, global const CLF_TYPE(CLF_W) *w, ulong w0, uint c)
{
    if (gain == CLF_GAIN_PLAIN)
        return v;
    const float g = CLF_LOAD(CLF_W)(w, w0 + c);
    return v * (gain == CLF_GAIN_ONE_PLUS ? 1.0f + g : g);
}

kernel void clf_rms_norm_ref(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint gain, global const CLF_TYPE(CLF_W) *w,
                             ulong w0, float eps, ulong R, uint C, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        float square = 0.0f;

        for (uint c = 0; c < C; c++) {
            const float v = CLF_LOAD(CLF_X)(x, xr + c);
            square = CLF_FMA(v, v, square);
        }
        const float factor = 1.0f / sqrt(square / C + eps);
        for (uint c = 0; c < C; c++)
            CLF_STORE(CLF_Y)(y, yr + c, clf_rms_norm_column(CLF_LOAD(CLF_X)(x, xr + c) * factor, gain, w, w0, c));
    }
}

kernel void clf_rms_norm_simd(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint gain, global const CLF_TYPE(CLF_W) *w,
                              ulong w0, float eps, ulong R, uint C, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    const uint whole = C - C % CLF_VEC; /* columns in full vectors; the rest one by one */

    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        clf_fv squares = (clf_fv)(0.0f);

        for (uint c = 0; c < whole; c += CLF_VEC) {
            const clf_fv v = CLF_LOADV(CLF_X)(x, xr + c);
            squares = CLF_FMA(v, v, squares);
        }
        float square = clf_lanes_sum(squares);
        for (uint c = whole; c < C; c++) {
            const float v = CLF_LOAD(CLF_X)(x, xr + c);
            square = CLF_FMA(v, v, square);
        }
        const float factor = 1.0f / sqrt(square / C + eps);

        for (uint c = 0; c < whole; c += CLF_VEC) {
            clf_fv v = CLF_LOADV(CLF_X)(x, xr + c) * factor;
            if (gain == CLF_GAIN_WEIGHT)
                v *= CLF_LOADV(CLF_W)(w, w0 + c);
            if (gain == CLF_GAIN_ONE_PLUS)
                v *= 1.0f + CLF_LOADV(CLF_W)(w, w0 + c);
            CLF_STOREV(CLF_Y)(y, yr + c, v);
        }
        for (uint c = whole; c < C; c++)
            CLF_STORE(CLF_Y)(y, yr + c, clf_rms_norm_column(CLF_LOAD(CLF_X)(x, xr + c) * factor, gain, w, w0, c));
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_rms_norm_tile(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint gain, global const CLF_TYPE(CLF_W) *w,
                              ulong w0, float eps, ulong R, uint C, global CLF_TYPE(CLF_Y) *y, clf_rows Y)
{
    local float part[CLF_NORM_WG];
    const uint i = get_local_id(0);

    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) { /* the same rows for all items: barriers inside */
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        float square = 0.0f;

        for (uint c = i; c < C; c += CLF_NORM_WG) {
            const float v = CLF_LOAD(CLF_X)(x, xr + c);
            square = CLF_FMA(v, v, square);
        }
        const float factor = 1.0f / sqrt(clf_group_sum(part, square) / C + eps);
        for (uint c = i; c < C; c += CLF_NORM_WG)
            CLF_STORE(CLF_Y)(y, yr + c, clf_rms_norm_column(CLF_LOAD(CLF_X)(x, xr + c) * factor, gain, w, w0, c));
    }
}
