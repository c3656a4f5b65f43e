/* min_max: y = (x - min) / (max - min + eps)
 *
 * x, y    rows = B C maps of N, placed by X and Y, dense in n.
 * ranges  [scales, parts, 2] from element ranges0: smallest, largest.  A scale is a map or, when `joint` is set, a
 *         channel of all pictures, whose parts lie picture after picture.
 *
 * Maps have a thousand values or so: a group has one item everywhere and takes `part` values of a map, in vectors of
 * CLF_VEC.  Comparisons are written so that a NaN stays. */

#define CLF_LESS(a, b) ((a) >= (b) || (b) != (b) ? (b) : (a)) /* b, unless a is smaller or NaN */
#define CLF_MORE(a, b) ((a) <= (b) || (b) != (b) ? (b) : (a))

/* The range of count >= 1 values. */
static inline float2 clf_min_max_of(global const float *x, ulong count)
{
    const ulong whole = count - count % CLF_VEC;
    float2 range = (float2)(x[count - 1], x[count - 1]);
    ulong n = whole;

    if (whole > 0) {
        union {
            clf_fv v;
            float lane[CLF_VEC];
        } low = { CLF_VLOAD(x) }, high = low;

        for (ulong i = CLF_VEC; i < whole; i += CLF_VEC) {
            const clf_fv v = CLF_VLOAD(x + i);
            low.v = CLF_LESS(v, low.v);
            high.v = CLF_MORE(v, high.v);
        }
        for (uint i = 0; i < CLF_VEC; i++) {
            range.s0 = CLF_LESS(low.lane[i], range.s0);
            range.s1 = CLF_MORE(high.lane[i], range.s1);
        }
    }
    for (; n < count; n++) {
        range.s0 = CLF_LESS(x[n], range.s0);
        range.s1 = CLF_MORE(x[n], range.s1);
    }
    return range;
}

/* The range of count >= 1 ranges. */
static inline float2 clf_min_max_join(global const float *ranges, ulong count)
{
    float2 range = vload2(0, ranges);

    for (ulong i = 1; i < count; i++) {
        const float2 other = vload2(i, ranges);
        range.s0 = CLF_LESS(other.s0, range.s0);
        range.s1 = CLF_MORE(other.s1, range.s1);
    }
    return range;
}

kernel void clf_min_max_parts(global const float *x, clf_rows X, ulong rows, ulong N, ulong part, ulong B, ulong C,
                              uint joint, global float *ranges, ulong ranges0)
{
    const ulong parts = (N + part - 1) / part;

    for (ulong r = get_group_id(1); r < rows; r += get_num_groups(1)) {
        const ulong place = joint ? (r % C * B + r / C) * parts : r * parts;

        for (ulong p = get_group_id(0); p < parts; p += get_num_groups(0))
            vstore2(clf_min_max_of(x + clf_row(X, r) + p * part, min(part, N - p * part)), place + p, ranges + ranges0);
    }
}

/* merged [scales, ceil(parts / most), 2] from element merged0. */
kernel void clf_min_max_merge(global const float *ranges, ulong ranges0, ulong scales, ulong parts, ulong most,
                              global float *merged, ulong merged0)
{
    const ulong left = (parts + most - 1) / most;

    for (ulong r = get_group_id(1); r < scales; r += get_num_groups(1))
        for (ulong p = get_group_id(0); p < left; p += get_num_groups(0))
            vstore2(clf_min_max_join(ranges + ranges0 + 2 * (r * parts + p * most), min(most, parts - p * most)),
                    r * left + p, merged + merged0);
}

kernel void clf_min_max_apply(global const float *x, clf_rows X, global const float *ranges, ulong ranges0, ulong count,
                              ulong rows, ulong N, ulong part, ulong C, uint joint, float eps, global float *y,
                              clf_rows Y)
{
    for (ulong r = get_group_id(1); r < rows; r += get_num_groups(1)) {
        const float2 range = clf_min_max_join(ranges + ranges0 + 2 * (joint ? r % C : r) * count, count);
        const float low = range.s0, wide = range.s1 - range.s0 + eps;

        for (ulong first = get_group_id(0) * part; first < N; first += get_num_groups(0) * part) {
            global const float *from = x + clf_row(X, r) + first;
            global float *to = y + clf_row(Y, r) + first;
            const ulong all = min(part, N - first), whole = all - all % CLF_VEC;

            for (ulong n = 0; n < whole; n += CLF_VEC)
                CLF_VSTORE((CLF_VLOAD(from + n) - low) / wide, to + n);
            for (ulong n = whole; n < all; n++)
                to[n] = (from[n] - low) / wide;
        }
    }
}
