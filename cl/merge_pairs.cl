/* merge_pairs: even rows of x that are listed in merged become part of the odd rows that partner names
 *
 * x        B N rows placed by X, dense in c, of CLF_X;  sizes [B, N] when has_sizes, else 1
 * partner  [B, E], E = N - N/2 even rows;  merged [B, r], ascending
 * y        B (N - r) rows of floats placed by Y: E - r even rows, then N/2 odd ones;  y_sizes alike
 * source   [B, N]
 *
 * Even row e has the place e - (entries of merged below e) unless it is an entry itself; the other way round, place m is
 * even row m + (entries merged[t] with merged[t] - t <= m).  Both are binary searches, since neither sequence falls.
 *
 * rows: group m = group 0, ... of picture group 1, ...; its items take vectors of columns by turns, then the columns that
 * fill none.  Every item adds only to columns of its own, so none waits.  source: a row of x a work-item. */

/* How many of the r entries at `first` are below `limit`. */
static ulong clf_merge_pairs_below(global const int *merged, ulong first, ulong r, long limit)
{
    ulong low = 0, high = r;

    while (low < high) {
        const ulong middle = low + (high - low) / 2;
        if (merged[first + middle] < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The even row at place m. */
static ulong clf_merge_pairs_at(global const int *merged, ulong first, ulong r, ulong m)
{
    ulong low = 0, high = r;

    while (low < high) {
        const ulong middle = low + (high - low) / 2;
        if (merged[first + middle] - (long)middle <= (long)m)
            low = middle + 1;
        else
            high = middle;
    }
    return m + low;
}

/* y += factor x, or without `more` y = factor x, over the columns of this item. */
static void clf_merge_pairs_add(global const CLF_TYPE(CLF_X) *x, ulong xr, float factor, bool more, uint C,
                                global float *y, ulong yr)
{
    const uint whole = C - C % CLF_VEC, i = get_local_id(0), items = get_local_size(0);

    for (uint c = i * CLF_VEC; c < whole; c += items * CLF_VEC) {
        const clf_fv v = CLF_LOADV(CLF_X)(x, xr + c) * factor;
        CLF_VSTORE(more ? CLF_VLOAD(y + yr + c) + v : v, y + yr + c);
    }
    for (uint c = whole + i; c < C; c += items) {
        const float v = CLF_LOAD(CLF_X)(x, xr + c) * factor;
        y[yr + c] = more ? y[yr + c] + v : v;
    }
}

static void clf_merge_pairs_divide(float divisor, uint C, global float *y, ulong yr)
{
    const uint whole = C - C % CLF_VEC, i = get_local_id(0), items = get_local_size(0);

    for (uint c = i * CLF_VEC; c < whole; c += items * CLF_VEC)
        CLF_VSTORE(CLF_VLOAD(y + yr + c) / divisor, y + yr + c);
    for (uint c = whole + i; c < C; c += items)
        y[yr + c] /= divisor;
}

kernel void clf_merge_pairs_rows(global const CLF_TYPE(CLF_X) *x, clf_rows X, uint has_sizes, global const float *sizes,
                                 ulong sizes0, global const int *partner, ulong partner0, global const int *merged,
                                 ulong merged0, ulong B, ulong N, ulong r, uint C, global float *y, clf_rows Y,
                                 global float *y_sizes, ulong y_sizes0)
{
    const ulong O = N / 2, E = N - O, kept = E - r, M = N - r;

    for (ulong b = get_group_id(1); b < B; b += get_num_groups(1))
        for (ulong m = get_group_id(0); m < M; m += get_num_groups(0)) {
            const bool odd = m >= kept;
            const ulong at = odd ? 2 * (m - kept) + 1 : 2 * min(clf_merge_pairs_at(merged, merged0 + b * r, r, m), E - 1);
            const ulong yr = clf_row(Y, b * M + m);
            const float own = has_sizes ? sizes[sizes0 + b * N + at] : 1.0f;
            float size = own;
            bool alone = true;

            clf_merge_pairs_add(x, clf_row(X, b * N + at), 1.0f, false, C, y, yr);
            for (ulong t = 0; t < r && odd; t++) {
                const long e = merged[merged0 + b * r + t];
                if (e < 0 || e >= (long)E || partner[partner0 + b * E + e] != (long)(m - kept))
                    continue;
                const float more = has_sizes ? sizes[sizes0 + b * N + 2 * e] : 1.0f;
                if (alone && own != 1.0f)
                    clf_merge_pairs_add(x, clf_row(X, b * N + at), own, false, C, y, yr);
                clf_merge_pairs_add(x, clf_row(X, b * N + 2 * e), more, true, C, y, yr);
                size += more;
                alone = false;
            }
            if (!alone)
                clf_merge_pairs_divide(size, C, y, yr);
            if (get_local_id(0) == 0)
                y_sizes[y_sizes0 + b * M + m] = size;
        }
}

kernel void clf_merge_pairs_source(global const int *partner, ulong partner0, global const int *merged, ulong merged0,
                                   ulong B, ulong N, ulong r, global int *source, ulong source0)
{
    const ulong O = N / 2, E = N - O, items = get_local_size(0);

    for (ulong b = get_group_id(1); b < B; b += get_num_groups(1))
        for (ulong n = get_group_id(0) * items + get_local_id(0); n < N; n += get_num_groups(0) * items) {
            const ulong e = n / 2, below = clf_merge_pairs_below(merged, merged0 + b * r, r, (long)e);
            const bool gone = below < r && merged[merged0 + b * r + below] == (long)e;
            const int odd = n % 2 == 1 ? (int)e : partner[partner0 + b * E + e];

            source[source0 + b * N + n] = n % 2 == 1 || gone ? (int)(E - r) + odd : (int)(e - below);
        }
}
