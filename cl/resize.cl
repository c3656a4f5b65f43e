/* resize: resampling by tables of weights, along rows, then down columns, or both at once
 *
 * CLF_X      uchar with CLF_FIXED, or float.  Fixed: weights of CLF_RESIZE_BITS, sums rounded to 8 bits after each pass.
 * table      [entries, step] from element table0: first old index, number of weights, weights (bits of a float unless
 *            fixed).  An entry without weights gives 0.
 *
 * Group (i, j) takes columns i span, ... of rows j block, ...; its items take vectors or pixels by turns.  On CPU devices
 * a group has one item. */

#ifdef CLF_FIXED
typedef int clf_sum;
typedef int4 clf_sum4;
typedef CLF_WIDE(int) clf_sumv;
#define CLF_WEIGHT(bits) (bits)
#define CLF_START (1 << (CLF_RESIZE_BITS - 1))
#define CLF_MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define CLF_ROUND(v) clamp((v) >> CLF_RESIZE_BITS, 0, 255)
#define CLF_TO_SUM4 convert_int4
#define CLF_TO_SUMV CLF_WIDE(convert_int)
#define CLF_TO_FV CLF_WIDE(convert_float)
#define CLF_FROM_SUM4 convert_uchar4
#else
typedef float clf_sum;
typedef float4 clf_sum4;
typedef clf_fv clf_sumv;
#define CLF_WEIGHT(bits) as_float(bits)
#define CLF_START 0.0f
#define CLF_MULTIPLY_ADD(a, b, c) CLF_FMA(a, b, c)
#define CLF_ROUND(v) (v)
#define CLF_TO_SUM4(v) (v)
#define CLF_TO_SUMV(v) (v)
#define CLF_TO_FV(v) (v)
#define CLF_FROM_SUM4(v) (v)
#endif

/* One channel of a pixel: n weights k over elements `pitch` apart. */
static inline clf_sum clf_weighted(global const CLF_X *x, ulong pitch, global const int *k, int n)
{
    clf_sum sum = CLF_START;
    for (int i = 0; i < n; i++)
        sum = CLF_MULTIPLY_ADD((clf_sum)x[i * pitch], CLF_WEIGHT(k[i]), sum);
    return CLF_ROUND(sum);
}

/* Four channels of pixels of C. */
static inline clf_sum4 clf_weighted4(global const CLF_X *x, ulong pitch, global const int *k, int n)
{
    clf_sum4 sum = CLF_START;
    for (int i = 0; i < n; i++)
        sum = CLF_MULTIPLY_ADD(CLF_TO_SUM4(vload4(0, x + i * pitch)), (clf_sum4)(CLF_WEIGHT(k[i])), sum);
    return CLF_ROUND(sum);
}

/* Pixels of three: loads of four, but for the last pixel, behind which the memory may end. */
static inline clf_sum4 clf_weighted3(global const CLF_X *x, global const int *k, int n)
{
    clf_sum4 sum = CLF_START;
    for (int i = 0; i + 1 < n; i++)
        sum = CLF_MULTIPLY_ADD(CLF_TO_SUM4(vload4(0, x + 3 * i)), (clf_sum4)(CLF_WEIGHT(k[i])), sum);
    if (n > 0) {
        global const CLF_X *last = x + 3 * (n - 1);
        sum = CLF_MULTIPLY_ADD((clf_sum4)(last[0], last[1], last[2], 0), (clf_sum4)(CLF_WEIGHT(k[n - 1])), sum);
    }
    return CLF_ROUND(sum);
}

/* x  rows of pixels of all pictures, H of each, placed by X.
 * t  [pictures, used, columns C], dense, from element t0: rows low .. low + used - 1 of every picture. */
kernel void clf_resize_across(global const CLF_X *x, clf_rows X, ulong H, ulong low, ulong used, uint C,
                              global const int *table, ulong table0, ulong step, ulong rows, ulong columns,
                              ulong block, ulong span, global CLF_X *t, ulong t0)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns);
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);

    for (ulong r = first; r < last; r++) {
        global const CLF_X *from = x + clf_row(X, r / used * H + r % used + low);
        global CLF_X *to = t + t0 + r * columns * C;

        for (ulong o = begin + get_local_id(0); o < end; o += get_local_size(0)) {
            global const int *k = table + table0 + o * step;
            global const CLF_X *at = from + (ulong)k[0] * C;
            const int n = k[1];

            if (C == 3) {
                const clf_sum4 v = clf_weighted3(at, k + 2, n);
                to[3 * o] = (CLF_X)v.s0;
                to[3 * o + 1] = (CLF_X)v.s1;
                to[3 * o + 2] = (CLF_X)v.s2;
                continue;
            }
            uint c = 0;
            for (; c + 4 <= C; c += 4)
                vstore4(CLF_FROM_SUM4(clf_weighted4(at + c, C, k + 2, n)), 0, to + o * C + c);
            for (; c < C; c++)
                to[o * C + c] = (CLF_X)clf_weighted(at + c, C, k + 2, n);
        }
    }
}

