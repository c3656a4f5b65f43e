/* l2_norm: y[r, c] = x[r, c] / max(sqrt(sum over c of x[r, c]^2), eps)
 *
 * x, y  [R, C]  rows placed by X and Y, dense in c.
 * Sums in f32, in an order fixed by C, the kernel and CLF_VEC.
 *
 * Three kernels, one mapping: groups walk rows r = group, group + groups, ...
 *   _ref   local 1: a plain loop
 *   _simd  local 1: vectors of CLF_VEC, for CPU devices
 *   _tile  local CLF_NORM_WG: item i takes columns i, i + WG, ...; WG floats of local memory
 *
 * Each element is divided, not multiplied by a reciprocal, which overflows for the smallest eps.
 * y may be x: a row is read before it is written, by the item that writes it; so neither is restrict. */

/* max(sqrt(square), eps), where a NaN stays. */
static float clf_l2_norm_length(float square, float eps)
{
    const float length = sqrt(square);
    return length < eps ? eps : length;
}

kernel void clf_l2_norm_ref(global const CLF_TYPE(CLF_X) *x, clf_rows X, float eps, ulong R, uint C,
                            global CLF_TYPE(CLF_X) *y, clf_rows Y)
{
    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        const ulong xr = clf_row(X, r), yr = clf_row(Y, r);
        float square = 0.0f;

        for (uint c = 0; c < C; c++) {
            const float v = CLF_LOAD(CLF_X)(x, xr + c);
            square = CLF_FMA(v, v, square);
        }
        const float length = clf_l2_norm_length(square, eps);
        for (uint c = 0; c < C; c++)
            CLF_STORE(CLF_X)(y, yr + c, CLF_LOAD(CLF_X)(x, xr + c) / length);
    }
}

kernel void clf_l2_norm_simd(global const CLF_TYPE(CLF_X) *x, clf_rows X, float eps, ulong R, uint C,
                             global CLF_TYPE(CLF_X) *y, clf_rows Y)
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
        const float length = clf_l2_norm_length(square, eps);

        for (uint c = 0; c < whole; c += CLF_VEC)
            CLF_STOREV(CLF_X)(y, yr + c, CLF_LOADV(CLF_X)(x, xr + c) / length);
        for (uint c = whole; c < C; c++)
            CLF_STORE(CLF_X)(y, yr + c, CLF_LOAD(CLF_X)(x, xr + c) / length);
    }
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_l2_norm_tile(global const CLF_TYPE(CLF_X) *x, clf_rows X, float eps, ulong R, uint C,
                             global CLF_TYPE(CLF_X) *y, clf_rows Y)
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
        const float length = clf_l2_norm_length(clf_group_sum(part, square), eps);
        for (uint c = i; c < C; c += CLF_NORM_WG)
            CLF_STORE(CLF_X)(y, yr + c, CLF_LOAD(CLF_X)(x, xr + c) / length);
    }
}
