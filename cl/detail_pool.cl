/* detail_pool: y[starts[c] + (i, j), :] = mean over the part (i, j) of n x n of cell c's features x[c, (p, q), :], in f32
 *
 * budgets  cells in rows of K placed by U;  n = min(floor(sqrt(budget)), side), so n n tokens a cell
 * starts   [cells + 1] from starts0: the sum of n n of the cells before;  lengths  n n, placed by L
 * x        cell c = b K + k begins at x0 + b xb + k xk, its features xt apart, side x side of them;  of CLF_X
 * y        M rows yt apart from y0, of CLF_Y; a token without a row is left out
 * Part (i, j) has the rows floor(i side / n) .. ceil((i + 1) side / n) - 1, likewise columns.
 *
 *   starts  one group; of cells first .. last, which continue what an earlier launch has begun.  _simd: local 1.  _tile:
 *           local CLF_NORM_WG, each item a stretch of cells.
 *   cells   group (g, h) takes columns g span, ... of cells h block, ...; its items take vectors of CLF_VEC columns by
 *           turns, then the columns that fill no vector one by one.  On CPU devices a group has one item.  Four vectors
 *           side by side as in pool.cl: sums that do not wait for each other. */

/* Sides above 46340 are beyond every budget. */
static uint clf_detail_pool_side(int budget, ulong side)
{
    const uint most = (uint)min(side, (ulong)46340), v = (uint)max(budget, 0);
    uint n = (uint)sqrt((float)v); /* of 24 bits: it may be off by one */

    n -= n * n > v;
    n += (n + 1) * (n + 1) <= v;
    return min(n, most);
}

/* Cell c of budgets or lengths. */
static ulong clf_detail_pool_at(clf_rows U, ulong K, ulong c)
{
    return clf_row(U, c / K) + c % K;
}

/* Starts of the cells first .. last when `start` tokens stand before them; what stands behind them. */
static ulong clf_detail_pool_number(global const int *budgets, clf_rows U, ulong K, ulong first, ulong last, ulong side,
                                    ulong start, global ulong *starts, uint has_lengths, global int *lengths,
                                    clf_rows L)
{
    for (ulong c = first; c < last; c++) {
        const uint n = clf_detail_pool_side(budgets[clf_detail_pool_at(U, K, c)], side);

        starts[c] = start;
        start += n * n;
        if (has_lengths)
            lengths[clf_detail_pool_at(L, K, c)] = (int)(n * n);
    }
    return start;
}

kernel void clf_detail_pool_starts_simd(global const int *budgets, clf_rows U, ulong K, ulong first, ulong last,
                                        ulong side, global ulong *starts, ulong starts0, uint has_lengths,
                                        global int *lengths, clf_rows L)
{
    starts += starts0;
    starts[last] = clf_detail_pool_number(budgets, U, K, first, last, side, first > 0 ? starts[first] : 0, starts,
                                          has_lengths, lengths, L);
}

CLF_GROUP_OF(CLF_NORM_WG) kernel void clf_detail_pool_starts_tile(global const int *budgets, clf_rows U, ulong K,
                                ulong first, ulong last, ulong side, global ulong *starts, ulong starts0,
                                uint has_lengths, global int *lengths, clf_rows L)
{
    local ulong sums[CLF_NORM_WG];
    const uint i = get_local_id(0);
    const ulong stretch = (last - first + CLF_NORM_WG - 1) / CLF_NORM_WG;
    const ulong begin = min(first + i * stretch, last), end = min(begin + stretch, last);
    ulong start = first > 0 ? starts[starts0 + first] : 0;

    starts += starts0;
    sums[i] = 0;
    for (ulong c = begin; c < end; c++) {
        const uint n = clf_detail_pool_side(budgets[clf_detail_pool_at(U, K, c)], side);
        sums[i] += n * n;
    }
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE); /* starts[first] has been read by all */
    for (uint j = 0; j < i; j++)
        start += sums[j];
    start = clf_detail_pool_number(budgets, U, K, begin, end, side, start, starts, has_lengths, lengths, L);
    if (i == CLF_NORM_WG - 1)
        starts[last] = start;
}

/* The features of part (i, j) one after the other; `at` is the element at column 0 of each. */
#define CLF_DETAIL_POOL_EACH_FEATURE                                                                                   \
    for (ulong p = top; p < bottom; p++)                                                                               \
        for (ulong q = left, at = from + (p * side + left) * xt; q < right; q++, at += xt)

kernel void clf_detail_pool_cells(global const CLF_TYPE(CLF_X) *x, ulong x0, ulong xb, ulong xk, ulong xt, ulong K,
                                  ulong side, global const ulong *starts, ulong starts0, ulong rows, ulong columns,
                                  ulong block, ulong span, global CLF_TYPE(CLF_Y) *y, ulong y0, ulong yt, ulong M)
{
    const ulong begin = get_group_id(0) * span, end = min(begin + span, columns), whole = end - (end - begin) % CLF_VEC;
    const ulong first = get_group_id(1) * block, last = min(first + block, rows);
    const ulong step = get_local_size(0) * CLF_VEC;

    for (ulong cell = first; cell < last; cell++) {
        const ulong start = starts[starts0 + cell], tokens = starts[starts0 + cell + 1] - start;
        const uint n = (uint)rint(sqrt((float)tokens)); /* the root of a square below 2^31: exact */
        const ulong from = x0 + cell / K * xb + cell % K * xk;

        for (ulong m = 0; m < tokens && start + m < M; m++) {
            const ulong i = m / n, j = m % n, to = y0 + (start + m) * yt;
            const ulong top = i * side / n, bottom = ((i + 1) * side + n - 1) / n;
            const ulong left = j * side / n, right = ((j + 1) * side + n - 1) / n;
            const float count = (float)((bottom - top) * (right - left));
            ulong c = begin + get_local_id(0) * CLF_VEC;

            for (; c + 3 * step < whole; c += 4 * step) {
                clf_fv s0 = (clf_fv)(0.0f), s1 = s0, s2 = s0, s3 = s0;

                CLF_DETAIL_POOL_EACH_FEATURE
                {
                    s0 += CLF_LOADV(CLF_X)(x, at + c);
                    s1 += CLF_LOADV(CLF_X)(x, at + c + step);
                    s2 += CLF_LOADV(CLF_X)(x, at + c + 2 * step);
                    s3 += CLF_LOADV(CLF_X)(x, at + c + 3 * step);
                }
                CLF_STOREV(CLF_Y)(y, to + c, s0 / count);
                CLF_STOREV(CLF_Y)(y, to + c + step, s1 / count);
                CLF_STOREV(CLF_Y)(y, to + c + 2 * step, s2 / count);
                CLF_STOREV(CLF_Y)(y, to + c + 3 * step, s3 / count);
            }
            for (; c < whole; c += step) {
                clf_fv sum = (clf_fv)(0.0f);

                CLF_DETAIL_POOL_EACH_FEATURE
                    sum += CLF_LOADV(CLF_X)(x, at + c);
                CLF_STOREV(CLF_Y)(y, to + c, sum / count);
            }
            for (c = whole + get_local_id(0); c < end; c += get_local_size(0)) {
                float sum = 0.0f;

                CLF_DETAIL_POOL_EACH_FEATURE
                    sum += CLF_LOAD(CLF_X)(x, at + c);
                CLF_STORE(CLF_Y)(y, to + c, sum / count);
            }
        }
    }
}
