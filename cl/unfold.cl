/* unfold: y[b, (i, j), (u, v, c)] = x[b, (i s - p + u, j s - p + v), c], 0 outside the H x W grid of x, bit for bit
 *
 * x  [B, H W, C] from element x0, steps xb of a picture and xt of a token;  y  [B, h w, k k C] from y0, steps yb, yt.
 * CLF_UNIT: unsigned integer of an element's size, CLF_UNIT_BYTES.
 *
 * Group (g, n) takes columns g span, ... of rows n block, ...; its items take vectors of 16 columns by turns, then the
 * columns that fill no vector one by one.  On CPU devices a group has one item.  A column is a channel; a row is
 *   _blocks    a token of a window: (u k + v) C + c in y
 *   _channels  a window: c k k + u k + v in y; windows of 2 x 2 go through vectors, others channel by channel; the
 *              tokens of the next window are fetched beside each window's */

typedef struct __attribute__((packed, aligned(sizeof(CLF_UNIT)))) {
    CLF_PASTE(CLF_UNIT, 16) v;
} clf_units;
typedef struct __attribute__((packed, aligned(sizeof(CLF_UNIT)))) {
    ulong16 v;
} clf_windows;
#define CLF_UNFOLD_STORE(at, value) (((global clf_units *)(at))->v = (value))

#define CLF_UNFOLD_ARGUMENTS                                                                                           \
    global const CLF_UNIT *x, ulong x0, ulong xb, ulong xt, uint H, uint W, uint h, uint w, uint k, uint s, uint p,    \
        ulong rows, ulong columns, ulong block, ulong span, global CLF_UNIT *y, ulong y0, ulong yb, ulong yt

#define CLF_UNFOLD_CUT                                                                                                 \
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % 16;    \
    const ulong first = get_group_id(1) * block, last = min(first + block, rows)

/* Begin of the token (m, n) of a picture; ULONG_MAX outside the grid. */
static ulong clf_unfold_token(ulong picture, ulong xt, long m, long n, uint H, uint W)
{
    return m >= 0 && m < H && n >= 0 && n < W ? picture + (ulong)(m * W + n) * xt : ULONG_MAX;
}

kernel void clf_unfold_blocks(CLF_UNFOLD_ARGUMENTS)
{
    CLF_UNFOLD_CUT;
    const uint window = k * k;

    for (ulong r = first; r < last; r++) {
        const ulong of_all = r / window, b = of_all / ((ulong)h * w);
        const uint q = (uint)(r % window), cell = (uint)(of_all % ((ulong)h * w));
        const long m = (long)(cell / w) * s - p + q / k, n = (long)(cell % w) * s - p + q % k;
        const ulong from = clf_unfold_token(x0 + b * xb, xt, m, n, H, W);
        const ulong to = y0 + b * yb + cell * yt + q * columns;

        if (from == ULONG_MAX) {
            for (ulong c = begin + get_local_id(0) * 16; c < whole; c += get_local_size(0) * 16)
                CLF_UNFOLD_STORE(y + to + c, 0);
            for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0))
                y[to + c] = 0;
        } else {
            for (ulong c = begin + get_local_id(0) * 16; c < whole; c += get_local_size(0) * 16)
                CLF_UNFOLD_STORE(y + to + c, vload16(0, x + from + c));
            for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0))
                y[to + c] = x[from + c];
        }
    }
}

/* Four vectors, one of each token, to sixteen windows of four: by widening, which drivers know as instructions, where a
 * literal of 64 parts cost twice the time (pocl 3.1, 2026-11).  The low half of an integer is first in memory. */
static void clf_unfold_quad(global CLF_UNIT *y, const CLF_PASTE(CLF_UNIT, 16) a, const CLF_PASTE(CLF_UNIT, 16) b,
                            const CLF_PASTE(CLF_UNIT, 16) c, const CLF_PASTE(CLF_UNIT, 16) d)
{
#if CLF_UNIT_BYTES == 2
    const uint16 ab = convert_uint16(a) | convert_uint16(b) << 16, cd = convert_uint16(c) | convert_uint16(d) << 16;

    ((global clf_windows *)y)->v = convert_ulong16(ab) | convert_ulong16(cd) << 32;
#else
    const ulong16 ab = convert_ulong16(a) | convert_ulong16(b) << 32;
    const ulong16 cd = convert_ulong16(c) | convert_ulong16(d) << 32;
    global clf_windows *to = (global clf_windows *)y;

    to[0].v = (ulong16)(ab.s0, cd.s0, ab.s1, cd.s1, ab.s2, cd.s2, ab.s3, cd.s3, ab.s4, cd.s4, ab.s5, cd.s5, ab.s6,
                        cd.s6, ab.s7, cd.s7);
    to[1].v = (ulong16)(ab.s8, cd.s8, ab.s9, cd.s9, ab.sa, cd.sa, ab.sb, cd.sb, ab.sc, cd.sc, ab.sd, cd.sd, ab.se,
                        cd.se, ab.sf, cd.sf);
#endif
}

kernel void clf_unfold_channels(CLF_UNFOLD_ARGUMENTS)
{
    CLF_UNFOLD_CUT;
    const uint window = k * k;

    for (ulong r = first; r < last; r++) {
        const ulong b = r / ((ulong)h * w), picture = x0 + b * xb;
        const uint cell = (uint)(r % ((ulong)h * w));
        const long m = (long)(cell / w) * s - p, n = (long)(cell % w) * s - p;
        const ulong to = y0 + b * yb + cell * yt;
        ulong plain = begin; /* where the columns begin that are taken one by one */

        if (k == 2) {
            ulong from[4];

            for (uint q = 0; q < 4; q++)
                from[q] = clf_unfold_token(picture, xt, m + q / 2, n + q % 2, H, W);
            for (ulong c = begin + get_local_id(0) * 16; c < whole; c += get_local_size(0) * 16) {
                CLF_PASTE(CLF_UNIT, 16) t[4];

                _Pragma("unroll") for (uint q = 0; q < 4; q++) {
                    t[q] = from[q] == ULONG_MAX ? (CLF_PASTE(CLF_UNIT, 16))(0) : vload16(0, x + from[q] + c);
                    CLF_FETCH(x + from[q] + s * xt + c);
                }
                clf_unfold_quad(y + to + c * 4, t[0], t[1], t[2], t[3]);
            }
            plain = whole;
        }
        for (uint q = 0; q < window; q++) {
            const ulong from = clf_unfold_token(picture, xt, m + q / k, n + q % k, H, W);

            for (ulong c = plain + get_local_id(0); c < end; c += get_local_size(0))
                y[to + c * window + q] = from == ULONG_MAX ? (CLF_UNIT)0 : x[from + c];
        }
    }
}
