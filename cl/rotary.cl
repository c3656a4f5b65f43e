/* rotary: pairs (a, b) of features become (a cos - b sin, b cos + a sin)
 *
 * x, y      [B, T, H, D]  first element x0, steps xb, xt, xh of batch, token and head; dense in D; y may be x
 * cos, sin  rows placed by C and S: row t of every batch when `shared`, else row b T + t
 *
 * R features of a head turn; those from `rest` to D are copied (rest = D in place, where they stay).
 *
 * Group i takes tokens i block, ...; item l of CLF_ITEMS takes heads l / lanes, ... and there vectors l % lanes, ...  On
 * CPU devices a group has one item.  A pair is read before it is written, by the item that writes it. */

/* The header promises one rounding for each product and each sum: no fma. */
#pragma OPENCL FP_CONTRACT OFF

#define ARGUMENTS                                                                                                      \
    global const CLF_TYPE(CLF_X) *x, ulong x0, ulong xb, ulong xt, ulong xh, global const float *cosines, clf_rows C,  \
        global const float *sines, clf_rows S, uint shared, ulong tokens, ulong block, uint T, uint H, uint D, uint R, \
        uint rest, uint lanes, global CLF_TYPE(CLF_X) *y, ulong y0, ulong yb, ulong yt, ulong yh

static void clf_rotary_rest(global const CLF_TYPE(CLF_X) *x, ulong xr, uint rest, uint D, uint lane, uint lanes,
                            global CLF_TYPE(CLF_X) *y, ulong yr)
{
    const uint whole = D - (D - rest) % CLF_VEC;

    for (uint c = rest + lane * CLF_VEC; c < whole; c += lanes * CLF_VEC)
        CLF_STOREV(CLF_X)(y, yr + c, CLF_LOADV(CLF_X)(x, xr + c));
    for (uint c = whole + lane; c < D; c += lanes)
        CLF_STORE(CLF_X)(y, yr + c, CLF_LOAD(CLF_X)(x, xr + c));
}

/* One run of `apart` pairs that lie as far apart; their angles begin at c and s, those of the second half `second`
 * behind them. */
static void clf_rotary_run(global const CLF_TYPE(CLF_X) *x, ulong xr, global const float *c, global const float *s,
                           uint apart, uint second, uint lane, uint lanes, global CLF_TYPE(CLF_X) *y, ulong yr)
{
    const uint whole = apart - apart % CLF_VEC;

    for (uint i = lane * CLF_VEC; i < whole; i += lanes * CLF_VEC) {
        const clf_fv a = CLF_LOADV(CLF_X)(x, xr + i), b = CLF_LOADV(CLF_X)(x, xr + apart + i);

        CLF_STOREV(CLF_X)(y, yr + i, a * CLF_VLOAD(c + i) - b * CLF_VLOAD(s + i));
        CLF_STOREV(CLF_X)(y, yr + apart + i, b * CLF_VLOAD(c + second + i) + a * CLF_VLOAD(s + second + i));
    }
    for (uint i = whole + lane; i < apart; i += lanes) {
        const float a = CLF_LOAD(CLF_X)(x, xr + i), b = CLF_LOAD(CLF_X)(x, xr + apart + i);

        CLF_STORE(CLF_X)(y, yr + i, a * c[i] - b * s[i]);
        CLF_STORE(CLF_X)(y, yr + apart + i, b * c[second + i] + a * s[second + i]);
    }
}