/* Element (row r of h a picture, column c of `columns` = w C) of y, which lies channel by channel. */
static inline ulong clf_plane_place(clf_rows Y, ulong r, ulong h, ulong c, uint C)
{
    return clf_row(Y, (r / h * C + c % C) * h + r % h) + c / C;
}

/* t  as clf_resize_across leaves it;  y  rows of w C columns, or of w columns channel by channel when `planes` is set.
 * affine  factors, then terms, one of each a column, when `scaled` is set. */
kernel void clf_resize_down(global const CLF_X *t, ulong t0, ulong low, ulong used, uint C, global const int *table,
                            ulong table0, ulong step, global const float *affine, ulong affine0, uint scaled, ulong h,
                            ulong rows, ulong columns, ulong block, ulong span, uint planes, global float *y,
                            clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);
    global const float *factor = affine + affine0, *term = factor + columns;

    for (ulong r = first; r < last; r++) {
        global const int *k = table + table0 + r % h * step;
        const int n = k[1];
        const ulong top = n > 0 ? (ulong)k[0] - low : 0; /* without weights nothing is read */
        global const CLF_X *from = t + t0 + (r / h * used + top) * columns;

        for (ulong c = begin + get_local_id(0) * CLF_VEC; c < whole; c += get_local_size(0) * CLF_VEC) {
            clf_sumv sum = CLF_START;
            for (int i = 0; i < n; i++)
                sum = CLF_MULTIPLY_ADD(CLF_TO_SUMV(CLF_VLOAD(from + i * columns + c)), (clf_sumv)(CLF_WEIGHT(k[2 + i])),
                                       sum);
            clf_fv v = CLF_TO_FV(CLF_ROUND(sum));
            if (scaled)
                v = CLF_FMA(v, CLF_VLOAD(factor + c), CLF_VLOAD(term + c));
            if (!planes) {
                CLF_VSTORE(v, y + clf_row(Y, r) + c);
                continue;
            }
            float lane[CLF_VEC];
            CLF_WIDE(vstore)(v, 0, lane);
            for (uint j = 0; j < CLF_VEC; j++)
                y[clf_plane_place(Y, r, h, c + j, C)] = lane[j];
        }
        for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0)) {
            float v = (float)clf_weighted(from + c, columns, k + 2, n);
            if (scaled)
                v = CLF_FMA(v, factor[c], term[c]);
            y[planes ? clf_plane_place(Y, r, h, c, C) : clf_row(Y, r) + c] = v;
        }
    }
}

#ifndef CLF_FIXED
/* x  as above;  y  rows of w pixels, h a picture, in parts of `wide` pixels, which are the rows of groups.  Groups take few
 * enough channels that the old pixels which neighbours share stay in the first cache. */
kernel void clf_resize_direct(global const float *x, clf_rows X, ulong H, global const int *down, ulong down0,
                              ulong down_step, global const int *across, ulong across0, ulong across_step, ulong h,
                              ulong w, ulong wide, ulong rows, ulong columns, ulong block, ulong span,
                              global float *y, clf_rows Y)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows), parts = (w + wide - 1) / wide;

    for (ulong part = first; part < last; part++) {
        const ulong r = part / parts, left_end = part % parts * wide, right_end = min(left_end + wide, w);
        global const int *kd = down + down0 + r % h * down_step;
        const int nd = kd[1];
        const ulong row = r / h * H + (ulong)kd[0];

        for (ulong o = left_end; o < right_end; o++) {
            global const int *ka = across + across0 + o * across_step;
            const int na = ka[1];
            const ulong left = (ulong)ka[0] * columns;
            global float *to = y + clf_row(Y, r) + o * columns;

            for (ulong c = begin + get_local_id(0) * CLF_VEC; c < whole; c += get_local_size(0) * CLF_VEC) {
                clf_fv sum = 0.0f;
                for (int i = 0; i < nd; i++) {
                    global const float *from = x + clf_row(X, row + i) + left + c;
                    clf_fv part = 0.0f;
                    for (int j = 0; j < na; j++)
                        part = CLF_FMA(CLF_VLOAD(from + j * columns), (clf_fv)(as_float(ka[2 + j])), part);
                    sum = CLF_FMA(part, (clf_fv)(as_float(kd[2 + i])), sum);
                }
                CLF_VSTORE(sum, to + c);
            }
            for (ulong c = whole + get_local_id(0); c < end; c += get_local_size(0)) {
                float sum = 0.0f;
                for (int i = 0; i < nd; i++)
                    sum = CLF_FMA(clf_weighted(x + clf_row(X, row + i) + left + c, columns, ka + 2, na),
                                  as_float(kd[2 + i]), sum);
                to[c] = sum;
            }
        }
    }
}

