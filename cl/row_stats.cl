/* row_stats: y[r] = mean, largest value, sqrt(sum of (x - mean)^2 / (C - 1)) of x[r, :]
 *
 * x      [R, C]         rows placed by X, dense in c;  y  [R, 3]  rows placed by Y.
 * found  [R, parts, 3]  from element found0: of every `part` columns the mean, the largest, the sum of squares about that
 *        mean, which do not cancel as sums of x^2 do.
 *
 * Rows are maps of a thousand cells or so: a group has one item everywhere and takes a part in vectors of CLF_VEC. */

#define CLF_MORE(a, b) ((a) <= (b) || (b) != (b) ? (b) : (a)) /* b, unless a is larger or NaN */

static inline float clf_row_stats_mean(global const float *x, ulong count)
{
    const ulong whole = count - count % CLF_VEC;
    clf_fv sums = 0.0f;

    for (ulong c = 0; c < whole; c += CLF_VEC)
        sums += CLF_VLOAD(x + c);
    float sum = clf_lanes_sum(sums);
    for (ulong c = whole; c < count; c++)
        sum += x[c];
    return sum / (float)count;
}

static inline float clf_row_stats_squares(global const float *x, ulong count, float mean)
{
    const ulong whole = count - count % CLF_VEC;
    clf_fv sums = 0.0f;

    for (ulong c = 0; c < whole; c += CLF_VEC) {
        const clf_fv d = CLF_VLOAD(x + c) - mean;
        sums = CLF_FMA(d, d, sums);
    }
    float sum = clf_lanes_sum(sums);
    for (ulong c = whole; c < count; c++)
        sum += (x[c] - mean) * (x[c] - mean);
    return sum;
}

static inline float clf_row_stats_most(global const float *x, ulong count)
{
    const ulong whole = count - count % CLF_VEC;
    float most = x[count - 1];

    if (whole > 0) {
        union {
            clf_fv v;
            float lane[CLF_VEC];
        } u = { CLF_VLOAD(x) };

        for (ulong c = CLF_VEC; c < whole; c += CLF_VEC) {
            const clf_fv v = CLF_VLOAD(x + c);
            u.v = CLF_MORE(v, u.v);
        }
        for (uint i = 0; i < CLF_VEC; i++)
            most = CLF_MORE(u.lane[i], most);
    }
    for (ulong c = whole; c < count; c++)
        most = CLF_MORE(x[c], most);
    return most;
}

kernel void clf_row_stats_parts(global const float *x, clf_rows X, ulong R, ulong C, ulong part, global float *found,
                                ulong found0)
{
    const ulong p = get_group_id(0), count = min(part, C - p * part);

    for (ulong r = get_group_id(1); r < R; r += get_num_groups(1)) {
        global const float *from = x + clf_row(X, r) + p * part;
        const float mean = clf_row_stats_mean(from, count);

        vstore3((float3)(mean, clf_row_stats_most(from, count), clf_row_stats_squares(from, count, mean)),
                r * get_num_groups(0) + p, found + found0);
    }
}

/* Two sets of n and m values as one: their means differ by d, which adds d^2 n m / (n + m) to the squares. */
kernel void clf_row_stats_join(global const float *found, ulong found0, ulong R, ulong C, ulong part, global float *y,
                               clf_rows Y)
{
    const ulong parts = (C + part - 1) / part;

    for (ulong r = get_group_id(0); r < R; r += get_num_groups(0)) {
        float3 all = vload3(r * parts, found + found0);
        global float *to = y + clf_row(Y, r);

        for (ulong p = 1; p < parts; p++) {
            const float3 next = vload3(r * parts + p, found + found0);
            const float m = (float)min(part, C - p * part), n = (float)(p * part), d = next.s0 - all.s0;

            all.s2 += next.s2 + d * d * (n * (m / (n + m)));
            all.s0 += d * (m / (n + m));
            all.s1 = CLF_MORE(next.s1, all.s1);
        }
        to[0] = all.s0;
        to[1] = all.s1;
        to[2] = sqrt(all.s2 / (float)(C - 1));
    }
}