/* `runs` 1: pairs i, i + R/2; 2: quarters.  `wide`: an angle for each feature. */
CLF_GROUP_OF(CLF_ITEMS) kernel void clf_rotary_halves(ARGUMENTS, uint runs, uint wide)
{
    const ulong first = get_group_id(0) * block, last = min(first + block, tokens);
    const uint lane = get_local_id(0) % lanes, span = R / runs, apart = span / 2;

    for (ulong n = first; n < last; n++) {
        const ulong b = n / T, t = n % T, row = shared ? t : n;
        global const float *c = cosines + clf_row(C, row), *s = sines + clf_row(S, row);

        for (uint h = get_local_id(0) / lanes; h < H; h += get_local_size(0) / lanes) {
            const ulong xr = x0 + b * xb + t * xt + h * xh, yr = y0 + b * yb + t * yt + h * yh;

            for (uint k = 0; k < runs; k++) {
                const uint at = k * (wide ? span : apart);

                clf_rotary_run(x, xr + k * span, c + at, s + at, apart, wide ? apart : 0, lane, lanes, y, yr + k * span);
            }
            clf_rotary_rest(x, xr, rest, D, lane, lanes, y, yr);
        }
    }
}

/* Pairs 2 i, 2 i + 1: two vectors of features hold one vector of pairs. */
CLF_GROUP_OF(CLF_ITEMS) kernel void clf_rotary_adjacent(ARGUMENTS, uint runs, uint wide)
{
    const ulong first = get_group_id(0) * block, last = min(first + block, tokens);
    const uint lane = get_local_id(0) % lanes, pairs = R / 2, whole = pairs - pairs % CLF_VEC;

    for (ulong n = first; n < last; n++) {
        const ulong b = n / T, t = n % T, row = shared ? t : n;
        global const float *c = cosines + clf_row(C, row), *s = sines + clf_row(S, row);

        for (uint h = get_local_id(0) / lanes; h < H; h += get_local_size(0) / lanes) {
            const ulong xr = x0 + b * xb + t * xt + h * xh, yr = y0 + b * yb + t * yt + h * yh;

            for (uint i = lane * CLF_VEC; i < whole; i += lanes * CLF_VEC) {
                const clf_fv u = CLF_LOADV(CLF_X)(x, xr + 2 * i), v = CLF_LOADV(CLF_X)(x, xr + 2 * i + CLF_VEC);
                const clf_fv a = (clf_fv)(u.even, v.even), d = (clf_fv)(u.odd, v.odd);
                clf_fv ca, cd, sa, sd, to;

                if (wide) {
                    const clf_fv c0 = CLF_VLOAD(c + 2 * i), c1 = CLF_VLOAD(c + 2 * i + CLF_VEC);
                    const clf_fv s0 = CLF_VLOAD(s + 2 * i), s1 = CLF_VLOAD(s + 2 * i + CLF_VEC);

                    ca = (clf_fv)(c0.even, c1.even);
                    cd = (clf_fv)(c0.odd, c1.odd);
                    sa = (clf_fv)(s0.even, s1.even);
                    sd = (clf_fv)(s0.odd, s1.odd);
                } else {
                    ca = cd = CLF_VLOAD(c + i);
                    sa = sd = CLF_VLOAD(s + i);
                }
                const clf_fv p = a * ca - d * sa, q = d * cd + a * sd;

                to.even = p.lo;
                to.odd = q.lo;
                CLF_STOREV(CLF_X)(y, yr + 2 * i, to);
                to.even = p.hi;
                to.odd = q.hi;
                CLF_STOREV(CLF_X)(y, yr + 2 * i + CLF_VEC, to);
            }
            for (uint i = whole + lane; i < pairs; i += lanes) {
                const float a = CLF_LOAD(CLF_X)(x, xr + 2 * i), d = CLF_LOAD(CLF_X)(x, xr + 2 * i + 1);
                const uint ja = wide ? 2 * i : i, jd = wide ? 2 * i + 1 : i;

                CLF_STORE(CLF_X)(y, yr + 2 * i, a * c[ja] - d * s[ja]);
                CLF_STORE(CLF_X)(y, yr + 2 * i + 1, d * c[jd] + a * s[jd]);
            }
            clf_rotary_rest(x, xr, rest, D, lane, lanes, y, yr);
        }
    }
}