/* y[c] = sum of k[i] x[i pitch + c] over n weights, for `count` columns.  From `ahead` on as many cache lines are fetched
 * beside every four vectors as `lines` says.  `past`: y is aligned and goes past the caches. */
#define CLF_LINE 16 /* floats of a cache line */
static inline void clf_blend(global const float *x, ulong pitch, global const int *k, int n, ulong count,
                             global float *y, global const float *ahead, uint lines, bool past)
{
    ulong c = 0;

    for (; c + 4 * CLF_VEC <= count; c += 4 * CLF_VEC) {
        clf_fv a = 0.0f, b = 0.0f, d = 0.0f, e = 0.0f;
        for (uint i = 0; i < lines; i++, ahead += CLF_LINE)
            CLF_FETCH(ahead);
        for (int i = 0; i < n; i++) {
            global const float *at = x + i * pitch + c;
            const clf_fv w = as_float(k[i]);
            a = CLF_FMA(CLF_VLOAD(at), w, a);
            b = CLF_FMA(CLF_VLOAD(at + CLF_VEC), w, b);
            d = CLF_FMA(CLF_VLOAD(at + 2 * CLF_VEC), w, d);
            e = CLF_FMA(CLF_VLOAD(at + 3 * CLF_VEC), w, e);
        }
        if (past) {
            CLF_STORE_PAST(a, (global clf_fv *)(y + c));
            CLF_STORE_PAST(b, (global clf_fv *)(y + c + CLF_VEC));
            CLF_STORE_PAST(d, (global clf_fv *)(y + c + 2 * CLF_VEC));
            CLF_STORE_PAST(e, (global clf_fv *)(y + c + 3 * CLF_VEC));
            continue;
        }
        CLF_VSTORE(a, y + c);
        CLF_VSTORE(b, y + c + CLF_VEC);
        CLF_VSTORE(d, y + c + 2 * CLF_VEC);
        CLF_VSTORE(e, y + c + 3 * CLF_VEC);
    }
    for (; c + CLF_VEC <= count; c += CLF_VEC) {
        clf_fv a = 0.0f;
        for (int i = 0; i < n; i++)
            a = CLF_FMA(CLF_VLOAD(x + i * pitch + c), (clf_fv)(as_float(k[i])), a);
        CLF_VSTORE(a, y + c);
    }
    for (; c < count; c++)
        y[c] = clf_weighted(x + c, pitch, k, n);
}

/* The same for CPU devices: the old rows of a new one are summed in a row of the group's own, which the second cache
 * holds, and that is resampled; everything is read and written in order.  While it is resampled, the old rows that the next
 * new row needs are fetched, so that memory does not wait.  Old pixels low .. low + used - 1 are needed; sums [groups, used
 * columns].  `streamed`: y goes past the caches.  A group has one item. */
kernel void clf_resize_rows(global const float *x, clf_rows X, ulong H, global const int *down, ulong down0,
                            ulong down_step, global const int *across, ulong across0, ulong across_step, ulong h,
                            ulong w, ulong low, ulong used, ulong rows, ulong columns, ulong block,
                            global float *sums, ulong sums0, global float *y, clf_rows Y, uint streamed)
{
    const ulong first = get_group_id(0) * block, last = min(first + block, rows), all = used * columns;
    global float *t = sums + sums0 + get_group_id(0) * all;

    for (ulong r = first; r < last; r++) {
        global const int *kd = down + down0 + r % h * down_step;
        const ulong row = r / h * H + (ulong)kd[0], from = clf_row(X, row);
        const ulong pitch = kd[1] > 1 ? clf_row(X, row + 1) - from : 0; /* rows of one picture are evenly spaced */
        /* Rows behind those of this one, of the same picture or the next: a hint, and as many of them for each new pixel. */
        global const int *kn = down + down0 + (r + 1) % h * down_step;
        const ulong behind = row + kd[1], end = (r + 1) / h * H + (ulong)(kn[0] + kn[1]);
        const ulong ahead = r + 1 < rows && end > behind ? (end - behind) * all / w : 0;
        const uint lines = (uint)(ahead * 4 * CLF_VEC / CLF_LINE / columns);
        global const float *next = x + clf_row(X, behind) + low * columns;

        clf_blend(x + from + low * columns, pitch, kd + 2, kd[1], all, t, x, 0, false);
        for (ulong o = 0; o < w; o++, next += ahead) {
            global const int *ka = across + across0 + o * across_step;
            const ulong left = ka[1] > 0 ? (ulong)ka[0] - low : 0;

            global float *to = y + clf_row(Y, r) + o * columns;

            clf_blend(t + left * columns, columns, ka + 2, ka[1], columns, to, next, lines,
                      streamed && CLF_PAST((global clf_fv *)to));
        }
    }
}
#endif
