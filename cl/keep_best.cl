/* keep_best: values[q, 0 .. k), indices[q, 0 .. k) = the best of what they hold and of scores[r, q], number seen + r
 *
 * scores  R rows placed by S, dense in q;  values, indices  [Q, k], dense, from v0 and i0 on, the best first.
 * Rows come in rising order and a score is kept when it is above the last one that is: of equal ones the earlier stays.
 *
 *   _ref   an item a query
 *   _tile  the same, CLF_NORM_WG of them in a group: their loads lie side by side
 *   _simd  an item CLF_VEC queries, side by side, which pass over ROWS rows at once where one comparison tells for all
 *          that they bring nothing, as most do; a query alone has scores of its own in all lanes.  What lies AHEAD rows
 *          further on is fetched: its columns are strides to a cache. */

#define ROWS 8
#define AHEAD 64

/* Numbers in the order of their keys: -0 is 0, NaN of any sign the largest. */
static int clf_keep_best_key(float v)
{
    const int bits = as_int(v);

    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fffffff;
    if ((bits & 0x7fffffff) == 0)
        return 0;
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}

/* Puts v, the score of number `index`, into a list of `filled` before a last place that is free or lost; the key of the
 * last of k afterwards, once there are k. */
static int clf_keep_best_insert(global float *values, global long *indices, uint k, uint filled, float v, long index)
{
    const int key = clf_keep_best_key(v);
    uint at = min(filled, k - 1);

    while (at > 0 && key > clf_keep_best_key(values[at - 1])) {
        values[at] = values[at - 1];
        indices[at] = indices[at - 1];
        at--;
    }
    values[at] = v;
    indices[at] = index;
    return filled + 1 >= k ? clf_keep_best_key(values[k - 1]) : 0;
}

/* All rows of one query. */
static void clf_keep_best_query(global const float *scores, clf_rows S, ulong R, ulong seen, uint k, ulong q,
                                global float *values, global long *indices)
{
    int last = seen >= k ? clf_keep_best_key(values[k - 1]) : 0;

    scores += S.s0 + q;
    for (ulong r = 0; r < R; r++) {
        const float v = scores[r * S.s2]; /* rows of one level: no division */

        if (seen + r < k || clf_keep_best_key(v) > last)
            last = clf_keep_best_insert(values, indices, k, (uint)min(seen + r, (ulong)k), v, (long)(seen + r));
    }
}

/* One of ROWS vectors may have a score above the last kept; -0 is just below 0 here, which does no harm, and NaN may be
 * above anything. */
static int clf_keep_best_any(global const float *scores, ulong step, clf_iv last)
{
    clf_iv may = 0;

    _Pragma("unroll") for (uint i = 0; i < ROWS; i++) {
        const clf_fv v = CLF_VLOAD(scores + i * step);
        const clf_iv bits = clf_as_iv(v), key = bits ^ ((bits >> 31) & 0x7fffffff);

        CLF_FETCH(scores + (i + AHEAD) * step);
        may |= key > last | v != v;
    }
    return any(may);
}

/* All rows of one query whose scores lie side by side. */
static void clf_keep_best_column(global const float *scores, ulong R, ulong seen, uint k, global float *values,
                                 global long *indices)
{
    int last = seen >= k ? clf_keep_best_key(values[k - 1]) : 0;

    for (ulong begin = 0; begin < R; begin += ROWS * CLF_VEC) {
        const ulong end = min(begin + ROWS * CLF_VEC, R);

        if (seen + begin >= k && end - begin == ROWS * CLF_VEC && !clf_keep_best_any(scores + begin, CLF_VEC, last))
            continue;
        for (ulong r = begin; r < end; r++)
            if (seen + r < k || clf_keep_best_key(scores[r]) > last)
                last = clf_keep_best_insert(values, indices, k, (uint)min(seen + r, (ulong)k), scores[r],
                                            (long)(seen + r));
    }
}

kernel void clf_keep_best_ref(global const float *scores, clf_rows S, ulong R, ulong Q, ulong seen, uint k,
                              global float *values, ulong v0, global long *indices, ulong i0)
{
    const ulong q = get_global_id(0);

    if (q < Q)
        clf_keep_best_query(scores, S, R, seen, k, q, values + v0 + q * k, indices + i0 + q * k);
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_keep_best_tile(global const float *scores, clf_rows S, ulong R, ulong Q,
                                                         ulong seen, uint k, global float *values, ulong v0,
                                                         global long *indices, ulong i0)
{
    const ulong q = get_global_id(0);

    if (q < Q)
        clf_keep_best_query(scores, S, R, seen, k, q, values + v0 + q * k, indices + i0 + q * k);
}

/* Lanes without a query hold what comes next, and keep nothing. */
kernel void clf_keep_best_simd(global const float *scores, clf_rows S, ulong R, ulong Q, ulong seen, uint k,
                               global float *values, ulong v0, global long *indices, ulong i0)
{
    const ulong first = get_group_id(0) * CLF_VEC, step = S.s2;
    const uint lanes = (uint)min((ulong)CLF_VEC, Q - first);
    const ulong there = (R - 1) * step + lanes; /* elements from the item's first on */
    union {
        clf_iv v;
        int lane[CLF_VEC];
    } last; /* keys of the last of each query */

    scores += S.s0 + first;
    values += v0 + first * k;
    indices += i0 + first * k;
    if (Q == 1 && step == 1) {
        clf_keep_best_column(scores, R, seen, k, values, indices);
        return;
    }
    last.v = 0x7fffffff;
    for (uint i = 0; i < lanes; i++)
        last.lane[i] = seen >= k ? clf_keep_best_key(values[i * k + k - 1]) : 0;
    for (ulong begin = 0; begin < R; begin += ROWS) {
        const ulong end = min(begin + ROWS, R), reach = (begin + ROWS - 1) * step + CLF_VEC;

        if (seen + begin >= k && reach <= there && !clf_keep_best_any(scores + begin * step, step, last.v))
            continue;
        for (ulong r = begin; r < end; r++)
            for (uint i = 0; i < lanes; i++) {
                const float v = scores[r * step + i];

                if (seen + r < k || clf_keep_best_key(v) > last.lane[i])
                    last.lane[i] = clf_keep_best_insert(values + i * k, indices + i * k, k,
                                                        (uint)min(seen + r, (ulong)k), v, (long)(seen + r));
            }
    }
}
