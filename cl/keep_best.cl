/* keep_best: values[q, 0 .. k), indices[q, 0 .. k) = the best of what they hold and of scores[r, q], number seen + r
 *
 * scores  R rows placed by S, dense in q;  values, indices  [Q, k], dense, from v0 and i0 on, the best first.
 * Rows come in rising order and a score is kept when it is above the last one that is: of equal ones the earlier stays.
 *
 *   _ref   an item a query
 *   _tile  the same, CLF_NORM_WG of them in a group: their loads lie side by side
 *   _simd  an item CLF_VEC queries: one comparison tells for all of them that a row brings nothing, as most do; of a query
 *          alone CLF_VEC rows are compared at once */

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

    for (ulong r = 0; r < R; r++) {
        const float v = scores[clf_row(S, r) + q];

        if (seen + r < k || clf_keep_best_key(v) > last)
            last = clf_keep_best_insert(values, indices, k, (uint)min(seen + r, (ulong)k), v, (long)(seen + r));
    }
}

/* The same where the scores of the query lie side by side, from element `at` on. */
static void clf_keep_best_column(global const float *scores, ulong at, ulong R, ulong seen, uint k,
                                 global float *values, global long *indices)
{
    int last = seen >= k ? clf_keep_best_key(values[k - 1]) : 0;

    for (ulong r = 0; r < R; r += CLF_VEC) {
        const uint rows = (uint)min((ulong)CLF_VEC, R - r);

        if (seen + r >= k && rows == CLF_VEC) {
            const clf_fv v = CLF_VLOAD(scores + at + r);
            const clf_iv bits = clf_as_iv(v), key = bits ^ ((bits >> 31) & 0x7fffffff); /* as in _simd */

            if (!any(key > (clf_iv)(last) | v != v))
                continue;
        }
        for (ulong i = r; i < r + rows; i++) {
            const float v = scores[at + i];

            if (seen + i < k || clf_keep_best_key(v) > last)
                last = clf_keep_best_insert(values, indices, k, (uint)min(seen + i, (ulong)k), v, (long)(seen + i));
        }
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

kernel void clf_keep_best_simd(global const float *scores, clf_rows S, ulong R, ulong Q, ulong seen, uint k,
                               global float *values, ulong v0, global long *indices, ulong i0)
{
    const ulong first = get_group_id(0) * CLF_VEC;
    union {
        clf_iv v;
        int lane[CLF_VEC];
    } last; /* keys of the last of each query */

    if (Q == 1 && S.s2 == 1 && R <= S.s1) {
        clf_keep_best_column(scores, S.s0, R, seen, k, values + v0, indices + i0);
        return;
    }
    if (first + CLF_VEC > Q) {
        for (ulong q = first; q < Q; q++)
            clf_keep_best_query(scores, S, R, seen, k, q, values + v0 + q * k, indices + i0 + q * k);
        return;
    }
    for (uint i = 0; i < CLF_VEC; i++)
        last.lane[i] = seen >= k ? clf_keep_best_key(values[v0 + (first + i) * k + k - 1]) : 0;
    for (ulong r = 0; r < R; r++) {
        const ulong at = clf_row(S, r) + first;
        const clf_fv v = CLF_VLOAD(scores + at);
        const clf_iv bits = clf_as_iv(v);
        const clf_iv key = bits ^ ((bits >> 31) & 0x7fffffff); /* but for NaN; -0 is just below 0, which does no harm */

        if (seen + r >= k && !any(key > last.v | v != v))
            continue;
        for (uint i = 0; i < CLF_VEC; i++) {
            const ulong list = (first + i) * k;
            const float score = scores[at + i];

            if (seen + r < k || clf_keep_best_key(score) > last.lane[i])
                last.lane[i] = clf_keep_best_insert(values + v0 + list, indices + i0 + list, k,
                                                    (uint)min(seen + r, (ulong)k), score, (long)(seen + r));
        }
    }
}
